/** Spares of real trees: crashes with and without one, who waits meanwhile, what is printed, and masters that are killed. */
import assert from 'node:assert/strict';
import { get as httpGet } from 'node:http';
import { test } from 'uvu';
import { nodes } from './support/nodes.ts';
import { type Child, freePort, identify, isAlive, type RealTree, signal, withTree } from './support/real.ts';

const spec = (port: number, options = '', module = './web.ts') => `
	import { node, tree } from 'choir';
	export default tree('t', {
		intensity: { restarts: 100, within: '1m' },
		master: { intensity: { restarts: 100, within: '1m' }, backoff: { from: '20ms', to: '20ms' } },
		children: [node('web', { module: '${module}', listen: { http: '127.0.0.1:${port}' }, standby: 1, env: { PORT: '${port}' }, ${options} })],
	});
`;
/** Says its pid and who it is; and what it prints, it prints as that. */
const library = `
	import http from 'node:http';
	import { listener, ready, worker } from 'choir/worker';
	console.log('loads as', worker.path);
	http.createServer((request, response) => {
		console.log(worker.path, 'serves', request.url);
		if (request.url === '/throw') throw new Error('thrown by ' + worker.path);
		response.end(process.pid + ' ' + worker.path + ' ' + process.env.CHOIR_PATH);
	}).listen(listener('http'), ready);
`;
/** Knows nothing of choir. */
const plain = `
	const http = require('http');
	http.createServer((_, response) => response.end(process.pid + ' plain')).listen(Number(process.env.PORT), '127.0.0.1');
`;
const SERVED_MS = 10_000;

/** One connection of its own; what it was answered. */
function ask(port: number, path = '/'): Promise<string> {
	return new Promise((resolve, reject) => {
		const request = httpGet({ port, host: '127.0.0.1', path, agent: false, timeout: SERVED_MS }, (response) => {
			let body = '';
			response.setEncoding('utf8').on('data', (text: string) => {
				body += text;
			});
			response.once('end', () => resolve(body));
		});
		request.once('error', reject);
		request.once('timeout', () => request.destroy(new Error(`no answer within ${SERVED_MS} ms`)));
	});
}

const standbyOf = async (tree: RealTree, path = 'web') => ((await tree.child(path)) as Child).standby;
const full = (tree: RealTree, path = 'web') =>
	tree.until('the pool is full', async () => {
		const standby = await standbyOf(tree, path);
		return standby?.loaded === standby?.wanted;
	});
/** The pid of the spare that was loaded last, which its events tell. */
function sparePid(tree: RealTree): number {
	const found = tree.strays().map(({ pid }) => pid);
	const lines = tree
		.output('web.standby-1')
		.split('\n')
		.filter((line) => line.startsWith('pid '));
	const pid = Number(lines.at(-1)?.slice(4));
	assert.ok(found.includes(pid), `${pid} is none of ${found.join(', ')}`);
	return pid;
}
const said = (tree: RealTree, event: string) => tree.events().filter((each) => each.event === event);
const printsPid = (text: string) => `console.log('pid ' + process.pid);\n${text}`;

for (const [version, node] of nodes()) {
	for (const [how, name, text] of [
		['with the library', 'web.ts', `import './pid.ts';${library}`],
		['that knows nothing of choir', 'web.cjs', printsPid(plain)],
	] as const) {
		test(`Node ${version}: a crash of a server ${how}: the spare takes its place, who waits is served, and the pool refills`, async () => {
			const port = await freePort();
			const files = { 'tree.ts': spec(port, '', `./${name}`), [name]: text, 'pid.ts': printsPid('') };
			await withTree(
				files,
				async (tree) => {
					await tree.up();
					for (let round = 1; round <= 3; round++) {
						await full(tree);
						const spare = sparePid(tree);
						const { pid } = await tree.child('web');
						signal(pid, 'SIGKILL');
						const [servedBy, ...names] = (await ask(port)).split(' ');
						assert.equal(Number(servedBy), spare);
						if (names.length > 1) assert.deepEqual(names, ['web', 'web']);
						const child = await tree.incarnation('web', round + 1);
						assert.equal(child.pid, spare);
						assert.equal(child.restarts, round);
					}
					assert.equal(said(tree, 'standby.activated').length, 3);
				},
				{ node },
			);
		});
	}
}

test('two instances and one spare, both crash at once: one is activated, the other starts anew', async () => {
	const port = await freePort();
	await withTree({ 'tree.ts': spec(port, 'instances: 2'), 'web.ts': library }, async (tree) => {
		await tree.up();
		await full(tree, 'web.1');
		for (const path of ['web.1', 'web.2']) signal((await tree.child(path)).pid, 'SIGKILL');
		await Promise.all([tree.incarnation('web.1', 2), tree.incarnation('web.2', 2)]);
		assert.equal(said(tree, 'standby.activated').length, 1);
		await full(tree, 'web.2');
		// Each answers for itself, whoever was a spare.
		const names = new Set<string>();
		await tree.until('both serve', async () => names.add((await ask(port)).split(' ')[1] as string).size === 2);
		assert.deepEqual([...names].sort(), ['web.1', 'web.2']);
	});
});

test('what an activated spare prints is its child’s, last words included; what it printed before is its own', async () => {
	const port = await freePort();
	await withTree({ 'tree.ts': spec(port), 'web.ts': library }, async (tree) => {
		await tree.up();
		await full(tree);
		signal((await tree.child('web')).pid, 'SIGKILL');
		await tree.incarnation('web', 2);
		await ask(port, '/one');
		await full(tree);
		await ask(port, '/throw').catch(() => {});
		await tree.incarnation('web', 3);
		await ask(port, '/two');
		const { stdout } = await tree.cli('logs', 'web', '--tree', 't');
		const lines = tree.output('web').split('\n');
		for (const line of ['web serves /one', 'web serves /throw', 'Error: thrown by web', 'web serves /two'])
			assert.ok(lines.includes(line), `${line} is not in\n${lines.join('\n')}`);
		assert.ok(stdout.includes('web serves /two'));
		const before = tree
			.output('web.standby-1')
			.split('\n')
			.filter((line) => line !== '');
		assert.ok(before.length >= 2 && before.every((line) => line === 'loads as web.standby-1'), before.join('\n'));
	});
});

test('a spare that is killed is replaced, and a restart by request loads another', async () => {
	const port = await freePort();
	await withTree({ 'tree.ts': spec(port), 'web.ts': `import './pid.ts';${library}`, 'pid.ts': printsPid('') }, async (tree) => {
		await tree.up();
		await full(tree);
		const first = identify(sparePid(tree));
		signal(first.pid, 'SIGKILL');
		await tree.until('another is loaded', async () => (await full(tree)) && sparePid(tree) !== first.pid);
		assert.equal(said(tree, 'standby.failed').length, 1);
		const second = identify(sparePid(tree));
		const { code, stderr } = await tree.cli('restart', 'web');
		assert.equal(code, 0, stderr);
		assert.notEqual((await tree.child('web')).pid, second.pid);
		await tree.until('it is gone', () => !isAlive(second));
		await full(tree);
		const { restarts } = await tree.child('web');
		assert.equal(restarts, 0);
	});
});

test('a master that is killed: the next one has the spare, and who was activated is who he is', async () => {
	const port = await freePort();
	await withTree({ 'tree.ts': spec(port), 'web.ts': `import './pid.ts';${library}`, 'pid.ts': printsPid('') }, async (tree) => {
		await tree.up();
		await full(tree);
		const killMaster = async () => {
			const { master } = await tree.status();
			signal(master.pid as number, 'SIGKILL');
			await tree.until('another master runs', async () => {
				const next = await tree.status();
				return next.master.pid !== master.pid && next.state === 'running';
			});
		};
		const spare = identify(sparePid(tree));
		await killMaster();
		await full(tree);
		assert.ok(isAlive(spare));
		signal((await tree.child('web')).pid, 'SIGKILL');
		assert.equal((await tree.incarnation('web', 2)).pid, spare.pid);
		await full(tree);
		await killMaster();
		const child = await tree.incarnation('web', 2);
		assert.equal(child.pid, spare.pid);
		assert.equal(child.incarnation, 2);
		await full(tree);
		assert.ok((await ask(port)).startsWith(`${spare.pid} web`));
	});
});

test('a reload: the spare of the old version goes, and a crash then brings the new one', async () => {
	const port = await freePort();
	const serve = (version: string) => `
		import http from 'node:http';
		http.createServer((_, response) => response.end('${version}')).listen(Number(process.env.PORT), '127.0.0.1');
	`;
	const options = "reload: { soak: '50ms' }";
	await withTree({ 'tree.ts': spec(port, options), 'web.ts': serve('v1') }, async (tree) => {
		await tree.up();
		await full(tree);
		tree.write('web.ts', serve('v2'));
		const { code, stderr } = await tree.cli('reload', '--wait');
		assert.equal(code, 0, stderr);
		await full(tree);
		const { pid, incarnation } = await tree.child('web');
		signal(pid, 'SIGKILL');
		await tree.incarnation('web', incarnation + 1);
		assert.equal(said(tree, 'standby.activated').length, 1);
		assert.equal(await ask(port), 'v2');
	});
});

test('one without a socket waits for its turn by itself', async () => {
	const files = {
		'tree.ts': `
			import { node, tree } from 'choir';
			export default tree('t', { children: [node('queue', { module: './queue.ts', ready: 'signal', standby: 1 })] });
		`,
		'queue.ts': `
			import { activated, ready, worker } from 'choir/worker';
			const beforeThat = worker.path;
			ready();
			await activated();
			console.log('works as', worker.path, 'loaded as', beforeThat);
			setInterval(() => {}, 1_000);
		`,
	};
	await withTree(files, async (tree) => {
		await tree.up();
		await full(tree, 'queue');
		assert.equal(tree.output('queue.standby-1'), '');
		signal((await tree.child('queue')).pid, 'SIGKILL');
		await tree.incarnation('queue', 2);
		await tree.until(
			'it works',
			() => tree.output('queue') === 'works as queue loaded as queue\nworks as queue loaded as queue.standby-1\n',
		);
	});
});

test.run();
