import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type Role, requestOf, signals } from '../machines/signals.ts';
import type { World } from '../src/testing/world.ts';
import { child, supervisor, worldOf } from './support/world.ts';

/** The trace as a text, without indentation, for comparing. */
const golden = (text: string) =>
	text
		.trim()
		.split('\n')
		.map((line) => line.trim())
		.join('\n');

/** When a path was launched. */
const launches = (world: World, path: string) =>
	world
		.events()
		.filter((event) => event.what === 'launch' && event.path === path)
		.map(({ at }) => at);

const backoff = { fromMs: 100, toMs: 1_000, resetAfterMs: 10_000 };

test('starts in order, each ready before the next, and stops in reverse, each dead before the next', () => {
	const world = worldOf(supervisor('', [child('a'), child('b'), child('c')]));
	world.advance(100);
	world.stop('drain');
	world.advance(100);
	assert.snapshot(
		world.trace(),
		golden(`
			0  a < launch
			10  a = running
			10  b < launch
			20  b = running
			20  c < launch
			30  c = running
			30  test = running
			100  test ! stop
			100  test = draining
			100  c < terminate
			105  c = dead (shutdown)
			105  b < terminate
			110  b = dead (shutdown)
			110  a < terminate
			115  a = dead (shutdown)
			115  test = dead (asked)`),
	);
});

test('starts and stops side by side when declared parallel', () => {
	const world = worldOf(supervisor('', [child('a'), child('b')], { start: 'parallel' }));
	world.advance(50);
	world.stop('drain');
	world.advance(50);
	assert.snapshot(
		world.trace(),
		golden(`
			0  a < launch
			0  b < launch
			10  a = running
			10  b = running
			10  test = running
			50  test ! stop
			50  test = draining
			50  b < terminate
			50  a < terminate
			55  b = dead (shutdown)
			55  a = dead (shutdown)
			55  test = dead (asked)`),
	);
});

test('rest_for_one: a sibling that ignores SIGTERM is killed after its limit, and nobody starts before it is dead', () => {
	const world = worldOf(supervisor('', [child('a'), child('b', { strategy: 'rest_for_one' }), child('c')]), {
		behaviours: { c: { terminate: 'ignored' } },
	});
	world.advance(100);
	world.forget();
	world.crash('b');
	world.advance(2_000);
	assert.snapshot(
		world.trace(),
		golden(`
			100  b ! crashes with code 1
			100  b = dead (crash)
			100  b ~ restarts with c
			100  c < terminate
			1100  c < kill
			1101  c = dead (killed)
			1101  b < launch #2
			1111  b = running
			1111  c < launch #2
			1121  c = running`),
	);
});

test('simultaneous deaths under one_for_all are one restart', () => {
	const all = { strategy: 'one_for_all' as const };
	const world = worldOf(
		supervisor('', [child('a', all), child('b', all), child('c', all)], { intensity: { restarts: 1, withinMs: 1_000 } }),
	);
	world.advance(100);
	for (const path of ['b', 'c', 'a']) world.crash(path);
	world.advance(100);
	assert.equal(world.alive(), ['a#2', 'b#2', 'c#2']);
});

test('a slow start holds up nobody else’s restart', () => {
	const world = worldOf(supervisor('', [child('quick'), child('slow')]));
	world.advance(100);
	world.behaviour('slow', { ready: 20_000 });
	world.crash('slow');
	world.advance(1_000);
	world.forget();
	world.crash('quick');
	world.advance(50);
	assert.snapshot(
		world.trace(),
		golden(`
			1100  quick ! crashes with code 1
			1100  quick = dead (crash)
			1100  quick ~ restarts
			1100  quick < launch #2
			1110  quick = running`),
	);
});

test('a child that fails in a one_for_all restart: everybody again; the retry keeps the range of the restart', () => {
	const world = worldOf(supervisor('', [child('a', { strategy: 'one_for_all', backoff }), child('b', { backoff }), child('c')]));
	world.advance(100);
	world.behaviour('b', { failToSpawn: 'always' as const });
	world.crash('a');
	world.advance(200);
	world.behaviour('b', {});
	world.advance(5_000);
	assert.equal(
		world.alive().map((name) => name.split('#')[0]),
		['a', 'b', 'c'],
	);
});

test('rest_for_one goes on at the child that failed', () => {
	const world = worldOf(supervisor('', [child('a', { strategy: 'rest_for_one' }), child('b', { backoff }), child('c')]));
	world.advance(100);
	world.behaviour('b', { failToSpawn: 'always' as const });
	world.crash('a');
	world.advance(50);
	world.behaviour('b', {});
	world.advance(1_000);
	assert.equal(world.alive(), ['a#2', 'b#3', 'c#2']);
});

test('a crash loop follows its backoff and escalates at the limit; the first start is not retried', () => {
	const world = worldOf(supervisor('', [child('a', { backoff })], { intensity: { restarts: 3, withinMs: 60_000 } }), {
		behaviours: { a: { exit: 11 } },
	});
	world.advance(60_000);
	assert.is(world.ended?.why, 'exhausted');
	assert.is(launches(world, 'a').length, 4);
	const late = worldOf(supervisor('', [child('a')]), { behaviours: { a: { failToSpawn: 'always' as const } } });
	late.advance(10);
	assert.is(late.ended?.why, 'startFailed');
	assert.match(late.ended?.message ?? '', /a did not start \(no such file\)/);
});

test('keepTrying goes on at the slowest backoff, and its siblings live', () => {
	const world = worldOf(
		supervisor('', [child('a'), child('b', { whenExhausted: 'keepTrying', intensity: { restarts: 2, withinMs: 60_000 }, backoff })]),
		{ behaviours: { b: { exit: 20 } } },
	);
	world.advance(30_000);
	assert.ok(launches(world, 'b').length > 20);
	const gaps = launches(world, 'b')
		.slice(-5)
		.map((at, n, all) => at - (all[n - 1] ?? at));
	assert.equal(gaps.slice(1), [1_020, 1_020, 1_020, 1_020]);
	world.behaviour('b', {});
	world.advance(2_000);
	assert.is(world.alive().length, 2);
});

test('a child with its own limit does not use up the budget of its siblings', () => {
	const world = worldOf(
		supervisor('', [child('a'), child('b', { whenExhausted: 'giveUp', intensity: { restarts: 5, withinMs: 60_000 } })], {
			intensity: { restarts: 1, withinMs: 60_000 },
		}),
		{ behaviours: { b: { exit: 20 } } },
	);
	world.advance(5_000);
	world.crash('a');
	world.advance(100);
	assert.equal(world.alive(), ['a#2']);
	const [, b] = world.status();
	assert.is(b?.standing, 'gaveUp');
	assert.match(b?.note ?? '', /restarted too often/);
});

test('a nested supervisor that gives up is restarted with an empty budget, until its own supervisor gives up too', () => {
	const nested = () => supervisor('s', [child('s/x')], { intensity: { restarts: 1, withinMs: 60_000 } });
	const world = worldOf(supervisor('', [child('a'), nested()], { intensity: { restarts: 2, withinMs: 60_000 } }), {
		behaviours: { 's/x': { exit: 20 } },
	});
	world.advance(60_000);
	assert.is(world.ended?.why, 'exhausted');
	assert.is(launches(world, 's/x').length, 6);
	assert.equal(world.alive(), []);
});

test('a restart by request stops and starts one child, costs nothing, and says how it ended', async () => {
	const world = worldOf(supervisor('', [child('a'), child('b')], { intensity: { restarts: 1, withinMs: 1_000 } }));
	world.advance(50);
	const asked = world.tree.restart('b');
	world.advance(50);
	assert.equal(await asked, { ok: true, message: '' });
	assert.equal(world.alive(), ['a#1', 'b#2']);
	world.behaviour('b', { failToSpawn: 'always' as const });
	const failing = world.tree.restart('b');
	world.advance(50);
	assert.equal(await failing, { ok: false, message: 'b did not start (no such file)' });
});

test('a pause of the supervisor costs no healthy worker its life', () => {
	const beating = child('a', {}, { heartbeat: { everyMs: 1_000, timeoutMs: 10_000 } } as never);
	const world = worldOf(supervisor('', [beating]));
	world.advance(100);
	world.pause(15_000);
	world.advance(20_000);
	assert.equal(world.alive(), ['a#1']);
	world.hang('a');
	world.advance(12_000);
	assert.equal(world.alive(), ['a#2']);
	assert.is(world.lastExit('a')?.reason, 'hung');
});

const three = () => ['a', 'b', 'c'].map((id) => child(id, { strategy: 'rest_for_one' }));
const adoptions: Array<[promise: string, act: (world: World) => unknown, lines: string]> = [
	[
		'what lives is adopted',
		(world) => world.killMaster(),
		`
			100  test ! the master is killed
			150  a ~ lives as pid 100; its earlier master is gone
			150  b ~ lives as pid 101; its earlier master is gone
			150  c ~ lives as pid 102; its earlier master is gone
			150  test = running
			150  a = running
			150  b = running
			150  c = running`,
	],
	[
		'what has died meanwhile is restarted, with those it takes down',
		(world) => world.killMaster().crash('b'),
		`
			100  test ! the master is killed
			100  b ! crashes with code 1
			150  a ~ lives as pid 100; its earlier master is gone
			150  b ~ has died meanwhile; its earlier master is gone
			150  c ~ lives as pid 102; its earlier master is gone
			150  test = running
			150  a = running
			150  b = dead (crash)
			150  b ~ restarts with c
			150  c < terminate
			155  c = dead (shutdown)
			155  b < launch #2
			165  b = running
			165  c < launch #2
			175  c = running`,
	],
	[
		'a restart of several that was begun is completed',
		(world) => world.crash('b').killMaster(),
		`
			100  b ! crashes with code 1
			100  b = dead (crash)
			100  b ~ restarts with c
			100  c < terminate
			100  test ! the master is killed
			150  a ~ lives as pid 100; its earlier master is gone
			150  c ~ has died meanwhile; its earlier master is gone
			150  test = running
			150  a = running
			150  c = dead (shutdown)
			150  b < launch #2
			160  b = running
			160  c < launch #2
			170  c = running`,
	],
	[
		'a stop that was begun is completed, and starts nothing',
		(world) => world.stop().killMaster(),
		`
			100  test ! stop
			100  test = draining
			100  c < terminate
			100  test ! the master is killed
			150  a ~ lives as pid 100; its earlier master is gone
			150  b ~ lives as pid 101; its earlier master is gone
			150  c ~ has died meanwhile; its earlier master is gone
			150  test = draining
			150  a = running
			150  b = running
			150  c = dead (shutdown)
			150  b < terminate
			155  b = dead (shutdown)
			155  a < terminate
			160  a = dead (shutdown)
			160  test = dead (asked)`,
	],
];
for (const [promise, act, lines] of adoptions)
	test(`after the death of a master: ${promise}`, () => {
		const world = worldOf(supervisor('', three()));
		world.advance(100);
		world.forget();
		act(world);
		world.advance(2_000);
		assert.snapshot(world.trace(), golden(lines));
	});

test('every signal means something for every role, and a terminal’s WINCH nothing', () => {
	for (const role of ['angel', 'master', 'worker'] satisfies Role[])
		for (const signal of signals) assert.ok(requestOf(role, signal, false).do.length > 0);
	assert.is(requestOf('angel', 'SIGWINCH', true).do, 'ignore');
	assert.equal(requestOf('angel', 'SIGQUIT', false), { do: 'stop', mode: 'drain', deadline: false });
	assert.is(requestOf('worker', 'SIGHUP', false).do, 'ignore');
	for (const role of ['angel', 'master'] as const) {
		assert.equal(requestOf(role, 'SIGWINCH', false), { do: 'operate', what: 'pause' });
		assert.equal(requestOf(role, 'SIGTTIN', true), { do: 'operate', what: 'more' });
		assert.equal(requestOf(role, 'SIGTTOU', true), { do: 'operate', what: 'fewer' });
	}
	assert.is(requestOf('worker', 'SIGTTIN', false).do, 'ignore');
});

test.run();
