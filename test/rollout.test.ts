/** A reload, arrow by arrow: the new ones beside the old ones, and the way back. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type Candidate, type Exchange, type RolloutInput, type RolloutOutcome, rolloutMachine } from '../machines/rollout.ts';
import { type Row, Table } from '../src/testing/table.ts';

const candidate = (workerId: string, surge: number | null = null): Candidate => ({
	path: workerId,
	incarnation: 2,
	workerId,
	group: 'web',
	surge,
	phase: 'waiting',
});
const exchange = (path: string, what: Exchange['what'] = 'replace'): Exchange => ({ path, what, phase: 'waiting' });
const accepted = (candidates: Candidate[], exchanges: Exchange[] = [], soakMs = 1_000) => ({
	type: 'spec.accepted',
	plan: { candidates, exchanges, soakMs, proofMs: 500, touches: true },
});
const unchanged = { type: 'spec.accepted', plan: { candidates: [], exchanges: [], soakMs: 0, proofMs: 0, touches: false } };
const refused = { type: 'spec.refused', exitCode: 78, lines: ['no'] };
const ready = (workerId: string) => ({ type: 'candidate.ready', workerId });
const died = (workerId: string) => ({ type: 'candidate.died', workerId, message: `${workerId} crashed` });
const exchanged = (path: string) => ({ type: 'child.exchanged', path });
const crashed = (path: string) => ({ type: 'child.failed', path, message: `${path} crashed` });
const failed = (path: string) => ({ type: 'child.refused', path, message: `${path} did not start` });
const stop = { type: 'stop', mode: 'drain' };
const fast = { type: 'stop', mode: 'fast' };
const broken = { type: 'effect.failed', effect: 'prepare', message: 'boom', at: 0 };
const possible = { type: 'switch.possible' };
const impossible = { type: 'switch.refused', message: 'no' };
const gone = { type: 'old.gone' };

const two = accepted([candidate('a'), candidate('b')]);
const both = accepted([candidate('a')], [exchange('x'), exchange('y')]);
const soaking = [two, ready('a'), ready('b')];
const checking = [...soaking, 'soakTimeout'];
const exchanging = [both, ready('a'), 'soakTimeout'];

const rows: Array<Row<RolloutInput>> = [
	['tries the spec first', [], 'validating', ['prepare']],
	['begins nothing with a bad spec', [refused], 'done', ['reportEnd']],
	['begins nothing if it could not be tried', [broken], 'done', ['reportEnd']],
	['begins nothing if the tree stops', [stop], 'done', ['abandon', 'reportEnd']],
	['has nothing to do if nothing has changed', [unchanged], 'done', ['reportEnd']],
	['starts the new ones beside the old ones', [two], 'surging', ['launchCandidate', 'launchCandidate']],
	['… no more at a time than declared', [accepted([candidate('a', 1), candidate('b', 1)])], 'surging', ['launchCandidate']],
	['… and the next when one is ready', [accepted([candidate('a', 1), candidate('b', 1)]), ready('a')], 'surging', ['launchCandidate']],
	['soaks when all are ready', soaking, 'soaking', []],
	['does not soak if that is declared', [accepted([candidate('a')], [], 0), ready('a')], 'switching.checking', ['checkSwitch']],
	['rolls back if one does not start', [two, died('a')], 'rollingBack', ['drainCandidate']],
	['… and is done when the others are gone', [two, died('a'), died('b')], 'done', ['reportEnd']],
	['rolls back if one dies in the soak', [...soaking, died('b')], 'rollingBack', ['drainCandidate']],
	['rolls back if the tree stops', [two, stop], 'rollingBack', ['drainCandidate', 'drainCandidate']],
	['rolls back if the tree stops in the soak', [...soaking, stop], 'rollingBack', ['drainCandidate', 'drainCandidate']],
	['goes back harder if it must', [two, stop, fast], 'rollingBack', ['drainCandidate', 'drainCandidate']],
	['… but not softer', [two, fast, stop], 'rollingBack', []],
	['looks before it switches', checking, 'switching.checking', ['checkSwitch']],
	['exchanges what cannot live twice, one', exchanging, 'switching.exchanging', ['exchangeChild']],
	['… after the other', [...exchanging, exchanged('x')], 'switching.exchanging', ['exchangeChild']],
	['lets them soak as well', [...exchanging, exchanged('x'), exchanged('y')], 'switching.proving', []],
	['… and looks then', [...exchanging, exchanged('x'), exchanged('y'), 'proofTimeout'], 'switching.checking', ['checkSwitch']],
	['undoes all if one of them dies', [...exchanging, exchanged('x'), crashed('x')], 'rollingBack', ['drainCandidate']],
	[
		'… also while they soak',
		[...exchanging, exchanged('x'), exchanged('y'), crashed('x')],
		'rollingBack',
		['drainCandidate', 'restoreChild'],
	],
	['hears of the end of an old one unmoved', [...exchanging, crashed('x')], 'switching.exchanging', []],
	['undoes an exchange that failed', [...exchanging, failed('x')], 'rollingBack', ['drainCandidate', 'restoreChild']],
	['… and those before it', [...exchanging, exchanged('x'), failed('y'), exchanged('y')], 'rollingBack', ['restoreChild']],
	['… whatever becomes of that', [...exchanging, failed('x'), failed('x'), died('a')], 'done', ['reportEnd']],
	['waits for an exchange under way before it undoes it', [...exchanging, died('a')], 'rollingBack', []],
	['… then does', [...exchanging, died('a'), exchanged('x')], 'rollingBack', ['restoreChild']],
	['rolls back if the tree stops while it exchanges', [...exchanging, stop], 'rollingBack', ['drainCandidate']],
	['rolls back if it cannot switch', [...checking, impossible], 'rollingBack', ['drainCandidate', 'drainCandidate']],
	['switches, and lets the old ones go', [...checking, possible], 'retiring', ['switchOver', 'retireOld']],
	['is done when they are gone', [...checking, possible, gone], 'done', ['reportEnd']],
	['hurries them if the tree must stop faster', [...checking, possible, fast], 'retiring', ['hurryOld']],
	['… and not because it drains as well', [...checking, possible, stop], 'retiring', []],
];

const table = new Table(rolloutMachine, { generation: 2 });
for (const row of rows) test(row[0], () => void table.check(row));

const endings: Array<[string, Row<RolloutInput>[1], Partial<RolloutOutcome>]> = [
	['done', [...checking, possible, gone], { result: 'done', exitCode: 0, lines: [] }],
	['unchanged', [unchanged], { result: 'unchanged', exitCode: 0 }],
	['refused', [refused], { result: 'refused', exitCode: 78, lines: ['no'] }],
	[
		'rolled back: the first reason counts',
		[two, died('a'), died('b')],
		{ result: 'rolledBack', exitCode: 1, lines: ['the new a crashed'] },
	],
	['rolled back: the tree stops', [two, stop, died('a'), died('b')], { result: 'rolledBack', lines: ['the tree is stopping'] }],
];
for (const [name, happenings, expected] of endings)
	test(`how it ended: ${name}`, () => {
		const { output } = table.check(['', happenings, 'done']) as { output: RolloutOutcome };
		for (const [key, value] of Object.entries(expected)) assert.equal(output[key as keyof RolloutOutcome], value, key);
	});

test('the table is complete', () => table.assertComplete());

test.run();
