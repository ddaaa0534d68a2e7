/** A reload whose master is killed in the middle of it, wherever that is. */
import assert from 'node:assert/strict';
import { test } from 'uvu';
import { load } from './support/load.ts';
import { freePort, type RealTree, withTree } from './support/real.ts';
import { library, spec } from './support/reloading.ts';

const pidOf = async (tree: RealTree, path: string) => (await tree.child(path)).pid;
const bodyAt = (port: number) => fetch(`http://127.0.0.1:${port}/`).then((response) => response.text());

test('a master that is killed after any line that a reload has written: finished or undone, nothing twice, no request fails', async () => {
	const ends = new Set<string>();
	let finished = false;
	for (let line = 1; !finished; line++) {
		const port = await freePort();
		await withTree({ 'tree.ts': spec(port), 'web.ts': library('v1') }, async (tree) => {
			const run = tree.launch(['run', 'tree.ts'], { env: { CHOIR_TEST_DIE_AFTER: String(line) } });
			await tree.running();
			const cache = await pidOf(tree, 'cache');
			const { stop } = load(port, { perSecond: 100 });
			tree.write('web.ts', library('v2'));
			tree.write('tree.ts', spec(port, "command('new', { run: ['sleep', '1000'] }),"));
			const { code } = await tree.cli('reload', '--wait');
			await tree.until('a master runs the tree', async () => {
				const { state, children } = await tree.status();
				return state === 'running' && children.every((child) => child.state === 'running');
			});
			const { master, generation, children } = await tree.status();
			if (code !== 0) assert.equal(master.incarnation, 2, `line ${line}`);
			const { failed } = await stop();
			assert.deepEqual(failed, [], `line ${line}`);
			const pids = children.flatMap(({ pid }) => pid ?? []);
			await tree.until('nothing else of the tree runs', () => {
				const known = new Set([...pids, run.pid, master.pid]);
				const others = tree.strays().filter(({ pid }) => !known.has(pid));
				// `choir run` prints in a process of its own.
				return others.length <= 1;
			});
			const expected = generation === 1 ? 'v1' : 'v2';
			for (let n = 0; n < 5; n++) assert.equal(await bodyAt(port), expected, `line ${line}`);
			assert.deepEqual(
				children.map(({ path }) => path),
				['web.1', 'web.2', 'cache', ...(generation === 1 ? [] : ['new'])],
				`line ${line}`,
			);
			assert.equal(await pidOf(tree, 'cache'), cache);
			finished = master.incarnation === 1;
			if (!finished) ends.add(expected);
			else return assert.ok(line > 8, `only ${line} lines`);
			const again = await tree.cli('reload', '--wait');
			assert.equal(again.code, 0, `line ${line}: ${again.stderr}`);
			assert.equal(await bodyAt(port), 'v2');
		});
	}
	assert.deepEqual([...ends].sort(), ['v1', 'v2']);
});

test.run();
