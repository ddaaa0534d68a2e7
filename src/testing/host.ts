/** A simulated place for children to live in: what a process does, as acts on the simulated clock. */
import type { WorkSpec } from '../../machines/spec.ts';
import type { WorkerEvent } from '../../machines/worker.ts';
import type { SimulatedClock } from '../kernel/clock.ts';
import { type Timer, Timers } from '../kernel/timers.ts';
import type { Host, Run } from '../master/host.ts';
import { type Conduct, usual } from './behaviour.ts';

/** What a process can be asked. */
export type Request = 'launch' | 'activate' | 'drain' | 'terminate' | 'kill';

export interface SimulatedProcess {
	/** Another one when it was a spare. */
	run: Run;
	readonly kind: WorkSpec['kind'];
	readonly pid: number;
	/** `spawning`: launched, and there is no process yet. */
	phase: 'spawning' | 'alive' | 'dead';
	hung: boolean;
	/** Has said that it is ready, or its probe has. */
	ready: boolean;
	/** Stopped before there was a process. */
	cancelled: boolean;
	/** What it is about to do. */
	readonly pending: Timer[];
}

/** Something that will happen. One that is `idle` is no news to wait for: a heartbeat, a probe, an end that a behaviour has in store. */
interface Act {
	type: 'call' | 'spawn' | 'acknowledge' | 'ready' | 'beat' | 'probe' | 'end';
	idle: boolean;
	process: SimulatedProcess | null;
	code: number | null;
	signal: string | null;
	call: (() => void) | null;
}

export interface SimulatedHostOptions {
	clock: SimulatedClock;
	tell: (workerId: string, fact: WorkerEvent) => void;
	/** Told of each request, before it is carried out. */
	asked: (run: Run, what: Request) => void;
}

/** From the word to a spare until it is ready as a child. */
const ACTIVATE_MS = 1;

export class SimulatedHost implements Host {
	readonly conducts = new Map<string, Conduct>();
	/** Acts that are worth waiting for. */
	underWay = 0;
	readonly #options: SimulatedHostOptions;
	/** By worker id, in order of launch; only what is not dead. */
	readonly #processes = new Map<string, SimulatedProcess>();
	readonly #acts = new Timers();
	#nextPid = 100;
	/** The time of the processes while their supervisor is paused; null: the clock's. */
	#outside: number | null = null;
	/** What the supervisor will hear when it goes on; null: it hears at once. */
	#unheard: Array<() => void> | null = null;

	constructor(options: SimulatedHostOptions) {
		this.#options = options;
	}

	get now(): number {
		return this.#outside ?? this.#options.clock.now();
	}

	/** When the next act is due, or null. */
	get due(): number | null {
		return this.#acts.peek()?.at ?? null;
	}

	get processes(): IterableIterator<SimulatedProcess> {
		return this.#processes.values();
	}

	/** The latest that is not dead at a path. */
	at(path: string): SimulatedProcess | undefined {
		let found: SimulatedProcess | undefined;
		for (const process of this.#processes.values()) if (process.run.path === path) found = process;
		return found;
	}

	conductOf(path: string): Conduct {
		return this.conducts.get(path) ?? usual;
	}

	/** Does what is due next. */
	act(): void {
		const timer = this.#acts.take(Number.POSITIVE_INFINITY);
		if (timer === null) return;
		const act = timer.event as Act;
		const { process } = act;
		if (!act.idle) this.underWay -= 1;
		if (process === null) return act.call?.();
		process.pending.splice(process.pending.indexOf(timer), 1);
		switch (act.type) {
			case 'spawn':
				return this.#spawn(process);
			case 'acknowledge':
				return this.#tell(process, { type: 'drain.acknowledged' });
			case 'ready':
				if (this.conductOf(process.run.path).readyMs === 'never' || process.hung) return;
				return this.#sayReady(process);
			case 'beat':
				return this.#beat(process, act);
			case 'probe':
				return this.#probe(process, act);
			case 'end':
				// What hangs does not even finish what it had begun.
				if (process.hung && act.signal !== 'SIGKILL' && !act.idle) return;
				return this.end(process, act.code, act.signal);
		}
	}

	/** Calls back after `ms`. Not `idle`: it is worth waiting for. */
	later(ms: number, idle: boolean, call: () => void): void {
		this.#schedule(null, ms, { type: 'call', idle, process: null, code: null, signal: null, call });
	}

	/** The supervisor does not run until `end`; the processes do. Returns what it will then hear. */
	outside(end: number): () => void {
		const unheard: Array<() => void> = [];
		this.#unheard = unheard;
		for (let due = this.due; due !== null && due <= end; due = this.due) {
			this.#outside = due;
			this.act();
		}
		this.#outside = null;
		this.#unheard = null;
		return () => {
			for (const say of unheard) say();
		};
	}

	/** To the supervisor: now, or when it runs again. */
	say(word: () => void): void {
		if (this.#unheard === null) word();
		else this.#unheard.push(word);
	}

	/** What lives within the master goes with it. */
	loseMaster(): void {
		for (const process of [...this.#processes.values()]) if (process.kind === 'thread' || process.kind === 'actor') this.#bury(process);
	}

	/** A process is over. */
	end(process: SimulatedProcess, code: number | null, signal: string | null): void {
		if (process.phase === 'dead') return;
		this.#bury(process);
		const { kind } = process;
		// What lives within the master has no status of its own: its host says how it ended.
		const own = kind !== 'thread' && kind !== 'actor' ? {} : { reason: code === 0 ? ('normal' as const) : ('crash' as const) };
		const status = kind === 'actor' ? { code: null, signal: null } : { code, signal };
		this.say(() =>
			this.#options.tell(process.run.workerId, {
				type: 'process.exited',
				...status,
				maxRssBytes: null,
				at: this.#options.clock.now(),
				...own,
			}),
		);
	}

	launch(run: Run): void {
		this.#options.asked(run, 'launch');
		const spec = run.spec as WorkSpec;
		const process: SimulatedProcess = {
			run,
			kind: spec.kind,
			pid: this.#nextPid++,
			phase: 'spawning',
			hung: false,
			ready: false,
			cancelled: false,
			pending: [],
		};
		this.#processes.set(run.workerId, process);
		this.#later(process, 'spawn', this.conductOf(run.path).spawnMs);
	}

	activate(run: Run): void {
		this.#options.asked(run, 'activate');
		const process = this.#processes.get(run.workerId);
		if (process?.phase !== 'alive') return;
		process.run = run;
		process.ready = false;
		this.#tell(process, { type: 'process.spawned', pid: process.pid, startTicks: process.pid });
		const { exitMs, code } = this.conductOf(run.path);
		if (exitMs !== null) this.#later(process, 'end', exitMs, true, code);
	}

	watchReadiness({ workerId, path, spec, standby }: Run): void {
		const process = this.#processes.get(workerId);
		if (process === undefined || spec === null) return;
		const { ready } = spec;
		// It was adopted: what it has said it says again, and what it is about to say it will.
		if (process.ready) return this.#sayReady(process);
		if (process.pending.some(({ event }) => (event as Act).type === 'ready')) return;
		if (ready.kind === 'spawned') return this.#sayReady(process);
		const { readyMs, spawnMs } = this.conductOf(path);
		if (ready.kind === 'after') return this.#later(process, 'ready', ready.afterMs);
		const isLoaded = standby === 'activated';
		if (readyMs !== 'never') this.#later(process, 'ready', isLoaded ? ACTIVATE_MS : Math.max(0, readyMs - spawnMs));
	}

	watchLiveness({ workerId, spec }: Run): void {
		const process = this.#processes.get(workerId);
		const live = spec?.live ?? null;
		if (process === undefined || live === null) return;
		this.#later(process, 'probe', live.everyMs, true);
	}

	askToDrain(run: Run): void {
		this.#options.asked(run, 'drain');
		const process = this.#processes.get(run.workerId);
		if (process === undefined) return this.#options.tell(run.workerId, { type: 'drain.undeliverable' });
		const drainMs = this.conductOf(run.path).drainMs ?? drainOf[process.kind];
		if (drainMs === 'unheard') return this.#tell(process, { type: 'drain.undeliverable' });
		// Whether it hangs or not, its end of the connection is open: only the answer is missing.
		if (process.hung) return;
		this.#later(process, 'acknowledge', 0);
		if (drainMs !== 'never') this.#later(process, 'end', drainMs, false, 0);
	}

	terminate(run: Run): void {
		this.#options.asked(run, 'terminate');
		const process = this.#processes.get(run.workerId);
		if (process === undefined) return;
		if (process.phase === 'spawning') return this.#cancel(process);
		const { terminateMs } = this.conductOf(run.path);
		if (terminateMs !== 'ignored' && !process.hung) this.#later(process, 'end', terminateMs, false, null, 'SIGTERM');
	}

	kill(run: Run): void {
		this.#options.asked(run, 'kill');
		const process = this.#processes.get(run.workerId);
		if (process === undefined) return;
		if (process.phase === 'spawning') return this.#cancel(process);
		const { killMs } = this.conductOf(run.path);
		if (killMs !== 'ignored') this.#later(process, 'end', killMs, false, null, 'SIGKILL');
	}

	/** Whoever is believed to be dead and is not, lives on here as well. */
	forget(): void {}

	/** What is not there yet can hear no signal: it is not brought about. */
	#cancel(process: SimulatedProcess): void {
		if (process.cancelled) return;
		process.cancelled = true;
		this.#later(process, 'spawn', 0);
	}

	#spawn(process: SimulatedProcess): void {
		const { run } = process;
		const conduct = this.conductOf(run.path);
		const failed = process.cancelled ? 'stopped before it was started' : conduct.failToSpawn > 0 ? 'no such file' : null;
		if (failed !== null) {
			if (!process.cancelled) conduct.failToSpawn -= 1;
			this.#bury(process);
			return this.say(() => this.#options.tell(run.workerId, { type: 'process.failed', message: failed, at: this.#options.clock.now() }));
		}
		process.phase = 'alive';
		this.#tell(process, { type: 'process.spawned', pid: process.pid, startTicks: process.pid });
		if (conduct.exitMs !== null) this.#later(process, 'end', Math.max(0, conduct.exitMs - conduct.spawnMs), true, conduct.code);
		const heartbeat = run.spec?.heartbeat ?? null;
		if (heartbeat !== null) this.#later(process, 'beat', heartbeat.everyMs, true);
	}

	#sayReady(process: SimulatedProcess): void {
		process.ready = true;
		this.#tell(process, { type: 'process.ready' });
	}

	/** The act of one beat is that of the next: there are very many. */
	#beat(process: SimulatedProcess, act: Act): void {
		if (process.hung || !this.conductOf(process.run.path).beats) return;
		this.#schedule(process, process.run.spec?.heartbeat?.everyMs ?? 0, act);
		this.#tell(process, beat);
	}

	#probe(process: SimulatedProcess, act: Act): void {
		this.#schedule(process, process.run.spec?.live?.everyMs ?? 0, act);
		const passes = !process.hung && this.conductOf(process.run.path).live;
		this.#tell(process, passes ? { type: 'probe.passed' } : { type: 'probe.failed', why: 'no answer' });
	}

	#bury(process: SimulatedProcess): void {
		process.phase = 'dead';
		this.#processes.delete(process.run.workerId);
		for (const timer of process.pending) {
			if (!(timer.event as Act).idle) this.underWay -= 1;
			this.#acts.cancel(timer);
		}
		process.pending.length = 0;
	}

	#tell({ run }: SimulatedProcess, fact: WorkerEvent): void {
		if (this.#unheard === null) this.#options.tell(run.workerId, fact);
		else this.#unheard.push(() => this.#options.tell(run.workerId, fact));
	}

	#later(
		process: SimulatedProcess,
		type: Act['type'],
		ms: number,
		idle = false,
		code: number | null = null,
		signal: string | null = null,
	): void {
		this.#schedule(process, ms, { type, idle, process, code, signal, call: null });
	}

	#schedule(process: SimulatedProcess | null, ms: number, act: Act): void {
		const timer = this.#acts.add(this.now + ms, '', '', act);
		if (!act.idle) this.underWay += 1;
		process?.pending.push(timer);
	}
}

const beat: WorkerEvent = { type: 'heartbeat' };
/** A drain by kind: a command has nobody who would hear of it, an actor is done at once. */
const drainOf = { node: 5, command: 'unheard', thread: 5, actor: 0 } as const;
