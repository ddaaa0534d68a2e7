/** What the simulated world says of a tree is what becomes of it with real processes. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { command, tree as declare, supervisor } from '../src/index.ts';
import { simulate } from '../src/testing/index.ts';
import { signal, withTree } from './support/real.ts';

const sleeper = (id: string, strategy: 'one_for_one' | 'rest_for_one' = 'one_for_one') =>
	command(id, { run: ['sleep', '1000'], ready: { after: '20ms' }, restart: { strategy, backoff: 0 } });
const spec = declare('t', {
	children: [
		sleeper('a'),
		sleeper('b', 'rest_for_one'),
		supervisor('jobs', {
			strategy: 'one_for_all',
			children: ['x', 'y'].map((id) => command(id, { run: ['sleep', '1000'], restart: { backoff: 0 } })),
		}),
		sleeper('c'),
	],
});
/** Who is killed, one after the other, and who has to run before the next. */
const kills: Array<[victim: string, then: Array<[path: string, incarnation: number]>]> = [
	[
		'jobs/x',
		[
			['jobs/x', 2],
			['jobs/y', 2],
		],
	],
	['a', [['a', 2]]],
	['b', [['c', 2]]],
];

function simulated(): string[] {
	const world = simulate(spec);
	world.settled();
	for (const [victim, then] of kills) {
		world.crash(victim, { signal: 'SIGKILL' }).settled();
		for (const [path, incarnation] of then) assert.is(world.incarnation(path), incarnation);
	}
	world.stop().settled();
	return world
		.events()
		.filter(({ kind, what, incarnation }) => incarnation > 0 && ((kind === 'asked' && what === 'launch') || kind === 'state'))
		.map(({ path, incarnation, what }) => `${path}#${incarnation} ${what === 'launch' ? 'starting' : what}`);
}

test('the same spec and the same kills: the same starts, readiness and deaths in the same order', async () => {
	await withTree({ 'tree.ts': `export default ${JSON.stringify(spec)};` }, async (tree) => {
		await tree.up();
		for (const [victim, then] of kills) {
			signal((await tree.child(victim)).pid, 'SIGKILL');
			for (const [path, incarnation] of then) await tree.incarnation(path, incarnation);
		}
		await tree.end();
		const real = tree
			.events()
			.filter(({ event }) => /^child\.(starting|running|dead)$/.test(String(event)))
			.map(({ event, path, incarnation }) => `${path}#${incarnation} ${String(event).slice('child.'.length)}`);
		assert.equal(real, simulated());
	});
});

test.run();
