/**
 * The operations of a tree at work: which effect of the agenda does what. It speaks only to supervisors and to reloads; how far an
 * operation of an earlier master has come it learns from what there is, not from what was asked.
 */
import {
	type AgendaContext,
	type AgendaEffects,
	type AgendaEvent,
	type AskedOperation,
	agendaMachine,
	type OperationStep,
	operationsIn,
	remainderOf,
	type TreeOperation,
} from '../../machines/agenda.ts';
import {
	asDeclared,
	changeOfInstances,
	childrenAsDesired,
	type Desired,
	declaredCount,
	hasInstances,
	isPaused,
	stillMeant,
	withInstances,
	withoutPaused,
	withPaused,
	wordOf,
} from '../../machines/desired.ts';
import { type Child, describe } from '../../machines/operations.ts';
import type { ChildSpec, SupervisorSpec, TreeSpec } from '../../machines/spec.ts';
import type { Effects, Kernel } from '../kernel/kernel.ts';
import { joinPath, splitPath } from './paths.ts';
import type { Planned, Reloaded, Reloads } from './reloads.ts';
import { RequestError, type TreeNews } from './tree.ts';

const AGENDA = 'agenda';
export const isAgenda = (machine: string) => machine === AGENDA;
const KEY = 'operation:';
const DESIRED = 'desired';

/** What operations need of the tree. `done` is told why not, or null. */
export interface Ground {
	kernel: Kernel;
	spec(): TreeSpec;
	specOf(path: string): ChildSpec | undefined;
	/** The paths that a word means. */
	resolve(word: string): string[];
	/** Whether a supervisor can be asked for anything. */
	isUp(supervisor: string): boolean;
	/** What a supervisor knows of its children, in start order. */
	childrenOf(supervisor: string): Child[];
	/** Calls back when nobody has a hand in any child of a supervisor. */
	look(supervisor: string, done: () => void): void;
	restart(path: string, done: (failure: string | null) => void): void;
	pause(path: string, done: (failure: string | null) => void): void;
	resume(path: string, done: (failure: string | null) => void): void;
	startInstance(path: string, done: (failure: string | null) => void): void;
	endInstance(path: string, done: (failure: string | null) => void): void;
	reloads: Reloads | null;
	news(level: TreeNews['level'], path: string, event: string, message: string, detail?: Record<string, unknown>): void;
}

/** What there is of operations: the ended ones first, oldest first. */
export interface Operations {
	ended: readonly TreeOperation[];
	current: TreeOperation | null;
	waiting: readonly TreeOperation[];
}

interface Waiting {
	resolve: (ended: TreeOperation) => void;
	reject: (error: RequestError) => void;
}

export class Agenda {
	readonly #ground: Ground;
	readonly #waiting = new Map<string, Waiting[]>();
	/** Who wants to know what a reload is about to do. */
	readonly #planned = new Map<string, (planned: Planned) => void>();
	/** What is written down. */
	#written = new Map<string, TreeOperation>();
	#desired: Desired = asDeclared;
	#isStarted = false;

	constructor(ground: Ground) {
		this.#ground = ground;
	}

	get desired(): Desired {
		return this.#context?.desired ?? this.#desired;
	}

	get operations(): Operations {
		const { ended, current, waiting } = this.#context ?? { ended: [], current: null, waiting: [] };
		return { ended, current, waiting };
	}

	/** What an earlier master has left: at first only what was desired counts, and then the operations go on. */
	recall(journal: ReadonlyMap<string, unknown>): () => void {
		const operations = [...journal].filter(([key]) => key.startsWith(KEY)).map(([, value]) => value as TreeOperation);
		this.#desired = (journal.get(DESIRED) as Desired | undefined) ?? asDeclared;
		this.#written = new Map(operations.map((operation) => [operation.id, operation]));
		return () => {
			if (operations.length > 0) this.#start(operations);
		};
	}

	/** Resolves with how it ended; rejects with a `RequestError` if it is not taken. The same id again is the same operation. */
	operate(asked: AskedOperation): Promise<TreeOperation> {
		if (!this.#isStarted) this.#start([]);
		const known = operationsIn(this.#context as AgendaContext).find(({ id }) => id === asked.id);
		if (known !== undefined && (known.kind !== asked.kind || known.target !== asked.target || known.argument !== asked.argument))
			return Promise.reject(new RequestError('failed', `operation '${asked.id}' is another one: ${known.kind} ${known.target}`));
		if (known?.phase === 'post') return Promise.resolve(known);
		return new Promise((resolve, reject) => {
			this.#waiting.set(asked.id, [...(this.#waiting.get(asked.id) ?? []), { resolve, reject }]);
			this.#send({ type: 'operate', asked, at: this.#now });
		});
	}

	/** Calls back when it is known what the reload of that id will do; never, if it ends before. */
	whenPlanned(id: string, tell: (planned: Planned) => void): void {
		this.#planned.set(id, tell);
	}

	stop(): void {
		if (this.#isStarted) this.#send({ type: 'stop', at: this.#now });
	}

	/** What is to be written down before the step is carried out. */
	record(): Record<string, unknown> {
		const context = this.#context as AgendaContext;
		const now = new Map(operationsIn(context).map((operation) => [operation.id, operation]));
		const set: Record<string, unknown> = {};
		for (const [id, operation] of now) if (this.#written.get(id) !== operation) set[KEY + id] = operation;
		for (const id of this.#written.keys()) if (!now.has(id)) set[KEY + id] = null;
		if (JSON.stringify(context.desired) !== JSON.stringify(this.#desired)) {
			this.#desired = context.desired;
			set[DESIRED] = this.#desired;
		}
		this.#written = now;
		return set;
	}

	/** All that is written down by now. */
	mind(): Record<string, unknown> {
		const operations = [...this.#written].map(([id, operation]): [string, unknown] => [KEY + id, operation]);
		return { ...Object.fromEntries(operations), ...(this.#desired === asDeclared ? {} : { [DESIRED]: this.#desired }) };
	}

	/** The children of a supervisor as they shall be when it starts, and who of them is paused. */
	childrenOf(spec: SupervisorSpec): { children: ChildSpec[]; paused: Set<string> } {
		const children = childrenAsDesired(spec, this.desired);
		return { children, paused: new Set(children.filter((child) => isPaused(this.desired, child)).map(({ id }) => id)) };
	}

	isPaused(spec: ChildSpec): boolean {
		return isPaused(this.desired, spec);
	}

	get #context(): AgendaContext | undefined {
		return this.#ground.kernel.context(AGENDA) as AgendaContext | undefined;
	}

	get #now(): number {
		return this.#ground.kernel.clock.now();
	}

	#send(event: AgendaEvent): void {
		this.#ground.kernel.send(AGENDA, event);
	}

	#start(operations: readonly TreeOperation[]): void {
		this.#isStarted = true;
		const left = { operations, desired: this.#desired };
		this.#ground.kernel.start(AGENDA, agendaMachine, { ...this.#ground.spec().operations, left }, this.#effects());
	}

	#effects(): Effects<AgendaEffects> {
		return {
			resolve: ({ operation }) => this.#resolve(operation),
			act: ({ step, again }) => this.#act(step, again),
			undo: ({ step: { path } }) => this.#ground.endInstance(path, (failure) => this.#ended(path, failure)),
			refuse: ({ id, code, message }) => {
				for (const { reject } of this.#taken(id)) reject(new RequestError(code as RequestError['code'], message));
			},
			reportEnd: ({ operation }) => {
				const { id, kind, target, by, end } = operation;
				const ok = end?.ok === true;
				const message = `${kind}${target === '' ? '' : ` ${target}`}: ${end?.message}`;
				this.#ground.news(ok ? 'info' : 'warn', target, ok ? 'operation.done' : 'operation.failed', message, { operation: id, kind, by });
				this.#planned.delete(id);
				for (const { resolve } of this.#taken(id)) resolve(operation);
			},
		};
	}

	#taken(id: string): Waiting[] {
		const waiting = this.#waiting.get(id) ?? [];
		this.#waiting.delete(id);
		return waiting;
	}

	#refuse(code: string, message: string): void {
		this.#send({ type: 'operation.refused', code, message, at: this.#now });
	}

	#resolved(steps: OperationStep[], desired: Desired, counts: TreeOperation['counts'] = null): void {
		this.#send({ type: 'operation.resolved', steps, counts, desired, at: this.#now });
	}

	#resolve(operation: TreeOperation): void {
		const { kind, target } = operation;
		const { reloads } = this.#ground;
		const state = this.#ground.kernel.state('master:')?.split('.')[0] ?? 'starting';
		if (state !== 'running' && (state !== 'starting' || kind === 'reload'))
			return this.#refuse('not_running', `the tree is ${state}: ask again when it runs`);
		if (kind === 'reload') {
			if (reloads === null) return this.#refuse('failed', 'this tree cannot be reloaded');
			return this.#resolved([stepOf('', 'reload', 0, reloads.tried)], this.desired);
		}
		// What is declared and was scaled away is known, and is not there.
		const paths = this.#ground
			.resolve(target)
			.filter((path) => !this.#ground.isUp(splitPath(path)[0]) || this.#childAt(path) !== undefined);
		if (target !== '' && paths.length === 0) return this.#refuse('not_found', `there is no child '${target}'`);
		const paused = target === '' ? undefined : this.#pausedAbove(target);
		if (paused !== undefined) return this.#refuse('paused', `'${paused}' is paused: resume it first`);
		switch (kind) {
			case 'restart':
				return this.#resolveRestart(paths);
			case 'scale':
				return this.#resolveScale(operation, paths);
			case 'pause': {
				const desired = withPaused(this.desired, target);
				const meant = this.#walk().filter(({ child, spec }) => child.standing === null && isPaused(desired, spec));
				return this.#resolved(this.#inStages(meant.reverse(), 'pause'), desired);
			}
			case 'resume': {
				const desired = this.#withoutPaused(target, paths);
				const meant = this.#walk().filter(({ child, spec }) => child.standing === 'paused' && !isPaused(desired, spec));
				return this.#resolved(this.#inStages(meant, 'resume'), desired);
			}
		}
	}

	#resolveRestart(paths: string[]): void {
		const steps: OperationStep[] = [];
		// One after the other: the other instances go on serving.
		for (const [stage, path] of paths.entries()) {
			const [above, id] = splitPath(path);
			const child = this.#childAt(path);
			if (!this.#ground.isUp(above))
				return this.#refuse('not_running', `its supervisor '${above || this.#ground.spec().id}' is not running`);
			if (child?.standing === 'paused') return this.#refuse('paused', `'${joinPath(above, id)}' is paused: resume it first`);
			steps.push(stepOf(path, 'restart', stage, child?.incarnation ?? 0));
		}
		this.#resolved(steps, this.desired);
	}

	#resolveScale({ target, argument }: TreeOperation, paths: string[]): void {
		const [above, id] = splitPath(target);
		const before = this.#instances(target, paths);
		const like = before.at(-1)?.spec;
		if (like === undefined) return this.#refuse('failed', `'${target}' is one child: declare it with \`instances\` to scale it`);
		if (!hasInstances(like)) return this.#refuse('failed', `'${target}' is a supervisor: its partitions stay as they were declared`);
		if (!this.#ground.isUp(above)) return this.#refuse('not_running', `its supervisor '${above || this.#ground.spec().id}' is not running`);
		if (before.some(({ spec }) => isPaused(this.desired, spec))) return this.#refuse('paused', `'${target}' is paused: resume it first`);
		const numbers = before.map(({ number }) => number);
		const { from, to, start, stop } = changeOfInstances(numbers, argument as number | '+1' | '-1');
		// In order, as a start of the whole would be; a stop need not wait for another one's drain.
		const started = start.map((number, stage) => stepOf(joinPath(above, `${id}.${number}`), 'start', stage, 0));
		const stopped = stop.map((number) => stepOf(joinPath(above, `${id}.${number}`), 'stop', 0, 0));
		const supervisor = this.#declaredAt(above);
		const declared = supervisor === undefined ? 0 : declaredCount(supervisor, target);
		const counted = declared === 0 ? this.desired : withInstances(this.desired, target, to, declared);
		// One that was paused by its own name and was gone meanwhile is a new one.
		const desired = { ...counted, paused: counted.paused.filter((word) => !started.some(({ path }) => path === word)) };
		this.#resolved([...started, ...stopped], desired, { from, to });
	}

	/** What was paused by that word; else all that was paused below it. */
	#withoutPaused(target: string, paths: string[]): Desired {
		const { desired } = this;
		const [above] = splitPath(target);
		const siblings = this.#ground.childrenOf(above).flatMap(({ id }) => this.#ground.specOf(joinPath(above, id)) ?? []);
		const itself = paths.some((path) => {
			const spec = this.#ground.specOf(path);
			return spec !== undefined && isPaused(desired, spec);
		});
		if (target === '' || itself) return withoutPaused(desired, target, siblings);
		return { ...desired, paused: desired.paused.filter((each) => !paths.some((path) => each.startsWith(`${path}/`))) };
	}

	/** Side by side: the instances of one child, and whatever starts side by side. */
	#inStages(meant: Placed[], what: 'pause' | 'resume'): OperationStep[] {
		let stage = 0;
		let last: string | null = null;
		return meant.map(({ spec, child, isParallel }) => {
			const group = isParallel ? splitPath(spec.path)[0] : wordOf(spec);
			if (last !== null && group !== last) stage += 1;
			last = group;
			return stepOf(spec.path, what, stage, child.incarnation);
		});
	}

	/** All children of supervisors that run, in start order; none below one that is paused. */
	#walk(supervisor: SupervisorSpec = this.#ground.spec().root): Placed[] {
		if (!this.#ground.isUp(supervisor.path)) return [];
		return this.#ground.childrenOf(supervisor.path).flatMap((child): Placed[] => {
			const spec = this.#ground.specOf(joinPath(supervisor.path, child.id));
			if (spec === undefined) return [];
			const below = spec.kind === 'supervisor' && child.standing === null ? this.#walk(spec) : [];
			return [{ spec, child, isParallel: supervisor.start === 'parallel' }, ...below];
		});
	}

	#act(step: OperationStep, again: boolean): void {
		const [above] = splitPath(step.path);
		if (step.what === 'reload') return this.#reload(step, again);
		// Whatever the earlier master had begun goes on by itself: first that has to end.
		if (again && this.#ground.isUp(above)) return this.#ground.look(above, () => this.#do(step, true));
		this.#do(step, false);
	}

	#do(step: OperationStep, again: boolean): void {
		const { path, what } = step;
		const child = this.#childAt(path);
		const done = (failure: string | null) => this.#ended(path, failure);
		switch (remainderOf(step, child, { isUp: this.#ground.isUp(splitPath(path)[0]), again })) {
			case 'nothing':
				return done(null);
			case 'failed':
				return done(child?.lastExit ? describe(path, child.lastExit) : `${path} is down`);
		}
		switch (what) {
			case 'restart':
				return this.#ground.restart(path, done);
			case 'start':
				return this.#ground.startInstance(path, done);
			case 'stop':
				return this.#ground.endInstance(path, done);
			case 'pause':
				return this.#ground.pause(path, () => done(null));
			case 'resume':
				return this.#ground.resume(path, done);
			case 'reload':
				return;
		}
	}

	#reload(step: OperationStep, again: boolean): void {
		const reloads = this.#ground.reloads as Reloads;
		const current = this.#context?.current as TreeOperation;
		const tookMs = Math.round(this.#now - current.at);
		if (again && reloads.generation > step.incarnation)
			return this.#reloaded({ result: 'done', generation: reloads.generation, lines: [], exitCode: 0, changes: [], tookMs });
		const failed = reloads.status;
		if (again && failed !== null && failed.generation > step.incarnation) {
			const lines = failed.reason === null ? [] : [failed.reason];
			const result = failed.state === 'refused' ? 'refused' : 'rolledBack';
			return this.#reloaded({ result, generation: failed.generation, lines, exitCode: 1, changes: [], tookMs });
		}
		reloads.reload({
			accepted: (planned) => {
				const { waiting } = this.operations;
				for (const id of [current.id, ...waiting.filter(({ joins }) => joins === current.id).map((each) => each.id)])
					this.#planned.get(id)?.(planned);
			},
			ended: (how) => this.#reloaded(how),
		});
	}

	#reloaded(result: Reloaded): void {
		const { result: how, generation, lines } = result;
		const at = this.#now;
		if (how === 'done' || how === 'unchanged') {
			const message = how === 'done' ? `generation ${generation} runs` : 'nothing has changed';
			const desired = stillMeant(this.desired, this.#ground.spec().root);
			return this.#send({ type: 'step.done', path: '', message, result, desired, at });
		}
		this.#send({ type: 'step.failed', path: '', message: lines.join('; ') || how, result, at });
	}

	#ended(path: string, failure: string | null): void {
		const at = this.#now;
		this.#send(failure === null ? { type: 'step.done', path, message: '', at } : { type: 'step.failed', path, message: failure, at });
	}

	#childAt(path: string): Child | undefined {
		const [above, id] = splitPath(path);
		return this.#ground.childrenOf(above).find((child) => child.id === id);
	}

	/** Of a declared id, by their numbers. */
	#instances(word: string, paths: string[]): Array<{ path: string; number: number; spec: ChildSpec }> {
		const [, id] = splitPath(word);
		return paths
			.map((path) => ({ path, number: Number(splitPath(path)[1].slice(id.length + 1)), spec: this.#ground.specOf(path) as ChildSpec }))
			.filter(({ number }) => number > 0)
			.sort((a, b) => a.number - b.number);
	}

	#declaredAt(path: string): SupervisorSpec | undefined {
		const spec = path === '' ? this.#ground.spec().root : this.#ground.specOf(path);
		return spec?.kind === 'supervisor' ? spec : undefined;
	}

	/** The supervisor above a path that is paused, if there is one. */
	#pausedAbove(path: string): string | undefined {
		for (let [above] = splitPath(path); above !== ''; [above] = splitPath(above)) {
			const spec = this.#ground.specOf(above);
			if (spec !== undefined && isPaused(this.desired, spec)) return above;
		}
		return undefined;
	}
}

interface Placed {
	spec: ChildSpec;
	child: Child;
	isParallel: boolean;
}

function stepOf(path: string, what: OperationStep['what'], stage: number, incarnation: number): OperationStep {
	return { path, what, stage, incarnation, phase: 'waiting', message: '', endedAt: null };
}
