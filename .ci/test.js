// Runs the test files, two at a time, and closes the holes of their runner: a file fails that runs no test, that does not
// end in time, or whose totals do not add up. Ends with a plain line `N passed, N failed`.
// Arguments: parts of names of files to run; none is all.
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { ensureChromium } from './chromium.js';
import { makeReady, root } from './ready.js';

/** For one file. */
const LIMIT_MS = 240_000;
const AT_ONCE = 2;
/** For a file to end the trees that it has started, when it is stopped. */
const END_MS = 5_000;

const isLong = (name) => /^(real|view)-/.test(name);

makeReady();
const wanted = process.argv.slice(2);
const files = fs
	.readdirSync(path.join(root, 'test'))
	.filter((name) => name.endsWith('.test.ts') && (wanted.length === 0 || wanted.some((part) => name.includes(part))))
	// With real processes first: they take long, and what runs alone at the end takes half of the machine.
	.sort((one, other) => Number(isLong(other)) - Number(isLong(one)) || (one < other ? -1 : 1));
if (files.includes('view-page.test.ts')) ensureChromium();

let passed = 0;
let failed = 0;
const running = new Set();
let stopped = false;

function runFile(name) {
	const started = Date.now();
	return new Promise((resolve) => {
		const child = spawn(process.execPath, ['--import', 'tsx', path.join('test', name)], {
			cwd: root,
			detached: true,
			stdio: ['ignore', 'pipe', 'pipe'],
			// Certificates that each Node reads at its start: no test needs them, and thousands of starts would be half as slow again.
			env: { ...process.env, FORCE_COLOR: '0', NODE_EXTRA_CA_CERTS: undefined },
		});
		running.add(child);
		let output = '';
		for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text) => (output += text));
		let late = false;
		const limit = setTimeout(() => {
			late = true;
			end([child]);
		}, LIMIT_MS);
		child.once('close', (code) => {
			clearTimeout(limit);
			running.delete(child);
			if (stopped) return resolve();
			const total = Number(/Total:\s+(\d+)/.exec(output)?.[1] ?? 0);
			const good = Number(/Passed:\s+(\d+)/.exec(output)?.[1] ?? 0);
			const whole = code === 0 && !late && total > 0 && good === total;
			passed += good;
			// A file that broke in some other way counts as one failure more.
			failed += whole ? 0 : Math.max(1, total - good);
			const seconds = ((Date.now() - started) / 1000).toFixed(1);
			console.log(`${whole ? 'ok  ' : 'FAIL'} ${name} ${good}/${total} ${seconds} s${late ? ' (did not end in time)' : ''}`);
			// What was left out, and where to look.
			if (whole) for (const line of output.match(/^(?:SKIPPED|screenshots): .*$/gm) ?? []) console.log(`     ${line}`);
			if (!whole) console.log(output.replace(/^/gm, '     '));
			resolve();
		});
	});
}

/** They are asked first: a test file ends the trees that it has started, which are no children of its own. */
function end(children) {
	const tell = (child, signal) => {
		try {
			process.kill(-child.pid, signal);
		} catch {
			// It has just ended.
		}
	};
	for (const child of children) tell(child, 'SIGTERM');
	setTimeout(() => {
		for (const child of children) if (running.has(child)) tell(child, 'SIGKILL');
	}, END_MS);
}

for (const signal of ['SIGINT', 'SIGTERM']) {
	process.on(signal, () => {
		if (stopped) return;
		stopped = true;
		end([...running]);
	});
}

const queue = [...files];
await Promise.all(
	Array.from({ length: AT_ONCE }, async () => {
		for (let next = queue.shift(); !stopped && next !== undefined; next = queue.shift()) await runFile(next);
	}),
);
if (stopped) process.exit(130);
if (files.length === 0) failed += 1;
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed === 0 ? 0 : 1);
