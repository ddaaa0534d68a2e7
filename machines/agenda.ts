import { enqueueActions, setup } from 'xstate';
import { asDeclared, type Desired } from './desired.ts';
import type { Child } from './operations.ts';

export type OperationKind = 'reload' | 'restart' | 'scale' | 'pause' | 'resume';

/** One thing that has to be done for an operation, and is acknowledged by the supervisor that it concerns. */
export interface OperationStep {
	/** Of a child; `''`: the whole tree. */
	path: string;
	what: 'restart' | 'start' | 'stop' | 'pause' | 'resume' | 'reload';
	/** Those of one stage are taken side by side, stage after stage. */
	stage: number;
	/** What was there when this was written down: what is higher has come since. Of a reload, the version tried last. */
	incarnation: number;
	phase: 'waiting' | 'asked' | 'done' | 'failed' | 'undoing' | 'undone';
	/** What there is to say of its end; `''`: nothing. And what a program is told. */
	message: string;
	result?: unknown;
	/** Monotonic ms at which it ended, or null. */
	endedAt: number | null;
}

/** How an operation ended. */
export interface OperationEnd {
	ok: boolean;
	/** Why not, in one word for programs: `failed`, `undone`, `not_found` …; null if it was done. */
	code: string | null;
	/** One sentence for people. */
	message: string;
	/** Monotonic ms. */
	at: number;
}

export interface TreeOperation {
	/** Given by who asks: the same id again is the same operation. */
	id: string;
	/** In order of arrival, from 1. */
	number: number;
	kind: OperationKind;
	/** A path, a path without the number of an instance, or `''`: the whole tree. */
	target: string;
	/** Of `scale`: how many instances, or how many more or fewer. */
	argument: number | '+1' | '-1' | null;
	/** Who asks, in a word: `cli`, `page`, `SIGTTIN`. */
	by: string;
	/** Monotonic ms at which it was asked. */
	at: number;
	/** `pre`: those concerned are found out; `act`: step by step; `post`: it has ended. */
	phase: 'waiting' | 'pre' | 'act' | 'post';
	steps: readonly OperationStep[];
	/** Of `scale`: the number of instances before, and after. */
	counts: { from: number; to: number } | null;
	/** What was desired before. */
	before: Desired | null;
	/** Asked while a reload waited that has not begun: it is the same one. */
	joins: string | null;
	end: OperationEnd | null;
}

export type AskedOperation = Pick<TreeOperation, 'id' | 'kind' | 'target' | 'argument' | 'by'>;

/** What an agenda hears. `at` is monotonic ms. */
export type AgendaEvent =
	| { type: 'operate'; asked: AskedOperation; at: number }
	/** The tree stops. */
	| { type: 'stop'; at: number }
	| { type: 'operation.resolved'; steps: OperationStep[]; counts: TreeOperation['counts']; desired: Desired; at: number }
	| { type: 'operation.refused'; code: string; message: string; at: number }
	/** `desired`: what has become of that, where a step changes it. */
	| { type: 'step.done'; path: string; message: string; result?: unknown; desired?: Desired; at: number }
	| { type: 'step.failed'; path: string; message: string; result?: unknown; at: number }
	| { type: 'effect.failed'; effect: string; message: string; at: number };

/** What an agenda asks of the world. */
export type AgendaEffects = {
	/** Who is concerned, and do they take it? */
	resolve: { operation: TreeOperation };
	/** `again`: an earlier master had begun it, and how far it came is for the facts to say. */
	act: { step: OperationStep; again: boolean };
	/** The opposite. */
	undo: { step: OperationStep };
	/** It is not even taken. */
	refuse: { id: string; code: string; message: string };
	reportEnd: { operation: TreeOperation };
};

export interface AgendaInput {
	/** Operations that may wait. */
	waiting: number;
	/** Ended ones that are remembered; at least 1. */
	kept: number;
	/** What an earlier master has left. */
	left: { operations: readonly TreeOperation[]; desired: Desired } | null;
}

export interface AgendaContext {
	limits: { waiting: number; kept: number };
	next: number;
	waiting: readonly TreeOperation[];
	current: TreeOperation | null;
	/** The last ones, oldest first. */
	ended: readonly TreeOperation[];
	desired: Desired;
	stopping: boolean;
	/** An earlier master had begun the present one. */
	again: boolean;
}

type AgendaAction = { [K in keyof AgendaEffects]: { type: K; params: AgendaEffects[K] } }[keyof AgendaEffects];
const enqueueing = enqueueActions<AgendaContext, AgendaEvent, undefined, AgendaEvent, never, AgendaAction, never, never>;

const STOPPING = 'the tree is stopping';
const unlimited: AgendaInput = { waiting: 100, kept: 100, left: null };
const names = (steps: readonly OperationStep[]) => steps.map(({ path }) => path).join(', ');
const isOver = ({ phase }: OperationStep) => phase === 'done' || phase === 'failed';

/** Steps of the first stage that is not over, if none of it is under way. */
function nextSteps(steps: readonly OperationStep[]): OperationStep[] {
	const stage = Math.min(...steps.filter((step) => !isOver(step)).map((step) => step.stage));
	return steps.filter((step) => step.stage === stage && step.phase === 'waiting');
}

const withSteps = (operation: TreeOperation, which: (step: OperationStep) => boolean, change: Partial<OperationStep>): TreeOperation => ({
	...operation,
	steps: operation.steps.map((step) => (which(step) ? { ...step, ...change } : step)),
});

/** All that is known of operations, the ended ones first. */
export function operationsIn({ ended, current, waiting }: AgendaContext): TreeOperation[] {
	return [...ended, ...(current === null ? [] : [current]), ...waiting];
}

/**
 * How much of a step is left to be done, by what there is: whoever has come since it was written down has been started for it, by whomever.
 * `isUp`: its supervisor can be asked. `again`: an earlier master had begun it; then one that is down now has failed.
 */
export function remainderOf(
	{ what, incarnation }: OperationStep,
	child: Pick<Child, 'incarnation' | 'phase' | 'standing'> | undefined,
	{ isUp, again }: { isUp: boolean; again: boolean },
): 'all' | 'nothing' | 'failed' {
	switch (what) {
		case 'restart':
			if (child === undefined || child.incarnation <= incarnation) return 'all';
			return child.phase === 'running' ? 'nothing' : again && child.phase === 'down' ? 'failed' : 'all';
		case 'start':
			return child !== undefined && child.phase !== 'down' ? 'nothing' : 'all';
		case 'pause':
			// Whoever is not there will not be started: it is written down that it is paused.
			return isUp && child !== undefined ? 'all' : 'nothing';
		case 'resume':
			return child?.standing === 'paused' ? 'all' : 'nothing';
		case 'stop':
		case 'reload':
			return 'all';
	}
}

/** How an operation has ended, by its steps. */
export function endOf({ kind, target, steps, counts }: TreeOperation, at: number): OperationEnd {
	const done = steps.filter(({ phase }) => phase === 'done');
	const failed = steps.filter(({ phase }) => phase === 'failed');
	const whole = target === '' ? 'the tree' : target;
	if (failed.length === 0 && done.length === steps.length) {
		const sentences: Record<OperationKind, string> = {
			restart: `restarted ${names(done)}`,
			scale:
				counts?.from === counts?.to ? `${whole} has ${counts?.to} already` : `${whole} has ${counts?.to} instances, after ${counts?.from}`,
			pause: done.length === 0 ? `nothing ran of ${whole}` : `paused ${names(done)}`,
			resume: done.length === 0 ? `${whole} was not paused` : `resumed ${names(done)}`,
			reload: done[0]?.message || 'reloaded',
		};
		return { ok: true, code: null, message: sentences[kind], at };
	}
	const why = failed.map(({ message }) => message).join('; ') || STOPPING;
	if (kind === 'scale')
		return { ok: false, code: 'undone', message: `${why}; undone: ${whole} has ${counts?.from} instances as before`, at };
	if (kind === 'reload') return { ok: false, code: 'failed', message: why, at };
	const open = steps.filter((step) => !isOver(step));
	const parts = [why];
	if (done.length > 0) parts.push(`${kind === 'restart' ? 'restarted' : `${kind}d`}: ${names(done)}`);
	if (open.length > 0) parts.push(`not begun: ${names(open)}`);
	return { ok: false, code: 'failed', message: parts.join('; '), at };
}

/**
 * An agenda is what people have asked of a whole tree: reload, restart, scale, pause, resume. One at a time, in order of arrival, each
 * in three phases (dtm's action manager): pre, in which those concerned are found and may refuse; act, step by step, each acknowledged;
 * post, in which its end is recorded. What it knows is written down before each step, so that a next master goes on, or undoes what
 * was begun. It starts and stops nothing itself.
 */
export const agendaMachine = setup({
	types: {} as { context: AgendaContext; events: AgendaEvent; input: AgendaInput },
	actions: {
		resolve: (_, _params: AgendaEffects['resolve']) => {},
		act: (_, _params: AgendaEffects['act']) => {},
		undo: (_, _params: AgendaEffects['undo']) => {},
		refuse: (_, _params: AgendaEffects['refuse']) => {},
		reportEnd: (_, _params: AgendaEffects['reportEnd']) => {},
	},
	guards: {
		isKnown: ({ context, event }) => event.type === 'operate' && operationsIn(context).some(({ id }) => id === event.asked.id),
		isStopping: ({ context }) => context.stopping,
		isFull: ({ context }) => context.waiting.length >= context.limits.waiting,
		somebodyWaits: ({ context }) => context.waiting.length > 0,
		/** By an earlier master. */
		isBegun: ({ context }) => context.current !== null,
		isBeingUndone: ({ context }) =>
			context.current?.kind === 'scale' &&
			context.current.steps.some(({ phase }) => phase === 'failed' || phase === 'undoing' || phase === 'undone'),
		/** What it has begun must not stay half done. When the tree stops, all goes anyway. */
		isToBeUndone: ({ context }) => context.current?.kind === 'scale' && !context.stopping,
		/** Whoever comes after the one that failed is better left alone. */
		endsThere: ({ context }) => context.stopping || context.current?.kind === 'restart' || context.current?.kind === 'reload',
		allIsDone: ({ context }) => context.current?.steps.every(isOver) === true,
		allIsUndone: ({ context }) =>
			context.current?.steps.every(({ phase }) => phase !== 'done' && phase !== 'asked' && phase !== 'undoing') === true,
	},
})
	.extend({
		actions: {
			enqueue: enqueueing(({ context, event, enqueue }) => {
				if (event.type !== 'operate') return;
				const { asked, at } = event;
				const same = asked.kind === 'reload' ? context.waiting.find(({ kind, joins }) => kind === 'reload' && joins === null) : undefined;
				const operation: TreeOperation = {
					...asked,
					number: context.next,
					at,
					phase: 'waiting',
					steps: [],
					counts: null,
					before: null,
					joins: same?.id ?? null,
					end: null,
				};
				enqueue.assign({ waiting: [...context.waiting, operation], next: context.next + 1 });
			}),
			begin: enqueueing(({ context, enqueue }) => {
				const [first, ...waiting] = context.waiting;
				const operation: TreeOperation = { ...(first as TreeOperation), phase: 'pre' };
				enqueue.assign({ current: operation, waiting, again: false });
				enqueue({ type: 'resolve', params: { operation } });
			}),
			recordPlan: enqueueing(({ context, event, enqueue }) => {
				if (event.type !== 'operation.resolved' || context.current === null) return;
				const { steps, counts, desired } = event;
				enqueue.assign({ current: { ...context.current, phase: 'act', steps, counts, before: context.desired }, desired });
			}),
			actNext: enqueueing(({ context, enqueue }) => {
				const { current, again } = context;
				if (current === null) return;
				// What is under way is asked once more by a new master.
				if (again) for (const step of current.steps) if (step.phase === 'asked') enqueue({ type: 'act', params: { step, again: true } });
				const steps = nextSteps(current.steps);
				enqueue.assign({
					again: false,
					...(steps.length === 0 ? {} : { current: withSteps(current, (step) => steps.includes(step), { phase: 'asked' }) }),
				});
				for (const step of steps) enqueue({ type: 'act', params: { step, again: false } });
			}),
			recordStep: enqueueing(({ context, event, enqueue }) => {
				if ((event.type !== 'step.done' && event.type !== 'step.failed') || context.current === null) return;
				const { path, message, at, result } = event;
				const phase = event.type === 'step.done' ? 'done' : 'failed';
				const change = { phase, message, endedAt: at, ...(result === undefined ? {} : { result }) } as const;
				enqueue.assign({
					current: withSteps(context.current, (step) => step.path === path && step.phase === 'asked', change),
					desired: (event.type === 'step.done' ? event.desired : undefined) ?? context.desired,
				});
			}),
			undoNext: enqueueing(({ context, enqueue }) => {
				const { current, again } = context;
				if (current === null) return;
				const begun = current.steps.filter(({ phase }) => phase === 'done' || phase === 'asked' || (again && phase === 'undoing'));
				if (begun.length === 0) return;
				enqueue.assign({
					again: false,
					current: withSteps(current, (step) => begun.includes(step), { phase: 'undoing' }),
					desired: current.before ?? context.desired,
				});
				// The last that came goes first.
				for (const step of [...begun].reverse()) enqueue({ type: 'undo', params: { step } });
			}),
			restoreDesired: enqueueing(({ context, enqueue }) => enqueue.assign({ desired: context.current?.before ?? context.desired })),
			recordUndone: enqueueing(({ context, event, enqueue }) => {
				if ((event.type !== 'step.done' && event.type !== 'step.failed') || context.current === null) return;
				const { path } = event;
				enqueue.assign({
					current: withSteps(context.current, (step) => step.path === path && step.phase === 'undoing', { phase: 'undone' }),
				});
			}),
			recordEnd: enqueueing(({ context, event, enqueue }) => {
				const { current, limits } = context;
				if (current === null) return;
				const { at } = event;
				const refused = event.type === 'operation.refused' || event.type === 'effect.failed';
				const end: OperationEnd = refused
					? { ok: false, code: event.type === 'operation.refused' ? event.code : 'failed', message: event.message, at }
					: endOf(current, at);
				const over = [current, ...context.waiting.filter(({ joins }) => joins === current.id)];
				const ended = over.map((operation): TreeOperation => ({ ...operation, steps: current.steps, phase: 'post', before: null, end }));
				enqueue.assign({
					current: null,
					waiting: context.waiting.filter(({ joins }) => joins !== current.id),
					ended: [...context.ended, ...ended].slice(-limits.kept),
				});
				for (const operation of ended) enqueue({ type: 'reportEnd', params: { operation } });
			}),
			dropWaiting: enqueueing(({ context, event, enqueue }) => {
				if (event.type !== 'stop') return;
				const end: OperationEnd = { ok: false, code: 'stopping', message: STOPPING, at: event.at };
				const dropped = context.waiting.map((operation): TreeOperation => ({ ...operation, phase: 'post', end }));
				enqueue.assign({ stopping: true, waiting: [], ended: [...context.ended, ...dropped].slice(-context.limits.kept) });
				for (const operation of dropped) enqueue({ type: 'reportEnd', params: { operation } });
			}),
		},
	})
	.createMachine({
		id: 'agenda',
		context: ({ input = unlimited }) => {
			const { operations, desired } = input.left ?? { operations: [], desired: asDeclared };
			const inOrder = [...operations].sort((a, b) => a.number - b.number);
			const current = inOrder.find(({ phase }) => phase === 'act') ?? null;
			return {
				limits: { waiting: input.waiting, kept: input.kept },
				next: (inOrder.at(-1)?.number ?? 0) + 1,
				// Nothing was begun in `pre`: that starts over.
				waiting: inOrder
					.filter(({ phase }) => phase === 'waiting' || phase === 'pre')
					.map((operation) => ({ ...operation, phase: 'waiting' as const })),
				current,
				ended: inOrder.filter(({ phase }) => phase === 'post'),
				desired,
				stopping: false,
				again: current !== null,
			};
		},
		on: {
			operate: [
				// The same id again: the same operation.
				{ guard: 'isKnown' },
				{
					guard: 'isStopping',
					actions: {
						type: 'refuse',
						params: ({ event }) => ({ id: event.type === 'operate' ? event.asked.id : '', code: 'stopping', message: STOPPING }),
					},
				},
				{
					guard: 'isFull',
					actions: {
						type: 'refuse',
						params: ({ context, event }) => ({
							id: event.type === 'operate' ? event.asked.id : '',
							code: 'busy',
							message: `${context.limits.waiting} operations wait already`,
						}),
					},
				},
				{ actions: 'enqueue' },
			],
			stop: { actions: 'dropWaiting' },
		},
		initial: 'resting',
		states: {
			resting: {
				description: 'Nothing is asked for; or a new master finds what the last one left.',
				always: [
					{ guard: 'isBegun', target: 'act' },
					{ guard: 'somebodyWaits', target: 'pre' },
				],
			},
			pre: {
				description: 'Who is concerned is found out, and may refuse.',
				entry: 'begin',
				on: {
					'operation.resolved': { target: 'act', actions: 'recordPlan' },
					'operation.refused': 'post',
					'effect.failed': 'post',
				},
			},
			act: {
				initial: 'deciding',
				states: {
					deciding: {
						always: [{ guard: 'isBeingUndone', target: 'undoing' }, { target: 'stepping' }],
					},
					stepping: {
						description: 'Stage by stage; each step is acknowledged.',
						entry: 'actNext',
						always: { guard: 'allIsDone', target: '#agenda.post' },
						on: {
							'step.done': { actions: ['recordStep', 'actNext'] },
							'step.failed': [
								{ guard: 'isToBeUndone', target: 'undoing', actions: 'recordStep' },
								{ guard: 'endsThere', target: '#agenda.post', actions: 'recordStep' },
								{ actions: ['recordStep', 'actNext'] },
							],
						},
					},
					undoing: {
						description: 'What was begun goes back.',
						entry: ['restoreDesired', 'undoNext'],
						always: { guard: 'allIsUndone', target: '#agenda.post' },
						on: {
							'step.done': { actions: 'recordUndone' },
							'step.failed': { actions: 'recordUndone' },
						},
					},
				},
			},
			post: {
				description: 'Its end is recorded, and told.',
				entry: 'recordEnd',
				always: 'resting',
			},
		},
	});
