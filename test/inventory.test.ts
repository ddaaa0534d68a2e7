/** Who runs, on disk, for the angel after one that was killed: whatever becomes of the file, what is read is what was once true. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import { test } from 'uvu';
import { type Entry, Inventory, inventoryFile, isStillThere, leftBehind, readInventory } from '../src/angel/inventory.ts';
import { bootId, startTicks } from '../src/hosts/proc.ts';
import { withChecksum } from '../src/journal/checksum.ts';
import { inFolder } from './support/folder.ts';
import { until, within } from './support/until.ts';

const address = { name: 'http', host: null, port: 80, socketPath: null, slots: 2 };
const entry = (workerId: string, pid = 1): Entry => ({
	...{ workerId, pid, startTicks: 7, path: `näme/${workerId}`, incarnation: 3, generation: 2, token: null, logFrom: 5 },
	stop: { drainMs: 1, terminateMs: 2 },
	sockets: [{ address, slot: 1 }],
});

/** Two come, one goes, one comes; and the file at the end. */
function written(dir: string): Buffer {
	const inventory = new Inventory(dir, () => []);
	inventory.add(entry('a'));
	inventory.add(entry('b'));
	inventory.remove('a');
	inventory.add(entry('c'));
	inventory.close();
	return fs.readFileSync(inventoryFile(dir));
}

const truths = [[], ['a'], ['a', 'b'], ['b'], ['b', 'c']];
const known = (dir: string) => readInventory(dir).map(({ workerId }) => workerId);

test('what runs is there again, with all that was known of it', () =>
	inFolder((dir) => {
		written(dir);
		assert.deepEqual(readInventory(dir), [entry('b'), entry('c')]);
	}));

test('cut at any byte, it holds what was true at the last line that is whole', () =>
	inFolder((dir) => {
		const whole = written(dir);
		for (let length = 0; length <= whole.length; length++) {
			fs.writeFileSync(inventoryFile(dir), whole.subarray(0, length));
			const lines = whole.subarray(0, length).filter((byte) => byte === 10).length;
			// A line that lacks nothing but its newline is whole.
			const complete = length < whole.length && whole[length] === 10 ? lines + 1 : lines;
			assert.deepEqual(known(dir), truths[complete], `${length} bytes`);
		}
	}));

test('with any byte changed, it lacks what that line says, and nothing that was never so is in it', () =>
	inFolder((dir) => {
		const whole = written(dir);
		const without = [['b', 'c'], ['c'], ['a', 'b', 'c'], ['b']];
		for (let at = 0; at < whole.length; at++) {
			for (const flip of [0x01, 0x80]) {
				const broken = Buffer.from(whole);
				broken[at] = (broken[at] as number) ^ flip;
				fs.writeFileSync(inventoryFile(dir), broken);
				const line = whole.subarray(0, at).filter((byte) => byte === 10).length;
				const read = readInventory(dir);
				for (const each of read) assert.deepEqual(each, entry(each.workerId), `byte ${at}`);
				// A newline that is gone takes the next line with it.
				if (whole[at] !== 10) assert.deepEqual(known(dir), without[line], `byte ${at}`);
			}
		}
	}));

test('garbage in front, between and behind is passed over', () =>
	inFolder((dir) => {
		const lines = written(dir).toString('utf8').split('\n');
		fs.writeFileSync(inventoryFile(dir), ['\0\0\0', '{"workerId":"x","pid":1}', ...lines, withChecksum('7').trim(), 'ÿ'].join('\n'));
		assert.deepEqual(known(dir), ['b', 'c']);
	}));

test('what ran before the machine was started anew is nothing', () =>
	inFolder((dir) => {
		fs.writeFileSync(inventoryFile(dir), withChecksum(JSON.stringify({ bootId: 'another', ...entry('a') })));
		assert.deepEqual(known(dir), []);
	}));

test('however many come and go, the file stays short', () =>
	inFolder((dir) => {
		const inventory = new Inventory(dir, () => [entry('keeps')]);
		for (let n = 0; n < 10_000; n++) {
			inventory.add(entry(`w${n}`));
			inventory.remove(`w${n}`);
		}
		inventory.close();
		assert.ok(fs.readFileSync(inventoryFile(dir), 'utf8').split('\n').length < 4_200);
		assert.deepEqual(known(dir), ['keeps']);
		assert.deepEqual(fs.readdirSync(dir), ['inventory.jsonl']);
	}));

test('who lives is told by its identity: not by a pid alone, and a zombie does not', () =>
	inFolder(async (dir) => {
		const env = { ...process.env, CHOIR_TREE: dir, CHOIR_WORKER: 'w' };
		// A child that has ended, of a parent that does not look: a zombie as long as that one sleeps.
		const script = 'sleep 1000 & echo $!; exec sleep 1000';
		const parent = spawn('sh', ['-c', script], { env, stdio: ['ignore', 'pipe', 'inherit'] });
		try {
			const zombie = await within(
				'the shell says its pid',
				new Promise<number>((resolve) => parent.stdout.once('data', (text) => resolve(Number(text)))),
			);
			await until('the shell is no shell any more, which would look', () =>
				[parent.pid, zombie].every((pid) => fs.readFileSync(`/proc/${pid}/comm`, 'utf8') === 'sleep\n'),
			);
			process.kill(zombie, 'SIGKILL');
			await until('it is a zombie', () => fs.readFileSync(`/proc/${zombie}/stat`, 'utf8').includes(') Z '));
			const pid = parent.pid as number;
			const living = { ...entry('w', pid), startTicks: startTicks(pid) as number };
			const others: Entry[] = [
				{ ...living, workerId: 'reused', startTicks: living.startTicks - 1 },
				{ ...living, workerId: 'another' },
				{ ...entry('zombie', zombie), startTicks: startTicks(zombie) as number },
				entry('gone', 2 ** 22 - 1),
			];
			assert.equal(isStillThere(living), true);
			for (const each of others) assert.equal(isStillThere(each), false, each.workerId);
			const line = (each: Entry) => withChecksum(JSON.stringify({ bootId: bootId(), ...each }));
			fs.writeFileSync(inventoryFile(dir), [...others, living].map(line).join(''));
			assert.deepEqual(leftBehind(dir), { living: [living], strays: [] });
			// Without its line it is found by its mark.
			fs.writeFileSync(inventoryFile(dir), others.map(line).join('') + line(living).slice(0, -3));
			assert.deepEqual(leftBehind(dir), { living: [], strays: [{ pid, startTicks: living.startTicks }] });
		} finally {
			parent.kill('SIGKILL');
		}
	}));

test.run();
