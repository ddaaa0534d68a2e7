/** Threads in real trees, beside processes: whatever becomes of one, its siblings and its master go on. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { test } from 'uvu';
import { type Child, type RealTree, signal, withTree } from './support/real.ts';

/** Does what it is told by a file of its path: once, so that its next incarnation lives. */
const hash = `
import { existsSync, rmSync } from 'node:fs';
import { workerData } from 'node:worker_threads';
import { onDrain, ready, status, worker } from 'choir/worker';
const kept: unknown[] = [];
const does: Record<string, () => void> = {
	throw: () => { throw new Error('told to'); },
	exit: () => process.exit(3),
	fill: () => { for (;;) kept.push({ some: [1, 2, 3], more: String(kept.length) }); },
	block: () => { for (;;); },
};
setInterval(() => {
	for (const [what, act] of Object.entries(does)) {
		const order = worker?.path + '.' + what;
		if (!existsSync(order)) continue;
		rmSync(order);
		console.log('told to ' + what);
		act();
	}
}, 10);
onDrain(() => {
	console.log('drained');
	if (workerData !== 'stays') process.exit();
	return new Promise(() => {});
});
console.log('hello');
status('hashing');
ready();
`;
const beside = 'setInterval(() => {}, 1_000);';

const spec = (children: string) => ({
	'hash.ts': hash,
	'beside.ts': beside,
	'tree.ts': `
import { node, supervisor, thread, tree } from 'choir';
export default tree('t', { intensity: { restarts: 20, within: '1m' }, children: [
	node('before', { module: './beside.ts' }),
	supervisor('jobs', { children: [${children}] }),
	thread('after', { module: './beside.ts', heartbeat: { every: '100ms', timeout: '2s' } }),
] });
`,
});
const LIMIT_MS = 1_000;
const hasher = (more = '', timeoutMs = LIMIT_MS) =>
	`thread('hasher', { module: './hash.ts', ready: 'signal', heartbeat: { every: '100ms', timeout: ${timeoutMs} }, ${more} })`;
const HASHER = 'jobs/hasher';

/** What must not change when another child dies. */
async function others(tree: RealTree): Promise<unknown> {
	const { master } = await tree.status();
	const identity = ({ pid, incarnation, state, substate }: Child) => ({ pid, incarnation, state, substate });
	return { master, before: identity(await tree.child('before')), after: identity(await tree.child('after')) };
}

const deaths: Array<[what: string, exit: { reason: string; code: number | null; detail?: string }]> = [
	['throw', { reason: 'crash', code: 1, detail: 'uncaught: Error: told to' }],
	['exit', { reason: 'crash', code: 3 }],
	['fill', { reason: 'crash', code: null, detail: 'out of memory: its heap reached its limit of 16 MiB' }],
	['block', { reason: 'hung', code: null, detail: `no heartbeat for ${LIMIT_MS} ms` }],
];

test('a thread that throws, exits, runs out of memory or blocks is replaced, and nobody else is touched', () =>
	withTree(spec(hasher('resourceLimits: { maxOldGenerationSizeMb: 16 }')), async (tree) => {
		await tree.up();
		const untouched = await others(tree);
		for (const [n, [what, expected]] of deaths.entries()) {
			tree.write(`${HASHER}.${what}`, '');
			const { lastExit } = await tree.incarnation(HASHER, n + 2);
			const { reason, code, detail } = lastExit as { reason: string; code: number | null; detail?: string };
			assert.deepEqual({ reason, code, ...(detail === undefined ? {} : { detail }) }, expected);
			assert.deepEqual(await others(tree), untouched);
		}
		const said = tree.events().filter((event) => event.path === HASHER);
		const last = said.slice(-6).map(({ event }) => event.slice('child.'.length));
		assert.deepEqual(last, ['suspect', 'draining', 'dead', 'restart', 'starting', 'running']);
		const printed = tree.output(HASHER).split('\n');
		for (const line of ['told to throw', 'Uncaught Error: told to', 'told to exit', 'told to fill', 'told to block'])
			assert.equal(printed.filter((text) => text === line).length, 1, line);
		assert.equal(printed.filter((text) => text === 'hello').length, deaths.length + 1);
		assert.match(tree.output(HASHER), /at .*hash\.ts:7:/);
	}));

test('status shows what a thread is and uses, and says; logs shows what it printed', () =>
	// Nobody finds it hung: how soon it gets its share of a processor is the machine's to say.
	withTree(spec(hasher(`stop: { drain: '200ms' }`, 60_000)), async (tree) => {
		await tree.up();
		const { master } = await tree.status();
		const { kind, pid, memoryBytes, says, ...rest } = (await tree.until('it has said how much it holds', async () => {
			const child = await tree.child(HASHER);
			return child.memoryBytes && child;
		})) as Child & { says: string };
		assert.deepEqual({ kind, pid, says }, { kind: 'thread', pid: master.pid, says: 'hashing' });
		assert.ok((memoryBytes as number) > 1e6 && (memoryBytes as number) < 40e6, `${memoryBytes} bytes`);
		assert.ok((rest.cpuPercent as number) >= 0 && (rest.cpuPercent as number) < 50, `${rest.cpuPercent} %`);
		tree.write(`${HASHER}.block`, '');
		await tree.until('it uses a whole processor', async () => {
			const { cpuPercent, incarnation } = await tree.child(HASHER);
			assert.equal(incarnation, 1);
			return (cpuPercent as number) > 50;
		});
		const { stdout, code } = await tree.cli('logs', HASHER);
		assert.deepEqual({ stdout, code }, { stdout: 'hello\ntold to block\n', code: 0 });
	}));

test('choir restart drains a thread and starts it again', () =>
	withTree(spec(hasher()), async (tree) => {
		await tree.up();
		const untouched = await others(tree);
		const { code, stderr } = await tree.cli('restart', HASHER);
		assert.deepEqual({ code, stderr }, { code: 0, stderr: '' });
		const { incarnation, lastExit, restarts } = await tree.child(HASHER);
		assert.deepEqual([incarnation, lastExit?.reason, restarts], [2, 'shutdown', 0]);
		assert.equal(tree.output(HASHER), 'hello\ndrained\nhello\n');
		assert.deepEqual(await others(tree), untouched);
	}));

test('a stop kills a thread that does not finish its drain, and one that is blocked, each within its limit', () =>
	withTree(
		spec(`${hasher(`input: 'stays', stop: { drain: '400ms' }`)}, thread('busy', { module: './busy.ts', stop: { drain: '300ms' } })`),
		async (tree) => {
			tree.write('busy.ts', "setTimeout(() => { console.log('busy'); for (;;); }, 20);");
			const command = await tree.up();
			await tree.until('one is busy', () => tree.output('jobs/busy') === 'busy\n');
			const started = performance.now();
			signal(command.pid, 'SIGTERM');
			const { code } = await tree.ended(command);
			assert.equal(code, 0);
			assert.ok(performance.now() - started < 5_000, `${performance.now() - started} ms`);
			assert.equal(tree.output(HASHER), 'hello\ndrained\n');
			const ends = tree.events().filter(({ event }) => event === 'child.dead');
			const killed = ends.filter(({ message }) => / was killed$/.test(message)).map(({ path: of }) => of);
			assert.deepEqual(killed, ['jobs/busy', HASHER]);
		},
	));

test('a thread whose module cannot be loaded is an error of the first start, in a sentence', () =>
	withTree(spec("thread('broken', { module: './broken.ts' })"), async (tree) => {
		tree.write('broken.ts', "import { nothing } from 'node:fs';\nconsole.log(nothing);\n");
		const { code, stderr } = await tree.ended(tree.run());
		assert.equal(code, 1);
		assert.match(stderr, /jobs\/broken did not start \(\.\/broken\.ts cannot be loaded: .*'nothing'/);
		assert.doesNotMatch(stderr, /\n\s+at /);
	}));

test('a thread whose module is not there is an error of the spec', () =>
	withTree(spec("thread('broken', { module: './nowhere.ts' })"), async (tree) => {
		const { code, stderr } = await tree.cli('check', 'tree.ts');
		assert.equal(code, 78);
		assert.match(stderr, /t\.children\[1\]\.children\[0\]\.module: expected a module that exists \(looked in .*\), got '\.\/nowhere\.ts'/);
	}));

test('start(tree) has threads as well', () =>
	withTree({ 'hash.ts': hash }, async (tree) => {
		const choir = pathToFileURL(path.join(import.meta.dirname, '../dist/src/index.js')).href;
		const main = tree.write(
			'main.mjs',
			`
import { start, thread, tree } from '${choir}';
const running = await start(tree('t', { children: [thread('hasher', { module: './hash.ts', ready: 'signal' })] }));
const [{ kind, state, says }] = running.status().children;
await running.stop();
console.log(JSON.stringify({ kind, state, says }));
`,
		);
		const env = { ...process.env, CHOIR_HOME: tree.home };
		const { stdout, stderr, status } = spawnSync(process.execPath, [main], { cwd: tree.folder, env, encoding: 'utf8', timeout: 20_000 });
		assert.deepEqual(
			{ stdout, stderr, status },
			{ stdout: '{"kind":"thread","state":"running","says":"hashing"}\n', stderr: '', status: 0 },
		);
		assert.equal(fs.readFileSync(path.join(tree.dir, 'logs/hasher.log'), 'utf8'), 'hello\ndrained\n');
	}));

test.run();
