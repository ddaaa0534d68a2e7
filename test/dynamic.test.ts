import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type DynamicContext, type DynamicInput, dynamicMachine } from '../machines/dynamic.ts';
import type { DynamicSpec, ExitReason, RestartRule, WorkSpec } from '../machines/spec.ts';
import { type Row, Table } from '../src/testing/table.ts';
import { child, rule } from './support/world.ts';

const ready = (id: string, incarnation = 1) => ({ type: 'child.ready', id, incarnation, at: 10 });
const died = (id: string, reason: ExitReason = 'crash', incarnation = 1, code = 1) => ({
	type: 'child.died',
	id,
	incarnation,
	exit: { reason, code, signal: null, at: 100, maxRssBytes: null },
	chance: 0.5,
});
const ask = (what: 'look' | 'terminateChild' | 'restartChild' | 'deleteChild', id = '') => ({
	type: 'request',
	asked: { do: what, request: 'r', id },
});
const add = (id: string) => ({ type: 'request', asked: { do: 'startChild', request: `start ${id}`, id, rule: rule(), incarnation: 0 } });
const due = (id: string) => ({ type: 'restart.due', id });
const stop = { type: 'stop', mode: 'drain' };
const kill = { type: 'stop', mode: 'kill' };

function spec(change: Partial<RestartRule> = {}, more: Partial<DynamicSpec> = {}): { spec: DynamicSpec } {
	return {
		spec: {
			kind: 'dynamic',
			id: 'pool',
			declaredId: 'pool',
			path: 'pool',
			restart: rule(),
			intensity: { restarts: 1, withinMs: 1_000 },
			maxChildren: 2,
			shutdownMs: null,
			template: child('pool', change) as WorkSpec,
			...more,
		},
	};
}
const backoff = { fromMs: 100, toMs: 100, resetAfterMs: 1_000 };
const slow = spec({ backoff });
const up = [add('a'), ready('a'), add('b'), ready('b')];
const own = { restarts: 0, withinMs: 1_000 };

const rows: Array<Row<DynamicInput>> = [
	['runs at once', [], 'running', ['reportReady']],
	['starts a child by request', [add('a')], 'running', ['addChild', 'launchChild']],
	['answers when it is up', [add('a'), ready('a')], 'running', ['answer']],
	['forgets it if it cannot start', [add('a'), died('a', 'startFailed')], 'running', ['forgetChild', 'answer']],
	['forgets it if it does not want to run', [add('a'), died('a', 'ignored')], 'running', ['forgetChild', 'answer']],
	['does not start one of the same name', [...up, add('b')], 'running', ['answer']],
	['does not start more than its limit', [...up, add('c')], 'running', ['answer']],
	['answers who looks', [...up, ask('look')], 'running', ['answer']],
	['does not restart by request', [...up, ask('restartChild', 'a')], 'running', ['answer']],
	['does not delete by request', [...up, ask('deleteChild', 'a')], 'running', ['answer']],
	['terminates a child by request', [...up, ask('terminateChild', 'a')], 'running', ['drainChild']],
	['answers when it is dead', [...up, ask('terminateChild', 'a'), died('a', 'shutdown')], 'running', ['forgetChild', 'answer']],
	[
		'answers all who asked for its end',
		[...up, ask('terminateChild', 'a'), ask('terminateChild', 'a'), died('a', 'shutdown')],
		'running',
		['forgetChild', 'answer', 'answer'],
	],
	['does not terminate a stranger', [...up, ask('terminateChild', 'x')], 'running', ['answer']],
	['restarts a child for itself', [...up, died('a')], 'running', ['reportRestart', 'launchChild']],
	['waits out the backoff', [...up, died('a')], 'running', ['reportRestart'], slow],
	['restarts after it', [...up, died('a'), due('a')], 'running', ['launchChild'], slow],
	[
		'tries a failed restart again, behind what waits',
		[...up, died('a'), died('a', 'startFailed', 2)],
		'running',
		['reportRestart'],
		spec({}, { intensity: { restarts: 2, withinMs: 1_000 } }),
	],
	['ends the wait of one that is terminated', [...up, died('a'), ask('terminateChild', 'a')], 'running', ['forgetChild', 'answer'], slow],
	['starts nobody for whom nobody waits', [...up, due('a')], 'running', []],
	['ignores the death of an earlier incarnation', [...up, died('a', 'crash', 7)], 'running', []],
	['ignores the readiness of an earlier incarnation', [...up, ready('a', 7)], 'running', []],
	[
		'keeps nothing of a transient that has ended',
		[...up, died('a', 'normal', 1, 0)],
		'running',
		['reportEnd', 'forgetChild'],
		spec({ type: 'transient' }),
	],
	['leaves a child whose code says so', [...up, died('a', 'crash', 1, 78)], 'running', ['reportGivingUp', 'forgetChild']],
	['gives up when the intensity is exceeded', [...up, died('a'), died('b')], 'draining', ['forgetChild', 'drainChild']],
	[
		'lets one child go when only that gives up',
		[...up, died('a')],
		'running',
		['reportGivingUp', 'forgetChild'],
		spec({ whenExhausted: 'giveUp', intensity: own }),
	],
	[
		'tries on slowly when that is declared',
		[...up, died('a')],
		'running',
		['reportRestart'],
		spec({ whenExhausted: 'keepTrying', intensity: own, backoff: { ...backoff, fromMs: 0 } }),
	],
	['stops all at the same time', [...up, stop], 'draining', ['drainChild', 'drainChild']],
	['is dead when all are', [...up, stop, died('b', 'shutdown'), died('a', 'shutdown')], 'dead', ['forgetChild', 'reportDeath']],
	['is dead at once without children', [stop], 'dead', ['reportDeath']],
	['drops those that wait when it stops', [add('a'), ready('a'), died('a'), stop], 'dead', ['reportDeath'], slow],
	['answers those that were starting when it stops', [add('a'), stop], 'draining', ['answer', 'drainChild']],
	['stops harder if asked', [...up, stop, kill], 'draining', ['drainChild', 'drainChild']],
	['does not stop softer if asked', [...up, kill, stop], 'draining', []],
	['ignores what is stale while it stops', [...up, stop, died('a', 'crash', 7)], 'draining', []],
	['refuses what is asked while it stops', [...up, stop, add('c')], 'draining', ['answer']],
	[
		'kills what is left when its own limit is over',
		[...up, stop, 'shutdownTimeout'],
		'draining',
		['drainChild', 'drainChild'],
		spec({}, { shutdownMs: 1_000 }),
	],
];

const table = new Table(dynamicMachine, spec());
for (const row of rows) test(row[0], () => void table.check(row));

test('an end that calls for no restart costs nothing, and of a child that is gone nothing is kept', () => {
	const { context } = table.check([
		'',
		[...up, died('a', 'normal', 1, 0), ask('terminateChild', 'b'), died('b', 'shutdown')],
		'running',
		undefined,
		spec({ type: 'transient' }),
	]) as {
		context: DynamicContext;
	};
	assert.equal([context.log.to, context.members.size], [0, 0]);
});

test('the table is complete', () => table.assertComplete());

test.run();
