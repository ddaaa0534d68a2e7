/** The kit assumes no test runner: the same tests pass and fail as they should under uvu, node:test, and vitest where it is there. */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';

const root = path.join(import.meta.dirname, '..');
const LIMIT_MS = 60_000;

const tests = `
import { command, node, tree } from 'choir';
import { workerMachine } from 'choir/machines';
import { explore, paths, simulate, table } from 'choir/testing';

const spec = tree('shop', {
	children: [command('db', { run: ['db'], ready: { tcp: 5432 } }), node('web', { module: './web.ts', instances: 2, listen: { http: 8080 } })],
});
const input = { workerId: 'w1', path: 'web.1', incarnation: 1, heartbeat: null, live: null, readyTimeoutMs: 30_000, stop: { drainMs: 60_000, terminateMs: 5_000 }, okCodes: [0], adopted: null };
const spawned = { type: 'process.spawned', pid: 7, startTicks: 7 };

test('simulate', async () => {
	const world = simulate(spec, { seed: 7 });
	await world.settled();
	world.crash('web.1', { code: 1 });
	world.advance('10s');
	if (world.state('web.1') !== 'running') throw new Error(world.trace());
});
test('explore', () => {
	explore(spec, { seeds: 5, steps: 10 });
});
test('table', () => {
	table(workerMachine, input).check(['is ready', [spawned, { type: 'process.ready' }], 'running.healthy']);
});
test('paths', async () => {
	const seen = [];
	const send = (event) => seen.push(event.type);
	await paths(workerMachine, { input, events: [spawned, { type: 'process.ready' }], same: ({ value }) => JSON.stringify(value) }).test(() => ({
		events: new Proxy({}, { get: () => send }),
	}));
	if (!seen.includes('process.ready')) throw new Error(seen.join());
});
`;
const failing = `
test('fails', () => {
	table(workerMachine, input).check(['is ready', [spawned], 'running.healthy']);
});
`;

interface Runner {
	name: string;
	/** What makes `test` known, and what ends the file. */
	head: string;
	tail: string;
	run: (file: string) => string[];
	passed: RegExp;
}

const uvu = path.join(root, 'node_modules/uvu');
const runners: Runner[] = [
	{ name: 'uvu', head: "import { test } from 'uvu';", tail: 'test.run();', run: (file) => [file], passed: /Passed: +4/ },
	{
		name: 'node:test',
		head: "import { test } from 'node:test';",
		tail: '',
		// Without `--test`: a process that is itself run by a test runner would not run another.
		run: (file) => ['--test-reporter=tap', file],
		passed: /^# pass 4$/m,
	},
];
// vitest is no dependency of ours: a folder in which it is installed can be named.
const vitest = process.env.CHOIR_VITEST;
if (vitest !== undefined)
	runners.push({
		name: 'vitest',
		head: "import { test } from 'vitest';",
		tail: '',
		run: (file) => [path.join(vitest, 'node_modules/vitest/vitest.mjs'), 'run', path.basename(file), '--reporter=verbose'],
		passed: /Tests +4 passed/,
	});

for (const { name, head, tail, run, passed } of runners) {
	test(`under ${name}`, () => {
		const dir = fs.mkdtempSync(path.join(vitest === undefined || name !== 'vitest' ? os.tmpdir() : vitest, 'choir-runners-'));
		try {
			fs.mkdirSync(path.join(dir, 'node_modules'));
			fs.symlinkSync(root, path.join(dir, 'node_modules/choir'));
			if (name === 'uvu') fs.symlinkSync(uvu, path.join(dir, 'node_modules/uvu'));
			fs.writeFileSync(path.join(dir, 'package.json'), '{ "type": "module" }');
			const outcome = (body: string) => {
				const file = path.join(dir, 'shop.test.js');
				fs.writeFileSync(file, `${head}\n${body}\n${tail}\n`);
				const env = { PATH: process.env.PATH, HOME: dir, NO_COLOR: '1', CI: '1' };
				const { status, stdout, stderr } = spawnSync(process.execPath, run(file), { cwd: dir, env, encoding: 'utf8', timeout: LIMIT_MS });
				return { status, said: stdout + stderr };
			};
			const good = outcome(tests);
			assert.is(good.status, 0, good.said);
			assert.match(good.said, passed);
			const bad = outcome(tests + failing);
			assert.is(bad.status, 1, bad.said);
			assert.match(bad.said, /is ready: after process\.spawned it is in starting\.warming, not in running\.healthy/);
		} finally {
			fs.rmSync(dir, { recursive: true, force: true });
		}
	});
}

test.run();
