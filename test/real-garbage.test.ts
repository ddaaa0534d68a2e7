/** Garbage on the sockets of a running tree: the tree does not notice. */
import net from 'node:net';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { seeded } from '../src/testing/chance.ts';
import { inPlace, until } from './support/run.ts';
import { within } from './support/until.ts';

const spec = `
	import { command, node, tree } from 'choir';
	export default tree('t', { children: [
		node('beats', { module: './beats.mjs', heartbeat: { every: '100ms', timeout: '5s' } }),
		command('a', { run: ['sleep', '1000'] }),
	] });
`;

function talk(at: string, pieces: Array<string | Buffer>): Promise<string> {
	const heardAll = new Promise<string>((resolve) => {
		let heard = '';
		const socket = net.connect(at);
		socket.setEncoding('utf8').on('data', (text) => {
			heard += text;
		});
		socket.on('error', () => {});
		socket.once('close', () => resolve(heard));
		for (const piece of pieces) socket.write(piece);
		socket.end();
	});
	return within('the connection is closed', heardAll);
}

for (const name of ['control.sock', 'angel.sock']) {
	test(`${name}: 10 000 random requests, half-open connections, a line of 10 MB`, () =>
		inPlace({ 'tree.ts': spec, 'beats.mjs': 'setInterval(() => {}, 1000);' }, async (place) => {
			const run = await place.run();
			const before = await place.status();
			const at = place.file(`home/t/${name}`);
			const chance = seeded(7);
			const words = [
				'status',
				'hello',
				'beat',
				'ready',
				'restart',
				'drain.acknowledged',
				'rss',
				'signal.ignored',
				'__proto__',
				'constructor',
				'',
			];
			const scraps = [
				'{',
				'null',
				'[]',
				'"x"',
				'{"v":2,"id":1,"do":"status"}',
				'{"v":1}',
				'\0\0\0',
				'{"v":1,"id":{},"do":"x"}',
				'\u{1f9e8}',
				'{"v":1,"do":7}',
			];
			const pick = <T>(from: readonly T[]): T => from[Math.floor(chance() * from.length)] as T;
			const line = () =>
				chance() < 0.4
					? pick(scraps)
					: JSON.stringify({
							v: 1,
							id: Math.floor(chance() * 9),
							do: pick(words),
							worker: pick(['x', 7, null]),
							token: 'x',
							path: pick(['nobody', 7, {}, '../a']),
							maxRssBytes: 'x',
						});
			for (let batch = 0; batch < 100; batch++) await talk(at, [Array.from({ length: 100 }, line).join('\n') + '\n']);
			const open = Array.from({ length: 50 }, () => net.connect(at).on('error', () => {}));
			for (const socket of open) socket.write('{"v":1,"id":1,');
			const answer = await talk(at, [Buffer.alloc(10 * 1024 * 1024, 'x'), '\n']);
			assert.match(answer, /TOO_LONG/);
			const after = await until('it still answers', () => place.status());
			assert.equal(
				after.children.map(({ path, pid, incarnation, state }) => ({ path, pid, incarnation, state })),
				before?.children.map(({ path, pid, incarnation, state }) => ({ path, pid, incarnation, state })),
			);
			assert.is(after.master.pid, before?.master.pid);
			for (const socket of open) socket.destroy();
			run.child.kill('SIGTERM');
			assert.is((await run.ended).code, 0);
		}));
}

test.run();
