/** What people ask of a tree, arrow by arrow: one at a time, three phases, and back if it cannot be done. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import {
	type AgendaContext,
	type AgendaInput,
	agendaMachine,
	type OperationKind,
	type OperationStep,
	remainderOf,
	type TreeOperation,
} from '../machines/agenda.ts';
import { asDeclared, changeOfInstances, type Desired, withAdded } from '../machines/desired.ts';
import { take, unborn } from '../machines/operations.ts';
import { noRestarts } from '../machines/restart.ts';
import type { RestartRule } from '../machines/spec.ts';
import { OrderedTrie } from '../machines/trie.ts';
import { type Row, Table } from '../src/testing/table.ts';

const ask = (id: string, kind: OperationKind = 'restart', target = 'web') => ({
	type: 'operate',
	asked: { id, kind, target, argument: null, by: 'cli' },
	at: 1,
});
const step = (path: string, what: OperationStep['what'], stage: number, phase: OperationStep['phase'] = 'waiting'): OperationStep => ({
	path,
	what,
	stage,
	incarnation: 1,
	phase,
	message: '',
	endedAt: null,
});
const scaled: Desired = { scaled: { web: { count: 4, declared: 2 } }, paused: [] };
const plan = (steps: OperationStep[], desired = asDeclared) => ({
	type: 'operation.resolved',
	steps,
	counts: { from: 2, to: 4 },
	desired,
	at: 2,
});
const refused = { type: 'operation.refused', code: 'not_found', message: 'no', at: 2 };
const broken = { type: 'effect.failed', effect: 'resolve', message: 'boom', at: 2 };
const done = (path: string) => ({ type: 'step.done', path, message: '', at: 3 });
const failed = (path: string) => ({ type: 'step.failed', path, message: `${path} did not start`, at: 3 });
const stop = { type: 'stop', at: 4 };

const two = plan([step('web.1', 'restart', 0), step('web.2', 'restart', 1)]);
const more = plan([step('web.3', 'start', 0), step('web.4', 'start', 1)], scaled);
const fewer = plan([step('web.2', 'stop', 0), step('web.1', 'stop', 0)]);
const resumed = plan([step('a', 'resume', 0), step('b', 'resume', 1)]);
const scaling = [ask('1', 'scale'), more];

/** What another master left. */
const left = (
	phase: TreeOperation['phase'],
	kind: OperationKind,
	steps: OperationStep[],
	more: Partial<TreeOperation> = {},
): Partial<AgendaInput> => {
	const operation: TreeOperation = {
		id: '9',
		number: 9,
		kind,
		target: 'web',
		argument: null,
		by: 'cli',
		at: 0,
		phase,
		steps,
		counts: { from: 2, to: 4 },
		before: asDeclared,
		joins: null,
		end: null,
		...more,
	};
	return { left: { operations: [operation], desired: scaled } };
};

const rows: Array<Row<AgendaInput>> = [
	['rests', [], 'resting', []],
	['finds out who is concerned', [ask('1')], 'pre', ['resolve']],
	['one at a time: the next waits', [ask('1'), ask('2')], 'pre', []],
	['the same id is the same operation', [ask('1'), ask('1')], 'pre', []],
	['ends if it is refused, and takes the next', [ask('1'), ask('2'), refused], 'pre', ['reportEnd', 'resolve']],
	['ends if nobody can be asked', [ask('1'), broken], 'resting', ['reportEnd']],
	['ends at once if there is nothing to do', [ask('1', 'pause'), plan([])], 'resting', ['reportEnd']],
	['takes one step', [ask('1'), two], 'act.stepping', ['act']],
	['… and the next when that is acknowledged', [ask('1'), two, done('web.1')], 'act.stepping', ['act']],
	['… and has ended when all are', [ask('1'), two, done('web.1'), done('web.2')], 'resting', ['reportEnd']],
	['takes those of one stage side by side', [ask('1', 'scale'), fewer], 'act.stepping', ['act', 'act']],
	['… and waits for all of them', [ask('1', 'scale'), fewer, done('web.1')], 'act.stepping', []],
	['a restart ends at the first that does not come up', [ask('1'), two, failed('web.1')], 'resting', ['reportEnd']],
	['what cannot be resumed keeps nobody else', [ask('1', 'resume'), resumed, failed('a')], 'act.stepping', ['act']],
	['a scale that fails with nothing begun has nothing to undo', [...scaling, failed('web.3')], 'resting', ['reportEnd']],
	['… else that is undone', [...scaling, done('web.3'), failed('web.4')], 'act.undoing', ['undo']],
	['… and has ended then', [...scaling, done('web.3'), failed('web.4'), done('web.3')], 'resting', ['reportEnd']],
	['… whatever becomes of that', [...scaling, done('web.3'), failed('web.4'), failed('web.3')], 'resting', ['reportEnd']],
	['refuses what is too much', [ask('1'), ask('2'), ask('3'), ask('4')], 'pre', ['refuse']],
	['drops what waits when the tree stops', [ask('1'), ask('2'), stop], 'pre', ['reportEnd']],
	['… takes nothing more', [stop, ask('1')], 'resting', ['refuse']],
	['… and undoes nothing: all goes', [...scaling, done('web.3'), stop, failed('web.4')], 'resting', ['reportEnd']],
	['a next master begins anew what was not resolved', [], 'pre', ['resolve'], left('pre', 'restart', [])],
	['… and what waited', [], 'pre', ['resolve'], left('waiting', 'restart', [])],
	[
		'… asks again for what was asked',
		[],
		'act.stepping',
		['act'],
		left('act', 'restart', [step('web.1', 'restart', 0, 'asked'), step('web.2', 'restart', 1)]),
	],
	[
		'… goes on with the next step',
		[],
		'act.stepping',
		['act'],
		left('act', 'restart', [step('web.1', 'restart', 0, 'done'), step('web.2', 'restart', 1)]),
	],
	[
		'… goes on undoing',
		[],
		'act.undoing',
		['undo'],
		left('act', 'scale', [step('web.3', 'start', 0, 'undoing'), step('web.4', 'start', 1, 'failed')]),
	],
	['… and remembers what has ended', [ask('9')], 'resting', [], left('post', 'restart', [])],
];

const table = new Table<AgendaInput>(agendaMachine, { waiting: 2, kept: 2, left: null });
for (const row of rows) test(row[0], () => void table.check(row));

const after = (happenings: Row<AgendaInput>[1], state = 'resting', input: Partial<AgendaInput> = {}) =>
	(table.check(['', happenings, state, undefined, input]) as { context: AgendaContext }).context;

test('what an end says: done, failed half way, undone', () => {
	const said = (...happenings: Row<AgendaInput>[1]) => after(happenings).ended.at(-1)?.end;
	assert.equal(said(ask('1'), two, done('web.1'), done('web.2')), { ok: true, code: null, message: 'restarted web.1, web.2', at: 3 });
	assert.equal(said(ask('1'), plan([...two.steps, step('web.3', 'restart', 2)]), done('web.1'), failed('web.2')), {
		ok: false,
		code: 'failed',
		message: 'web.2 did not start; restarted: web.1; not begun: web.3',
		at: 3,
	});
	assert.equal(said(...scaling, done('web.3'), failed('web.4'), done('web.3')), {
		ok: false,
		code: 'undone',
		message: 'web.4 did not start; undone: web has 2 instances as before',
		at: 3,
	});
	assert.is(said(...scaling, done('web.3'), done('web.4'))?.message, 'web has 4 instances, after 2');
	assert.is(said(ask('1', 'resume'), resumed, failed('a'), done('b'))?.message, 'a did not start; resumed: b');
});

test('what is desired counts from the first step on, and no longer if it is undone', () => {
	assert.equal(after(scaling, 'act.stepping').desired, scaled);
	assert.equal(after([...scaling, done('web.3'), failed('web.4')], 'act.undoing').desired, asDeclared);
	assert.equal(after([], 'act.undoing', left('act', 'scale', [step('web.3', 'start', 0, 'undoing')])).desired, asDeclared);
});

test('reloads that wait are one, and end as one', () => {
	const reload = plan([step('', 'reload', 0)]);
	const { ended, waiting } = after([
		ask('1', 'reload', ''),
		reload,
		ask('2', 'reload', ''),
		ask('3', 'reload', ''),
		done(''),
		reload,
		done(''),
	]);
	assert.equal([ended.map(({ id }) => id), waiting], [['2', '3'], []]);
	assert.ok(ended.every(({ end }) => end?.ok));
});

test('only the last ones are remembered', () => {
	const one = (id: string) => [ask(id), two, done('web.1'), done('web.2')];
	assert.equal(
		after([...one('1'), ...one('2'), ...one('3')]).ended.map(({ id, number }) => [id, number]),
		[
			['2', 2],
			['3', 3],
		],
	);
});

test('the table is complete', () => table.assertComplete());

/** What was written down is of incarnation 1. */
const remainders: Array<
	[what: OperationStep['what'], child: [number, 'running' | 'down' | 'starting', 'paused'?] | null, ours: string, again: string]
> = [
	['restart', [1, 'running'], 'all', 'all'],
	['restart', [1, 'down'], 'all', 'all'],
	['restart', [2, 'running'], 'nothing', 'nothing'],
	['restart', [2, 'starting'], 'all', 'all'],
	['restart', [2, 'down'], 'all', 'failed'],
	['restart', null, 'all', 'all'],
	['start', null, 'all', 'all'],
	['start', [1, 'down'], 'all', 'all'],
	['start', [1, 'starting'], 'nothing', 'nothing'],
	['stop', [1, 'running'], 'all', 'all'],
	['stop', null, 'all', 'all'],
	['pause', [1, 'running'], 'all', 'all'],
	['pause', null, 'nothing', 'nothing'],
	['resume', [1, 'down', 'paused'], 'all', 'all'],
	['resume', [1, 'running'], 'nothing', 'nothing'],
	['resume', null, 'nothing', 'nothing'],
	['reload', null, 'all', 'all'],
];
for (const [what, there, ours, again] of remainders) {
	const [incarnation, phase, standing] = there ?? [];
	const child = there === null ? undefined : { incarnation: incarnation as number, phase: phase as 'running', standing: standing ?? null };
	test(`of a ${what} there is left, of ${there === null ? 'nobody' : there.join(' ')}: ${ours}; for a next master: ${again}`, () => {
		const of = (begun: boolean) => remainderOf(step('a', what, 0), child, { isUp: true, again: begun });
		assert.equal([of(false), of(true)], [ours, again]);
		if (what === 'pause') assert.is(remainderOf(step('a', what, 0), child, { isUp: false, again: false }), 'nothing');
	});
}

const changes: Array<[numbers: number[], wanted: number | '+1' | '-1', start: number[], stop: number[]]> = [
	[[1, 2], 4, [3, 4], []],
	[[1, 2, 3], 1, [], [3, 2]],
	[[3, 1], 3, [2], []],
	[[2, 4], 3, [1], []],
	[[1, 2], 2, [], []],
	[[1], '-1', [], []],
	[[1, 2], '-1', [], [2]],
	[[1, 2], '+1', [3], []],
];
for (const [numbers, wanted, start, stopped] of changes)
	test(`from instances ${numbers} to ${wanted}: start ${start.join() || 'none'}, stop ${stopped.join() || 'none'}`, () => {
		const change = changeOfInstances(numbers, wanted);
		assert.equal([change.start, change.stop], [start, stopped]);
		assert.is(change.to, numbers.length + start.length - stopped.length);
	});

const places: Array<[there: string[], comes: string, order: string[]]> = [
	[['web.1', 'job'], 'web.2', ['web.1', 'web.2', 'job']],
	[['web.1', 'web.3', 'job'], 'web.2', ['web.1', 'web.2', 'web.3', 'job']],
	[['web.2', 'job'], 'web.1', ['web.1', 'web.2', 'job']],
	[['web.9', 'job'], 'web.10', ['web.9', 'web.10', 'job']],
	[['job', 'web.1', 'webs.3'], 'web.2', ['job', 'web.1', 'web.2', 'webs.3']],
	[['web', 'job'], 'web.1', ['web', 'job', 'web.1']],
	[['job'], 'web.1', ['job', 'web.1']],
	[['web.1', 'job'], 'late', ['web.1', 'job', 'late']],
	[[], 'late', ['late']],
];
for (const [there, comes, order] of places)
	test(`the place of ${comes} among ${there.join(', ') || 'nobody'}`, () => {
		const named = (ids: string[]) => ids.map((id) => ({ id }));
		assert.equal(withAdded(named(there), named([comes])), named(order));
		const rule = {} as RestartRule;
		const state = {
			children: OrderedTrie.of(there.map((id) => [id, { ...unborn, id, rule }])),
			start: 'ordered' as const,
			intensity: { restarts: 1, withinMs: 1_000 },
			log: noRestarts,
			operations: [],
			nextOperation: 1,
			autoShutdown: 'never' as const,
			mail: [],
		};
		const taken = take(state, { do: 'startChild', id: comes, rule, incarnation: 0, request: 'r' });
		assert.equal(taken.state.children.keys(), order);
	});

test.run();
