/**
 * The angel's process: which effect of its machine does what. It loads no code of users. It is small, because its memory
 * is what `fork` has to copy for each child, and because it must be the last to fail.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { type AngelContext, type AngelEffects, angelMachine } from '../../machines/angel.ts';
import { requestOf, type Signal } from '../../machines/signals.ts';
import { type ChildSpec, type ListenSpec, listenersOf, type StopMode } from '../../machines/spec.ts';
import { serveControl } from '../control/server.ts';
import { type AngelPid, choirHome, ensureDir, logsDir, readAngelPid, removeIfPossible, socketPath, treeDir } from '../home.ts';
import { bootId, killGroup, killOne, startTicks } from '../hosts/proc.ts';
import { RealClock } from '../kernel/clock.ts';
import { type Effects, Kernel } from '../kernel/kernel.ts';
import { EventLog, type EventRecord } from '../logs/events.ts';
import { closeOutput, openOutput } from '../logs/open.ts';
import { followedSizes } from '../logs/sizes.ts';
import { visibleLines } from '../logs/visible.ts';
import { type InspectResult, inspectSpec } from '../spec/inspection.ts';
import { receiveSockets } from '../worker/pass.ts';
import { onSignal } from './arm.ts';
import { type Entry, type Identity, isStillThere, leftBehind } from './inventory.ts';
import { Link, type Origin, type ToAngel, type ToMaster, type ViewWish } from './link.ts';
import { fdOf, inheritLock, removePidFile, takeLock, writePidFile } from './lock.ts';
import { Processes } from './processes.ts';
import { bindPath, type Handle, inherited, letGo, Sockets } from './sockets.ts';
import {
	CONTROL_FD,
	type Estate,
	type Front,
	HEIR,
	type Installation,
	LOCK_FD,
	meetFront,
	Successor,
	type ToFront,
	type ToSuccessor,
} from './succession.ts';

export interface AngelOptions {
	/** Absolute path. */
	spec: string;
	/** Prints what the tree does on this process's standard output. */
	foreground: boolean;
	/** A descriptor for one JSON line: that the tree runs, or why not. */
	reportFd: number | null;
	/** Whether there is a live page. Default: as the spec says, else in the foreground. */
	view?: ViewWish;
	/** Another angel hands its tree over to this one. */
	front?: Front;
}

/** Between two looks whether what was signalled is gone. */
const LOOK_MS = 10;
/** The versions of the spec that the master loads: of a new tree, and of one that takes over what another one left. */
const SPEC = 'spec.mjs';
const NEXT_SPEC = 'spec.next.mjs';
/** How long a printer may take to print what is left. */
const PRINTER_MS = 6_000;

/** Runs a tree until it has ended, and answers with the exit code. Errors go to standard error, a sentence a line. */
export function runAngel(options: AngelOptions): Promise<number> {
	return new Promise((resolve) => new Angel(options, resolve).run());
}

/** Takes a tree over from the angel that has started this process. */
async function succeed(options: Pick<AngelOptions, 'spec' | 'foreground'>): Promise<number> {
	let angel: Angel | null = null;
	const early: ToSuccessor[] = [];
	const front = await meetFront(
		(message) => (angel === null ? early.push(message) : angel.hearFront(message)),
		() => (angel === null ? process.exit(1) : angel.loseFront()),
	);
	return new Promise((resolve) => {
		angel = new Angel({ ...options, reportFd: null, view: front.terms.view, front }, resolve);
		angel.run();
		for (const message of early) angel.hearFront(message);
	});
}

class Angel {
	readonly #options: AngelOptions;
	readonly #resolve: (exitCode: number) => void;
	readonly #kernel: Kernel;
	readonly #terminal = process.stdin.isTTY === true;
	readonly #trial = new AbortController();
	/** Settles when the process in which the spec is tried has ended. */
	#tried: Promise<void> = Promise.resolve();
	#dir: string | null = null;
	#treeId = '';
	#bundle = '';
	#holdsActors = false;
	#listen: ListenSpec[] = [];
	#identity: AngelPid | null = null;
	#lock: net.Server | null = null;
	#events: EventLog | null = null;
	#sockets: Sockets | null = null;
	#processes: Processes | null = null;
	#control: Handle | null = null;
	#unbind: Array<() => void> = [];
	#master: { child: ChildProcess; identity: Identity; link: Link<ToMaster, ToAngel> } | null = null;
	#masterIncarnation = 0;
	#printer: ChildProcess | null = null;
	#looking: NodeJS.Timeout | null = null;
	#origin: Origin = 'new';
	/** null: there is none, or it has gone; then this one looks itself. */
	#front: Front | null;
	/** What it has said before there was somebody to hear it. */
	#early: Array<Extract<ToSuccessor, { do: 'exited' }>> = [];
	#estate: Estate | null = null;
	/** The tree has run under this angel. */
	#hasTree = false;
	#upgrade: { to: Installation; settle: Array<(lines: string[]) => void> } | null = null;
	#successor: Successor | null = null;
	#hasHandedOver = false;
	#hasLetGo = false;
	#passedTo: string | null = null;
	#since = new Date().toISOString();
	#reported = false;
	#stopServing = () => {};
	/** Keeps the loop alive: the kernel's alarm may be all there is. */
	readonly #alive = setInterval(() => {}, 2 ** 30);

	constructor(options: AngelOptions, resolve: (exitCode: number) => void) {
		this.#options = options;
		this.#front = options.front ?? null;
		this.#resolve = resolve;
		this.#kernel = new Kernel({
			clock: new RealClock(),
			watch: ({ from, to }) => {
				if (from.split('.')[0] !== to.split('.')[0]) this.#since = new Date().toISOString();
			},
			fault: (_, what, error) => this.#news('error', 'effect.failed', `${what} failed: ${(error as Error).message}`),
			paused: () => this.#kernel.send('angel', { type: 'supervisor.resumed' }),
		});
	}

	run(): void {
		this.#kernel.start('angel', angelMachine, undefined, this.#effects());
		onSignal((signal) => this.#take(signal));
	}

	#send(event: Parameters<Kernel['send']>[1]): void {
		this.#kernel.send('angel', event);
	}

	#take(signal: Signal): void {
		const request = requestOf('angel', signal, this.#terminal);
		// The successor has no terminal, and would take what means nothing on one for a request.
		if (this.#isFront) return request.do === 'ignore' ? undefined : this.#successor?.send({ do: 'signal', signal });
		const note = (message: string) => this.#news('info', 'signal.ignored', message, { signal });
		switch (request.do) {
			case 'stop':
				this.#news('info', 'stop.asked', `stopping: ${signal}`, { signal });
				return this.#send({ type: 'stop', mode: request.mode, deadline: request.deadline });
			case 'interrupt':
				this.#news('info', 'stop.asked', `stopping: ${signal}${this.#terminal ? ' (again to stop at once)' : ''}`, { signal });
				return this.#send({ type: 'interrupt' });
			case 'operate':
				// A reload is for the machine: while there is no master it starts one.
				if (request.what === 'reload') return this.#send({ type: 'reload' });
				if (this.#master === null) return note(`${signal} is ignored: there is no master at present`);
				return this.#master.link.send({ do: 'operate', what: request.what, signal });
			case 'upgrade':
				this.#beginUpgrade({ main: fileURLToPath(import.meta.url), execPath: process.execPath }).then(
					() => {},
					(error: Error) => this.#news('warn', 'upgrade.refused', `upgrade refused: ${error.message}`),
				);
				return;
			case 'reopen':
				this.#events?.reopen();
				this.#master?.link.send({ do: 'reopen' });
				return note('log files reopened');
			case 'resume':
				return this.#send({ type: 'supervisor.resumed' });
			case 'later':
				return note(`${signal} asks for ${request.what}, which is not available yet`);
			case 'ignore':
				return note(`${signal} is ignored: ${request.why}`);
		}
	}

	#effects(): Effects<AngelEffects> {
		return {
			checkSpec: () => this.#checkSpec(),
			takeLock: () => this.#takeLock(),
			clearLeftovers: ({ how }) => {
				if (this.#options.front !== undefined) return this.#send({ type: 'leftovers.gone' });
				const dir = this.#dir as string;
				const left = leftBehind(dir).strays;
				if (left.length > 0)
					this.#news(
						'warn',
						'leftovers.found',
						`${left.length} processes of an earlier run are left that nobody can adopt: ${how === 'kill' ? 'killing' : 'stopping'} them first`,
						{
							pids: left.map(({ pid }) => pid),
						},
					);
				for (const { pid } of left) {
					if (how === 'kill') killGroup(pid, 'SIGKILL');
					killOne(pid, how === 'kill' ? 'SIGKILL' : 'SIGTERM');
				}
				this.#lookUntilGone(() => leftBehind(dir).strays, 'leftovers.gone');
			},
			bindSockets: () => this.#bindSockets(),
			launchMaster: () => this.#launchMaster(),
			killMaster: () => {
				if (this.#master !== null) killGroup(this.#master.identity.pid, 'SIGKILL');
			},
			forwardStop: ({ mode }) => this.#master?.link.send({ do: 'stop', mode }),
			forwardReload: () => this.#master?.link.send({ do: 'operate', what: 'reload', signal: 'SIGHUP' }),
			sweep: ({ how }) => {
				if (this.#isOnTrial) return this.#giveUp();
				const processes = this.#processes;
				if (processes === null) return this.#send({ type: 'tree.gone' });
				const left = processes.sweep(how);
				if (left.length > 0)
					this.#news('warn', 'tree.swept', `${left.length} processes are left: ${how === 'kill' ? 'killing' : 'stopping'} them`, {
						pids: left.map(({ pid }) => pid),
					});
				this.#lookUntilGone(() => processes.remaining(how === 'kill' ? 'kill' : null), 'tree.gone');
			},
			reportRunning: () => {
				this.#news('info', 'tree.running', `${this.#treeId} is running`);
				this.#report({ ok: true, tree: this.#treeId, pid: process.pid });
				this.#hasTree = true;
				this.#front?.link.send({ do: 'running' });
			},
			launchSuccessor: () => {
				this.#launchSuccessor().catch((error: Error) => this.#send({ type: 'successor.failed', lines: [error.message] }));
			},
			releaseMaster: () => this.#master?.link.send({ do: 'release' }),
			handOver: () => this.#handOver(),
			withdraw: () => this.#withdraw(),
			letGo: () => void this.#letGo(),
			handOnStop: ({ mode, deadline }) => this.#successor?.send({ do: 'stop', mode, deadline }),
			reportUpgrade: ({ lines }) => this.#endUpgrade(lines),
			reportHung: ({ timeoutMs }) => this.#news('error', 'master.hung', `the master did not beat for ${timeoutMs} ms and is killed`),
			reportBackoff: ({ delayMs, how }) =>
				this.#news('error', 'master.died', `the master ended ${how}; a new one starts in ${delayMs} ms`, { delayMs }),
			reportDeath: ({ exitCode, lines }) => void this.#end(exitCode, lines),
		};
	}

	#checkSpec(): void {
		const cacheDir = path.join(choirHome(), '.cache');
		const bundle = this.#options.front?.terms.bundle;
		const trial = { cacheDir, signal: this.#trial.signal, ...(bundle === undefined ? {} : { bundle }) };
		this.#tried = inspectSpec(this.#options.spec, trial).then(
			(result) => {
				if (!result.ok) return this.#send({ type: 'spec.refused', exitCode: result.exitCode, lines: result.lines });
				this.#treeId = result.tree;
				this.#bundle = result.bundle;
				for (const line of result.warnings) process.stderr.write(`warning: ${visibleLines(line)}\n`);
				this.#holdsActors = holdsActors(result.outline.root);
				this.#listen = listenersOf(result.outline.root);
				this.#send({ type: 'spec.checked', ...limitsOf(result) });
			},
			(error: Error) => this.#send({ type: 'spec.refused', exitCode: 1, lines: [error.message] }),
		);
	}

	#takeLock(): void {
		// From its front it gets the lock when there is nothing left that can fail before.
		if (this.#front !== null && this.#estate === null) return this.#front.link.send({ do: 'prepared' });
		const dir = this.#options.front?.terms.dir ?? ensureDir(treeDir(choirHome(), this.#treeId));
		const taking = this.#options.front === undefined ? takeLock(dir) : inheritLock(LOCK_FD);
		taking.then(
			(lock) => {
				if (lock === null) return this.#send({ type: 'lock.refused', line: this.#nameHolder(dir) });
				this.#lock = lock;
				this.#dir = dir;
				this.#identity = {
					pid: process.pid,
					startTicks: startTicks(process.pid) ?? 0,
					bootId: bootId(),
					spec: this.#options.spec,
					startedAt: new Date().toISOString(),
				};
				this.#events = new EventLog(dir);
				// The printer begins where the files end now; so it comes before anything is written to them.
				if (this.#options.foreground) this.#startPrinter(dir);
				this.#send({ type: 'lock.taken' });
			},
			(error: Error) => this.#send({ type: 'lock.refused', line: error.message }),
		);
	}

	#nameHolder(dir: string): string {
		const holder = readAngelPid(dir);
		const who = holder === null ? '' : ` as pid ${holder.pid} (${holder.spec}, since ${holder.startedAt})`;
		return `tree '${this.#treeId}' is already running${who}: stop it with 'choir stop ${this.#treeId}'`;
	}

	#bindSockets(): void {
		const dir = this.#dir as string;
		const bind = async () => {
			if (this.#options.front !== undefined) return this.#inherit(this.#options.front, this.#estate as Estate);
			const { living } = leftBehind(dir);
			if (living.length > 0) {
				this.#origin = 'killed';
				const pids = living.map(({ pid }) => pid);
				this.#news('warn', 'angel.adopts', `an earlier angel was killed; ${living.length} processes go on, and are taken over`, { pids });
			}
			// A copy of its own: the cache may be cleared while the tree runs, and a next master needs this very version. What is taken
			// over runs another one, which is needed as well.
			const accepted = path.join(dir, this.#origin === 'killed' ? NEXT_SPEC : SPEC);
			this.#sockets = new Sockets();
			try {
				fs.copyFileSync(this.#bundle, accepted);
				writePidFile(dir, this.#identity as AngelPid);
				this.#processes = this.#makeProcesses(living.filter(isStillThere));
			} catch (error) {
				throw new Error(`the state folder ${dir} cannot be written: ${(error as Error).message}`);
			}
			this.#bundle = accepted;
			this.#processes.watch();
			await this.#sockets.bind(this.#listen, living);
			if (this.#sockets.isWaiting) await this.#receive(socketPath(dir, 'sockets.sock'), this.#sockets);
			this.#control = await bindPath(socketPath(dir, 'control.sock'));
			fs.chmodSync(socketPath(dir, 'control.sock'), 0o600);
			await this.#serve(socketPath(dir, 'angel.sock'));
		};
		bind().then(
			() => this.#send({ type: 'sockets.bound' }),
			(error: Error) => this.#send({ type: 'sockets.failed', line: error.message }),
		);
	}

	#makeProcesses(living: readonly Entry[]): Processes {
		return new Processes(
			this.#dir as string,
			this.#sockets as Sockets,
			() => this.#kernel.clock.now(),
			(fact) => {
				if (fact.what === 'muted') return this.#news('error', 'output.lost', fact.message, { path: fact.path });
				const { what, ...rest } = fact;
				const message = { do: what, ...rest } as ToMaster;
				if (!this.#hasHandedOver) return this.#master?.link.send(message);
				if (message.do === 'exited') this.#successor?.send(message);
				this.#lookWhetherNeeded();
			},
			living,
		);
	}

	/** Where workers of an earlier angel pass what they hold. */
	async #receive(at: string, sockets: Sockets): Promise<void> {
		fs.rmSync(at, { force: true });
		const server = await receiveSockets(at, (line, socket) => {
			const { worker, token, index } = parsed(line);
			sockets.takeBack(worker, token, index, socket);
		});
		fs.chmodSync(at, 0o600);
		this.#passedTo = at;
		this.#unbind.push(() => server.close());
	}

	/** What can be asked of the angel itself: it answers also while there is no master. */
	async #serve(at: string): Promise<void> {
		const control = serveControl({
			maxConnections: 64,
			answer: ({ do: what, mode, main, execPath }) => {
				switch (what) {
					case 'upgrade':
						if (typeof main !== 'string' || typeof execPath !== 'string')
							throw new Error('expected the main of an angel, and a Node to run it');
						return this.#beginUpgrade({ main, execPath }).then((lines) => ({ ok: lines.length === 0, lines }));
					case 'stop':
						this.#news('info', 'stop.asked', 'stopping: asked to');
						// The answer first: a stop can be over within this very turn.
						setImmediate(() => this.#send({ type: 'stop', mode: isMode(mode) ? mode : 'drain', deadline: true }));
						return { pid: process.pid };
					case 'status':
						this.#events?.flush();
						return this.#status();
					default:
						throw Object.assign(new Error(`the angel does not know '${what}'`), { code: 'UNKNOWN' });
				}
			},
		});
		const server = net.createServer({ allowHalfOpen: true }, (socket) => control.handle(socket));
		// Aside, and renamed: a successor takes the place of its front, and whoever asks finds one of them.
		const aside = path.join(path.dirname(at), `.${process.pid.toString(36)}`);
		fs.rmSync(aside, { force: true });
		await new Promise<void>((resolve, reject) => server.once('error', reject).listen(aside, resolve));
		fs.chmodSync(aside, 0o600);
		fs.renameSync(aside, at);
		const { ino } = fs.lstatSync(at);
		this.#stopServing = () => {
			if (fs.lstatSync(at, { throwIfNoEntry: false })?.ino === ino) removeIfPossible(at);
			server.close();
		};
		this.#unbind.push(() => {
			control.close();
			this.#stopServing();
		});
	}

	#status() {
		const [state, ...below] = (this.#kernel.state('angel') ?? 'dead').split('.');
		const master = this.#master;
		return {
			tree: this.#treeId,
			state,
			since: this.#since,
			angel: { pid: process.pid, state, substate: below.join('.') },
			master: {
				pid: master?.identity.pid ?? null,
				state: master === null ? 'dead' : 'starting',
				incarnation: this.#masterIncarnation,
				epoch: this.#masterIncarnation,
			},
			children: [],
		};
	}

	#launchMaster(): void {
		const dir = this.#dir as string;
		const main = fileURLToPath(new URL(`../master/main${path.extname(import.meta.url)}`, import.meta.url));
		const output = openOutput(dir, 'master', (message) => this.#news('error', 'output.lost', message));
		this.#masterIncarnation += 1;
		const incarnation = this.#masterIncarnation;
		const args = [...masterFlags, ...(this.#holdsActors ? [] : [smallNursery]), main, dir, this.#bundle, this.#options.spec];
		let child: ChildProcess;
		try {
			child = spawn(process.execPath, args, {
				cwd: path.dirname(this.#options.spec),
				env: { ...process.env, CHOIR_TREE: dir, CHOIR_INCARNATION: String(incarnation), CHOIR_ORIGIN: this.#origin },
				detached: true,
				stdio: ['ignore', output, output, 'pipe', this.#control?.fd as number],
			});
		} catch (error) {
			// For want of memory, say: as good as one that has died at once.
			this.#news('error', 'master.failed', `the master could not be started: ${(error as Error).message}`);
			return this.#send({ type: 'master.exited', code: null, signal: null, at: this.#kernel.clock.now(), chance: Math.random() });
		} finally {
			closeOutput(output);
		}
		const gone = (code: number | null, signal: string | null) => {
			if (this.#master?.child !== child) return;
			// What it said last is still in the link: it must be heard before its end.
			setImmediate(() => {
				this.#master = null;
				this.#processes?.forgetNexts();
				if (child.pid !== undefined) killGroup(child.pid, 'SIGKILL');
				this.#send({ type: 'master.exited', code, signal, at: this.#kernel.clock.now(), chance: Math.random() });
			});
		};
		const channel = child.stdio[3] as net.Socket;
		const link = new Link<ToMaster, ToAngel>(
			channel,
			(message) => this.#hear(message),
			() => {},
		);
		const { pid } = child;
		this.#master = { child, identity: { pid: pid ?? 0, startTicks: pid === undefined ? 0 : (startTicks(pid) ?? 0) }, link };
		child.once('exit', gone);
		child.once('error', (error) => {
			this.#news('error', 'master.failed', `the master could not be started: ${error.message}`);
			if (pid === undefined) gone(null, null);
		});
	}

	get #view(): ViewWish {
		return this.#options.view ?? (this.#options.foreground ? 'on' : 'off');
	}

	/** Asked for by the first word of a master: what its predecessor had asked for last has been done by then. */
	#sayInventory(): void {
		const processes = this.#processes as Processes;
		const sockets = this.#sockets as Sockets;
		this.#master?.link.send({
			do: 'inventory',
			leftovers: processes.leftovers,
			incarnations: processes.incarnations,
			masterIncarnation: this.#masterIncarnation,
			slots: sockets.slots,
			wanted: this.#passedTo === null ? null : { to: this.#passedTo, asked: sockets.askedBack },
			view: this.#view,
		});
	}

	#hear(message: ToAngel): void {
		switch (message.do) {
			case 'hello':
				this.#sayInventory();
				return this.#send({ type: 'master.hello' });
			case 'beat':
				return this.#send({ type: 'master.beat' });
			case 'running':
				return this.#send({ type: 'master.running', at: this.#kernel.clock.now() });
			case 'version':
				this.#bundle = message.bundle;
				return;
			case 'ended':
				return this.#send({ type: 'master.ended', exitCode: message.exitCode, lines: message.lines });
			case 'spawn':
				return this.#processes?.spawn(message.order);
			case 'next':
				return this.#processes?.orderNext(message.after, message.order, message.except);
			case 'assign':
				return this.#processes?.assign(message);
			case 'heard':
				return this.#processes?.heard(message.workerId);
			case 'signal':
				return this.#processes?.signal(message.workerId, message.signal);
		}
	}

	/** Under a front until the tree has run here: what goes wrong is its to put right. */
	get #isOnTrial(): boolean {
		return this.#front !== null && !this.#hasTree;
	}

	get #isFront(): boolean {
		return this.#kernel.state('angel') === 'running.fronting' || this.#hasLetGo;
	}

	hearFront(message: ToSuccessor): void {
		switch (message.do) {
			case 'begin':
				return;
			case 'go':
				this.#estate = message.estate;
				return this.#takeLock();
			case 'exited':
				if (this.#hasHandedOver) this.#successor?.send(message);
				else if (this.#processes === null) this.#early.push(message);
				this.#processes?.exited(message.workerId, message.code, message.signal);
				return;
			case 'stop':
				return this.#isFront ? this.#successor?.send(message) : this.#send({ ...message, type: 'stop' });
			case 'signal':
				return this.#take(message.signal);
		}
	}

	/** It has left, as it may when nothing runs any more that it has started, or was killed. */
	loseFront(): void {
		if (this.#estate === null) process.exit(1);
		this.#front = null;
		this.#processes?.watch();
		this.#lookWhetherNeeded();
	}

	/** The front kills this process, and has all that it needs to go on. */
	#giveUp(): void {
		const { lines } = this.#kernel.context('angel') as AngelContext;
		this.#front?.link.send({ do: 'failed', lines });
	}

	async #inherit({ terms }: Front, { living, masterIncarnation, ...rest }: Estate): Promise<void> {
		const dir = this.#dir as string;
		this.#origin = 'upgraded';
		this.#masterIncarnation = masterIncarnation;
		writePidFile(dir, this.#identity as AngelPid);
		this.#sockets = new Sockets();
		this.#sockets.inherit(terms.sockets);
		this.#processes = this.#makeProcesses(living);
		this.#processes.inherit({ living, masterIncarnation, ...rest });
		for (const { workerId, code, signal } of this.#early) this.#processes.exited(workerId, code, signal);
		if (this.#front === null) this.#processes.watch();
		this.#control = inherited(CONTROL_FD, socketPath(dir, 'control.sock'));
		await this.#serve(socketPath(dir, 'angel.sock'));
	}

	/** Resolves with why it has failed; with nothing if it has not. Rejects if it cannot begin. */
	async #beginUpgrade(to: Installation): Promise<string[]> {
		const state = this.#kernel.state('angel') ?? 'dead';
		if (state !== 'running.watching')
			throw new Error(`the angel is ${state.replaceAll('.', ', ')}: it is upgraded while it watches its master`);
		if (this.#sockets?.isWaiting) throw new Error('sockets of an angel that was killed are not back yet: ask again in a few seconds');
		if (process.platform !== 'linux') throw new Error('an upgrade is for Linux only: elsewhere a lock cannot be handed over');
		this.#news('info', 'upgrade.asked', `upgrading to ${to.main}`, { ...to });
		return new Promise((resolve) => {
			this.#upgrade = { to, settle: [resolve] };
			this.#send({ type: 'upgrade' });
		});
	}

	#endUpgrade(lines: string[]): void {
		if (lines.length > 0) this.#news('error', 'upgrade.rolledBack', `upgrade rolled back: ${lines.join('; ')}`);
		else this.#news('info', 'upgrade.done', `the angel is pid ${this.#successor?.pid} now`, { pid: this.#successor?.pid });
		for (const settle of this.#upgrade?.settle ?? []) settle(lines);
		this.#upgrade = null;
	}

	async #launchSuccessor(): Promise<void> {
		const { to } = this.#upgrade as { to: Installation };
		const sockets = await (this.#sockets as Sockets).handed();
		if (this.#upgrade?.to !== to) return;
		const dir = this.#dir as string;
		const successor: Successor = new Successor({
			...to,
			spec: this.#options.spec,
			terms: { dir, tree: this.#treeId, bundle: this.#bundle, view: this.#view },
			controlFd: (this.#control as Handle).fd,
			lockFd: fdOf(this.#lock as net.Server),
			sockets,
			hear: (message) => this.#successor === successor && this.#hearSuccessor(message),
			exited: (exitCode, signal) => {
				if (this.#successor !== successor) return;
				if (this.#isFront && signal !== null)
					process.stderr.write(
						`the angel (pid ${successor.pid}) was ended by ${signal}: \`choir status ${this.#treeId}\` shows what still runs\n`,
					);
				this.#send({ type: 'successor.exited', exitCode });
			},
		});
		this.#successor = successor;
	}

	#hearSuccessor(message: ToFront): void {
		if (message.do === 'failed') this.#send({ type: 'successor.failed', lines: message.lines });
		else this.#send({ type: message.do === 'prepared' ? 'successor.prepared' : 'successor.running' });
	}

	#handOver(): void {
		const estate = (this.#processes as Processes).handOver();
		this.#hasHandedOver = true;
		this.#successor?.send({ do: 'go', estate: { ...estate, masterIncarnation: this.#masterIncarnation } });
	}

	#withdraw(): void {
		const successor = this.#successor;
		successor?.kill({ hasTree: this.#hasHandedOver });
		const look = async () => {
			if (successor?.isGone === false) return setTimeout(look, LOOK_MS);
			this.#successor = null;
			if (this.#hasHandedOver) {
				// Its master may have come into being just then.
				successor?.killMasters();
				this.#hasHandedOver = false;
				this.#origin = 'upgraded';
				this.#processes?.takeBack();
				writePidFile(this.#dir as string, this.#identity as AngelPid);
				this.#stopServing();
				await this.#serve(socketPath(this.#dir as string, 'angel.sock'));
			}
			this.#send({ type: 'successor.withdrawn' });
		};
		void look();
	}

	/** From here on it holds nothing of the tree but its children. */
	async #letGo(): Promise<void> {
		this.#hasLetGo = true;
		this.#stopServing();
		if (this.#control !== null) letGo(this.#control);
		await this.#sockets?.letGo();
		this.#lookWhetherNeeded();
	}

	/** In the background a front goes when nothing runs any more whose end only it can see. */
	#lookWhetherNeeded(): void {
		if (!this.#hasLetGo || this.#options.foreground || this.#front !== null) return;
		if (this.#processes?.children === 0) this.#send({ type: 'children.gone' });
	}

	async #leave(exitCode: number): Promise<void> {
		this.#processes?.close();
		this.#events?.close();
		await this.#endPrinter();
		this.#kernel.close();
		clearInterval(this.#alive);
		this.#resolve(exitCode);
	}

	#lookUntilGone(left: () => Identity[], fact: 'leftovers.gone' | 'tree.gone'): void {
		if (this.#looking !== null) clearTimeout(this.#looking);
		this.#looking = null;
		if (left().length === 0) return this.#send({ type: fact });
		this.#looking = setTimeout(() => this.#lookUntilGone(left, fact), LOOK_MS);
	}

	/** A process that prints what the files of the tree get: if it dies, or nobody reads it, the tree does not notice. */
	#startPrinter(dir: string): void {
		ensureDir(logsDir(dir));
		const main = fileURLToPath(new URL(`../cli/printer${path.extname(import.meta.url)}`, import.meta.url));
		const env = { ...process.env, CHOIR_PRINT_FROM: JSON.stringify(followedSizes(dir)) };
		this.#printer = spawn(process.execPath, [main, dir], { stdio: ['pipe', 'inherit', 'inherit'], env });
		this.#printer.on('error', () => {});
		this.#printer.stdin?.on('error', () => {});
	}

	async #endPrinter(): Promise<void> {
		const printer = this.#printer;
		if (printer === null || printer.exitCode !== null || printer.signalCode !== null) return;
		await new Promise<void>((resolve) => {
			const late = setTimeout(() => printer.kill('SIGKILL'), PRINTER_MS);
			printer.once('exit', () => {
				clearTimeout(late);
				resolve();
			});
			printer.stdin?.end();
		});
	}

	#news(level: EventRecord['level'], event: string, message: string, detail: Record<string, unknown> = {}): void {
		this.#events?.write({ role: 'angel', level, event, message, ...detail });
	}

	#report(line: object): void {
		if (this.#options.reportFd === null || this.#reported) return;
		this.#reported = true;
		try {
			fs.writeSync(this.#options.reportFd, JSON.stringify(line) + '\n');
			fs.closeSync(this.#options.reportFd);
		} catch {
			// Nobody waits any more.
		}
	}

	async #end(exitCode: number, lines: string[]): Promise<void> {
		if (this.#isFront) return this.#leave(exitCode);
		if (this.#isOnTrial) return this.#giveUp();
		this.#trial.abort();
		await this.#tried;
		if (this.#looking !== null) clearTimeout(this.#looking);
		this.#news(exitCode === 0 ? 'info' : 'error', 'tree.ended', exitCode === 0 ? `${this.#treeId} has stopped` : lines.join('; '), {
			exitCode,
		});
		this.#master?.link.close();
		for (const unbind of this.#unbind) unbind();
		this.#control?.close();
		await this.#sockets?.close();
		this.#processes?.close();
		this.#events?.flush();
		await this.#endPrinter();
		this.#report(exitCode === 0 ? { ok: true, tree: this.#treeId, pid: null } : { ok: false, exitCode, lines });
		this.#events?.close();
		if (this.#identity !== null && this.#dir !== null) removePidFile(this.#dir, this.#identity);
		for (const line of lines) process.stderr.write(`${visibleLines(line)}\n`);
		this.#lock?.close();
		this.#kernel.close();
		clearInterval(this.#alive);
		this.#resolve(exitCode);
	}
}

/** For V8. What follows a death runs too seldom to be compiled in time: so everything is, simply, at its first run. */
const masterFlags = ['--always-sparkplug'];
/** A master keeps little that is young: a small nursery costs it nothing and saves megabytes. */
const smallNursery = '--max-semi-space-size=1';

/** Whether code of the user runs in the master: what that needs is not known here. */
function holdsActors(spec: ChildSpec): boolean {
	if (spec.kind === 'supervisor') return spec.children.some(holdsActors);
	const { kind } = spec.kind === 'dynamic' ? spec.template : spec;
	return kind === 'actor' || kind === 'thread';
}

/** What a worker says of a socket that it passes. */
function parsed(line: string): { worker?: unknown; token?: unknown; index?: unknown } {
	try {
		return Object(JSON.parse(line));
	} catch {
		return {};
	}
}

const isMode = (mode: unknown): mode is StopMode => mode === 'drain' || mode === 'fast' || mode === 'kill';

/** The limits of the angel's machine. */
function limitsOf({ stopTimeoutMs, master, outline }: Extract<InspectResult, { ok: true }>) {
	return { stopTimeoutMs, upgradeTimeoutMs: outline.upgradeTimeoutMs, master };
}

if (process.argv[1] !== undefined && fs.realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
	const [, , spec, reportFd] = process.argv;
	const options = { spec: spec as string, foreground: false };
	const exitCode =
		reportFd === HEIR ? await succeed(options) : await runAngel({ ...options, reportFd: reportFd === undefined ? null : Number(reportFd) });
	process.exit(exitCode);
}
