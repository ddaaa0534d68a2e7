/** What a master has in mind, on disk: whatever becomes of the file, what is read is what was once true. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import * as fc from 'fast-check';
import { test } from 'uvu';
import { type Changes, Journal, journalFile, readJournal } from '../src/journal/journal.ts';
import { SimulatedClock } from '../src/kernel/clock.ts';
import type { Run } from '../src/master/host.ts';
import { Tree } from '../src/master/tree.ts';
import { command, tree as declare, supervisor } from '../src/spec/builders.ts';
import { resolveSpec } from '../src/spec/check.ts';
import { inFolder } from './support/folder.ts';

const failed = (error: Error): never => {
	throw error;
};
const open = (dir: string, resume = true) => new Journal(dir, { resume, failed, recovered: () => {} });

const steps: Changes[] = [
	{ run: { pid: 1 }, 'child:a': { phase: 'starting' } },
	{ 'child:a': { phase: 'running', note: 'Grüße, 日本\n' } },
	{ 'child:b': { phase: 'running' }, 'supervisor:': { operations: [] } },
	{ 'child:a': null },
	{ 'child:b': { phase: 'down' } },
];

/** What is known after each of the steps, before the first one too. */
const truths: Array<Record<string, unknown>> = [{}];
for (const set of steps) {
	const next = Object.entries({ ...truths.at(-1), ...set }).filter(([, value]) => value !== null);
	truths.push(Object.fromEntries(next));
}

function written(dir: string): Buffer {
	const journal = open(dir, false);
	for (const set of steps) journal.write(set);
	journal.close();
	return fs.readFileSync(journalFile(dir));
}

const known = (dir: string) => {
	const journal = open(dir);
	journal.close();
	return Object.fromEntries(journal.values);
};

test('what was set is there again, and goes on', () =>
	inFolder((dir) => {
		written(dir);
		const journal = open(dir);
		assert.deepEqual(Object.fromEntries(journal.values), truths.at(-1));
		journal.write({ 'child:c': 1 });
		journal.close();
		assert.deepEqual(known(dir), { ...truths.at(-1), 'child:c': 1 });
	}));

test('one that begins anew has forgotten everything', () =>
	inFolder((dir) => {
		written(dir);
		open(dir, false).close();
		assert.deepEqual(known(dir), {});
	}));

test('cut at any byte, it holds what was true after one of the steps', () =>
	inFolder((dir) => {
		const whole = written(dir);
		for (let length = 0; length <= whole.length; length++) {
			fs.writeFileSync(journalFile(dir), whole.subarray(0, length));
			const complete = whole.subarray(0, length).filter((byte) => byte === 10).length;
			const { lines, damaged } = readJournal(dir);
			assert.equal(lines.length, complete);
			assert.equal(damaged, length - (whole.subarray(0, length).lastIndexOf(10) + 1));
			assert.deepEqual(known(dir), truths[complete]);
		}
	}));

test('with any byte changed, it holds what was true before that line', () =>
	inFolder((dir) => {
		const whole = written(dir);
		for (let at = 0; at < whole.length; at++) {
			for (const flip of [0x01, 0x80]) {
				const broken = Buffer.from(whole);
				broken[at] = (broken[at] as number) ^ flip;
				fs.writeFileSync(journalFile(dir), broken);
				const line = whole.subarray(0, at).filter((byte) => byte === 10).length;
				assert.deepEqual(known(dir), truths[line], `byte ${at}`);
			}
		}
	}));

test('however much is written, the file stays short', () =>
	inFolder((dir) => {
		const journal = open(dir, false);
		for (let n = 0; n < 25_000; n++) journal.write({ [`child:c${n % 10}`]: n });
		journal.close();
		assert.ok(readJournal(dir).lines.length <= 10_100);
		assert.equal(known(dir)['child:c9'], 24_999);
		assert.deepEqual(fs.readdirSync(dir), ['journal.jsonl']);
	}));

test('a file that cannot be written is said once, and what is known stays known', () =>
	inFolder((dir) => {
		const errors: string[] = [];
		const said = { failed: ({ message }: Error) => errors.push(message), recovered: assert.fail };
		const journal = new Journal(path.join(dir, 'nowhere'), { resume: false, ...said });
		journal.write({ a: 1 });
		journal.write({ a: 2 });
		assert.equal(errors.length, 1);
		assert.match(errors[0] as string, /ENOENT/);
		assert.equal(journal.values.get('a'), 2);
		journal.close();
	}));

test('what is written down step by step is what the tree has in mind', () => {
	fc.assert(
		fc.property(
			fc.array(
				fc.record({
					what: fc.constantFrom('crash', 'crash', 'wait', 'restart', 'scale', 'pause', 'resume', 'terminate', 'stop'),
					which: fc.nat(9),
				}),
				{
					maxLength: 30,
				},
			),
			(acts) => {
				const written = new Map<string, unknown>();
				const alive = new Map<string, Run>();
				const clock = new SimulatedClock();
				const end = (code: number | null) => (run: Run) => {
					if (!alive.delete(run.workerId)) return;
					tree.tell(run.workerId, { type: 'process.exited', code, signal: null, maxRssBytes: null, at: clock.now() });
				};
				const nothing = () => {};
				let ids = 0;
				const tree = new Tree({
					spec: resolveSpec(
						declare('t', {
							intensity: { restarts: 3, within: '10s' },
							children: [
								command('web', {
									run: ['true'],
									instances: 2,
									restart: { strategy: 'rest_for_one', backoff: { from: '100ms', to: '100ms' } },
								}),
								supervisor('jobs', {
									strategy: 'one_for_all',
									children: [command('a', { run: ['true'] }), command('b', { run: ['true'] })],
								}),
								command('once', { run: ['true'], restart: 'temporary' }),
							],
						}),
					),
					clock,
					chance: () => 0.5,
					newId: () => `w${++ids}`,
					news: nothing,
					running: nothing,
					ended: nothing,
					journal: {
						write: (set) => {
							for (const [key, value] of Object.entries(set)) {
								if (value === null) written.delete(key);
								else written.set(key, value);
							}
						},
					},
					host: {
						launch: (run) => {
							alive.set(run.workerId, run);
							tree.tell(run.workerId, { type: 'process.spawned', pid: 1, startTicks: 1 });
						},
						watchReadiness: (run) => tree.tell(run.workerId, { type: 'process.ready' }),
						watchLiveness: nothing,
						askToDrain: end(0),
						terminate: end(0),
						kill: end(null),
						forget: nothing,
					},
				});
				const same = () => {
					const sorted = (entries: Iterable<[string, unknown]>) => [...entries].sort(([a], [b]) => (a < b ? -1 : 1));
					assert.deepEqual(sorted(written), sorted(Object.entries(tree.mind())));
				};
				tree.start();
				same();
				const ignored = (promise: Promise<unknown>) => void promise.catch(nothing);
				for (const { what, which } of acts) {
					const run = [...alive.values()][which % Math.max(1, alive.size)];
					if (what === 'crash' && run !== undefined) end(1)(run);
					else if (what === 'wait') clock.advance(which * 100);
					else if (what === 'restart') ignored(tree.restart('jobs'));
					else if (what === 'scale') ignored(tree.scale('web', 1 + (which % 4)));
					else if (what === 'pause') ignored(tree.pause(['', 'web', 'jobs', 'jobs/a'][which % 4]));
					else if (what === 'resume') ignored(tree.unpause(['', 'web.1', 'jobs', 'jobs/a'][which % 4]));
					else if (what === 'terminate') ignored(tree.terminateChild('', 'web.1'));
					else if (what === 'stop' && which > 7) tree.stop('drain');
					same();
				}
			},
		),
		{ numRuns: 200 },
	);
});

test.run();
