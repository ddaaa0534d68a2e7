/** Node workers in a running tree: those that know of choir and those that do not. */
import { spawn } from 'node:child_process';
import path from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { load, textBehind } from './support/load.ts';
import { freePort, inPlace, type Place, until } from './support/run.ts';

const treeOf = (children: string) => `import { node, tree } from 'choir'; export default tree('t', { children: [${children}] });`;

const output = 'home/t/logs/a.log';
/** The program of `a` has come to its end: all that it listens to it does. */
const isUp = (place: Place) => until('it is up', () => place.read(output) === 'up\n');

async function stop(place: Place, run: Awaited<ReturnType<Place['run']>>): Promise<void> {
	run.child.kill('SIGTERM');
	assert.is((await run.ended).code, 0);
	assert.equal(place.members('t'), []);
}

test('an unmodified server gets the held socket, and is ready when it listens', async () => {
	const port = await freePort();
	const files = {
		'web.cjs': `setTimeout(() => require('http').createServer((_, response) => { for (const end = Date.now() + 20; Date.now() < end; ); response.end('from ' + process.pid); }).listen(${port}), 300);`,
		'tree.ts': treeOf(`node('web', { module: './web.cjs', instances: 2, listen: { http: ${port} } })`),
	};
	await inPlace(files, async (place) => {
		const run = await place.run();
		const pids = new Set<string>();
		// One that is busy leaves the next connection to the other.
		await until('both answer', async () => {
			for (const pid of await Promise.all(Array.from({ length: 10 }, () => textBehind(port)))) pids.add(pid);
			return pids.size === 2 || null;
		});
		const starting = place.events('t').filter(({ event }) => event === 'child.starting' || event === 'child.running');
		assert.equal(
			starting.map(({ event, path: childPath }) => `${childPath} ${event}`),
			['web.1 child.starting', 'web.1 child.running', 'web.2 child.starting', 'web.2 child.running'],
		);
		const [one, oneIsReady, two, twoIsReady] = starting.map(({ at }) => at) as [number, number, number, number];
		// The times are rounded.
		assert.ok(oneIsReady - one >= 298 && twoIsReady - two >= 298, `ready after ${oneIsReady - one} and ${twoIsReady - two} ms`);
		await stop(place, run);
	});
});

test('a restart of one instance after the other loses no request, keep-alive or not', async () => {
	const port = await freePort();
	const files = {
		'web.ts': `
			import http from 'node:http';
			import { listener, ready } from 'choir/worker';
			const server = http.createServer((_, response) => { setTimeout(() => response.end('ok'), 5); });
			server.listen(listener('http'), () => ready());
		`,
		'tree.ts': treeOf(`node('web', { module: './web.ts', instances: 2, listen: { http: '127.0.0.1:${port}' } })`),
	};
	await inPlace(files, async (place) => {
		const run = await place.run();
		const { stop: end } = load(port, { kept: 4, fresh: 2 });
		const { code, stdout, stderr } = await place.choir('restart', 'web');
		assert.is(code, 0, stdout + stderr);
		const { answered, failed } = await end();
		assert.equal(failed, []);
		assert.ok(answered > 100, `only ${answered} requests were made`);
		assert.is((await place.child('web.1')).incarnation, 2);
		assert.is((await place.child('web.2')).incarnation, 2);
		await stop(place, run);
	});
});

const drains: Array<[name: string, file: string, text: string, seen: string]> = [
	[
		'a program with only a timer ends at once',
		'a.mjs',
		`setInterval(() => {}, 1000); process.on('exit', (code) => console.log('left with', code)); console.log('up');`,
		'left with 0',
	],
	[
		'onDrain is awaited',
		'a.ts',
		`import { onDrain } from 'choir/worker'; const keep = setInterval(() => {}, 1000); onDrain(async () => { console.log('draining'); await new Promise((resolve) => setTimeout(resolve, 50)); clearInterval(keep); console.log('drained'); }); console.log('up');`,
		'draining\ndrained',
	],
	[
		'the program’s own SIGTERM handler is what a drain calls',
		'a.mjs',
		`setInterval(() => {}, 1000); process.on('SIGTERM', () => { console.log('my own way'); process.exit(0); }); console.log('up');`,
		'my own way',
	],
];
for (const [name, file, text, seen] of drains) {
	test(`drain: ${name}`, () =>
		inPlace(
			{
				[file]: text,
				'tree.ts': treeOf(`node('a', { module: './${file}', stop: { drain: '20s', terminate: '20s' } })`),
			},
			async (place) => {
				const run = await place.run();
				await isUp(place);
				await until('it has said hello', () => place.child('a').then(({ memoryBytes }) => memoryBytes !== null || null));
				const asked = Date.now();
				await stop(place, run);
				assert.ok(Date.now() - asked < 15_000, 'it waited for a limit');
				assert.is(place.read(output), `up\n${seen}\n`);
				const last = place
					.events('t')
					.filter(({ event }) => event === 'child.dead')
					.at(-1);
				assert.match(last?.message ?? '', /a was stopped/);
			},
		));
}

test('a worker says what it does, and its signals are noted', () =>
	inPlace(
		{
			'a.ts': `import { ready, status, worker } from 'choir/worker'; setInterval(() => {}, 1000); status('hello from ' + worker?.path); ready();`,
			'tree.ts': treeOf(`node('a', { module: './a.ts', ready: 'signal' })`),
		},
		async (place) => {
			const run = await place.run();
			assert.is((await place.child('a')).says, 'hello from a');
			const { pid } = await place.child('a');
			for (const signal of ['SIGHUP', 'SIGUSR1', 'SIGUSR2', 'SIGWINCH', 'SIGTTIN', 'SIGTTOU'] as const) {
				process.kill(pid as number, signal);
				await until(
					`${signal} is noted`,
					() => place.events('t').some(({ event, message }) => event === 'signal.ignored' && message.includes(signal)) || null,
				);
			}
			assert.is((await place.child('a')).pid, pid);
			await stop(place, run);
		},
	));

test('TERM from somebody else: it drains, and is replaced', () =>
	inPlace(
		{ 'a.mjs': "setInterval(() => {}, 1000); console.log('up');", 'tree.ts': treeOf(`node('a', { module: './a.mjs' })`) },
		async (place) => {
			const run = await place.run();
			await isUp(place);
			process.kill((await place.child('a')).pid as number, 'SIGTERM');
			const after = await until('it is replaced', async () => {
				const child = await place.child('a');
				return child.incarnation === 2 && child.state === 'running' ? child : null;
			});
			assert.is(after.lastExit?.reason, 'normal');
			await stop(place, run);
		},
	));

test('outside choir the library does nothing, and the file runs alone', async () => {
	const port = await freePort();
	const library = path.join(import.meta.dirname, '../dist/src/worker/index.js');
	const text = `
		import http from 'node:http';
		import { listener, onDrain, ready, status, worker } from '${library}';
		onDrain(() => {}); status('x'); ready();
		http.createServer((_, response) => response.end(String(worker))).listen(listener('http', ${port}));
	`;
	await inPlace({ 'alone.mjs': text }, async (place) => {
		const alone = spawn(process.execPath, ['alone.mjs'], { cwd: place.dir, stdio: 'ignore' });
		try {
			assert.is(await until('it answers', () => textBehind(port).catch(() => null)), 'null');
		} finally {
			alone.kill('SIGKILL');
		}
	});
});

test.run();
