/** A new choir takes a running tree over: nobody who uses the tree notices, and if it fails nothing has happened. */
import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'uvu';
import { request } from '../src/control/client.ts';
import { socketPath } from '../src/home.ts';
import { underLoad } from './support/load.ts';
import { nodes } from './support/nodes.ts';
import { assertCounted, freePort, identify, isAlive, type RealTree, signal, withTree } from './support/real.ts';

const server = `
	import http from 'node:http';
	import { listener, ready } from 'choir/worker';
	http.createServer((_, res) => res.end(String(process.pid))).listen(listener('http'), ready);
`;
const spec = (port: number, options = '') => `
	import { command, node, tree } from 'choir';
	export default tree('t', { ${options} children: [
		node('web', { module: './web.ts', instances: 2, listen: { http: '127.0.0.1:${port}' } }),
		command('lines', { run: ['sh', '-c', 'n=0; while :; do n=$((n+1)); echo $n; sleep 0.01; done'] }),
		command('three', { run: ['sh', '-c', 'trap "exit 3" USR1; while :; do sleep 0.02; done'], restart: { backoff: 0 } }),
	] });
`;
const paths = ['web.1', 'web.2', 'lines', 'three'];
const pidsOf = (tree: RealTree, of = paths) => Promise.all(of.map(async (each) => (await tree.child(each)).pid));

/** The tree runs under another angel and another master than before. */
const successor = (tree: RealTree, before: Awaited<ReturnType<RealTree['status']>>) =>
	tree.until('another angel and another master run the tree', async () => {
		const { state, angel, master } = await tree.status();
		return state === 'running' && angel.pid !== before.angel.pid && master.pid !== before.master.pid;
	});

for (const [version, node] of nodes())
	test(`twice under load: no request fails, every worker stays, and what follows works (Node ${version})`, async () => {
		const port = await freePort();
		await withTree(
			{ 'tree.ts': spec(port), 'web.ts': server },
			async (tree) => {
				assert.equal((await tree.start()).code, 0);
				const before = await tree.status();
				const first = identify(before.angel.pid);
				const pids = await pidsOf(tree);
				const { answered } = await underLoad(port, async () => {
					const told = await tree.cli('upgrade');
					assert.deepEqual([told.code, told.stderr], [0, '']);
					const between = await tree.status();
					const second = JSON.parse((await tree.cli('upgrade', 't', '--json')).stdout);
					assert.deepEqual([second.result, second.from, second.lines], ['done', between.angel.pid, []]);
					const after = await tree.status();
					assert.equal(after.angel.pid, second.pid);
					assert.equal(new Set([before, between, after].flatMap(({ angel, master }) => [angel.pid, master.pid])).size, 6);
					assert.deepEqual(await pidsOf(tree), pids);
					// How one ends its parent sees, two angels back.
					signal(pids[3] as number, 'SIGUSR1');
					const { lastExit } = await tree.incarnation('three', 2);
					assert.deepEqual([lastExit?.reason, lastExit?.code], ['crash', 3]);
					assert.equal((await tree.cli('restart', 'web')).code, 0);
					assert.match((await tree.cli('reload', '--wait')).stdout, /nothing has changed/);
					assert.equal((await tree.cli('wait', '--for', 'running')).code, 0);
				});
				assert.ok(answered > 100, `only ${answered} requests`);
				assertCounted(tree.output('lines'));
				assert.ok(isAlive(first));
				assert.equal((await tree.cli('restart', 'lines')).code, 0);
				await tree.until('the first angel goes when none of its children is left', () => !isAlive(first));
			},
			{ node },
		);
	});

/** What is no choir, by when it fails. */
const broken = {
	'throws.mjs': 'throw new Error("broken");',
	'waits.mjs': 'setInterval(() => {}, 1000);',
	// It speaks as a successor does, and ends when it has been given everything.
	'ends.mjs': `
		import net from 'node:net';
		const link = new net.Socket({ fd: 3 });
		link.on('data', (text) => (String(text).includes('"go"') ? process.exit(3) : link.write('{"do":"prepared"}\\n')));
	`,
};

const upgradeTo = (tree: RealTree, main: string) =>
	request(
		socketPath(tree.dir, 'angel.sock'),
		'upgrade',
		{ main: path.join(tree.folder, main), execPath: process.execPath },
		{ timeoutMs: 0 },
	);

test('a successor that fails, at whatever step, is taken back: nothing has happened', async () => {
	const port = await freePort();
	await withTree({ 'tree.ts': spec(port, "upgradeTimeout: '5s',"), 'web.ts': server, ...broken }, async (tree) => {
		assert.equal((await tree.start()).code, 0);
		const before = await tree.status();
		const pids = await pidsOf(tree);
		await underLoad(port, async () => {
			const upgrade = (main: string) => upgradeTo(tree, main);
			assert.deepEqual(await upgrade('throws.mjs'), { ok: false, lines: ['the new angel ended before the tree ran under it'] });
			assert.deepEqual(await upgrade('waits.mjs'), { ok: false, lines: ['the new angel was not ready within 5000 ms'] });
			const same = await tree.status();
			assert.deepEqual([same.angel.pid, same.master.pid], [before.angel.pid, before.master.pid]);
			assert.deepEqual(await upgrade('ends.mjs'), { ok: false, lines: ['the new angel ended before the tree ran under it'] });
			await tree.until('another master runs the tree', async () => {
				const { state, angel, master } = await tree.status();
				return state === 'running' && angel.pid === before.angel.pid && master.pid !== before.master.pid;
			});
			assert.deepEqual(await pidsOf(tree), pids);
			signal(pids[3] as number, 'SIGUSR1');
			assert.equal((await tree.incarnation('three', 2)).lastExit?.code, 3);
		});
	});
});

test('one that is too slow is taken back: exit code 1, and why', async () => {
	const port = await freePort();
	await withTree({ 'tree.ts': spec(port, 'upgradeTimeout: 20,'), 'web.ts': server }, async (tree) => {
		assert.equal((await tree.start()).code, 0);
		const pids = await pidsOf(tree);
		const { code, stderr } = await tree.cli('upgrade');
		assert.equal(code, 1);
		assert.match(stderr, /^t was not upgraded, and runs as before \(angel \d+\): the new angel was not ready within 20 ms\n$/);
		assert.deepEqual(await pidsOf(tree), pids);
	});
});

test('in the foreground, by USR2: the process that was started stays, prints, hands signals on, and ends with the tree', async () => {
	const port = await freePort();
	await withTree({ 'tree.ts': spec(port), 'web.ts': server }, async (tree) => {
		const run = await tree.up();
		const before = await tree.status();
		assert.equal(before.angel.pid, run.pid);
		signal(run.pid, 'SIGUSR2');
		await successor(tree, before);
		// Who has the live page open has it open.
		const addresses = () => new Set(tree.events().flatMap(({ event, message }) => (event === 'view.open' ? [message] : [])));
		await tree.until('the page is there again', () => tree.events().filter(({ event }) => event === 'view.open').length === 2);
		assert.equal(addresses().size, 1);
		assert.equal((await tree.cli('restart', 'web.1')).code, 0);
		await tree.until('it prints', () => /"incarnation":2.*"msg":"web\.1 is running"/.test(run.stdout()));
		signal(run.pid, 'SIGTERM');
		const { code, stderr } = await tree.ended(run);
		assert.deepEqual([code, stderr], [0, '']);
		assert.deepEqual(tree.strays(), []);
	});
});

test('a stop in the middle of an upgrade stops everything', async () => {
	const port = await freePort();
	for (const event of ['upgrade.asked', 'master.released'])
		await withTree({ 'tree.ts': spec(port), 'web.ts': server }, async (tree) => {
			const run = await tree.up();
			signal(run.pid, 'SIGUSR2');
			await tree.until('it has begun', () => tree.events().some((each) => each.event === event));
			signal(run.pid, 'SIGTERM');
			assert.equal((await tree.ended(run)).code, 0);
			assert.deepEqual(tree.strays(), []);
		});
});

test('a successor that is killed later is an angel that is killed: its front goes, the workers stay, the next run has them', async () => {
	const port = await freePort();
	await withTree({ 'tree.ts': spec(port), 'web.ts': server, ...broken }, async (tree) => {
		assert.equal((await tree.start()).code, 0);
		const front = identify((await tree.status()).angel.pid);
		const pids = await pidsOf(tree);
		// One that failed is in nobody's way.
		assert.match(JSON.stringify(await upgradeTo(tree, 'ends.mjs')), /ended before/);
		await tree.until('its master is there again', async () => (await tree.status()).master.state === 'running');
		assert.equal((await tree.cli('upgrade')).code, 0);
		const { angel, master } = await tree.status();
		assert.ok(isAlive(front));
		signal(angel.pid as number, 'SIGKILL');
		await tree.until('front and master are gone', () => !isAlive(front) && !tree.strays().some(({ pid }) => pid === master.pid));
		assert.equal((await tree.start()).code, 0);
		assert.deepEqual(await pidsOf(tree), pids);
		assert.equal((await tree.cli('restart', 'web')).code, 0);
	});
});

test.run();
