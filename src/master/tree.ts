/**
 * A tree at work: one machine per supervisor and one per incarnation of a child in one kernel, and which effect of theirs
 * does what. Everything that touches the world is behind `Host`.
 */
import { mayBeOrdered } from '../../machines/advance.ts';
import type { AskedOperation, TreeOperation } from '../../machines/agenda.ts';
import { MAX_INSTANCES } from '../../machines/check.ts';
import { type Desired, instanceOf, withAdded } from '../../machines/desired.ts';
import { dynamicMachine } from '../../machines/dynamic.ts';
import type { MasterContext, MasterEffects, SupervisorEnd } from '../../machines/master.ts';
import { masterMachine } from '../../machines/master.ts';
import { type Answer, type Asked, type Child, describe, nextAfterCrash, type Refusal } from '../../machines/operations.ts';
import { type Fate, hasBegun, presentOf, reconcile, type SavedChild, type SavedSupervisor } from '../../machines/reconcile.ts';
import type {
	ActorDeclaration,
	ChildDeclaration,
	ChildSpec,
	DynamicSpec,
	Exit,
	StopMode,
	Strategy,
	SupervisorSpec,
	TreeSpec,
} from '../../machines/spec.ts';
import { takesSpare } from '../../machines/standby.ts';
import type { WorkerContext, WorkerEffects, WorkerEvent, WorkerInput } from '../../machines/worker.ts';
import { workerMachine } from '../../machines/worker.ts';
import type { Asked as AskedOfWorld } from '../kernel/chart.ts';
import type { Clock } from '../kernel/clock.ts';
import { type Effects, Kernel, type KernelOptions } from '../kernel/kernel.ts';
import { resolveChild } from '../spec/check.ts';
import { Advance } from './advance.ts';
import { Agenda, isAgenda, type Operations } from './agenda.ts';
import type { Host, Leftover, Run } from './host.ts';
import { childKey, Mind, supervisorKey } from './mind.ts';
import { joinPath, pathOf, runId, splitPath, supervisorId } from './paths.ts';
import { allOf, isRollout, type Planned, type Reloaded, type ReloadStatus, Reloads, type SavedRollout, type Versions } from './reloads.ts';
import { isPool, isSparePath, Standbys } from './standbys.ts';
import { type ChildView, type Counts, childPaths, countsOf, type Known, type Listed, listOf, orderOf, viewAt, viewOf } from './view.ts';

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
	/** Where it is written down what the tree has in mind, before it is done. */
	journal?: { write(set: Record<string, unknown>): void };
	/** Where a reload gets a new version of the spec from. */
	versions?: Versions;
	watch?: KernelOptions['watch'];
	inspect?: KernelOptions['inspect'];
	/** In the place of the usual machines: for tests that must find what is broken in them. */
	machines?: { master?: typeof masterMachine; worker?: typeof workerMachine };
}

/** What an earlier master left: what it had in mind, by its journal, and what there is. */
export interface Legacy {
	journal: ReadonlyMap<string, unknown>;
	found: readonly Leftover[];
	/** The latest incarnation of each path that was asked of the angel. */
	asked: ReadonlyMap<string, number>;
	/** It was of an earlier run: if that was stopping, the tree is wanted again. */
	isOfEarlierRun?: boolean;
}

/** How a request about one child ended. */
export interface Outcome {
	ok: boolean;
	message: string;
}

/** A child of a dynamic supervisor: a name of its own, else it gets one; and what it begins with, else what its template says. */
export interface MemberDeclaration {
	id?: string;
	input?: ActorDeclaration['input'];
}

/** A child that was started by request. `incarnation` null: it did not want to run. */
export interface Started {
	path: string;
	incarnation: number | null;
}

/** What became of a change of the number of instances; ids, in the order of what was done. */
export interface Scaled {
	from: number;
	to: number;
	started: string[];
	stopped: string[];
}

/** Why a request at run time was refused. `code` has OTP's words where OTP has one. */
export class RequestError extends Error {
	override name = 'RequestError';
	readonly code: Refusal | 'not_a_supervisor' | 'not_running' | 'paused' | 'undone';

	constructor(code: RequestError['code'], message: string) {
		super(message);
		this.code = code;
	}
}

interface Pending {
	supervisor: string;
	settle: (answer: Answer) => void;
	about: About;
}

interface About {
	/** Of a child that is to be added. */
	spec?: ChildSpec;
	input?: unknown;
	/** Called when it is answered, in the same turn. */
	taken?: () => void;
}

type SupervisingSpec = SupervisorSpec | DynamicSpec;
const supervises = (spec: ChildSpec): spec is SupervisingSpec => spec.kind === 'supervisor' || spec.kind === 'dynamic';
const ID = /^[a-z0-9][a-z0-9_-]*$/;

export class Tree {
	readonly kernel: Kernel;
	readonly #options: TreeOptions;
	/** The version in force. */
	#spec: TreeSpec;
	readonly #reloads: Reloads | null;
	readonly #agenda: Agenda;
	readonly #standbys: Standbys;
	readonly #advance: Advance;
	/** How the latest incarnation of a path went: nobody had asked it to, or somebody had. */
	readonly #unasked = new Map<string, boolean>();
	/** In the middle of a reload: children that are of the next version already, and numbers that its candidates have. */
	readonly #ahead = new Map<string, number>();
	readonly #given = new Map<string, number>();
	#end: SupervisorEnd | null = null;
	/** All children but those of dynamic supervisors, of which there may be very many. */
	readonly #specs = new Map<string, ChildSpec>();
	readonly #incarnations: Map<string, number>;
	/** Living incarnations, by their machine; and the machine of each, by worker id. */
	readonly #runs = new Map<string, Run>();
	readonly #machines = new Map<string, string>();
	/** What children of dynamic supervisors begin with, where it is not what their template says. */
	readonly #inputs = new Map<string, unknown>();
	readonly #requests = new Map<string, Pending>();
	readonly #known: Known;
	readonly #lastExits = new Map<string, Exit>();
	readonly #changes = new Map<string, number>();
	readonly #workerEffects: Effects<WorkerEffects>;
	#nextRequest = 1;
	#nextMember = 1;
	#nextActor = 1;
	readonly #mind: Mind;
	#stopped: StopMode | null = null;
	#rootStarted = false;

	constructor(options: TreeOptions) {
		this.#options = options;
		this.#spec = options.spec;
		this.#incarnations = new Map();
		this.#workerEffects = this.#makeWorkerEffects();
		this.kernel = new Kernel({
			clock: options.clock,
			changed: (machine, at) => {
				const run = this.#runs.get(machine);
				if (run?.spec?.kind === 'node') {
					this.#options.host.changed?.(run, this.kernel.state(machine) ?? 'dead');
					if (this.#advance.has(run.workerId)) this.#lookInAdvance(machine);
				}
				if (isOfTree(machine) || (run !== undefined && this.#reloads?.owns(run))) return;
				this.#standbys.changed(machine);
				const path = pathOf(machine);
				if (path === '' || this.#specs.has(path)) this.#changes.set(path, at);
			},
			intend: options.journal === undefined ? undefined : (machine, asked) => this.#writeDown(machine, asked),
			// Asked for at each step: nobody may be watching now.
			get watch() {
				return options.watch;
			},
			...(options.inspect === undefined ? {} : { inspect: options.inspect }),
			fault: (id, what, error) => {
				const message = error instanceof Error ? error.message : String(error);
				this.#news('error', pathOf(id), 'effect.failed', `${what} failed: ${message}`);
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
		this.#known = {
			kernel: this.kernel,
			specOf: (path) => this.#specOf(path),
			incarnationOf: (path) => this.#incarnations.get(path) ?? 0,
			generationOf: (machine) => this.#runs.get(machine)?.generation ?? this.generation,
			lastExits: this.#lastExits,
			changes: this.#changes,
			standbyOf: (spec) => this.#standbys.statusOf(spec),
		};
		this.#mind = new Mind({
			kernel: this.kernel,
			incarnationOf: this.#known.incarnationOf,
			supervisorOf: (path) => {
				const spec = path === '' ? this.#spec.root : this.#specs.get(path);
				return spec?.kind === 'supervisor' ? spec : undefined;
			},
		});
		this.#reloads = options.versions === undefined ? null : this.#makeReloads(options.versions);
		this.#agenda = this.#makeAgenda();
		this.#standbys = this.#makeStandbys();
		const { host, newId } = options;
		this.#advance = new Advance({
			order: host.orderNext === undefined ? null : (run, next) => host.orderNext?.(run, next),
			newId,
			nextOf: (run) => this.#nextOf(run),
		});
		this.#learn(options.spec.root);
	}

	/** Starts the tree, or goes on with what an earlier master left. */
	start(legacy: Legacy | null = null): void {
		this.#rootStarted = true;
		if (legacy !== null) return this.#goOn(legacy);
		if (this.#stopped !== null) return this.#options.ended({ why: 'asked', reason: 'shutdown', message: 'asked to stop' });
		this.#startSupervisor(this.#spec.root);
	}

	/** A fact about an incarnation, from the host. Facts about the dead are dropped. */
	tell(workerId: string, fact: WorkerEvent): void {
		const machine = this.#machines.get(workerId);
		if (machine === undefined) return;
		this.kernel.send(machine, fact);
		if (fact.type === 'heartbeat') this.#lookInAdvance(machine);
	}

	/** What was ordered in advance has begun. `told` tells of the end that it follows on. */
	offer(next: Leftover, told: () => void): void {
		if (!this.#advance.offer(next, told)) this.#options.host.dismiss?.(next);
	}

	/** With each heartbeat: so not while it is being started, and again when something has changed around it. */
	#lookInAdvance(machine: string): void {
		const run = this.#runs.get(machine);
		if (run !== undefined) this.#advance.look(run, this.kernel.state(machine)?.startsWith('running.') === true);
	}

	stop(mode: StopMode): void {
		this.#stopped = mode;
		this.#agenda.stop();
		this.#reloads?.stop(mode);
		this.#standbys.stop(mode);
		if (this.#rootStarted) this.kernel.send(supervisorId(''), { type: 'stop', mode });
	}

	/** After this process was paused: whatever seems late gets one fresh interval. */
	resume(): void {
		for (const [machine, { spec }] of this.#runs) if (spec?.heartbeat !== null) this.kernel.send(machine, { type: 'supervisor.resumed' });
	}

	/** The paths that a user's word means: a path, the declared id of several instances, or `''`: all children of the tree. */
	resolve(word: string): string[] {
		if (word === '') return this.childPaths('');
		if (this.#specs.has(word)) return [word];
		const [above, id] = splitPath(word);
		const paths = [...this.#specs].filter(([path, spec]) => splitPath(path)[0] === above && spec.declaredId === id).map(([path]) => path);
		const supervisor = above === '' ? this.#spec.root : this.#specs.get(above);
		if (paths.length === 0 || supervisor === undefined || !supervises(supervisor)) return paths;
		// What was declared and is deleted would come back with its supervisor: its declaration is kept.
		const present = new Set(listOf(this.#known, supervisor).map(({ path }) => path));
		return paths.filter((path) => present.has(path));
	}

	/**
	 * What people ask of the tree: one at a time, in order of arrival. Resolves with how it ended; rejects with a `RequestError` if it is not
	 * taken: too many wait, or the tree stops. The same id again is the same operation, also after its end and with another master.
	 */
	operate(asked: AskedOperation): Promise<TreeOperation> {
		if (!this.#rootStarted) return Promise.reject(new RequestError('not_running', 'the tree is starting'));
		return this.#agenda.operate(asked);
	}

	/** All children that are declared, or were added, but those of dynamic supervisors. */
	get specs(): IterableIterator<ChildSpec> {
		return this.#specs.values();
	}

	/** What was asked for beyond the spec: numbers of instances, pauses. */
	get desired(): Desired {
		return this.#agenda.desired;
	}

	/** What was asked of the tree, and what became of it. */
	get operations(): Operations {
		return this.#agenda.operations;
	}

	/** Stops a child, or all instances of one, one after the other, and starts it again: costs nothing of any budget. */
	restart(path: string): Promise<Outcome> {
		return this.#outcome('restart', path);
	}

	/** Stops a child, or all (`''`), and keeps it stopped, whatever becomes of its supervisor, until it is resumed. Its sockets stay. */
	pause(path = ''): Promise<Outcome> {
		return this.#outcome('pause', path);
	}

	/** Starts what was paused by that name. */
	unpause(path = ''): Promise<Outcome> {
		return this.#outcome('resume', path);
	}

	#outcome(kind: AskedOperation['kind'], path: string): Promise<Outcome> {
		return this.operate(this.#asked(kind, path)).then(
			({ end }) => ({ ok: end?.ok === true, message: end?.ok === true ? '' : (end?.message ?? '') }),
			({ message }: RequestError) => ({ ok: false, message }),
		);
	}

	#asked(kind: AskedOperation['kind'], target: string, argument: AskedOperation['argument'] = null): AskedOperation {
		return { id: `o-${this.#options.newId()}`, kind, target, argument, by: 'program' };
	}

	/** Whether there is a place from which new versions come. */
	get canReload(): boolean {
		return this.#reloads !== null;
	}

	/** Of the version in force, from 1. */
	get generation(): number {
		return this.#reloads?.generation ?? 1;
	}

	/** Null: no reload goes on, and the last one did not fail. */
	get reloadStatus(): ReloadStatus | null {
		return this.#reloads?.status ?? null;
	}

	/** What a reload would do. */
	plan(): Promise<Planned> {
		return new Promise((resolve, reject) => {
			if (this.#reloads === null) return reject(new RequestError('failed', 'this tree cannot be reloaded'));
			this.#reloads.plan(resolve);
		});
	}

	/**
	 * Brings the tree to its spec as it is now: the new ones start beside the old ones, and whatever fails before all of them are known to work
	 * is undone. One that is asked while another goes on comes after it, and is one however often it is asked. `planned` resolves when it is
	 * known what will be done. Throws a `RequestError` if the tree does not run.
	 */
	reload(asked: AskedOperation = this.#asked('reload', '')): { planned: Promise<Planned>; ended: Promise<Reloaded> } {
		if (this.#reloads === null) throw new RequestError('failed', 'this tree cannot be reloaded');
		const known = this.operations.ended.find(({ id }) => id === asked.id);
		if (known === undefined && this.state !== 'running')
			throw new RequestError('not_running', `the tree is ${this.state}: it is reloaded while it runs`);
		const ended = this.operate(asked).then(reloadedOf);
		const planned = new Promise<Planned>((resolve, reject) => {
			this.#agenda.whenPlanned(asked.id, resolve);
			// Nobody has said what would be done: it was refused, or another master has done it.
			ended.then(({ result, lines, exitCode, changes }) => {
				const isOver = result === 'done' || result === 'unchanged';
				resolve(isOver ? { ok: true, children: changes, refused: [] } : { ok: false, exitCode, lines });
			}, reject);
		});
		// Not everybody asks for both.
		planned.catch(() => {});
		return { planned, ended };
	}

	#reloading(): RequestError {
		return new RequestError('busy', `a reload goes on (${this.#reloads?.status?.state}): ask again when it is over`);
	}

	/** One request about one child. `exchange`: as a restart, but a start that fails is not tried again. */
	#again(path: string, type: 'restart' | 'exchange' | 'pause' | 'resume', done: (failure: string | null) => void): void {
		const [above, id] = splitPath(path);
		this.#request(
			above,
			nothing,
			(answer) => done(answer.ok ? null : answer.message),
			(request) => ({ type, id, request }),
		);
	}

	#makeReloads(versions: Versions): Reloads {
		return new Reloads(
			{
				kernel: this.kernel,
				spec: () => this.#spec,
				specOf: (path) => this.#specs.get(path),
				incarnationOf: (path) => this.#incarnations.get(path) ?? 0,
				runOf: (machine) => this.#runs.get(machine),
				newId: this.#options.newId,
				start: (run, readyTimeoutMs) => this.#startWorker(run, null, readyTimeoutMs),
				admit: (run) => this.#options.host.admit?.(run),
				give: (path, incarnation) => {
					const [above, id] = splitPath(path);
					this.#given.set(path, incarnation);
					this.kernel.send(supervisorId(above), { type: 'numbers.given', numbers: [[id, incarnation]] });
				},
				use: (spec, generation) => {
					this.#specs.set(spec.path, spec);
					this.#ahead.set(spec.path, generation);
				},
				exchange: (path, done) => this.#again(path, 'exchange', done),
				restart: (path, done) => this.#again(path, 'restart', done),
				add: (spec, done) => {
					const [above, id] = splitPath(spec.path);
					const settle = (answer: Answer) => done(answer.ok ? null : answer.message);
					const incarnation = this.#incarnations.get(spec.path) ?? 0;
					const asked = { do: 'startChild' as const, id, rule: spec.restart, incarnation };
					this.#request(above, { spec }, settle, (request) => ({ type: 'request', asked: { ...asked, request } }));
				},
				remove: (path, done) => this.#endInstance(path, () => done()),
				isPaused: (spec) => this.#agenda.isPaused(spec),
				takeOver: (spec, children, incarnations) => {
					this.#spec = spec;
					this.#ahead.clear();
					for (const child of children) this.#specs.set(child.path, child);
					// Of a supervisor counts what is declared: what was asked for beside that is known elsewhere.
					for (const child of allOf(spec.root)) if (child.kind === 'supervisor') this.#specs.set(child.path, child);
					for (const [path, incarnation] of incarnations) {
						this.#incarnations.set(path, incarnation);
						this.#changes.set(path, this.kernel.clock.now());
					}
					this.#standbys.switched(new Set(incarnations.keys()));
				},
				news: (...news) => this.#news(...news),
				over: () => {
					this.#ahead.clear();
					this.#endWhenAlone();
					this.#standbys.lookAtAll();
				},
			},
			versions,
		);
	}

	#makeAgenda(): Agenda {
		const settle = (done: (failure: string | null) => void) => (answer: Answer) => done(answer.ok ? null : answer.message);
		return new Agenda({
			kernel: this.kernel,
			spec: () => this.#spec,
			specOf: (path) => this.#specs.get(path),
			resolve: (word) => this.resolve(word),
			isUp: (supervisor) => this.kernel.isActive(supervisorId(supervisor)),
			childrenOf: (supervisor) => this.#childrenOf(supervisor),
			look: (supervisor, done) =>
				this.#request(supervisor, nothing, done, (request) => ({ type: 'request', asked: { do: 'look', request } })),
			restart: (path, done) => this.#again(path, 'restart', done),
			pause: (path, done) => this.#again(path, 'pause', done),
			resume: (path, done) => this.#again(path, 'resume', done),
			startInstance: (path, done) => {
				const [above, id] = splitPath(path);
				const like = this.#specs.get(path) ?? this.#likeOf(path);
				if (like === undefined) return done(`there is no other instance of '${id}'`);
				const incarnation = this.#incarnations.get(path) ?? 0;
				// It may be there and be down: an earlier master had begun it.
				if (this.#childrenOf(above).some((child) => child.id === id)) return this.#again(path, 'restart', done);
				const asked = { do: 'startChild' as const, id, rule: like.restart, incarnation };
				this.#request(above, { spec: like }, settle(done), (request) => ({ type: 'request', asked: { ...asked, request } }));
			},
			endInstance: (path, done) => this.#endInstance(path, done),
			reloads: this.#reloads,
			news: (...news) => this.#news(...news),
		});
	}

	#makeStandbys(): Standbys {
		return new Standbys({
			kernel: this.kernel,
			specOf: (path) => this.#specs.get(path),
			generation: () => this.generation,
			newId: this.#options.newId,
			chance: this.#options.chance,
			start: (run) => this.#startWorker(run, null),
			adopt: (run, left) => {
				this.#options.host.adopt?.(run, left);
				this.#startWorker(run, { pid: left.pid, startTicks: left.startTicks, ready: false, asked: false });
				this.tell(run.workerId, { type: 'adopted' });
			},
			release: ({ workerId, path, incarnation }) => {
				const machine = runId(path, incarnation);
				this.kernel.remove(machine);
				this.#runs.delete(machine);
				this.#machines.delete(workerId);
			},
			isReloading: () => this.#reloads?.holds ?? false,
			gone: () => this.#endWhenAlone(),
			news: (...news) => this.#news(...news),
		});
	}

	/** The tree has ended when nobody of it is left: not what a reload had in its hands, and no spare. */
	#endWhenAlone(): void {
		if (this.#end !== null && !this.#reloads?.isActive && this.#standbys.isEmpty) this.#options.ended(this.#end);
	}

	#childrenOf(supervisor: string): Child[] {
		const context = this.kernel.context(supervisorId(supervisor)) as Partial<MasterContext> | undefined;
		return [...(context?.children?.values() ?? [])];
	}

	/** One more instance is like its siblings. */
	#likeOf(path: string): ChildSpec | undefined {
		const [above, id] = splitPath(path);
		const declaredId = id.replace(/\.\d+$/, '');
		const sibling = [...this.#specs.values()].find(
			(spec) => splitPath(spec.path)[0] === above && spec.declaredId === declaredId && spec.id !== declaredId,
		);
		return sibling === undefined ? undefined : instanceOf(sibling, Number(id.slice(declaredId.length + 1)));
	}

	/** Stops a child and forgets it. One that is not there is not there. */
	#endInstance(path: string, done: (failure: string | null) => void, tries = MAX_TRIES): void {
		const [above, id] = splitPath(path);
		const ask = (what: Omitted<Asked>, settle: (answer: Answer) => void) =>
			this.#request(above, nothing, settle, (request) => ({ type: 'request', asked: { ...what, request } }));
		ask({ do: 'terminateChild', id, alone: true }, () =>
			ask({ do: 'deleteChild', id }, (answer) => {
				// A group restart has come between the two.
				if (!answer.ok && (answer.code === 'running' || answer.code === 'restarting') && tries > 1)
					return this.#endInstance(path, done, tries - 1);
				const isGone = answer.ok || answer.code === 'not_found' || answer.code === 'stopping';
				if (isGone) this.#forget(path);
				done(isGone ? null : answer.message);
			}),
		);
	}

	/**
	 * Adds a child to a supervisor, last in its order, and starts it; or, under a dynamic supervisor, one more of its children.
	 * Resolves when it is up. Rejects with a `SpecError`, or a `RequestError` (already_present, already_started, start_failed:
	 * then nothing is kept of it).
	 */
	startChild(supervisor: string, child: ChildDeclaration | MemberDeclaration): Promise<Started> {
		if (this.#reloads?.holds) return Promise.reject(this.#reloading());
		return new Promise((resolve, reject) => {
			const { path, asked, about } = 'kind' in child ? this.#addition(supervisor, child) : this.#membership(supervisor, child);
			const [above] = splitPath(path);
			this.#askFor(above, asked, about, (incarnation) => resolve({ path, incarnation }), reject);
		});
	}

	/** Stops a child, and does not restart it. Resolves when it is dead. Its declaration is kept, unless it is temporary. */
	async terminateChild(supervisor: string, id: string): Promise<void> {
		if (this.#reloads?.holds) throw this.#reloading();
		await this.#ask(this.#partition(supervisor, id), { do: 'terminateChild', id });
	}

	/** Starts a child that is down. Rejects with running, restarting, not_found or start_failed. */
	async restartChild(supervisor: string, id: string): Promise<Started> {
		if (this.#reloads?.holds) throw this.#reloading();
		const incarnation = await this.#ask(this.#partition(supervisor, id), { do: 'restartChild', id });
		return { path: joinPath(supervisor, id), incarnation };
	}

	/** Forgets a child that is down. Rejects with running, restarting or not_found. */
	async deleteChild(supervisor: string, id: string): Promise<void> {
		if (this.#reloads?.holds) throw this.#reloading();
		await this.#ask(this.#partition(supervisor, id), { do: 'deleteChild', id });
	}

	/**
	 * Starts or stops instances of a child that is declared with `instances`, until there are `count`: those with the highest
	 * numbers come and go. So many there are from then on, also when their supervisor starts again, until a new version of the spec
	 * declares another number. Rejects with a `RequestError`: then there are as many as before.
	 */
	async scale(word: string, count: number, asked = this.#asked('scale', word, count)): Promise<Scaled> {
		if (!Number.isInteger(count) || count < 1 || count > MAX_INSTANCES)
			throw new RequestError('failed', `expected a number of instances from 1 to ${MAX_INSTANCES}, got ${String(count).slice(0, 40)}`);
		const { steps, counts, end } = await this.operate(asked);
		if (end?.ok !== true) throw new RequestError((end?.code ?? 'failed') as RequestError['code'], end?.message ?? '');
		const ids = (what: string) => steps.filter((step) => step.what === what).map(({ path }) => splitPath(path)[1]);
		return { from: counts?.from ?? count, to: counts?.to ?? count, started: ids('start'), stopped: ids('stop') };
	}

	/** The children of a supervisor, in start order, once nothing is going on among them. */
	async whichChildren(supervisor: string): Promise<Listed[]> {
		const lists = this.#partitions(supervisor).map(async (path) => {
			const spec = this.#supervisor(path);
			let listed: Listed[] = [];
			// As it is when its turn has come, not when the promise is.
			await this.#ask(path, { do: 'look' }, { taken: () => (listed = listOf(this.#known, spec)) });
			return listed;
		});
		return (await Promise.all(lists)).flat();
	}

	/** The declaration of a child, with its defaults (OTP's `get_childspec`). Throws a `RequestError` if there is none. */
	childSpec(supervisor: string, id: string): ChildSpec {
		const above = this.#supervisor(supervisor);
		const known = above.kind !== 'dynamic' || listOf(this.#known, above).some((child) => child.id === id);
		const spec = known ? this.#specOf(joinPath(supervisor, id)) : undefined;
		if (spec === undefined) throw new RequestError('not_found', `there is no child '${id}'`);
		return spec;
	}

	async countChildren(supervisor: string): Promise<Counts> {
		const listed = await this.whichChildren(supervisor);
		return countsOf(this.#supervisor(this.#partitions(supervisor)[0] as string), listed);
	}

	/** The pid and incarnation of a path, if it runs. */
	present(path: string): { pid: number | null; incarnation: number } {
		const incarnation = this.#incarnations.get(path) ?? 0;
		const context = this.kernel.context(runId(path, incarnation)) as WorkerContext | undefined;
		return { pid: context?.pid ?? null, incarnation };
	}

	/** What is declared for a path; of the child of a dynamic supervisor its template, whether or not there is such a child now. */
	specOf(path: string): ChildSpec | undefined {
		return this.#specOf(path);
	}

	/** State of the root: starting while leftovers are being stopped. */
	get state(): string {
		return this.kernel.state(supervisorId(''))?.split('.')[0] ?? 'starting';
	}

	/** The root itself, as `viewAt` shows the others. */
	get root(): Pick<ChildView, 'substate' | 'sinceMs'> & { state: string; strategy: Strategy; count: number } {
		const { strategy, children } = this.#spec.root;
		const context = this.kernel.context(supervisorId('')) as MasterContext | undefined;
		const [, ...below] = this.kernel.state(supervisorId(''))?.split('.') ?? [];
		return {
			state: this.state,
			substate: below.length > 0 ? below.join('.') : null,
			sinceMs: this.#changes.get('') ?? null,
			strategy,
			count: context?.children.size ?? children.length,
		};
	}

	get view(): ChildView[] {
		return viewOf(this.#known, this.#spec.root);
	}

	/** One child, without what is below it; null: there is none of that path now. */
	viewAt(path: string): ChildView | null {
		return viewAt(this.#known, path);
	}

	/** The paths of the children of a supervisor, in start order: none if it is no supervisor; of a dynamic one the first hundred. */
	childPaths(path: string): string[] {
		const spec = path === '' ? this.#spec.root : this.#specs.get(path);
		return spec !== undefined && supervises(spec) ? childPaths(this.#known, spec) : [];
	}

	/** As `orderOf`; null also if there is no such supervisor. */
	orderOf(path: string): readonly string[] | null {
		const spec = path === '' ? this.#spec.root : this.#specs.get(path);
		return spec !== undefined && supervises(spec) ? orderOf(this.#known, spec) : null;
	}

	#specOf(path: string): ChildSpec | undefined {
		const known = this.#specs.get(path);
		if (known !== undefined) return known;
		const above = this.#specs.get(splitPath(path)[0]);
		return above?.kind === 'dynamic' ? above.template : undefined;
	}

	/** Throws a `RequestError` if there is none of that path. */
	#supervisor(path: string): SupervisingSpec {
		const spec = path === '' ? this.#spec.root : this.#specs.get(path);
		if (spec === undefined) throw new RequestError('not_found', `there is no child '${path}'`);
		if (!supervises(spec)) throw new RequestError('not_a_supervisor', `'${path}' is no supervisor`);
		return spec;
	}

	/** A supervisor, or all the partitions that have that name in common. */
	#partitions(path: string): string[] {
		if (path === '' || this.#specs.has(path)) return [path];
		const partitions = this.resolve(path);
		return partitions.length === 0 ? [path] : partitions;
	}

	/** Whose a child of that name is. */
	#partition(path: string, id: string): string {
		const partitions = this.#partitions(path);
		let sum = 0;
		for (let at = 0; at < id.length; at++) sum = (sum * 31 + id.charCodeAt(at)) >>> 0;
		return partitions[sum % partitions.length] as string;
	}

	/** What is to be asked for a child that is added. Throws what is wrong with it. */
	#addition(supervisor: string, child: ChildDeclaration): { path: string; asked: Omitted<Asked>; about: About } {
		const above = this.#supervisor(supervisor);
		if (above.kind === 'dynamic')
			throw new RequestError('dynamic', `'${supervisor}' starts only children like its template: give { id?, input? }`);
		const spec = resolveChild(child, above);
		const { id, path, restart: rule } = spec;
		return { path, asked: { do: 'startChild', id, rule, incarnation: this.#incarnations.get(path) ?? 0 }, about: { spec } };
	}

	/** What is to be asked for one more child of a dynamic supervisor. */
	#membership(supervisor: string, { id: given, input }: MemberDeclaration): { path: string; asked: Omitted<Asked>; about: About } {
		const first = this.#supervisor(this.#partitions(supervisor)[0] as string);
		if (first.kind !== 'dynamic')
			throw new RequestError('failed', `'${supervisor}' is not dynamic: give it a declaration, such as actor(…)`);
		const id = given ?? `${first.template.declaredId}-${this.#nextMember++}`;
		if (!ID.test(id)) throw new RequestError('failed', `expected an id of lower-case letters, digits, - and _, got '${id.slice(0, 60)}'`);
		const path = joinPath(this.#partition(supervisor, id), id);
		return {
			path,
			asked: { do: 'startChild', id, rule: first.template.restart, incarnation: 0 },
			about: input === undefined ? nothing : { input },
		};
	}

	#ask(supervisor: string, what: Omitted<Asked>, about: About = nothing): Promise<number | null> {
		return new Promise((resolve, reject) => {
			this.#supervisor(supervisor);
			this.#askFor(supervisor, what, about, resolve, reject);
		});
	}

	#askFor(
		supervisor: string,
		what: Omitted<Asked>,
		about: About,
		done: (incarnation: number | null) => void,
		refused: (error: RequestError) => void,
	): void {
		const settle = (answer: Answer) => (answer.ok ? done(answer.incarnation) : refused(new RequestError(answer.code, answer.message)));
		this.#request(supervisor, about, settle, (request) => ({ type: 'request', asked: { ...what, request } as Asked }));
	}

	#request(supervisor: string, about: About, settle: (answer: Answer) => void, event: (request: string) => { type: string }): void {
		if (!this.kernel.isActive(supervisorId(supervisor))) return settle(this.#notRunning(supervisor));
		const request = String(this.#nextRequest++);
		this.#requests.set(request, { supervisor, settle, about });
		this.kernel.send(supervisorId(supervisor), event(request));
	}

	#notRunning(supervisor: string): Answer {
		return { ok: false, code: 'stopping', message: `its supervisor '${supervisor || this.#spec.id}' is not running` };
	}

	#learn(supervisor: SupervisorSpec): void {
		for (const child of supervisor.children) {
			this.#specs.set(child.path, child);
			if (child.kind === 'supervisor') this.#learn(child);
		}
	}

	/** What came by request and is gone, with all that is below it. */
	#forget(path: string): void {
		const used = this.#incarnations.get(path);
		for (const known of [...this.#specs.keys()]) if (known.startsWith(`${path}/`)) this.#forgetOne(known);
		this.#forgetOne(path);
		// It had taken the name of one that is declared, and comes back with its supervisor.
		const [above] = splitPath(path);
		const supervisor = above === '' ? this.#spec.root : this.#specs.get(above);
		const declared = supervisor?.kind === 'supervisor' ? supervisor.children.find((child) => child.path === path) : undefined;
		if (declared === undefined) return;
		this.#specs.set(path, declared);
		if (declared.kind === 'supervisor') this.#learn(declared);
		if (used !== undefined) this.#incarnations.set(path, used);
	}

	#forgetMember(path: string): void {
		this.#inputs.delete(path);
		this.#options.host.discard?.(path);
	}

	#forgetOne(path: string): void {
		const spec = this.#specs.get(path);
		if (spec !== undefined && supervises(spec)) this.kernel.remove(supervisorId(path));
		this.#specs.delete(path);
		this.#forgetMember(path);
		this.#incarnations.delete(path);
		this.#lastExits.delete(path);
		this.#changes.delete(path);
	}

	#startSupervisor(declared: SupervisingSpec): void {
		const effects = this.#supervisorEffects(declared);
		const id = supervisorId(declared.path);
		if (declared.kind === 'dynamic') return this.kernel.start(id, dynamicMachine, { spec: declared }, effects);
		const { children, paused } = this.#agenda.childrenOf(declared);
		const spec = { ...declared, children };
		for (const child of children) if (!this.#specs.has(child.path)) this.#specs.set(child.path, child);
		const used = children.map(({ id: child, path }): [string, number] => [
			child,
			Math.max(this.#incarnations.get(path) ?? 0, this.#given.get(path) ?? 0),
		]);
		const machine = this.#options.machines?.master ?? masterMachine;
		this.kernel.start(id, machine, { spec, incarnations: new Map(used), paused }, effects);
	}

	/**
	 * Goes on with what an earlier master left. First all machines are there, each where it was; then the supervisors go on with
	 * what they had in mind, from the root down; then the facts are told.
	 */
	#goOn(all: Legacy): void {
		const supervisors: string[] = [];
		const facts: Array<() => void> = [];
		const goOn = this.#agenda.recall(all.journal);
		const rollout = all.journal.get('rollout') as SavedRollout | undefined;
		const legacy = rollout === undefined ? all : this.#undoOrComplete(all, rollout, facts);
		this.#resume(this.#spec.root, legacy, supervisors, facts);
		// What a reload has begun or replaced was in use: it may finish what it does.
		const how = rollout === undefined || rollout.state === 'done' ? 'fast' : 'drain';
		for (const [path, incarnation] of all.asked) this.#standbys.know(path, incarnation);
		this.#standbys.adopt(all.found.filter(({ path }) => isSparePath(path)));
		const { begun } = this.#advance;
		for (const each of all.found)
			if (each.ended === null && !begun.has(each) && !this.#machines.has(each.workerId)) this.#stopStray(each, how);
		if (this.#stopped !== null) this.kernel.send(supervisorId(''), { type: 'stop', mode: this.#stopped });
		for (const path of supervisors) this.kernel.send(supervisorId(path), { type: 'resumed' });
		for (const fact of facts) fact();
		for (const each of begun) if (!this.#machines.has(each.workerId)) this.#options.host.dismiss?.(each);
		goOn();
		if (this.#stopped !== null) this.#agenda.stop();
	}

	/** An earlier master was in the middle of a reload: before the switch it is undone, after it what is old goes. */
	#undoOrComplete(all: Legacy, rollout: SavedRollout, facts: Array<() => void>): Legacy {
		const { generation, switched, candidates, exchanges, state } = rollout;
		const paths = new Set(candidates.map(({ path }) => path));
		const ids = new Set(candidates.map(({ workerId }) => workerId));
		if (state === 'done') {
			this.#reloads?.resume(rollout, null);
			return all;
		}
		if (switched) {
			this.#options.journal?.write({ rollout: null });
			this.#news('info', '', 'reload.done', `generation ${generation} is in force; an earlier master had begun the reload`, { generation });
			return { ...all, found: all.found.filter((each) => !paths.has(each.path) || each.generation >= generation) };
		}
		const reason = 'the master ended while the reload went on';
		this.#reloads?.resume(rollout, reason);
		const outcome = { result: 'rolledBack', lines: [reason], exitCode: 1 };
		this.#options.journal?.write({ rollout: { ...rollout, state: 'done', candidates: [], exchanges: [], outcome } });
		this.#news('error', '', 'reload.rolledBack', `reload rolled back: ${reason}`, { generation, reason });
		const journal = new Map(all.journal);
		for (const { path, what, phase } of exchanges) {
			if (phase === 'waiting' || phase === 'restored') continue;
			if (what === 'add') journal.delete(childKey(path));
			else facts.push(() => this.#again(path, 'restart', () => {}));
		}
		return { ...all, journal, found: all.found.filter(({ workerId }) => !ids.has(workerId)) };
	}

	#resume(spec: SupervisorSpec, legacy: Legacy, supervisors: string[], facts: Array<() => void>): void {
		const { path } = spec;
		const { journal, found, asked } = legacy;
		const within = path === '' ? childKey('') : `${childKey(path)}/`;
		const saved = new Map<string, SavedChild>();
		for (const [key, value] of journal)
			if (key.startsWith(within) && !key.slice(within.length).includes('/')) saved.set(key.slice(within.length), value as SavedChild);
		for (const { id } of spec.children) {
			const known = saved.get(id);
			// It may have come by a reload that has made it a declared one.
			if (known !== undefined && !('deleted' in known) && known.added) saved.set(id, { ...known, added: false });
		}
		const mind = journal.get(supervisorKey(path)) as SavedSupervisor | undefined;
		const desired = this.#agenda.childrenOf(spec);
		const known = mind === undefined ? desired.children : spec.children;
		const declared = withAdded(known, addedTo({ ...spec, children: known }, saved));
		for (const child of declared) if (!this.#specs.has(child.path)) this.#specs.set(child.path, child);
		const isBelow = (each: string) => splitPath(each)[0] === path;
		const processes = new Map<string, [Leftover, ...Leftover[]]>();
		for (const each of found.filter((one) => isBelow(one.path))) {
			const [, id] = splitPath(each.path);
			const others = processes.get(id);
			processes.set(id, others === undefined ? [each] : [...others, each]);
		}
		const here = new Map<string, Leftover>();
		for (const [id, all] of processes) {
			const known = saved.get(id);
			const incarnation = known !== undefined && 'incarnation' in known ? known.incarnation : 0;
			const { present, next } = presentOf(all, incarnation);
			here.set(id, present);
			if (next !== null) this.#advance.recall(present, next);
		}
		const { resumed, fates } = reconcile(
			declared,
			{
				supervisor: mind ?? null,
				paused: desired.paused,
				children: saved,
				found: here,
				asked: new Map([...asked].filter(([each]) => isBelow(each)).map(([each, incarnation]) => [splitPath(each)[1], incarnation])),
				anew: legacy.isOfEarlierRun === true && (journal.get(supervisorKey('')) as SavedSupervisor | undefined)?.end != null,
			},
			this.kernel.clock.now(),
		);
		for (const [id, { incarnation, lastExit }] of resumed.children) {
			const child = joinPath(path, id);
			this.#incarnations.set(child, incarnation);
			if (lastExit !== null) this.#lastExits.set(child, lastExit);
		}
		const machine = this.#options.machines?.master ?? masterMachine;
		this.kernel.start(supervisorId(path), machine, { spec, resumed }, this.#supervisorEffects(spec));
		supervisors.push(path);
		for (const fate of fates) {
			const child = this.#specs.get(joinPath(path, fate.id));
			if (child?.kind === 'supervisor' && hasBegun(fate.incarnation, leftOf(child.path, legacy)))
				this.#resume(child, legacy, supervisors, facts);
			else if (child?.kind === 'supervisor')
				facts.push(() => this.#begin(child.path, fate.incarnation, () => this.#startSupervisor(child)));
			else if (child !== undefined) this.#meet(spec, child, fate, facts);
			if (child?.kind === 'supervisor') facts.push(() => this.#remindToStop(child.path, fate.incarnation));
		}
	}

	/** Starts what an earlier master had only decided; unless it has been asked to go by now, or is nobody's any more. */
	#begin(path: string, incarnation: number, start: () => void): void {
		const child = this.#childAt(path);
		if (child?.incarnation !== incarnation || child.phase === 'down') return;
		const isStopping = this.kernel.state(supervisorId(splitPath(path)[0]))?.startsWith('draining') === true;
		if (child.phase !== 'draining' && !isStopping) return start();
		const neverWas = { reason: 'shutdown' as const, code: null, signal: null, at: this.kernel.clock.now(), maxRssBytes: null };
		this.#reportToSupervisor(path, incarnation, neverWas);
	}

	/** An earlier master may have died between the intent to stop a supervisor and its stop. */
	#remindToStop(path: string, incarnation: number): void {
		const [above, id] = splitPath(path);
		const child = this.#childAt(path);
		if (child?.phase !== 'draining' || child.incarnation !== incarnation) return;
		const { operations } = this.kernel.context(supervisorId(above)) as MasterContext;
		const mode = operations.find(({ scope, phase }) => phase === 'stopping' && scope.includes(id))?.mode ?? 'drain';
		this.kernel.send(supervisorId(path), { type: 'stop', mode });
	}

	#childAt(path: string): Child | undefined {
		const [above, id] = splitPath(path);
		return (this.kernel.context(supervisorId(above)) as Partial<MasterContext> | undefined)?.children?.get(id);
	}

	/** What becomes of one child, now that this master is here. */
	#meet(above: SupervisorSpec, spec: Exclude<ChildSpec, SupervisorSpec>, fate: Fate<Leftover>, facts: Array<() => void>): void {
		const { incarnation } = fate;
		const { path } = spec;
		if (spec.kind === 'dynamic') return void facts.push(() => this.#begin(path, incarnation, () => this.#startSupervisor(spec)));
		switch (fate.do) {
			case 'supervise':
				return;
			case 'launch':
				return void facts.push(() => this.#begin(path, incarnation, () => this.#launch(path, incarnation, above)));
			case 'lose': {
				const workerId = this.#options.newId();
				this.#startWorker(
					{ workerId, path, incarnation, generation: this.generation, spec, stop: spec.stop },
					{ pid: 0, startTicks: 0, ready: fate.ready, asked: fate.asked },
				);
				return void facts.push(() => this.tell(workerId, { type: 'process.exited', ...nobodySaw, at: this.kernel.clock.now() }));
			}
			case 'adopt': {
				const { found, ready, drain } = fate;
				const { workerId, pid, startTicks, ended, generation } = found;
				const run: Run = { workerId, path, incarnation, generation, spec, stop: spec.stop };
				this.#options.host.adopt?.(run, found);
				this.#startWorker(run, { pid, startTicks, ready, asked: drain !== null });
				const state = ended === null ? `lives as pid ${pid}` : 'has died meanwhile';
				this.#news('info', path, 'child.adopted', `${path} ${state}; its earlier master is gone`, { pid, incarnation });
				return void facts.push(() => {
					if (ended !== null)
						return this.#advance.tell(found, () => this.tell(workerId, { type: 'process.exited', ...ended, maxRssBytes: null }));
					this.tell(workerId, { type: 'adopted' });
					if (drain !== null) this.tell(workerId, { type: 'drain', mode: drain });
				});
			}
		}
	}

	/** A process that nobody has in mind any more. */
	#stopStray(stray: Leftover, mode: StopMode): void {
		const { workerId, path, incarnation, generation, pid, startTicks, stop } = stray;
		this.#news(
			'warn',
			path,
			'child.leftover',
			`${path} (pid ${pid}) was started by an earlier master, is no longer wanted, and is stopped`,
		);
		const run: Run = { workerId, path, incarnation, generation, spec: null, stop };
		this.#options.host.adopt?.(run, stray);
		this.#startWorker(run, { pid, startTicks, ready: true, asked: true });
		this.tell(workerId, { type: 'adopted' });
		this.tell(workerId, { type: 'drain', mode });
	}

	/** All that the journal would hold now. */
	mind(): Record<string, unknown> {
		const set: Record<string, unknown> = { ...this.#reloads?.mind(), ...this.#agenda.mind() };
		for (const spec of [this.#spec.root, ...this.#specs.values()]) if (spec.kind === 'supervisor') Object.assign(set, this.#mind.of(spec));
		return set;
	}

	/** What a machine has in mind after a step, before it is done. */
	#writeDown(machine: string, asked: readonly AskedOfWorld[]): void {
		const set = isRollout(machine)
			? (this.#reloads as Reloads).record()
			: isAgenda(machine)
				? this.#agenda.record()
				: this.#mind.changed(machine, asked);
		if (Object.keys(set).length > 0) this.#options.journal?.write(set);
	}

	#supervisorEffects(spec: SupervisingSpec): Effects<MasterEffects> {
		const { path } = spec;
		const childPath = (id: string) => joinPath(path, id);
		return {
			launchChild: ({ id, incarnation }) => this.#launch(childPath(id), incarnation, spec),
			drainChild: ({ id, incarnation, mode }) => {
				const child = this.#specs.get(childPath(id));
				if (child !== undefined && supervises(child)) this.kernel.send(supervisorId(child.path), { type: 'stop', mode });
				else this.kernel.send(runId(childPath(id), incarnation), { type: 'drain', mode });
			},
			answer: ({ request, answer }) => {
				const pending = this.#requests.get(request);
				this.#requests.delete(request);
				pending?.about.taken?.();
				pending?.settle(answer);
			},
			addChild: ({ id, request }) => {
				const { spec: added, input } = this.#requests.get(request)?.about ?? {};
				if (added !== undefined) {
					this.#specs.set(childPath(id), added);
					if (added.kind === 'supervisor') this.#learn(added);
				}
				if (input !== undefined) this.#inputs.set(childPath(id), input);
			},
			forgetChild: ({ id }) => {
				if (spec.kind === 'dynamic') this.#forgetMember(childPath(id));
				else this.#forget(childPath(id));
			},
			reportRestart: ({ id, exit, delayMs, siblings }) => {
				const when = delayMs > 0 ? `restarts in ${delayMs} ms` : 'restarts';
				const whom = siblings.length > 0 ? ` with ${siblings.join(', ')}` : '';
				this.#news('warn', childPath(id), 'child.restart', `${childPath(id)} ${when}${whom}`, { exit, delayMs, siblings });
			},
			reportEnd: ({ id, exit }) =>
				this.#news('info', childPath(id), 'child.finished', `${describe(childPath(id), exit)}; not restarted`, { exit }),
			reportGivingUp: ({ id, exit, why }) =>
				this.#news('error', childPath(id), 'child.gaveUp', `${describe(childPath(id), exit)}; not restarted: ${why}`, { exit }),
			reportReady: () => {
				if (path === '') return this.#options.running();
				const [above, id] = splitPath(path);
				const incarnation = this.#incarnations.get(path) ?? 0;
				this.kernel.send(supervisorId(above), { type: 'child.ready', id, incarnation, at: this.kernel.clock.now() });
			},
			reportDeath: ({ end }) => this.#supervisorEnded(spec, end),
		};
	}

	#launch(path: string, incarnation: number, above: SupervisingSpec): void {
		const dynamic = above.kind === 'dynamic';
		// As it is declared by now.
		const child = dynamic ? (this.#specOf(path) as ChildSpec) : (this.#specs.get(path) as ChildSpec);
		if (!dynamic) this.#incarnations.set(path, incarnation);
		if (supervises(child)) return this.#startSupervisor(child);
		const generation = this.#ahead.get(path) ?? this.generation;
		const begun = this.#advance.take({ path, incarnation, generation });
		if (begun !== null) return this.#launchBegun(begun, child);
		const spare = this.#spareFor(path);
		// Within this process a short name is enough.
		const workerId = spare?.workerId ?? (child.kind === 'actor' ? `a${this.#nextActor++}` : this.#options.newId());
		const input = dynamic ? this.#inputs.get(path) : undefined;
		const run: Run = { workerId, path, incarnation, generation, spec: child, stop: child.stop };
		if (spare !== null) run.standby = 'activated';
		this.#startWorker(input === undefined ? run : { ...run, input }, null);
	}

	/** What would follow if it crashed now, where that may be ordered in advance. */
	#nextOf({ path, incarnation }: Run): Omit<Run, 'workerId'> | null {
		const spec = this.#specs.get(path);
		if (spec === undefined || supervises(spec) || !mayBeOrdered(spec)) return null;
		// A reload has others in hand.
		if (this.#reloads?.isActive || this.#incarnations.get(path) !== incarnation) return null;
		const [above, id] = splitPath(path);
		const supervision = this.kernel.context(supervisorId(above)) as MasterContext | undefined;
		const next = supervision === undefined ? null : nextAfterCrash(supervision, id, this.kernel.clock.now());
		return next === null ? null : { path, incarnation: next, generation: this.generation, spec, stop: spec.stop };
	}

	/** It was ordered in advance, and runs already. */
	#launchBegun(next: Leftover, spec: Exclude<ChildSpec, SupervisingSpec>): void {
		const { workerId, path, incarnation, generation, pid, startTicks } = next;
		const run: Run = { workerId, path, incarnation, generation, spec, stop: spec.stop };
		this.#options.host.adopt?.(run, next);
		this.#startWorker(run, { pid, startTicks, ready: false, asked: false });
		this.tell(workerId, { type: 'adopted' });
	}

	/** In the place of a new process; null: there is none, or none is to be taken. */
	#spareFor(path: string): Run | null {
		const unasked = this.#unasked.get(path);
		this.#unasked.delete(path);
		// Whoever asks for a restart means all that has changed since.
		if (unasked === false) this.#standbys.renew(path);
		return unasked === true && !this.#ahead.has(path) ? this.#standbys.take(path) : null;
	}

	#supervisorEnded({ path, ...spec }: SupervisingSpec, end: SupervisorEnd): void {
		for (const [request, { supervisor, settle }] of this.#requests) {
			if (supervisor !== path) continue;
			this.#requests.delete(request);
			settle(this.#notRunning(path));
		}
		// When it starts again, it has only what was declared, and the instances that were asked for.
		if (spec.kind === 'supervisor') {
			const context = this.kernel.context(supervisorId(path)) as MasterContext | undefined;
			const declared = new Set(spec.children);
			const asked = this.#agenda.childrenOf({ ...spec, path }).children.filter((child) => !declared.has(child));
			const stay = new Set(asked.map(({ id }) => id));
			for (const { id, added } of context?.children.values() ?? []) if (added && !stay.has(id)) this.#forget(joinPath(path, id));
		}
		if (path === '') {
			this.#end = end;
			if (this.#reloads?.isActive) this.#reloads.stop(end.why === 'asked' ? 'drain' : 'fast');
			if (!this.#standbys.isEmpty) this.#standbys.stop('fast');
			return this.#endWhenAlone();
		}
		const { why, reason, message } = end;
		if (why === 'exhausted' || why === 'startFailed')
			this.#news('error', path, `supervisor.${why}`, `supervisor ${path} gave up: ${message}`);
		else if (why !== 'asked') this.#news('warn', path, `supervisor.${why}`, `supervisor ${path} ended: ${message}`);
		this.#reportToSupervisor(path, this.#incarnations.get(path) ?? 0, {
			reason,
			code: null,
			signal: null,
			at: this.kernel.clock.now(),
			maxRssBytes: null,
			...(why === 'asked' ? {} : { detail: message }),
		});
	}

	#startWorker(run: Run, adopted: WorkerInput['adopted'], readyTimeoutMs: number | null = null): void {
		const { workerId, path, incarnation, spec } = run;
		const machine = runId(path, incarnation);
		this.#runs.set(machine, run);
		this.#machines.set(workerId, machine);
		const input: WorkerInput = {
			workerId,
			path,
			incarnation,
			heartbeat: spec?.heartbeat ?? null,
			live: spec?.live ?? null,
			readyTimeoutMs: readyTimeoutMs ?? spec?.ready.timeoutMs ?? run.stop.terminateMs,
			stop: run.stop,
			okCodes: spec?.restart.okCodes ?? okCodes,
			adopted,
		};
		this.kernel.start(machine, this.#options.machines?.worker ?? workerMachine, input, this.#workerEffects);
	}

	/** One for all: there may be very many, so none has its own. */
	#makeWorkerEffects(): Effects<WorkerEffects> {
		const { host } = this.#options;
		const of = (machine: string) => this.#runs.get(machine) as Run;
		return {
			launch: (_, machine) => {
				const run = of(machine);
				if (run.standby === 'activated') host.activate?.(run);
				else host.launch(run);
			},
			watchReadiness: (_, machine) => host.watchReadiness(of(machine)),
			watchLiveness: (_, machine) => host.watchLiveness(of(machine)),
			askToDrain: (_, machine) => host.askToDrain(of(machine)),
			terminate: (_, machine) => host.terminate(of(machine)),
			kill: (_, machine) => host.kill(of(machine)),
			reportReady: (_, machine) => {
				const run = of(machine);
				if (this.#reloads?.owns(run)) return this.#reloads.becameReady(run);
				if (this.#standbys.owns(run)) return this.#standbys.loaded(run);
				const { path, incarnation } = run;
				const [above, id] = splitPath(path);
				this.kernel.send(supervisorId(above), { type: 'child.ready', id, incarnation, at: this.kernel.clock.now() });
				this.#standbys.look(path);
			},
			reportSuspect: ({ why }, machine) => {
				const { path } = of(machine);
				this.#news('warn', path, 'child.suspect', `${path} is suspect: ${why}`);
			},
			raiseAlarm: ({ pid }, machine) => {
				const { path } = of(machine);
				const message = `${path} (pid ${pid}) will not die, even of SIGKILL; its place stays reserved`;
				this.#news('error', path, 'child.stuck', message);
			},
			reportDeath: ({ exit }, machine) => {
				const run = of(machine);
				const { doom } = this.kernel.context(machine) as WorkerContext;
				host.forget(run);
				this.#runs.delete(machine);
				this.#machines.delete(run.workerId);
				this.#advance.forget(run.workerId);
				this.kernel.remove(machine);
				if (this.#reloads?.owns(run)) this.#reloads.died(run, exit);
				else if (this.#standbys.owns(run)) this.#standbys.died(run, exit);
				else if (run.spec !== null) {
					if (run.spec.kind === 'node' && run.spec.standby > 0) this.#unasked.set(run.path, takesSpare({ doom }));
					// Before its supervisor makes something of it.
					if (run.generation > this.generation) this.#reloads?.failed(run, exit);
					this.#reportToSupervisor(run.path, run.incarnation, exit);
					this.#standbys.look(run.path);
				}
			},
		};
	}

	#reportToSupervisor(path: string, incarnation: number, exit: Exit): void {
		if (this.#specs.has(path)) this.#lastExits.set(path, exit);
		const [above, id] = splitPath(path);
		this.kernel.send(supervisorId(above), { type: 'child.died', id, incarnation, exit, chance: this.#options.chance() });
	}

	#news(level: TreeNews['level'], path: string, event: string, message: string, detail?: Record<string, unknown>): void {
		this.#options.news({ level, path, event, message, ...(detail === undefined ? {} : { detail }) });
	}
}

/** What is about several children, or the whole tree. */
export const isOfTree = (machine: string) => isRollout(machine) || isAgenda(machine) || isPool(machine);

function reloadedOf({ steps, end }: TreeOperation): Reloaded {
	const told = steps[0]?.result as Reloaded | undefined;
	return told ?? { result: 'refused', generation: 0, lines: [end?.message ?? ''], exitCode: 1, changes: [], tookMs: 0 };
}

/** Each of a union without the name of the request. */
type Omitted<Union> = Union extends unknown ? Omit<Union, 'request'> : never;
/** Until a child that is to go stays gone. */
const MAX_TRIES = 5;
const okCodes = [0];
const nothing: About = {};
/** What an earlier master left of a supervisor itself. */
const leftOf = (path: string, { journal, found }: Legacy) => ({
	supervisor: (journal.get(supervisorKey(path)) as SavedSupervisor | undefined) ?? null,
	isAboveKnown: journal.has(supervisorKey(splitPath(path)[0])),
	isAnybodyThere: found.some((each) => each.path.startsWith(`${path}/`)),
});
/** Instances that came by request are like their siblings. */
function addedTo({ path, children }: SupervisorSpec, saved: ReadonlyMap<string, SavedChild>): ChildSpec[] {
	const known = new Set(children.map(({ id }) => id));
	return [...saved.keys()].flatMap((id) => {
		const declaredId = id.replace(/\.\d+$/, '');
		const like = known.has(id) ? undefined : children.find((child) => child.declaredId === declaredId && child.id !== declaredId);
		return like === undefined ? [] : [{ ...like, id, path: joinPath(path, id) }];
	});
}
/** The end of a process that was gone when somebody came to look. */
const nobodySaw = { code: null, signal: null, maxRssBytes: null, reason: 'lost' as const };
