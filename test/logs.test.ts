/** Output files: followed, rotated under a writer that holds them, and read from the end. Not a line is lost, torn or doubled. */

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { test } from 'uvu';
import { droppedBytes, firstByte, listArchives, rotatingFile } from '../src/logs/archive.ts';
import { type Batch, Follower, follow } from '../src/logs/follow.ts';
import { rotateClosed, rotateHeld } from '../src/logs/rotate.ts';
import { tail } from '../src/logs/tail.ts';
import { within } from './support/until.ts';

const DEADLINE_MS = 30_000;

async function inFolder(run: (dir: string, file: string) => Promise<void>): Promise<void> {
	const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'choir-logs-'));
	fs.mkdirSync(path.join(dir, 'logs'));
	try {
		await within('the test', run(dir, path.join(dir, 'logs', 'web.log')), DEADLINE_MS);
	} finally {
		fs.rmSync(dir, { recursive: true });
	}
}

/** A process that holds the file by O_APPEND and prints some megabytes of numbered lines a second, until it is told to end; then it says how many. */
function startWriter(file: string): { end(): Promise<number> } {
	const fd = fs.openSync(file, 'a');
	const code = `
		const fs = require('node:fs');
		let n = 0;
		let ended = false;
		process.stdin.on('end', () => { ended = true; }).resume();
		(function print() {
			let text = '';
			for (let k = 0; k < 50; k++, n++) text += 'line ' + n + ' ' + 'ü'.repeat(n % 90) + '\\n';
			fs.writeSync(1, text);
			if (ended) fs.writeSync(2, String(n));
			// Fast, and slower than a rotation on a machine that has other things to do.
			else setTimeout(print, 4);
		})();`;
	const child = spawn(process.execPath, ['-e', code], { stdio: ['pipe', fd, 'pipe'] });
	fs.closeSync(fd);
	let said = '';
	child.stderr?.on('data', (chunk) => {
		said += chunk;
	});
	const closed = new Promise<number>((resolve) => child.once('close', () => resolve(Number(said))));
	return {
		end() {
			child.stdin?.end();
			return closed;
		},
	};
}

function assertNumbered(lines: string[], count: number): void {
	for (let n = 0; n < Math.max(count, lines.length); n++) assert.equal(lines[n], `line ${n} ${'ü'.repeat(n % 90)}`);
}

async function readAll(follower: Follower): Promise<string[]> {
	const lines: string[] = [];
	for (;;) {
		const batch = await follower.next();
		assert.equal(batch.skippedBytes, 0);
		for (const line of batch.lines) lines.push(line);
		if (!batch.more) return lines;
	}
}

const archivesFirst = async (file: string): Promise<string> => {
	const { numbered } = await listArchives(file);
	return [...numbered.map((archive) => archive.file).reverse(), file]
		.map((name) => fs.readFileSync(name, 'utf8').replace(/^\0+/, ''))
		.join('');
};

test('a follower gives lines as they come, of a file that is not there at first, and the rest at its end', async () => {
	await inFolder(async (_, file) => {
		const end = new AbortController();
		const heard: string[] = [];
		const following = (async () => {
			for await (const batch of follow(file, { signal: end.signal })) {
				heard.push(...batch.lines);
				if (heard.length === 1) fs.appendFileSync(file, 'two\r\n\nunfini');
				if (heard.length === 3) end.abort();
			}
		})();
		fs.writeFileSync(file, 'one\n');
		await following;
		assert.deepEqual(heard, ['one', 'two', '', 'unfini']);
	});
});

test('a replaced file is finished first, then the new one is read from its start; one cut short as well', async () => {
	await inFolder(async (_, file) => {
		fs.writeFileSync(file, 'skip\nold 1\n');
		const follower = new Follower(file, { from: 5 });
		assert.deepEqual(await readAll(follower), ['old 1']);
		fs.appendFileSync(file, 'old 2\nold end');
		fs.renameSync(file, `${file}.1`);
		fs.writeFileSync(file, 'new 1\n');
		assert.deepEqual(await readAll(follower), ['old 2', 'old end', 'new 1']);
		fs.truncateSync(file, 0);
		fs.appendFileSync(file, 'n\n');
		assert.deepEqual(await readAll(follower), ['n']);
		await follower.close();
	});
});

test('a line of 1 MB comes in pieces that break no character', async () => {
	await inFolder(async (_, file) => {
		const line = 'x' + '€'.repeat(350_000);
		fs.writeFileSync(file, `${line}\nshort\n`);
		const follower = new Follower(file);
		const lines = await readAll(follower);
		await follower.close();
		assert.equal(lines.pop(), 'short');
		assert.ok(lines.every((piece) => Buffer.byteLength(piece) <= 256 * 1024));
		assert.equal(lines.join(''), line);
	});
});

test('NULs that a child prints are not taken for a hole', async () => {
	await inFolder(async (_, file) => {
		fs.writeFileSync(file, `a\n\0\0b\n${'\0'.repeat(20_000)}c\n`);
		const follower = new Follower(file);
		assert.deepEqual(await readAll(follower), ['a', '\0\0b', `${'\0'.repeat(20_000)}c`]);
		await follower.close();
	});
});

test('the first byte after a hole is found, wherever the hole ends', async () => {
	await inFolder(async (_, file) => {
		for (const [zeros, text] of [
			[0, 'x'],
			[1, 'x'],
			[4_095, 'xy'],
			[4_096, 'x'],
			[4_097, 'x'.repeat(9_000)],
			[1_000_000, 'x'],
			[5_000, ''],
		] as const) {
			fs.writeFileSync(file, '\0'.repeat(zeros) + text);
			const handle = await fs.promises.open(file);
			assert.equal(await firstByte(handle, zeros + text.length), zeros);
			await handle.close();
		}
	});
});

test('rotation under a fast writer: archives and live file together are what was written, and the disk is freed', async () => {
	await inFolder(async (_, file) => {
		const writer = startWriter(file);
		for (let rotations = 0; rotations < 12; ) if ((await rotateHeld(file, { rotateBytes: 100_000, keep: 10_000 })).rotated) rotations += 1;
		const count = await writer.end();
		while ((await rotateHeld(file, { rotateBytes: 100_000, keep: 10_000 })).rotated);
		assertNumbered((await archivesFirst(file)).trimEnd().split('\n'), count);
		assert.ok(fs.statSync(file).blocks * 512 < 300_000);
		assert.ok(fs.statSync(file).size >= 1_200_000);
		for (const archive of (await listArchives(file)).numbered) assert.ok(archive.size <= 100_000);
	});
});

test('a follower that is slower than rotation reads on in the archives: each line once', async () => {
	await inFolder(async (_, file) => {
		const writer = startWriter(file);
		let rotations = 0;
		const rotating = (async () => {
			while (rotations < 12) if ((await rotateHeld(file, { rotateBytes: 70_000, keep: 10_000 })).rotated) rotations += 1;
		})();
		const followers = [new Follower(file), new Follower(file)] as const;
		const near: string[] = [];
		const far: string[] = [];
		for (let rounds = 0; rotations < 12; rounds++) {
			const batch: Batch = await followers[0].next();
			assert.equal(batch.skippedBytes, 0);
			for (const line of batch.lines) near.push(line);
			// The second one reads one chunk now and then, and so is always far behind.
			if (rounds % 7 === 0) for (const line of (await followers[1].next()).lines) far.push(line);
		}
		await rotating;
		const count = await writer.end();
		for (const line of await readAll(followers[0])) near.push(line);
		for (const line of await readAll(followers[1])) far.push(line);
		for (const follower of followers) await follower.close();
		assertNumbered(near, count);
		assertNumbered(far, count);
	});
});

test('what was dropped by rotation before it was read is counted, and reading goes on with whole lines', async () => {
	await inFolder(async (_, file) => {
		fs.writeFileSync(file, 'first\n');
		const follower = new Follower(file);
		assert.deepEqual(await readAll(follower), ['first']);
		for (let n = 0; n < 10; n++) {
			fs.appendFileSync(file, `line ${n} ${'x'.repeat(6_000)}\n`);
			await rotateHeld(file, { rotateBytes: 5_000, keep: 2 });
		}
		let skipped = 0;
		const heard: string[] = [];
		for (let batch = await follower.next(); batch.more; batch = await follower.next()) {
			skipped += batch.skippedBytes;
			heard.push(...batch.lines.map((line) => line.slice(0, 6)));
		}
		await follower.close();
		assert.ok(skipped > 30_000, `${skipped} bytes`);
		assert.deepEqual(heard, ['line 7', 'line 8', 'line 9']);
	});
});

test('what has grown far beyond all that is kept is cut down at once, with what was kept before', async () => {
	await inFolder(async (_, file) => {
		const line = (n: number) => `${String(n).padStart(6, '0')} ${'x'.repeat(92)}\n`;
		const lines = (from: number, to: number) => Array.from({ length: to - from }, (_each, index) => line(from + index)).join('');
		const text = lines(0, 200);
		fs.writeFileSync(file, text);
		await rotateHeld(file, { rotateBytes: 10_000, keep: 3 });
		assert.equal((await listArchives(file)).numbered.length, 2);
		fs.appendFileSync(file, lines(200, 10_000));
		assert.equal((await rotateHeld(file, { rotateBytes: 10_000, keep: 3 })).rotated, true);
		const left = (await archivesFirst(file))
			.trimEnd()
			.split('\n')
			.map((each) => Number(each.slice(0, 6)));
		const first = left[0] as number;
		assert.deepEqual(
			left,
			Array.from({ length: 10_000 - first }, (_each, index) => first + index),
		);
		assert.ok(first >= 9_500 && first <= 9_700, `the first is ${first}`);
		assert.equal(await droppedBytes(file), first * 100);
	});
});

test('archives are shifted, and no more are kept than asked', async () => {
	await inFolder(async (_, file) => {
		for (let n = 0; n < 6; n++) {
			fs.writeFileSync(file, `run ${n}\n`);
			await rotateClosed(file, 3);
		}
		assert.deepEqual(fs.readdirSync(path.dirname(file)).sort(), ['web.log.1', 'web.log.2', 'web.log.3']);
		assert.equal(fs.readFileSync(`${file}.1`, 'utf8'), 'run 5\n');
		assert.equal(fs.readFileSync(`${file}.3`, 'utf8'), 'run 3\n');
	});
});

test('a file that is small, missing or never to be rotated is left alone', async () => {
	await inFolder(async (_, file) => {
		assert.deepEqual(await rotateHeld(file, { rotateBytes: 10, keep: 3 }), { rotated: false, why: null });
		fs.writeFileSync(file, 'some lines\n'.repeat(10));
		assert.deepEqual(await rotateHeld(file, { rotateBytes: 0, keep: 3 }), { rotated: false, why: null });
		assert.deepEqual(await rotateHeld(file, { rotateBytes: 1_000, keep: 3 }), { rotated: false, why: null });
		await rotateClosed(`${file}-none`, 3);
		assert.deepEqual(fs.readdirSync(path.dirname(file)), ['web.log']);
	});
});

test('a hole in a file that nobody holds does not reach the archive', async () => {
	await inFolder(async (_, file) => {
		fs.writeFileSync(file, 'line of text\n'.repeat(1_000));
		await rotateHeld(file, { rotateBytes: 6_000, keep: 5 });
		await rotateClosed(file, 5);
		assert.equal(fs.existsSync(file), false);
		const { numbered } = await listArchives(file);
		const text = numbered
			.map((archive) => fs.readFileSync(archive.file, 'utf8'))
			.reverse()
			.join('');
		assert.equal(text, 'line of text\n'.repeat(1_000));
	});
});

test('without fallocate the file is left alone, and the reason is said', async () => {
	await inFolder(async (dir, file) => {
		fs.writeFileSync(file, 'line of text\n'.repeat(1_000));
		const searched = process.env.PATH;
		process.env.PATH = dir;
		try {
			assert.deepEqual(await rotateHeld(file, { rotateBytes: 6_000, keep: 5 }), {
				rotated: false,
				why: 'fallocate (util-linux) is not installed',
			});
		} finally {
			process.env.PATH = searched;
		}
		assert.deepEqual(fs.readdirSync(path.dirname(file)), ['web.log']);
		assert.equal(fs.statSync(file).size, 13_000);
	});
});

for (const [when, prepare] of [
	['in the middle of the copy', (file: string) => fs.writeFileSync(`${file}.copying`, 'line')],
	[
		'between the copy and the hole',
		(file: string) => fs.writeFileSync(rotatingFile(file, 0, 6_500), fs.readFileSync(file).subarray(0, 6_500)),
	],
	[
		'between the hole and the new name',
		(file: string) => {
			const bytes = fs.readFileSync(file);
			fs.writeFileSync(rotatingFile(file, 0, 6_500), bytes.subarray(0, 6_500));
			fs.writeFileSync(file, Buffer.concat([Buffer.alloc(6_500), bytes.subarray(6_500)]));
		},
	],
] as Array<[string, (file: string) => void]>) {
	test(`a rotation that died ${when} is finished or undone by the next`, async () => {
		await inFolder(async (_, file) => {
			const text = Array.from({ length: 1_000 }, (_, n) => `line ${String(n).padStart(7, '0')}\n`).join('');
			fs.writeFileSync(file, text);
			prepare(file);
			const follower = new Follower(file);
			assert.equal((await readAll(follower)).join('\n') + '\n', text);
			await follower.close();
			await rotateHeld(file, { rotateBytes: 2_000, keep: 20 });
			assert.equal(await archivesFirst(file), text);
			assert.ok(fs.readdirSync(path.dirname(file)).every((name) => /^web\.log(\.\d+)?$/.test(name)));
		});
	});
}

test('a child that prints NULs or never ends its line does not fill the disk', async () => {
	await inFolder(async (_, file) => {
		fs.writeFileSync(file, Buffer.alloc(4_000_000));
		await rotateHeld(file, { rotateBytes: 100_000, keep: 2 });
		assert.ok(fs.statSync(file).blocks <= 8, 'the last block stays');
		fs.writeFileSync(file, Buffer.alloc(4_000_000, 'x'));
		await rotateHeld(file, { rotateBytes: 100_000, keep: 2 });
		assert.ok(fs.statSync(file).blocks * 512 < 2_000_000);
	});
});

test('the last lines come from the live file and the archives, and follow goes on where they end', async () => {
	await inFolder(async (dir, file) => {
		assert.deepEqual(await tail(dir, 'web', 5), { lines: [], unfinished: '', next: 0 });
		fs.writeFileSync(file, Array.from({ length: 3_000 }, (_, n) => `line ${n}\n`).join(''));
		await rotateHeld(file, { rotateBytes: 8_000, keep: 10 });
		fs.appendFileSync(file, 'line 3000\nhalf');
		const { lines, unfinished, next } = await tail(dir, 'web', 2_000);
		assert.deepEqual(
			lines,
			Array.from({ length: 2_000 }, (_, n) => `line ${n + 1_001}`),
		);
		assert.equal(unfinished, 'half');
		fs.appendFileSync(file, ' done\n');
		const follower = new Follower(file, { from: next });
		assert.deepEqual(await readAll(follower), ['half done']);
		await follower.close();
		assert.deepEqual((await tail(dir, 'web', 1)).lines, ['half done']);
		assert.deepEqual((await tail(dir, 'web', 0)).lines, []);
		assert.equal((await tail(dir, 'web', 100_000)).lines.length, 3_002);
	});
});

test.run();
