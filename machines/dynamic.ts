import { assign, enqueueActions, setup } from 'xstate';
import type { MasterEffects, SupervisorEnd } from './master.ts';
import { type Answer, type Asked, type Death, describe, type Refusal } from './operations.ts';
import { backoffMs, countFailures, intensityExceeded, logRestart, mayRestart, noRestarts, type RestartLog } from './restart.ts';
import { type DynamicSpec, type ExitReason, type Intensity, NEVER_MS, type RestartRule, type StopMode } from './spec.ts';
import { Trie } from './trie.ts';

/** What a dynamic supervisor hears: as a master, but each child is for itself. */
export type DynamicEvent =
	/** `reason`: of its own accord, and so its supervisor is to judge it; without, it was asked to. */
	| { type: 'stop'; mode: StopMode; reason?: ExitReason }
	| { type: 'request'; asked: Asked }
	| { type: 'child.ready'; id: string; incarnation: number; at: number }
	| ({ type: 'child.died' } & Death)
	| { type: 'restart.due'; id: string }
	| { type: 'effect.failed'; effect: string; message: string; at: number };

/** What it asks of the world: the same as a master. */
export type DynamicEffects = MasterEffects;

export interface DynamicInput {
	spec: DynamicSpec;
}

/** One of its children. There may be very many: nothing is kept that can be known otherwise. */
export interface Member {
	/** Its place in the order of arrival. */
	order: number;
	incarnation: number;
	phase: 'starting' | 'running' | 'draining' | 'waiting';
	failures: number;
	restarts: number;
	/** Its own window, if it has one. */
	log: RestartLog;
	readyAt: number | null;
	/** Who wants to know of its start, or of its end. */
	requests: readonly string[];
}

export interface DynamicContext {
	path: string;
	rule: RestartRule;
	intensity: Intensity;
	maxChildren: number;
	shutdownMs: number | null;
	members: Trie<Member>;
	nextOrder: number;
	log: RestartLog;
	end: SupervisorEnd | null;
	mode: StopMode;
}

type Action = { [K in keyof DynamicEffects]: { type: K; params: DynamicEffects[K] } }[keyof DynamicEffects];
/** `enqueueActions` that knows the effects above: `extend` does not tell it. */
const enqueueing = enqueueActions<DynamicContext, DynamicEvent, undefined, DynamicEvent, never, Action, never, never>;
const enqueueingRestart = enqueueActions<DynamicContext, DynamicEvent, { slow: boolean }, DynamicEvent, never, Action, never, never>;

const nobody: readonly string[] = [];
const hardness: readonly StopMode[] = ['drain', 'fast', 'kill'];
const stopping: Answer = { ok: false, code: 'stopping', message: 'the supervisor is stopping' };
const no = (code: Refusal, message: string): Answer => ({ ok: false, code, message });
const timerOf = (id: string) => `restart.due.${id}`;
const pathOf = ({ path }: DynamicContext, id: string) => `${path}/${id}`;

/** The member and the death that an event is about. */
function deathOf(context: DynamicContext, event: DynamicEvent): { member: Member; death: Death } | null {
	if (event.type !== 'child.died') return null;
	const member = context.members.get(event.id);
	return member === undefined ? null : { member, death: event };
}

/** The window in which a restart counts: one in common or, for children that do not escalate, one for each. */
const windowOf = ({ rule, intensity }: DynamicContext): Intensity =>
	rule.whenExhausted === 'escalate' ? intensity : (rule.intensity ?? intensity);

function exhausted(context: DynamicContext, event: DynamicEvent): RestartRule['whenExhausted'] | null {
	const about = deathOf(context, event);
	if (about === null) return null;
	const { whenExhausted } = context.rule;
	const log = whenExhausted === 'escalate' ? context.log : about.member.log;
	return intensityExceeded(log, about.death.exit.at, windowOf(context)) ? whenExhausted : null;
}

/** Why a request is not granted, or null. */
function refusal({ members, maxChildren }: DynamicContext, asked: Asked): Answer | null {
	switch (asked.do) {
		case 'look':
			return null;
		case 'restartChild':
		case 'deleteChild':
			return no('dynamic', 'the children of a dynamic supervisor are started and terminated, no more');
		case 'startChild':
			if (members.get(asked.id) !== undefined) return no('already_started', `there is a child '${asked.id}' already`);
			return members.size < maxChildren ? null : no('full', `there are ${maxChildren} children already`);
		case 'terminateChild':
			return members.get(asked.id) === undefined ? no('not_found', `there is no child '${asked.id}'`) : null;
	}
}

/**
 * A dynamic supervisor keeps very many like children, each for itself, as OTP's simple_one_for_one: none has an order, a
 * sibling that it depends on, or a spec that is kept when it has ended. What happens to one costs the same whatever their
 * number. Asked to stop, it asks all of them at the same time.
 */
export const dynamicMachine = setup({
	types: {} as { context: DynamicContext; events: DynamicEvent; input: DynamicInput; output: SupervisorEnd; tags: 'ready' },
	actions: {
		launchChild: (_, _params: DynamicEffects['launchChild']) => {},
		drainChild: (_, _params: DynamicEffects['drainChild']) => {},
		answer: (_, _params: DynamicEffects['answer']) => {},
		addChild: (_, _params: DynamicEffects['addChild']) => {},
		forgetChild: (_, _params: DynamicEffects['forgetChild']) => {},
		reportRestart: (_, _params: DynamicEffects['reportRestart']) => {},
		reportEnd: (_, _params: DynamicEffects['reportEnd']) => {},
		reportGivingUp: (_, _params: DynamicEffects['reportGivingUp']) => {},
		reportReady: () => {},
		reportDeath: (_, _params: DynamicEffects['reportDeath']) => {},
	},
	guards: {
		/** About an incarnation that is not the present one, or is known to be dead. */
		isStale: ({ context, event }) => {
			const member = 'id' in event ? context.members.get(event.id) : undefined;
			return member === undefined || !('incarnation' in event) || member.incarnation !== event.incarnation || member.phase === 'waiting';
		},
		isDraining: ({ context, event }) => 'id' in event && context.members.get(event.id)?.phase === 'draining',
		/** It was started by request: that has failed, and nothing more follows. */
		failsRequest: ({ context, event }) => {
			const about = deathOf(context, event);
			return about !== null && about.member.phase === 'starting' && about.member.restarts === 0;
		},
		needsNoRestart: ({ context, event }) => event.type === 'child.died' && !mayRestart(context.rule.type, event.exit.reason),
		isFatal: ({ context, event }) =>
			event.type === 'child.died' && event.exit.code !== null && context.rule.fatalCodes.includes(event.exit.code),
		escalates: ({ context, event }) => exhausted(context, event) === 'escalate',
		givesUp: ({ context, event }) => exhausted(context, event) === 'giveUp',
		keepsTrying: ({ context, event }) => exhausted(context, event) === 'keepTrying',
		isWaiting: ({ context, event }) => event.type === 'restart.due' && context.members.get(event.id)?.phase === 'waiting',
		isHarder: ({ context, event }) => event.type === 'stop' && hardness.indexOf(event.mode) > hardness.indexOf(context.mode),
		isEmpty: ({ context }) => context.members.size === 0,
		isAsked: ({ context }) => context.end?.why === 'asked',
	},
	delays: {
		shutdownTimeout: ({ context }) => context.shutdownMs || NEVER_MS,
	},
})
	.extend({
		actions: {
			takeRequest: enqueueing(({ context, event, enqueue }) => {
				if (event.type !== 'request') return;
				const { asked } = event;
				const { request } = asked;
				const refused = refusal(context, asked);
				if (refused !== null || asked.do === 'look')
					return enqueue({ type: 'answer', params: { request, answer: refused ?? { ok: true, incarnation: null } } });
				const { id } = asked as { id: string };
				const member = context.members.get(id);
				if (asked.do === 'startChild') {
					const incarnation = asked.incarnation + 1;
					const added: Member = {
						order: context.nextOrder,
						incarnation,
						phase: 'starting',
						failures: 0,
						restarts: 0,
						log: noRestarts,
						readyAt: null,
						requests: [request],
					};
					enqueue.assign({ members: context.members.with(id, added), nextOrder: context.nextOrder + 1 });
					enqueue({ type: 'addChild', params: { id, request } });
					return enqueue({ type: 'launchChild', params: { id, incarnation } });
				}
				if (member === undefined) return;
				if (member.phase === 'waiting') {
					enqueue.cancel(timerOf(id));
					enqueue.assign({ members: context.members.without(id) });
					enqueue({ type: 'forgetChild', params: { id } });
					return enqueue({ type: 'answer', params: { request, answer: { ok: true, incarnation: null } } });
				}
				const { phase, incarnation, requests } = member;
				enqueue.assign({ members: context.members.with(id, { ...member, phase: 'draining', requests: [...requests, request] }) });
				if (phase !== 'draining') enqueue({ type: 'drainChild', params: { id, incarnation, mode: 'drain' } });
			}),
			recordReady: enqueueing(({ context, event, enqueue }) => {
				const member = event.type === 'child.ready' ? context.members.get(event.id) : undefined;
				if (event.type !== 'child.ready' || member?.phase !== 'starting') return;
				const { incarnation, requests } = member;
				enqueue.assign({ members: context.members.with(event.id, { ...member, phase: 'running', readyAt: event.at, requests: nobody }) });
				for (const request of requests) enqueue({ type: 'answer', params: { request, answer: { ok: true, incarnation } } });
			}),
			/** It is gone, and nothing is kept of it; who had asked for its end, or its start, is answered. */
			forget: enqueueing(({ context, event, enqueue }) => {
				const about = deathOf(context, event);
				if (about === null) return;
				const { member, death } = about;
				enqueue.assign({ members: context.members.without(death.id) });
				enqueue({ type: 'forgetChild', params: { id: death.id } });
				const failed = member.phase === 'starting' && death.exit.reason !== 'ignored';
				const answer: Answer = failed ? no('start_failed', describe(death.id, death.exit)) : { ok: true, incarnation: null };
				for (const request of member.requests) enqueue({ type: 'answer', params: { request, answer } });
			}),
			planRestart: enqueueingRestart(({ context, event, enqueue }, { slow }) => {
				const about = deathOf(context, event);
				if (about === null) return;
				const { member, death } = about;
				const { id, exit, chance } = death;
				const { rule } = context;
				const inCommon = rule.whenExhausted === 'escalate';
				const log = logRestart(inCommon ? context.log : member.log, exit.at, windowOf(context));
				const failures = countFailures(member.failures, member.readyAt, exit.at, rule.backoff);
				const delayMs = slow ? rule.backoff.toMs : backoffMs(rule.backoff, failures, chance);
				// A retry goes behind what already waits, also without a delay: OTP mails it to itself.
				const atOnce = delayMs === 0 && member.phase !== 'starting';
				const incarnation = member.incarnation + (atOnce ? 1 : 0);
				const restarts = member.restarts + 1;
				const phase = atOnce ? 'starting' : 'waiting';
				enqueue.assign({
					log: inCommon ? log : context.log,
					members: context.members.with(id, {
						...member,
						phase,
						incarnation,
						restarts,
						failures,
						log: inCommon ? member.log : log,
						readyAt: null,
					}),
				});
				enqueue({ type: 'reportRestart', params: { id, exit, delayMs, siblings: [] } });
				if (atOnce) enqueue({ type: 'launchChild', params: { id, incarnation } });
				else enqueue.raise({ type: 'restart.due', id }, { id: timerOf(id), delay: delayMs });
			}),
			relaunch: enqueueing(({ context, event, enqueue }) => {
				const member = event.type === 'restart.due' ? context.members.get(event.id) : undefined;
				if (event.type !== 'restart.due' || member === undefined) return;
				const { id } = event;
				const incarnation = member.incarnation + 1;
				enqueue.assign({ members: context.members.with(id, { ...member, phase: 'starting', incarnation }) });
				enqueue({ type: 'launchChild', params: { id, incarnation } });
			}),
			recordMode: assign(({ context, event }) => {
				if (event.type !== 'stop') return {};
				const own = event.reason !== undefined;
				const atOnce = context.shutdownMs === 0 && !own;
				return {
					mode: atOnce ? ('kill' as const) : event.mode,
					end: context.end ?? {
						why: atOnce ? ('killed' as const) : ('asked' as const),
						reason: event.reason ?? (atOnce ? ('killed' as const) : ('shutdown' as const)),
						message: own ? `ended by itself (${event.reason})` : 'asked to stop',
					},
				};
			}),
			recordLateness: assign(({ context }) => ({
				mode: 'kill' as const,
				end: { why: 'killed' as const, reason: 'killed' as const, message: `not stopped within ${context.shutdownMs} ms` },
			})),
			recordExhaustion: assign(({ context, event }) => {
				if (event.type !== 'child.died') return {};
				const { restarts, withinMs } = context.intensity;
				const died = describe(pathOf(context, event.id), event.exit);
				const message = `${died}, and ${restarts} restarts within ${withinMs} ms are the limit`;
				return { end: { why: 'exhausted' as const, reason: 'shutdown' as const, message } };
			}),
			/** All at the same time: none depends on another. What only waits for its restart is gone at once. */
			drainAll: enqueueing(({ context, enqueue }) => {
				let { members } = context;
				const inOrder = [...context.members].sort(([, a], [, b]) => a.order - b.order);
				for (const [id, member] of inOrder) {
					const { phase, incarnation } = member;
					if (phase === 'waiting') {
						enqueue.cancel(timerOf(id));
						members = members.without(id);
						continue;
					}
					if (phase === 'starting')
						for (const request of member.requests) enqueue({ type: 'answer', params: { request, answer: stopping } });
					members = members.with(id, { ...member, phase: 'draining', requests: phase === 'draining' ? member.requests : nobody });
					if (phase !== 'draining' || context.mode !== 'drain')
						enqueue({ type: 'drainChild', params: { id, incarnation, mode: context.mode } });
				}
				enqueue.assign({ members });
			}),
			/** Those who have been asked are asked again, harder. */
			hurry: enqueueing(({ context, enqueue }) => {
				for (const [id, { incarnation }] of context.members)
					enqueue({ type: 'drainChild', params: { id, incarnation, mode: context.mode } });
			}),
		},
	})
	.createMachine({
		id: 'dynamic',
		context: ({ input = { spec: empty } }) => ({
			path: input.spec.path,
			rule: input.spec.template.restart,
			intensity: input.spec.intensity,
			maxChildren: input.spec.maxChildren,
			shutdownMs: input.spec.shutdownMs,
			members: new Trie<Member>(),
			nextOrder: 1,
			log: noRestarts,
			end: null,
			mode: 'drain',
		}),
		output: ({ context }) => context.end as SupervisorEnd,
		initial: 'starting',
		states: {
			starting: {
				description: 'It has nobody yet.',
				always: 'running',
			},
			running: {
				tags: 'ready',
				entry: 'reportReady',
				on: {
					stop: { target: 'draining', actions: 'recordMode' },
					request: { actions: 'takeRequest' },
					'child.ready': [{ guard: 'isStale' }, { actions: 'recordReady' }],
					'child.died': [
						{ guard: 'isStale' },
						{ guard: 'isDraining', actions: 'forget' },
						{ guard: 'failsRequest', actions: 'forget' },
						{
							guard: 'needsNoRestart',
							actions: [{ type: 'reportEnd', params: ({ event }) => ({ id: (event as Death).id, exit: (event as Death).exit }) }, 'forget'],
						},
						{
							guard: 'isFatal',
							actions: [
								{
									type: 'reportGivingUp',
									params: ({ event }) => ({ ...(event as Death), why: 'its exit code says that a restart would not help' }),
								},
								'forget',
							],
						},
						{ guard: 'escalates', target: 'draining', actions: ['recordExhaustion', 'forget'] },
						{
							guard: 'givesUp',
							actions: [
								{
									type: 'reportGivingUp',
									params: ({ event }) => ({ ...(event as Death), why: 'it has been restarted too often' }),
								},
								'forget',
							],
						},
						{ guard: 'keepsTrying', actions: { type: 'planRestart', params: { slow: true } } },
						{ actions: { type: 'planRestart', params: { slow: false } } },
					],
					'restart.due': { guard: 'isWaiting', actions: 'relaunch' },
				},
			},
			draining: {
				description: 'All children at the same time, each with its own ladder.',
				entry: 'drainAll',
				always: { guard: 'isEmpty', target: 'dead' },
				on: {
					// A stop that is not harder than the one under way changes nothing.
					stop: [{ guard: 'isHarder', actions: ['recordMode', 'hurry'] }, {}],
					request: {
						actions: {
							type: 'answer',
							params: ({ event }) => ({ request: event.type === 'request' ? event.asked.request : '', answer: stopping }),
						},
					},
					'child.died': [{ guard: 'isStale' }, { actions: 'forget' }],
				},
				after: { shutdownTimeout: { guard: 'isAsked', actions: ['recordLateness', 'hurry'] } },
			},
			dead: {
				type: 'final',
				entry: { type: 'reportDeath', params: ({ context }) => ({ end: context.end as SupervisorEnd }) },
			},
		},
	});

/** Context as it is made without input, which XState's `transition()` does now and then. */
const empty = {
	path: '',
	intensity: { restarts: 1, withinMs: 5_000 },
	maxChildren: 0,
	shutdownMs: null,
	template: { restart: { type: 'temporary' } },
} as DynamicSpec;
