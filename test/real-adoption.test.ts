/** A master that is killed: its workers go on serving, and the next one has them all. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { test } from 'uvu';
import { flatten } from '../src/cli/facts.ts';
import { journalFile } from '../src/journal/journal.ts';
import { load } from './support/load.ts';
import { assertCounted, freePort, type RealTree, signal, withTree } from './support/real.ts';

const server = `
	import http from 'node:http';
	import { listener, ready } from 'choir/worker';
	http.createServer((_, res) => res.end(String(process.pid))).listen(listener('http'), ready);
`;

const spec = (port: number) => `
	import { command, node, supervisor, tree } from 'choir';
	export default tree('t', {
		intensity: { restarts: 5, within: '1m' },
		master: { intensity: { restarts: 100, within: '1m' }, backoff: { from: '20ms', to: '20ms' } },
		children: [
			node('web', { module: './web.ts', instances: 2, listen: { http: '127.0.0.1:${port}' } }),
			supervisor('jobs', { children: [command('sleeper', { run: ['sleep', '1000'], restart: { backoff: 0 } })] }),
			command('lines', { run: ['sh', '-c', 'n=0; while :; do n=$((n+1)); echo $n; sleep 0.01; done'] }),
		],
	});
`;

const paths = ['web.1', 'web.2', 'jobs/sleeper', 'lines'];
const pidsOf = (tree: RealTree) => Promise.all(paths.map(async (path) => (await tree.child(path)).pid));

/** Kills the master, and waits until the next one runs the tree. */
async function killMaster(tree: RealTree): Promise<void> {
	const { master } = await tree.status();
	signal(master.pid as number, 'SIGKILL');
	await tree.until('the next master runs the tree', async () => {
		const status = await tree.status().catch(() => null);
		return status !== null && status.master.pid !== master.pid && status.master.pid !== null && status.state === 'running';
	});
}

test('twenty masters killed under constant load: no request fails, every pid stays, no line of output is lost or torn', async () => {
	const port = await freePort();
	await withTree({ 'tree.ts': spec(port), 'web.ts': server }, async (tree) => {
		await tree.up();
		signal((await tree.child('jobs/sleeper')).pid, 'SIGKILL');
		await tree.incarnation('jobs/sleeper', 2);
		const pids = await pidsOf(tree);
		const { stop } = load(port, { perSecond: 200 });
		for (let n = 0; n < 20; n++) await killMaster(tree);
		const { answered, failed } = await stop();
		assert.deepEqual(failed, []);
		assert.ok(answered > 400, `only ${answered} requests`);
		assert.deepEqual(await pidsOf(tree), pids);
		const { incarnation, restarts, lastExit } = await tree.child('jobs/sleeper');
		assert.deepEqual({ incarnation, restarts, reason: lastExit?.reason }, { incarnation: 2, restarts: 1, reason: 'killed' });
		assert.equal((await tree.status()).master.incarnation, 21);
		assertCounted(tree.output('lines'));
	});
});

test('who dies while there is no master is restarted by the next one, with the way it really ended', async () => {
	const port = await freePort();
	await withTree(
		{ 'tree.ts': spec(port).replace("backoff: { from: '20ms', to: '20ms' } }", "backoff: { from: '1s', to: '1s' } }"), 'web.ts': server },
		async (tree) => {
			await tree.up();
			const [web1, web2] = await pidsOf(tree);
			const { master } = await tree.status();
			signal(master.pid as number, 'SIGKILL');
			await tree.until('the angel notices', () => tree.events().some(({ event }) => event === 'master.died'));
			signal(web1 as number, 'SIGKILL');
			const after = await tree.incarnation('web.1', 2);
			assert.deepEqual([after.lastExit?.reason, after.lastExit?.signal, after.restarts], ['killed', 'SIGKILL', 1]);
			const other = await tree.child('web.2');
			assert.deepEqual([other.pid, other.incarnation], [web2, 1]);
		},
	);
});

test('restarts count on: a child that crashes before and after the death of a master exhausts its budget', async () => {
	const files = {
		'tree.ts': `import { command, tree } from 'choir';
			export default tree('t', { intensity: { restarts: 2, within: '1m' }, children: [
				command('a', { run: ['sleep', '1000'], restart: { backoff: 0 } }) ] });`,
	};
	await withTree(files, async (tree) => {
		const run = await tree.up();
		for (const incarnation of [2, 3]) {
			signal((await tree.child('a')).pid, 'SIGKILL');
			await tree.incarnation('a', incarnation);
		}
		await killMaster(tree);
		signal((await tree.child('a')).pid, 'SIGKILL');
		const { code, stderr } = await tree.ended(run);
		assert.equal(code, 70);
		assert.match(stderr, /2 restarts within/);
	});
});

test('without a journal that can be read, what lives is adopted all the same', async () => {
	const port = await freePort();
	await withTree({ 'tree.ts': spec(port), 'web.ts': server }, async (tree) => {
		await tree.up();
		const pids = await pidsOf(tree);
		const { master } = await tree.status();
		const shown = await tree.cli('journal', '-n', '1000');
		assert.match(shown.stdout, /child:web\.1 {2}\{.*"phase":"running"/);
		assert.equal(JSON.parse((await tree.cli('journal', '-n', '1', '--json')).stdout).set['child:lines'].phase, 'running');
		fs.writeFileSync(journalFile(tree.dir), 'garbage\n');
		assert.match((await tree.cli('journal')).stderr, /8 bytes at the end are damaged/);
		signal(master.pid as number, 'SIGKILL');
		await tree.until('the next master runs the tree', async () => {
			const status = await tree.status().catch(() => null);
			return status !== null && status.master.pid !== master.pid && status.master.pid !== null && status.state === 'running';
		});
		await tree.until('all run', async () => {
			const children = await Promise.all(paths.map((path) => tree.child(path)));
			return children.every(({ state }) => state === 'running');
		});
		assert.deepEqual(await pidsOf(tree), pids);
	});
});

test('what is adopted is up since it was ready, and what it has spent of the processor is spread over its life', async () => {
	const files = {
		'tree.ts': `import { node, supervisor, tree } from 'choir';
			export default tree('t', { children: [supervisor('s', { children: [node('busy', { module: './busy.ts' })] })] });`,
		'busy.ts': `import { ready } from 'choir/worker';
			while (process.cpuUsage().user < 1_500_000);
			ready();
			setInterval(() => {}, 1_000);`,
	};
	await withTree(files, async (tree) => {
		await tree.up();
		const isUp = async (path: string) => Date.parse((await tree.child(path)).since as string);
		const [supervisor, busy] = [await isUp('s'), await isUp('s/busy')];
		const { master } = await tree.status();
		signal(master.pid as number, 'SIGKILL');
		const percents: number[] = [];
		await tree.until('the next master runs the tree', async () => {
			const status = await tree.status().catch(() => null);
			if (status === null || status.master.pid === master.pid) return false;
			const cpu = flatten(status.children).find(({ path }) => path === 's/busy')?.cpuPercent;
			if (typeof cpu === 'number') percents.push(cpu);
			return status.state === 'running' && percents.length > 0;
		});
		assert.ok((percents[0] as number) > 5 && Math.max(...percents) < 150, `its first looks: ${percents.join(', ')} %`);
		// Two clocks are read one after the other each time.
		for (const [path, since] of [
			['s', supervisor],
			['s/busy', busy],
		] as const)
			assert.ok(Math.abs((await isUp(path)) - since) < 250, `${path}: ${await isUp(path)}, before ${since}`);
	});
});

test('scaled instances and a stop by request outlive the master', async () => {
	const port = await freePort();
	await withTree({ 'tree.ts': spec(port), 'web.ts': server }, async (tree) => {
		await tree.up();
		assert.equal((await tree.cli('scale', 'web', '3')).code, 0);
		const third = await tree.child('web.3');
		await killMaster(tree);
		assert.equal((await tree.child('web.3')).pid, third.pid);
		assert.equal((await tree.cli('scale', 'web', '1')).code, 0);
		await killMaster(tree);
		const { children } = await tree.running();
		assert.deepEqual(
			children.map(({ path }) => path),
			['web.1', 'jobs', 'lines'],
		);
	});
});

test.run();
