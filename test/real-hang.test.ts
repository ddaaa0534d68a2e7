/**
 * Real processes that are there and do nothing: stopped ones, blocked ones, mute ones. Who really hangs is replaced; who was
 * only not heard, because the listener itself was paused, is not.
 */
import assert from 'node:assert/strict';
import { test } from 'uvu';
import { request } from '../src/control/client.ts';
import { socketPath } from '../src/home.ts';
import { freePort, identify, isAlive, type RealTree, signal, withTree } from './support/real.ts';

/** Blocks when it is told to, and says at its start whether one before it still runs. */
const worker = `
import { appendFileSync, existsSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { listener, ready, worker } from 'choir/worker';
const pids = worker.path + '.pids';
for (const pid of existsSync(pids) ? readFileSync(pids, 'utf8').trim().split('\\n') : [])
	if (existsSync('/proc/' + pid)) appendFileSync('doubles', worker.path + ' ' + process.pid + ' saw ' + pid + '\\n');
appendFileSync(pids, process.pid + '\\n');
const watch = setInterval(() => {
	if (!existsSync(worker.path + '.block')) return;
	rmSync(worker.path + '.block');
	for (;;);
}, 20);
if (process.argv[2] === 'serve') {
	createServer((_, response) => response.end(String(process.pid))).listen(listener('http'), ready);
	// A server ends when nothing keeps its loop alive.
	watch.unref();
} else ready();
`;

const spec = (options: string, children: string[]) => ({
	'worker.ts': worker,
	'tree.ts': `
import { command, node, tree } from 'choir';
export default tree('t', { intensity: { restarts: 20, within: '1m' }, ${options} children: [${children.join(',\n')}] });
`,
});
const BEAT = `heartbeat: { every: '200ms', timeout: '2s' }`;
const LIMIT_MS = 2_000;
/** Whoever was to be found hung, rightly or wrongly, is so by then, and is killed. */
const JUDGED_MS = 1.5 * LIMIT_MS;
const beating = (id: string, more = '') =>
	`node('${id}', { module: './worker.ts', ready: 'signal', ${BEAT}, stop: { drain: '2s' }${more} })`;
/** Listens by itself, so that a second one of it could not. */
const own = (port: number) => `command('own', {
	run: [${JSON.stringify(process.execPath)}, '-e', 'require("net").createServer().listen(${port}, "127.0.0.1")'], ready: { tcp: ${port} },
})`;

const say = async (port: number) => (await fetch(`http://127.0.0.1:${port}`, { signal: AbortSignal.timeout(2_000) })).text();
const masterOf = async (tree: RealTree) => (await tree.status()).master as { pid: number; incarnation: number; state: string };
/** A stretch of time that is itself what is tried, or in which something could go wrong: not a wait for anything. */
const pass = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** Pid and incarnation of each child. */
async function lives(tree: RealTree): Promise<Record<string, string>> {
	const { children } = await tree.status();
	return Object.fromEntries(children.map(({ path, pid, incarnation, state }) => [path, `${state} ${pid} ${incarnation}`]));
}

/** A new master runs, with the same children: none was started twice, none again. */
async function takenOver(
	tree: RealTree,
	old: number,
	workers: Array<{ path: string; pid: number; startTicks: number; incarnation: number }>,
) {
	const master = await tree.until(
		'another master runs the tree',
		async () => {
			const now = await masterOf(tree);
			return now.pid !== old && now.state === 'running' && now;
		},
		20_000,
	);
	for (const { path, incarnation, ...identity } of workers) {
		const child = await tree.child(path);
		assert.deepEqual({ pid: child.pid, incarnation: child.incarnation }, { pid: identity.pid, incarnation });
		assert.ok(isAlive(identity), `${path} lives`);
	}
	assert.equal(tree.read('doubles'), '');
	return master;
}
const remember = async (tree: RealTree, ...paths: string[]) =>
	Promise.all(
		paths.map(async (path) => {
			const { pid, incarnation } = await tree.child(path);
			return { path, incarnation, ...identify(pid) };
		}),
	);

test('a stopped worker and a blocked one become suspect, then hung, are killed and replaced; their sibling is left alone', async () => {
	await withTree(
		spec(
			'',
			['stopped', 'blocked', 'well'].map((id) => beating(id)),
		),
		async (tree) => {
			await tree.up();
			const well = await tree.child('well');
			const { pid } = await tree.child('stopped');
			signal(pid, 'SIGSTOP');
			tree.write('blocked.block', '');
			for (const path of ['stopped', 'blocked']) {
				const { lastExit } = await tree.incarnation(path, 2);
				assert.deepEqual([lastExit?.reason, lastExit?.signal], ['hung', 'SIGKILL']);
				const life = tree.events().filter((event) => event.path === path);
				const said = life.map(({ event }) => event.slice('child.'.length));
				assert.deepEqual(said, ['starting', 'running', 'suspect', 'draining', 'dead', 'restart', 'starting', 'running']);
				const [suspect, dead] = [life[2]?.at as number, life[4]?.at as number];
				// Suspect after half of its limit; the times are rounded.
				assert.ok(dead - suspect >= LIMIT_MS / 2 - 2, `killed ${dead - suspect} ms after it became suspect`);
			}
			assert.deepEqual([(await tree.child('well')).pid, (await tree.child('well')).incarnation], [well.pid, 1]);
			assert.equal(tree.read('doubles'), '');
		},
	);
});

test('a worker that is suspect and goes on in time is healthy again', async () => {
	await withTree(spec('', [beating('slow')]), async (tree) => {
		await tree.up();
		const { pid } = await tree.child('slow');
		signal(pid, 'SIGSTOP');
		await tree.until('it is suspect', async () => (await tree.child('slow')).substate === 'suspect');
		signal(pid, 'SIGCONT');
		await tree.until('it is healthy', async () => (await tree.child('slow')).substate === 'healthy');
		// A limit that still ran from before it was stopped would kill it in this time.
		await pass(LIMIT_MS);
		const after = await tree.child('slow');
		assert.deepEqual([after.pid, after.incarnation, after.substate], [pid, 1, 'healthy']);
	});
});

test('a master that was stopped for 15 s kills no healthy worker when it goes on', async () => {
	const port = await freePort();
	const live = `live: { http: 'http://127.0.0.1:${port}', every: '100ms', timeout: '1s', failures: 1 }`;
	const children = [
		beating('one'),
		beating('two'),
		`node('web', { module: './worker.ts', args: ['serve'], ${BEAT}, listen: { http: '127.0.0.1:${port}' }, ${live} })`,
	];
	await withTree(spec("master: { heartbeat: { every: '1s', timeout: '60s' } },", children), async (tree) => {
		await tree.up();
		const before = await lives(tree);
		const { pid } = await masterOf(tree);
		signal(pid, 'SIGSTOP');
		await pass(15_000);
		assert.ok(isAlive(identify(Number(await say(port)))), 'the workers go on without their master');
		signal(pid, 'SIGCONT');
		await tree.until('the master answers', () => masterOf(tree));
		// That nobody is killed: neither at once, for the beats that were missed, nor after a limit of its own.
		await pass(JUDGED_MS);
		assert.deepEqual(await lives(tree), before);
		assert.equal((await masterOf(tree)).pid, pid);
		assert.deepEqual(
			tree.events().filter(({ event }) => event === 'child.dead' || event === 'child.restart' || event === 'master.hung'),
			[],
		);
	});
});

const CARE = `master: { heartbeat: { every: '200ms', timeout: '${LIMIT_MS}ms' }, backoff: { from: 50, to: 100 } },`;

test('a master that does not come back within its limit is replaced, and its workers are adopted', async () => {
	const [port, other] = [await freePort(), await freePort()];
	const web = `node('web', { module: './worker.ts', args: ['serve'], ${BEAT}, listen: { http: '127.0.0.1:${port}' } })`;
	await withTree(spec(CARE, [web, beating('one'), own(other)]), async (tree) => {
		await tree.up();
		const old = await remember(tree, 'web', 'one', 'own');
		const { pid } = await masterOf(tree);
		const stopped = identify(pid);
		signal(pid, 'SIGSTOP');
		const master = await takenOver(tree, pid, old);
		assert.equal(master.incarnation, 2);
		assert.equal(isAlive(stopped), false);
		assert.equal(await say(port), String((await tree.child('web')).pid));
		assert.equal(tree.events().filter(({ event }) => event === 'master.hung').length, 1);
		assert.equal((await tree.child('own')).lastExit?.reason ?? 'none', 'none', 'it never failed on its port');
	});
});

test('a master that is killed is replaced, again and again: its workers are adopted, none twice, no orphans', async () => {
	const [port, other] = [await freePort(), await freePort()];
	const web = `node('web', { module: './worker.ts', args: ['serve'], ${BEAT}, listen: { http: '127.0.0.1:${port}' } })`;
	await withTree(spec(CARE, [web, beating('one'), own(other)]), async (tree) => {
		const { pid: angel } = await tree.up();
		for (let n = 1; n <= 3; n++) {
			const old = await remember(tree, 'web', 'one', 'own');
			const { pid, incarnation } = await masterOf(tree);
			assert.equal(incarnation, n);
			signal(pid, 'SIGKILL');
			await takenOver(tree, pid, old);
			assert.equal(await say(port), String((await tree.child('web')).pid));
		}
		// Angel, its printer, the master and the three children.
		await tree.until('nobody else is there', async () => {
			const children = await remember(tree, 'web', 'one', 'own');
			const known = [angel, (await masterOf(tree)).pid, ...children.map(({ pid }) => pid)];
			const others = tree.strays().filter(({ pid }) => !known.includes(pid));
			assert.equal(others.length, 1, JSON.stringify(others));
			return true;
		});
	});
});

test('an angel that was itself paused for longer than the limit keeps its master', async () => {
	await withTree(spec(CARE, [beating('one')]), async (tree) => {
		const { pid: angel } = await tree.up();
		const before = await lives(tree);
		const { pid } = await masterOf(tree);
		signal(angel, 'SIGSTOP');
		await pass(JUDGED_MS);
		signal(angel, 'SIGCONT');
		// That the master is not killed for what the angel could not hear.
		await pass(JUDGED_MS);
		assert.equal((await masterOf(tree)).pid, pid);
		assert.deepEqual(await lives(tree), before);

		// As when the whole machine sleeps: nobody has heard anybody, and the angel is the first to wake.
		const all = [angel, pid, (await tree.child('one')).pid];
		for (const each of all) signal(each, 'SIGSTOP');
		await pass(JUDGED_MS);
		signal(angel, 'SIGCONT');
		// It is awake while the others are not.
		await request(socketPath(tree.dir, 'angel.sock'), 'status');
		for (const each of all) signal(each, 'SIGCONT');
		await pass(JUDGED_MS);
		assert.equal((await masterOf(tree)).pid, pid);
		assert.deepEqual(await lives(tree), before);
		assert.deepEqual(
			tree.events().filter(({ event }) => event === 'master.hung' || event === 'child.dead'),
			[],
		);
	});
});

test('a program that stops answering its probes is hung and replaced', async () => {
	const port = await freePort();
	const serve = `require("http").createServer((_, response) => response.end()).listen(${port}, "127.0.0.1")`;
	const children = [
		`command('http', {
			run: [${JSON.stringify(process.execPath)}, '-e', '${serve}'], ready: { tcp: ${port} },
			live: { http: 'http://127.0.0.1:${port}', every: '100ms', timeout: '1s', failures: 2 },
		})`,
		`command('exec', {
			run: ['sh', '-c', 'rm -f sick; echo well; exec sleep 1000'], ready: { output: /well/ },
			live: { exec: ['test', '!', '-e', 'sick'], every: '100ms', timeout: '2s', failures: 3 },
		})`,
	];
	await withTree(spec('', children), async (tree) => {
		await tree.up();
		signal((await tree.child('http')).pid, 'SIGSTOP');
		tree.write('sick', '');
		for (const path of ['http', 'exec']) {
			const { lastExit } = await tree.incarnation(path, 2);
			assert.deepEqual([lastExit?.reason, lastExit?.signal], ['hung', 'SIGKILL']);
			const said = tree.events().filter((event) => event.path === path);
			assert.deepEqual(
				said.slice(0, 5).map(({ event }) => event),
				['child.starting', 'child.running', 'child.suspect', 'child.draining', 'child.dead'],
			);
		}
	});
});

test('each kind of readiness waits for what it says', async () => {
	const [tcp, http] = [await freePort(), await freePort()];
	const when = (id: string, then: string) => `['sh', '-c', 'while ! [ -e ${id}.go ]; do sleep 0.05; done; ${then}']`;
	const nodeRuns = (file: string) => `exec ${process.execPath} ${file}`;
	const children = [
		`command('tcp', { run: ${when('tcp', nodeRuns('tcp.cjs'))}, ready: { tcp: ${tcp} } })`,
		`command('http', {
			run: ${when('http', nodeRuns('http.cjs'))}, ready: { http: 'http://127.0.0.1:${http}/', status: 204, every: '50ms' },
		})`,
		`command('output', { run: ${when('output', 'echo not yet; echo now READY; exec sleep 1000')}, ready: { output: /^now READY$/ } })`,
		`command('exec', { run: ['sleep', '1000'], ready: { exec: ['test', '-e', 'exec.go'], every: '50ms' } })`,
		`node('signal', { module: './signal.ts', ready: 'signal' })`,
		`command('after', { run: ['sleep', '1000'], ready: { after: '700ms' } })`,
		`command('spawned', { run: ['sleep', '1000'], ready: 'spawned' })`,
	];
	const files = {
		...spec("start: 'parallel',", children),
		'tcp.cjs': `require('node:net').createServer().listen(${tcp}, '127.0.0.1')`,
		// Only its fourth answer is the one that counts.
		'http.cjs': `
let asked = 0;
require('node:http').createServer((_, response) => response.writeHead(++asked > 3 ? 204 : 503).end()).listen(${http}, '127.0.0.1');
`,
		'signal.ts': `
import { existsSync } from 'node:fs';
import { ready } from 'choir/worker';
setInterval(() => existsSync('signal.go') && ready(), 20);
`,
	};
	await withTree(files, async (tree) => {
		tree.run();
		await tree.until('those that wait for nothing are ready', async () => {
			const { after, spawned } = await lives(tree);
			return after?.startsWith('running') && spawned?.startsWith('running');
		});
		const [starting, running] = tree.events().filter(({ path, event }) => path === 'after' && /starting|running/.test(event));
		assert.ok((running?.at as number) - (starting?.at as number) >= 698);
		for (const path of ['tcp', 'http', 'output', 'exec', 'signal']) {
			assert.equal((await tree.status()).state, 'starting');
			const before = await tree.child(path);
			assert.deepEqual([before.state, before.substate], ['starting', 'warming'], path);
			tree.write(`${path}.go`, '');
			const after = await tree.incarnation(path, 1);
			assert.equal(after.pid, before.pid);
		}
		await tree.running();
	});
});

test('who is not ready in time is killed, with reason startFailed; in the first start that is the end of the tree', async () => {
	const late = (whenExhausted: string) =>
		spec('', [
			`command('late', {
				run: ['sleep', '1000'], ready: { exec: ['false'], timeout: '400ms' },
				restart: { type: 'permanent', whenExhausted: '${whenExhausted}', intensity: { restarts: 1, within: '1m' }, backoff: 0 },
			})`,
		]);
	await withTree(late('giveUp'), async (tree) => {
		tree.run();
		const child = await tree.until('it is given up', async () => {
			const late = await tree.child('late');
			return late.standing === 'gaveUp' && late;
		});
		assert.deepEqual([child.incarnation, child.lastExit?.reason, child.lastExit?.signal], [2, 'startFailed', 'SIGKILL']);
		assert.match(child.note ?? '', /not ready within 400/);
	});
	await withTree(late('escalate'), async (tree) => {
		const { code, stderr } = await tree.ended(tree.run());
		assert.equal(code, 1);
		assert.match(stderr, /^the tree did not start: late .*not ready within 400.*\n$/);
	});
});

test.run();
