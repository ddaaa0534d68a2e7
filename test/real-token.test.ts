/** Real instances that take turns to accept on one socket: each has its turns, and no connection is lost with a holder that dies, hangs or goes. */
import assert from 'node:assert/strict';
import http from 'node:http';
import { test } from 'uvu';
import { get, load } from './support/load.ts';
import { nodes } from './support/nodes.ts';
import { freePort, type RealTree, signal, withTree } from './support/real.ts';

const spec = (port: number, options = '') => `
	import { node, tree } from 'choir';
	export default tree('t', {
		intensity: { restarts: 100, within: '1m' },
		master: { intensity: { restarts: 100, within: '1m' }, backoff: { from: '20ms', to: '20ms' } },
		children: [
			node('web', {
				module: './web.cjs', instances: 3, listen: { http: '127.0.0.1:${port}' }, env: { PORT: '${port}' },
				accept: { mode: 'token', quantum: '50ms' }, restart: { backoff: 0 }, stop: { drain: '2s' }, ${options}
			}),
		],
	});
`;
/** Knows nothing of choir. */
const server = `
	const http = require('http');
	http.createServer((_, response) => response.end(String(process.pid))).listen(Number(process.env.PORT), '127.0.0.1');
`;
const fresh = new http.Agent({ keepAlive: false });
async function ask(port: number): Promise<number> {
	const { text, error } = await get(port, '127.0.0.1', fresh);
	assert.equal(error, null);
	return Number(text);
}
const pidsOf = async (tree: RealTree) => Promise.all(['web.1', 'web.2', 'web.3'].map(async (path) => (await tree.child(path)).pid));
/** All three answer new connections, sooner or later. */
const allServe = (tree: RealTree, port: number) => {
	const seen = new Set<number>();
	return tree.until('each has its turn', async () => {
		seen.add(await ask(port));
		return (await pidsOf(tree)).every((pid) => seen.has(pid));
	});
};

for (const [version, node] of nodes()) {
	test(`Node ${version}: a stream of connections is spread over time, and nothing is lost with a holder that is killed, replaced or reloaded`, async () => {
		const port = await freePort();
		await withTree(
			{ 'tree.ts': spec(port, "reload: { soak: '50ms' }"), 'web.cjs': server },
			async (tree) => {
				await tree.up();
				assert.equal((await tree.child('web.1')).accept, 'token');
				await allServe(tree, port);
				const served = new Map<number, number>();
				for (let n = 0; n < 300; n++) {
					const pid = await ask(port);
					served.set(pid, (served.get(pid) ?? 0) + 1);
					// So that they come over some twenty quanta of 50 ms, and not all within two.
					await new Promise((resolve) => setTimeout(resolve, 3));
				}
				const pids = await pidsOf(tree);
				for (const pid of pids) assert.ok((served.get(pid) ?? 0) > 30, `${JSON.stringify([...served])} of ${pids}`);

				const stream = load(port);
				const { code, stderr } = await tree.cli('restart', 'web');
				assert.equal(code, 0, stderr);
				tree.write('web.cjs', `${server}\n// Another version.\n`);
				const reloaded = await tree.cli('reload', '--wait');
				assert.equal(reloaded.code, 0, reloaded.stderr);
				const { answered, failed } = await stream.stop();
				assert.deepEqual(failed, []);
				assert.ok(answered > 100, `only ${answered} requests`);
				await allServe(tree, port);

				for (let n = 0; n < 5; n++) {
					const holder = await ask(port);
					signal(holder, 'SIGKILL');
					assert.notEqual(await ask(port), holder);
					await tree.until(
						'all three run',
						async () => (await tree.status()).state === 'running' && !(await pidsOf(tree)).includes(holder),
					);
				}
				await allServe(tree, port);
			},
			{ node },
		);
	});
}

/** Far below what a late heartbeat takes to be noticed, which is 5 s. */
const REPLACED_MS = 2_500;

test('a holder that stands still: the next one serves after its quantum, and it has its turns again when it goes on', async () => {
	const port = await freePort();
	await withTree({ 'tree.ts': spec(port), 'web.cjs': server }, async (tree) => {
		await tree.up();
		await allServe(tree, port);
		for (let n = 0; n < 3; n++) {
			const holder = await ask(port);
			signal(holder, 'SIGSTOP');
			try {
				for (let connections = 0; connections < 10; connections++) {
					const from = performance.now();
					assert.notEqual(await ask(port), holder);
					const ms = performance.now() - from;
					assert.ok(ms < REPLACED_MS, `it took ${ms} ms`);
				}
			} finally {
				signal(holder, 'SIGCONT');
			}
			await allServe(tree, port);
		}
	});
});

test('without a master the holder goes on, and the next master lets all have their turns again', async () => {
	const port = await freePort();
	await withTree({ 'tree.ts': spec(port), 'web.cjs': server }, async (tree) => {
		await tree.up();
		await allServe(tree, port);
		const { master } = await tree.status();
		const stream = load(port);
		signal(master.pid as number, 'SIGKILL');
		assert.ok((await ask(port)) > 0);
		await tree.until('another master runs', async () => {
			const next = await tree.status();
			return next.master.pid !== master.pid && next.state === 'running';
		});
		await allServe(tree, port);
		const { failed } = await stream.stop();
		assert.deepEqual(failed, []);
	});
});

test.run();
