/** A supervisor: what its children are to it, and what it makes of their deaths. */
import { assign, enqueueActions, setup } from 'xstate';
import {
	type Answer,
	type Ask,
	type Asked,
	type Child,
	type Death,
	describe,
	failRequest,
	isExhausted,
	MAX_MAIL,
	operationOn,
	plan,
	planRestart,
	proceed,
	type Refusal,
	type Replacement,
	replaceChildren,
	retire,
	type Supervision,
	shutsDown,
	take,
	unborn,
	wake,
	withChild,
} from './operations.ts';
import type { Resumed } from './reconcile.ts';
import { mayRestart, noRestarts } from './restart.ts';
import { type Exit, type ExitReason, NEVER_MS, type StopMode, type SupervisorSpec } from './spec.ts';
import { OrderedTrie } from './trie.ts';

/** What a master hears. A death comes with the moment (monotonic ms, in `exit.at`) and the chance for its jitter. */
export type MasterEvent =
	/** `reason`: of its own accord, and so its supervisor is to judge it; without, it was asked to. */
	| { type: 'stop'; mode: StopMode; reason?: ExitReason }
	| { type: 'request'; asked: Asked }
	| { type: 'request.taken'; asked: Asked }
	| { type: 'restart'; id: string; request: string }
	/** As `restart`, with another version of it: one that does not start is not tried again. */
	| { type: 'exchange'; id: string; request: string }
	/** Stops it, and starts it with nobody but by `resume`: its restart type does not count, nor does this for any budget. */
	| { type: 'pause'; id: string; request: string }
	| { type: 'resume'; id: string; request: string }
	/** A reload has given numbers to incarnations of its own. */
	| { type: 'numbers.given'; numbers: ReadonlyArray<readonly [id: string, incarnation: number]> }
	/** A new version of the spec is in force. */
	| {
			type: 'children.replaced';
			spec: Pick<SupervisorSpec, 'start' | 'intensity' | 'autoShutdown' | 'shutdownMs'>;
			children: readonly Replacement[];
	  }
	| { type: 'child.ready'; id: string; incarnation: number; at: number }
	| ({ type: 'child.died' } & Death)
	| ({ type: 'notice.taken' } & Death)
	| { type: 'restart.due'; operation: number }
	/** All that an earlier master left is in its place again. */
	| { type: 'resumed' }
	| { type: 'effect.failed'; effect: string; message: string; at: number };

/** What a master asks of the world. */
export type MasterEffects = {
	launchChild: { id: string; incarnation: number };
	drainChild: { id: string; incarnation: number; mode: StopMode };
	answer: { request: string; answer: Answer };
	/** A request for a new child is accepted. */
	addChild: { id: string; request: string };
	/** A child that came by request is gone for good. */
	forgetChild: { id: string };
	reportRestart: { id: string; exit: Exit; delayMs: number; siblings: string[] };
	reportEnd: { id: string; exit: Exit };
	reportGivingUp: { id: string; exit: Exit; why: string };
	reportReady: undefined;
	reportDeath: { end: SupervisorEnd };
};

/** How a supervisor ended. `exhausted` ends with reason `shutdown`, as in OTP: only a permanent one is then restarted. */
export interface SupervisorEnd {
	/** `killed`: it was asked, and took longer than its limit. */
	why: 'asked' | 'exhausted' | 'startFailed' | 'autoShutdown' | 'killed';
	/** What its own supervisor judges. */
	reason: ExitReason;
	/** The child because of which it ended, if there is one. */
	child?: string;
	/** One sentence for people. */
	message: string;
}

export interface MasterInput {
	spec: SupervisorSpec;
	/** Incarnations that earlier masters of this tree have used up, by child id: they only grow. */
	incarnations?: ReadonlyMap<string, number>;
	/** Ids of children that are paused: they are not started. */
	paused?: ReadonlySet<string>;
	/** What it goes on with: an earlier master was in the middle of it. */
	resumed?: Resumed;
}

export interface MasterContext extends Supervision {
	path: string;
	/** null: no limit. */
	shutdownMs: number | null;
	end: SupervisorEnd | null;
	mode: StopMode;
	/** What an earlier master left waiting, until it waits here. null: there was none. */
	waits: Resumed['waits'] | null;
}

type MasterAction = { [K in keyof MasterEffects]: { type: K; params: MasterEffects[K] } }[keyof MasterEffects];
/** `enqueueActions` that knows the effects above: `extend` does not tell it. */
const enqueueing = enqueueActions<MasterContext, MasterEvent, undefined, MasterEvent, never, MasterAction, never, never>;
const enqueueingRestart = enqueueActions<MasterContext, MasterEvent, { slow: boolean }, MasterEvent, never, MasterAction, never, never>;
type Enqueue = Parameters<Parameters<typeof enqueueing>[0]>[0]['enqueue'];

/** How hard a stop is: a later request can only make it harder. */
const hardness: readonly StopMode[] = ['drain', 'fast', 'kill'];

const isDeath = (event: MasterEvent) => event.type === 'child.died' || event.type === 'notice.taken';
/** The child and the death that an event is about. */
function deathOf(context: MasterContext, event: MasterEvent): { child: Child; death: Death } | null {
	if (event.type !== 'child.died' && event.type !== 'notice.taken') return null;
	const child = context.children.get(event.id);
	const { id, incarnation, exit, chance } = event;
	return child === undefined ? null : { child, death: { id, incarnation, exit, chance } };
}
/** What is asked for one child, by its name. */
const isAbout = (event: MasterEvent): event is Extract<MasterEvent, { id: string; request: string }> =>
	event.type === 'restart' || event.type === 'exchange' || event.type === 'pause' || event.type === 'resume';
const isFatal = ({ rule }: Child, { code }: Exit) => code !== null && rule.fatalCodes.includes(code);

/**
 * A master is one supervisor: the root of a tree, or one nested in it. It decides who is restarted, with whom and when,
 * and when it gives up. OTP blocks while it starts and stops; here what comes meanwhile is put in a queue and taken in
 * order. It never waits for a child, a probe or a store, and it never starts or signals a process itself.
 */
export const masterMachine = setup({
	types: {} as { context: MasterContext; events: MasterEvent; input: MasterInput; output: SupervisorEnd; tags: 'ready' },
	actions: {
		launchChild: (_, _params: MasterEffects['launchChild']) => {},
		drainChild: (_, _params: MasterEffects['drainChild']) => {},
		answer: (_, _params: MasterEffects['answer']) => {},
		addChild: (_, _params: MasterEffects['addChild']) => {},
		forgetChild: (_, _params: MasterEffects['forgetChild']) => {},
		reportRestart: (_, _params: MasterEffects['reportRestart']) => {},
		reportEnd: (_, _params: MasterEffects['reportEnd']) => {},
		reportGivingUp: (_, _params: MasterEffects['reportGivingUp']) => {},
		reportReady: () => {},
		reportDeath: (_, _params: MasterEffects['reportDeath']) => {},
	},
	guards: {
		/** About an incarnation that is not the present one, or is known to be dead. */
		isStale: ({ context, event }) => {
			const child = 'id' in event ? context.children.get(event.id) : undefined;
			return child === undefined || !('incarnation' in event) || child.incarnation !== event.incarnation || child.phase === 'down';
		},
		/** Its death was asked for, or found on the way: nothing follows from it. */
		isExpected: ({ context, event }) => isDeath(event) && operationOn(context, (event as Death).id)?.phase === 'stopping',
		/** It had been brought up by an operation that is still going on: that is completed first. */
		isPremature: ({ context, event }) => {
			const about = deathOf(context, event);
			return about !== null && about.child.phase === 'running' && operationOn(context, about.child.id) !== undefined;
		},
		/** It could not be brought up in the first start, which is not retried. */
		failsStart: ({ context, event }) => {
			const about = deathOf(context, event);
			if (about === null || about.child.rule.whenExhausted !== 'escalate') return false;
			return about.child.phase === 'starting' && operationOn(context, about.child.id)?.kind === 'start';
		},
		/** It was started by request: that has failed, and nothing more follows. */
		failsRequest: ({ context, event }) => {
			const about = deathOf(context, event);
			const kind = about?.child.phase === 'starting' ? operationOn(context, about.child.id)?.kind : undefined;
			return kind === 'add' || kind === 'revive' || kind === 'exchange';
		},
		/** It did not want to run, which is no failure. */
		isIgnored: ({ event }) => isDeath(event) && (event as Death).exit.reason === 'ignored',
		/** Somebody has dealt with it meanwhile. */
		isSettled: ({ context, event }) => {
			const about = deathOf(context, event);
			if (about === null || about.child.phase !== 'down' || about.child.standing === 'paused') return true;
			return about.child.incarnation !== about.death.incarnation;
		},
		isFatal: ({ context, event }) => {
			const about = deathOf(context, event);
			return about !== null && isFatal(about.child, about.death.exit);
		},
		needsNoRestart: ({ context, event }) => {
			const about = deathOf(context, event);
			return about !== null && !mayRestart(about.child.rule.type, about.death.exit.reason);
		},
		shutsDown: ({ context, event }) => {
			const about = deathOf(context, event);
			return about !== null && !mayRestart(about.child.rule.type, about.death.exit.reason) && shutsDown(context, about.child);
		},
		mailIsFull: ({ context }) => context.mail.length >= MAX_MAIL,
		isAsked: ({ context }) => context.end?.why === 'asked',
		escalates: ({ context, event }) => exhausted(context, event) === 'escalate',
		givesUp: ({ context, event }) => exhausted(context, event) === 'giveUp',
		keepsTrying: ({ context, event }) => exhausted(context, event) === 'keepTrying',
		isUnknown: ({ context, event }) => isAbout(event) && !context.children.has(event.id),
		/** There is nothing to go on with. */
		isNotPaused: ({ context, event }) => event.type === 'resume' && context.children.get(event.id)?.standing !== 'paused',
		isBusy: ({ context }) => context.operations.length > 0,
		isIdle: ({ context }) => context.operations.length === 0,
		isResumed: ({ context }) => context.waits !== null,
		/** An earlier master had begun to stop it. */
		isEnding: ({ context }) => context.end !== null,
		firstStartIsOver: ({ context }) => !context.operations.some(({ kind }) => kind === 'start'),
		isHarder: ({ context, event }) => event.type === 'stop' && hardness.indexOf(event.mode) > hardness.indexOf(context.mode),
	},
	delays: {
		shutdownTimeout: ({ context }) => context.shutdownMs || NEVER_MS,
	},
})
	.extend({
		actions: {
			planStart: enqueueing(({ context, enqueue }) => {
				if (context.waits === null) {
					const { state } = plan(context, {
						kind: 'start',
						strategy: 'one_for_all',
						scope: [...context.children.keys()],
						delayMs: null,
						mode: 'drain',
						about: null,
						request: null,
					});
					return enqueue.assign(state);
				}
				for (const [operation, delayMs] of context.waits) carryOut({ do: 'schedule', operation, delayMs }, enqueue);
				enqueue.assign({ waits: null });
			}),
			recordReady: assign(({ context, event }) =>
				event.type === 'child.ready' && context.children.get(event.id)?.phase === 'starting'
					? withChild(context, event.id, { phase: 'running', readyAt: event.at })
					: {},
			),
			recordDeath: assign(({ context, event }) =>
				event.type === 'child.died' ? withChild(context, event.id, { phase: 'down', lastExit: event.exit }) : {},
			),
			keepNotice: assign(({ context, event }) => {
				const about = deathOf(context, event);
				return about === null ? {} : { mail: [...context.mail, about.death] };
			}),
			keepRequest: assign(({ context, event }) => (event.type === 'request' ? { mail: [...context.mail, event.asked] } : {})),
			takeRequest: enqueueing(({ context, event, enqueue }) => {
				if (event.type !== 'request.taken') return;
				const { state, asks } = take(context, event.asked);
				enqueue.assign(state);
				for (const ask of asks) carryOut(ask, enqueue);
			}),
			refuseUnknown: enqueueing(({ context, event, enqueue }) => {
				if (!isAbout(event)) return;
				enqueue({ type: 'answer', params: answerTo(event, 'not_found', `there is no child '${pathOf(context, event.id)}'`) });
			}),
			refuseWhileStopping: enqueueing(({ event, enqueue }) =>
				enqueue({ type: 'answer', params: answerTo(event, 'stopping', stopping.message) }),
			),
			failRequest: enqueueing(({ context, event, enqueue }) => {
				const about = deathOf(context, event);
				if (about === null) return;
				const { state, asks } = failRequest(context, about.death);
				enqueue.assign(state);
				for (const ask of asks) carryOut(ask, enqueue);
			}),
			recordIgnored: enqueueing(({ context, event, enqueue }) => {
				const about = deathOf(context, event);
				if (about === null) return;
				const down = withChild(context, about.child.id, { phase: 'down', lastExit: about.death.exit });
				const { state, asks } = retire(down, about.child, 'ignored');
				enqueue.assign(state);
				for (const ask of asks) carryOut(ask, enqueue);
			}),
			judgeDeath: enqueueing(({ context, event, enqueue }) => {
				const about = deathOf(context, event);
				if (about !== null) enqueue.raise({ type: 'notice.taken', ...about.death });
			}),
			retire: enqueueing(({ context, event, enqueue }) => {
				const about = deathOf(context, event);
				if (about === null) return;
				const { state, asks } = retire(context, about.child, 'finished');
				enqueue.assign(state);
				for (const ask of asks) carryOut(ask, enqueue);
			}),
			retireFatal: assign(({ context, event }) => {
				const about = deathOf(context, event);
				return about === null ? {} : withChild(context, about.child.id, { standing: 'fatal' });
			}),
			giveUp: assign(({ context, event }) => {
				const about = deathOf(context, event);
				// The window begins anew for when somebody asks for it again.
				return about === null ? {} : withChild(context, about.child.id, { standing: 'gaveUp', log: noRestarts, failures: 0 });
			}),
			planRestart: enqueueingRestart(({ context, event, enqueue }, { slow }) => {
				const about = deathOf(context, event);
				if (about === null) return;
				const { state, asks, delayMs } = planRestart(context, about.death, slow);
				enqueue.assign(state);
				for (const ask of asks) carryOut(ask, enqueue);
				const siblings = state.operations[state.operations.length - 1]?.scope.filter((id) => id !== about.child.id) ?? [];
				enqueue({ type: 'reportRestart', params: { id: about.child.id, exit: about.death.exit, delayMs, siblings } });
			}),
			planRequest: enqueueing(({ context, event, enqueue }) => {
				if (!isAbout(event)) return;
				const { id, request, type } = event;
				const { state, asks } = plan(context, {
					kind: type === 'restart' ? 'request' : type,
					strategy: 'one_for_one',
					scope: [id],
					delayMs: null,
					mode: 'drain',
					about: null,
					request,
				});
				enqueue.assign(state);
				for (const ask of asks) carryOut(ask, enqueue);
			}),
			recordNumbers: assign(({ context, event }) => {
				if (event.type !== 'numbers.given') return {};
				let state: Supervision = context;
				for (const [id, incarnation] of event.numbers)
					state = withChild(state, id, { used: Math.max(incarnation, state.children.get(id)?.used ?? 0) });
				return { children: state.children };
			}),
			replaceChildren: enqueueing(({ context, event, enqueue }) => {
				if (event.type !== 'children.replaced') return;
				const { state, asks } = replaceChildren(context, event.children);
				enqueue.assign({ ...state, ...event.spec });
				for (const ask of asks) carryOut(ask, enqueue);
			}),
			wakeOperation: assign(({ context, event }) => (event.type === 'restart.due' ? { operations: wake(context, event.operation) } : {})),
			recordMode: assign(({ context, event }) => {
				if (event.type !== 'stop') return {};
				// Nobody asked it: so how it is stopped is not what is declared for that.
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
			recordAutoShutdown: assign(({ context, event }) => {
				const about = deathOf(context, event);
				return about === null
					? {}
					: {
							end: {
								why: 'autoShutdown' as const,
								reason: 'shutdown' as const,
								child: about.child.id,
								message: `${describe(pathOf(context, about.child.id), about.death.exit)}, and it is significant`,
							},
						};
			}),
			recordStartFailure: assign(({ context, event }) => {
				const about = deathOf(context, event);
				return about === null
					? {}
					: {
							end: {
								why: 'startFailed' as const,
								reason: 'startFailed' as const,
								child: about.child.id,
								message: describe(pathOf(context, about.child.id), about.death.exit),
							},
						};
			}),
			recordExhaustion: assign(({ context, event }) => {
				const about = deathOf(context, event);
				return about === null
					? {}
					: {
							end: {
								why: 'exhausted' as const,
								reason: 'shutdown' as const,
								child: about.child.id,
								message: exhaustion(context, about.child, about.death.exit),
							},
						};
			}),
			/** Whatever was going on, and whatever waited, is over: now everybody goes. */
			planStop: enqueueing(({ context, enqueue }) => {
				for (const { id, request } of context.operations) {
					enqueue.cancel(`restart.due.${id}`);
					if (request !== null) enqueue({ type: 'answer', params: { request, answer: stopping } });
				}
				for (const mail of context.mail) if ('do' in mail) enqueue({ type: 'answer', params: { request: mail.request, answer: stopping } });
				const { state } = plan(
					{ ...context, operations: [], mail: [] },
					{
						kind: 'stop',
						strategy: 'one_for_all',
						scope: [...context.children.keys()],
						delayMs: null,
						mode: context.mode,
						about: null,
						request: null,
					},
				);
				enqueue.assign(state);
			}),
			/** Those who have been asked are asked again, harder. */
			hurry: enqueueing(({ context, enqueue }) => {
				const { mode } = context;
				enqueue.assign({ operations: context.operations.map((operation) => ({ ...operation, mode, allAsked: false })) });
				for (const { id, incarnation, phase } of context.children.values())
					if (phase === 'draining') enqueue({ type: 'drainChild', params: { id, incarnation, mode } });
			}),
			proceed: enqueueing(({ context, enqueue }) => {
				const { state, asks } = proceed(context);
				enqueue.assign(state);
				for (const ask of asks) carryOut(ask, enqueue);
			}),
		},
	})
	.createMachine({
		id: 'master',
		context: ({ input = { spec: empty } }) => ({
			path: input.spec.path,
			start: input.spec.start,
			intensity: input.spec.intensity,
			children: OrderedTrie.of(
				input.resumed?.children ??
					input.spec.children.map(({ id, restart }) => [
						id,
						{
							...unborn,
							id,
							rule: restart,
							incarnation: input.incarnations?.get(id) ?? 0,
							standing: input.paused?.has(id) ? 'paused' : null,
						},
					]),
			),
			log: input.resumed?.log ?? noRestarts,
			operations: input.resumed?.operations ?? [],
			nextOperation: input.resumed?.nextOperation ?? 1,
			autoShutdown: input.spec.autoShutdown,
			mail: input.resumed?.mail ?? [],
			shutdownMs: input.spec.shutdownMs,
			end: input.resumed?.end ?? null,
			mode: input.resumed?.mode ?? 'drain',
			waits: input.resumed?.waits ?? null,
		}),
		output: ({ context }) => context.end as SupervisorEnd,
		on: {
			stop: { target: '.draining', actions: 'recordMode' },
			restart: [{ guard: 'isUnknown', actions: 'refuseUnknown' }, { actions: ['planRequest', 'proceed'] }],
			exchange: [{ guard: 'isUnknown', actions: 'refuseUnknown' }, { actions: ['planRequest', 'proceed'] }],
			pause: [{ guard: 'isUnknown', actions: 'refuseUnknown' }, { actions: ['planRequest', 'proceed'] }],
			resume: [
				{ guard: 'isUnknown', actions: 'refuseUnknown' },
				{
					guard: 'isNotPaused',
					actions: {
						type: 'answer',
						params: ({ event }) => ({ request: (event as { request: string }).request, answer: { ok: true, incarnation: null } }),
					},
				},
				{ actions: ['planRequest', 'proceed'] },
			],
			'numbers.given': { actions: 'recordNumbers' },
			'children.replaced': { actions: ['replaceChildren', 'proceed'] },
			request: [
				{
					guard: 'mailIsFull',
					actions: { type: 'answer', params: ({ event }) => answerTo(event, 'busy', `${MAX_MAIL} requests wait already`) },
				},
				{ actions: ['keepRequest', 'proceed'] },
			],
			'request.taken': { actions: ['takeRequest', 'proceed'] },
			'child.ready': [{ guard: 'isStale' }, { actions: ['recordReady', 'proceed'] }],
			'child.died': [
				{ guard: 'isStale' },
				{ guard: 'isExpected', actions: ['recordDeath', 'proceed'] },
				{ guard: 'isIgnored', actions: ['recordIgnored', 'proceed'] },
				{ guard: 'isPremature', actions: ['recordDeath', 'keepNotice', 'proceed'] },
				{ guard: 'failsStart', target: '.draining', actions: ['recordDeath', 'recordStartFailure'] },
				{ guard: 'failsRequest', actions: ['recordDeath', 'failRequest', 'proceed'] },
				{ actions: ['recordDeath', 'judgeDeath'] },
			],
			'notice.taken': [
				{ guard: 'isSettled', actions: 'proceed' },
				{
					guard: 'isFatal',
					actions: [
						'retireFatal',
						{
							type: 'reportGivingUp',
							params: ({ event }) => ({ ...(event as Death), why: 'its exit code says that a restart would not help' }),
						},
						'proceed',
					],
				},
				{
					guard: 'shutsDown',
					target: '.draining',
					actions: [
						{ type: 'reportEnd', params: ({ event }) => ({ id: (event as Death).id, exit: (event as Death).exit }) },
						'recordAutoShutdown',
						'retire',
					],
				},
				{
					guard: 'needsNoRestart',
					actions: [
						'retire',
						{ type: 'reportEnd', params: ({ event }) => ({ id: (event as Death).id, exit: (event as Death).exit }) },
						'proceed',
					],
				},
				{ guard: 'escalates', target: '.draining', actions: 'recordExhaustion' },
				{
					guard: 'givesUp',
					actions: [
						'giveUp',
						{ type: 'reportGivingUp', params: ({ event }) => ({ ...(event as Death), why: 'it has been restarted too often' }) },
						'proceed',
					],
				},
				{ guard: 'keepsTrying', actions: [{ type: 'planRestart', params: { slow: true } }, 'proceed'] },
				{ actions: [{ type: 'planRestart', params: { slow: false } }, 'proceed'] },
			],
			'restart.due': { actions: ['wakeOperation', 'proceed'] },
		},
		initial: 'starting',
		states: {
			starting: {
				description: 'A failure is not retried.',
				initial: 'assigned',
				states: {
					assigned: {
						always: [{ guard: 'isResumed', target: 'resuming' }, { target: 'launching' }],
					},
					resuming: {
						description: 'Another master was in the middle of it: what that one left is gathered first.',
						on: { resumed: 'launching' },
					},
					launching: {
						description: 'Children in order, each ready before the next, or side by side. What another master left goes on.',
						entry: ['planStart', 'proceed'],
						always: [
							{ guard: 'isEnding', target: '#master.draining' },
							{ guard: 'firstStartIsOver', target: '#master.running' },
						],
					},
				},
			},
			running: {
				tags: 'ready',
				entry: 'reportReady',
				initial: 'steady',
				states: {
					steady: { always: { guard: 'isBusy', target: 'restarting' } },
					restarting: {
						description: 'Stops the affected in reverse order, waits out the backoff, starts them in order.',
						always: { guard: 'isIdle', target: 'steady' },
					},
				},
			},
			draining: {
				description: 'All children, in reverse order, each with its own ladder.',
				entry: ['planStop', 'proceed'],
				on: {
					// A stop that is not harder than the one under way changes nothing.
					stop: [{ guard: 'isHarder', actions: ['recordMode', 'hurry', 'proceed'] }, {}],
					restart: { actions: 'refuseWhileStopping' },
					exchange: { actions: 'refuseWhileStopping' },
					pause: { actions: 'refuseWhileStopping' },
					resume: { actions: 'refuseWhileStopping' },
					request: { actions: 'refuseWhileStopping' },
					'child.died': [{ guard: 'isStale' }, { actions: ['recordDeath', 'proceed'] }],
				},
				always: { guard: 'isIdle', target: 'dead' },
				after: { shutdownTimeout: { guard: 'isAsked', actions: ['recordLateness', 'hurry', 'proceed'] } },
			},
			dead: {
				type: 'final',
				entry: { type: 'reportDeath', params: ({ context }) => ({ end: context.end as SupervisorEnd }) },
			},
		},
	});

const stopping = { ok: false as const, code: 'stopping' as const, message: 'the supervisor is stopping' };

function answerTo(event: MasterEvent, code: Refusal, message: string): MasterEffects['answer'] {
	const request = isAbout(event) ? event.request : event.type === 'request' ? event.asked.request : '';
	return { request, answer: { ok: false, code, message } };
}

/** Context as it is made without input, which XState's `transition()` does now and then. */
const empty: SupervisorSpec = {
	kind: 'supervisor',
	id: '',
	declaredId: '',
	path: '',
	restart: {
		type: 'permanent',
		significant: false,
		strategy: 'one_for_one',
		intensity: null,
		whenExhausted: 'escalate',
		backoff: { fromMs: 0, toMs: 0, resetAfterMs: 0 },
		okCodes: [0],
		fatalCodes: [],
	},
	strategy: 'one_for_one',
	intensity: { restarts: 1, withinMs: 5_000 },
	start: 'ordered',
	autoShutdown: 'never',
	shutdownMs: null,
	children: [],
};

/** What an exceeded intensity means for this death; null if it is not exceeded. */
function exhausted(context: MasterContext, event: MasterEvent) {
	const about = deathOf(context, event);
	if (about === null || !isExhausted(context, about.child, about.death.exit.at)) return null;
	return about.child.rule.whenExhausted;
}

const pathOf = (context: MasterContext, id: string) => (context.path === '' ? id : `${context.path}/${id}`);

function exhaustion(context: MasterContext, child: Child, exit: Exit): string {
	const { restarts, withinMs } = child.rule.intensity ?? context.intensity;
	return `${describe(pathOf(context, child.id), exit)}, and ${restarts} restarts within ${withinMs} ms are the limit`;
}

/** An ask of the operations as the action of that name. */
function carryOut(ask: Ask, enqueue: Enqueue): void {
	switch (ask.do) {
		case 'launch':
			return enqueue({ type: 'launchChild', params: { id: ask.id, incarnation: ask.incarnation } });
		case 'drain':
			return enqueue({ type: 'drainChild', params: { id: ask.id, incarnation: ask.incarnation, mode: ask.mode } });
		case 'schedule':
			return enqueue.raise({ type: 'restart.due', operation: ask.operation }, { id: `restart.due.${ask.operation}`, delay: ask.delayMs });
		case 'unschedule':
			return enqueue.cancel(`restart.due.${ask.operation}`);
		case 'answer':
			return enqueue({ type: 'answer', params: { request: ask.request, answer: ask.answer } });
		case 'add':
			return enqueue({ type: 'addChild', params: { id: ask.id, request: ask.request } });
		case 'forget':
			return enqueue({ type: 'forgetChild', params: { id: ask.id } });
		case 'take':
			return enqueue.raise({ type: 'request.taken', asked: ask.asked });
		case 'notice':
			return enqueue.raise({ type: 'notice.taken', ...ask.death });
	}
}
