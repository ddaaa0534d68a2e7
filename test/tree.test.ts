import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type Role, requestOf, signals } from '../machines/signals.ts';
import { child, seeded, supervisor, World } from './support/world.ts';

/** The trace as a text, without indentation, for comparing. */
const golden = (text: string) =>
	text
		.trim()
		.split('\n')
		.map((line) => line.trim());

const backoff = { fromMs: 100, toMs: 1_000, resetAfterMs: 10_000 };

test('starts in order, each ready before the next, and stops in reverse, each dead before the next', () => {
	const world = new World(supervisor('', [child('a'), child('b'), child('c')]));
	world.tree.start();
	world.advance(100);
	world.tree.stop('drain');
	world.advance(100);
	assert.equal(
		world.trace,
		golden(`
			0 a#1 launch
			10 a#1 = running.healthy
			10 b#1 launch
			20 b#1 = running.healthy
			20 c#1 launch
			30 c#1 = running.healthy
			100 master: = draining
			100 c#1 terminate
			105 c#1 = dead (shutdown)
			105 b#1 terminate
			110 b#1 = dead (shutdown)
			110 a#1 terminate
			115 a#1 = dead (shutdown)
			115 master: = dead
			115 tree ended: asked`),
	);
});

test('starts and stops side by side when declared parallel', () => {
	const world = new World(supervisor('', [child('a'), child('b')], { start: 'parallel' }));
	world.tree.start();
	world.advance(50);
	world.tree.stop('drain');
	world.advance(50);
	assert.equal(
		world.trace,
		golden(`
			0 a#1 launch
			0 b#1 launch
			10 a#1 = running.healthy
			10 b#1 = running.healthy
			50 master: = draining
			50 b#1 terminate
			50 a#1 terminate
			55 b#1 = dead (shutdown)
			55 a#1 = dead (shutdown)
			55 master: = dead
			55 tree ended: asked`),
	);
});

test('rest_for_one: a sibling that ignores SIGTERM is killed after its limit, and nobody starts before it is dead', () => {
	const world = new World(supervisor('', [child('a'), child('b', { strategy: 'rest_for_one' }), child('c')]), {
		behaviours: { c: { term: 'ignores' } },
	});
	world.tree.start();
	world.advance(100);
	world.trace.length = 0;
	world.exit('b', 1);
	world.advance(2_000);
	assert.equal(
		world.trace,
		golden(`
			100 b#1 = dead (crash)
			100 c#1 terminate
			1100 c#1 kill
			1101 c#1 = dead (killed)
			1101 b#2 launch
			1111 b#2 = running.healthy
			1111 c#2 launch
			1121 c#2 = running.healthy`),
	);
});

test('simultaneous deaths under one_for_all are one restart', () => {
	const all = { strategy: 'one_for_all' as const };
	const world = new World(
		supervisor('', [child('a', all), child('b', all), child('c', all)], { intensity: { restarts: 1, withinMs: 1_000 } }),
	);
	world.tree.start();
	world.advance(100);
	for (const path of ['b', 'c', 'a']) world.exit(path, 1);
	world.advance(100);
	assert.equal(world.alive, ['a#2', 'b#2', 'c#2']);
});

test('a slow start holds up nobody else’s restart', () => {
	const world = new World(supervisor('', [child('quick'), child('slow')]));
	world.tree.start();
	world.advance(100);
	world.behaviours.set('slow', { ready: 20_000 });
	world.exit('slow', 1);
	world.advance(1_000);
	world.trace.length = 0;
	world.exit('quick', 1);
	world.advance(50);
	assert.equal(world.trace, ['1100 quick#1 = dead (crash)', '1100 quick#2 launch', '1110 quick#2 = running.healthy']);
});

test('a child that fails in a one_for_all restart: everybody again; the retry keeps the range of the restart', () => {
	const world = new World(supervisor('', [child('a', { strategy: 'one_for_all', backoff }), child('b', { backoff }), child('c')]));
	world.tree.start();
	world.advance(100);
	world.behaviours.set('b', { spawn: 'fails' });
	world.exit('a', 1);
	world.advance(200);
	world.behaviours.delete('b');
	world.advance(5_000);
	assert.equal(
		world.alive.map((name) => name.split('#')[0]),
		['a', 'b', 'c'],
	);
});

test('rest_for_one goes on at the child that failed', () => {
	const world = new World(supervisor('', [child('a', { strategy: 'rest_for_one' }), child('b', { backoff }), child('c')]));
	world.tree.start();
	world.advance(100);
	world.behaviours.set('b', { spawn: 'fails' });
	world.exit('a', 1);
	world.advance(20);
	world.behaviours.delete('b');
	world.advance(1_000);
	assert.equal(world.alive, ['a#2', 'b#3', 'c#2']);
});

test('a crash loop follows its backoff and escalates at the limit; the first start is not retried', () => {
	const world = new World(supervisor('', [child('a', { backoff })], { intensity: { restarts: 3, withinMs: 60_000 } }), {
		behaviours: { a: { crash: 11 } },
	});
	world.tree.start();
	world.advance(60_000);
	assert.is(world.end?.why, 'exhausted');
	assert.is(world.trace.filter((line) => line.endsWith('launch')).length, 4);
	const late = new World(supervisor('', [child('a')]), { behaviours: { a: { spawn: 'fails' } } });
	late.tree.start();
	late.advance(10);
	assert.is(late.end?.why, 'startFailed');
	assert.match(late.end?.message ?? '', /a did not start \(no such file\)/);
});

test('keepTrying goes on at the slowest backoff, and its siblings live', () => {
	const world = new World(
		supervisor('', [child('a'), child('b', { whenExhausted: 'keepTrying', intensity: { restarts: 2, withinMs: 60_000 }, backoff })]),
		{ behaviours: { b: { crash: 20 } } },
	);
	world.tree.start();
	world.advance(30_000);
	const launches = world.trace.filter((line) => /^\d+ b#\d+ launch/.test(line)).map((line) => Number.parseInt(line, 10));
	assert.ok(launches.length > 20);
	const gaps = launches.slice(-5).map((at, n, all) => at - (all[n - 1] ?? at));
	assert.equal(gaps.slice(1), [1_020, 1_020, 1_020, 1_020]);
	world.behaviours.delete('b');
	world.advance(2_000);
	assert.is(world.alive.length, 2);
});

test('a child with its own limit does not use up the budget of its siblings', () => {
	const world = new World(
		supervisor('', [child('a'), child('b', { whenExhausted: 'giveUp', intensity: { restarts: 5, withinMs: 60_000 } })], {
			intensity: { restarts: 1, withinMs: 60_000 },
		}),
		{ behaviours: { b: { crash: 20 } } },
	);
	world.tree.start();
	world.advance(5_000);
	world.exit('a', 1);
	world.advance(100);
	assert.equal(world.alive, ['a#2']);
	const [, b] = world.tree.view;
	assert.is(b?.standing, 'gaveUp');
	assert.match(b?.note ?? '', /restarted too often/);
});

test('a nested supervisor that gives up is restarted with an empty budget, until its own supervisor gives up too', () => {
	const nested = () => supervisor('s', [child('s/x')], { intensity: { restarts: 1, withinMs: 60_000 } });
	const world = new World(supervisor('', [child('a'), nested()], { intensity: { restarts: 2, withinMs: 60_000 } }), {
		behaviours: { 's/x': { crash: 20 } },
	});
	world.tree.start();
	world.advance(60_000);
	assert.is(world.end?.why, 'exhausted');
	assert.is(world.trace.filter((line) => line.includes('s/x#') && line.endsWith('launch')).length, 6);
	assert.equal(world.alive, []);
});

test('a stop in the middle of everything ends with nobody alive', () => {
	for (let seed = 1; seed <= 300; seed++) {
		const chance = seeded(seed);
		const pick = <T>(from: readonly T[]): T => from[Math.floor(chance() * from.length)] as T;
		const strategy = () => pick(['one_for_one', 'one_for_all', 'rest_for_one'] as const);
		const type = () => pick(['permanent', 'transient', 'temporary'] as const);
		const any = () => ({
			strategy: strategy(),
			type: type(),
			backoff: pick([backoff, { fromMs: 0, toMs: 0, resetAfterMs: 0 }]),
			whenExhausted: pick(['escalate', 'giveUp'] as const),
			intensity: { restarts: 4, withinMs: 2_000 },
		});
		const paths = ['a', 'b', 's/x', 's/y', 'c'];
		const world = new World(
			supervisor(
				'',
				[child('a', any()), child('b', any()), supervisor('s', [child('s/x', any()), child('s/y', any())]), child('c', any())],
				{ start: pick(['ordered', 'parallel'] as const) },
			),
			{
				seed,
				behaviours: Object.fromEntries(
					paths.map((path) => [path, { ready: Math.floor(chance() * 50), term: pick([0, 5, 200, 'ignores'] as const) }]),
				),
			},
		);
		world.tree.start();
		for (let step = 0; step < 40; step++) {
			world.advance(Math.floor(chance() * 60));
			const running = world.alive;
			// Never two of one path.
			assert.is(new Set(running.map((name) => name.split('#')[0])).size, running.length, `seed ${seed}:\n${world.trace.join('\n')}`);
			const victim = running.length > 0 && chance() < 0.6 ? pick(running).split('#')[0] : undefined;
			if (victim !== undefined) world.exit(victim, pick([0, 1, 78]));
		}
		world.tree.stop(pick(['drain', 'fast', 'kill'] as const));
		const stoppedAt = world.trace.length;
		world.advance(10_000);
		assert.equal(world.alive, [], `seed ${seed}: somebody outlives the stop\n${world.trace.join('\n')}`);
		assert.ok(world.end !== null, `seed ${seed}: the stop does not end\n${world.trace.join('\n')}`);
		assert.not(
			world.trace.slice(stoppedAt).some((line) => line.endsWith('launch')),
			`seed ${seed}: started after the stop\n${world.trace.join('\n')}`,
		);
	}
});

test('the same seed gives the same trace', () => {
	const run = () => {
		const world = new World(
			supervisor('', [child('a', { backoff }), child('b', { backoff })], { intensity: { restarts: 50, withinMs: 1_000 } }),
			{ seed: 42, behaviours: { a: { crash: 30 } } },
		);
		world.tree.start();
		world.advance(5_000);
		return world.trace.join('\n');
	};
	assert.is(run(), run());
});

test('a restart by request stops and starts one child, costs nothing, and says how it ended', async () => {
	const world = new World(supervisor('', [child('a'), child('b')], { intensity: { restarts: 1, withinMs: 1_000 } }));
	world.tree.start();
	world.advance(50);
	const asked = world.tree.restart('b');
	world.advance(50);
	assert.equal(await asked, { ok: true, message: '' });
	assert.equal(world.alive, ['a#1', 'b#2']);
	world.behaviours.set('b', { spawn: 'fails' });
	const failing = world.tree.restart('b');
	world.advance(50);
	assert.equal(await failing, { ok: false, message: 'b did not start (no such file)' });
});

test('a pause of the supervisor costs no healthy worker its life', () => {
	const beating = child('a', {}, { heartbeat: { everyMs: 1_000, timeoutMs: 10_000 } } as never);
	const world = new World(supervisor('', [beating]));
	world.tree.start();
	world.advance(100);
	world.clock.pause(15_000);
	world.beat('a');
	world.advance(4_000);
	assert.equal(world.alive, ['a#1']);
	world.advance(8_000);
	assert.equal(world.alive, ['a#2']);
	assert.ok(world.trace.some((line) => line.includes('a#1 = dead (hung)')));
});

test('what an earlier master left is stopped before anything starts', () => {
	const world = new World(supervisor('', [child('a')]));
	world.tree.start([{ workerId: 'old', path: 'a', incarnation: 4, pid: 9, startTicks: 1, stop: { drainMs: 0, terminateMs: 500 } }]);
	world.advance(600);
	assert.equal(world.alive, []);
	world.tree.tell('old', { type: 'process.exited', code: null, signal: 'SIGKILL', maxRssBytes: null, at: world.clock.now() });
	world.advance(50);
	assert.equal(
		world.trace.filter((line) => !line.includes('=')),
		['0 a#4 terminate', '500 a#4 kill', '600 a#1 launch'],
	);
});

test('every signal means something for every role, and a terminal’s WINCH nothing', () => {
	for (const role of ['angel', 'master', 'worker'] satisfies Role[])
		for (const signal of signals) assert.ok(requestOf(role, signal, false).do.length > 0);
	assert.is(requestOf('angel', 'SIGWINCH', true).do, 'ignore');
	assert.equal(requestOf('angel', 'SIGQUIT', false), { do: 'stop', mode: 'drain', deadline: false });
	assert.is(requestOf('worker', 'SIGHUP', false).do, 'ignore');
});

test.run();
