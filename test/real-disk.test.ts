/** The state folder of a tree that runs fails it: what is declared goes on, who dies comes back, and all is written again when it can be. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { test } from 'uvu';
import { logsDir } from '../src/home.ts';
import { journalFile } from '../src/journal/journal.ts';
import { textBehind } from './support/load.ts';
import { freePort, type RealTree, signal, withTree } from './support/real.ts';

const spec = (port: number) => `
	import { node, thread, tree } from 'choir';
	export default tree('t', {
		intensity: { restarts: 20, within: '1m' },
		master: { intensity: { restarts: 20, within: '1m' }, backoff: { from: '20ms', to: '20ms' } },
		children: [
			node('web', { module: './web.ts', instances: 1, listen: { http: '127.0.0.1:${port}' }, restart: { backoff: 0 } }),
			thread('counter', { module: './counter.ts' }),
		],
	});
`;
const files = (port: number) => ({
	'tree.ts': spec(port),
	'web.ts': `
		import http from 'node:http';
		import { listener, ready } from 'choir/worker';
		console.log('web ' + process.pid);
		http.createServer((_, res) => res.end(String(process.pid))).listen(listener('http'), ready);
	`,
	'counter.ts': `
		console.log('counts');
		setInterval(() => {}, 1000);
	`,
});

/** Kills a child, and gives the one that comes in its place. */
async function replace(tree: RealTree, childPath: string) {
	const { pid, incarnation } = await tree.child(childPath);
	signal(pid, 'SIGKILL');
	return tree.incarnation(childPath, incarnation + 1);
}

async function replaceMaster(tree: RealTree): Promise<void> {
	const { master } = await tree.status();
	signal(master.pid as number, 'SIGKILL');
	await tree.until('the next master runs the tree', async () => {
		const status = await tree.status();
		return status.master.pid !== null && status.master.pid !== master.pid && status.state === 'running';
	});
}

const masters = (tree: RealTree) => tree.events().filter(({ event }) => event === 'master.died').length;

test('without a place for output workers, threads and masters come back all the same, and it is said that what they print is lost', async () => {
	const port = await freePort();
	await withTree(files(port), async (tree) => {
		const command = await tree.up();
		const logs = logsDir(tree.dir);
		fs.rmSync(logs, { recursive: true });
		fs.writeFileSync(logs, 'no folder');
		const second = await replace(tree, 'web.1');
		assert.equal(await textBehind(port), String(second.pid));
		// Its size is looked at every second.
		const restartedAt = performance.now();
		await tree.until('it has been looked at', () => performance.now() > restartedAt + 1_500);
		assert.equal(masters(tree), 0);
		await replaceMaster(tree);
		assert.equal((await tree.child('web.1')).pid, second.pid);
		await tree.incarnation('counter', 2);
		const third = await replace(tree, 'web.1');
		assert.equal(await textBehind(port), String(third.pid));
		await tree.until('it is said of each', () => {
			const said = tree.events().flatMap(({ event, message }) => (event === 'output.lost' ? [message.replace(/:.*/, '')] : []));
			assert.deepEqual(
				[...new Set(said)].sort(),
				['counter', 'master', 'web.1'].map((who) => `what ${who} prints is lost`),
			);
			return true;
		});
		fs.rmSync(logs);
		const fourth = await replace(tree, 'web.1');
		await tree.until('it prints into its file again', () => tree.output('web.1') === `web ${fourth.pid}\n`);
		assert.equal(masters(tree), 1);
		await tree.until('it is printed', () => command.stdout().includes(`web ${fourth.pid}`));
		assert.equal((await tree.cli('stop')).code, 0);
	});
});

test('a folder of output files that somebody has removed is there again with the next start', async () => {
	const port = await freePort();
	await withTree(files(port), async (tree) => {
		await tree.up();
		fs.rmSync(logsDir(tree.dir), { recursive: true });
		await replaceMaster(tree);
		const next = await replace(tree, 'web.1');
		await tree.until('it prints into its file', () => tree.output('web.1') === `web ${next.pid}\n`);
		assert.deepEqual(
			tree.events().filter(({ event }) => event === 'output.lost'),
			[],
		);
	});
});

test('a journal that could not be written for a time has all there is, and the next master goes by it', async () => {
	const port = await freePort();
	await withTree(files(port), async (tree) => {
		await tree.up();
		const { master } = await tree.status();
		// The next one cannot begin a journal, whatever number it gets: the file that would take its place is a folder.
		fs.rmSync(journalFile(tree.dir));
		fs.mkdirSync(journalFile(tree.dir));
		signal(master.pid as number, 'SIGKILL');
		await tree.until('it is said', () => tree.events().some(({ event }) => event === 'journal.failed'));
		await tree.until('the tree runs', async () => (await tree.status()).state === 'running');
		const scaled = await tree.cli('scale', 'web', '2');
		assert.equal(scaled.code, 0, scaled.stderr);
		fs.rmdirSync(journalFile(tree.dir));
		await tree.until('it is written again', () => tree.events().some(({ event }) => event === 'journal.recovered'));
		const pids = [(await tree.child('web.1')).pid, (await tree.child('web.2')).pid];
		await replaceMaster(tree);
		assert.deepEqual([(await tree.child('web.1')).pid, (await tree.child('web.2')).pid], pids);
	});
});

test.run();
