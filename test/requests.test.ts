/** What is asked of a running tree: children that come and go, static supervisors and dynamic ones, on the simulated clock. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type DynamicSpec, defaults, type WorkSpec } from '../machines/spec.ts';
import { SimulatedClock } from '../src/kernel/clock.ts';
import type { Run } from '../src/master/host.ts';
import { RequestError, Tree } from '../src/master/tree.ts';
import { command, supervisor as declared } from '../src/spec/builders.ts';
import { SpecError } from '../src/spec/check.ts';
import type { World } from '../src/testing/world.ts';
import { within as inTime } from './support/until.ts';
import { child, rule, supervisor, worldOf as worldWith } from './support/world.ts';

const late = command('late', { run: ['true'], restart: { backoff: 0 } });

function dynamic(path: string, more: Partial<DynamicSpec> = {}, change: Parameters<typeof rule>[0] = {}): DynamicSpec {
	return {
		kind: 'dynamic',
		id: path,
		declaredId: path,
		path,
		restart: rule(),
		intensity: { restarts: 3, withinMs: 5_000 },
		maxChildren: 1_000_000,
		shutdownMs: null,
		template: { ...(child('job', change) as WorkSpec), path },
		...more,
	};
}

/** A world in which a tree with these children runs. */
function worldOf(children: Parameters<typeof supervisor>[1]): World {
	return worldWith(supervisor('', children)).advance(1_000);
}

/** A tree whose children start at once, or not at all, and die as soon as they are asked to. */
function treeOf(
	children: Parameters<typeof supervisor>[1],
	starts: (run: Run) => boolean,
	started = true,
): { tree: Tree; launched: Run[] } {
	const launched: Run[] = [];
	const end = ({ workerId }: Run) => tree.tell(workerId, { type: 'process.exited', code: 0, signal: null, maxRssBytes: null, at: 0 });
	const nothing = () => {};
	let ids = 0;
	const tree = new Tree({
		spec: {
			id: 'test',
			root: supervisor('', children),
			stopTimeoutMs: 1_000,
			onAngelLoss: 'keep',
			upgradeTimeoutMs: 1,
			master: defaults.master,
			view: defaults.view,
			operations: defaults.operations,
		},
		clock: new SimulatedClock(),
		chance: () => 0,
		newId: () => `w${++ids}`,
		news: nothing,
		running: nothing,
		ended: nothing,
		host: {
			launch: (run) => {
				launched.push(run);
				tree.tell(run.workerId, starts(run) ? { type: 'process.ready' } : { type: 'process.failed', message: 'no such file', at: 0 });
			},
			askToDrain: end,
			terminate: end,
			kill: end,
			watchReadiness: nothing,
			watchLiveness: nothing,
			forget: nothing,
		},
	});
	if (started) tree.start();
	return { tree, launched };
}

/** What becomes of a request while time passes. */
async function within<T>(world: World, ms: number, request: Promise<T>): Promise<T> {
	const quiet = request.catch(() => {});
	for (let passed = 0; passed < ms; passed += 10) {
		world.advance(10);
		await Promise.resolve();
	}
	await inTime(`an answer in ${ms} simulated ms`, quiet as Promise<unknown>, 1_000);
	return request;
}

async function refusal(request: Promise<unknown>): Promise<string> {
	try {
		await request;
	} catch (error) {
		if (error instanceof RequestError) return error.code;
		throw error;
	}
	throw new Error('it was not refused');
}

test('a child is added last, restarted like any other, terminated, started again and deleted', async () => {
	const world = worldOf([child('a'), child('b')]);
	const { tree } = world;
	assert.equal(await within(world, 100, tree.startChild('', late)), { path: 'late', incarnation: 1 });
	assert.equal(world.alive(), ['a#1', 'b#1', 'late#1']);
	world.crash('late');
	world.advance(100);
	assert.equal(world.alive(), ['a#1', 'b#1', 'late#2']);
	assert.is(await within(world, 100, refusal(tree.startChild('', late))), 'already_started');
	assert.is(await within(world, 100, refusal(tree.deleteChild('', 'late'))), 'running');
	await within(world, 100, tree.terminateChild('', 'late'));
	assert.equal(world.alive(), ['a#1', 'b#1']);
	assert.is(await within(world, 100, refusal(tree.startChild('', late))), 'already_present');
	assert.equal(await within(world, 100, tree.restartChild('', 'late')), { path: 'late', incarnation: 3 });
	await within(world, 100, tree.terminateChild('', 'late'));
	await within(world, 100, tree.deleteChild('', 'late'));
	assert.is(await within(world, 100, refusal(tree.restartChild('', 'late'))), 'not_found');
	assert.equal(
		(await within(world, 100, tree.whichChildren(''))).map(({ id, state, incarnation }) => [id, state, incarnation]),
		[
			['a', 'up', 1],
			['b', 'up', 1],
		],
	);
});

test('a child that took the name of a declared one gives it back when its supervisor starts again', async () => {
	const inner = supervisor('s', [child('s/a', { type: 'temporary' }), child('s/b')], { intensity: { restarts: 0, withinMs: 1_000 } });
	const world = worldOf([inner]);
	world.crash('s/a');
	await within(world, 200, world.tree.startChild('s', { ...late, id: 'a' }));
	assert.equal(world.alive(), ['s/b#1', 's/a#2']);
	world.crash('s/b');
	world.advance(1_000);
	assert.equal(world.alive(), ['s/a#3', 's/b#2']);
	assert.is(world.tree.specOf('s/a')?.restart.type, 'temporary');
});

test('instances come and go by number, and are restarted like those that were declared', async () => {
	const instance = (n: number) => ({ ...(child(`web.${n}`) as WorkSpec), declaredId: 'web' });
	const world = worldOf([instance(1), instance(2), child('b')]);
	assert.equal(await within(world, 500, world.scale('web', 4)), { from: 2, to: 4, started: ['web.3', 'web.4'], stopped: [] });
	assert.equal(world.alive(), ['web.1#1', 'web.2#1', 'b#1', 'web.3#1', 'web.4#1']);
	world.crash('web.4');
	world.advance(100);
	assert.ok(world.alive().includes('web.4#2'));
	assert.equal(await within(world, 500, world.scale('web', 1)), { from: 4, to: 1, started: [], stopped: ['web.4', 'web.3', 'web.2'] });
	assert.equal(world.alive(), ['web.1#1', 'b#1']);
	assert.equal(await within(world, 500, world.scale('web', 2)), { from: 1, to: 2, started: ['web.2'], stopped: [] });
	assert.equal(await within(world, 500, world.scale('web', 2)), { from: 2, to: 2, started: [], stopped: [] });
	assert.is(await within(world, 100, refusal(world.scale('nobody', 2))), 'not_found');
	for (const [path, count] of [
		['b', 2],
		['web', 0],
		['web', 1_001],
		['web', 1.5],
	] as const)
		assert.is(await refusal(world.scale(path, count)), 'failed');
	const both = [world.scale('web', 3), world.scale('web', 1)] as const;
	assert.equal((await within(world, 500, both[0])).to, 3);
	assert.equal((await within(world, 500, both[1])).from, 3);
});

test('what is added is checked like what is declared', async () => {
	const { tree } = worldOf([child('a')]);
	const wrong = { ...late, run: [] };
	try {
		await tree.startChild('', wrong);
		assert.unreachable();
	} catch (error) {
		assert.instance(error, SpecError);
		assert.match((error as Error).message, 'child.run: expected a program and its arguments');
	}
	assert.is(await refusal(tree.startChild('nobody', late)), 'not_found');
	assert.is(await refusal(tree.startChild('a', late)), 'not_a_supervisor');
});

test('a child that cannot be started is not kept, and not tried again', async () => {
	const { tree, launched } = treeOf([child('a')], (run) => run.path !== 'late');
	assert.is(await refusal(tree.startChild('', late)), 'start_failed');
	assert.equal(
		launched.map(({ path }) => path),
		['a', 'late'],
	);
	assert.equal(
		tree.view.map(({ path }) => path),
		['a'],
	);
	assert.is(tree.state, 'running');
});

test('a supervisor with children can be added; when its own supervisor is restarted, only what was declared is there', async () => {
	const world = worldOf([supervisor('s', [child('s/a')], { intensity: { restarts: 0, withinMs: 1_000 } })]);
	const { tree } = world;
	await within(world, 200, tree.startChild('s', declared('more', { children: [late] })));
	assert.equal(world.alive(), ['s/a#1', 's/more/late#1']);
	assert.equal(await within(world, 100, tree.countChildren('s')), { specs: 2, active: 2, supervisors: 1, workers: 1 });
	world.crash('s/a');
	world.advance(1_000);
	assert.equal(world.alive(), ['s/a#2']);
	assert.equal(tree.resolve('s/more'), []);
	assert.is(tree.kernel.state('master:s/more'), null);
});

test('whoever asks while the tree stops, or before it has started, gets an answer', async () => {
	const world = worldOf([child('a')]);
	world.stop('drain');
	const asked = refusal(world.tree.whichChildren(''));
	world.advance(1_000);
	assert.is(await asked, 'stopping');
	assert.is(world.ended?.why, 'asked');
	assert.is(await refusal(world.tree.whichChildren('')), 'stopping');
	assert.is(await refusal(treeOf([child('a')], () => true, false).tree.startChild('', late)), 'stopping');
});

test('a dynamic supervisor starts children by name, or with a name of its own', async () => {
	const world = worldOf([child('a'), dynamic('pool')]);
	const { tree } = world;
	assert.equal(await within(world, 100, tree.startChild('pool', { id: 'x' })), { path: 'pool/x', incarnation: 1 });
	assert.equal(await within(world, 100, tree.startChild('pool', {})), { path: 'pool/job-1', incarnation: 1 });
	assert.equal(world.alive(), ['a#1', 'pool/x#1', 'pool/job-1#1']);
	world.crash('pool/x');
	world.advance(100);
	assert.equal(world.alive(), ['a#1', 'pool/job-1#1', 'pool/x#2']);
	assert.equal(await within(world, 100, tree.countChildren('pool')), { specs: 1, active: 2, supervisors: 0, workers: 2 });
	assert.equal(await within(world, 100, tree.countChildren('')), { specs: 2, active: 2, supervisors: 1, workers: 1 });
	const pool = tree.view[1];
	assert.equal(
		[pool?.count, pool?.children.map(({ path, state, incarnation }) => [path, state, incarnation])],
		[
			2,
			[
				['pool/x', 'running', 2],
				['pool/job-1', 'running', 1],
			],
		],
	);
	await within(world, 100, tree.terminateChild('pool', 'x'));
	assert.is(await within(world, 100, refusal(tree.terminateChild('pool', 'x'))), 'not_found');
	assert.is(await within(world, 100, refusal(tree.startChild('pool', late))), 'dynamic');
	assert.is(await within(world, 100, refusal(tree.startChild('pool', { id: 'No Id' }))), 'failed');
	assert.is(await within(world, 100, refusal(tree.startChild('', {}))), 'failed');
});

test('what a child of it begins with stays the same when it is restarted, and is forgotten with it', async () => {
	const { tree, launched } = treeOf([dynamic('pool')], () => true);
	await tree.startChild('pool', { id: 'x', input: { n: 1 } });
	const { workerId } = launched[0] as Run;
	tree.tell(workerId, { type: 'process.exited', code: 1, signal: null, maxRssBytes: null, at: 0 });
	await tree.terminateChild('pool', 'x');
	await tree.startChild('pool', { id: 'x' });
	assert.equal(
		launched.map(({ input }) => input),
		[{ n: 1 }, { n: 1 }, undefined],
	);
});

test('a dynamic supervisor that gives up ends with all its children, and comes back empty', async () => {
	const world = worldOf([dynamic('pool', { intensity: { restarts: 0, withinMs: 1_000 } })]);
	await within(world, 100, world.tree.startChild('pool', { id: 'x' }));
	await within(world, 100, world.tree.startChild('pool', { id: 'y' }));
	world.crash('pool/x');
	world.advance(1_000);
	assert.equal(world.alive(), []);
	assert.is(world.tree.kernel.state('master:pool'), 'running');
	assert.is(world.ended, null);
	assert.equal(await within(world, 100, world.tree.whichChildren('pool')), []);
});

test('partitions share the names out, and each has an intensity of its own', async () => {
	const partitions = [1, 2, 3].map((n) => dynamic(`pool.${n}`, { declaredId: 'pool', intensity: { restarts: 0, withinMs: 1_000 } }));
	const world = worldOf(partitions);
	const ids = Array.from({ length: 30 }, (_, n) => `x${n}`);
	const started = await within(world, 500, Promise.all(ids.map((id) => world.tree.startChild('pool', { id }))));
	assert.is(new Set(started.map(({ path }) => path.split('/')[0])).size, 3);
	assert.is((await within(world, 100, world.tree.whichChildren('pool'))).length, 30);
	const [{ path: first } = { path: '' }] = started;
	await within(world, 100, world.tree.terminateChild('pool', 'x0'));
	assert.not(world.alive().some((name) => name.startsWith(`${first}#`)));
	const [, { path: second } = { path: '' }] = started;
	const others = started.filter(({ path }) => path.split('/')[0] !== second.split('/')[0]).length - 1;
	world.crash(second);
	world.advance(1_000);
	assert.is((await within(world, 100, world.tree.whichChildren('pool'))).length, others);
	assert.equal(await within(world, 100, world.tree.countChildren('pool')), { specs: 1, active: others, supervisors: 0, workers: others });
});

test('nothing is left of ten thousand children that came and went', async () => {
	const world = worldOf([dynamic('pool')]);
	const { tree } = world;
	for (let round = 0; round < 10; round++) {
		const ids = Array.from({ length: 1_000 }, (_, n) => `x${round}-${n}`);
		await within(world, 100, Promise.all(ids.map((id) => tree.startChild('pool', { id, input: id }))));
		await within(world, 100, Promise.all(ids.map((id) => tree.terminateChild('pool', id))));
	}
	assert.equal(world.alive(), []);
	assert.is([...tree.kernel.ids()].length, 2);
	assert.is(tree.kernel.pendingTimers, 0);
});

test.run();
