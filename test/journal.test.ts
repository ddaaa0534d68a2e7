/** What a master has in mind, on disk: whatever becomes of the file, what is read is what was once true. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { test } from 'uvu';
import { type Changes, Journal, journalFile, readJournal } from '../src/journal/journal.ts';

function inFolder(run: (dir: string) => void): void {
	const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'choir-journal-'));
	try {
		run(dir);
	} finally {
		fs.rmSync(dir, { recursive: true });
	}
}

const failed = (error: Error): never => {
	throw error;
};
const open = (dir: string, resume = true) => new Journal(dir, { resume, failed });

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
		const journal = new Journal(path.join(dir, 'nowhere'), { resume: false, failed: ({ message }) => errors.push(message) });
		journal.write({ a: 1 });
		journal.write({ a: 2 });
		assert.equal(errors.length, 1);
		assert.match(errors[0] as string, /ENOENT/);
		assert.equal(journal.values.get('a'), 2);
	}));

test.run();
