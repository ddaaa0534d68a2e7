import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type MasterContext, type MasterEvent, type MasterInput, masterMachine } from '../machines/master.ts';
import { type Child, MAX_MAIL, unborn } from '../machines/operations.ts';
import type { Resumed } from '../machines/reconcile.ts';
import { noRestarts } from '../machines/restart.ts';
import type { ExitReason, RestartType } from '../machines/spec.ts';
import { type Row, Table } from '../src/testing/table.ts';
import { child, rule, supervisor } from './support/world.ts';

const ready = (id: string, incarnation = 1) => ({ type: 'child.ready', id, incarnation, at: 10 });
const died = (id: string, reason: ExitReason = 'crash', incarnation = 1, code = 1) => ({
	type: 'child.died',
	id,
	incarnation,
	exit: { reason, code, signal: null, at: 100, maxRssBytes: null },
	chance: 0.5,
});
const stop = { type: 'stop', mode: 'drain' };
const fast = { type: 'stop', mode: 'fast' };
const restart = (id: string) => ({ type: 'restart', id, request: 'r' });
const due = { type: 'restart.due', operation: 2 };

const spec = (...children: Parameters<typeof child>[]) =>
	supervisor(
		'',
		children.map((each) => child(...each)),
		{ intensity: { restarts: 1, withinMs: 1_000 } },
	);
const input: MasterInput = { spec: spec(['a'], ['b']) };
const up = [ready('a'), ready('b')];
const backoff = { fromMs: 100, toMs: 100, resetAfterMs: 1_000 };
const all = spec(['a', { strategy: 'one_for_all' }], ['b']);

const limited = { spec: { ...spec(['a'], ['b']), shutdownMs: 1_000 } };
const ask = (what: 'look' | 'terminateChild' | 'restartChild' | 'deleteChild', id = '') => ({
	type: 'request',
	asked: { do: what, request: 'r', id },
});
const alone = (id: string) => ({ type: 'request', asked: { do: 'terminateChild', request: 'r', id, alone: true } });
const add = (id: string, type: RestartType = 'permanent') => ({
	type: 'request',
	asked: { do: 'startChild', request: 'r', id, rule: rule({ type }), incarnation: 0 },
});
const significant = {
	spec: { ...spec(['a'], ['b', { type: 'transient', significant: true }]), autoShutdown: 'any_significant' as const },
};

const pause = (id: string) => ({ type: 'pause', id, request: 'r' });
const resume = (id: string) => ({ type: 'resume', id, request: 'r' });
const exchange = (id: string) => ({ type: 'exchange', id, request: 'r' });
const given = { type: 'numbers.given', numbers: [['b', 2]] };
const replaced = {
	type: 'children.replaced',
	spec: { start: 'ordered', intensity: { restarts: 3, withinMs: 1_000 }, autoShutdown: 'never', shutdownMs: null },
	children: [
		{ id: 'b', rule: rule(), taken: { incarnation: 2, readyAt: 50 }, paused: false },
		{ id: 'a', rule: rule(), taken: null, paused: false },
	],
};
const group = { spec: spec(['a', { strategy: 'rest_for_one', backoff: { fromMs: 100, toMs: 100, resetAfterMs: 1_000 } }], ['b']) };
const slow = spec(['a'], ['b', { backoff: { fromMs: 100, toMs: 100, resetAfterMs: 1_000 } }]);

const goOn: MasterEvent = { type: 'resumed' };
const asked = { why: 'asked' as const, reason: 'shutdown' as const, message: 'asked to stop' };
/** What another master left of `a` and `b`, both running as their second incarnation. */
function left(change: Partial<Resumed> = {}): Partial<MasterInput> {
	const child = (id: string): [string, Child] => [
		id,
		{
			...unborn,
			id,
			rule: spec(['a'], ['b']).children.find((each) => each.id === id)!.restart,
			incarnation: 2,
			phase: 'running',
			readyAt: 0,
		},
	];
	const nothing = { log: noRestarts, operations: [], nextOperation: 9, waits: [], mail: [], end: null, mode: 'drain' as const };
	return { resumed: { children: [child('a'), child('b')], ...nothing, ...change } };
}

const rows: Array<Row<MasterInput>> = [
	['starts the first child first', [], 'starting.launching', ['launchChild']],
	['starts the next when the first is ready', [ready('a')], 'starting.launching', ['launchChild']],
	['runs when all are ready', up, 'running.steady', ['reportReady']],
	['runs at once without children', [], 'running.steady', ['reportReady'], { spec: spec() }],
	['does not retry a first start', [died('a', 'startFailed')], 'dead', ['reportDeath']],
	['stops those that had started when another cannot', [ready('a'), died('b', 'startFailed')], 'draining', ['drainChild']],
	['restarts a child', [...up, died('b')], 'running.restarting', ['reportRestart', 'launchChild']],
	['is steady when it is ready again', [...up, died('b'), ready('b', 2)], 'running.steady', []],
	['waits out the backoff', [...up, died('b')], 'running.restarting', ['reportRestart'], { spec: spec(['a'], ['b', { backoff }]) }],
	['restarts after the backoff', [...up, died('b'), due], 'running.restarting', ['launchChild'], { spec: spec(['a'], ['b', { backoff }]) }],
	['stops the siblings first under one_for_all', [...up, died('a')], 'running.restarting', ['reportRestart', 'drainChild'], { spec: all }],
	[
		'starts them in order when all are down',
		[...up, died('a'), died('b', 'shutdown')],
		'running.restarting',
		['launchChild'],
		{ spec: all },
	],
	['ignores the death of an earlier incarnation', [...up, died('b', 'crash', 7)], 'running.steady', []],
	['ignores the readiness of an earlier incarnation', [...up, ready('b', 7)], 'running.steady', []],
	['puts off a death in the middle of a start', [ready('a'), died('a')], 'starting.launching', []],
	[
		'judges it when the start is complete',
		[ready('a'), died('a'), ready('b')],
		'running.restarting',
		['reportReady', 'reportRestart', 'launchChild'],
	],
	[
		'leaves a finished transient child',
		[...up, died('b', 'normal', 1, 0)],
		'running.steady',
		['reportEnd'],
		{ spec: spec(['a'], ['b', { type: 'transient' }]) },
	],
	['leaves a temporary child', [...up, died('b')], 'running.steady', ['reportEnd'], { spec: spec(['a'], ['b', { type: 'temporary' }]) }],
	['leaves a child whose code says so', [...up, died('b', 'crash', 1, 78)], 'running.steady', ['reportGivingUp']],
	['gives up when the intensity is exceeded', [...up, died('b'), ready('b', 2), died('b', 'crash', 2)], 'draining', ['drainChild']],
	[
		'lets one child go when only that gives up',
		[...up, died('b'), ready('b', 2), died('b', 'crash', 2)],
		'running.steady',
		['reportGivingUp'],
		{ spec: spec(['a'], ['b', { whenExhausted: 'giveUp', intensity: { restarts: 1, withinMs: 1_000 } }]) },
	],
	[
		'tries on slowly when that is declared',
		[...up, died('b'), ready('b', 2), died('b', 'crash', 2)],
		'running.restarting',
		['reportRestart'],
		{
			spec: spec(
				['a'],
				['b', { whenExhausted: 'keepTrying', intensity: { restarts: 1, withinMs: 1_000 }, backoff: { ...backoff, fromMs: 0 } }],
			),
		},
	],
	[
		'drops a death that a request has dealt with',
		[ready('a'), died('a'), restart('a'), ready('b'), ready('a', 2)],
		'running.steady',
		['answer'],
	],
	['restarts on request', [...up, restart('b')], 'running.restarting', ['drainChild']],
	['answers when that is done', [...up, restart('b'), died('b', 'shutdown'), ready('b', 2)], 'running.steady', ['answer']],
	['does not know every child', [...up, restart('x')], 'running.steady', ['answer']],
	['stops in reverse order', [...up, stop], 'draining', ['drainChild']],
	['stops the next when one is dead', [...up, stop, died('b', 'shutdown')], 'draining', ['drainChild']],
	['is dead when all are', [...up, stop, died('b', 'shutdown'), died('a', 'shutdown')], 'dead', ['reportDeath']],
	['can be stopped while it starts', [stop], 'draining', ['drainChild']],
	['drops what waited when it stops', [...up, died('b'), stop], 'draining', ['drainChild'], { spec: spec(['a'], ['b', { backoff }]) }],
	['stops harder if asked', [...up, stop, fast], 'draining', ['drainChild']],
	['does not stop softer if asked', [...up, fast, stop], 'draining', []],
	['does not stop softer or again in the middle', [...up, fast, died('b', 'shutdown'), stop], 'draining', []],
	['refuses a restart while it stops', [...up, stop, restart('a')], 'draining', ['answer']],
	['refuses what is asked while it stops', [...up, stop, ask('look')], 'draining', ['answer']],
	['kills what is left when its own limit is over', [...up, stop, 'shutdownTimeout'], 'draining', ['drainChild', 'drainChild'], limited],
	[
		'is dead when that is done',
		[...up, stop, 'shutdownTimeout', died('b', 'killed'), died('a', 'killed')],
		'dead',
		['reportDeath'],
		limited,
	],
	['kills at once if that is declared', [...up, stop, fast], 'draining', [], { spec: { ...spec(['a'], ['b']), shutdownMs: 0 } }],
	['answers who looks', [...up, ask('look')], 'running.steady', ['answer']],
	['lets whoever looks wait until a start is complete', [ready('a'), ask('look')], 'starting.launching', []],
	['… and answers then', [ready('a'), ask('look'), ready('b')], 'running.steady', ['reportReady', 'answer']],
	['adds a child by request', [...up, add('c')], 'running.restarting', ['addChild', 'launchChild']],
	['answers when it is up', [...up, add('c'), ready('c')], 'running.steady', ['answer']],
	['forgets it if it cannot start', [...up, add('c'), died('c', 'startFailed')], 'running.steady', ['forgetChild', 'answer']],
	['keeps one that does not want to run, down', [...up, add('c'), died('c', 'ignored')], 'running.steady', ['answer']],
	[
		'forgets a temporary that does not want to run',
		[...up, add('c', 'temporary'), died('c', 'ignored')],
		'running.steady',
		['forgetChild', 'answer'],
	],
	['does not add a child twice', [...up, add('b')], 'running.steady', ['answer']],
	['terminates a child by request', [...up, ask('terminateChild', 'b')], 'running.restarting', ['drainChild']],
	['answers when it is dead', [...up, ask('terminateChild', 'b'), died('b', 'shutdown')], 'running.steady', ['answer']],
	[
		'leaves a group down whose failed child is terminated before its restart',
		[...up, died('a'), died('b', 'shutdown'), ask('terminateChild', 'a')],
		'running.steady',
		['answer'],
		group,
	],
	[
		'… and has it wait on if that child goes alone',
		[...up, died('a'), died('b', 'shutdown'), alone('a')],
		'running.restarting',
		['answer'],
		group,
	],
	[
		'… and restarts it without that child',
		[...up, died('a'), died('b', 'shutdown'), alone('a'), ask('deleteChild', 'a'), due],
		'running.restarting',
		['launchChild'],
		group,
	],
	['does not delete what runs', [...up, ask('deleteChild', 'b')], 'running.steady', ['answer']],
	['refuses requests when too many wait', [...Array.from({ length: MAX_MAIL + 1 }, () => ask('look'))], 'starting.launching', ['answer']],
	['ends when a significant child has ended', [...up, died('b', 'normal', 1, 0)], 'draining', ['reportEnd', 'drainChild'], significant],
	['ignores what is stale while it stops', [...up, stop, died('b', 'crash', 7)], 'draining', []],
	['gathers first what another master left', [], 'starting.resuming', [], left()],
	['goes on when all of it is there', [goOn], 'running.steady', ['reportReady'], left()],
	['hears of a death before that', [died('a', 'crash', 2)], 'starting.resuming', ['reportRestart', 'launchChild'], left()],
	[
		'waits on for what was waiting',
		[goOn, died('b', 'crash', 2)],
		'running.restarting',
		['reportRestart', 'launchChild'],
		left({ waits: [[7, 50]] }),
	],
	['exchanges a child by request', [...up, exchange('b')], 'running.restarting', ['drainChild']],
	[
		'… and starts the new one when the old one is dead',
		[...up, exchange('b'), died('b', 'shutdown')],
		'running.restarting',
		['launchChild'],
	],
	[
		'does not try a new one again',
		[...up, exchange('b'), died('b', 'shutdown'), died('b', 'startFailed', 2)],
		'running.steady',
		['answer'],
	],
	['cannot exchange whom it does not have', [...up, exchange('x')], 'running.steady', ['answer']],
	['exchanges nobody while it stops', [...up, stop, exchange('b')], 'draining', ['answer']],
	['gives no number twice', [...up, given, died('b')], 'running.restarting', ['reportRestart', 'launchChild']],
	['has other children in the place of the old ones', [...up, given, replaced], 'running.steady', []],
	['… and does not hear of the old ones', [...up, given, replaced, died('b')], 'running.steady', []],
	['… but of the new ones', [...up, given, replaced, died('b', 'crash', 2)], 'running.restarting', ['reportRestart', 'launchChild']],
	['waits no longer for one that a new one has replaced', [...up, died('b'), replaced], 'running.steady', [], { spec: slow }],
	['pauses a child', [...up, pause('b')], 'running.restarting', ['drainChild']],
	['… and answers when it is dead', [...up, pause('b'), died('b', 'shutdown')], 'running.steady', ['answer']],
	['… whatever its end, it is not restarted', [...up, pause('b'), died('b')], 'running.steady', ['answer']],
	[
		'does not start it with its group',
		[...up, pause('b'), died('b'), died('a')],
		'running.restarting',
		['reportRestart', 'launchChild'],
		{ spec: all },
	],
	['… which is complete without it', [...up, pause('b'), died('b'), died('a'), ready('a', 2)], 'running.steady', [], { spec: all }],
	[
		'does not judge a death that came before the pause',
		[ready('a'), died('a'), pause('a'), ready('b')],
		'running.steady',
		['answer', 'reportReady'],
	],
	['drops a restart that waits, for a pause', [...up, died('b'), pause('b')], 'running.steady', ['answer'], { spec: slow }],
	['starts without those that are paused', [ready('a')], 'running.steady', ['reportReady'], { paused: new Set(['b']) }],
	['resumes a child', [...up, pause('b'), died('b'), resume('b')], 'running.restarting', ['launchChild']],
	['… and answers when it is up', [...up, pause('b'), died('b'), resume('b'), ready('b', 2)], 'running.steady', ['answer']],
	[
		'… or restarts it as any other',
		[...up, pause('b'), died('b'), resume('b'), died('b', 'startFailed', 2)],
		'running.restarting',
		['answer', 'reportRestart'],
	],
	['has nothing to resume where nothing is paused', [...up, resume('b')], 'running.steady', ['answer']],
	['does not start by request what is paused', [...up, pause('b'), died('b'), ask('restartChild', 'b')], 'running.steady', ['answer']],
	['cannot pause whom it does not have', [...up, pause('x')], 'running.steady', ['answer']],
	['cannot resume whom it does not have', [...up, resume('x')], 'running.steady', ['answer']],
	['pauses nobody while it stops', [...up, stop, pause('b')], 'draining', ['answer']],
	['resumes nobody while it stops', [...up, stop, resume('b')], 'draining', ['answer']],
	['goes on with a stop that was begun', [goOn], 'draining', ['drainChild'], left({ end: asked })],
	['stops at once if that is asked meanwhile', [stop], 'draining', ['drainChild'], left()],
];

const table = new Table(masterMachine, input);
for (const row of rows) test(row[0], () => void table.check(row));

test('a group restart counts as one', () => {
	const { context } = table.check([
		'',
		[...up, died('a'), died('b', 'shutdown'), ready('a', 2), ready('b', 2)],
		'running.steady',
		undefined,
		{ spec: all },
	]) as { context: MasterContext };
	assert.is(context.log.to - context.log.from, 1);
	assert.equal(
		[...context.children.values()].map(({ incarnation }) => incarnation),
		[2, 2],
	);
});

test('why it ended: exhausted', () => {
	const alone = table.check(['', [ready('a'), died('a'), ready('a', 2), died('a', 'crash', 2)], 'dead', undefined, { spec: spec(['a']) }]);
	assert.is((alone as { output: { why: string } }).output.why, 'exhausted');
});

test('the table is complete', () => table.assertComplete());

test.run();
