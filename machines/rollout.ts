import { assign, enqueueActions, setup } from 'xstate';
import { NEVER_MS, type StopMode } from './spec.ts';

/** A new incarnation that starts beside the one whose place it is to take. */
export interface Candidate {
	path: string;
	incarnation: number;
	workerId: string;
	/** Of those with the same group, at most `surge` are starting at a time; null: all. */
	group: string;
	surge: number | null;
	phase: 'waiting' | 'starting' | 'ready' | 'gone';
}

/** A child whose old one has to be gone before the new one starts; or one that is new and starts when its turn has come. */
export interface Exchange {
	path: string;
	what: 'replace' | 'add';
	phase: 'waiting' | 'asked' | 'done' | 'failed' | 'restoring' | 'restored';
}

export interface RolloutPlan {
	candidates: Candidate[];
	exchanges: Exchange[];
	soakMs: number;
	/** The same, for those that were exchanged. */
	proofMs: number;
	/** Whether there is anything to do at all. */
	touches: boolean;
}

/** How a reload ended. `refused`: nothing was begun. */
export interface RolloutOutcome {
	result: 'done' | 'unchanged' | 'rolledBack' | 'refused';
	/** Why not; empty if it was done. */
	lines: string[];
	exitCode: number;
}

/** What a rollout hears. */
export type RolloutEvent =
	| { type: 'stop'; mode: StopMode }
	| { type: 'spec.accepted'; plan: RolloutPlan }
	| { type: 'spec.refused'; exitCode: number; lines: string[] }
	| { type: 'candidate.ready'; workerId: string }
	| { type: 'candidate.died'; workerId: string; message: string }
	| { type: 'child.exchanged'; path: string }
	| { type: 'child.refused'; path: string; message: string }
	/** One that was exchanged has died, and should not have. */
	| { type: 'child.failed'; path: string; message: string }
	| { type: 'switch.possible' }
	| { type: 'switch.refused'; message: string }
	/** All that was old is gone. */
	| { type: 'old.gone' }
	| { type: 'effect.failed'; effect: string; message: string; at: number };

/** What a rollout asks of the world. */
export type RolloutEffects = {
	/** The new spec is tried in a throw-away process, loaded, and compared with the one in force. */
	prepare: undefined;
	abandon: undefined;
	launchCandidate: { workerId: string };
	drainCandidate: { workerId: string; mode: StopMode };
	/** Stop the old one and start the new one; or start a new one. */
	exchangeChild: { path: string; what: Exchange['what'] };
	/** Undo that: the old one again. */
	restoreChild: { path: string; what: Exchange['what'] };
	checkSwitch: undefined;
	/** From now on the candidates are the children, and the new spec is the spec. */
	switchOver: undefined;
	retireOld: undefined;
	hurryOld: { mode: StopMode };
	reportEnd: { outcome: RolloutOutcome };
};

export interface RolloutInput {
	/** Of the new version. */
	generation: number;
}

export interface RolloutContext {
	generation: number;
	candidates: readonly Candidate[];
	exchanges: readonly Exchange[];
	soakMs: number;
	proofMs: number;
	touches: boolean;
	mode: StopMode;
	outcome: RolloutOutcome;
}

type RolloutAction = { [K in keyof RolloutEffects]: { type: K; params: RolloutEffects[K] } }[keyof RolloutEffects];
const enqueueing = enqueueActions<RolloutContext, RolloutEvent, undefined, RolloutEvent, never, RolloutAction, never, never>;

/** How hard a stop is: a later request can only make it harder. */
const hardness: readonly StopMode[] = ['drain', 'fast', 'kill'];
const isUndone = ({ phase }: Exchange) => phase === 'waiting' || phase === 'restored';
const withPhase = <One extends { phase: string }>(all: readonly One[], which: (one: One) => boolean, phase: One['phase']): One[] =>
	all.map((one) => (which(one) ? { ...one, phase } : one));

/** The candidates that may start now. */
function next(candidates: readonly Candidate[]): Candidate[] {
	const starting = new Map<string, number>();
	for (const { group, phase } of candidates) if (phase === 'starting') starting.set(group, (starting.get(group) ?? 0) + 1);
	return candidates.filter(({ group, surge, phase }) => {
		if (phase !== 'waiting') return false;
		const count = starting.get(group) ?? 0;
		if (surge !== null && count >= surge) return false;
		starting.set(group, count + 1);
		return true;
	});
}

/**
 * A rollout is one reload: a new version beside the old one, until all of the new is known to work. Whatever fails before the switch
 * rolls back by itself: the old version never stopped. What cannot live twice is exchanged one by one, last of all before the switch.
 * It starts and stops nothing itself, and whom it does not replace it does not touch.
 */
export const rolloutMachine = setup({
	types: {} as { context: RolloutContext; events: RolloutEvent; input: RolloutInput; output: RolloutOutcome },
	actions: {
		prepare: () => {},
		abandon: () => {},
		launchCandidate: (_, _params: RolloutEffects['launchCandidate']) => {},
		drainCandidate: (_, _params: RolloutEffects['drainCandidate']) => {},
		exchangeChild: (_, _params: RolloutEffects['exchangeChild']) => {},
		restoreChild: (_, _params: RolloutEffects['restoreChild']) => {},
		checkSwitch: () => {},
		switchOver: () => {},
		retireOld: () => {},
		hurryOld: (_, _params: RolloutEffects['hurryOld']) => {},
		reportEnd: (_, _params: RolloutEffects['reportEnd']) => {},
	},
	guards: {
		changesNothing: ({ event }) => event.type === 'spec.accepted' && !event.plan.touches,
		allAreReady: ({ context }) => context.candidates.every(({ phase }) => phase === 'ready'),
		needsNoSoak: ({ context }) => context.candidates.length === 0 || context.soakMs === 0,
		needsNoProof: ({ context }) => context.exchanges.length === 0 || context.proofMs === 0,
		isExchanged: ({ context, event }) =>
			event.type === 'child.failed' && context.exchanges.some(({ path, phase }) => path === event.path && phase === 'done'),
		allAreExchanged: ({ context }) => context.exchanges.every(({ phase }) => phase === 'done'),
		allIsUndone: ({ context }) =>
			context.candidates.every(({ phase }) => phase === 'waiting' || phase === 'gone') && context.exchanges.every(isUndone),
		isHarder: ({ context, event }) => event.type === 'stop' && hardness.indexOf(event.mode) > hardness.indexOf(context.mode),
	},
	delays: {
		soakTimeout: ({ context }) => Math.min(context.soakMs, NEVER_MS),
		proofTimeout: ({ context }) => Math.min(context.proofMs, NEVER_MS),
	},
})
	.extend({
		actions: {
			recordPlan: assign(({ event }) => (event.type === 'spec.accepted' ? { ...event.plan } : {})),
			recordUnchanged: assign(({ context }) => ({ outcome: { ...context.outcome, result: 'unchanged' as const } })),
			recordRefusal: assign(({ context, event }) => {
				const { outcome } = context;
				if (event.type === 'spec.refused')
					return { outcome: { ...outcome, result: 'refused' as const, lines: event.lines, exitCode: event.exitCode } };
				const line = event.type === 'effect.failed' ? `${event.effect} failed: ${event.message}` : 'the tree is stopping';
				return { outcome: { ...outcome, result: 'refused' as const, lines: [line], exitCode: 1 } };
			}),
			/** What came first is the reason. */
			recordFailure: assign(({ context, event }) => {
				const { outcome } = context;
				if (outcome.result === 'rolledBack') return {};
				const line = failureOf(event);
				return {
					outcome: { ...outcome, result: 'rolledBack' as const, lines: [line], exitCode: 1 },
					mode: event.type === 'stop' ? event.mode : context.mode,
				};
			}),
			recordMode: assign(({ event }) => (event.type === 'stop' ? { mode: event.mode } : {})),
			recordReady: assign(({ context, event }) =>
				event.type === 'candidate.ready'
					? {
							candidates: withPhase(
								context.candidates,
								({ workerId, phase }) => workerId === event.workerId && phase === 'starting',
								'ready',
							),
						}
					: {},
			),
			recordGone: assign(({ context, event }) =>
				event.type === 'candidate.died'
					? { candidates: withPhase(context.candidates, ({ workerId }) => workerId === event.workerId, 'gone') }
					: {},
			),
			recordExchange: assign(({ context, event }) => {
				if (event.type !== 'child.exchanged' && event.type !== 'child.refused') return {};
				const about = context.exchanges.find(({ path }) => path === event.path);
				const phase = about?.phase === 'restoring' ? 'restored' : event.type === 'child.exchanged' ? 'done' : 'failed';
				return { exchanges: withPhase(context.exchanges, (exchange) => exchange === about, phase) };
			}),
			launchNext: enqueueing(({ context, enqueue }) => {
				const starting = next(context.candidates);
				if (starting.length === 0) return;
				enqueue.assign({ candidates: withPhase(context.candidates, (candidate) => starting.includes(candidate), 'starting') });
				for (const { workerId } of starting) enqueue({ type: 'launchCandidate', params: { workerId } });
			}),
			/** One after the other: they may need each other. */
			exchangeNext: enqueueing(({ context, enqueue }) => {
				const { exchanges } = context;
				const first = exchanges.some(({ phase }) => phase === 'asked') ? undefined : exchanges.find(({ phase }) => phase === 'waiting');
				if (first === undefined) return;
				enqueue.assign({ exchanges: withPhase(exchanges, (exchange) => exchange === first, 'asked') });
				enqueue({ type: 'exchangeChild', params: { path: first.path, what: first.what } });
			}),
			/** The last that was exchanged first. One that is under way is waited for. */
			restoreNext: enqueueing(({ context, enqueue }) => {
				const { exchanges } = context;
				if (exchanges.some(({ phase }) => phase === 'asked' || phase === 'restoring')) return;
				const last = exchanges.filter((exchange) => !isUndone(exchange)).at(-1);
				if (last === undefined) return;
				enqueue.assign({ exchanges: withPhase(exchanges, (exchange) => exchange === last, 'restoring') });
				enqueue({ type: 'restoreChild', params: { path: last.path, what: last.what } });
			}),
			drainCandidates: enqueueing(({ context, enqueue }) => {
				for (const { workerId, phase } of context.candidates)
					if (phase === 'starting' || phase === 'ready') enqueue({ type: 'drainCandidate', params: { workerId, mode: context.mode } });
			}),
		},
	})
	.createMachine({
		id: 'rollout',
		context: ({ input = { generation: 0 } }) => ({
			generation: input.generation,
			candidates: [],
			exchanges: [],
			soakMs: 0,
			proofMs: 0,
			touches: false,
			mode: 'drain',
			outcome: { result: 'done', lines: [], exitCode: 0 },
		}),
		output: ({ context }) => context.outcome,
		initial: 'validating',
		states: {
			validating: {
				description: 'The new spec is tried in a throw-away process, and compared with the one in force.',
				entry: 'prepare',
				on: {
					'spec.accepted': [
						{ guard: 'changesNothing', target: 'done', actions: ['recordPlan', 'recordUnchanged'] },
						{ target: 'surging', actions: 'recordPlan' },
					],
					'spec.refused': { target: 'done', actions: 'recordRefusal' },
					'effect.failed': { target: 'done', actions: 'recordRefusal' },
					stop: { target: 'done', actions: ['abandon', 'recordRefusal'] },
				},
			},
			surging: {
				description: 'New ones start beside the old ones.',
				entry: 'launchNext',
				always: { guard: 'allAreReady', target: 'soaking' },
				on: {
					'candidate.ready': { actions: ['recordReady', 'launchNext'] },
					'candidate.died': { target: 'rollingBack', actions: ['recordGone', 'recordFailure'] },
					stop: { target: 'rollingBack', actions: 'recordFailure' },
				},
			},
			soaking: {
				description: 'All are ready: whether they stay so is watched for a while.',
				always: { guard: 'needsNoSoak', target: 'switching' },
				on: {
					'candidate.died': { target: 'rollingBack', actions: ['recordGone', 'recordFailure'] },
					stop: { target: 'rollingBack', actions: 'recordFailure' },
				},
				after: { soakTimeout: 'switching' },
			},
			switching: {
				on: {
					'candidate.died': { target: 'rollingBack', actions: ['recordGone', 'recordFailure'] },
					'child.failed': { guard: 'isExchanged', target: 'rollingBack', actions: 'recordFailure' },
					stop: { target: 'rollingBack', actions: 'recordFailure' },
				},
				initial: 'exchanging',
				states: {
					exchanging: {
						description: 'What cannot live twice: the old one stops, the new one starts, one child after the other.',
						entry: 'exchangeNext',
						always: { guard: 'allAreExchanged', target: 'proving' },
						on: {
							'child.exchanged': { actions: ['recordExchange', 'exchangeNext'] },
							'child.refused': { target: '#rollout.rollingBack', actions: ['recordExchange', 'recordFailure'] },
						},
					},
					proving: {
						description: 'They have to soak as well.',
						always: { guard: 'needsNoProof', target: 'checking' },
						after: { proofTimeout: 'checking' },
					},
					checking: {
						entry: 'checkSwitch',
						on: {
							'switch.possible': '#rollout.retiring',
							'switch.refused': { target: '#rollout.rollingBack', actions: 'recordFailure' },
						},
					},
				},
			},
			retiring: {
				description: 'The new ones are the children. The old ones drain, each with its own limits.',
				entry: ['switchOver', 'retireOld'],
				on: {
					'old.gone': 'done',
					stop: {
						guard: 'isHarder',
						actions: ['recordMode', { type: 'hurryOld', params: ({ context }) => ({ mode: context.mode }) }],
					},
				},
			},
			rollingBack: {
				description: 'The old ones never stopped; the new ones go, and what was exchanged comes back.',
				entry: ['drainCandidates', 'restoreNext'],
				always: { guard: 'allIsUndone', target: 'done' },
				on: {
					'candidate.died': { actions: 'recordGone' },
					'child.exchanged': { actions: ['recordExchange', 'restoreNext'] },
					'child.refused': { actions: ['recordExchange', 'restoreNext'] },
					stop: { guard: 'isHarder', actions: ['recordMode', 'drainCandidates'] },
				},
			},
			done: {
				type: 'final',
				entry: { type: 'reportEnd', params: ({ context }) => ({ outcome: context.outcome }) },
			},
		},
	});

function failureOf(event: RolloutEvent): string {
	if (event.type === 'candidate.died' || event.type === 'child.refused' || event.type === 'child.failed') return `the new ${event.message}`;
	return event.type === 'switch.refused' ? event.message : 'the tree is stopping';
}
