/** What is written down while a tree runs: that it cannot be for a time costs neither the tree nor what is true when it can again. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'uvu';
import { type Entry, Inventory, readInventory } from '../src/angel/inventory.ts';
import { eventsFile, logFile, logsDir } from '../src/home.ts';
import { checked } from '../src/journal/checksum.ts';
import { Journal, journalFile, readJournal } from '../src/journal/journal.ts';
import { copyingFile } from '../src/logs/archive.ts';
import { EventLog } from '../src/logs/events.ts';
import { closeOutput, openOutput } from '../src/logs/open.ts';
import { firstLook, Upkeep } from '../src/logs/upkeep.ts';
import { inFolder } from './support/folder.ts';
import { turn, until } from './support/until.ts';

/** A file is not opened where a folder is, whoever asks. */
const block = (file: string) => fs.mkdirSync(file);
const unblock = (file: string) => fs.rmdirSync(file);
/** What is opened here cannot be written: as on a full disk. */
const fill = (file: string) => fs.symlinkSync('/dev/full', file);
const aside = (file: string) => `${file}.${process.pid}`;
const testFull = fs.existsSync('/dev/full') ? test : test.skip;

const entry = (workerId: string): Entry => ({
	...{ workerId, pid: 1, startTicks: 7, path: workerId, incarnation: 1, generation: 1, token: null, logFrom: 0 },
	stop: { drainMs: 1, terminateMs: 2 },
	sockets: [],
});
const known = (dir: string) => readInventory(dir).map(({ workerId }) => workerId);

function open(dir: string) {
	const said: string[] = [];
	const failed = ({ message }: Error) => said.push(message.replace(/[:;,].*/, ''));
	const journal = new Journal(dir, { resume: false, failed, recovered: () => said.push('recovered'), retryMs: 5 });
	return { journal, said };
}

const heldBy = (dir: string) => Object.assign({}, ...readJournal(dir).lines.map(({ set }) => set));

test('a journal that cannot be written says so once, and holds all there is as soon as it can be', () =>
	inFolder(async (dir) => {
		block(aside(journalFile(dir)));
		const { journal, said } = open(dir);
		journal.write({ a: 1, b: 1 });
		const triedAt = performance.now();
		await until('it has been tried again, more than once', () => performance.now() > triedAt + 50);
		journal.write({ a: 2, b: null });
		assert.deepEqual(said, ['EISDIR']);
		assert.equal(fs.existsSync(journalFile(dir)), false);
		unblock(aside(journalFile(dir)));
		await until('it is written down', () => said.length > 1);
		assert.deepEqual(said, ['EISDIR', 'recovered']);
		assert.deepEqual(heldBy(dir), { a: 2 });
		journal.write({ c: 3 });
		assert.deepEqual(heldBy(dir), { a: 2, c: 3 });
		journal.close();
	}));

testFull('a journal on a disk that fills up goes, and comes again with all there is', () =>
	inFolder(async (dir) => {
		fill(aside(journalFile(dir)));
		const { journal, said } = open(dir);
		assert.deepEqual(said, []);
		journal.write({ a: 1 });
		assert.deepEqual(said, ['ENOSPC']);
		// What it said was no longer true.
		assert.deepEqual(fs.readdirSync(dir), []);
		await until('it is written down', () => said.length > 1);
		assert.deepEqual(heldBy(dir), { a: 1 });
		journal.close();
	}),
);

test('a journal that is closed while it cannot be written is not written later', () =>
	inFolder(async (dir) => {
		block(aside(journalFile(dir)));
		const { journal, said } = open(dir);
		journal.close();
		unblock(aside(journalFile(dir)));
		const closedAt = performance.now();
		await until('the next try would have been', () => performance.now() > closedAt + 30);
		assert.deepEqual([said, fs.readdirSync(dir)], [['EISDIR'], []]);
	}));

test('a line of which only a part fits on the disk is no line', () =>
	inFolder((dir) => {
		const file = path.join(dir, 'lines');
		const module = new URL('../dist/src/journal/checksum.js', import.meta.url).href;
		const script = `
			const { writeChecked } = await import(${JSON.stringify(module)});
			const fd = require('node:fs').openSync(${JSON.stringify(file)}, 'w');
			let n = 0;
			try { for (;; n++) writeChecked(fd, { n, text: 'a line' }); } catch (error) { console.log(JSON.stringify([n, error.message])); }`;
		// Files of at most 512 bytes.
		const limited = spawnSync('sh', ['-c', 'ulimit -f 1; exec "$@"', 'sh', process.execPath, '-e', `(async () => {${script}})()`]);
		assert.equal(limited.status, 0, limited.stderr.toString());
		const [lines, message] = JSON.parse(limited.stdout.toString());
		assert.match(message, /^only \d+ of \d+ bytes could be written: is the disk full\?$/);
		const written = fs.readFileSync(file, 'utf8').split('\n').map(checked);
		assert.deepEqual(
			written,
			Array.from({ length: lines + 1 }, (_, n) => (n < lines ? { n, text: 'a line' } : null)),
		);
	}));

/** One in which `keeps` lives, which is about to be written anew. */
function full(dir: string): { inventory: Inventory; living: string[] } {
	const living = ['keeps'];
	const inventory = new Inventory(dir, () => living.map(entry), 5);
	for (let n = 0; n < 2_048; n++) {
		inventory.add(entry('comes'));
		inventory.remove('comes');
	}
	return { inventory, living };
}

/** Four come, and then it is written anew. */
function overflow({ inventory, living }: ReturnType<typeof full>): void {
	for (const name of ['a', 'b', 'c', 'd']) {
		living.push(name);
		inventory.add(entry(name));
	}
	for (let n = 0; n < 20; n++) inventory.remove('nobody');
}

test('an inventory that cannot be written anew stays as it is, and is made anew when it can be', () =>
	inFolder(async (dir) => {
		const { inventory, living } = full(dir);
		block(aside(path.join(dir, 'inventory.jsonl')));
		overflow({ inventory, living });
		assert.ok(known(dir).includes('keeps'));
		living.splice(0, 2);
		unblock(aside(path.join(dir, 'inventory.jsonl')));
		await until('it has been made anew', () => !known(dir).includes('keeps'));
		assert.deepEqual(known(dir), ['b', 'c', 'd']);
		inventory.add(entry('e'));
		assert.deepEqual(known(dir), ['b', 'c', 'd', 'e']);
		inventory.close();
	}));

testFull('of an inventory that is too large for the disk no part takes the place of the whole one', () =>
	inFolder(async (dir) => {
		const { inventory, living } = full(dir);
		fill(aside(path.join(dir, 'inventory.jsonl')));
		overflow({ inventory, living });
		assert.equal(fs.lstatSync(path.join(dir, 'inventory.jsonl')).isFile(), true);
		await until('it has been made anew', () => known(dir).length === 5);
		inventory.close();
		assert.deepEqual(fs.readdirSync(dir), ['inventory.jsonl']);
	}),
);

test('events that cannot be written wait, the last thousand of them, and come in their order', () =>
	inFolder(async (dir) => {
		block(eventsFile(dir));
		const events = new EventLog(dir);
		const write = (n: number) => events.write({ role: 'angel', level: 'info', event: 'tried', message: `${n}` });
		for (let n = 0; n < 1_500; n++) {
			write(n);
			if (n % 100 === 0) events.flush();
		}
		await turn();
		unblock(eventsFile(dir));
		write(1_500);
		await until('they are written', () => fs.existsSync(eventsFile(dir)));
		const written = fs.readFileSync(eventsFile(dir), 'utf8').trim().split('\n');
		assert.deepEqual(
			written.map((line) => Number(JSON.parse(line).message)),
			Array.from({ length: 1_001 }, (_, n) => n + 500),
		);
		write(1_501);
		events.close();
		assert.equal(fs.readFileSync(eventsFile(dir), 'utf8').trim().split('\n').length, 1_002);
	}));

test('an output file is opened though its folder is gone, and where none can be, that is said', () =>
	inFolder((dir) => {
		const said: string[] = [];
		assert.equal(fs.existsSync(logsDir(dir)), false);
		const output = openOutput(dir, 'jobs/mail', (message) => said.push(message));
		assert.equal(typeof output, 'number');
		fs.writeSync(output as number, 'a line\n');
		closeOutput(output);
		assert.equal(fs.readFileSync(logFile(dir, 'jobs/mail'), 'utf8'), 'a line\n');
		assert.equal(said.length, 0);
		fs.rmSync(logsDir(dir), { recursive: true });
		fs.writeFileSync(logsDir(dir), 'no folder');
		const none = openOutput(dir, 'jobs/mail', (message) => said.push(message));
		closeOutput(none);
		assert.equal(none, 'ignore');
		assert.match(said[0] as string, /^what jobs\/mail prints is lost: EEXIST/);
	}));

test('an output file that cannot be rotated keeps its child neither from running nor from coming back', () =>
	inFolder(async (dir) => {
		const said: string[] = [];
		const make = () => new Upkeep(dir, (childPath, why) => said.push(`${childPath}: ${why}`));
		const upkeep = make();
		closeOutput(openOutput(dir, 'web', assert.fail));
		const file = logFile(dir, 'web');
		fs.writeFileSync(file, 'a line\n'.repeat(10_000));
		block(copyingFile(file));
		const logs = { rotateBytes: 1_000, keep: 1 };
		upkeep.look('web', logs, firstLook());
		await until('it has been tried', () => said.length === 1);
		await upkeep.beforeStart('web', logs);
		assert.ok(said.length > 1);
		for (const sentence of said) assert.match(sentence, /^web: Path is a directory/);
		assert.equal(fs.statSync(file).size, 70_000);
		unblock(copyingFile(file));
		// The first one waits for a minute, if it has looked once more meanwhile.
		make().look('web', logs, firstLook());
		await until('it is rotated', () => fs.existsSync(`${file}.1`));
	}));

test.run();
