import { assign, setup } from 'xstate';
import { backoffMs, countFailures, intensityExceeded, logRestart, noRestarts, type RestartLog } from './restart.ts';
import { type Backoff, defaults, type HeartbeatSpec, type Intensity, type OnAngelLoss, type StopMode } from './spec.ts';

/** How an angel keeps its master, as the spec declares it. */
export interface MasterCare {
	heartbeat: HeartbeatSpec;
	intensity: Intensity;
	backoff: Backoff;
}

/** What an angel hears. `at` is monotonic ms, `chance` in [0, 1). */
export type AngelEvent =
	| { type: 'stop'; mode: StopMode; deadline: boolean }
	| { type: 'interrupt' }
	| { type: 'reload' }
	| { type: 'upgrade' }
	| { type: 'spec.checked'; stopTimeoutMs: number; upgradeTimeoutMs: number; master: MasterCare }
	| { type: 'spec.refused'; exitCode: number; lines: string[] }
	| { type: 'lock.taken' }
	| { type: 'lock.refused'; line: string }
	| { type: 'leftovers.gone' }
	| { type: 'sockets.bound' }
	| { type: 'sockets.failed'; line: string }
	| { type: 'master.hello' }
	| { type: 'master.running'; at: number }
	| { type: 'master.beat' }
	| { type: 'master.ended'; exitCode: number; lines: string[] }
	| { type: 'master.exited'; code: number | null; signal: string | null; at: number; chance: number }
	| { type: 'tree.gone' }
	/** It has checked all that it can while this one still has the tree. */
	| { type: 'successor.prepared' }
	/** The tree runs under it. */
	| { type: 'successor.running' }
	| { type: 'successor.failed'; lines: string[] }
	| { type: 'successor.exited'; exitCode: number }
	/** It is gone, and what it had been given is here again. */
	| { type: 'successor.withdrawn' }
	/** Nothing runs any more that this process has started. */
	| { type: 'children.gone' }
	| { type: 'supervisor.resumed' }
	| { type: 'effect.failed'; effect: string; message: string; at: number };

/** What an angel asks of the world. */
export type AngelEffects = {
	checkSpec: undefined;
	takeLock: undefined;
	clearLeftovers: { how: 'terminate' | 'kill' };
	bindSockets: undefined;
	launchMaster: undefined;
	killMaster: undefined;
	forwardStop: { mode: StopMode };
	forwardReload: undefined;
	sweep: { how: 'terminate' | 'kill' };
	launchSuccessor: undefined;
	releaseMaster: undefined;
	handOver: undefined;
	withdraw: undefined;
	letGo: undefined;
	handOnStop: { mode: StopMode; deadline: boolean };
	reportUpgrade: { lines: string[] };
	reportRunning: undefined;
	reportHung: { timeoutMs: number };
	reportBackoff: { delayMs: number; how: string };
	reportDeath: { exitCode: number; lines: string[] };
};

export interface AngelContext {
	stopTimeoutMs: number;
	upgradeTimeoutMs: number;
	care: MasterCare;
	/** Whether there is a master process. */
	hasMaster: boolean;
	runningSince: number | null;
	failures: number;
	log: RestartLog;
	delayMs: number;
	/** A stop was asked, and how. */
	isStopping: boolean;
	mode: StopMode;
	hasDeadline: boolean;
	/** Why an upgrade has failed; empty while it has not. */
	trouble: string[];
	/** The master has said how its tree ended. */
	ended: boolean;
	exitCode: number;
	/** Why, for people; empty if all went as asked. */
	lines: string[];
	forcings: number;
}

/** From launch to the first word of a master: Node's boot, and loading the spec. */
export const BOOT_MS = 60_000;
/** What a dead angel left, or a dead master: from SIGTERM to SIGKILL. */
export const CLEAR_MS = 5_000;
export const FORCE_AGAIN_MS = 1_000;
/** SIGKILLs until the angel ends although something will not die. */
export const FORCINGS = 30;
/** For a spec to be tried; the trial itself has a shorter limit. */
export const CHECK_MS = 90_000;

const nothing = () => {};

/**
 * The angel keeps one master alive and holds what must not die with a decision: the lock, the sockets, the output
 * files, the processes. It decides one thing only: whether to launch its master again. No process of the tree outlives it.
 */
export const angelMachine = setup({
	types: {} as { context: AngelContext; events: AngelEvent; output: number },
	actions: {
		checkSpec: nothing,
		takeLock: nothing,
		clearLeftovers: (_, _params: AngelEffects['clearLeftovers']) => {},
		bindSockets: nothing,
		launchMaster: nothing,
		killMaster: nothing,
		forwardStop: (_, _params: AngelEffects['forwardStop']) => {},
		forwardReload: nothing,
		sweep: (_, _params: AngelEffects['sweep']) => {},
		launchSuccessor: nothing,
		releaseMaster: nothing,
		handOver: nothing,
		withdraw: nothing,
		letGo: nothing,
		handOnStop: (_, _params: AngelEffects['handOnStop']) => {},
		reportUpgrade: (_, _params: AngelEffects['reportUpgrade']) => {},
		reportRunning: nothing,
		reportHung: (_, _params: AngelEffects['reportHung']) => {},
		reportBackoff: (_, _params: AngelEffects['reportBackoff']) => {},
		reportDeath: (_, _params: AngelEffects['reportDeath']) => {},
	},
	guards: {
		hasMaster: ({ context }) => context.hasMaster,
		isMasterless: ({ context }) => !context.hasMaster,
		hasEnded: ({ context }) => context.ended,
		isStopping: ({ context }) => context.isStopping,
		hasDeadline: ({ context }) => context.hasDeadline,
		isKill: ({ event }) => event.type === 'stop' && event.mode === 'kill',
		isHarder: ({ context, event }) => event.type === 'stop' && event.mode === 'fast' && context.mode === 'drain',
		setsDeadline: ({ context, event }) => event.type === 'stop' && event.deadline && !context.hasDeadline,
		isFastAlready: ({ context }) => context.mode !== 'drain',
		givesUp: ({ context, event }) => event.type === 'master.exited' && intensityExceeded(context.log, event.at, context.care.intensity),
		forcingsLeft: ({ context }) => context.forcings < FORCINGS,
	},
	delays: {
		checkTimeout: CHECK_MS,
		bootTimeout: BOOT_MS,
		clearTimeout: CLEAR_MS,
		forceAgain: FORCE_AGAIN_MS,
		relaunchDelay: ({ context }) => context.delayMs,
		masterTimeout: ({ context }) => context.care.heartbeat.timeoutMs,
		stopTimeout: ({ context }) => context.stopTimeoutMs,
		upgradeTimeout: ({ context }) => context.upgradeTimeoutMs,
	},
})
	.extend({
		actions: {
			recordCare: assign(({ event }) =>
				event.type === 'spec.checked'
					? { stopTimeoutMs: event.stopTimeoutMs, upgradeTimeoutMs: event.upgradeTimeoutMs, care: event.master }
					: {},
			),
			recordRefusal: assign(({ event }) => {
				if (event.type === 'spec.refused') return { exitCode: event.exitCode, lines: event.lines };
				if (event.type === 'lock.refused') return { exitCode: 75, lines: [event.line] };
				if (event.type === 'sockets.failed') return { exitCode: 1, lines: [event.line] };
				return event.type === 'effect.failed' ? { exitCode: 1, lines: [`${event.effect} failed: ${event.message}`] } : {};
			}),
			recordLaunch: assign({ hasMaster: true, ended: false }),
			recordRunning: assign(({ event }) => (event.type === 'master.running' ? { runningSince: event.at } : {})),
			recordEnd: assign(({ event }) =>
				event.type === 'master.ended' ? { ended: true, exitCode: event.exitCode, lines: event.lines } : {},
			),
			recordExit: assign({ hasMaster: false }),
			recordFailedBoot: assign(({ context, event }) => {
				if (context.ended || event.type !== 'master.exited') return {};
				return { exitCode: event.code || 1, lines: [`the master ended ${howOf(event)} before the tree was up`] };
			}),
			recordLateBoot: assign({ exitCode: 1, lines: ['the master did not answer while it started, and was killed'] }),
			recordLateCheck: assign({ exitCode: 1, lines: ['the spec could not be checked in time'] }),
			recordStuck: assign(({ context }) => ({
				exitCode: context.exitCode || 1,
				lines: [...context.lines, 'some processes of the tree will not die'],
			})),
			recordGivingUp: assign(({ context, event }) => {
				const { restarts, withinMs } = context.care.intensity;
				const how = event.type === 'master.exited' ? howOf(event) : '';
				return { exitCode: 70, lines: [`the master ended ${how}, and ${restarts} restarts within ${withinMs} ms are the limit`] };
			}),
			planRelaunch: assign(({ context, event }) => {
				if (event.type !== 'master.exited') return {};
				const { intensity, backoff } = context.care;
				const failures = countFailures(context.failures, context.runningSince, event.at, backoff);
				return {
					failures,
					log: logRestart(context.log, event.at, intensity),
					delayMs: backoffMs(backoff, failures, event.chance),
					runningSince: null,
				};
			}),
			recordStop: assign(({ context, event }) => {
				if (event.type === 'interrupt') return { isStopping: true, mode: 'fast' as const };
				if (event.type !== 'stop') return {};
				// A later request can only make it harder.
				const mode = event.mode === 'drain' ? context.mode : event.mode;
				return { isStopping: true, mode, hasDeadline: context.hasDeadline || event.deadline };
			}),
			beginUpgrade: assign({ trouble: [] }),
			recordTrouble: assign(({ event }) => {
				if (event.type === 'successor.failed') return { trouble: event.lines };
				if (event.type === 'effect.failed') return { trouble: [`${event.effect} failed: ${event.message}`] };
				return event.type === 'successor.exited' ? { trouble: ['the new angel ended before the tree ran under it'] } : {};
			}),
			recordLoss: assign({ trouble: ['the master ended in the middle of it'] }),
			recordAbandonment: assign({ trouble: ['the tree was asked to stop'] }),
			recordLateUpgrade: assign(({ context }) => ({ trouble: [`the new angel was not ready within ${context.upgradeTimeoutMs} ms`] })),
			recordSuccessorEnd: assign(({ event }) => (event.type === 'successor.exited' ? { exitCode: event.exitCode, lines: [] } : {})),
			forgetStop: assign({ isStopping: false }),
			countForcing: assign(({ context }) => ({ forcings: context.forcings + 1 })),
		},
	})
	.createMachine({
		id: 'angel',
		context: {
			stopTimeoutMs: defaults.stopTimeoutMs,
			upgradeTimeoutMs: defaults.upgradeTimeoutMs,
			care: defaults.master,
			hasMaster: false,
			runningSince: null,
			failures: 0,
			log: noRestarts,
			delayMs: 0,
			isStopping: false,
			mode: 'drain',
			hasDeadline: false,
			trouble: [],
			ended: false,
			exitCode: 0,
			lines: [],
			forcings: 0,
		},
		output: ({ context }) => context.exitCode,
		on: {
			stop: [
				{ guard: 'isKill', target: '.draining.escalating', actions: 'recordStop' },
				{ target: '.draining', actions: 'recordStop' },
			],
			interrupt: { target: '.draining', actions: 'recordStop' },
			'master.ended': { actions: 'recordEnd' },
		},
		initial: 'starting',
		states: {
			starting: {
				description: 'A first boot that fails is an error at once, not a loop.',
				on: {
					'effect.failed': { target: 'draining', actions: 'recordRefusal' },
					'master.exited': { target: 'draining.sweeping', actions: ['recordExit', 'recordFailedBoot'] },
				},
				initial: 'checking',
				states: {
					checking: {
						description: 'The spec is tried in a throw-away process.',
						entry: 'checkSpec',
						on: {
							'spec.checked': { target: 'locking', actions: 'recordCare' },
							'spec.refused': { target: '#angel.dead', actions: 'recordRefusal' },
						},
						after: { checkTimeout: { target: '#angel.dead', actions: 'recordLateCheck' } },
					},
					locking: {
						entry: 'takeLock',
						on: { 'lock.taken': 'clearing', 'lock.refused': { target: '#angel.dead', actions: 'recordRefusal' } },
					},
					clearing: {
						description: 'What an angel that was killed has left behind, and nobody can take over, goes first.',
						entry: { type: 'clearLeftovers', params: { how: 'terminate' } },
						on: { 'leftovers.gone': 'binding' },
						after: { clearTimeout: 'forcing' },
					},
					forcing: {
						entry: ['countForcing', { type: 'clearLeftovers', params: { how: 'kill' } }],
						on: { 'leftovers.gone': 'binding' },
						after: {
							forceAgain: [
								{ guard: 'forcingsLeft', target: 'forcing', reenter: true },
								{ target: '#angel.dead', actions: 'recordStuck' },
							],
						},
					},
					binding: {
						entry: 'bindSockets',
						on: { 'sockets.bound': 'launching', 'sockets.failed': { target: '#angel.dead', actions: 'recordRefusal' } },
					},
					launching: {
						entry: ['recordLaunch', 'launchMaster'],
						on: { 'master.hello': 'populating' },
						after: { bootTimeout: { target: '#angel.draining.escalating', actions: 'recordLateBoot' } },
					},
					populating: {
						description: 'The master is bringing its tree up, and beats.',
						on: {
							'master.beat': { target: 'populating', reenter: true },
							'supervisor.resumed': { target: 'populating', reenter: true },
							'master.running': { target: '#angel.running', actions: ['recordRunning', 'reportRunning'] },
						},
						after: { masterTimeout: { target: '#angel.draining.escalating', actions: 'recordLateBoot' } },
					},
				},
			},
			running: {
				on: {
					'master.running': { actions: 'recordRunning' },
					'master.exited': [
						{ guard: 'hasEnded', target: 'draining.sweeping', actions: 'recordExit' },
						{ guard: 'givesUp', target: 'draining.sweeping', actions: ['recordExit', 'recordGivingUp'] },
						{
							target: '.backoff',
							actions: [
								'recordExit',
								'planRelaunch',
								{ type: 'reportBackoff', params: ({ context, event }) => ({ delayMs: context.delayMs, how: howOf(event) }) },
							],
						},
					],
				},
				initial: 'watching',
				states: {
					watching: {
						on: {
							'master.beat': { target: 'watching', reenter: true },
							'supervisor.resumed': { target: 'watching', reenter: true },
							reload: { actions: 'forwardReload' },
							upgrade: { target: 'upgrading', actions: 'beginUpgrade' },
						},
						after: {
							masterTimeout: {
								target: 'killing',
								actions: { type: 'reportHung', params: ({ context }) => ({ timeoutMs: context.care.heartbeat.timeoutMs }) },
							},
						},
					},
					killing: {
						description: 'The master hangs.',
						entry: 'killMaster',
						after: { forceAgain: { target: 'killing', reenter: true } },
					},
					backoff: {
						on: {
							// An operator who cannot wait.
							reload: 'relaunching',
						},
						after: { relaunchDelay: 'relaunching' },
					},
					relaunching: {
						entry: ['recordLaunch', 'launchMaster'],
						on: { 'master.hello': [{ guard: 'isStopping', target: '#angel.draining.forwarded' }, { target: 'watching' }] },
						after: { bootTimeout: 'killing' },
					},
					upgrading: {
						description: 'A new choir takes over: first all is done that can fail, and until it has the tree it can be undone.',
						on: {
							// In the middle of it nobody has the whole tree: it is stopped as soon as somebody has.
							stop: { actions: 'recordStop' },
							interrupt: { actions: 'recordStop' },
							'successor.failed': { target: '.withdrawing', actions: 'recordTrouble' },
							'successor.exited': { target: '.withdrawing', actions: 'recordTrouble' },
							'effect.failed': { target: '.withdrawing', actions: 'recordTrouble' },
						},
						after: { upgradeTimeout: { target: '.withdrawing', actions: 'recordLateUpgrade' } },
						initial: 'preparing',
						states: {
							preparing: {
								description: 'The master goes on meanwhile.',
								entry: 'launchSuccessor',
								on: {
									'successor.prepared': 'releasing',
									'master.exited': { target: 'withdrawing', actions: ['recordExit', 'recordLoss'] },
								},
								always: { guard: 'isStopping', target: 'withdrawing', actions: 'recordAbandonment' },
							},
							releasing: {
								description: 'The master goes without touching the tree: the next one has it all from the journal.',
								entry: 'releaseMaster',
								on: { 'master.exited': { target: 'handing', actions: 'recordExit' } },
							},
							handing: {
								entry: 'handOver',
								on: { 'successor.running': '#angel.running.fronting' },
							},
							withdrawing: {
								description: 'The successor is killed, and all that it was given is taken back.',
								entry: 'withdraw',
								exit: { type: 'reportUpgrade', params: ({ context }) => ({ lines: context.trouble }) },
								on: {
									'successor.failed': {},
									'successor.exited': {},
									'master.exited': { actions: 'recordExit' },
									'successor.withdrawn': [
										{ guard: 'hasEnded', target: '#angel.draining.sweeping' },
										{ guard: 'isMasterless', target: '#angel.running.relaunching' },
										{ guard: 'isStopping', target: '#angel.draining' },
										{ target: '#angel.running.watching' },
									],
								},
							},
						},
					},
					fronting: {
						description: 'The successor has the tree. This one stays as the parent of what it started, and for who waits for its end.',
						entry: ['letGo', { type: 'reportUpgrade', params: ({ context }) => ({ lines: context.trouble }) }],
						always: {
							guard: 'isStopping',
							actions: [
								{ type: 'handOnStop', params: ({ context }) => ({ mode: context.mode, deadline: context.hasDeadline }) },
								'forgetStop',
							],
						},
						on: {
							stop: { actions: 'recordStop' },
							interrupt: { actions: 'recordStop' },
							'master.running': {},
							'master.exited': {},
							'children.gone': '#angel.dead',
							'successor.exited': { target: '#angel.dead', actions: 'recordSuccessorEnd' },
						},
					},
				},
			},
			draining: {
				on: {
					// A stop that is not harder than the one under way changes nothing.
					stop: [{ guard: 'isKill', target: '.escalating', actions: 'recordStop' }, {}],
				},
				initial: 'deciding',
				states: {
					deciding: {
						always: [{ guard: 'hasMaster', target: 'forwarded' }, { target: 'sweeping' }],
					},
					forwarded: {
						description: 'The master stops its tree; a stop from SIGTERM has a limit over all.',
						entry: { type: 'forwardStop', params: ({ context }) => ({ mode: context.mode }) },
						on: {
							stop: [
								{ guard: 'isKill', target: 'escalating', actions: 'recordStop' },
								{ guard: 'isHarder', target: 'forwarded', reenter: true, actions: 'recordStop' },
								{ guard: 'setsDeadline', target: 'forwarded', reenter: true, actions: 'recordStop' },
							],
							interrupt: [
								{ guard: 'isFastAlready', target: 'escalating' },
								{ target: 'forwarded', reenter: true, actions: 'recordStop' },
							],
							'master.exited': { target: 'sweeping', actions: 'recordExit' },
						},
						after: { stopTimeout: { guard: 'hasDeadline', target: 'escalating' } },
						initial: 'beating',
						states: {
							beating: {
								on: {
									'master.beat': { target: 'beating', reenter: true },
									'supervisor.resumed': { target: 'beating', reenter: true },
								},
								after: { masterTimeout: '#angel.draining.escalating' },
							},
						},
					},
					escalating: {
						always: { guard: 'isMasterless', target: 'forcing' },
						entry: 'killMaster',
						on: { 'master.exited': { target: 'forcing', actions: 'recordExit' }, interrupt: {}, stop: {} },
						after: { forceAgain: { target: 'escalating', reenter: true } },
					},
					sweeping: {
						description: 'No process of the tree may outlive its angel.',
						entry: { type: 'sweep', params: { how: 'terminate' } },
						on: { 'tree.gone': '#angel.dead', interrupt: 'forcing' },
						after: { clearTimeout: 'forcing' },
					},
					forcing: {
						entry: ['countForcing', { type: 'sweep', params: { how: 'kill' } }],
						on: { 'tree.gone': '#angel.dead', interrupt: {}, stop: {} },
						after: {
							forceAgain: [
								{ guard: 'forcingsLeft', target: 'forcing', reenter: true },
								{ target: '#angel.dead', actions: 'recordStuck' },
							],
						},
					},
				},
			},
			dead: {
				type: 'final',
				entry: { type: 'reportDeath', params: ({ context }) => ({ exitCode: context.exitCode, lines: context.lines }) },
			},
		},
	});

/**
 * What becomes of a tree whose angel was killed, which only its master can see to now: how it stops; null: its workers go on, and the master
 * ends. A stop that was under way is carried through. `asked`: how hard.
 */
export function stopWithoutAngel(policy: OnAngelLoss, asked: StopMode | null): StopMode | null {
	return asked ?? (policy === 'stop' ? 'drain' : null);
}

function howOf(event: AngelEvent): string {
	if (event.type !== 'master.exited') return '';
	return event.signal !== null ? `by ${event.signal}` : `with code ${event.code}`;
}
