/** Real processes: who else goes down with a child that dies, in which order, and that nobody starts beside the living. */
import assert from 'node:assert/strict';
import { test } from 'uvu';
import { type RealTree, signal, withTree } from './support/real.ts';

/** Writes down what becomes of it; becoming ready and going away both take their time, so that a wrong order would show. */
const singer = `
import { appendFileSync } from 'node:fs';
import { onDrain, ready, worker } from 'choir/worker';
const say = (what) => appendFileSync('log', worker.path + ' ' + what + '\\n');
const alive = setInterval(() => {}, 1000);
say('starts');
setTimeout(() => { say('is ready'); ready(); }, 60);
onDrain(async () => {
	say('stops');
	// Whoever does not wait for it is in the log before it has stopped.
	await new Promise((resolve) => setTimeout(resolve, 60));
	clearInterval(alive);
});
process.on('exit', () => say('has stopped'));
`;
const sing = (id: string, more = '') => `node('${id}', { module: './singer.ts', ready: 'signal', stop: { drain: '10s' }${more} })`;

const up = (...paths: string[]) => paths.flatMap((path) => [`${path} starts`, `${path} is ready`]);
const down = (...paths: string[]) => paths.flatMap((path) => [`${path} stops`, `${path} has stopped`]);

const spec = (options: string, children: string[]) => ({
	'singer.ts': singer,
	'tree.ts': `
import { command, node, supervisor, tree } from 'choir';
export default tree('t', { ${options} children: [${children.join(',\n')}] });
`,
});

/** Kills a child and gives what the others wrote down until all of it runs again. */
async function logOfDeath(tree: RealTree, victim: string, lines: number): Promise<string[]> {
	const before = tree.lines('log').length;
	signal((await tree.child(victim)).pid, 'SIGKILL');
	await tree.until(`${lines} more lines are written`, () => {
		const more = tree.lines('log').slice(before);
		assert.ok(more.length >= lines, more.join(', '));
		return true;
	});
	await tree.until('its supervisor is at rest', async () => (await tree.cli('wait', '--for', 'running')).code === 0);
	return tree.lines('log').slice(before);
}

const fates = async (tree: RealTree, ...paths: string[]) => {
	const fate = async (path: string) => {
		const { incarnation, lastExit } = await tree.child(path);
		return `${path} ${incarnation} ${lastExit?.reason ?? 'never died'}`;
	};
	return Promise.all(paths.map(fate));
};

test('one_for_all: all siblings stop in reverse order, one after the other, then all start in order', async () => {
	await withTree(
		spec(
			"strategy: 'one_for_all',",
			['a', 'b', 'c', 'd'].map((id) => sing(id)),
		),
		async (tree) => {
			await tree.up();
			assert.deepEqual(tree.lines('log'), up('a', 'b', 'c', 'd'));
			assert.deepEqual(await logOfDeath(tree, 'b', 14), [...down('d', 'c', 'a'), ...up('a', 'b', 'c', 'd')]);
			assert.deepEqual(await fates(tree, 'a', 'b', 'c', 'd'), ['a 2 shutdown', 'b 2 killed', 'c 2 shutdown', 'd 2 shutdown']);
		},
	);
});

test('rest_for_one: those after the dead one stop in reverse order and start in order; those before it notice nothing', async () => {
	await withTree(
		spec(
			"strategy: 'rest_for_one',",
			['a', 'b', 'c', 'd'].map((id) => sing(id)),
		),
		async (tree) => {
			await tree.up();
			const { pid } = await tree.child('a');
			assert.deepEqual(await logOfDeath(tree, 'b', 10), [...down('d', 'c'), ...up('b', 'c', 'd')]);
			assert.deepEqual(await fates(tree, 'a', 'b', 'c', 'd'), ['a 1 never died', 'b 2 killed', 'c 2 shutdown', 'd 2 shutdown']);
			assert.equal((await tree.child('a')).pid, pid);
		},
	);
});

test('a strategy of one child, and a supervisor as sibling, whose own children stop in reverse order too', async () => {
	const inner = `supervisor('inner', { children: [${sing('x')}, ${sing('y')}] })`;
	const children = [sing('a'), sing('b', ", restart: { strategy: 'rest_for_one' }"), inner, sing('d')];
	await withTree(spec('', children), async (tree) => {
		await tree.up();
		assert.deepEqual(await logOfDeath(tree, 'b', 14), [...down('d', 'inner/y', 'inner/x'), ...up('b', 'inner/x', 'inner/y', 'd')]);
		assert.deepEqual(await logOfDeath(tree, 'a', 2), up('a'));
		assert.deepEqual(await logOfDeath(tree, 'inner/y', 2), up('inner/y'));
		assert.deepEqual(await fates(tree, 'a', 'b', 'inner/y', 'd'), ['a 2 killed', 'b 2 killed', 'inner/y 3 killed', 'd 2 shutdown']);
		assert.equal((await tree.child('inner/x')).incarnation, 2);
	});
});

test('a sibling that ignores SIGTERM is killed after its limit, and nobody starts before it is dead', async () => {
	// Says at its start whether the stubborn one of the time before still runs.
	const witness = `'for pid in $(cat stubborn.pids 2>/dev/null); do [ -d /proc/$pid ] && echo "$0 saw $pid" >> doubles; done;`;
	const stubborn = `command('stubborn', {
		run: ['sh', '-c', ${witness} trap "" TERM; echo $$ >> stubborn.pids; echo deaf; while :; do sleep 0.1; done', 'stubborn'],
		ready: { output: /deaf/ }, stop: { terminate: '500ms' },
	})`;
	// Ready when it has looked: the stubborn one of the same round starts afterwards.
	const first = `command('first', {
		run: ['sh', '-c', ${witness} echo looked; exec sleep 1000', 'first'], ready: { output: /looked/ },
	})`;
	const last = `command('last', { run: ['sleep', '1000'] })`;
	await withTree(spec("strategy: 'one_for_all',", [first, stubborn, last]), async (tree) => {
		await tree.up();
		signal((await tree.child('first')).pid, 'SIGKILL');
		await tree.incarnation('last', 2);
		assert.deepEqual(await fates(tree, 'first', 'stubborn', 'last'), ['first 2 killed', 'stubborn 2 killed', 'last 2 shutdown']);
		const said = tree.events().filter(({ event, path }) => /^child\.(starting|draining|dead)$/.test(event) && path !== undefined);
		const life = said.map(({ event, path }) => `${path} ${event.slice('child.'.length)}`);
		assert.deepEqual(life.slice(3), [
			'first dead',
			'last draining',
			'last dead',
			'stubborn draining',
			'stubborn dead',
			'first starting',
			'stubborn starting',
			'last starting',
		]);
		const at = (what: string) => said[life.lastIndexOf(what)]?.at as number;
		const limitMs = at('stubborn dead') - at('stubborn draining');
		// The two times are rounded.
		assert.ok(limitMs >= 499 && limitMs < 5_000, `killed after ${limitMs} ms`);
		assert.equal(tree.lines('stubborn.pids').length, 2);
		assert.equal(tree.read('doubles'), '');
	});
});

test.run();
