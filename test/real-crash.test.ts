/** Real processes: whoever is killed is replaced, again and again, and supervising costs no descriptors. */
import assert from 'node:assert/strict';
import { test } from 'uvu';
import { textBehind } from './support/load.ts';
import { freePort, identify, isAlive, openDescriptors, signal, withTree } from './support/real.ts';

const web = `
import { createServer } from 'node:http';
import { listener, ready } from 'choir/worker';
createServer((_, response) => response.end('ok')).listen(listener('http'), ready);
`;

test('whatever worker is killed is replaced, and status says so and how the one before ended', async () => {
	const port = await freePort();
	const files = {
		'tree.ts': `
import { command, node, supervisor, tree } from 'choir';
export default tree('t', {
	children: [
		node('web', { module: './web.ts', listen: { http: '127.0.0.1:${port}' } }),
		command('sleeper', { run: ['sleep', '1000'] }),
		supervisor('jobs', { children: [node('plain', { module: './plain.js' })] }),
	],
});
`,
		'web.ts': web,
		'plain.js': 'setInterval(() => {}, 1000);\n',
	};
	await withTree(files, async (tree) => {
		await tree.up();
		for (const path of ['web', 'sleeper', 'jobs/plain']) {
			const before = await tree.child(path);
			const victim = identify(before.pid);
			signal(before.pid, 'SIGKILL');
			const after = await tree.incarnation(path, before.incarnation + 1);
			assert.equal(after.incarnation, before.incarnation + 1);
			assert.equal(after.restarts, before.restarts + 1);
			const { reason, signal: by, code } = after.lastExit ?? {};
			assert.deepEqual({ reason, by, code }, { reason: 'killed', by: 'SIGKILL', code: null });
			assert.equal(isAlive(victim), false);
			assert.ok(isAlive(identify(after.pid)));
		}
		assert.equal(await textBehind(port), 'ok');
		const { code, stdout } = await tree.cli('status', '--json');
		assert.equal(code, 0);
		const [printed] = JSON.parse(stdout).children;
		assert.deepEqual([printed.incarnation, printed.lastExit.signal], [2, 'SIGKILL']);
		assert.ok(Math.abs(Date.now() - Date.parse(printed.lastExit.at)) < 60_000, `the time of its exit is a time: ${printed.lastExit.at}`);
	});
});

test('a Node worker that is killed twenty times in a row is back each time, all within 20 s', async () => {
	const times = 20;
	const port = await freePort();
	const files = {
		'tree.ts': `
import { node, tree } from 'choir';
export default tree('t', {
	intensity: { restarts: 100, within: '1m' },
	children: [node('web', { module: './web.ts', listen: { http: '127.0.0.1:${port}' } })],
});
`,
		'web.ts': web,
	};
	await withTree(files, async (tree) => {
		await tree.up();
		const from = performance.now();
		for (let n = 1; n <= times; n++) {
			const { pid, incarnation } = await tree.incarnation('web', n);
			assert.equal(incarnation, n);
			signal(pid, 'SIGKILL');
		}
		const last = await tree.incarnation('web', times + 1);
		const tookMs = performance.now() - from;
		console.log(`${times} kills of a Node worker, each replaced: ${Math.round(tookMs)} ms`);
		assert.equal(last.restarts, times);
		assert.equal(await textBehind(port), 'ok');
		assert.ok(tookMs < 20_000, `${Math.round(tookMs)} ms`);
	});
});

test('two hundred crashes leave no descriptor behind in angel and master', async () => {
	const warmUp = 20;
	const times = 200;
	const files = {
		'tree.ts': `
import { command, tree } from 'choir';
export default tree('t', {
	intensity: { restarts: 1000, within: '1m' },
	children: [command('sleeper', { run: ['sleep', '1000'], restart: { type: 'permanent', backoff: 0 } })],
});
`,
	};
	await withTree(files, async (tree) => {
		const { pid: angel } = await tree.up();
		const master = (await tree.status()).master.pid as number;
		const crash = async (until: number) => {
			for (let { pid, incarnation } = await tree.child('sleeper'); incarnation <= until; ) {
				signal(pid, 'SIGKILL');
				({ pid, incarnation } = await tree.incarnation('sleeper', incarnation + 1));
			}
		};
		// The first ones open what is kept: files of modules that are loaded late, event files.
		await crash(warmUp);
		const before = { angel: openDescriptors(angel), master: openDescriptors(master) };
		const from = performance.now();
		await crash(warmUp + times);
		console.log(`${times} kills of a native child, each replaced: ${Math.round(performance.now() - from)} ms`);
		// A connection of ours may not be closed yet, now or when they were counted before.
		await tree.until(`angel and master have no more descriptors than before: ${JSON.stringify(before)}`, () => {
			const now = { angel: openDescriptors(angel), master: openDescriptors(master) };
			assert.ok(now.angel <= before.angel && now.master <= before.master, JSON.stringify(now));
			return true;
		});
		assert.equal((await tree.status()).master.pid, master);
	});
});

test.run();
