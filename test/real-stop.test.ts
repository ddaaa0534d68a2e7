/** Stops, over real processes: every signal, at every moment, and nobody is left. */
import { spawn } from 'node:child_process';
import http from 'node:http';
import path from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { findMarked } from '../src/hosts/proc.ts';
import { get, textBehind } from './support/load.ts';
import { alive, freePort, inPlace, type Place, until } from './support/run.ts';
import { within } from './support/until.ts';

const choir = path.join(import.meta.dirname, '../bin/choir.js');
const quiet = `
	import { command, tree } from 'choir';
	export default tree('t', { children: [command('a', { run: ['sleep', '1000'] }), command('b', { run: ['sleep', '1000'] })] });
`;
/** Ignores SIGTERM for as long as it may. */
const stubborn = (terminate: string) => `
	import { command, tree } from 'choir';
	export default tree('t', { children: [command('a', {
		run: ['sh', '-c', 'trap "" TERM; echo up; while :; do sleep 0.1; done'], ready: { output: /up/ }, stop: { terminate: '${terminate}' },
	})] });
`;
const isGone = (place: Place) => assert.equal(place.members('t'), [], 'somebody of the tree is left');

test('TERM: stops in order, exits 0, leaves nobody', () =>
	inPlace({ 'tree.ts': quiet }, async (place) => {
		const run = await place.run();
		run.child.kill('SIGTERM');
		assert.is((await run.ended).code, 0);
		isGone(place);
		assert.not(alive(run.pid));
	}));

test('INT: stops fast; exits 0', () =>
	inPlace({ 'tree.ts': stubborn('500ms') }, async (place) => {
		const run = await place.run();
		run.child.kill('SIGINT');
		assert.is((await run.ended).code, 0);
		isGone(place);
	}));

test('INT twice: at once, however stubborn', () =>
	inPlace({ 'tree.ts': stubborn('10m') }, async (place) => {
		const run = await place.run();
		run.child.kill('SIGINT');
		await until('it stops', () => place.events('t').some(({ event }) => event === 'child.draining'));
		run.child.kill('SIGINT');
		assert.is((await run.ended).code, 0);
		isGone(place);
	}));

test('TERM has a limit over all, QUIT has none', () =>
	inPlace({ 'tree.ts': stubborn('10m').replace("'t', {", "'t', { stopTimeout: '400ms',") }, async (place) => {
		const first = await place.run();
		const master = (await place.status())?.master.pid as number;
		first.child.kill('SIGQUIT');
		await until('it stops', () => place.events('t').some(({ event }) => event === 'child.draining'));
		// Awaited is that nothing happens: at the limit that TERM sets its master would be killed.
		await new Promise((resolve) => setTimeout(resolve, 800));
		assert.ok(alive(master));
		assert.is((await place.status())?.state, 'draining');
		first.child.kill('SIGTERM');
		assert.is((await first.ended).code, 0);
		isGone(place);
		const second = await place.run();
		second.child.kill('SIGTERM');
		assert.is((await second.ended).code, 0);
		isGone(place);
	}));

test('signals that mean nothing here are noted, and change nothing', () =>
	inPlace({ 'tree.ts': quiet }, async (place) => {
		const run = await place.run();
		const master = (await place.status())?.master.pid as number;
		for (const signal of ['SIGUSR1', 'SIGUSR2', 'SIGTTIN', 'SIGTTOU'] as const) {
			// Of the angel this one asks for an upgrade.
			if (signal !== 'SIGUSR2') process.kill(run.pid, signal);
			process.kill(master, signal);
		}
		const noted = (signal: string, role: string) =>
			place.events('t').some((event) => 'signal' in event && event.signal === signal && 'role' in event && event.role === role);
		await until('the master notes SIGUSR2', () => noted('SIGUSR2', 'master'));
		// There is nothing to scale.
		for (const signal of ['SIGTTIN', 'SIGTTOU']) await until(`the master notes ${signal}`, () => noted(signal, 'master'));
		const status = await place.status();
		assert.is(status?.state, 'running');
		assert.is(status?.master.pid, master);
		run.child.kill('SIGTERM');
		assert.is((await run.ended).code, 0);
	}));

test('TERM at 0 to 50 ms, 200 times, and later during the boot: never an orphan', () =>
	inPlace({ 'tree.ts': quiet }, async (place) => {
		const codes = new Map<string, number>();
		const stopAfter = async (delayMs: number) => {
			const run = spawn(process.execPath, [choir, 'run', 'tree.ts'], {
				cwd: place.dir,
				env: { PATH: process.env.PATH, CHOIR_HOME: place.home },
				stdio: 'ignore',
			});
			const exit = new Promise<string>((resolve) => run.once('exit', (code, signal) => resolve(String(signal ?? code))));
			// The moment is what is tried here, not something that is awaited.
			await new Promise((resolve) => setTimeout(resolve, delayMs));
			run.kill('SIGTERM');
			const ended = await within('it ends', exit);
			codes.set(ended, (codes.get(ended) ?? 0) + 1);
			assert.ok(ended === 'SIGTERM' || ended === '0', `ended with ${ended} after ${delayMs} ms`);
			assert.equal(findMarked('CHOIR_HOME', place.home), [], `an orphan after ${delayMs} ms`);
			isGone(place);
		};
		for (let round = 0; round < 200; round++) await stopAfter(round / 4);
		for (let round = 0; round < 30; round++) await stopAfter(60 + round * 20);
		assert.ok((codes.get('0') ?? 0) > 0, 'it was never stopped in order');
	}));

test('a grandchild and a daemon that left its group do not survive the stop', () =>
	inPlace(
		{
			'tree.ts': `
				import { command, tree } from 'choir';
				export default tree('t', { children: [
					command('grandchild', { run: ['sh', '-c', 'sleep 1001 & echo up; wait'], ready: { output: /up/ } }),
					command('daemon', { run: ['sh', '-c', '(setsid sh -c "sleep 1002 & sleep 1003" &) ; echo up; exec sleep 1004'], ready: { output: /up/ } }),
				] });
			`,
		},
		async (place) => {
			const run = await place.run();
			await until('all of them run', () => place.members('t').length >= 7);
			run.child.kill('SIGTERM');
			assert.is((await run.ended).code, 0);
			isGone(place);
		},
	));

test('what a killed worker leaves behind is killed too', () =>
	inPlace(
		{
			'tree.ts': `
				import { command, tree } from 'choir';
				export default tree('t', { children: [command('a', { run: ['sh', '-c', 'sleep 1001 & (setsid sleep 1002 &) ; echo up; exec sleep 1003'], ready: { output: /up/ }, restart: 'temporary' })] });
			`,
		},
		async (place) => {
			const run = await place.run();
			await until('all of them run', () => place.members('t').length >= 4);
			process.kill((await place.child('a')).pid as number, 'SIGKILL');
			await until('only the master is left', () => place.members('t').length === 1);
			run.child.kill('SIGTERM');
			assert.is((await run.ended).code, 0);
		},
	));

test('a stop acts at once while the master is in backoff', () =>
	inPlace({ 'tree.ts': quiet.replace("'t', {", "'t', { master: { backoff: { from: '10m', to: '10m' } },") }, async (place) => {
		const run = await place.run();
		process.kill((await place.status())?.master.pid as number, 'SIGKILL');
		await until('the angel waits', () => place.events('t').some(({ event }) => event === 'master.died'));
		assert.is((await place.choir('stop')).code, 0);
		assert.is((await run.ended).code, 0);
		isGone(place);
	}));

test('a port is free as soon as the stop is over', async () => {
	const port = await freePort();
	const files = {
		'web.mjs': `import http from 'node:http'; http.createServer((_, response) => response.end('ok')).listen(${port}, '127.0.0.1');`,
		'tree.ts': `
			import { node, tree } from 'choir';
			export default tree('t', { children: [node('web', { module: './web.mjs', instances: 2, listen: { http: '127.0.0.1:${port}' } })] });
		`,
	};
	await inPlace(files, async (place) => {
		for (let round = 0; round < 3; round++) {
			const run = await place.run();
			assert.is(await textBehind(port), 'ok');
			run.child.kill('SIGTERM');
			assert.is((await run.ended).code, 0);
			assert.match((await get(port, '127.0.0.1', new http.Agent())).error ?? '', 'ECONNREFUSED');
		}
	});
});

test.run();
