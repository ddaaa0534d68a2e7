/** A tree as a library call: what it gives, and that it leaves nothing. */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import http from 'node:http';
import os from 'node:os';
import path from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { assign, fromCallback, fromPromise, setup } from 'xstate';
import { isAlive, startTicks } from '../src/hosts/proc.ts';
import { actor, dynamic, type News, node, SpecError, StartError, start, supervisor, tree } from '../src/index.ts';
import { Feed } from '../src/library/feed.ts';
import { freePort } from './support/port.ts';
import { turn, until, within } from './support/until.ts';

const LIMIT_MS = 30_000;
/** What runs processes is the built choir, as users have it: their preload is JavaScript. */
const dist = new URL('../dist/src/index.js', import.meta.url).href;
const built = () => import(dist) as Promise<typeof import('../src/index.ts')>;

const idle = setup({}).createMachine({ on: { never: {} } });
const counting = setup({
	types: {} as {
		context: { n: number; told: (n: number) => void };
		input: (n: number) => void;
		events: { type: 'add' } | { type: 'break' };
	},
	actions: {
		fail: () => {
			throw new Error('broken');
		},
	},
}).createMachine({
	context: ({ input }) => ({ n: 0, told: input }),
	on: {
		add: { actions: [assign({ n: ({ context }) => context.n + 1 }), ({ context }) => context.told(context.n)] },
		break: { actions: 'fail' },
	},
});

/** A folder for whatever a tree writes. */
async function inFolder(look: (folder: string) => Promise<void>): Promise<void> {
	const folder = fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), 'cl-')));
	const before = process.env.CHOIR_HOME;
	process.env.CHOIR_HOME = path.join(folder, 'home');
	try {
		await look(folder);
	} finally {
		if (before === undefined) delete process.env.CHOIR_HOME;
		else process.env.CHOIR_HOME = before;
		fs.rmSync(folder, { recursive: true, force: true });
	}
}

/** Runs a script that imports the built choir, in a process of its own. */
function script(folder: string, text: string): { status: number | null; stdout: string; stderr: string } {
	const file = path.join(folder, 'main.mjs');
	const imports = `import { actor, command, start, tree } from ${JSON.stringify(dist)}; import { fromCallback, setup } from ${JSON.stringify(import.meta.resolve('xstate'))};\n`;
	fs.writeFileSync(file, imports + text);
	return spawnSync(process.execPath, [file], { cwd: folder, encoding: 'utf8', timeout: LIMIT_MS });
}

test('a tree of actors runs, says how it is, and touches no disk', () =>
	inFolder(async (folder) => {
		const running = await start(
			tree('t', {
				children: [
					actor('a', { logic: idle }),
					supervisor('s', { strategy: 'rest_for_one', children: [actor('b', { logic: idle, instances: 2 })] }),
				],
			}),
		);
		const { tree: name, state, children } = running.status();
		assert.equal([name, state], ['t', 'running']);
		assert.equal(
			children.map(({ path: at, kind, state: is, pid }) => [at, kind, is, pid]),
			[
				['a', 'actor', 'running', null],
				['s', 'supervisor', 'running', null],
			],
		);
		assert.equal(
			children[1]?.children?.map(({ path: at }) => at),
			['s/b.1', 's/b.2'],
		);
		await running.stop();
		assert.equal(await running.ended, { why: 'asked', reason: 'shutdown', message: 'asked to stop' });
		assert.is(running.status().state, 'dead');
		assert.equal(fs.readdirSync(folder), []);
		await running.stop();
	}));

test('a bad spec is refused with all that is wrong', async () => {
	try {
		await start(
			tree('t', { children: [actor('a', { logic: 7 as never }), actor('a', { logic: idle }), node('n', { module: './nowhere.js' })] }),
		);
		assert.unreachable();
	} catch (error) {
		assert.instance(error, SpecError);
		assert.is((error as SpecError).problems.length, 3);
		assert.is((error as SpecError).code, 'SPEC_INVALID');
	}
});

test('a child that does not start: what had started is stopped before anybody hears of it', async () => {
	const order: string[] = [];
	const good = fromCallback(() => {
		order.push('up');
		return () => void order.push('down');
	});
	const bad = fromCallback(() => {
		throw new Error('not today');
	});
	try {
		await start(tree('t', { children: [actor('good', { logic: good }), actor('bad', { logic: bad }), actor('after', { logic: good })] }));
		assert.unreachable();
	} catch (error) {
		assert.instance(error, StartError);
		assert.is((error as StartError).code, 'START_FAILED');
		assert.match((error as StartError).message, /tree 't' did not start: bad did not start \(not today\)/);
	}
	assert.equal(order, ['up', 'down']);
});

test('a reference survives restarts; news say why', async () => {
	const seen: number[] = [];
	const news: News[] = [];
	const running = await start(tree('t', { children: [actor('a', { logic: counting, input: (n) => void seen.push(n) })] }), {
		news: (item) => void news.push(item),
	});
	const ref = running.ref('a');
	ref.send({ type: 'add' });
	ref.send({ type: 'add' });
	ref.send({ type: 'break' });
	ref.send({ type: 'add' });
	assert.equal(seen, [1, 2, 1]);
	const [child] = running.status().children;
	assert.equal([child?.incarnation, child?.restarts, child?.lastExit?.reason, child?.lastExit?.detail], [2, 1, 'crash', 'broken']);
	assert.equal(
		news.map(({ event }) => event),
		['actor.crashed', 'child.restart'],
	);
	assert.match(String(news[0]?.detail.stack), /broken[\s\S]*start\.test/);
	await running.stop();
});

test('resumed, it goes on from its last good snapshot', async () => {
	const seen: number[] = [];
	const running = await start(
		tree('t', { children: [actor('a', { logic: counting, input: (n) => void seen.push(n), resume: 'snapshot' })] }),
	);
	for (const type of ['add', 'add', 'break', 'add'] as const) running.ref('a').send({ type });
	assert.equal(seen, [1, 2, 3]);
	await running.stop();
});

test('there are no references to what is no actor', async () => {
	const running = await start(tree('t', { children: [actor('a', { logic: idle }), dynamic('d', { child: actor('m', { logic: idle }) })] }));
	assert.throws(
		() => running.ref('b' as never),
		(error: { code: string }) => error.code === 'not_found',
	);
	assert.throws(
		() => running.ref('d' as never),
		(error: { code: string }) => error.code === 'failed',
	);
	assert.is(running.ref('d/anybody').path, 'd/anybody');
	await running.stop();
});

test('children come and go, also with what they begin with', async () => {
	const seen: number[] = [];
	const logic = fromCallback<{ type: 'x' }, number>(({ input }) => void seen.push(input));
	const running = await start(
		tree('t', { children: [dynamic('pool', { child: actor('m', { logic, input: 0 }) }), supervisor('s', { children: [] })] }),
	);
	const pool = running.child('pool');
	assert.equal(await pool.startChild({ id: 'mine', input: 7 }), { path: 'pool/mine', incarnation: 1 });
	await pool.startChild({});
	assert.equal(seen, [7, 0]);
	await pool.terminateChild('mine');
	assert.equal(
		(await pool.whichChildren()).map(({ id }) => id),
		['m-1'],
	);
	assert.equal(await running.child('s').startChild(actor('late', { logic: idle })), { path: 's/late', incarnation: 1 });
	assert.is((await running.child('').countChildren()).supervisors, 2);
	try {
		await running.child('s').deleteChild('late');
		assert.unreachable();
	} catch (error) {
		assert.is((error as { code: string }).code, 'running');
	}
	await running.stop();
});

test('an exhausted tree ends, and says so', async () => {
	const logic = fromPromise(async () => {
		await turn();
		throw new Error('never well');
	});
	const running = await start(tree('t', { intensity: { restarts: 2, within: '10s' }, children: [actor('a', { logic })] }));
	const end = await within('it is exhausted', running.ended);
	assert.is(end.why, 'exhausted');
	assert.match(end.message, /never well/);
	await running.stop();
});

test('a stop can be hastened, also from within', async () => {
	const deaf = setup({}).createMachine({ on: { 'choir.drain': { actions: () => {} } } });
	const running = await start(tree('t', { children: [actor('a', { logic: deaf, stop: { drain: 'infinity' } })] }));
	const stopped = running.stop();
	await until('it drains', () => running.status().children[0]?.state === 'draining');
	await running.stop('kill');
	await stopped;
	assert.is(running.status().children[0]?.lastExit?.reason, 'killed');
	const inner = await start(
		tree('t', {
			children: [
				actor('a', { logic: setup({}).createMachine({ on: { end: { actions: () => void inner.stop() } } }) }),
				actor('b', { logic: idle }),
			],
		}),
	);
	inner.ref('a').send({ type: 'end' } as never);
	assert.is((await within('it ends', inner.ended)).why, 'asked');
});

test('transitions can be read along; who does not keep up finds a gap, and the feed ends with the tree', async () => {
	const running = await start(
		tree('t', { intensity: { restarts: 10_000, within: '10s' }, children: [actor('a', { logic: counting, input: () => {} })] }),
	);
	const slow = running.events();
	const left = running.events();
	await left.return?.();
	for (let count = 0; count < 400; count++) running.ref('a').send({ type: 'break' });
	await running.stop();
	const items = [];
	for await (const item of slow) items.push(item);
	assert.is(items.length, 1_001);
	assert.equal(
		items.slice(0, 1).map((item) => item.type === 'transition' && [item.path, item.incarnation, item.from, item.to, item.exit?.reason]),
		[['a', 1, 'running.healthy', 'dead', 'crash']],
	);
	const last = items.at(-1);
	assert.ok(last?.type === 'gap' && last.missed > 400);
	assert.equal(await running.events().next(), { done: true, value: undefined });
});

test('a feed: what was missed stands where it is missing', async () => {
	const feed = new Feed<number>(2);
	const reader = feed.read();
	assert.ok(feed.isRead);
	for (const item of [1, 2, 3, 4]) feed.put(item);
	const next = async () => (await reader.next()).value;
	assert.equal([await next(), await next(), await next()], [1, 2, { type: 'gap', missed: 2 }]);
	const waiting = next();
	feed.put(5);
	assert.is(await waiting, 5);
	const last = reader.next();
	feed.end();
	assert.equal(await last, { done: true, value: undefined });
});

test('actors that wait for nothing keep no process alive; what they do does', () =>
	inFolder(async (folder) => {
		const idleTree = `const running = await start(tree('t', { children: [actor('a', { logic: setup({}).createMachine({}) })] })); console.log(running.status().state);`;
		const { status, stdout, stderr } = script(folder, idleTree);
		assert.equal([status, stdout, stderr], [0, 'running\n', '']);
		const busy = `const running = await start(tree('t', { children: [actor('a', { logic: fromCallback(() => { setTimeout(() => { console.log('late'); running.stop(); }, 50); }) })] }));`;
		assert.is(script(folder, busy).stdout, 'late\n');
		const over = `const running = await start(tree('t', { intensity: { restarts: 0, within: '1s' }, children: [actor('a', { logic: fromCallback(() => { setTimeout(() => { throw new Error('end'); }, 1); }) })] })); await running.ended; await running.stop();`;
		assert.is(script(folder, over).status, 0);
	}));

test('processes: started, reached, restarted and stopped, in the folder of their tree', () =>
	inFolder(async (folder) => {
		const choir = await built();
		fs.writeFileSync(
			path.join(folder, 'web.mjs'),
			`import http from 'node:http';
			http.createServer((request, response) => { if (request.url === '/exit') process.exit(3); response.end(String(process.pid)); }).listen(Number(process.env.PORT));`,
		);
		const port = await freePort();
		const spec = choir.tree('lib', {
			children: [
				choir.node('web', { module: './web.mjs', listen: { http: port }, env: { PORT: String(port) }, restart: { backoff: 0 } }),
				choir.command('sleep', { run: ['sleep', '1000'] }),
				choir.actor('a', { logic: idle }),
			],
		});
		const running = await choir.start(spec, { base: folder });
		const first = Number(await ask(port, '/'));
		assert.is(running.status().children[0]?.pid, first);
		const pids = () => running.status().children.map(({ pid }) => pid);
		try {
			await choir.start(spec, { base: folder });
			assert.unreachable();
		} catch (error) {
			assert.is((error as { code: string }).code, 'ALREADY_RUNNING');
		}
		await ask(port, '/exit').catch(() => {});
		await until(
			'it is restarted',
			() => running.status().children[0]?.incarnation === 2 && running.status().children[0]?.state === 'running',
		);
		const second = Number(await ask(port, '/'));
		assert.ok(second !== first);
		const living = pids()
			.filter((pid) => pid !== null)
			.map((pid) => ({ pid, startTicks: startTicks(pid) ?? 0 }));
		assert.is(living.length, 2);
		await running.stop('fast');
		assert.equal(living.filter(isAlive), []);
		const [crash] = running.status().children;
		assert.is(crash?.lastExit?.reason, 'shutdown');
		// The name is free again.
		const again = await choir.start(spec, { base: folder });
		await again.stop('kill');
	}));

test('processes end with the process that runs their tree', () =>
	inFolder(async (folder) => {
		const text = `const running = await start(tree('lib', { children: [command('sleep', { run: ['sleep', '1000'] })] })); console.log(running.status().children[0].pid); `;
		const { status, stdout } = script(folder, `${text} process.exit(5);`);
		assert.is(status, 5);
		const pid = Number(stdout);
		await until('it is gone', () => !isAlive({ pid, startTicks: startTicks(pid) ?? 0 }));
		// Also those of one that was killed: by the next.
		const killed = script(folder, `${text} process.kill(process.pid, 'SIGKILL');`);
		const left = { pid: Number(killed.stdout), startTicks: startTicks(Number(killed.stdout)) ?? 0 };
		assert.ok(isAlive(left));
		script(folder, `${text} process.exit(0);`);
		assert.not(isAlive(left));
	}));

function ask(port: number, at: string): Promise<string> {
	return new Promise((resolve, reject) => {
		const request = http
			.get({ port, path: at, agent: false, timeout: LIMIT_MS }, (response) => {
				let text = '';
				response.setEncoding('utf8').on('data', (chunk) => {
					text += chunk;
				});
				response.on('end', () => resolve(text));
			})
			.on('timeout', () => request.destroy(new Error(`no answer within ${LIMIT_MS} ms`)))
			.on('error', reject);
	});
}

test.run();
