/** Real processes: the live page as users meet it. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { test } from 'uvu';
import { freePort, type RealTree, signal, withTree } from './support/real.ts';
import { within } from './support/until.ts';
import { ask, Page } from './support/viewing.ts';

const files = (view = '') => ({
	'tree.ts': `
import { command, node, supervisor, tree } from 'choir';
export default tree('t', { ${view} children: [
	command('a', { run: ['sleep', '1000'] }),
	supervisor('s', { children: [node('b', { module: './b.ts', restart: { backoff: 0 } })] }),
] });
`,
	'b.ts': `
import { status } from 'choir/worker';
status('\\x1b[31m<b>fine</b>');
console.log('\\x1b]0;title\\x07<script>alert(1)</script>');
setInterval(() => {}, 1000);
`,
});

/** What was said of the page so far. */
const opened = (tree: RealTree) => tree.events().filter(({ event }) => event === 'view.open');

async function addressOf(tree: RealTree): Promise<string> {
	const { message } = await tree.until('the address is said', () => opened(tree).at(-1));
	return /http:\S+/.exec(message)?.[0] as string;
}

test('`choir run` says the address; a worker that is killed is seen on its way within 200 ms, and restarted from the page', () =>
	withTree(files(), async (tree) => {
		const run = await tree.up();
		const address = await addressOf(tree);
		assert.match(address, /^http:\/\/127\.0\.0\.1:\d+\/[\w-]{24}\/$/);
		const printed = await tree.until('it is printed, as JSON', () =>
			run
				.stdout()
				.split('\n')
				.find((line) => line.includes('view.open')),
		);
		assert.deepEqual([JSON.parse(printed).event, JSON.parse(printed).msg], ['view.open', `the live page: ${address}`]);

		const page = await Page.open(address);
		const hello = await page.next('hello');
		const { angel, master } = await tree.status();
		assert.deepEqual(
			[hello.tree, hello.angel.pid, hello.master, hello.readOnly],
			['t', angel.pid, { pid: master.pid, incarnation: 1 }, false],
		);
		await page.next('tree');
		assert.deepEqual(page.row('s/b')?.state, 'running');
		page.say({ do: 'select', path: 's/b' });
		await page.next('output', ({ lines }) => lines.includes('␛]0;title␇<script>alert(1)</script>'));
		await page
			.next('rows', ({ rows }) => rows.some(({ says }) => says === '␛[31m<b>fine</b>'))
			.catch(() => assert.equal(page.row('s/b')?.says, '␛[31m<b>fine</b>'));

		const at = page.heard.length;
		const killedAt = performance.now();
		signal(page.row('s/b')?.pid as number, 'SIGKILL');
		await page.next('steps', ({ steps }) => steps.some(({ path: of, to }) => of === 's/b' && to === 'dead'), at);
		assert.ok(performance.now() - killedAt < 200, `${performance.now() - killedAt} ms`);
		await page.next(
			'rows',
			({ rows }) => rows.some(({ path: of, incarnation, state }) => of === 's/b' && incarnation === 2 && state === 'running'),
			at,
		);
		assert.deepEqual([page.row('s/b')?.lastExit?.signal, page.row('s/b')?.restarts], ['SIGKILL', 1]);
		const states = page.heard
			.slice(at)
			.flatMap((message) => (message.say === 'steps' ? message.steps : []))
			.filter(({ path: of }) => of === 's/b');
		assert.deepEqual(
			states.filter(({ from, to }) => from !== to).map(({ to }) => to),
			['dead', 'starting.launching', 'starting.warming', 'running.healthy'],
		);

		page.say({ do: 'operate', id: 7, what: 'restart', path: 's/b' });
		assert.deepEqual(await page.next('done'), { say: 'done', id: 7, ok: true, message: 's/b was restarted' });
		assert.equal((await tree.child('s/b')).incarnation, 3);
		const asked = tree.events().find(({ event }) => event === 'operation.asked');
		assert.deepEqual([asked?.what, asked?.path, asked?.by], ['restart', 's/b', 'page']);

		page.say({ do: 'visible', paths: ['a', 's/b'] });
		const { rows } = await page.next('measured');
		assert.ok(rows.length === 2 && rows.every(({ memoryBytes }) => (memoryBytes ?? 0) > 100_000), JSON.stringify(rows));

		const from = performance.now();
		signal(run.pid, 'SIGTERM');
		assert.equal((await tree.ended(run)).code, 0);
		assert.ok(performance.now() - from < 5_000, 'a page that is open holds up no stop');
		assert.equal(await within('the page is ended', page.closed), 1001);
		assert.equal(fs.existsSync(path.join(tree.dir, 'view.json')), false);
		for (const frame of page.frames) assert.doesNotMatch(frame, /[\x00-\x08\x0b-\x1f\x7f-\x9f]/);
	}));

test('in the background there is a page once `choir view` asks; a next master serves at the same address, a next run at another', () =>
	withTree(files(), async (tree) => {
		assert.equal((await tree.start()).code, 0);
		assert.deepEqual(opened(tree), []);
		assert.equal(fs.existsSync(path.join(tree.dir, 'view.json')), false);
		const first = await tree.cli('view');
		assert.equal(first.code, 0);
		const address = first.stdout.trim();
		assert.deepEqual(JSON.parse((await tree.cli('view', 't', '--json')).stdout), { address, readOnly: false });
		assert.equal(opened(tree).length, 1);
		assert.equal(fs.statSync(path.join(tree.dir, 'view.json')).mode & 0o777, 0o600);
		assert.equal((await ask(address.replace(/\/[\w-]+\/$/, '/'))).status, 403);

		const page = await Page.open(address);
		signal((await tree.status()).master.pid as number, 'SIGKILL');
		await within('the page has lost its master', page.closed);
		const next = await tree.until('the next master serves', async () => {
			const again = await Page.open(address).catch(() => null);
			return again !== null && again;
		});
		assert.equal((await next.next('hello')).master.incarnation, 2);
		await next.next('tree');
		next.close();
		assert.equal((await tree.cli('stop')).code, 0);
		assert.equal((await tree.start()).code, 0);
		assert.notEqual((await tree.cli('view')).stdout.trim(), address);
	}));

for (const [what, view, args, has] of [
	['`--no-view`', 'view: true,', ['--no-view'], false],
	['`view: false`', 'view: false,', [], false],
	['neither', '', [], true],
] as const) {
	test(`with ${what} \`choir run\` has ${has ? 'a page' : 'no page'}`, () =>
		withTree(files(view), async (tree) => {
			tree.launch(['run', 'tree.ts', ...args]);
			await tree.running();
			if (has) await addressOf(tree);
			assert.deepEqual([opened(tree).length > 0, fs.existsSync(path.join(tree.dir, 'view.json'))], [has, has]);
			assert.match((await tree.cli('view')).stdout, /^http:/);
		}));
}

test('a declared port that is in use is said, and fails no tree; once it is free, `choir view` has the page there', async () => {
	const port = await freePort();
	const other = net.createServer();
	await new Promise<void>((resolve) => other.listen(port, '127.0.0.1', resolve));
	await withTree(files(`view: ${port},`), async (tree) => {
		assert.equal((await tree.start()).code, 0);
		const { level, message } = await tree.until('it is said', () => tree.events().find(({ event }) => event === 'view.failed'));
		assert.equal(level, 'warn');
		assert.match(
			message,
			new RegExp(`^the live page cannot listen on port ${port} of 127\\.0\\.0\\.1: another process has it: free it, or declare`),
		);
		const refused = await tree.cli('view');
		assert.deepEqual([refused.code, refused.stdout], [1, '']);
		assert.equal(refused.stderr, `${message}\n`);
		await new Promise((resolve) => other.close(resolve));
		const { code, stdout } = await tree.cli('view');
		assert.equal(code, 0);
		assert.ok(stdout.startsWith(`http://127.0.0.1:${port}/`), stdout);
	});
});

test('beyond the loopback address a page is read-only, and a name that is not its own is refused', async () => {
	const port = await freePort();
	await withTree(files(`view: { host: '0.0.0.0', port: ${port}, hosts: ['choir.test'] },`), async (tree) => {
		assert.equal((await tree.start()).code, 0);
		const { address, readOnly } = JSON.parse((await tree.cli('view', '--json')).stdout);
		assert.equal(readOnly, true);
		assert.match((await tree.cli('view')).stdout, /\(read-only\)\n$/);
		const page = await Page.open(address);
		page.say({ do: 'operate', id: 1, what: 'stop', path: 'a' });
		assert.equal((await page.next('done')).ok, false);
		assert.equal((await tree.child('a')).state, 'running');
		page.close();
		assert.equal((await ask(address, { headers: { Host: 'evil.test' } })).status, 403);
		assert.notEqual((await ask(address, { headers: { Host: 'choir.test' } })).status, 403);
		assert.match(opened(tree)[0]?.message ?? '', /other machines reach it/);
	});
});

test.run();
