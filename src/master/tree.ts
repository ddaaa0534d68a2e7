/**
 * A tree at work: one master machine per supervisor and one worker machine per incarnation in one kernel, and which
 * effect of theirs does what. Everything that touches the world is behind `Host`.
 */
import type { MasterContext, MasterEffects, SupervisorEnd } from '../../machines/master.ts';
import { masterMachine } from '../../machines/master.ts';
import { describe } from '../../machines/operations.ts';
import type { ChildSpec, Exit, StopMode, StopSpec, SupervisorSpec, TreeSpec } from '../../machines/spec.ts';
import type { WorkerContext, WorkerEffects, WorkerEvent, WorkerInput } from '../../machines/worker.ts';
import { workerMachine } from '../../machines/worker.ts';
import type { Clock } from '../kernel/clock.ts';
import { type Effects, Kernel, type KernelOptions } from '../kernel/kernel.ts';
import type { Host, Run } from './host.ts';

/** Something that people want to know. `event` is its name, `message` one sentence. */
export interface TreeNews {
	level: 'info' | 'warn' | 'error';
	path: string;
	event: string;
	message: string;
	detail?: Record<string, unknown>;
}

export interface TreeOptions {
	spec: TreeSpec;
	clock: Clock;
	/** In [0, 1), for jitter. */
	chance: () => number;
	/** A name for each incarnation, never used twice. */
	newId: () => string;
	host: Host;
	news: (news: TreeNews) => void;
	running: () => void;
	ended: (end: SupervisorEnd) => void;
	/** The latest incarnation of each path that earlier masters of this tree have used. */
	incarnations?: ReadonlyMap<string, number>;
	watch?: KernelOptions['watch'];
	inspect?: KernelOptions['inspect'];
	/** In the place of the usual machines: for tests that must find what is broken in them. */
	machines?: { master?: typeof masterMachine; worker?: typeof workerMachine };
}

/** A process that an earlier master started. */
export interface Leftover {
	workerId: string;
	path: string;
	incarnation: number;
	pid: number;
	startTicks: number;
	stop: StopSpec;
}

/** How a request about one child ended. */
export interface Outcome {
	ok: boolean;
	message: string;
}

/** What is known of one child, for status. */
export interface ChildView {
	spec: ChildSpec;
	state: 'starting' | 'running' | 'draining' | 'dead';
	substate: string | null;
	workerId: string | null;
	pid: number | null;
	startTicks: number | null;
	incarnation: number;
	restarts: number;
	standing: string | null;
	note: string | null;
	/** Monotonic ms of the last change of state, or null. */
	sinceMs: number | null;
	lastExit: Exit | null;
	children: ChildView[];
}

const supervisorId = (path: string) => `master:${path}`;
const runId = (path: string, incarnation: number) => `worker:${path}#${incarnation}`;
const join = (path: string, id: string) => (path === '' ? id : `${path}/${id}`);
const split = (path: string): [string, string] => {
	const at = path.lastIndexOf('/');
	return at < 0 ? ['', path] : [path.slice(0, at), path.slice(at + 1)];
};

export class Tree {
	readonly kernel: Kernel;
	readonly #options: TreeOptions;
	readonly #specs = new Map<string, ChildSpec>();
	readonly #incarnations: Map<string, number>;
	/** Living incarnations by worker id. */
	readonly #runs = new Map<string, { run: Run; machine: string }>();
	readonly #requests = new Map<string, (outcome: Outcome) => void>();
	/** How each path last ended, also before its supervisor was restarted. */
	readonly #lastExits = new Map<string, Exit>();
	/** When each path last changed its state. */
	readonly #changes = new Map<string, number>();
	#nextRequest = 1;
	#leftovers = 0;
	#stopped: StopMode | null = null;
	#rootStarted = false;

	constructor(options: TreeOptions) {
		this.#options = options;
		this.#incarnations = new Map(options.incarnations);
		this.kernel = new Kernel({
			clock: options.clock,
			watch: (step) => {
				if (step.from !== step.to) this.#changes.set(this.#pathOf(step.id), step.at);
				options.watch?.(step);
			},
			...(options.inspect === undefined ? {} : { inspect: options.inspect }),
			fault: (id, what, error) => {
				const message = error instanceof Error ? error.message : String(error);
				this.#news('error', this.#pathOf(id), 'effect.failed', `${what} failed: ${message}`);
			},
			paused: (lateMs) => {
				this.#news(
					'warn',
					'',
					'supervisor.paused',
					`the master was paused for about ${Math.round(lateMs)} ms: every child gets a fresh interval`,
				);
				this.resume();
			},
		});
		this.#learn(options.spec.root);
	}

	/** Starts the tree; first what an earlier master left is stopped, so that nothing runs twice. */
	start(leftovers: readonly Leftover[] = []): void {
		this.#leftovers = leftovers.length;
		if (leftovers.length === 0) return this.#startRoot();
		for (const left of leftovers) {
			const { workerId, path, incarnation, pid, startTicks, stop } = left;
			this.#news('warn', path, 'child.leftover', `${path} (pid ${pid}) was started by an earlier master and is stopped first`);
			const run: Run = { workerId, path, incarnation, spec: null, stop };
			this.#startWorker(run, { pid, startTicks });
			this.tell(workerId, { type: 'drain', mode: 'fast' });
		}
	}

	/** A fact about an incarnation, from the host. Facts about the dead are dropped. */
	tell(workerId: string, fact: WorkerEvent): void {
		const living = this.#runs.get(workerId);
		if (living !== undefined) this.kernel.send(living.machine, fact);
	}

	stop(mode: StopMode): void {
		this.#stopped = mode;
		if (this.#rootStarted) this.kernel.send(supervisorId(''), { type: 'stop', mode });
		else for (const workerId of this.#runs.keys()) this.tell(workerId, { type: 'drain', mode });
	}

	/** After this process was paused: whatever seems late gets one fresh interval. */
	resume(): void {
		for (const workerId of this.#runs.keys()) this.tell(workerId, { type: 'supervisor.resumed' });
	}

	/** The paths that a user's word means: a path, or the declared id of several instances. */
	resolve(word: string): string[] {
		if (this.#specs.has(word)) return [word];
		const [above, id] = split(word);
		return [...this.#specs].filter(([path, spec]) => split(path)[0] === above && spec.declaredId === id).map(([path]) => path);
	}

	/** Stops a child and starts it again, by request: costs nothing of any budget. */
	restart(path: string): Promise<Outcome> {
		const [above, id] = split(path);
		const request = String(this.#nextRequest++);
		return new Promise((resolve) => {
			if (this.kernel.snapshot(supervisorId(above))?.status !== 'active')
				return resolve({ ok: false, message: `its supervisor '${above || this.#options.spec.id}' is not running` });
			this.#requests.set(request, resolve);
			this.kernel.send(supervisorId(above), { type: 'restart', id, request });
		});
	}

	/** The pid and incarnation of a path, if it runs. */
	present(path: string): { pid: number | null; incarnation: number } {
		const incarnation = this.#incarnations.get(path) ?? 0;
		const context = this.kernel.snapshot(runId(path, incarnation))?.context as WorkerContext | undefined;
		return { pid: context?.pid ?? null, incarnation };
	}

	/** State of the root: starting while leftovers are being stopped. */
	get state(): string {
		return this.kernel.state(supervisorId(''))?.split('.')[0] ?? 'starting';
	}

	get view(): ChildView[] {
		return this.#viewOf('', this.#options.spec.root);
	}

	#viewOf(path: string, spec: SupervisorSpec): ChildView[] {
		const context = this.kernel.snapshot(supervisorId(path))?.context as MasterContext | undefined;
		return spec.children.map((child) => {
			const known = context?.children.get(child.id);
			const incarnation = this.#incarnations.get(child.path) ?? 0;
			const machine = child.kind === 'supervisor' ? supervisorId(child.path) : runId(child.path, incarnation);
			const name = known === undefined || known.phase === 'down' ? null : this.kernel.state(machine);
			const [state, ...below] = name?.split('.') ?? ['dead'];
			const worker = child.kind === 'supervisor' || name === null ? undefined : (this.kernel.snapshot(machine)?.context as WorkerContext);
			const waits = context?.operations.some(({ phase, scope }) => phase === 'waiting' && scope.includes(child.id)) ?? false;
			const lastExit = known?.lastExit ?? this.#lastExits.get(child.path) ?? null;
			const standing = known?.standing ?? null;
			return {
				spec: child,
				state: state as ChildView['state'],
				substate: below.length > 0 ? below.join('.') : waits ? 'backoff' : null,
				workerId: worker?.workerId ?? null,
				pid: worker?.pid ?? null,
				startTicks: worker?.startTicks ?? null,
				incarnation,
				restarts: known?.restarts ?? 0,
				standing,
				note: standing !== null && lastExit !== null ? `${describe(child.path, lastExit)}${standings[standing]}` : null,
				sinceMs: this.#changes.get(child.path) ?? null,
				lastExit,
				children: child.kind === 'supervisor' ? this.#viewOf(child.path, child) : [],
			};
		});
	}

	#learn(supervisor: SupervisorSpec): void {
		for (const child of supervisor.children) {
			this.#specs.set(child.path, child);
			if (child.kind === 'supervisor') this.#learn(child);
		}
	}

	#startRoot(): void {
		this.#rootStarted = true;
		if (this.#stopped !== null) return this.#options.ended({ why: 'asked', message: 'asked to stop' });
		this.#startSupervisor(this.#options.spec.root);
	}

	#startSupervisor(spec: SupervisorSpec): void {
		const used = spec.children.map(({ id, path }): [string, number] => [id, this.#incarnations.get(path) ?? 0]);
		this.kernel.start(
			supervisorId(spec.path),
			this.#options.machines?.master ?? masterMachine,
			{ spec, incarnations: new Map(used) },
			this.#masterEffects(spec),
		);
	}

	#masterEffects(spec: SupervisorSpec): Effects<MasterEffects> {
		const { path } = spec;
		const pathOf = (id: string) => join(path, id);
		return {
			launchChild: ({ id, incarnation }) => {
				const child = this.#specs.get(pathOf(id)) as ChildSpec;
				this.#incarnations.set(child.path, incarnation);
				if (child.kind === 'supervisor') this.#startSupervisor(child);
				else if (child.kind !== 'dynamic')
					this.#startWorker({ workerId: this.#options.newId(), path: child.path, incarnation, spec: child, stop: child.stop }, null);
			},
			drainChild: ({ id, incarnation, mode }) => {
				const child = this.#specs.get(pathOf(id)) as ChildSpec;
				if (child.kind === 'supervisor') this.kernel.send(supervisorId(child.path), { type: 'stop', mode });
				else this.kernel.send(runId(child.path, incarnation), { type: 'drain', mode });
			},
			answer: ({ request, ok, message }) => {
				this.#requests.get(request)?.({ ok, message });
				this.#requests.delete(request);
			},
			reportRestart: ({ id, exit, delayMs, siblings }) => {
				const when = delayMs > 0 ? `restarts in ${delayMs} ms` : 'restarts';
				const whom = siblings.length > 0 ? ` with ${siblings.join(', ')}` : '';
				this.#news('warn', pathOf(id), 'child.restart', `${pathOf(id)} ${when}${whom}`, { exit, delayMs, siblings });
			},
			reportEnd: ({ id, exit }) =>
				this.#news('info', pathOf(id), 'child.finished', `${describe(pathOf(id), exit)}; not restarted`, { exit }),
			reportGivingUp: ({ id, exit, why }) =>
				this.#news('error', pathOf(id), 'child.gaveUp', `${describe(pathOf(id), exit)}; not restarted: ${why}`, { exit }),
			reportReady: () => {
				if (path === '') return this.#options.running();
				const [above, id] = split(path);
				this.kernel.send(supervisorId(above), {
					type: 'child.ready',
					id,
					incarnation: this.#incarnations.get(path) ?? 0,
					at: this.kernel.clock.now(),
				});
			},
			reportDeath: ({ end }) => {
				if (path === '') return this.#options.ended(end);
				if (end.why !== 'asked') this.#news('error', path, `supervisor.${end.why}`, `supervisor ${path} gave up: ${end.message}`);
				this.#reportToSupervisor(path, this.#incarnations.get(path) ?? 0, {
					reason: end.why === 'startFailed' ? 'startFailed' : 'shutdown',
					code: null,
					signal: null,
					at: this.kernel.clock.now(),
					maxRssBytes: null,
					...(end.why === 'asked' ? {} : { detail: end.message }),
				});
			},
		};
	}

	#startWorker(run: Run, adopted: WorkerInput['adopted']): void {
		const { workerId, path, incarnation, spec } = run;
		const machine = runId(path, incarnation);
		this.#runs.set(workerId, { run, machine });
		const input: WorkerInput = {
			workerId,
			path,
			incarnation,
			heartbeat: spec?.heartbeat ?? null,
			live: spec?.live ?? null,
			readyTimeoutMs: spec?.ready.timeoutMs ?? run.stop.terminateMs,
			stop: run.stop,
			okCodes: spec?.restart.okCodes ?? [0],
			adopted,
		};
		this.kernel.start(machine, this.#options.machines?.worker ?? workerMachine, input, this.#workerEffects(run, machine));
	}

	#workerEffects(run: Run, machine: string): Effects<WorkerEffects> {
		const { host } = this.#options;
		const { path, incarnation, workerId } = run;
		const [above, id] = split(path);
		return {
			launch: () => host.launch(run),
			watchReadiness: () => host.watchReadiness(run),
			watchLiveness: () => host.watchLiveness(run),
			askToDrain: () => host.askToDrain(run),
			terminate: () => host.terminate(run),
			kill: () => host.kill(run),
			reportReady: () => this.kernel.send(supervisorId(above), { type: 'child.ready', id, incarnation, at: this.kernel.clock.now() }),
			reportSuspect: ({ why }) => this.#news('warn', path, 'child.suspect', `${path} is suspect: ${why}`),
			raiseAlarm: ({ pid }) =>
				this.#news('error', path, 'child.stuck', `${path} (pid ${pid}) will not die, even of SIGKILL; its place stays reserved`),
			reportDeath: ({ exit }) => {
				host.forget(run);
				this.#runs.delete(workerId);
				this.kernel.remove(machine);
				if (run.spec !== null) return this.#reportToSupervisor(path, incarnation, exit);
				this.#leftovers -= 1;
				if (this.#leftovers === 0) this.#startRoot();
			},
		};
	}

	#reportToSupervisor(path: string, incarnation: number, exit: Exit): void {
		this.#lastExits.set(path, exit);
		const [above, id] = split(path);
		this.kernel.send(supervisorId(above), { type: 'child.died', id, incarnation, exit, chance: this.#options.chance() });
	}

	#news(level: TreeNews['level'], path: string, event: string, message: string, detail?: Record<string, unknown>): void {
		this.#options.news({ level, path, event, message, ...(detail === undefined ? {} : { detail }) });
	}

	#pathOf(machine: string): string {
		return machine.replace(/^(master|worker):/, '').replace(/#\d+$/, '');
	}
}

const standings: Record<string, string> = {
	gaveUp: '; given up: it has been restarted too often',
	fatal: '; its exit code says that a restart would not help',
	finished: '; finished',
};
