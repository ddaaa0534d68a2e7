/**
 * The angel's process: which effect of its machine does what. It loads no code of users. It is small, because its memory
 * is what `fork` has to copy for each child, and because it must be the last to fail.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { type AngelEffects, angelMachine } from '../../machines/angel.ts';
import { requestOf, type Signal } from '../../machines/signals.ts';
import { type ChildSpec, type ListenSpec, listenersOf, type StopMode } from '../../machines/spec.ts';
import { serveControl } from '../control/server.ts';
import { type AngelPid, choirHome, ensureDir, logFile, logsDir, readAngelPid, socketPath, treeDir } from '../home.ts';
import { bootId, killGroup, killOne, startTicks } from '../hosts/proc.ts';
import { RealClock } from '../kernel/clock.ts';
import { type Effects, Kernel } from '../kernel/kernel.ts';
import { EventLog, type EventRecord } from '../logs/events.ts';
import { followedSizes } from '../logs/sizes.ts';
import { visibleLines } from '../logs/visible.ts';
import { inspectSpec } from '../spec/inspection.ts';
import { onSignal } from './arm.ts';
import { Link, type ToAngel, type ToMaster } from './link.ts';
import { removePidFile, takeLock, writePidFile } from './lock.ts';
import { type Identity, leftBehind, Processes } from './processes.ts';
import { bindPath, Sockets } from './sockets.ts';

export interface AngelOptions {
	/** Absolute path. */
	spec: string;
	/** Prints what the tree does on this process's standard output. */
	foreground: boolean;
	/** A descriptor for one JSON line: that the tree runs, or why not. */
	reportFd: number | null;
	/** Whether there is a live page. Default: as the spec says, else in the foreground. */
	view?: 'never';
}

/** Between two looks whether what was signalled is gone. */
const LOOK_MS = 10;
/** How long a printer may take to print what is left. */
const PRINTER_MS = 6_000;

/** Runs a tree until it has ended, and answers with the exit code. Errors go to standard error, a sentence a line. */
export function runAngel(options: AngelOptions): Promise<number> {
	return new Promise((resolve) => new Angel(options, resolve).run());
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
	#controlFd: number | null = null;
	#unbind: Array<() => void> = [];
	#master: { child: ChildProcess; identity: Identity; link: Link<ToMaster, ToAngel> } | null = null;
	#masterIncarnation = 0;
	#printer: ChildProcess | null = null;
	#looking: NodeJS.Timeout | null = null;
	#since = new Date().toISOString();
	#reported = false;
	/** Keeps the loop alive: the kernel's alarm may be all there is. */
	readonly #alive = setInterval(() => {}, 2 ** 30);

	constructor(options: AngelOptions, resolve: (exitCode: number) => void) {
		this.#options = options;
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
				const dir = this.#dir as string;
				const left = leftBehind(dir);
				if (left.length > 0)
					this.#news(
						'warn',
						'leftovers.found',
						`${left.length} processes of an earlier run are left: ${how === 'kill' ? 'killing' : 'stopping'} them first`,
						{
							pids: left.map(({ pid }) => pid),
						},
					);
				for (const { pid } of left) {
					if (how === 'kill') killGroup(pid, 'SIGKILL');
					killOne(pid, how === 'kill' ? 'SIGKILL' : 'SIGTERM');
				}
				this.#lookUntilGone(() => leftBehind(dir), 'leftovers.gone');
			},
			bindSockets: () => this.#bindSockets(),
			launchMaster: () => this.#launchMaster(),
			killMaster: () => {
				if (this.#master !== null) killGroup(this.#master.identity.pid, 'SIGKILL');
			},
			forwardStop: ({ mode }) => this.#master?.link.send({ do: 'stop', mode }),
			forwardReload: () => this.#master?.link.send({ do: 'operate', what: 'reload', signal: 'SIGHUP' }),
			sweep: ({ how }) => {
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
			},
			reportHung: ({ timeoutMs }) => this.#news('error', 'master.hung', `the master did not beat for ${timeoutMs} ms and is killed`),
			reportBackoff: ({ delayMs, how }) =>
				this.#news('error', 'master.died', `the master ended ${how}; a new one starts in ${delayMs} ms`, { delayMs }),
			reportDeath: ({ exitCode, lines }) => void this.#end(exitCode, lines),
		};
	}

	#checkSpec(): void {
		const cacheDir = path.join(choirHome(), '.cache');
		this.#tried = inspectSpec(this.#options.spec, { cacheDir, signal: this.#trial.signal }).then(
			(result) => {
				if (!result.ok) return this.#send({ type: 'spec.refused', exitCode: result.exitCode, lines: result.lines });
				this.#treeId = result.tree;
				this.#bundle = result.bundle;
				for (const line of result.warnings) process.stderr.write(`warning: ${visibleLines(line)}\n`);
				this.#holdsActors = holdsActors(result.outline.root);
				this.#listen = listenersOf(result.outline.root);
				this.#send({ type: 'spec.checked', stopTimeoutMs: result.stopTimeoutMs, master: result.master });
			},
			(error: Error) => this.#send({ type: 'spec.refused', exitCode: 1, lines: [error.message] }),
		);
	}

	#takeLock(): void {
		const dir = ensureDir(treeDir(choirHome(), this.#treeId));
		takeLock(dir).then(
			(lock) => {
				if (lock === null) return this.#send({ type: 'lock.refused', line: this.#nameHolder(dir) });
				this.#lock = lock;
				this.#dir = dir;
				// A copy of its own: the cache may be cleared while the tree runs, and a next master needs this very version.
				const accepted = path.join(dir, 'spec.mjs');
				fs.copyFileSync(this.#bundle, accepted);
				this.#bundle = accepted;
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
			writePidFile(dir, this.#identity as AngelPid);
			this.#sockets = new Sockets();
			this.#processes = new Processes(
				dir,
				this.#sockets,
				() => this.#kernel.clock.now(),
				(fact) => {
					const { workerId, what, ...rest } = fact;
					this.#master?.link.send({ do: what, workerId, ...rest } as ToMaster);
				},
			);
			await this.#sockets.bind(this.#listen);
			const control = await bindPath(socketPath(dir, 'control.sock'));
			fs.chmodSync(socketPath(dir, 'control.sock'), 0o600);
			this.#controlFd = control.fd;
			this.#unbind.push(() => control.close());
			await this.#serve(socketPath(dir, 'angel.sock'));
		};
		bind().then(
			() => this.#send({ type: 'sockets.bound' }),
			(error: Error) => this.#send({ type: 'sockets.failed', line: error.message }),
		);
	}

	/** What can be asked of the angel itself: it answers also while there is no master. */
	async #serve(at: string): Promise<void> {
		const control = serveControl({
			maxConnections: 64,
			answer: ({ do: what, mode }) => {
				switch (what) {
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
		fs.rmSync(at, { force: true });
		const server = net.createServer({ allowHalfOpen: true }, (socket) => control.handle(socket));
		await new Promise<void>((resolve, reject) => server.once('error', reject).listen(at, resolve));
		fs.chmodSync(at, 0o600);
		this.#unbind.push(() => {
			control.close();
			server.close();
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
		const output = fs.openSync(logFile(dir, 'master'), 'a', 0o600);
		this.#masterIncarnation += 1;
		const incarnation = this.#masterIncarnation;
		const child = spawn(
			process.execPath,
			[...masterFlags, ...(this.#holdsActors ? [] : [smallNursery]), main, dir, this.#bundle, this.#options.spec],
			{
				cwd: path.dirname(this.#options.spec),
				env: { ...process.env, CHOIR_TREE: dir, CHOIR_INCARNATION: String(incarnation) },
				detached: true,
				stdio: ['ignore', output, output, 'pipe', this.#controlFd as number],
			},
		);
		fs.closeSync(output);
		const gone = (code: number | null, signal: string | null) => {
			if (this.#master?.child !== child) return;
			// What it said last is still in the link: it must be heard before its end.
			setImmediate(() => {
				this.#master = null;
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

	/** Asked for by the first word of a master: what its predecessor had asked for last has been done by then. */
	#sayInventory(): void {
		const processes = this.#processes as Processes;
		this.#master?.link.send({
			do: 'inventory',
			leftovers: processes.leftovers,
			incarnations: processes.incarnations,
			masterIncarnation: this.#masterIncarnation,
			slots: (this.#sockets as Sockets).slots,
			view: this.#options.view ?? (this.#options.foreground ? 'on' : 'off'),
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
			case 'heard':
				return this.#processes?.heard(message.workerId);
			case 'signal':
				return this.#processes?.signal(message.workerId, message.signal);
		}
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
		this.#trial.abort();
		await this.#tried;
		if (this.#looking !== null) clearTimeout(this.#looking);
		this.#news(exitCode === 0 ? 'info' : 'error', 'tree.ended', exitCode === 0 ? `${this.#treeId} has stopped` : lines.join('; '), {
			exitCode,
		});
		this.#master?.link.close();
		for (const unbind of this.#unbind) unbind();
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

const isMode = (mode: unknown): mode is StopMode => mode === 'drain' || mode === 'fast' || mode === 'kill';

if (process.argv[1] !== undefined && fs.realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
	const [, , spec, reportFd] = process.argv;
	const exitCode = await runAngel({ spec: spec as string, foreground: false, reportFd: reportFd === undefined ? null : Number(reportFd) });
	process.exit(exitCode);
}
