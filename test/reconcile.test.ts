/** What a new master makes of what the last one left: each kind of child, as it was and as it is found. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type Child, type Operation, unborn } from '../machines/operations.ts';
import { type Found, hasBegun, presentOf, reconcile, type SavedChild, type SavedSupervisor, savedChild } from '../machines/reconcile.ts';
import { rule } from './support/world.ts';

type Kind = 'node' | 'command' | 'thread' | 'actor' | 'supervisor' | 'dynamic';
type Known = { phase: Child['phase']; incarnation?: number; readyAt?: number | null; standing?: Child['standing'] } | 'deleted' | null;

const now = 1_000;
const declared = (kind: Kind) => ({ id: 'a', kind, restart: rule() });
const saved: SavedSupervisor = {
	incarnation: 0,
	log: [900],
	operations: [],
	nextOperation: 4,
	due: [],
	mail: [],
	end: null,
	mode: 'drain',
};

const known = (given: Exclude<Known, null>): SavedChild =>
	given === 'deleted' ? { deleted: true } : savedChild({ ...unborn, id: 'a', rule: rule(), incarnation: 2, readyAt: null, ...given });
const lives = (incarnation = 2): Found => ({ workerId: 'w', incarnation, pid: 7, startTicks: 70, ended: null });
const dead: Found = { ...lives(), ended: { code: 1, signal: null, at: 990 } };

test('of several processes of a child, which one is meant, and which one follows on it already', () => {
	const one = (workerId: string, incarnation: number, ended: Found['ended'] = null): Found => ({ ...lives(incarnation), workerId, ended });
	const end = dead.ended;
	const rows: Array<[what: string, found: [Found, ...Found[]], incarnation: number, present: string, next: string | null]> = [
		['one alone', [one('a', 2)], 2, 'a', null],
		['the one that is thought of', [one('a', 3), one('b', 2)], 2, 'b', null],
		['the latest, if none is', [one('a', 2), one('b', 4), one('c', 3)], 0, 'b', null],
		['of two of a number, who lives', [one('a', 2, end), one('b', 2)], 2, 'b', null],
		['a dead one, and what had been ordered in advance', [one('b', 3), one('a', 2, end)], 2, 'a', 'b'],
		['… which has died as well', [one('b', 3, end), one('a', 2, end)], 2, 'a', null],
		['… which is thought of already', [one('a', 2, end), one('b', 3)], 3, 'b', null],
		['what is older follows on nobody', [one('b', 1), one('a', 2, end)], 2, 'a', null],
	];
	for (const [what, found, incarnation, present, next] of rows)
		for (const order of [found, [...found].reverse() as [Found, ...Found[]]]) {
			const chosen = presentOf(order, incarnation);
			assert.equal([chosen.present.workerId, chosen.next?.workerId ?? null], [present, next], what);
		}
});

function meet(
	kind: Kind,
	child: Known,
	found: Found | null,
	{ asked = 2, supervisor = saved as SavedSupervisor | null, anew = false, paused = new Set<string>() } = {},
) {
	const { resumed, fates } = reconcile(
		[declared(kind)],
		{
			supervisor,
			children: new Map(child === null ? [] : [['a', known(child)]]),
			found: new Map(found === null ? [] : [['a', found]]),
			asked: new Map([['a', asked]]),
			paused,
			anew,
		},
		now,
	);
	const revived = resumed.operations.filter(({ kind: what }) => what === 'request').flatMap(({ scope }) => scope);
	const what = fates[0] === undefined ? 'nothing' : fates[0].do;
	return { what, fate: fates[0], phase: resumed.children[0]?.[1].phase ?? 'gone', revived: revived.length > 0, resumed };
}

const up = { phase: 'running', readyAt: 5 } as const;
const rows: Array<[promise: string, kind: Kind, child: Known, found: Found | null, what: string, phase: string, revived: boolean]> = [
	['what lives is adopted', 'node', up, lives(), 'adopt', 'running', false],
	['… also while it starts', 'node', { phase: 'starting' }, lives(), 'adopt', 'starting', false],
	['… and while it drains', 'command', { ...up, phase: 'draining' }, lives(), 'adopt', 'draining', false],
	['what has died meanwhile is buried by its supervisor', 'node', up, dead, 'adopt', 'running', false],
	['what nobody has seen die is lost', 'node', up, null, 'lose', 'running', false],
	['what was begun after the last word is adopted', 'node', up, lives(3), 'adopt', 'starting', false],
	['… also if it was down then', 'node', { phase: 'down' }, lives(3), 'adopt', 'starting', false],
	['what is down stays down', 'node', { phase: 'down', standing: 'gaveUp' }, null, 'nothing', 'down', false],
	['what was deleted stays away', 'node', 'deleted', null, 'nothing', 'gone', false],
	['a thread starts again', 'thread', up, null, 'nothing', 'down', true],
	['an actor that was starting starts again', 'actor', { phase: 'starting' }, null, 'nothing', 'down', true],
	['an actor that was going is gone', 'actor', { ...up, phase: 'draining' }, null, 'nothing', 'down', false],
	['an actor that was down stays down', 'actor', { phase: 'down' }, null, 'nothing', 'down', false],
	['a supervisor goes on', 'supervisor', up, null, 'supervise', 'running', false],
	['one that is down stays down', 'supervisor', { phase: 'down' }, null, 'nothing', 'down', false],
	['a dynamic supervisor starts with what is declared', 'dynamic', up, null, 'supervise', 'running', false],
	['what has never been written down waits for its turn', 'node', null, null, 'nothing', 'down', false],
];
for (const [promise, kind, child, found, what, phase, revived] of rows)
	test(promise, () => {
		const met = meet(kind, child, found);
		assert.equal([met.what, met.phase, met.revived], [what, phase, revived]);
	});

test('a start that was decided and never asked for is asked for', () => {
	assert.is(meet('node', { phase: 'starting' }, null, { asked: 1 }).what, 'launch');
});

test('how far it was is known: ready, asked to go, and how', () => {
	const stopping: Operation = {
		...{ id: 3, kind: 'restart', strategy: 'one_for_one', scope: ['a'], phase: 'stopping', left: 1, allAsked: false, tried: 0, settled: 0 },
		...{ delayMs: null, mode: 'fast', about: 'a', request: 'r' },
	};
	assert.equal(meet('node', up, lives()).fate, { id: 'a', incarnation: 2, do: 'adopt', found: lives(), ready: true, drain: null });
	const { fate, resumed } = meet('node', { ...up, phase: 'draining' }, lives(), { supervisor: { ...saved, operations: [stopping] } });
	assert.equal(fate, { id: 'a', incarnation: 2, do: 'adopt', found: lives(), ready: true, drain: 'fast' });
	// Who had asked for it is gone.
	assert.is(resumed.operations[0]?.request, null);
});

test('what waited waits for what is left of it', () => {
	const waiting = (id: number): Operation => ({
		...{ id, kind: 'restart', strategy: 'one_for_one', scope: ['a'], phase: 'waiting', left: 0, allAsked: false, tried: 0, settled: 0 },
		...{ delayMs: 500, mode: 'drain', about: 'a', request: null },
	});
	const supervisor: SavedSupervisor = {
		...saved,
		operations: [waiting(1), waiting(2), waiting(3)],
		due: [
			[1, now + 200],
			[2, now - 50],
		],
	};
	assert.equal(meet('node', { phase: 'down' }, null, { supervisor }).resumed.waits, [
		[1, 200],
		[2, 0],
		[3, 500],
	]);
});

for (const [promise, kind, found, what, phase, revived] of [
	['what lives is adopted', 'node', lives(), 'adopt', 'starting', false],
	['what does not is started', 'node', null, 'nothing', 'down', true],
	['an actor is started', 'actor', null, 'nothing', 'down', true],
	['a supervisor finds out who lives', 'supervisor', null, 'supervise', 'starting', false],
] as const)
	test(`when nothing is known: ${promise}`, () => {
		const met = meet(kind, null, found, { supervisor: null });
		assert.equal([met.what, met.phase, met.revived], [what, phase, revived]);
	});

for (const kind of ['node', 'actor', 'supervisor', 'dynamic'] as const)
	test(`when nothing is known: a ${kind} that is to be paused stays down`, () => {
		const met = meet(kind, null, null, { supervisor: null, paused: new Set(['a']) });
		assert.equal([met.what, met.phase, met.revived], ['nothing', 'down', false]);
		assert.is(met.resumed.children[0]?.[1].standing, 'paused');
	});

test('what is known of a child counts more than that it is to be paused', () => {
	const met = meet('node', up, lives(), { paused: new Set(['a']) });
	assert.equal([met.what, met.resumed.children[0]?.[1].standing], ['adopt', null]);
});

for (const [promise, knows, isAboveKnown, isAnybodyThere, begun] of [
	['it knows of this life', 2, true, false, true],
	['it knows only of the one before', 1, true, false, false],
	['… though somebody of that is there', 1, true, true, false],
	['it knows nothing, and nobody is there', null, true, false, false],
	['it knows nothing, and somebody is there', null, true, true, true],
	['nobody knows anything', null, false, false, true],
] as const)
	test(`a supervisor whose second life was decided ${begun ? 'goes on' : 'begins'}: ${promise}`, () => {
		const supervisor = knows === null ? null : { incarnation: knows };
		assert.is(hasBegun(2, { supervisor, isAboveKnown, isAnybodyThere }), begun);
	});

const stopped: SavedSupervisor = { ...saved, mode: 'fast', end: { why: 'asked', reason: 'shutdown', message: 'asked to stop' } };
for (const [promise, kind, child, found, what, phase, revived] of [
	['what was not stopped yet is adopted', 'node', up, lives(), 'adopt', 'running', false],
	['what was asked to go finishes, and then starts', 'node', { ...up, phase: 'draining' }, lives(), 'adopt', 'draining', true],
	['what went meanwhile starts', 'node', { ...up, phase: 'draining' }, null, 'lose', 'draining', true],
	['what was stopped starts', 'node', { phase: 'down' }, null, 'nothing', 'down', true],
	['what was given up is tried again', 'node', { phase: 'down', standing: 'gaveUp' }, null, 'nothing', 'down', true],
	['what has finished stays so', 'node', { phase: 'down', standing: 'finished' }, null, 'nothing', 'down', false],
	['an actor starts', 'actor', { phase: 'down' }, null, 'nothing', 'down', true],
	['a supervisor that was stopping goes on', 'supervisor', { ...up, phase: 'draining' }, null, 'supervise', 'running', false],
	['a supervisor that was stopped starts', 'supervisor', { phase: 'down' }, null, 'nothing', 'down', true],
] as const)
	test(`a tree that was stopping and is wanted again: ${promise}`, () => {
		const met = meet(kind, child, found, { supervisor: stopped, anew: true });
		assert.equal([met.what, met.phase, met.revived], [what, phase, revived]);
		assert.equal([met.resumed.end, met.resumed.mode], [null, 'drain']);
	});

test('the counts go on', () => {
	const { resumed } = meet('node', up, lives());
	assert.equal([resumed.log.stamps, resumed.log.from, resumed.log.to], [[900], 0, 1]);
	assert.is(resumed.nextOperation, 5);
});

test.run();
