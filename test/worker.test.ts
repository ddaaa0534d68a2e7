import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type WorkerEvent, type WorkerInput, workerMachine } from '../machines/worker.ts';
import { type Row, Table } from '../src/testing/table.ts';

const spawned = { type: 'process.spawned', pid: 7, startTicks: 70 };
const failed = { type: 'process.failed', message: 'no such program', at: 5 };
const ready = { type: 'process.ready' };
const exited = (code: number | null, signal: string | null = null) => ({ type: 'process.exited', code, signal, maxRssBytes: null, at: 9 });
const drain = { type: 'drain', mode: 'drain' };
const fast = { type: 'drain', mode: 'fast' };
const kill = { type: 'drain', mode: 'kill' };
const heartbeat = { type: 'heartbeat' };
const passed = { type: 'probe.passed' };
const probed = { type: 'probe.failed', why: 'refused' };
const acknowledged = { type: 'drain.acknowledged' };
const undeliverable = { type: 'drain.undeliverable' };
const resumed = { type: 'supervisor.resumed' };
const broken = { type: 'effect.failed', effect: 'launch', message: 'boom', at: 3 };
const stuck = ['killTimeout', 'killTimeout', 'killTimeout'];

const input: WorkerInput = {
	workerId: 'w1',
	path: 'web.1',
	incarnation: 1,
	heartbeat: { everyMs: 1_000, timeoutMs: 4_000 },
	live: { probe: { kind: 'tcp', host: 'localhost', port: 1 }, everyMs: 100, timeoutMs: 100, failures: 3 },
	readyTimeoutMs: 10_000,
	stop: { drainMs: 5_000, terminateMs: 2_000 },
	okCodes: [0],
	adopted: null,
};
const adopted = { adopted: { pid: 9, startTicks: 90, ready: false, asked: false } };
const wasReady = { adopted: { pid: 9, startTicks: 90, ready: true, asked: false } };
const adoptedNow: WorkerEvent = { type: 'adopted' };
const noDrain = { stop: { drainMs: 0, terminateMs: 1_000 } };
const inner = { stop: { drainMs: 5_000, terminateMs: 0 } };
const atOnce = { stop: { drainMs: 0, terminateMs: 0 } };
const up = [spawned, ready];

const limits = { type: 'limits.changed', stop: { drainMs: 0, terminateMs: 10 }, okCodes: [0] };

const rows: Array<Row<WorkerInput>> = [
	['launches first', [], 'starting.launching'],
	['warms once there is a process', [spawned], 'starting.warming', ['watchReadiness']],
	['is running when it is ready', up, 'running.healthy', ['reportReady', 'watchLiveness']],
	['may be ready before the news of its spawn', [ready, spawned], 'running.healthy'],
	['is dead if it cannot be spawned', [failed], 'dead', ['reportDeath']],
	['is dead if the launch itself throws', [broken], 'dead', ['reportDeath']],
	['goes on if another effect throws', [...up, broken], 'running.healthy'],
	['is dead when its process exits', [...up, exited(1)], 'dead', ['reportDeath']],
	['is killed if it is not ready in time', [spawned, 'startTimeout'], 'draining.killing', ['kill']],
	['is only terminated while it starts', [spawned, drain], 'draining.terminating', ['terminate']],
	['is killed at once while it starts, if that is asked', [spawned, kill], 'draining.killing', ['kill']],
	['does not launch what already runs', [], 'starting.adopting', undefined, adopted],
	['goes on as running when it was ready', [adoptedNow], 'running.healthy', ['reportReady', 'watchLiveness'], wasReady],
	['goes on warming when it was not', [adoptedNow], 'starting.warming', ['watchReadiness'], adopted],
	['is asked to drain when adopted', [drain], 'draining.asked', ['askToDrain'], adopted],
	['is terminated when adopted and no drain is declared', [drain], 'draining.terminating', ['terminate'], { ...adopted, ...noDrain }],
	['is terminated fast when adopted', [fast], 'draining.terminating', ['terminate'], adopted],
	['is killed when adopted, if that is asked', [kill], 'draining.killing', ['kill'], adopted],
	['is killed while it starts, if there is no SIGTERM for it', [drain], 'draining.killing', ['kill'], inner],
	[
		'is killed after its drain, if there is no SIGTERM for it',
		[...up, drain, acknowledged, 'drainTimeout'],
		'draining.killing',
		['kill'],
		inner,
	],
	['… also when nobody heard the request', [...up, drain, undeliverable, 'drainTimeout'], 'draining.killing', ['kill'], inner],
	['is killed at once by a fast stop, if there is no SIGTERM for it', [...up, fast], 'draining.killing', ['kill'], inner],
	['… also in the middle of its drain', [...up, drain, acknowledged, fast], 'draining.killing', ['kill'], inner],
	['is killed at once if it has neither drain nor SIGTERM', [...up, drain], 'draining.killing', ['kill'], atOnce],
	['stays healthy with each heartbeat', [...up, heartbeat], 'running.healthy', []],
	['gets a fresh interval when the supervisor was paused', [...up, resumed], 'running.healthy', []],
	['is suspect without a heartbeat', [...up, 'suspectTimeout'], 'running.suspect', ['reportSuspect']],
	['is healthy again with the next heartbeat', [...up, 'suspectTimeout', heartbeat], 'running.healthy'],
	['is hung without a heartbeat for the whole limit', [...up, 'suspectTimeout', 'hungTimeout'], 'draining.killing', ['kill']],
	['is no longer suspect when the supervisor had been paused', [...up, 'suspectTimeout', resumed], 'running.healthy'],
	['is suspect after one failed probe', [...up, probed], 'running.suspect', ['reportSuspect']],
	['is healthy again when a probe passes', [...up, probed, passed], 'running.healthy'],
	['stays suspect of its heartbeat when a probe passes', [...up, 'suspectTimeout', passed], 'running.suspect'],
	['stays suspect of its probes when a heartbeat comes', [...up, probed, heartbeat], 'running.suspect'],
	['counts failed probes', [...up, probed, probed], 'running.suspect', []],
	['is hung after as many failed probes as declared', [...up, probed, probed, probed], 'draining.killing', ['kill']],
	[
		'is hung after one, if that is declared',
		[...up, probed],
		'draining.killing',
		['kill'],
		{ live: { ...input.live, failures: 1 } as WorkerInput['live'] },
	],
	['is asked to drain', [...up, drain], 'draining.asked', ['askToDrain']],
	['is terminated at once if no drain is declared', [...up, drain], 'draining.terminating', ['terminate'], noDrain],
	['is terminated at once by a fast stop', [...up, fast], 'draining.terminating', ['terminate']],
	['is killed at once if that is asked', [...up, kill], 'draining.killing', ['kill']],
	['finishes what it has acknowledged', [...up, drain, acknowledged], 'draining.finishing', []],
	['gets SIGTERM in place of a request that cannot be delivered', [...up, drain, undeliverable], 'draining.signalled', ['terminate']],
	[
		'gets SIGTERM in place of a request that it does not acknowledge',
		[...up, drain, 'acknowledgeTimeout'],
		'draining.signalled',
		['terminate'],
	],
	['may acknowledge late', [...up, drain, 'acknowledgeTimeout', acknowledged], 'draining.finishing'],
	['drains before it is terminated', [...up, drain, acknowledged, 'drainTimeout'], 'draining.terminating', ['terminate']],
	[
		'is terminated again if SIGTERM in place of the request was not enough',
		[...up, drain, undeliverable, 'drainTimeout'],
		'draining.terminating',
		['terminate'],
	],
	['is killed if it will not terminate', [...up, fast, 'terminateTimeout'], 'draining.killing', ['kill']],
	['is terminated sooner if the stop becomes fast', [...up, drain, acknowledged, fast], 'draining.terminating', ['terminate']],
	['is killed sooner if the stop becomes a kill', [...up, drain, acknowledged, kill], 'draining.killing', ['kill']],
	['is killed sooner while it terminates', [...up, fast, kill], 'draining.killing', ['kill']],
	['is not terminated twice for a second fast stop', [...up, fast, fast], 'draining.terminating', []],
	['is not asked again once it is being killed', [...up, kill, drain], 'draining.killing', []],
	['is killed again', [...up, kill, 'killTimeout'], 'draining.killing', ['kill']],
	['is stuck when it will not die', [...up, kill, ...stuck], 'draining.stuck', ['kill', 'raiseAlarm']],
	['is killed on when stuck', [...up, kill, ...stuck, 'stuckTimeout'], 'draining.stuck', ['kill', 'raiseAlarm']],
	['is not asked again when stuck', [...up, kill, ...stuck, fast], 'draining.stuck', []],
	['takes new limits, and stays where it is', [...up, limits], 'running.healthy', []],
	['… and goes by them', [...up, limits, drain], 'draining.terminating', ['terminate']],
	['is dead when even the stuck one dies', [...up, kill, ...stuck, exited(null, 'SIGKILL')], 'dead', ['reportDeath']],
];

const table = new Table(workerMachine, input);
for (const row of rows) test(row[0], () => void table.check(row));

test('without a heartbeat declared, none is missed', () => {
	const once = new Table(workerMachine, { ...input, heartbeat: null });
	once.check(['', [...up, 'suspectTimeout'], 'running.healthy']);
	once.check(['', [...up, heartbeat], 'running.healthy']);
	once.check(['', [...up, probed, 'hungTimeout'], 'running.suspect']);
});

const endings: Array<[string, unknown[], string]> = [
	['a normal end', [...up, exited(0)], 'normal'],
	['a crash', [...up, exited(3)], 'crash'],
	['a fault', [...up, exited(null, 'SIGSEGV')], 'crash'],
	['killed by somebody', [...up, exited(null, 'SIGKILL')], 'killed'],
	['terminated by somebody', [...up, exited(null, 'SIGTERM')], 'killed'],
	['gone unseen', [...up, exited(null)], 'lost'],
	['never ready', [spawned, exited(0)], 'startFailed'],
	['never there', [failed], 'startFailed'],
	['late', [spawned, 'startTimeout', exited(null, 'SIGKILL')], 'startFailed'],
	['asked to go', [...up, drain, exited(1)], 'shutdown'],
	['asked to go, and died of the signal', [...up, fast, exited(null, 'SIGTERM')], 'shutdown'],
	['asked to go before it was there', [drain, failed], 'shutdown'],
	['asked to go, and had to be killed', [...up, fast, 'terminateTimeout', exited(null, 'SIGKILL')], 'killed'],
	['hung', [...up, 'suspectTimeout', 'hungTimeout', exited(null, 'SIGKILL')], 'hung'],
];
for (const [name, happenings, reason] of endings) {
	test(`exit reason: ${name} is ${reason}`, () => {
		const { output } = table.check(['', happenings as Row<WorkerInput>[1], 'dead']) as { output: { reason: string } };
		assert.is(output.reason, reason);
	});
}

test('the table is complete', () => table.assertComplete());

test.run();
