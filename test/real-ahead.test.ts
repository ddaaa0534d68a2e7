/** Starts that are ordered in advance: who crashes is followed at once, also while the master does nothing, and never by two. */
import assert from 'node:assert/strict';
import { test } from 'uvu';
import { freePort, identify, isAlive, type RealTree, signal, withTree } from './support/real.ts';

/** Says who starts, and ends as it is asked to. A plain module: one that is bundled first is not ordered in advance. */
const server = `
	import fs from 'node:fs';
	import http from 'node:http';
	fs.appendFileSync('starts', process.env.CHOIR_PATH + ' ' + process.pid + '\\n');
	http.createServer((request, response) => {
		if (request.url === '/slow') {
			response.flushHeaders();
			return void setTimeout(() => response.end('late'), 1_000);
		}
		const code = /^\\/exit\\/(\\d+)$/.exec(request.url)?.[1];
		response.end(String(process.pid), () => code === undefined || process.exit(Number(code)));
	}).listen({ port: Number(process.argv[2]), host: '127.0.0.1' });
`;
const web = (id: string, port: number, more = '') => `node('${id}', {
	module: './web.mjs', args: ['${port}'], listen: { http: '127.0.0.1:${port}' }, heartbeat: { every: '50ms', timeout: '20s' },
	restart: { backoff: 0${more} },
})`;
const files = (children: string[], restarts = 10) => ({
	'web.mjs': server,
	'tree.ts': `
		import { node, tree } from 'choir';
		export default tree('t', {
			intensity: { restarts: ${restarts}, within: '1m' },
			master: { heartbeat: { every: '1s', timeout: '60s' }, intensity: { restarts: 100, within: '1m' }, backoff: { from: '20ms', to: '20ms' } },
			children: [${children.join(', ')}],
		});
	`,
});

const ask = async (port: number, path = '') =>
	(await fetch(`http://127.0.0.1:${port}${path}`, { signal: AbortSignal.timeout(1_000), headers: { connection: 'close' } })).text();
const masterOf = async (tree: RealTree) => (await tree.status()).master.pid as number;
const pidOf = async (tree: RealTree, path: string) => (await tree.child(path)).pid;
const startsOf = (tree: RealTree, path: string) => tree.lines('starts').filter((line) => line.startsWith(`${path} `)).length;
/** The first, as it says itself: the master may be stopped. */
const pidOfStarted = (tree: RealTree, path: string) =>
	Number(
		tree
			.lines('starts')
			.find((line) => line.startsWith(`${path} `))
			?.split(' ')[1],
	);
/** Nobody is told that the next start has been ordered: that comes with a heartbeat, of which there are twenty in this time. */
const ordered = () => new Promise((resolve) => setTimeout(resolve, 1_000));
/** In which something would start, if it were to. */
const pass = () => new Promise((resolve) => setTimeout(resolve, 700));
/** Who answers there, if that is not `before`. */
const another = (tree: RealTree, port: number, before: number) =>
	tree.until(`another than ${before} answers`, async () => {
		const pid = Number(await ask(port));
		return pid !== before && pid;
	});

/** Stops the master once the next starts are ordered, and kills these children. Answers with who follows on each, by its port. */
async function killUnheard(tree: RealTree, victims: Array<[path: string, port: number]>): Promise<{ master: number; begun: number[] }> {
	const master = await masterOf(tree);
	const pids = await Promise.all(victims.map(([path]) => pidOf(tree, path)));
	await ordered();
	signal(master, 'SIGSTOP');
	for (const pid of pids) signal(pid, 'SIGKILL');
	return { master, begun: await Promise.all(victims.map(([, port], index) => another(tree, port, pids[index] as number))) };
}

test('while the master is stopped, who is killed is followed at once; when it wakes, that one is the child, and counted', async () => {
	const port = await freePort();
	await withTree(files([web('web', port)]), async (tree) => {
		await tree.up();
		const first = identify(await pidOf(tree, 'web'));
		const master = await masterOf(tree);
		await ordered();
		signal(master, 'SIGSTOP');
		signal(first.pid, 'SIGKILL');
		const second = await another(tree, port, first.pid);
		const killed = identify(second);
		// Ordered for one crash: what follows on the next one is for the master to say.
		signal(second, 'SIGKILL');
		await tree.until('the second is gone', () => !isAlive(killed));
		await pass();
		assert.equal(startsOf(tree, 'web'), 2);
		signal(master, 'SIGCONT');
		const third = await tree.incarnation('web', 3);
		assert.deepEqual([third.restarts, third.lastExit?.signal, startsOf(tree, 'web')], [2, 'SIGKILL', 3]);
		await ordered();
		signal(master, 'SIGSTOP');
		signal(third.pid, 'SIGSEGV');
		const fourth = await another(tree, port, third.pid);
		signal(master, 'SIGCONT');
		const { pid, restarts, lastExit } = await tree.incarnation('web', 4);
		assert.deepEqual([pid, restarts, lastExit?.signal, startsOf(tree, 'web')], [fourth, 3, 'SIGSEGV', 4]);
		assert.equal(await masterOf(tree), master);
	});
});

test('a master that dies before it hears of it: the next one takes who has begun, and counts the crash', async () => {
	const port = await freePort();
	await withTree(files([web('web', port)]), async (tree) => {
		await tree.up();
		const { master, begun } = await killUnheard(tree, [['web', port]]);
		const [second] = begun as [number];
		signal(master, 'SIGKILL');
		await tree.until(
			'another master runs the tree',
			async () => (await masterOf(tree)) !== master && (await tree.status()).state === 'running',
		);
		const { pid, restarts, lastExit } = await tree.incarnation('web', 2);
		assert.deepEqual([pid, restarts, lastExit?.signal, startsOf(tree, 'web')], [second, 1, 'SIGKILL', 2]);
		assert.equal(Number(await ask(port)), second);
		// It is a child as any other.
		await ordered();
		signal(second, 'SIGKILL');
		const third = await tree.incarnation('web', 3);
		assert.deepEqual([third.restarts, startsOf(tree, 'web')], [2, 3]);
	});
});

test('nothing begins in advance after an end that is no crash, and where a crash would lead to something else', async () => {
	const [fatal, done, one, other] = [await freePort(), await freePort(), await freePort(), await freePort()];
	const group = [web('one', one, ", strategy: 'one_for_all'"), web('other', other, ", strategy: 'one_for_all'")];
	const children = [
		web('fatal', fatal),
		web('done', done, ", type: 'transient'"),
		`supervisor('all', { strategy: 'one_for_all', intensity: { restarts: 5, within: '1m' }, children: [${group.join(', ')}] })`,
	];
	const all = files(children);
	await withTree({ ...all, 'tree.ts': all['tree.ts'].replace('{ node, tree }', '{ node, supervisor, tree }') }, async (tree) => {
		await tree.up();
		const master = await masterOf(tree);
		const victim = await pidOf(tree, 'all/one');
		await ordered();
		signal(master, 'SIGSTOP');
		await ask(fatal, '/exit/78');
		await ask(done, '/exit/0');
		signal(victim, 'SIGKILL');
		await pass();
		assert.equal(tree.lines('starts').length, 4);
		signal(master, 'SIGCONT');
		await tree.incarnation('all/other', 2);
		assert.deepEqual([(await tree.child('fatal')).state, (await tree.child('done')).state], ['dead', 'dead']);
		assert.deepEqual(
			['fatal', 'done', 'all/one', 'all/other'].map((path) => startsOf(tree, path)),
			[1, 1, 2, 2],
		);
	});
});

for (const [then, how] of [
	['SIGCONT', 'as the master wakes'],
	['SIGKILL', 'with the next master'],
] as const)
	test(`who has begun and is one restart too many has to go, and the tree gives up: ${how}`, async () => {
		const ports = [await freePort(), await freePort()] as const;
		await withTree(files([web('a', ports[0]), web('b', ports[1])], 1), async (tree) => {
			const command = await tree.up();
			const { master } = await killUnheard(tree, [
				['a', ports[0]],
				['b', ports[1]],
			]);
			signal(master, then);
			const { code } = await tree.ended(command);
			assert.equal(code, 70);
			assert.deepEqual([startsOf(tree, 'a'), startsOf(tree, 'b')], [2, 2]);
		});
	});

test('who has begun and is one restart too many has to go, also where the tree goes on', async () => {
	const [one, other, rest] = [await freePort(), await freePort(), await freePort()];
	const nested = `supervisor('s', { restart: { type: 'temporary' }, intensity: { restarts: 1, within: '1m' }, children: [${web('a', one)}, ${web('b', other)}] })`;
	const all = files([nested, web('rest', rest)]);
	await withTree({ ...all, 'tree.ts': all['tree.ts'].replace('{ node, tree }', '{ node, supervisor, tree }') }, async (tree) => {
		await tree.up();
		const { master, begun: pids } = await killUnheard(tree, [
			['s/a', one],
			['s/b', other],
		]);
		const begun = pids.map(identify);
		signal(master, 'SIGCONT');
		await tree.until('their supervisor has ended', async () => (await tree.child('s')).state === 'dead');
		await tree.until('both are gone', () => !begun.some(isAlive));
		assert.deepEqual([startsOf(tree, 's/a'), startsOf(tree, 's/b'), (await tree.child('rest')).incarnation], [2, 2, 1]);
	});
});

test('what was asked for meanwhile counts: a child that is paused as it crashes does not run', async () => {
	const port = await freePort();
	await withTree(files([web('web', port)]), async (tree) => {
		await tree.up();
		const first = await pidOf(tree, 'web');
		const master = await masterOf(tree);
		await ordered();
		signal(master, 'SIGSTOP');
		const pause = tree.launch(['pause', 'web']);
		signal(first, 'SIGKILL');
		const second = await another(tree, port, first);
		signal(master, 'SIGCONT');
		assert.equal((await tree.ended(pause)).code, 0);
		const { standing } = (await tree.child('web')) as { standing?: string };
		assert.equal(standing, 'paused');
		await tree.until('nobody of it lives', () => tree.strays().every(({ pid }) => pid !== second && pid !== first));
		assert.equal(startsOf(tree, 'web'), 2);
	});
});

test('who has begun, is not wanted and still answers somebody may finish: until then no other is started', async () => {
	const [one, other] = [await freePort(), await freePort()];
	const nested = `supervisor('s', { intensity: { restarts: 1, within: '1m' }, children: [${web('a', one)}, ${web('b', other)}] })`;
	const all = files([nested]);
	await withTree({ ...all, 'tree.ts': all['tree.ts'].replace('{ node, tree }', '{ node, supervisor, tree }') }, async (tree) => {
		await tree.up();
		const { master } = await killUnheard(tree, [['s/a', one]]);
		const first = pidOfStarted(tree, 's/b');
		signal(first, 'SIGKILL');
		const begun = identify(await another(tree, other, first));
		const answer = await fetch(`http://127.0.0.1:${other}/slow`);
		signal(master, 'SIGCONT');
		// One restart too many: its supervisor is restarted, and all that is in it.
		await tree.until('another is started', () => startsOf(tree, 's/b') === 3);
		assert.ok(!isAlive(begun));
		assert.equal(await answer.text(), 'late');
		assert.equal((await tree.running()).children[0]?.incarnation, 2);
	});
});

test.run();
