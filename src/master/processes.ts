/** How OS children come to life and go: what the worker machines ask for, as orders to the angel and words to the workers. */
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { mayHoldUpMs, mayLingerMs, noCrash } from '../../machines/advance.ts';
import type { ListenSpec, LiveSpec, NodeSpec, ProcessSpec } from '../../machines/spec.ts';
import type { Identity } from '../angel/inventory.ts';
import type { Link, SpawnOrder, ToAngel, ToMaster } from '../angel/link.ts';
import { logFile, socketPath } from '../home.ts';
import { childEnvironment } from '../hosts/environment.ts';
import { sample } from '../hosts/proc.ts';
import { Follower } from '../logs/follow.ts';
import { statOf } from '../logs/open.ts';
import { firstLook, LOOK_MS, type Look, Upkeep } from '../logs/upkeep.ts';
import { bundle, needsBundle } from '../spec/bundle.ts';
import type { Spare } from '../worker/cover.ts';
import type { Host, Leftover, Offer, Run, Tell } from './host.ts';
import { type Handed, Slots } from './slots.ts';
import { Turns } from './turns.ts';
import { keepProbing, patternOf, pause, type Surroundings, untilPassed } from './watches.ts';
import type { Readiness, Workers } from './workers.ts';

export interface ProcessHostOptions {
	/** The state folder of the tree. */
	dir: string;
	/** The folder of the spec: what is relative is relative to it. */
	base: string;
	/** Where its orders go. */
	link: Pick<Link<ToAngel, ToMaster>, 'send' | 'flush'>;
	workers: Workers;
	/** How many sockets there are at an address. */
	slotsAt: (address: ListenSpec) => number;
	tell: Tell;
	/** null: nothing is ordered in advance. */
	offer: Offer | null;
	now: () => number;
	newToken: () => string;
	/** The bundle that a generation runs of a module, if its files may not be run as they are now. */
	moduleOf?: (generation: number, module: string) => Promise<string | null>;
	/** Said once per file: its output can only be rotated when its child starts again. */
	unrotated: (path: string, why: string) => void;
}

/** The first descriptor that is handed down, as systemd has it. */
const FIRST_SOCKET = 3;
/** Between two looks at memory peaks. */
const PEAK_MS = 30_000;
/** Between two looks at a child's output for the line that says ready. */
const OUTPUT_MS = 25;

interface Held {
	run: Run;
	/** `gone`: stopped before the angel was asked. */
	phase: 'preparing' | 'ordered' | 'gone';
	/** What ends its watches; null while nobody watches. */
	over: AbortController | null;
	around: Surroundings;
	logFrom: number;
	look: Look;
	pid: number | null;
	startTicks: number;
	peakRssBytes: number | null;
}

interface Dismissed {
	path: string;
	gone: Promise<void>;
	kill(): void;
	end(): void;
}

/** As it is built, a CommonJS file; in the sources it is imported. */
const preload = import.meta.url.endsWith('.ts')
	? ['--import', new URL('../worker/preload.ts', import.meta.url).href]
	: ['--require', fileURLToPath(new URL('../worker/preload.cjs', import.meta.url))];

export class ProcessHost implements Host {
	readonly #options: ProcessHostOptions;
	readonly #held = new Map<string, Held>();
	/** What is ordered in advance, by the worker id of the one that it follows. */
	readonly #nexts = new Map<string, Run>();
	/** What began in advance, was not wanted and has not ended yet. */
	readonly #dismissed = new Map<string, Dismissed>();
	readonly #upkeep: Upkeep;
	readonly #slots: Slots;
	readonly #turns: Turns;
	readonly #intervals: NodeJS.Timeout[];
	/** A copy: each look at the real one is a call into the operating system's. */
	readonly #environment = { ...process.env };

	constructor(options: ProcessHostOptions) {
		this.#options = options;
		this.#slots = new Slots(options.slotsAt, (workerId, slots) => options.workers.cover(workerId, slots));
		this.#turns = new Turns((workerId, has) => options.workers.token(workerId, has));
		options.workers.taken = (workerId) => this.#turns.taken(workerId);
		this.#upkeep = new Upkeep(options.dir, (childPath, why) => {
			// Its next start has a file to see to first.
			for (const { run } of this.#held.values()) if (run.path === childPath) this.orderNext(run, null);
			options.unrotated(childPath, why);
		});
		this.#intervals = [setInterval(() => this.#samplePeaks(), PEAK_MS), setInterval(() => this.#lookAround(), LOOK_MS)];
		for (const interval of this.#intervals) interval.unref();
	}

	close(): void {
		for (const interval of this.#intervals) clearInterval(interval);
		for (const { over } of this.#held.values()) over?.abort();
		this.#turns.close();
	}

	/** All that the angel was asked for and has not said to be over, by worker id; null: not even that it began. */
	get processes(): Map<string, Identity | null> {
		const ordered = [...this.#held].filter(([, { phase }]) => phase === 'ordered');
		return new Map(ordered.map(([workerId, { pid, startTicks }]) => [workerId, pid === null ? null : { pid, startTicks }]));
	}

	/** What the angel says. */
	hear(message: ToMaster): void {
		if (message.do === 'spawned') {
			const held = this.#held.get(message.workerId);
			if (held !== undefined) Object.assign(held, { pid: message.pid, startTicks: message.startTicks });
			this.#options.tell(message.workerId, { type: 'process.spawned', pid: message.pid, startTicks: message.startTicks });
		} else if (message.do === 'failed') {
			this.#failed(message.workerId, message.message);
		} else if (message.do === 'exited') {
			const held = this.#held.get(message.workerId);
			const peaks = [held?.peakRssBytes ?? null, this.#options.workers.maxRssBytes(message.workerId)].filter((peak) => peak !== null);
			const maxRssBytes = peaks.length > 0 ? Math.max(...peaks) : null;
			const { workerId, code, signal, next } = message;
			const { tell, offer, now, link } = this.#options;
			this.#nexts.delete(workerId);
			this.#dismissed.get(workerId)?.end();
			const told = () => tell(workerId, { type: 'process.exited', code, signal, maxRssBytes, at: now() });
			if (next === undefined || offer === null) told();
			else offer(next, told);
			// After what follows from it: the angel would read this first, and start the next one later.
			setImmediate(() => link.send({ do: 'heard', workerId }));
		}
	}

	launch(run: Run): void {
		const spec = run.spec as ProcessSpec;
		const held = this.#newHeld(run, spec);
		this.#held.set(run.workerId, held);
		const token = this.#options.newToken();
		this.#orderAlone(held, spec, token).then(
			(order) => {
				if (held.phase === 'gone') return this.#failed(run.workerId, 'stopped before it was started');
				held.phase = 'ordered';
				this.#options.workers.expect(run.workerId, token, readinessOf(run));
				this.#options.link.send({ do: 'spawn', order });
			},
			(error: Error) => this.#failed(run.workerId, error.message),
		);
	}

	/** There is one of a child at a time; and what is not wanted is dismissed after what is has been launched, in the same turn. */
	async #orderAlone(held: Held, spec: ProcessSpec, token: string): Promise<SpawnOrder> {
		await Promise.resolve();
		for (const { path: childPath, gone, kill } of this.#dismissed.values()) {
			if (childPath !== held.run.path) continue;
			const limit = setTimeout(kill, mayHoldUpMs(spec.ready)).unref();
			await gone;
			clearTimeout(limit);
		}
		return this.#order(held, spec, token);
	}

	#newHeld(run: Run, spec: ProcessSpec): Held {
		const around = { env: {}, cwd: this.#folderOf(spec) };
		return { run, phase: 'preparing', over: null, around, logFrom: 0, look: firstLook(), pid: null, startTicks: 0, peakRssBytes: null };
	}

	orderNext(run: Run, next: Run | null): void {
		const { link, offer } = this.#options;
		if (next === null) {
			if (this.#nexts.delete(run.workerId)) link.send({ do: 'next', after: run.workerId, order: null, except: [] });
			return;
		}
		if (offer === null) return;
		this.#nexts.set(run.workerId, next);
		this.#orderInAdvance(next).then(
			(order) => {
				if (order === null || this.#nexts.get(run.workerId) !== next) return;
				link.send({ do: 'next', after: run.workerId, order, except: noCrash((next.spec as NodeSpec).restart) });
			},
			// It is told when it is ordered in earnest.
			() => {},
		);
	}

	/** If this master had been paused, it may have been at work for long: so it may end in order. Until it has, no other of its path is started. */
	dismiss({ workerId, path: childPath, stop, ended }: Leftover): void {
		const { link } = this.#options;
		if (ended !== null) return link.send({ do: 'heard', workerId });
		link.send({ do: 'signal', workerId, signal: 'SIGTERM' });
		const kill = () => link.send({ do: 'signal', workerId, signal: 'SIGKILL' });
		const limit = setTimeout(kill, mayLingerMs(stop)).unref();
		let end = () => {};
		const gone = new Promise<void>((resolve) => {
			end = resolve;
		});
		this.#dismissed.set(workerId, { path: childPath, gone, kill, end });
		void gone.then(() => {
			clearTimeout(limit);
			this.#dismissed.delete(workerId);
		});
	}

	/** null: its start has something to do first, and that may be another thing by then. */
	async #orderInAdvance(next: Run): Promise<SpawnOrder | null> {
		const spec = next.spec as NodeSpec;
		if (this.#upkeep.waitsForStart(next.path)) return null;
		const kept = (await this.#options.moduleOf?.(next.generation, spec.module)) ?? null;
		if (kept === null && needsBundle(path.resolve(this.#options.base, spec.module))) return null;
		return this.#order(this.#newHeld(next, spec), spec, this.#options.newToken());
	}

	/** It was started by an earlier master, or ordered in advance, and goes on. */
	adopt(run: Run, { pid, startTicks, token, logFrom, ended }: Leftover): void {
		const spec = run.spec as ProcessSpec | null;
		const held: Held = {
			run,
			phase: 'ordered',
			over: null,
			around: { env: {}, cwd: spec === null ? this.#options.base : this.#folderOf(spec) },
			logFrom,
			look: firstLook(),
			pid: ended === null ? pid : null,
			startTicks,
			peakRssBytes: null,
		};
		this.#held.set(run.workerId, held);
		if (token !== null) {
			this.#options.workers.expect(run.workerId, token, readinessOf(run));
			// It may have waited for the word that its master died over.
			this.#options.workers.accept(run.workerId);
		}
		// So may a spare; what is none any more does not care.
		if (spec?.kind === 'node' && spec.standby > 0 && run.standby === undefined) this.#assign(run, spec);
		// This master has taken note of it now.
		if (ended !== null) return this.#options.link.send({ do: 'heard', workerId: run.workerId });
		if (spec !== null) this.#learnSurroundings(held, spec);
	}

	/** First the angel knows whose place it takes: a next master finds it there, and says again what it is to do. */
	activate(run: Run): void {
		const { workerId, path: childPath, incarnation, generation, stop } = run;
		const spec = run.spec as NodeSpec;
		const held = this.#held.get(workerId);
		if (held === undefined || held.pid === null) return this.#failed(workerId, 'its standby is gone');
		held.over?.abort();
		const logFrom = statOf(logFile(this.#options.dir, childPath))?.size ?? 0;
		Object.assign(held, { run, over: null, logFrom, look: firstLook() });
		const { link, tell } = this.#options;
		link.send({ do: 'assign', workerId, path: childPath, incarnation, generation, stop, logFrom });
		link.flush();
		this.#assign(run, spec);
		tell(workerId, { type: 'process.spawned', pid: held.pid, startTicks: held.startTicks });
		this.#learnSurroundings(held, spec);
	}

	#assign(run: Run, spec: NodeSpec): void {
		const slots = Object.fromEntries(this.#slots.ownOf(spec).map(({ address, slot }) => [address.name, slot]));
		const output = logFile(this.#options.dir, run.path);
		this.#options.workers.assign(run.workerId, { path: run.path, output, slots }, readinessOf(run));
	}

	/** What its probes run in, if it has any. */
	#learnSurroundings({ run, around }: Held, spec: ProcessSpec): void {
		if (spec.ready.kind !== 'probe' && spec.live === null) return;
		childEnvironment(spec, this.#options.base, this.#environment, this.#namesOf(run)).then(
			(env) => Object.assign(around.env, env),
			// Its probes go without what is declared.
			() => {},
		);
	}

	watchReadiness(run: Run): void {
		const held = this.#held.get(run.workerId);
		if (held === undefined || run.spec === null) return;
		const { ready } = run.spec;
		const say = () => this.#options.tell(run.workerId, { type: 'process.ready' });
		switch (ready.kind) {
			case 'spawned':
				return say();
			case 'signal':
				return;
			case 'after': {
				const signal = this.#overOf(held);
				return void pause(ready.afterMs, signal).then(() => signal.aborted || say());
			}
			case 'probe':
				return void untilPassed(ready.probe, ready.everyMs, held.around, this.#overOf(held)).then((passed) => passed && say());
			case 'output':
				return void this.#untilPrinted(held, patternOf(ready) as RegExp).then((printed) => printed && say());
		}
	}

	watchLiveness(run: Run): void {
		const held = this.#held.get(run.workerId);
		const live: LiveSpec | null = run.spec?.live ?? null;
		if (held === undefined || live === null) return;
		const { tell } = this.#options;
		void keepProbing(live, held.around, this.#overOf(held), (result) =>
			tell(run.workerId, result.ok ? { type: 'probe.passed' } : { type: 'probe.failed', why: result.why }),
		);
	}

	askToDrain(run: Run): void {
		this.#samplePeakOf(run);
		if (!this.#options.workers.askToDrain(run.workerId)) this.#options.tell(run.workerId, { type: 'drain.undeliverable' });
	}

	terminate(run: Run): void {
		this.#signal(run, 'SIGTERM');
	}

	kill(run: Run): void {
		this.#samplePeakOf(run);
		this.#signal(run, 'SIGKILL');
	}

	admit(run: Run): void {
		run.waits = false;
		this.#options.workers.accept(run.workerId);
		this.changed(run, 'running.healthy');
	}

	/** What rotation has dropped of the output of a child. */
	droppedBytes(childPath: string): number {
		return this.#upkeep.dropped(childPath);
	}

	changed(run: Run, state: string): void {
		if (run.waits === true) return;
		this.#slots.changed(run, state);
		this.#turns.changed(run, state);
	}

	forget(run: Run): void {
		this.#held.get(run.workerId)?.over?.abort();
		this.#held.delete(run.workerId);
		this.#nexts.delete(run.workerId);
		this.#options.workers.forget(run.workerId);
	}

	#overOf(held: Held): AbortSignal {
		held.over ??= new AbortController();
		return held.over.signal;
	}

	#signal(run: Run, signal: 'SIGTERM' | 'SIGKILL'): void {
		const held = this.#held.get(run.workerId);
		if (held?.phase === 'preparing') held.phase = 'gone';
		else this.#options.link.send({ do: 'signal', workerId: run.workerId, signal });
	}

	#failed(workerId: string, message: string): void {
		this.#options.tell(workerId, { type: 'process.failed', message, at: this.#options.now() });
	}

	#folderOf({ cwd }: ProcessSpec): string {
		return cwd === null ? this.#options.base : path.resolve(this.#options.base, cwd);
	}

	#namesOf({ workerId, path: childPath }: Run): Record<string, string> {
		return { CHOIR_WORKER: workerId, CHOIR_TREE: this.#options.dir, CHOIR_PATH: childPath };
	}

	async #order(held: Held, spec: ProcessSpec, token: string): Promise<SpawnOrder> {
		const { run, around } = held;
		const { dir, base } = this.#options;
		const listen = spec.listen.map((entry, index) => ({ ...entry, fd: FIRST_SOCKET + index }));
		const isSpare = run.standby === 'spare';
		const { own: sockets, spares } = isSpare
			? this.#slots.everyOf(spec)
			: { own: this.#slots.ownOf(spec), spares: this.#slots.sparesOf(spec) };
		const own = this.#namesOf(run);
		if (spec.kind === 'node') {
			own.CHOIR_CONTROL = socketPath(dir, 'control.sock');
			own.CHOIR_TOKEN = token;
			own.CHOIR_HEARTBEAT_MS = String(spec.heartbeat?.everyMs ?? 0);
			own.CHOIR_READY = spec.ready.kind === 'signal' ? 'signal' : '';
			own.CHOIR_DRAIN_MS = String(spec.stop.drainMs);
			own.CHOIR_LISTEN = JSON.stringify(listen);
			if (spec.quantumMs !== null) own.CHOIR_TURNS = '1';
			if (run.waits === true) own.CHOIR_ACCEPT = 'later';
			if (isSpare) own.CHOIR_STANDBY = '1';
			own.CHOIR_SPARES = JSON.stringify(sparesIn(spares, FIRST_SOCKET + listen.length));
		}
		if (listen.length > 0) {
			own.LISTEN_FDS = String(listen.length);
			own.LISTEN_FDNAMES = listen.map(({ name }) => name).join(':');
		}
		const env = await childEnvironment(spec, base, this.#environment, own);
		if (spec.ready.kind === 'probe' || spec.live !== null) {
			// A probe is not the worker: it may neither speak in its name nor take its sockets for its own.
			const { CHOIR_TOKEN: _token, LISTEN_FDS: _sockets, LISTEN_FDNAMES: _names, ...lookers } = env;
			around.env = lookers;
		}
		const { file, args } = spec.kind === 'node' ? await this.#nodeCommand(spec, run.generation) : commandOf(spec.run, listen.length > 0);
		// Another one of this path may be writing: a reload starts the new beside the old.
		const isAlone = [...this.#held.values()].every((other) => other === held || other.run.path !== run.path);
		if (isAlone) await this.#upkeep.beforeStart(run.path, spec.logs);
		if (spec.ready.kind === 'output') held.logFrom = statOf(logFile(dir, run.path))?.size ?? 0;
		const { workerId, path: childPath, incarnation, generation, stop } = run;
		return {
			workerId,
			path: childPath,
			incarnation,
			generation,
			file,
			args,
			cwd: around.cwd,
			env,
			sockets: [...sockets, ...spares],
			stop,
			logFrom: held.logFrom,
		};
	}

	async #nodeCommand({ module, args, execArgv }: NodeSpec, generation: number): Promise<{ file: string; args: string[] }> {
		const source = path.resolve(this.#options.base, module);
		const options = [...execArgv, ...preload];
		const kept = (await this.#options.moduleOf?.(generation, module)) ?? null;
		if (kept === null && !needsBundle(source)) return { file: process.execPath, args: [...options, source, ...args] };
		const file = kept ?? (await bundle(source, { cacheDir: path.join(path.dirname(this.#options.dir), '.cache') })).file;
		return { file: process.execPath, args: [...options, '--enable-source-maps', file, ...args] };
	}

	async #untilPrinted(held: Held, pattern: RegExp): Promise<boolean> {
		const signal = this.#overOf(held);
		const follower = new Follower(logFile(this.#options.dir, held.run.path), { from: held.logFrom });
		try {
			while (!signal.aborted) {
				const { lines, more } = await follower.next();
				if (lines.some((line) => pattern.test(line))) return true;
				if (!more) await pause(OUTPUT_MS, signal);
			}
			return false;
		} finally {
			await follower.close();
		}
	}

	#samplePeakOf(run: Run): void {
		const held = this.#held.get(run.workerId);
		if (held !== undefined) this.#samplePeak(held);
	}

	#samplePeak(held: Held): void {
		const peak = held.pid === null ? null : (sample(held.pid)?.peakRssBytes ?? null);
		if (peak !== null) held.peakRssBytes = Math.max(peak, held.peakRssBytes ?? 0);
	}

	#samplePeaks(): void {
		for (const held of this.#held.values()) this.#samplePeak(held);
	}

	#lookAround(): void {
		for (const held of this.#held.values()) {
			// The first look at its memory comes here, not while everybody starts.
			if (held.peakRssBytes === null) this.#samplePeak(held);
			const { path: childPath, spec } = held.run;
			if (spec !== null) this.#upkeep.look(childPath, (spec as ProcessSpec).logs, held.look);
		}
	}
}

/** Which word of a worker says that it is ready. */
function readinessOf({ spec, standby }: Run): Readiness {
	if (standby === 'spare') return 'loaded';
	return spec?.ready.kind === 'signal' ? 'ready' : null;
}

/** The descriptors of spare sockets, which begin with `from`. */
function sparesIn(sockets: readonly Handed[], from: number): Spare[] {
	const spares = new Map<string, Spare>();
	for (const [index, { address, slot }] of sockets.entries()) {
		const key = `${address.name}#${slot}`;
		const spare = spares.get(key) ?? { name: address.name, slot, fds: [] };
		spare.fds.push(from + index);
		spares.set(key, spare);
	}
	return [...spares.values()];
}

/** A program that takes sockets wants to know that they are meant for it: its pid, which only it can know. */
function commandOf(run: readonly string[], hasSockets: boolean): { file: string; args: string[] } {
	const [file, ...args] = run as [string, ...string[]];
	if (!hasSockets) return { file, args };
	return { file: '/bin/sh', args: ['-c', 'LISTEN_PID=$$; export LISTEN_PID; exec "$@"', 'sh', file, ...args] };
}
