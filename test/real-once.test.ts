/** One angel a tree, over real processes: a second run is refused, and what a killed angel left is cleared first. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { textBehind } from './support/load.ts';
import { alive, freePort, inPlace, until } from './support/run.ts';

test('a second run of one tree exits 75 and names the first', () =>
	inPlace(
		{
			'tree.ts': `import { command, tree } from 'choir'; export default tree('t', { children: [command('a', { run: ['sleep', '1000'] })] });`,
		},
		async (place) => {
			const first = await place.run();
			const before = await place.child('a');
			const second = await place.choir('run', 'tree.ts');
			assert.is(second.code, 75);
			assert.match(second.stderr, new RegExp(`already running as pid ${first.pid}`));
			assert.match(second.stderr, /tree\.ts/);
			const third = await place.choir('start', 'tree.ts');
			assert.is(third.code, 75);
			assert.is((await place.child('a')).pid, before.pid);
			first.child.kill('SIGTERM');
			assert.is((await first.ended).code, 0);
			assert.is(place.read('home/t/angel.pid'), '');
		},
	));

test('after SIGKILL of the angel the next run finds by its mark what is in no inventory, and stops it before it starts anything', async () => {
	const port = await freePort();
	const files = {
		'web.mjs': `import http from 'node:http'; http.createServer((_, response) => response.end(String(process.pid))).listen(${port}, '127.0.0.1');`,
		'tree.ts': `
			import { command, node, tree } from 'choir';
			export default tree('t', { children: [
				node('web', { module: './web.mjs', listen: { http: '127.0.0.1:${port}' } }),
				command('stubborn', { run: ['sh', '-c', 'trap "" TERM; echo up; while :; do sleep 0.1; done'], ready: { output: /up/ } }),
				command('daemon', { run: ['sh', '-c', '(setsid sleep 1002 &) ; echo up; exec sleep 1003'], ready: { output: /up/ } }),
			] });
		`,
	};
	await inPlace(files, async (place) => {
		const first = await place.run();
		const master = (await place.status())?.master.pid as number;
		const old = [(await place.child('web')).pid, (await place.child('stubborn')).pid, (await place.child('daemon')).pid] as number[];
		first.child.kill('SIGKILL');
		await first.ended;
		await until('the master goes with its angel', () => !alive(master) || null);
		for (const pid of old) assert.ok(alive(pid), 'the workers go on without their angel');
		assert.is(await textBehind(port), String(old[0]));
		const members = place.members('t');
		place.write('home/t/inventory.jsonl', '');

		const second = await place.run();
		for (const pid of members) assert.not(alive(pid), `pid ${pid} is left of the first run`);
		assert.ok(place.events('t').some(({ event }) => event === 'leftovers.found'));
		const web = await place.child('web');
		assert.is(await textBehind(port), String(web.pid));
		second.child.kill('SIGTERM');
		assert.is((await second.ended).code, 0);
		assert.equal(place.members('t'), []);
	});
});

test('a pid file of another process is nobody’s: neither believed nor removed as ours', () =>
	inPlace(
		{
			'tree.ts': `import { command, tree } from 'choir'; export default tree('t', { children: [command('a', { run: ['sleep', '1000'] })] });`,
		},
		async (place) => {
			const run = await place.run();
			const pidFile = JSON.parse(place.read('home/t/angel.pid')) as { pid: number; startTicks: number };
			assert.is(pidFile.pid, run.pid);
			place.write('home/t/angel.pid', JSON.stringify({ ...pidFile, startTicks: pidFile.startTicks + 1 }));
			assert.is((await place.choir('status')).code, 1, 'a pid that belongs to another process is believed');
			run.child.kill('SIGTERM');
			assert.is((await run.ended).code, 0);
			assert.not(place.read('home/t/angel.pid') === '', 'a pid file that is not ours was removed');
		},
	));

test.run();
