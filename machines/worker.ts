import { assign, setup } from 'xstate';
import { classifyExit } from './restart.ts';
import { type Exit, type ExitReason, type HeartbeatSpec, type LiveSpec, NEVER_MS, type StopMode, type StopSpec } from './spec.ts';

/** What a worker hears. Requests are verbs; facts are a subject and what became of it. `at` is monotonic ms. */
export type WorkerEvent =
	| { type: 'drain'; mode: StopMode }
	| { type: 'process.spawned'; pid: number; startTicks: number }
	| { type: 'process.failed'; message: string; at: number }
	| { type: 'process.ready' }
	/** Everything around it is in its place again: it goes on where it was. */
	| { type: 'adopted' }
	/** A new version of the spec has other limits for it. */
	| { type: 'limits.changed'; stop: StopSpec; okCodes: number[] }
	| {
			type: 'process.exited';
			code: number | null;
			signal: string | null;
			maxRssBytes: number | null;
			at: number;
			/** Known where there is no status to judge by: what lives within the master says how it ended. */
			reason?: ExitReason;
			detail?: string;
	  }
	| { type: 'heartbeat' }
	| { type: 'probe.passed' }
	| { type: 'probe.failed'; why: string }
	| { type: 'drain.acknowledged' }
	| { type: 'drain.undeliverable' }
	| { type: 'supervisor.resumed' }
	| { type: 'effect.failed'; effect: string; message: string; at: number };

/** What a worker asks of the world, with the params of each. `to`: the incarnation it is about is the one that asks. */
export type WorkerEffects = {
	launch: undefined;
	watchReadiness: undefined;
	watchLiveness: undefined;
	askToDrain: undefined;
	terminate: undefined;
	kill: undefined;
	reportReady: undefined;
	reportSuspect: { why: string };
	raiseAlarm: { pid: number | null };
	reportDeath: { exit: Exit };
};

export interface WorkerInput {
	/** Names this incarnation, everywhere and for ever. */
	workerId: string;
	path: string;
	incarnation: number;
	heartbeat: HeartbeatSpec | null;
	live: LiveSpec | null;
	readyTimeoutMs: number;
	stop: StopSpec;
	okCodes: number[];
	/** Already runs: started by a master that is gone, and had become ready, and been asked to go, or not. */
	adopted: { pid: number; startTicks: number; ready: boolean; asked: boolean } | null;
}

export interface WorkerContext extends WorkerInput {
	pid: number | null;
	startTicks: number | null;
	/** What it will have died of, once it is dead; null while nobody has a hand in it. */
	doom: 'shutdown' | 'killed' | 'hung' | 'startFailed' | null;
	wasReady: boolean;
	failedProbes: number;
	kills: number;
	/** One sentence for people about the latest trouble. */
	detail: string | null;
	exit: Exit | null;
}

/** A drain request unanswered for so long was not understood: SIGTERM stands in for it. */
export const ACKNOWLEDGE_MS = 1_000;
/** Between one SIGKILL and the next. */
export const KILL_AGAIN_MS = 1_000;
/** SIGKILLs until a process counts as stuck. */
export const KILLS = 3;
/** Between two tries on a stuck process. */
export const STUCK_AGAIN_MS = 10_000;

const nothing = () => {};
/** Context as it is made without input, which XState's `transition()` does now and then. */
const unnamed: WorkerInput = {
	workerId: '',
	path: '',
	incarnation: 0,
	heartbeat: null,
	live: null,
	readyTimeoutMs: NEVER_MS,
	stop: { drainMs: 0, terminateMs: NEVER_MS },
	okCodes: [0],
	adopted: null,
};

/**
 * A worker is one incarnation of one child, from spawn to exit. It never restarts itself: its master decides.
 * `HELLO`, heartbeat and ready are three facts: one may beat long before it may be given work.
 */
export const workerMachine = setup({
	types: {} as { context: WorkerContext; events: WorkerEvent; input: WorkerInput; output: Exit; tags: 'ready' },
	actions: {
		launch: nothing,
		watchReadiness: nothing,
		watchLiveness: nothing,
		askToDrain: nothing,
		terminate: nothing,
		kill: nothing,
		reportReady: nothing,
		reportSuspect: (_, _params: WorkerEffects['reportSuspect']) => {},
		raiseAlarm: (_, _params: WorkerEffects['raiseAlarm']) => {},
		reportDeath: (_, _params: WorkerEffects['reportDeath']) => {},
	},
	guards: {
		isAdopted: ({ context }) => context.adopted !== null,
		wasReady: ({ context }) => context.adopted?.ready === true,
		isKill: ({ event }) => event.type === 'drain' && event.mode === 'kill',
		isFast: ({ event }) => event.type === 'drain' && event.mode === 'fast',
		hasNoDrain: ({ context }) => context.stop.drainMs === 0,
		hasNoTerminate: ({ context }) => context.stop.terminateMs === 0,
		hasNoStop: ({ context }) => context.stop.drainMs === 0 && context.stop.terminateMs === 0,
		isFastKill: ({ context, event }) => event.type === 'drain' && event.mode === 'fast' && context.stop.terminateMs === 0,
		beats: ({ context }) => context.heartbeat !== null,
		probesFail: ({ context }) => context.failedProbes > 0,
		probesExhausted: ({ context }) => context.live !== null && context.failedProbes + 1 >= context.live.failures,
		killsLeft: ({ context }) => context.kills < KILLS,
	},
	delays: {
		startTimeout: ({ context }) => context.readyTimeoutMs,
		suspectTimeout: ({ context }) => (context.heartbeat ? context.heartbeat.timeoutMs / 2 : NEVER_MS),
		hungTimeout: ({ context }) => (context.heartbeat ? context.heartbeat.timeoutMs / 2 : NEVER_MS),
		acknowledgeTimeout: ({ context }) => Math.min(ACKNOWLEDGE_MS, context.stop.drainMs),
		drainTimeout: ({ context }) => context.stop.drainMs,
		terminateTimeout: ({ context }) => context.stop.terminateMs,
		killTimeout: KILL_AGAIN_MS,
		stuckTimeout: STUCK_AGAIN_MS,
	},
})
	.extend({
		actions: {
			recordSpawn: assign(({ event }) => (event.type === 'process.spawned' ? { pid: event.pid, startTicks: event.startTicks } : {})),
			recordReady: assign({ wasReady: true }),
			recordLimits: assign(({ event }) => (event.type === 'limits.changed' ? { stop: event.stop, okCodes: event.okCodes } : {})),
			recordTrouble: assign(({ event }) => {
				if (event.type === 'probe.failed') return { detail: event.why };
				return event.type === 'effect.failed' ? { detail: `${event.effect} failed: ${event.message}` } : {};
			}),
			countFailedProbe: assign(({ context, event }) => ({
				failedProbes: context.failedProbes + 1,
				detail: event.type === 'probe.failed' ? event.why : context.detail,
			})),
			forgetFailedProbes: assign({ failedProbes: 0 }),
			countKill: assign(({ context }) => ({ kills: context.kills + 1 })),
			// What was found first stays: a hung worker that is then asked to stop was hung.
			markAsked: assign(({ context }) => ({ doom: context.doom ?? ('shutdown' as const) })),
			markKilled: assign(({ context }) => ({
				doom: context.doom === null || context.doom === 'shutdown' ? ('killed' as const) : context.doom,
			})),
			markHung: assign(({ context }) => ({
				doom: 'hung' as const,
				detail: context.failedProbes > 0 ? context.detail : `no heartbeat for ${context.heartbeat?.timeoutMs ?? 0} ms`,
			})),
			markLate: assign(({ context }) => ({ doom: 'startFailed' as const, detail: `not ready within ${context.readyTimeoutMs} ms` })),
			recordExit: assign(({ context, event }) => {
				if (event.type === 'process.exited') {
					const { code, signal, maxRssBytes, at } = event;
					const { doom, wasReady } = context;
					const reason = classifyExit({ doom, wasReady, code, signal, own: event.reason ?? null }, context.okCodes);
					const detail = context.detail ?? event.detail;
					return { exit: { reason, code, signal, at, maxRssBytes, ...(detail === undefined ? {} : { detail }) } };
				}
				if (event.type !== 'process.failed' && event.type !== 'effect.failed') return {};
				// A process that never was: if it had been asked to go meanwhile, then that is how it ended.
				const reason = context.doom === 'shutdown' ? ('shutdown' as const) : ('startFailed' as const);
				return { exit: { reason, code: null, signal: null, at: event.at, maxRssBytes: null, detail: event.message } };
			}),
		},
	})
	.createMachine({
		id: 'worker',
		context: ({ input = unnamed }) => ({
			workerId: input.workerId,
			path: input.path,
			incarnation: input.incarnation,
			heartbeat: input.heartbeat,
			live: input.live,
			readyTimeoutMs: input.readyTimeoutMs,
			stop: input.stop,
			okCodes: input.okCodes,
			adopted: input.adopted,
			pid: input.adopted?.pid ?? null,
			startTicks: input.adopted?.startTicks ?? null,
			doom: input.adopted?.asked ? 'shutdown' : null,
			wasReady: input.adopted?.ready ?? false,
			failedProbes: 0,
			kills: 0,
			detail: null,
			exit: null,
		}),
		output: ({ context }) => context.exit as Exit,
		on: {
			'process.spawned': { actions: 'recordSpawn' },
			'process.exited': { target: '.dead', actions: 'recordExit' },
			'process.failed': { target: '.dead', actions: 'recordExit' },
			'limits.changed': { actions: 'recordLimits' },
			'effect.failed': { actions: 'recordTrouble' },
		},
		initial: 'starting',
		states: {
			starting: {
				description: 'There is a process, or soon will be; it may not be given work yet.',
				on: {
					'process.ready': 'running',
					drain: [
						{ guard: 'isKill', target: 'draining.killing', actions: 'markKilled' },
						{ guard: 'hasNoTerminate', target: 'draining.killing', actions: 'markAsked' },
						// What is still starting may not have armed its handlers: nothing but TERM and KILL.
						{ target: 'draining.terminating', actions: 'markAsked' },
					],
				},
				after: { startTimeout: { target: 'draining.killing', actions: 'markLate' } },
				initial: 'assigned',
				states: {
					assigned: {
						always: [{ guard: 'isAdopted', target: 'adopting' }, { target: 'launching' }],
					},
					launching: {
						entry: 'launch',
						on: {
							'process.spawned': { target: 'warming', actions: 'recordSpawn' },
							'effect.failed': { target: '#worker.dead', actions: 'recordExit' },
						},
					},
					warming: {
						description: 'Spawned, not ready.',
						entry: 'watchReadiness',
					},
					adopting: {
						description: 'Already runs: another master started it, or it was ordered in advance.',
						on: {
							adopted: [{ guard: 'wasReady', target: '#worker.running' }, { target: 'warming' }],
							drain: [
								{ guard: 'isKill', target: '#worker.draining.killing', actions: 'markKilled' },
								{ guard: 'isFast', target: '#worker.draining.terminating', actions: 'markAsked' },
								{ guard: 'hasNoDrain', target: '#worker.draining.terminating', actions: 'markAsked' },
								{ target: '#worker.draining.asked', actions: 'markAsked' },
							],
						},
					},
				},
			},
			running: {
				tags: 'ready',
				entry: ['recordReady', 'reportReady', 'watchLiveness'],
				on: {
					drain: [
						{ guard: 'isKill', target: 'draining.killing', actions: 'markKilled' },
						{ guard: 'hasNoStop', target: 'draining.killing', actions: 'markKilled' },
						{ guard: 'isFastKill', target: 'draining.killing', actions: 'markAsked' },
						{ guard: 'isFast', target: 'draining.terminating', actions: 'markAsked' },
						{ guard: 'hasNoDrain', target: 'draining.terminating', actions: 'markAsked' },
						{ target: 'draining.asked', actions: 'markAsked' },
					],
				},
				initial: 'healthy',
				states: {
					healthy: {
						on: {
							heartbeat: { guard: 'beats', target: 'healthy', reenter: true },
							'supervisor.resumed': { guard: 'beats', target: 'healthy', reenter: true },
							'probe.failed': [
								{ guard: 'probesExhausted', target: '#worker.draining.killing', actions: ['countFailedProbe', 'markHung'] },
								{ target: 'suspect', actions: 'countFailedProbe' },
							],
						},
						after: { suspectTimeout: { guard: 'beats', target: 'suspect' } },
					},
					suspect: {
						description: 'Heartbeat late, or a probe failed.',
						entry: {
							type: 'reportSuspect',
							params: ({ context }) => ({
								why:
									context.failedProbes > 0
										? (context.detail ?? 'a probe failed')
										: `no heartbeat for ${(context.heartbeat?.timeoutMs ?? 0) / 2} ms`,
							}),
						},
						on: {
							heartbeat: [{ guard: 'probesFail', target: 'suspect', reenter: true }, { target: 'healthy' }],
							// The supervisor had not looked: whatever seemed late gets one more whole interval.
							'supervisor.resumed': { target: 'healthy', actions: 'forgetFailedProbes' },
							'probe.passed': { guard: 'probesFail', target: 'healthy', actions: 'forgetFailedProbes' },
							'probe.failed': [
								{ guard: 'probesExhausted', target: '#worker.draining.killing', actions: ['countFailedProbe', 'markHung'] },
								{ actions: 'countFailedProbe' },
							],
						},
						after: { hungTimeout: { guard: 'beats', target: '#worker.draining.killing', actions: 'markHung' } },
					},
				},
			},
			draining: {
				description: 'Asked to go: each step has its limit, and the next is harder.',
				on: {
					drain: [
						{ guard: 'isKill', target: '.killing', actions: 'markKilled' },
						{ guard: 'isFastKill', target: '.killing' },
						{ guard: 'isFast', target: '.terminating' },
					],
				},
				initial: 'asked',
				states: {
					asked: {
						entry: 'askToDrain',
						on: { 'drain.acknowledged': 'finishing', 'drain.undeliverable': 'signalled' },
						after: { acknowledgeTimeout: 'signalled' },
					},
					finishing: {
						description: 'It has said that it drains.',
						after: {
							drainTimeout: [{ guard: 'hasNoTerminate', target: 'killing', actions: 'markKilled' }, { target: 'terminating' }],
						},
					},
					signalled: {
						description: 'Nobody heard the request: SIGTERM stands in for it.',
						entry: 'terminate',
						on: { 'drain.acknowledged': 'finishing' },
						after: {
							drainTimeout: [{ guard: 'hasNoTerminate', target: 'killing', actions: 'markKilled' }, { target: 'terminating' }],
						},
					},
					terminating: {
						entry: 'terminate',
						on: { drain: [{ guard: 'isKill', target: 'killing', actions: 'markKilled' }, {}] },
						after: { terminateTimeout: { target: 'killing', actions: 'markKilled' } },
					},
					killing: {
						entry: ['countKill', 'kill'],
						on: { drain: {} },
						after: { killTimeout: [{ guard: 'killsLeft', target: 'killing', reenter: true }, { target: 'stuck' }] },
					},
					stuck: {
						description: 'Will not die: its slot and its port stay reserved, and somebody must look.',
						entry: ['kill', { type: 'raiseAlarm', params: ({ context }) => ({ pid: context.pid }) }],
						on: { drain: {} },
						after: { stuckTimeout: { target: 'stuck', reenter: true } },
					},
				},
			},
			dead: {
				type: 'final',
				entry: { type: 'reportDeath', params: ({ context }) => ({ exit: context.exit as Exit }) },
			},
		},
	});
