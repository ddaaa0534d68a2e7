/** More instances and fewer, of real processes that share a port. */
import assert from 'node:assert/strict';
import { test } from 'uvu';
import { pidBehind } from './support/load.ts';
import { freePort, type RealTree, withTree } from './support/real.ts';

const server = `
	import http from 'node:http';
	import { listener, ready } from 'choir/worker';
	http.createServer((_, res) => res.setHeader('connection', 'close').end(String(process.pid))).listen(listener('http'), ready);
`;

const spec = (port: number) => `
	import { node, tree } from 'choir';
	export default tree('t', { children: [
		node('web', { module: './web.ts', instances: 2, listen: { http: '127.0.0.1:${port}' } }),
		node('one', { module: './one.ts' }),
	] });
`;

/** Until each of these has answered. */
const answered = (tree: RealTree, port: number, pids: number[]) => {
	const missing = new Set(pids);
	return tree.until('all have answered', async () => {
		for (let n = 0; n < 20; n++) missing.delete(await pidBehind(port));
		return missing.size === 0;
	});
};

test('choir scale starts instances that serve, and drains those that go; the others notice nothing', async () => {
	const port = await freePort();
	await withTree({ 'tree.ts': spec(port), 'web.ts': server, 'one.ts': 'setInterval(() => {}, 1000);' }, async (tree) => {
		await tree.up();
		const first = (await tree.child('web.1')).pid;
		const up = await tree.cli('scale', 'web', '4');
		assert.match(up.stdout, /^web scaled from 2 to 4: started web\.3, web\.4 in \d+ ?m?s\n$/);
		const pids = await Promise.all([1, 2, 3, 4].map(async (n) => (await tree.child(`web.${n}`)).pid));
		await answered(tree, port, pids);
		const down = await tree.cli('scale', 'web', '1', '--json');
		const { from, to, stopped } = JSON.parse(down.stdout);
		assert.deepEqual({ from, to, stopped }, { from: 4, to: 1, stopped: ['web.4', 'web.3', 'web.2'] });
		const { children } = await tree.running();
		assert.deepEqual(
			children.map(({ path }) => path),
			['web.1', 'one'],
		);
		assert.equal((await tree.child('web.1')).pid, first);
		await answered(tree, port, [first]);
		assert.equal((await tree.cli('restart', 'web')).stderr, '');
		assert.match((await tree.cli('scale', 'web', '1')).stdout, /has 1 instances? already/);
		for (const [word, count, said, code] of [
			['nobody', '2', /there is no child 'nobody'/, 1],
			['one', '2', /'one' is one child: declare it with `instances`/, 1],
			['web', '0', /expected a number of instances from 1 to 1000, got 0/, 1],
			['web', 'many', /expected a number of instances, got 'many'/, 64],
		] as const) {
			const refused = await tree.cli('scale', word, count);
			assert.equal(refused.code, code);
			assert.match(refused.stderr, said);
		}
	});
});

test.run();
