/** An angel that is killed: its master says so at once, the workers go on serving, and the next run has them all. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { test } from 'uvu';
import { inventoryFile, readInventory } from '../src/angel/inventory.ts';
import { readAngelPid } from '../src/home.ts';
import { bootId } from '../src/hosts/proc.ts';
import { withChecksum } from '../src/journal/checksum.ts';
import { journalFile } from '../src/journal/journal.ts';
import { load, read, underLoad } from './support/load.ts';
import { nodes } from './support/nodes.ts';
import { assertCounted, freePort, isAlive, type RealTree, signal, withTree } from './support/real.ts';

const server = `
	import http from 'node:http';
	import { listener, ready } from 'choir/worker';
	http.createServer((_, res) => res.end(String(process.pid))).listen(listener('http'), ready);
`;
const counting = `command('lines', { run: ['sh', '-c', 'n=0; while :; do n=$((n+1)); echo $n; sleep 0.01; done'] })`;
const spec = (port: number, more = '', options = '') => `
	import { command, node, supervisor, tree } from 'choir';
	export default tree('t', { ${options} children: [
		node('web', { module: './web.ts', instances: 2, listen: { http: '127.0.0.1:${port}' } }),
		supervisor('jobs', { children: [command('sleeper', { run: ['sleep', '1000'], restart: { backoff: 0 } })] }),
		${counting}, ${more}
	] });
`;
const paths = ['web.1', 'web.2', 'jobs/sleeper', 'lines'];
const pidsOf = (tree: RealTree, of = paths) => Promise.all(of.map(async (path) => (await tree.child(path)).pid));

/** Kills the angel, and waits until its master has said so and is gone. */
async function killAngel(tree: RealTree): Promise<void> {
	const { angel, master } = await tree.status();
	const before = tree.events().filter(({ event }) => event === 'angel.lost').length;
	signal(angel.pid as number, 'SIGKILL');
	await tree.until('the master says so', () => tree.events().filter(({ event }) => event === 'angel.lost').length > before);
	await tree.until('the master is gone', () => !tree.strays().some(({ pid }) => pid === master.pid));
}

async function startAgain(tree: RealTree): Promise<void> {
	const { code, stderr } = await tree.start();
	assert.equal(code, 0, stderr);
}

for (const [version, node] of nodes())
	test(`killed under load: no request fails, every pid stays, and what died meanwhile is lost and restarted (Node ${version})`, async () => {
		const port = await freePort();
		const files = { 'tree.ts': spec(port), 'web.ts': server };
		await withTree(
			files,
			async (tree) => {
				await startAgain(tree);
				const [web1, web2, sleeper, lines] = await pidsOf(tree);
				const { answered } = await underLoad(port, async () => {
					for (let round = 0; round < 2; round++) {
						await killAngel(tree);
						if (round === 0) signal(sleeper as number, 'SIGKILL');
						await startAgain(tree);
						await tree.running();
					}
					const restarted = await tree.incarnation('jobs/sleeper', 2);
					assert.deepEqual([restarted.restarts, restarted.lastExit?.reason], [1, 'lost']);
					assert.deepEqual(await pidsOf(tree, ['web.1', 'web.2', 'lines']), [web1, web2, lines]);
					// The sockets are the angel's again: it can hand them to others.
					assert.equal((await tree.cli('restart', 'web')).code, 0);
					const { pid } = await tree.incarnation('web.1', 2);
					await tree.until('the next one is asked', async () => {
						const { seen, stop: end } = load(port, { kept: 0, fresh: 4 });
						await tree.until('they are answered', () => seen.answered > 20);
						return (await end()).answers.has(String(pid));
					});
				});
				assert.ok(answered > 100, `only ${answered} requests`);
				assertCounted(tree.output('lines'));
			},
			{ node },
		);
	});

test('onAngelLoss: stop: the master stops the tree in order, and nothing is left', async () => {
	const port = await freePort();
	await withTree({ 'tree.ts': spec(port, '', "onAngelLoss: 'stop',"), 'web.ts': server }, async (tree) => {
		await startAgain(tree);
		const { angel } = await tree.status();
		signal(angel.pid as number, 'SIGKILL');
		await tree.until('all of it is gone', () => tree.strays().length === 0);
		const went = tree.events().flatMap(({ event, path }) => (event === 'child.draining' ? [path] : []));
		assert.deepEqual(went, ['lines', 'jobs/sleeper', 'web.2', 'web.1']);
		const { code, stderr } = await tree.cli('status');
		assert.deepEqual([code, stderr.includes('no tree is running')], [1, true]);
	});
});

test('what is left of a tree without its angel is shown, and stopped', async () => {
	const port = await freePort();
	await withTree({ 'tree.ts': spec(port), 'web.ts': server }, async (tree) => {
		await startAgain(tree);
		const pids = await pidsOf(tree);
		await killAngel(tree);
		const shown = await tree.cli('status', 't');
		assert.equal(shown.code, 0);
		assert.match(shown.stdout, /its angel \(pid \d+\) was killed, and 4 processes still run .*`choir stop t` stops them/);
		const { state, angel, children } = JSON.parse((await tree.cli('status', '--json')).stdout);
		assert.deepEqual([state, angel.pid, children.map(({ pid }: { pid: number }) => pid).sort()], ['dead', null, [...pids].sort()]);
		const stopped = await tree.cli('stop');
		assert.deepEqual([stopped.code, stopped.stderr], [0, '']);
		assert.deepEqual(tree.strays(), []);
	});
});

test('with a broken journal all are taken over; whose line is broken, or is about another process, is cleared and started anew', async () => {
	const port = await freePort();
	await withTree({ 'tree.ts': spec(port), 'web.ts': server }, async (tree) => {
		await startAgain(tree);
		const before = await pidsOf(tree);
		await killAngel(tree);
		fs.appendFileSync(journalFile(tree.dir), 'half a li');
		fs.writeFileSync(journalFile(tree.dir), `garbage\n${fs.readFileSync(journalFile(tree.dir), 'utf8')}`);
		await startAgain(tree);
		await tree.until('all run', async () =>
			(await Promise.all(paths.map((path) => tree.child(path)))).every(({ state }) => state === 'running'),
		);
		assert.deepEqual(await pidsOf(tree), before);
		await killAngel(tree);
		const entries = readInventory(tree.dir);
		const lines = entries.map((entry) => {
			// As if the pid had been given to another process since.
			const isReused = entry.path === 'jobs/sleeper';
			const line = withChecksum(JSON.stringify({ bootId: bootId(), ...entry, ...(isReused ? { startTicks: entry.startTicks - 1 } : {}) }));
			return entry.path === 'lines' ? line.replace('"', "'") : line;
		});
		fs.writeFileSync(inventoryFile(tree.dir), lines.join(''));
		await startAgain(tree);
		const [web1, web2, sleeper, counter] = await pidsOf(tree);
		assert.deepEqual([web1, web2], before.slice(0, 2));
		assert.ok(sleeper !== before[2] && counter !== before[3]);
		assert.equal((await tree.child('lines')).lastExit?.reason, 'lost');
		assert.equal(tree.strays().filter(({ pid }) => pid === before[2] || pid === before[3]).length, 0);
	});
});

test('a run of a changed spec takes over first, and brings the tree to it then, without a gap', async () => {
	const port = await freePort();
	await withTree({ 'tree.ts': spec(port), 'web.ts': server }, async (tree) => {
		await startAgain(tree);
		const [, , sleeper, lines] = await pidsOf(tree);
		const { answers } = await underLoad(port, async () => {
			await killAngel(tree);
			tree.write('web.ts', server.replace('String(process.pid)', "'new'"));
			tree.write('tree.ts', spec(port, "command('more', { run: ['sleep', '1000'] })").replace(`${counting},`, ''));
			await startAgain(tree);
			await tree.until('it is reloaded', () => tree.events().some(({ event }) => event === 'reload.done'));
		});
		assert.ok((answers.get('new') ?? 0) > 0);
		const { children, generation } = await tree.running();
		assert.deepEqual([generation, children.map(({ path }) => path)], [2, ['web.1', 'web.2', 'jobs', 'more']]);
		assert.equal((await tree.child('jobs/sleeper')).pid, sleeper);
		assert.equal(isAlive({ pid: lines as number, startTicks: -1 }), false);
	});
});

const raw = `
	import net from 'node:net';
	net.createServer((socket) => socket.end(String(process.pid))).listen({ fd: 3 }, () => console.log('up'));
`;

test('a socket that cannot be given back is bound when its holder is gone', async () => {
	const port = await freePort();
	const child = `command('raw', { run: ['node', 'raw.mjs'], listen: { raw: '127.0.0.1:${port}' }, ready: { output: /up/ }, restart: { backoff: 0 } })`;
	const files = { 'tree.ts': `import { command, tree } from 'choir'; export default tree('t', { children: [${child}] });`, 'raw.mjs': raw };
	await withTree(files, async (tree) => {
		await startAgain(tree);
		const { pid } = await tree.child('raw');
		await killAngel(tree);
		await startAgain(tree);
		assert.equal(await read({ port, host: '127.0.0.1' }), String(pid));
		signal(pid, 'SIGKILL');
		const next = await tree.incarnation('raw', 2);
		assert.deepEqual([next.restarts, await read({ port, host: '127.0.0.1' })], [1, String(next.pid)]);
	});
});

test('a stop that was under way when the angel was killed is carried through; and a run after a half of it has all again', async () => {
	const port = await freePort();
	const slow = `command('slow', { run: ['sh', '-c', '[ -e stubborn ] && trap "" TERM; while :; do sleep 0.1; done'], stop: { terminate: '1m' } })`;
	await withTree({ 'tree.ts': spec(port, slow), 'web.ts': server, stubborn: '' }, async (tree) => {
		await startAgain(tree);
		const [web1, web2] = await pidsOf(tree);
		const stopping = tree.launch(['stop', 't']);
		await tree.until('slow is asked to go', () => tree.events().some(({ event, path }) => event === 'child.draining' && path === 'slow'));
		const { angel, master } = await tree.status();
		signal(angel.pid as number, 'SIGKILL');
		await tree.until('the master says so', () => tree.events().some(({ event }) => event === 'angel.lost'));
		assert.equal((await tree.ended(stopping)).code, 0);
		assert.equal((await tree.status()).state, 'draining');
		signal(master.pid as number, 'SIGKILL');
		await tree.until('the master is gone', () => !tree.strays().some(({ pid }) => pid === master.pid));
		assert.equal(readAngelPid(tree.dir)?.pid, angel.pid);
		fs.rmSync(`${tree.folder}/stubborn`);
		await startAgain(tree);
		assert.deepEqual(await pidsOf(tree, ['web.1', 'web.2']), [web1, web2]);
		const { pid } = await tree.child('slow');
		signal(pid, 'SIGKILL');
		await tree.incarnation('slow', 2);
	});
});

test.run();
