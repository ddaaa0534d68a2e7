/** The simulated world of `choir/testing`: each verb, each look, and what it says to a mistake. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { createMachine } from 'xstate';
import { actor, command, dynamic, node, SpecError, supervisor, thread, tree } from '../src/index.ts';
import { simulate, type World } from '../src/testing/index.ts';

const web = (options: Partial<Parameters<typeof node>[1]> = {}) =>
	node('web', { module: './web.ts', listen: { http: 8080 }, restart: { backoff: 0 }, ...options });
const db = command('db', { run: ['db'], ready: { tcp: 5432 }, restart: { backoff: 0 }, stop: { terminate: '10s' } });
const shop = (...children: Parameters<typeof tree>[1]['children'][number][]) => tree('shop', { children });

/** What happens from now on, as lines. */
function during(world: World, act: () => void): string[] {
	world.forget();
	act();
	return world.trace() === '' ? [] : world.trace().split('\n');
}

function up(...children: Parameters<typeof shop>): World {
	const world = simulate(shop(...children));
	world.settled();
	assert.is(world.state(), 'running');
	return world;
}

test('nothing has happened until time is let go', () => {
	const world = simulate(shop(db));
	assert.is(world.trace(), '');
	assert.is(world.state(), 'starting');
	assert.is(world.incarnation('db'), 0);
	world.settled();
	assert.equal(world.trace().split('\n'), ['0  db < launch', '10  db = running', '10  shop = running']);
	assert.is(world.now, 10);
});

test('settled has happened when it returns, and its promise lets others have their turn', async () => {
	const world = simulate(shop(db));
	const promise = world.settled();
	assert.is(world.state('db'), 'running');
	await promise;
});

test('settled waits for what is under way, and for no limit, backoff or heartbeat', () => {
	const world = simulate(shop(web({ restart: { backoff: { from: '10s', to: '10s' } } }), db), { behaviours: { db: { ready: '20s' } } });
	world.settled();
	assert.is(world.now, 20_010);
	world.crash('web').settled();
	assert.is(world.now, 20_010);
	assert.is(world.state('web'), 'dead');
	assert.is(world.status()[0]?.substate, 'backoff');
	world.advance('11s');
	assert.is(world.state('web'), 'running');
});

test('a world that never comes to rest says so', () => {
	const restless = { intensity: { restarts: 100_000, within: '1h' }, whenExhausted: 'giveUp', backoff: 0 } as const;
	const world = simulate(shop(command('loop', { run: ['loop'], restart: restless })), { behaviours: { loop: { failToSpawn: 'always' } } });
	assert.throws(() => world.settled(), /after 10000 acts, at \d+ ms, this world has not come to rest/);
});

const verbs: Array<[promise: string, act: (world: World) => unknown, lines: string[]]> = [
	[
		'crash ends a process with a code',
		(world) => world.crash('db', { code: 3 }).settled(),
		['20  db ! crashes with code 3', '20  db = dead (crash)', '20  db ~ restarts', '20  db < launch #2', '30  db = running'],
	],
	[
		'crash ends a process by a signal',
		(world) => world.crash('db', { signal: 'SIGSEGV' }),
		['20  db ! crashes by SIGSEGV', '20  db = dead (crash)', '20  db ~ restarts', '20  db < launch #2'],
	],
	[
		'exit ends a process in order',
		(world) => world.exit('db'),
		['20  db ! exits with code 0', '20  db = dead (normal)', '20  db ~ restarts', '20  db < launch #2'],
	],
	[
		'hang stops the heartbeat, and only SIGKILL helps',
		(world) => world.hang('web').advance('12s'),
		[
			'20  web ! hangs',
			'5010  web = suspect',
			'10010  web < kill',
			'10011  web = dead (hung)',
			'10011  web ~ restarts',
			'10011  web < launch #2',
			'10021  web = running',
		],
	],
	[
		'what hangs hears neither drain nor SIGTERM',
		(world) => world.hang('db').stop().advance('11s'),
		[
			'20  db ! hangs',
			'20  shop ! stop',
			'20  shop = draining',
			'20  db < terminate',
			'10020  db < kill',
			'10021  db = dead (killed)',
			'10021  web < drain',
			'10026  web = dead (shutdown)',
			'10026  shop = dead (asked)',
		],
	],
	[
		'neverReady holds for later incarnations',
		(world) => world.neverReady('db').crash('db').advance('31s'),
		[
			'20  db ! is never ready from now on',
			'20  db ! crashes with code 1',
			'20  db = dead (crash)',
			'20  db ~ restarts',
			'20  db < launch #2',
			'30020  db < kill',
			'30021  db = dead (startFailed)',
			'30021  db ~ restarts',
			'30021  db < launch #3',
		],
	],
	[
		'ignoreTerm makes SIGKILL necessary',
		(world) => [world.ignoreTerm('db').restart('db'), world.advance('11s')],
		[
			'20  db ! ignores SIGTERM from now on',
			'20  db ! restart is asked',
			'20  db < terminate',
			'10020  db < kill',
			'10021  db = dead (killed)',
			'10021  db < launch #2',
			'10031  db = running',
		],
	],
	[
		'slowDrain lets a drain take its time',
		(world) => [world.slowDrain('web', '3s').restart('web'), world.settled()],
		[
			'20  web ! drains in 3000 ms from now on',
			'20  web ! restart is asked',
			'20  web < drain',
			'3020  web = dead (shutdown)',
			'3020  web < launch #2',
			'3030  web = running',
		],
	],
	[
		'failToSpawn counts its launches',
		(world) => world.failToSpawn('db', 2).crash('db').settled(),
		[
			'20  db ! cannot be spawned 2 times',
			'20  db ! crashes with code 1',
			'20  db = dead (crash)',
			'20  db ~ restarts',
			'20  db < launch #2',
			'21  db = dead (startFailed)',
			'21  db ~ restarts',
			'21  db < launch #3',
			'22  db = dead (startFailed)',
			'22  db ~ restarts',
			'22  db < launch #4',
			'32  db = running',
		],
	],
	[
		'killMaster: the next master adopts what the last one left',
		(world) => world.killMaster().settled(),
		[
			'20  shop ! the master is killed',
			'70  web ~ lives as pid 100; its earlier master is gone',
			'70  db ~ lives as pid 101; its earlier master is gone',
			'70  shop = running',
			'70  web = running',
			'70  db = running',
		],
	],
	[
		'pause: the supervisor hears late of what has happened meanwhile, and nobody who beats counts as hung',
		(world) => world.pause('15s').settled(),
		[
			'20  shop ! the supervisor is paused for 15000 ms',
			'15020  shop ~ the master was paused for about 10010 ms: every child gets a fresh interval',
		],
	],
	[
		'stop drains in reverse order',
		(world) => world.stop().settled(),
		[
			'20  shop ! stop',
			'20  shop = draining',
			'20  db < terminate',
			'25  db = dead (shutdown)',
			'25  web < drain',
			'30  web = dead (shutdown)',
			'30  shop = dead (asked)',
		],
	],
	[
		'a fast stop sends SIGTERM at once',
		(world) => world.stop('fast').settled(),
		[
			'20  shop ! stop (fast)',
			'20  shop = draining',
			'20  db < terminate',
			'25  db = dead (shutdown)',
			'25  web < terminate',
			'30  web = dead (shutdown)',
			'30  shop = dead (asked)',
		],
	],
	[
		'a stop in mode kill waits for nobody',
		(world) => world.stop('kill').settled(),
		[
			'20  shop ! stop (kill)',
			'20  shop = draining',
			'20  db < kill',
			'20  web < kill',
			'21  db = dead (killed)',
			'21  web = dead (killed)',
			'21  shop = dead (asked)',
		],
	],
];
for (const [promise, act, lines] of verbs) {
	test(promise, () => {
		const world = up(web(), db);
		assert.equal(
			during(world, () => act(world)),
			lines,
		);
	});
}

test('a crash while the supervisor is paused is heard of after the pause', () => {
	const world = simulate(shop(web(), db), { behaviours: { db: { exit: '1s' } } });
	world.settled();
	const lines = during(world, () => world.pause('3s').settled());
	assert.equal(lines.slice(0, 2), ['20  shop ! the supervisor is paused for 3000 ms', '3020  db = dead (crash)']);
	assert.is(lines.at(-1), '3030  db = running');
});

test('behaviours are given beforehand, replace each other, and hold for each instance', () => {
	const world = simulate(shop(web({ instances: 2 })), { behaviours: { web: { ready: '2s', drain: '100ms' }, 'web.2': { ready: 500 } } });
	world.settled();
	assert.is(world.now, 2_500);
	world.restart('web.1');
	world.settled();
	assert.is(world.now, 4_600);
	world.behaviour('web', {}).restart('web.1');
	world.settled();
	assert.is(world.now, 4_615);
});

test('a liveness probe that fails often enough costs a process its life', () => {
	const world = simulate(shop(command('db', { run: ['db'], live: { tcp: 5432, every: '1s', failures: 3 }, restart: { backoff: 0 } })));
	world.advance('5s');
	assert.equal(world.alive(), ['db#1']);
	world.behaviour('db', { live: false }).advance('4s');
	assert.is(world.lastExit('db')?.reason, 'hung');
	world.behaviour('db', {}).advance('10s');
	assert.equal(world.alive(), ['db#2']);
});

test('what ignores even SIGKILL is stuck, and its place stays reserved', () => {
	const world = simulate(shop(db), { behaviours: { db: { terminate: 'ignored', kill: 'ignored' } } });
	world.settled();
	world.restart('db');
	world.advance('1m');
	assert.match(world.trace(), /db = stuck/);
	assert.equal(world.alive(), ['db#1']);
});

test('a stop that lasts longer than stopTimeout ends in a kill', () => {
	const world = simulate(tree('shop', { stopTimeout: '3s', children: [db] }), { behaviours: { db: { terminate: 'ignored' } } });
	world.settled();
	world.stop().advance('4s');
	assert.equal(world.trace().split('\n').slice(-4), [
		'3010  shop < kill',
		'3010  db < kill',
		'3011  db = dead (killed)',
		'3011  shop = dead (asked)',
	]);
});

test('actors and threads are simulated like processes; an actor drains at once, and neither outlives its master', () => {
	const world = up(actor('ledger', { logic: createMachine({}) }), thread('hash', { module: './hash.ts' }), db);
	world.crash('ledger');
	assert.is(world.lastExit('ledger')?.reason, 'crash');
	world.settled();
	const asked = world.now;
	world.restart('ledger');
	world.settled();
	assert.is(world.now, asked + 1);
	world.killMaster();
	assert.equal(world.alive(), ['db#1']);
	world.settled();
	assert.equal(world.alive(), ['db#1', 'ledger#4', 'hash#2']);
});

test('a master that is killed in the middle of a stop starts nothing any more', () => {
	const world = up(web(), db);
	world.stop().killMaster().settled();
	assert.is(world.ended?.why, 'asked');
	assert.equal(world.alive(), []);
	assert.not.match(world.trace(), /launch #2/);
});

test('looks: status, states, incarnations, exits, events', () => {
	const world = up(web(), supervisor('jobs', { children: [db] }));
	world.crash('jobs/db').settled();
	assert.equal(world.paths, ['web', 'jobs', 'jobs/db']);
	assert.equal(world.alive(), ['web#1', 'jobs/db#2']);
	assert.is(world.incarnation('jobs/db'), 2);
	assert.equal(world.lastExit('jobs/db'), { reason: 'crash', code: 1, signal: null, at: 20, maxRssBytes: null });
	assert.is(world.lastExit('web'), null);
	const [, jobs] = world.status();
	assert.is(jobs?.kind, 'supervisor');
	assert.is(jobs?.children[0]?.restarts, 1);
	assert.is(world.state('jobs'), 'running');
	assert.is(world.state('shop'), 'running');
	assert.equal(world.events()[0], { at: 0, kind: 'asked', path: 'web', incarnation: 1, what: 'launch', reason: null });
	assert.is(world.ended, null);
	world.stop().settled();
	assert.equal(world.ended, { why: 'asked', reason: 'shutdown', message: 'asked to stop' });
	assert.is(world.state(), 'dead');
	assert.is(world.state('jobs'), 'dead');
});

test('a restart says how it ended', async () => {
	const world = up(web(), db);
	const good = world.restart('db');
	world.settled();
	assert.equal(await good, { ok: true, message: '' });
	const bad = world.failToSpawn('db').restart('db');
	world.advance('1s');
	assert.is((await bad).ok, false);
});

test('a wrong spec is refused with all that is wrong with it', () => {
	try {
		simulate(tree('shop', { children: [node('Web', { module: '' }), db, db] }));
		assert.unreachable();
	} catch (error) {
		assert.instance(error, SpecError);
		assert.ok((error as SpecError).problems.length >= 3);
	}
});

const mistakes: Array<[promise: string, act: (world: World) => unknown, message: RegExp]> = [
	['an unknown path', (world) => world.crash('wbe'), /there is no child 'wbe'; there are web\.1, web\.2, db, jobs, jobs\/sweep$/],
	['an unknown path in a look', (world) => world.state('jobs/swep'), /there is no child 'jobs\/swep'/],
	['a word for several', (world) => world.crash('web'), /'web' is web\.1, web\.2: name one of them/],
	['a supervisor', (world) => world.crash('jobs'), /'jobs' is a supervisor and has no process of its own/],
	[
		'a dead child',
		(world) => world.exit('db') && world.crash('db'),
		/crash: at 31 ms db has no process: it is dead\n.*db = dead \(normal\)/s,
	],
	[
		'a behaviour of no meaning',
		(world) => world.behaviour('db', { redy: 1 } as never),
		/behaviour of db\.redy: there is no such behaviour; there are spawn,/,
	],
	[
		'a wrong duration',
		(world) => world.behaviour('db', { ready: '5 parsecs' }),
		/behaviour of db\.ready: expected a duration such as '5s' or milliseconds, got '5 parsecs'/,
	],
	['a wrong count', (world) => world.failToSpawn('db', -1), /failToSpawn: expected a whole number from 0 on, got -1/],
	['a wrong seed', () => simulate(shop(db), { seed: 0.5 }), /seed: expected a whole number from 0 on, got 0\.5/],
	['a negative time', (world) => world.advance(-1), /advance: expected a duration such as '5s' or milliseconds, got -1/],
	[
		'what is ready when it is spawned',
		(world) => world.neverReady('jobs/sweep'),
		/'jobs\/sweep' is ready as soon as it is spawned, by its declaration/,
	],
	['a mode of stop', (world) => world.stop('soft' as never), /stop: expected 'drain', 'fast' or 'kill', got 'soft'/],
	[
		'a tree that has ended',
		(world) => [world.stop().settled(), world.stop()],
		/stop: the tree has ended: asked to stop\n.*shop = dead \(asked\)/s,
	],
];
for (const [promise, act, message] of mistakes) {
	test(`a mistake gets a sentence: ${promise}`, () => {
		const world = up(
			web({ instances: 2 }),
			command('db', { run: ['db'], ready: { tcp: 5432 }, restart: 'temporary' }),
			supervisor('jobs', { children: [node('sweep', { module: './sweep.ts' })] }),
		);
		assert.throws(() => act(world), message);
	});
}

test('children of a dynamic supervisor come and go, and are named like all others', async () => {
	const world = simulate(
		tree('shop', { children: [dynamic('pool', { child: command('job', { run: ['job'], restart: { backoff: 0 } }) })] }),
	);
	world.settled();
	const asked = [world.startChild('pool', { id: 'a' }), world.startChild('pool', {})];
	world.settled();
	assert.equal(await Promise.all(asked), [
		{ path: 'pool/a', incarnation: 1 },
		{ path: 'pool/job-1', incarnation: 1 },
	]);
	world.crash('pool/a').settled();
	assert.equal(world.alive(), ['pool/job-1#1', 'pool/a#2']);
	assert.is(world.state('pool/a'), 'running');
	const gone = world.terminateChild('pool', 'a');
	world.settled();
	await gone;
	assert.equal(await world.countChildren('pool'), { specs: 1, active: 1, supervisors: 0, workers: 1 });
	// It has only what is declared when it starts again.
	world.killMaster().settled();
	assert.equal(world.alive(), []);
	world.stop().settled();
	assert.is(world.ended?.why, 'asked');
});

test.run();
