/** Reloads of real trees under load: no request fails, whether the new version works or not. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'uvu';
import { request } from '../src/control/client.ts';
import { socketPath } from '../src/home.ts';
import { load, textBehind } from './support/load.ts';
import { freePort, type RealTree, signal, withTree } from './support/real.ts';
import { library, soak, spec, unmodified } from './support/reloading.ts';

const pidOf = async (tree: RealTree, path: string) => (await tree.child(path)).pid;
const webPids = (tree: RealTree) => tree.until('both are known', async () => [await pidOf(tree, 'web.1'), await pidOf(tree, 'web.2')]);

test('twenty reloads under constant load, of a worker that knows choir and of an unmodified server: no request fails, and each version answers', async () => {
	const [port, other] = [await freePort(), await freePort()];
	const brief = ", reload: { soak: '50ms' }, stop: { drain: '2s' }";
	const plain = `node('plain', { module: './plain.ts', instances: 2, listen: { http: '127.0.0.1:${other}' } ${brief} }),`;
	const tree_ts = spec(port, plain, brief).replace(`, ${soak}`, '');
	const versions = ['v0'];
	await withTree({ 'tree.ts': tree_ts, 'web.ts': library('v0'), 'plain.ts': unmodified('v0', other) }, async (tree) => {
		await tree.up();
		const cache = await pidOf(tree, 'cache');
		const loads = [load(port, { perSecond: 200 }), load(other, { perSecond: 200 })];
		for (let n = 1; n <= 20; n++) {
			const before = await webPids(tree);
			versions.push(`v${n}`);
			tree.write('web.ts', library(`v${n}`));
			tree.write('plain.ts', unmodified(`v${n}`, other));
			const { code, stdout, stderr } = await tree.cli('reload', '--wait');
			assert.equal(code, 0, stderr);
			assert.match(stdout, /web\.1 +replaced, beside the old one \(code\)[\s\S]*t reloaded: generation/);
			const after = await webPids(tree);
			assert.ok(after.every((pid) => !before.includes(pid)));
			assert.deepEqual([await textBehind(port), await textBehind(other)], [`v${n}`, `v${n}`]);
		}
		for (const { stop } of loads) {
			const { answered, failed, answers } = await stop();
			assert.deepEqual(failed, []);
			assert.ok(answered > 2_000, `only ${answered} requests`);
			assert.deepEqual(new Set(answers.keys()), new Set(versions));
		}
		assert.equal(await pidOf(tree, 'cache'), cache);
		const { generation, children } = await tree.status();
		assert.deepEqual([generation, children.map((child) => child.generation)], [21, [21, 21, 1, 21, 21]]);
	});
});

const broken: Array<[what: string, text: string, reason: RegExp, web?: string]> = [
	['throws', "throw new Error('no');", /the new web\.\d ended with code 1 before it was ready/],
	['exits with 78', 'process.exit(78);', /the new web\.\d ended with code 78 before it was ready/],
	['never gets ready', 'setInterval(() => {}, 1_000);', /not ready within 700 ms/, ", reload: { soak: '300ms', timeout: '700ms' }"],
	['crashes in the soak', `${library('bad')} setTimeout(() => process.exit(3), 150);`, /the new web\.\d crashed with code 3/],
	['does not compile', 'const = 1;', /the new web\.\d did not start/],
];
for (const [what, text, reason, web = ''] of broken)
	test(`a version that ${what} is rolled back, and no request fails`, async () => {
		const port = await freePort();
		const tree_ts = spec(port, '', web).replace(web === '' ? '\0' : `${soak} ,`, '');
		await withTree({ 'tree.ts': tree_ts, 'web.ts': library('v1') }, async (tree) => {
			await tree.up();
			const pids = await webPids(tree);
			const { stop } = load(port, { perSecond: 200 });
			tree.write('web.ts', text);
			const { code, stderr } = await tree.cli('reload', '--wait');
			const status = await tree.status();
			const { failed, answers } = await stop();
			assert.equal(code, 1, stderr);
			assert.match(stderr, /^t was not reloaded, and runs as before: /);
			assert.match(stderr, reason);
			assert.deepEqual(failed, []);
			assert.deepEqual([...answers.keys()], ['v1']);
			assert.deepEqual(await webPids(tree), pids);
			assert.deepEqual([status.generation, status.reload?.generation, status.reload?.state], [1, 2, 'rolledBack']);
			assert.match(status.reload?.reason ?? '', reason);
			assert.match((await tree.cli('status')).stdout, /reload to generation 2: rolledBack: the new web/);
		});
	});

test('a bad spec is refused with all that is wrong, and nothing is touched', async () => {
	const port = await freePort();
	await withTree({ 'tree.ts': spec(port), 'web.ts': library('v1') }, async (tree) => {
		await tree.up();
		const pids = await webPids(tree);
		tree.write('tree.ts', spec(port, "command('x', { run: 7, restart: 'sometimes' }),"));
		for (const args of [['--wait'], ['--plan'], []]) {
			const { code, stderr } = await tree.cli('reload', ...args);
			assert.equal(code, 78, stderr);
			assert.match(stderr, /children\[2\]\.run: expected/);
			assert.match(stderr, /children\[2\]\.restart: expected/);
		}
		tree.write('tree.ts', spec(port).replace("tree('t'", "tree('other'"));
		assert.match((await tree.cli('reload', '--wait')).stderr, /expected tree\('t', …\), which runs, got tree\('other', …\)/);
		assert.deepEqual(await webPids(tree), pids);
		assert.equal((await tree.status()).reload?.state, 'refused');
	});
});

test('only what has changed is touched: planned first, then done', async () => {
	const port = await freePort();
	const more =
		"command('old', { run: ['sleep', '1000'] }), supervisor('s', { children: [command('job', { run: ['sleep', '1'], env: { V: '1' } }), command('kept', { run: ['sleep', '1000'] })] })";
	await withTree({ 'tree.ts': spec(port, more.replace("'1']", "'1000']")), 'web.ts': library('v1') }, async (tree) => {
		await tree.up();
		const [web, cache, kept, job, old] = await Promise.all(['web.1', 'cache', 's/kept', 's/job', 'old'].map((path) => pidOf(tree, path)));
		const next =
			"command('new', { run: ['sleep', '1000'], restart: 'transient' }), supervisor('s', { strategy: 'rest_for_one', children: [command('job', { run: ['sleep', '1000'], env: { V: '2' } }), command('kept', { run: ['sleep', '1000'], restart: { strategy: 'one_for_one' } })] })";
		tree.write('tree.ts', spec(port, next, ", stop: { drain: '7s' }"));
		const plan = await tree.cli('reload', '--plan', '--json');
		const changes = JSON.parse(plan.stdout).changes as Array<{ path: string; change: string }>;
		assert.deepEqual(
			changes.map(({ path, change }) => `${path} ${change}`),
			['web.1 changed', 'web.2 changed', 'cache kept', 'new added', 's changed', 's/job replaced', 's/kept kept', 'old removed'],
		);
		assert.equal(await pidOf(tree, 'old'), old);
		const { code, stdout, stderr } = await tree.cli('reload', '--wait', '--json');
		assert.equal(code, 0, stderr);
		assert.deepEqual(JSON.parse(stdout).changes, changes);
		assert.deepEqual(await Promise.all(['web.1', 'cache', 's/kept'].map((path) => pidOf(tree, path))), [web, cache, kept]);
		assert.notEqual(await pidOf(tree, 's/job'), job);
		assert.equal((await tree.child('new')).state, 'running');
		const { children } = await tree.status();
		assert.deepEqual(
			children.map(({ path }) => path),
			['web.1', 'web.2', 'cache', 'new', 's'],
		);
		assert.equal(children[4]?.strategy, 'rest_for_one');
		assert.equal((await tree.cli('reload', '--wait')).stdout, 'nothing has changed\n');
	});
});

test('HUP reloads; many, and many requests meanwhile, are one more; a stop in the middle ends all', async () => {
	const port = await freePort();
	await withTree({ 'tree.ts': spec(port), 'web.ts': library('v1') }, async (tree) => {
		const run = await tree.up();
		tree.write('web.ts', library('v2'));
		signal(run.pid, 'SIGHUP');
		await tree.until('v2 answers alone', async () => (await tree.status()).generation === 2 && (await textBehind(port)) === 'v2');
		tree.write('web.ts', library('v3'));
		const first = tree.cli('reload', '--wait', '--json');
		await tree.until('the new ones soak', async () => (await tree.status()).reload?.state === 'soaking');
		tree.write('web.ts', library('v4'));
		// Without commands, which take their time to start: these come while the first one soaks.
		const ask = () => request(socketPath(tree.dir, 'control.sock'), 'reload', { wait: true }, { timeoutMs: 0 });
		const others = (await Promise.all([ask(), ask(), ask()])) as Array<{ generation: number }>;
		const generations = [JSON.parse((await first).stdout), ...others].map(({ generation }) => generation);
		assert.deepEqual(generations, [3, 4, 4, 4]);
		assert.equal(await textBehind(port), 'v4');
		tree.write('web.ts', library('v5'));
		const last = tree.cli('reload', '--wait');
		await tree.until('the new ones soak', async () => (await tree.status()).reload?.state === 'soaking');
		signal(run.pid, 'SIGTERM');
		assert.equal((await tree.ended(run)).code, 0);
		assert.equal((await last).code, 1);
	});
});

for (const module of ['web.ts', 'web.mjs'])
	test(`an old one of ${module} that crashes before the switch, or after a version that was rolled back, comes back as it was`, async () => {
		const port = await freePort();
		const version = (v: string) =>
			spec(port, '', `, env: { V: '${v}' }`).replace("soak: '300ms'", "soak: '1500ms'").replace('web.ts', module);
		const answer = (v: string) => `${v} ' + process.env.V + '`;
		const worker = (v: string) => (module === 'web.ts' ? library(answer(v)) : unmodified(answer(v), port));
		await withTree({ 'tree.ts': version('old'), [module]: worker('first') }, async (tree) => {
			await tree.up();
			// Of a file that Node runs as it is, a copy is made in the background.
			await tree.until('there is a copy', () => fs.readdirSync(path.join(tree.dir, 'modules')).some((name) => name.endsWith('.mjs')));
			assert.equal(await textBehind(port), 'first old');
			const crash = async (incarnation: number) => {
				signal(await pidOf(tree, 'web.1'), 'SIGKILL');
				const again = await tree.incarnation('web.1', incarnation);
				assert.equal((again as { generation?: number }).generation, 1);
				for (let n = 0; n < 10; n++) assert.equal(await textBehind(port), 'first old');
			};
			tree.write(module, "throw new Error('no');");
			assert.equal((await tree.cli('reload', '--wait')).code, 1);
			const { incarnation } = await tree.child('web.1');
			await crash(incarnation + 1);
			tree.write('tree.ts', version('new'));
			tree.write(module, worker('second'));
			const reload = tree.cli('reload', '--wait');
			await tree.until('the new ones soak', async () => (await tree.status()).reload?.state === 'soaking');
			await crash(incarnation + 2);
			assert.equal((await reload).code, 0);
			assert.equal(await textBehind(port), 'second new');
		});
	});

test.run();
