/** Held sockets under load: restarts, crashes, hangs and changes of scale, with a socket for each instance and with a shared one. */
import assert from 'node:assert/strict';
import http from 'node:http';
import { test } from 'uvu';
import { get, load } from './support/load.ts';
import { nodes } from './support/nodes.ts';
import { type Child, freePort, type RealTree, signal, withTree } from './support/real.ts';

/** What of a tree's own limits concerns these tests. */
const limits = `intensity: { restarts: 100, within: '1m' }`;
const web = (options: string) => `
	import { node, tree } from 'choir';
	export default tree('t', { ${limits}, children: [ ${options} ] });
`;
/** Slow to start: what it does not serve meanwhile would wait for longer than any limit below. */
const SLOW_MS = 3_000;
const server = `
	import http from 'node:http';
	import { listener, ready, worker } from 'choir/worker';
	setTimeout(() => {
		http.createServer((_, response) => setTimeout(() => response.end(worker.path), 2)).listen(listener('http'), ready);
	}, Number(process.env.SLOW_MS ?? 0));
`;
/** Knows nothing of choir. */
const plain = `
	const http = require('http');
	http.createServer((_, response) => setTimeout(() => response.end('plain'), 2)).listen(Number(process.env.PORT), '127.0.0.1');
`;

/** Since 22.12 Node can bind several sockets to one port, where the kernel spreads connections among them. */
function acceptOn(version: string): 'shared' | 'slots' {
	const [major = 0, minor = 0] = version.split('.').map(Number);
	return process.platform === 'linux' && (major > 22 || (major === 22 && minor >= 12)) ? 'slots' : 'shared';
}

const acceptOf = async (tree: RealTree, path: string) => ((await tree.child(path)) as Child).accept;
const killed = async (tree: RealTree, path: string) => {
	const { pid, incarnation } = await tree.child(path);
	signal(pid, 'SIGKILL');
	return incarnation + 1;
};
const ask = (port: number) => get(port, '127.0.0.1', new http.Agent({ keepAlive: false }));

for (const [version, node] of nodes()) {
	const name = `Node ${version}`;

	test(`${name}: ten rolling restarts lose no request, of a server that knows choir and of one that does not`, async () => {
		const [port, other] = [await freePort(), await freePort()];
		const children = `
			node('web', { module: './web.ts', instances: 2, listen: { http: '127.0.0.1:${port}' }, stop: { drain: '1s' } }),
			node('plain', { module: './plain.cjs', instances: 2, listen: { http: '127.0.0.1:${other}' }, env: { PORT: '${other}' }, stop: { drain: '1s' } }),`;
		await withTree(
			{ 'tree.ts': web(children), 'web.ts': server, 'plain.cjs': plain },
			async (tree) => {
				await tree.up();
				assert.equal(await acceptOf(tree, 'web.1'), acceptOn(version));
				const loads = [load(port), load(other)];
				for (let n = 0; n < 10; n++) {
					const ended = await Promise.all([tree.cli('restart', 'web'), tree.cli('restart', 'plain')]);
					for (const { code, stderr } of ended) assert.equal(code, 0, stderr);
				}
				for (const { stop } of loads) {
					const { answered, failed } = await stop();
					assert.deepEqual(failed, []);
					assert.ok(answered > 1_000, `only ${answered} requests`);
				}
				assert.equal((await tree.child('web.2')).incarnation, 11);
				assert.equal((await tree.child('plain.2')).incarnation, 11);
			},
			{ node },
		);
	});

	test(`${name}: a worker that is killed costs what it was answering, and nobody waits for the next one`, async () => {
		const port = await freePort();
		const child = `node('web', { module: './web.ts', instances: 2, listen: { http: '127.0.0.1:${port}' }, env: { SLOW_MS: '${SLOW_MS}' }, restart: { backoff: 0 } })`;
		await withTree(
			{ 'tree.ts': web(child), 'web.ts': server },
			async (tree) => {
				await tree.up();
				const clients = { kept: 4, fresh: 4 };
				// Oftener than there are descriptors to cover with: in the end the sibling stays.
				for (let n = 1; n <= 5; n++) {
					const { seen, stop } = load(port, clients);
					await tree.until('both are asked', () => seen.answered > 100);
					const next = await killed(tree, 'web.1');
					const at = seen.answered;
					await tree.until('the sibling goes on', () => seen.answered > at + 200);
					assert.equal((await tree.child('web.1')).state, 'starting', 'the load was too slow for this test');
					await tree.incarnation('web.1', next);
					const { failed, slowestMs } = await stop();
					assert.ok(failed.length <= clients.kept + clients.fresh, `${failed.length} requests failed: ${failed}`);
					assert.ok(slowestMs < SLOW_MS / 2, `a request took ${slowestMs} ms`);
				}
			},
			{ node },
		);
	});

	test(`${name}: while all are dead for two seconds connections wait, and are served`, async () => {
		const port = await freePort();
		const child = `node('web', { module: './web.ts', instances: 2, listen: { http: '127.0.0.1:${port}' }, env: { SLOW_MS: '2100' }, restart: { backoff: 0 } })`;
		await withTree(
			{ 'tree.ts': web(child), 'web.ts': server },
			async (tree) => {
				await tree.up();
				const before = await Promise.all(['web.1', 'web.2'].map((path) => killed(tree, path)));
				await tree.until('none is up', async () => (await tree.status()).children.every(({ state }) => state !== 'running'));
				const from = performance.now();
				const answers = await Promise.all(Array.from({ length: 100 }, () => ask(port)));
				const waitedMs = performance.now() - from;
				assert.deepEqual(
					answers.filter(({ error }) => error !== null),
					[],
				);
				assert.ok(waitedMs > 1_500, `they waited only ${waitedMs} ms`);
				await Promise.all(['web.1', 'web.2'].map((path, index) => tree.incarnation(path, before[index] as number)));
			},
			{ node },
		);
	});

	test(`${name}: a sibling covers for one that hangs`, async () => {
		const port = await freePort();
		const child = `node('web', { module: './web.ts', instances: 2, listen: { http: '127.0.0.1:${port}' }, heartbeat: { every: '100ms', timeout: '20s' } })`;
		await withTree(
			{ 'tree.ts': web(child), 'web.ts': server },
			async (tree) => {
				await tree.up();
				const { pid } = await tree.child('web.1');
				signal(pid, 'SIGSTOP');
				await tree.until('it is suspect', async () => (await tree.child('web.1')).substate === 'suspect', 15_000);
				const answers = await Promise.all(Array.from({ length: 100 }, () => ask(port)));
				assert.deepEqual([...new Set(answers.map(({ text }) => text))], ['web.2']);
				signal(pid, 'SIGCONT');
				await tree.until('it beats again', async () => (await tree.child('web.1')).substate === 'healthy');
				await tree.until('it is given work again', async () => (await ask(port)).text === 'web.1');
			},
			{ node },
		);
	});

	test(`${name}: up to four instances, and down to one: no request fails or waits`, async () => {
		const port = await freePort();
		const child = `node('web', { module: './web.ts', instances: 2, listen: { http: '127.0.0.1:${port}' }, env: { SLOW_MS: '${SLOW_MS}' }, stop: { drain: '1s' } })`;
		await withTree(
			{ 'tree.ts': web(child), 'web.ts': server },
			async (tree) => {
				await tree.up();
				const { seen, stop } = load(port);
				for (const count of ['4', '1', '3', '1', '2']) {
					const { code, stderr } = await tree.cli('scale', 'web', count);
					assert.equal(code, 0, stderr);
					const at = seen.answered;
					await tree.until('it goes on', () => seen.answered > at + 200);
				}
				const { failed, slowestMs } = await stop();
				assert.deepEqual(failed, []);
				assert.ok(slowestMs < SLOW_MS / 2, `a request took ${slowestMs} ms`);
			},
			{ node },
		);
	});

	test(`${name}: the next master knows who covers`, async () => {
		const port = await freePort();
		const child = `node('web', { module: './web.ts', instances: 2, listen: { http: '127.0.0.1:${port}' }, restart: { backoff: { from: '1m', to: '1m' } } })`;
		await withTree(
			{ 'tree.ts': web(child), 'web.ts': server },
			async (tree) => {
				await tree.up();
				const { master } = await tree.status();
				signal(master.pid as number, 'SIGKILL');
				await tree.until('the next master runs the tree', async () => {
					const status = await tree.status().catch(() => null);
					return status?.master.pid != null && status.master.pid !== master.pid && status.state === 'running';
				});
				assert.equal(await acceptOf(tree, 'web.1'), acceptOn(version));
				await killed(tree, 'web.1');
				const answers = await Promise.all(Array.from({ length: 100 }, () => ask(port)));
				assert.deepEqual([...new Set(answers.map(({ text, error }) => error ?? text))], ['web.2']);
			},
			{ node },
		);
	});
}

test.run();
