/** Operations on real trees: masters that die in the middle of them, connections that wait for a paused child, signals. */
import assert from 'node:assert/strict';
import { test } from 'uvu';
import { operationsText } from '../src/cli/operations.ts';
import type { OperationStatus } from '../src/master/operator.ts';
import { asked, assertNothingElse, atEachLine, dying, mortal } from './support/killing.ts';
import { pidBehind } from './support/load.ts';
import { freePort, type RealTree, signal, withTree } from './support/real.ts';

const sleepers = (instances: number) => `
	import { command, tree } from 'choir';
	export default tree('t', { ${mortal} children: [
		command('w', { run: ['sleep', '1000'], instances: ${instances} }),
		command('other', { run: ['sleep', '1000'] }),
	] });
`;
const operations = async (tree: RealTree) =>
	JSON.parse((await tree.cli('operations', '--json')).stdout) as {
		waiting: OperationStatus[];
		current: OperationStatus | null;
		ended: OperationStatus[];
	};
const incarnations = async (tree: RealTree) =>
	new Map((await tree.status()).children.map(({ path, incarnation }) => [path, incarnation as number]));

test('a master that is killed after any line of a scale or of a restart: each goes on, and the one who asked is told', async () => {
	const scaled = withTree({ 'tree.ts': sleepers(1) }, async (tree) => {
		const run = tree.launch(['run', 'tree.ts'], dying(tree));
		await tree.running();
		for (const [count, what] of [
			[3, 'scaled from 1 to 3'],
			[1, 'scaled from 3 to 1'],
		] as const) {
			const lines = await atEachLine(tree, async (line) => {
				const { code, stdout, stderr } = await tree.cli('scale', 'w', String(count));
				assert.equal(code, 0, `line ${line}: ${stderr}`);
				assert.ok(stdout.startsWith(`w ${what}`), `line ${line}: ${stdout}`);
				const paths = [...(await incarnations(tree)).keys()];
				assert.deepEqual(paths, [...['w.1', 'w.2', 'w.3'].slice(0, count), 'other'], `line ${line}`);
				await assertNothingElse(tree, run.pid);
				// Back, by a master that nobody kills.
				if (tree.read('die') === '') await asked(tree, 'scale', { path: 'w', count: 4 - count });
			});
			assert.ok(lines > 6, `only ${lines} lines`);
			await asked(tree, 'scale', { path: 'w', count });
		}
	});
	const restarted = withTree({ 'tree.ts': sleepers(2) }, async (tree) => {
		const run = tree.launch(['run', 'tree.ts'], dying(tree));
		await tree.running();
		const lines = await atEachLine(tree, async (line) => {
			const before = await incarnations(tree);
			const { code, stdout, stderr } = await tree.cli('restart', 'w');
			assert.equal(code, 0, `line ${line}: ${stderr}`);
			assert.match(stdout, /^w\.1 restarted: .*\nw\.2 restarted: .*\n$/, `line ${line}`);
			const after = await incarnations(tree);
			for (const [path, times] of [
				['w.1', 1],
				['w.2', 1],
				['other', 0],
			] as const)
				assert.equal(after.get(path), (before.get(path) as number) + times, `line ${line}: ${path}`);
			await assertNothingElse(tree, run.pid);
		});
		assert.ok(lines > 8, `only ${lines} lines`);
		const { ended, current, waiting } = await operations(tree);
		assert.deepEqual([current, waiting], [null, []]);
		assert.equal(ended.length, lines + 1);
		assert.ok(ended.every(({ kind, end }) => kind === 'restart' && end?.ok));
	});
	await Promise.all([scaled, restarted]);
});

const server = `
	import http from 'node:http';
	import { listener, ready } from 'choir/worker';
	http.createServer((_, res) => res.setHeader('connection', 'close').end(String(process.pid))).listen(listener('http'), ready);
`;
test('connections to a paused child wait, and are served when it is resumed; a killed master and a reload keep the pause', async () => {
	const port = await freePort();
	const spec = (log: string) => `
		import { command, node, supervisor, tree } from 'choir';
		export default tree('t', { ${mortal} children: [
			node('web', { module: './web.ts', instances: 2, listen: { http: '127.0.0.1:${port}' }, env: { LOG: '${log}' } }),
			supervisor('jobs', { children: [command('a', { run: ['sleep', '1000'] })] }),
		] });
	`;
	await withTree({ 'tree.ts': spec('1'), 'web.ts': server }, async (tree) => {
		await tree.up();
		let over = false;
		const served: number[] = [];
		const askers = Array.from({ length: 4 }, async () => {
			while (!over) served.push(await pidBehind(port));
		});
		await tree.until('they are served', () => served.length > 20);
		const paused = await tree.cli('pause', 'web');
		assert.match(paused.stdout, /^paused web\.2, web\.1 in \d+ ?m?s\n$/);
		const before = served.length;
		const waiting = Array.from({ length: 20 }, () => pidBehind(port));
		const { children, state } = await tree.status();
		assert.equal(state, 'running');
		assert.deepEqual(
			children.map(({ path, state: at, paused: is, pid }) => [path, at, is, pid === null]),
			[
				['web.1', 'dead', true, true],
				['web.2', 'dead', true, true],
				['jobs', 'running', false, true],
			],
		);
		assert.match((await tree.cli('status')).stdout, /web\.1 +dead \(paused\)/);
		assert.equal((await tree.cli('wait', '--for', 'running', '--timeout', '2s')).code, 0);
		const again = await tree.cli('pause', 'web');
		assert.deepEqual([again.code, again.stdout], [0, 'nothing ran of web\n']);
		const { master } = await tree.status();
		signal(master.pid as number, 'SIGKILL');
		await tree.until('the next master is there', async () => (await tree.status()).master.incarnation === 2);
		tree.write('tree.ts', spec('2'));
		assert.equal((await tree.cli('reload', '--wait')).code, 0);
		for (const refused of [await tree.cli('restart', 'web.1'), await tree.cli('scale', 'web', '3')]) {
			assert.equal(refused.code, 1);
			assert.match(refused.stderr, /is paused: resume it first/);
		}
		assert.equal(served.length, before, 'nobody is there to serve');
		assert.equal((await tree.child('web.1')).incarnation, 1);
		assert.match((await tree.cli('resume')).stdout, /^resumed web\.1, web\.2 in/);
		assert.equal((await Promise.all(waiting)).length, 20);
		over = true;
		await Promise.all(askers);
		assert.equal((await tree.child('web.1')).incarnation, 2);
	});
});

test('signals ask for operations: a pause, one instance more, one fewer', async () => {
	await withTree({ 'tree.ts': sleepers(2) }, async (tree) => {
		const { pid } = await tree.up();
		const { master } = await tree.status();
		const ended = (count: number) =>
			tree.until(`${count} operations have ended`, async () => {
				const { ended: all } = await operations(tree);
				return all.length === count && all;
			});
		signal(pid, 'SIGTTIN');
		await ended(1);
		signal(master.pid as number, 'SIGTTOU');
		await ended(2);
		signal(pid, 'SIGWINCH');
		await ended(3);
		// What is paused is not scaled.
		signal(pid, 'SIGTTIN');
		await tree.until('that is noted', () =>
			tree.events().some(({ event, message }) => event === 'signal.ignored' && /SIGTTIN/.test(message)),
		);
		assert.match((await tree.cli('resume')).stdout, /^resumed w\.1, w\.2, other in/);
		const all = await ended(4);
		assert.deepEqual(
			all.map(({ kind, target, argument, by, end }) => [kind, target, argument, by, end?.message]),
			[
				['scale', 'w', '+1', 'SIGTTIN', 'w has 3 instances, after 2'],
				['scale', 'w', '-1', 'SIGTTOU', 'w has 2 instances, after 3'],
				['pause', '', null, 'SIGWINCH', 'paused other, w.2, w.1'],
				['resume', '', null, 'cli', 'resumed w.1, w.2, other'],
			],
		);
		const text = operationsText({ ended: all, current: null, waiting: [] }, Date.now());
		assert.match(text, /^#1 {2}scale w \+1 {2}done: w has 3 instances, after 2 \(by SIGTTIN, \d+m?s ago\)\n/);
		const journal = await tree.cli('journal', '-n', '500');
		assert.match(journal.stdout, /operation:\S+ {2}#1 scale w \+1: act; start w\.3 asked\n/);
	});
});

test.run();
