/** A simulated place for a tree to live in: processes that do what a test says, on the simulated clock. */
import type { SupervisorEnd } from '../../machines/master.ts';
import type { ChildSpec, RestartRule, SupervisorSpec, TreeSpec } from '../../machines/spec.ts';
import { defaults } from '../../machines/spec.ts';
import { SimulatedClock } from '../../src/kernel/clock.ts';
import type { Step } from '../../src/kernel/kernel.ts';
import type { Host, Run } from '../../src/master/host.ts';
import { Tree, type TreeNews } from '../../src/master/tree.ts';

/** How the processes of one path behave. All in ms of simulated time. */
export interface Behaviour {
	/** From spawn to ready; `never`. Default 10. */
	ready?: number | 'never';
	/** From SIGTERM to exit; `ignores`. Default 5. */
	term?: number | 'ignores';
	/** Acknowledges a drain request and exits so much later; default: nobody hears it. */
	drain?: number | 'ignores';
	/** From spawn to its own exit with code 1. */
	crash?: number;
	/** The spawn itself fails. */
	spawn?: 'fails';
}

export function rule(change: Partial<RestartRule> = {}): RestartRule {
	return {
		type: 'permanent',
		significant: false,
		strategy: 'one_for_one',
		intensity: null,
		whenExhausted: 'escalate',
		backoff: defaults.noBackoff,
		okCodes: [0],
		fatalCodes: [78],
		...change,
	};
}

export function child(path: string, change: Partial<RestartRule> = {}, more: Partial<ChildSpec> = {}): ChildSpec {
	const id = path.split('/').at(-1) as string;
	return {
		kind: 'command',
		id,
		declaredId: id,
		path,
		restart: rule(change),
		run: ['true'],
		ready: { kind: 'signal', timeoutMs: 30_000 },
		live: null,
		heartbeat: null,
		stop: { drainMs: 0, terminateMs: 1_000 },
		listen: [],
		env: {},
		envFile: null,
		inheritEnv: [],
		cwd: null,
		logs: { rotateBytes: 0, keep: 1 },
		...more,
	} as ChildSpec;
}

export function supervisor(path: string, children: ChildSpec[], more: Partial<SupervisorSpec> = {}): SupervisorSpec {
	const id = path.split('/').at(-1) as string;
	return {
		kind: 'supervisor',
		id,
		declaredId: id,
		path,
		restart: rule(),
		strategy: 'one_for_one',
		intensity: { restarts: 3, withinMs: 5_000 },
		start: 'ordered',
		autoShutdown: 'never',
		shutdownMs: null,
		children,
		...more,
	};
}

export function treeOf(root: SupervisorSpec): TreeSpec {
	return { id: 'test', root, stopTimeoutMs: 60_000, master: defaults.master };
}

/** A small seeded generator (mulberry32), so that a run can be had again. */
export function seeded(seed: number): () => number {
	let state = seed >>> 0;
	return () => {
		state = (state + 0x6d2b79f5) >>> 0;
		let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
		mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
		return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
	};
}

interface Process {
	run: Run;
	pid: number;
	alive: boolean;
}

export class World implements Host {
	readonly clock = new SimulatedClock();
	readonly trace: string[] = [];
	readonly news: TreeNews[] = [];
	readonly tree: Tree;
	readonly behaviours = new Map<string, Behaviour>();
	readonly #processes = new Map<string, Process>();
	#later: Array<{ at: number; order: number; act: () => void }> = [];
	#order = 0;
	#nextPid = 100;
	#nextId = 1;
	isRunning = false;
	end: SupervisorEnd | null = null;

	constructor(root: SupervisorSpec, { seed = 1, behaviours = {} }: { seed?: number; behaviours?: Record<string, Behaviour> } = {}) {
		for (const [path, behaviour] of Object.entries(behaviours)) this.behaviours.set(path, behaviour);
		this.tree = new Tree({
			spec: treeOf(root),
			clock: this.clock,
			chance: seeded(seed),
			newId: () => `w${this.#nextId++}`,
			host: this,
			news: (news) => this.news.push(news),
			running: () => {
				this.isRunning = true;
			},
			ended: (end) => {
				this.end = end;
				this.say(`tree ended: ${end.why}`);
			},
			watch: (step) => this.#watch(step),
		});
	}

	say(line: string): void {
		this.trace.push(`${this.clock.now()} ${line}`);
	}

	/** Lets `ms` pass: timers of the tree and acts of the processes, in the order of their times. */
	advance(ms: number): this {
		const end = this.clock.now() + ms;
		for (;;) {
			this.#later.sort((a, b) => a.at - b.at || a.order - b.order);
			const act = this.#later[0];
			const timer = this.clock.due;
			if (timer !== null && timer <= Math.min(end, act?.at ?? end)) {
				this.clock.advance(timer - this.clock.now());
				continue;
			}
			if (act === undefined || act.at > end) break;
			this.#later.shift();
			this.clock.advance(act.at - this.clock.now());
			act.act();
		}
		this.clock.advance(end - this.clock.now());
		return this;
	}

	after(ms: number, act: () => void): void {
		this.#later.push({ at: this.clock.now() + ms, order: this.#order++, act });
	}

	/** The living processes, in order of their start. */
	get alive(): string[] {
		return [...this.#processes.values()].filter(({ alive }) => alive).map(({ run }) => `${run.path}#${run.incarnation}`);
	}

	processOf(path: string): Process | undefined {
		return [...this.#processes.values()].find(({ run, alive }) => alive && run.path === path);
	}

	/** The process of a path ends on its own. */
	exit(path: string, code: number | null, signal: string | null = null): void {
		const process = this.processOf(path);
		if (process === undefined) throw new Error(`nothing runs at ${path}`);
		this.#end(process, code, signal);
	}

	beat(path: string): void {
		const process = this.processOf(path);
		if (process !== undefined) this.tree.tell(process.run.workerId, { type: 'heartbeat' });
	}

	launch(run: Run): void {
		const { ready = 10, crash, spawn } = this.behaviours.get(run.path) ?? {};
		this.say(`${run.path}#${run.incarnation} launch`);
		if (spawn === 'fails')
			return this.after(0, () => this.tree.tell(run.workerId, { type: 'process.failed', message: 'no such file', at: this.clock.now() }));
		const process: Process = { run, pid: this.#nextPid++, alive: true };
		this.#processes.set(run.workerId, process);
		this.after(0, () => this.tree.tell(run.workerId, { type: 'process.spawned', pid: process.pid, startTicks: 1 }));
		if (ready !== 'never') this.after(ready, () => process.alive && this.tree.tell(run.workerId, { type: 'process.ready' }));
		if (crash !== undefined) this.after(crash, () => this.#end(process, 1, null));
	}

	watchReadiness(): void {}
	watchLiveness(): void {}
	forget(): void {}

	askToDrain(run: Run): void {
		const { drain } = this.behaviours.get(run.path) ?? {};
		const { workerId } = run;
		if (drain === undefined) return this.tree.tell(workerId, { type: 'drain.undeliverable' });
		this.after(0, () => this.tree.tell(workerId, { type: 'drain.acknowledged' }));
		const process = this.#processes.get(workerId);
		if (drain !== 'ignores' && process !== undefined) this.after(drain, () => this.#end(process, 0, null));
	}

	terminate(run: Run): void {
		const { term = 5 } = this.behaviours.get(run.path) ?? {};
		this.say(`${run.path}#${run.incarnation} terminate`);
		const process = this.#processes.get(run.workerId);
		if (process !== undefined && term !== 'ignores') this.after(term, () => this.#end(process, null, 'SIGTERM'));
	}

	kill(run: Run): void {
		this.say(`${run.path}#${run.incarnation} kill`);
		const process = this.#processes.get(run.workerId);
		if (process !== undefined) this.after(1, () => this.#end(process, null, 'SIGKILL'));
	}

	#end(process: Process, code: number | null, signal: string | null): void {
		if (!process.alive) return;
		process.alive = false;
		const { workerId } = process.run;
		this.tree.tell(workerId, { type: 'process.exited', code, signal, maxRssBytes: null, at: this.clock.now() });
	}

	#watch({ id, to, from, event }: Step): void {
		if (id.startsWith('worker:') && to !== from && (to === 'running.healthy' || to === 'running.suspect'))
			this.say(`${id.slice(7)} = ${to}`);
		if (id.startsWith('worker:') && to === 'dead' && from !== 'dead') {
			const context = this.tree.kernel.context(id) as { exit: { reason: string } } | undefined;
			this.say(`${id.slice(7)} = dead (${context?.exit.reason})`);
		}
		if (id.startsWith('master:') && event.type !== 'xstate.init' && to !== from && (to === 'dead' || to === 'draining'))
			this.say(`${id} = ${to}`);
	}
}
