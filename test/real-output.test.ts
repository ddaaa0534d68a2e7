/** Output of real children that print as fast as they can: kept whole while masters die and files are rotated, and never more than is declared. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import { logFile } from '../src/home.ts';
import { sample } from '../src/hosts/proc.ts';
import { type RealTree, signal, withTree } from './support/real.ts';

const ROTATE_BYTES = 4_000_000;
const KEEP = 4;
const WHOLE = /^\d{10}x{89}$/;
/** Numbered lines of a hundred bytes, at most so many bytes a second. */
const printer = (perSecond: number) => `
	const fs = require('fs');
	const pad = 'x'.repeat(89);
	let n = 0;
	let bytes = 0;
	let last = performance.now();
	setInterval(() => {
		const now = performance.now();
		// What a busy machine did not let it print is not printed later, all at once.
		bytes -= (Math.min(now - last, 20) / 1000) * ${perSecond};
		last = now;
		while (bytes < 0) {
			let text = '';
			for (let line = 0; line < 2_000; line++) text += String(++n).padStart(10, '0') + pad + '\\n';
			bytes += fs.writeSync(1, text);
		}
	}, 5);
`;
/** The same, a line at a time and without a pause. */
const restless = `
	const fs = require('fs');
	const pad = 'x'.repeat(89);
	for (let n = 1; ; n++) fs.writeSync(1, String(n).padStart(10, '0') + pad + '\\n');
`;
const spec = `
	import { command, tree } from 'choir';
	export default tree('t', {
		view: false,
		master: { intensity: { restarts: 100, within: '1m' }, backoff: { from: '20ms', to: '20ms' } },
		children: [command('printer', { run: [process.execPath, 'printer.cjs'], logs: { rotateBytes: ${ROTATE_BYTES}, keep: ${KEEP} } })],
	});
`;

/**
 * The files of the printer, the oldest first, with what is in them; of the live file what is behind its hole. A stop may come in the middle of a
 * rotation: a copy that is not whole is worth nothing, and one that is whole counts as soon as its range is no longer in the live file.
 */
function kept(tree: RealTree): Array<{ name: string; text: string }> {
	const live = logFile(tree.dir, 'printer');
	const folder = path.dirname(live);
	const bytes = fs.readFileSync(live);
	let from = Math.max(
		bytes.findIndex((byte) => byte !== 0),
		0,
	);
	const older: Array<{ name: string; age: number }> = [];
	for (const name of fs.readdirSync(folder)) {
		const [, number, start, end] = /^printer\.log\.(?:(\d+)|rotating-(\d+)-(\d+))$/.exec(name) ?? [];
		if (number !== undefined) older.push({ name, age: Number(number) });
		else if (start !== undefined && from > Number(start)) {
			older.push({ name, age: 0 });
			from = Math.max(from, Number(end));
		}
	}
	return [
		...older.sort((a, b) => b.age - a.age).map(({ name }) => ({ name, text: fs.readFileSync(path.join(folder, name), 'latin1') })),
		{ name: path.basename(live), text: bytes.toString('latin1', from) },
	];
}

/** The bytes that they take on the disk. */
function onDisk(tree: RealTree): number {
	const folder = path.dirname(logFile(tree.dir, 'printer'));
	return fs
		.readdirSync(folder)
		.map((name) => fs.statSync(path.join(folder, name), { throwIfNoEntry: false })?.blocks ?? 0)
		.reduce((sum, blocks) => sum + blocks * 512, 0);
}

const dropped = async (tree: RealTree) => (await tree.child('printer')).droppedOutputBytes as number;

test('a child prints as fast as it can, ten masters are killed and files are rotated: every line once, in order, in the kept files', async () => {
	await withTree({ 'tree.ts': spec, 'printer.cjs': restless }, async (tree) => {
		assert.equal((await tree.start()).code, 0);
		const { pid } = await tree.child('printer');
		let before = 0;
		for (let n = 0; n < 10; n++) {
			const { master } = await tree.status();
			signal(master.pid as number, 'SIGKILL');
			await tree.until('the next master runs the tree, and rotates', async () => {
				const status = await tree.status();
				return status.master.pid !== master.pid && status.state === 'running' && (await dropped(tree)) > before;
			});
			before = await dropped(tree);
		}
		assert.equal((await tree.child('printer')).pid, pid);
		assert.equal((await tree.cli('stop')).code, 0);
		const files = kept(tree);
		assert.ok(files.length >= KEEP, `only ${files.map(({ name }) => name)}`);
		const numbers: number[] = [];
		for (const { name, text } of files) {
			const lines = text.split('\n');
			// What its end has torn is the last of all.
			const torn = lines.pop();
			if (name !== 'printer.log') assert.equal(torn, '', `${name} ends in the middle of a line`);
			for (const line of lines) {
				assert.match(line, WHOLE);
				numbers.push(Number(line.slice(0, 10)));
			}
		}
		const first = numbers[0] as number;
		assert.ok(first > 100_000, `nothing was dropped: the first is ${first}`);
		const wrong = numbers.findIndex((number, index) => number !== first + index);
		assert.equal(wrong, -1, `after ${numbers[wrong - 1]} comes ${numbers[wrong]}`);
	});
});

test('100 MB a second: the declared total on disk is kept, what is dropped is counted, memory is flat, and a slow reader is told what it missed', async () => {
	const bin = fileURLToPath(new URL('../bin/choir.js', import.meta.url));
	await withTree({ 'tree.ts': spec, 'printer.cjs': printer(100_000_000) }, async (tree) => {
		assert.equal((await tree.start()).code, 0);
		const pids = await tree.status().then(({ angel, master }) => [angel.pid as number, master.pid as number]);
		const rss = () => pids.map((pid) => (sample(pid)?.rssBytes ?? 0) / 1e6);
		const reader = spawn(process.execPath, [bin, 'logs', 'printer', '-f', '--tree', 't'], {
			env: { ...process.env, CHOIR_HOME: tree.home },
			stdio: ['ignore', 'pipe', 'pipe'],
		});
		const heard: string[] = [];
		let missed = '';
		let rest = '';
		reader.stderr.setEncoding('utf8').on('data', (text: string) => {
			missed += text;
		});
		reader.stdout.setEncoding('latin1').on('data', (text: string) => {
			const lines = (rest + text).split('\n');
			rest = lines.pop() as string;
			heard.push(...lines);
			// Slower than what is printed.
			reader.stdout.pause();
			setTimeout(() => reader.stdout.resume(), 20);
		});
		try {
			await tree.until('much has been dropped', async () => (await dropped(tree)) > 100_000_000, 30_000);
			const before = rss();
			const from = await dropped(tree);
			let most = 0;
			await tree.until(
				'a lot more has been dropped',
				async () => {
					most = Math.max(most, onDisk(tree));
					return (await dropped(tree)) > from + 250_000_000;
				},
				60_000,
			);
			// What is printed until it is cut down, which on a busy machine is some tenths of a second.
			assert.ok(most < 100_000_000, `${most / 1e6} MB on disk`);
			// A breath for it, and the declared total is all that is left.
			signal((await tree.child('printer')).pid, 'SIGSTOP');
			const declared = (KEEP + 1) * ROTATE_BYTES + 1_000_000;
			await tree.until('no more than declared is on disk', () => onDisk(tree) <= declared || assert.fail(`${onDisk(tree)} bytes`));
			const grown = rss().map((now, index) => now - (before[index] as number));
			assert.ok(
				grown.every((megabytes) => megabytes < 40),
				`angel and master grew by ${grown} MB`,
			);
			await tree.until('the reader is told', () => /\d+ bytes of output of printer were rotated away/.test(missed), 20_000);
			// Where it missed something, the line that it had begun to read is cut off.
			const whole = heard.filter((line) => WHOLE.test(line));
			const torn = heard.filter((line) => !WHOLE.test(line));
			const gaps = missed.split('rotated away').length - 1;
			assert.ok(whole.length > 0);
			assert.ok(torn.length <= gaps, `${torn.length} lines are torn, at ${gaps} gaps: ${torn.slice(0, 5)}`);
			const wrong = whole.findIndex((line, index) => index > 0 && line <= (whole[index - 1] as string));
			assert.equal(wrong, -1, `after ${whole[wrong - 1]?.slice(0, 10)} comes ${whole[wrong]?.slice(0, 10)}`);
		} finally {
			reader.kill('SIGKILL');
		}
	});
});

test.run();
