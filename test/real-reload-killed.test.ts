/** A reload whose master is killed in the middle of it, wherever that is. */
import assert from 'node:assert/strict';
import { test } from 'uvu';
import { assertNothingElse, atEachLine, dying } from './support/killing.ts';
import { load, textBehind } from './support/load.ts';
import { freePort, withTree } from './support/real.ts';
import { library, spec } from './support/reloading.ts';

test('a master that is killed after any line that a reload has written: finished or undone, nothing twice, no request fails', async () => {
	const port = await freePort();
	await withTree({ 'tree.ts': spec(port), 'web.ts': library('v0') }, async (tree) => {
		const run = tree.launch(['run', 'tree.ts'], dying(tree));
		await tree.running();
		const { pid: cache } = await tree.child('cache');
		const { stop } = load(port, { perSecond: 100 });
		const ends = { finished: 0, undone: 0 };
		let expected = 'v0';
		const lines = await atEachLine(tree, async (line) => {
			const { generation: before } = await tree.status();
			tree.write('web.ts', library(`v${line}`));
			tree.write('tree.ts', spec(port, `command('new${line}', { run: ['sleep', '1000'] }),`));
			const { code, stderr } = await tree.cli('reload', '--wait');
			const { generation, children } = await tree.until('all children run', async () => {
				const status = await tree.status();
				return status.state === 'running' && status.children.every(({ state }) => state === 'running') && status;
			});
			assert.equal(code, generation === before ? 1 : 0, `line ${line}: ${stderr}`);
			ends[generation === before ? 'undone' : 'finished'] += 1;
			if (generation !== before) expected = `v${line}`;
			await assertNothingElse(tree, run.pid);
			for (let n = 0; n < 5; n++) assert.equal(await textBehind(port), expected, `line ${line}`);
			const added = expected === 'v0' ? [] : [`new${expected.slice(1)}`];
			assert.deepEqual(children.map(({ path }) => path).sort(), ['cache', ...added, 'web.1', 'web.2'], `line ${line}`);
			assert.equal((await tree.child('cache')).pid, cache);
		});
		const { failed } = await stop();
		assert.deepEqual(failed, []);
		assert.ok(lines > 8, `only ${lines} lines`);
		assert.ok(ends.finished > 1 && ends.undone > 1, JSON.stringify(ends));
	});
});

test.run();
