import { assign, enqueueActions, setup } from 'xstate';
import { backoffMs, countFailures } from './restart.ts';
import type { Backoff, NodeSpec } from './spec.ts';
import type { WorkerContext } from './worker.ts';

/** What a pool hears. `place`: the number of a spare within its group. `at` is monotonic ms, `chance` in [0, 1). */
export type StandbyEvent =
	/** Something has happened in the group: look again. */
	| { type: 'group.changed' }
	/** What was seen. `wanted` 0: the group is down, or on its way there. `settled`: nobody of it is starting or being replaced. */
	| { type: 'group.seen'; wanted: number; settled: boolean }
	/** What is loaded may be out of date. */
	| { type: 'renew' }
	/** An earlier master has loaded it, or was about to. */
	| { type: 'spare.found'; place: number }
	| { type: 'spare.loaded'; place: number; at: number }
	| { type: 'spare.taken'; place: number }
	| { type: 'spare.died'; place: number; why: string; at: number; chance: number };

/** What a pool asks of the world. */
export type StandbyEffects = {
	lookAtGroup: undefined;
	launchSpare: { place: number };
	releaseSpare: { place: number };
	reportFailure: { why: string; delayMs: number };
};

export interface Spare {
	place: number;
	phase: 'loading' | 'loaded' | 'leaving';
	loadedAt: number | null;
}

export interface StandbyContext {
	wanted: number;
	settled: boolean;
	/** In order of their launch. */
	spares: readonly Spare[];
	/** In a row. */
	failures: number;
	delayMs: number;
}

/** Of a pool that cannot be filled. It holds up nobody, so it may wait for long. */
export const standbyBackoff: Backoff = { fromMs: 200, toMs: 30_000, resetAfterMs: 30_000 };

/** From the moment at which all of a group are ready until it gets its next spare, which takes a core for a while. */
export const SETTLE_MS = 250;

/** Only who dies without having been asked is replaced by a spare: a restart by request is meant to load everything anew. */
export const takesSpare = ({ doom }: Pick<WorkerContext, 'doom'>): boolean => doom === null || doom === 'hung';

/** What a spare of a child is: it says itself that it is loaded, and serves nobody who could probe it. */
export function spareOf(spec: NodeSpec, id: string, path: string): NodeSpec {
	return { ...spec, id, path, ready: { kind: 'signal', timeoutMs: spec.ready.timeoutMs }, live: null };
}

type StandbyAction = { [K in keyof StandbyEffects]: { type: K; params: StandbyEffects[K] } }[keyof StandbyEffects];
const enqueueing = enqueueActions<StandbyContext, StandbyEvent, undefined, StandbyEvent, never, StandbyAction, never, never>;

const stays = ({ phase }: Spare) => phase !== 'leaving';
const leaving = (spares: readonly Spare[], which: (spare: Spare) => boolean): Spare[] =>
	spares.map((spare) => (which(spare) ? { ...spare, phase: 'leaving' } : spare));

/**
 * A standby pool keeps some incarnations of a group of instances loaded and not yet at work. Who takes one is not its concern; it
 * refills, one at a time, when the group has come to rest. A spare that dies costs nobody's budget: the pool backs off.
 */
export const standbyMachine = setup({
	types: {} as { context: StandbyContext; events: StandbyEvent },
	actions: {
		lookAtGroup: () => {},
		launchSpare: (_, _params: StandbyEffects['launchSpare']) => {},
		releaseSpare: (_, _params: StandbyEffects['releaseSpare']) => {},
		reportFailure: (_, _params: StandbyEffects['reportFailure']) => {},
	},
	guards: {
		isWanted: ({ event }) => event.type === 'group.seen' && event.wanted > 0,
		isUnsettled: ({ event }) => event.type === 'group.seen' && event.wanted > 0 && !event.settled,
		isSettled: ({ context }) => context.settled,
		isFull: ({ context }) => context.spares.filter(stays).length >= context.wanted,
		isLoading: ({ context }) => context.spares.some(({ phase }) => phase === 'loading'),
		wasLeaving: ({ context, event }) =>
			event.type === 'spare.died' && !context.spares.some((spare) => spare.place === event.place && stays(spare)),
	},
	delays: { settleTime: SETTLE_MS, retryDelay: ({ context }) => context.delayMs },
})
	.extend({
		actions: {
			recordGroup: assign(({ event }) => (event.type === 'group.seen' ? { wanted: event.wanted, settled: event.settled } : {})),
			recordFound: assign(({ context, event }) =>
				event.type === 'spare.found'
					? { spares: [...context.spares, { place: event.place, phase: 'loading' as const, loadedAt: null }] }
					: {},
			),
			recordLoaded: assign(({ context, event }) =>
				event.type === 'spare.loaded'
					? {
							spares: context.spares.map((spare) =>
								spare.place === event.place && stays(spare) ? { ...spare, phase: 'loaded' as const, loadedAt: event.at } : spare,
							),
						}
					: {},
			),
			recordGone: assign(({ context, event }) =>
				event.type === 'spare.taken' || event.type === 'spare.died'
					? { spares: context.spares.filter(({ place }) => place !== event.place) }
					: {},
			),
			planRetry: assign(({ context, event }) => {
				if (event.type !== 'spare.died') return {};
				const loadedAt = context.spares.find(({ place }) => place === event.place)?.loadedAt ?? null;
				const failures = countFailures(context.failures, loadedAt, event.at, standbyBackoff);
				return { failures, delayMs: backoffMs(standbyBackoff, failures, event.chance) };
			}),
			launchNext: enqueueing(({ context, enqueue }) => {
				const taken = new Set(context.spares.map(({ place }) => place));
				let place = 1;
				while (taken.has(place)) place += 1;
				enqueue.assign({ spares: [...context.spares, { place, phase: 'loading', loadedAt: null }] });
				enqueue({ type: 'launchSpare', params: { place } });
			}),
			/** All of them, or those that are too many: the latest first. */
			releaseAll: enqueueing(({ context, enqueue }) => {
				enqueue.assign({ spares: leaving(context.spares, () => true) });
				for (const { place } of context.spares.filter(stays)) enqueue({ type: 'releaseSpare', params: { place } });
			}),
			releaseSurplus: enqueueing(({ context, enqueue }) => {
				const surplus = context.spares.filter(stays).slice(context.wanted);
				enqueue.assign({ spares: leaving(context.spares, (spare) => surplus.includes(spare)) });
				for (const { place } of surplus) enqueue({ type: 'releaseSpare', params: { place } });
			}),
		},
	})
	.createMachine({
		id: 'standby',
		context: { wanted: 0, settled: false, spares: [], failures: 0, delayMs: 0 },
		on: {
			'group.changed': { actions: 'lookAtGroup' },
			'spare.found': { actions: 'recordFound' },
			'spare.loaded': { actions: 'recordLoaded' },
			'spare.taken': { actions: 'recordGone' },
			'spare.died': { actions: 'recordGone' },
		},
		initial: 'resting',
		states: {
			resting: {
				description: 'There is nobody to be replaced.',
				on: {
					'group.seen': [{ guard: 'isWanted', target: 'keeping', actions: 'recordGroup' }, { actions: ['recordGroup', 'releaseAll'] }],
				},
			},
			keeping: {
				on: {
					'group.seen': [
						{ guard: 'isWanted', actions: 'recordGroup' },
						{ target: 'resting', actions: ['recordGroup', 'releaseAll'] },
					],
					renew: { target: '.holding', actions: ['releaseAll', 'lookAtGroup'] },
					'spare.died': [
						{ guard: 'wasLeaving', actions: 'recordGone' },
						{
							target: '.waiting',
							actions: [
								'planRetry',
								'recordGone',
								{
									type: 'reportFailure',
									params: ({ context, event }) => ({ why: event.type === 'spare.died' ? event.why : '', delayMs: context.delayMs }),
								},
							],
						},
					],
				},
				initial: 'deciding',
				states: {
					deciding: {
						entry: 'releaseSurplus',
						always: [
							{ guard: 'isLoading', target: 'loading' },
							{ guard: 'isFull', target: 'full' },
							{ guard: 'isSettled', target: 'settling' },
							{ target: 'holding' },
						],
					},
					holding: {
						description: 'Until the group is looked at; and as long as somebody of it is starting or being replaced, which goes first.',
						on: {
							'group.seen': [
								{ guard: 'isWanted', target: 'deciding', actions: 'recordGroup' },
								{ target: '#standby.resting', actions: ['recordGroup', 'releaseAll'] },
							],
						},
					},
					settling: {
						description: 'Whoever has just taken the place of another has the machine to itself for a moment.',
						on: {
							'group.seen': [
								{ guard: 'isUnsettled', target: 'holding', actions: 'recordGroup' },
								{ guard: 'isWanted', actions: 'recordGroup' },
								{ target: '#standby.resting', actions: ['recordGroup', 'releaseAll'] },
							],
						},
						after: { settleTime: 'launching' },
					},
					launching: {
						entry: 'launchNext',
						always: 'loading',
					},
					loading: {
						description: 'One at a time.',
						on: { 'spare.loaded': { target: 'deciding', actions: 'recordLoaded' } },
					},
					full: {
						on: {
							'group.seen': [
								{ guard: 'isWanted', target: 'deciding', actions: 'recordGroup' },
								{ target: '#standby.resting', actions: ['recordGroup', 'releaseAll'] },
							],
							'spare.taken': { target: 'holding', actions: ['recordGone', 'lookAtGroup'] },
						},
					},
					waiting: {
						description: 'One has died: the next one after a while.',
						after: { retryDelay: 'deciding' },
					},
				},
			},
		},
	});
