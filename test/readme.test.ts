/** What the README shows is true: its tree is right, its test runs, and its limits are those of the code. */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { BOOT_MS, CHECK_MS, CLEAR_MS } from '../machines/angel.ts';
import { defaults } from '../machines/spec.ts';
import { ACKNOWLEDGE_MS, KILL_AGAIN_MS, KILLS, STUCK_AGAIN_MS } from '../machines/worker.ts';

const root = path.join(import.meta.dirname, '..');
const readme = fs.readFileSync(path.join(root, 'README.md'), 'utf8');
const LIMIT_MS = 60_000;

/** The block of code that begins so. */
function block(language: string, begins: string): string {
	const found = [...readme.matchAll(/```(\w+)\n([\s\S]*?)```/g)].find(([, kind, text]) => kind === language && text?.startsWith(begins));
	assert.ok(found, `there is a block that begins with ${begins}`);
	return found?.[2] as string;
}

/** A project of somebody who has installed choir. */
function inProject(files: Record<string, string>, look: (run: (file: string, ...args: string[]) => string) => void): void {
	const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'choir-readme-'));
	try {
		fs.mkdirSync(path.join(dir, 'node_modules'));
		fs.symlinkSync(root, path.join(dir, 'node_modules/choir'));
		fs.symlinkSync(path.join(root, 'node_modules/xstate'), path.join(dir, 'node_modules/xstate'));
		for (const [name, text] of Object.entries({ 'package.json': '{ "type": "module" }', ...files }))
			fs.writeFileSync(path.join(dir, name), text);
		look((file, ...args) => {
			const env = { PATH: process.env.PATH, HOME: dir, CHOIR_HOME: path.join(dir, 'home') };
			const { status, stdout, stderr } = spawnSync(process.execPath, [file, ...args], {
				cwd: dir,
				env,
				encoding: 'utf8',
				timeout: LIMIT_MS,
			});
			assert.is(status, 0, stdout + stderr);
			return stdout;
		});
	} finally {
		fs.rmSync(dir, { recursive: true, force: true });
	}
}

test('the tree that it shows is right', () =>
	inProject({ 'tree.ts': block('ts', '// tree.ts'), 'web.ts': block('ts', '// web.ts'), 'sweep.ts': block('ts', '// sweep.ts') }, (run) =>
		assert.match(run(path.join(root, 'bin/choir.js'), 'check', 'tree.ts'), /^shop +tree/),
	));

test('the tree with a thread that it shows is right', () =>
	inProject(
		{ 'tree.ts': block('ts', '// tree.ts with a thread'), 'web.ts': block('ts', '// web.ts'), 'hash.ts': block('ts', '// hash.ts') },
		(run) => assert.match(run(path.join(root, 'bin/choir.js'), 'check', 'tree.ts'), /hasher +thread, hash\.ts/),
	));

test('the test of a transition that it shows passes', () =>
	inProject({ 'worker.test.js': block('js', 'import assert') }, (run) => {
		// Without `--test`: a process that is itself run by a test runner would not run another.
		assert.match(run('--test-reporter=tap', 'worker.test.js'), /^# pass 1$/m);
	}));

test('the tree that it shows as a library runs', () =>
	inProject({ 'bank.js': block('js', 'import { actor') }, (run) => assert.is(run('bank.js'), '10\n0\n')));

const time = (ms: number) => (ms === 0 ? '0' : ms < 1_000 ? `${ms} ms` : `${ms / 1_000} s`);
const window = ({ restarts, withinMs }: { restarts: number; withinMs: number }) => `${restarts} within ${time(withinMs)}`;
const backoff = ({ fromMs, toMs, resetAfterMs }: { fromMs: number; toMs: number; resetAfterMs: number }) =>
	`${time(fromMs)} to ${time(toMs)}, reset after ${time(resetAfterMs)}`;

const limits: Array<[string, string]> = [
	['until ready', time(defaults.readyTimeoutMs)],
	['between two tries of a readiness probe', time(defaults.readyEveryMs)],
	['between two heartbeats of a Node child or a thread', time(defaults.heartbeat.everyMs)],
	['without a heartbeat, until hung', time(defaults.heartbeat.timeoutMs)],
	['between two liveness probes', time(defaults.live.everyMs)],
	['one liveness probe', time(defaults.live.timeoutMs)],
	['failed probes until hung', String(defaults.live.failures)],
	['drain of a node child', time(defaults.stopNode.drainMs)],
	['from SIGTERM to SIGKILL of a node child', time(defaults.stopNode.terminateMs)],
	['drain of a command', time(defaults.stopCommand.drainMs)],
	['from SIGTERM to SIGKILL of a command', time(defaults.stopCommand.terminateMs)],
	['drain of a thread or an actor', time(defaults.stopInner.drainMs)],
	['acknowledging a drain request', time(ACKNOWLEDGE_MS)],
	['between two SIGKILLs', time(KILL_AGAIN_MS)],
	['SIGKILLs until stuck', String(KILLS)],
	['between two SIGKILLs of a stuck process', time(STUCK_AGAIN_MS)],
	['restarts of a supervisor', window(defaults.intensity)],
	['backoff of a child', backoff(defaults.backoff)],
	['new workers of a reload watched', time(defaults.reload.soakMs)],
	['size of an output file until it is rotated', `${defaults.logs.rotateBytes / 2 ** 20} MiB`],
	['rotated output files kept', String(defaults.logs.keep)],
	['stop of the whole tree by TERM or `choir stop`', time(defaults.stopTimeoutMs)],
	['upgrade, until all is taken back', time(defaults.upgradeTimeoutMs)],
	['between two heartbeats of the master', time(defaults.master.heartbeat.everyMs)],
	['without a heartbeat, until the master is killed', time(defaults.master.heartbeat.timeoutMs)],
	['restarts of the master', window(defaults.master.intensity)],
	['backoff of the master', backoff(defaults.master.backoff)],
	['boot of the master, until its first word', time(BOOT_MS)],
	['what a dead angel left, from SIGTERM to SIGKILL', time(CLEAR_MS)],
	['trying the spec', time(CHECK_MS)],
	['operations that wait; ended ones that are remembered', `${defaults.operations.waiting}, ${defaults.operations.kept}`],
	[
		'steps kept for the live page, of each child and in all',
		`${defaults.view.history.perChild}, ${String(defaults.view.history.inAll).replace(/000$/, ' 000')}`,
	],
];

test('its limits are those of the code, all of them', () => {
	const table = readme.slice(readme.indexOf('| limit | default | key |')).split('\n\n')[0] as string;
	const rows = table.split('\n').slice(2);
	assert.equal(
		rows.map((row) => row.split(' | ').slice(0, 2).join(' | ')),
		limits.map(([name, value]) => `| ${name} | ${value}`),
	);
});

test('what it links to is there', () => {
	for (const [, link] of readme.matchAll(/\]\((?!https?:)([^)#]+)\)/g)) assert.ok(fs.existsSync(path.join(root, link as string)), link);
});

test.run();
