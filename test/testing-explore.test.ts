/** Random faults: sound trees stand them, broken machines do not, and what fails is cut down to what a person understands. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { assign, createMachine } from 'xstate';
import { masterMachine } from '../machines/master.ts';
import type { Exit } from '../machines/spec.ts';
import { workerMachine } from '../machines/worker.ts';
import { actor, command, node, supervisor, thread, tree } from '../src/index.ts';
import { type ExploreOptions, explore, simulate } from '../src/testing/index.ts';
import { Watcher } from '../src/testing/invariants.ts';
import { World } from '../src/testing/world.ts';
import { anyTree } from './support/trees.ts';
import { child, supervisor as resolved, treeOf } from './support/world.ts';

const shop = tree('shop', {
	children: [
		node('web', { module: './web.ts', instances: 2, listen: { http: 8080 } }),
		supervisor('jobs', {
			strategy: 'rest_for_one',
			children: [
				command('queue', { run: ['queue'], ready: { output: /ready/ }, live: { tcp: 6390 } }),
				node('sweep', { module: './sweep.ts', restart: 'transient' }),
			],
		}),
		actor('ledger', { logic: createMachine({}), restart: { strategy: 'one_for_all' } }),
		thread('hash', { module: './hash.ts', restart: { whenExhausted: 'giveUp' } }),
	],
});
const pair = tree('pair', {
	intensity: { restarts: 3, within: '10s' },
	children: ['a', 'b'].map((id) =>
		command(id, { run: [id], ready: { output: /ready/ }, restart: { backoff: 0, strategy: 'one_for_all' } }),
	),
});

/** What an exploration says when it fails. */
function failing(spec: Parameters<typeof explore>[0], options: ExploreOptions): string {
	try {
		explore(spec, options);
	} catch (error) {
		return (error as Error).message;
	}
	throw new Error('nothing was found');
}

test('a sound tree stands whatever comes', () => {
	const { scenarios, steps, events } = explore(shop, { seeds: 150 });
	assert.is(scenarios, 150);
	assert.ok(steps >= 150 * 40);
	assert.ok(events > 20_000);
});

test('trees of any make stand it', () => {
	for (let seed = 1; seed <= 60; seed++) {
		try {
			explore(anyTree(seed), { seeds: 4 });
		} catch (error) {
			throw new Error(`tree ${seed}: ${(error as Error).message}`);
		}
	}
});

test('a supervisor that gives up in the step in which it becomes ready has been ready', () => {
	const world = simulate(
		tree('shop', {
			children: [
				supervisor('jobs', {
					restart: 'transient',
					intensity: { restarts: 0, within: '5s' },
					children: ['a', 'b'].map((id) => command(id, { run: [id], ready: { output: /ready/ } })),
				}),
				command('last', { run: ['last'] }),
			],
		}),
	);
	world.advance(10).crash('jobs/a').settled();
	assert.match(world.trace(), /^20 {2}jobs = running\n20 {2}jobs = draining\n20 {2}last < launch\n20 {2}jobs\/b < terminate$/m);
	assert.is(world.state(), 'running');
	assert.equal(world.alive(), ['last#1']);
});

test('the same seeds try the same', () => {
	assert.equal(explore(shop, { seeds: [3, 5] }), explore(shop, { seeds: [3, 5] }));
});

type Config = Record<string, unknown> & { states: Record<string, Record<string, unknown>>; on: Record<string, unknown> };
/** choir's own machine, with a change to its chart. */
const patched = <Machine extends { config: unknown; implementations: unknown }>(
	machine: Machine,
	change: (config: Config) => object,
): Machine =>
	createMachine({ ...(machine.config as object), ...change(machine.config as Config) } as never, machine.implementations as never) as never;

/** A state that leaves a drain to the one around it. */
function deaf(state: Record<string, unknown> = {}): object {
	const { drain: _, ...on } = state.on as Record<string, unknown>;
	return { ...state, on };
}
const exit: Exit = { reason: 'shutdown', code: null, signal: null, at: 0, maxRssBytes: null };

/** A drain that comes while the child is still starting is ignored. */
const deafWhileStarting = patched(workerMachine, ({ states }) => ({
	states: { ...states, starting: { ...states.starting, on: { 'process.ready': 'running', drain: {} } } },
}));

test('a planted bug is found, and shown in the few steps that it takes', () => {
	const message = failing(pair, { machines: { worker: deafWhileStarting } });
	assert.match(message, /^'whoever is asked to stop is dead within its limits' does not hold \(seed \d+\): [ab] was asked at \d+ ms/);
	const [, few, all] = /(\d+) of (\d+) steps are enough:/.exec(message) as unknown as [string, string, string];
	assert.ok(Number(few) <= 3, message);
	assert.ok(Number(all) >= 10, message);
	assert.match(message, / {2}world\.(stop|restart|crash)\(/);
	assert.match(message, /what happens then:\n(.*\n)* +\d+ {2}a < launch/);
	const [, seed] = /again: explore\(spec, \{ seeds: \[(\d+)\], steps: 40 \}\)/.exec(message) as unknown as [string, string];
	assert.is(failing(pair, { machines: { worker: deafWhileStarting }, seeds: [Number(seed)] }), message);
});

const broken: Array<[bug: string, invariant: RegExp, machines: NonNullable<ExploreOptions['machines']>]> = [
	[
		'a worker that believes it is dead when it is asked to drain',
		/^'one incarnation at a time' .*: [ab] was launched at \d+ ms while [ab]#\d+ lives/,
		{
			worker: patched(workerMachine, ({ on, states }) => ({
				on: { ...on, drain: { target: '.dead', actions: 'believe' } },
				states: { ...states, starting: deaf(states.starting), running: deaf(states.running) },
			})).provide({ actions: { believe: assign({ exit }) } as never }) as never,
		},
	],
	[
		'a worker that counts as ready as soon as there is a process',
		/^'each is ready before the next'/,
		{
			worker: patched(workerMachine, ({ states }) => ({
				states: {
					...states,
					starting: { ...states.starting, states: { ...(states.starting?.states as object), warming: { always: '#worker.running' } } },
				},
			})),
		},
	],
	[
		'a master that does not count',
		/^'intensity is never exceeded' .*: pair: restarts at [\d, ]+ ms; at most 3 within 10000 ms/,
		{ master: masterMachine.provide({ guards: { escalates: () => false } }) as never },
	],
	[
		'a master that stops all at once',
		/^'each is dead before the next is asked' .*: a was asked to stop at \d+ ms while b lives/,
		{
			master: masterMachine.provide({
				actions: { recordMode: assign({ start: 'parallel', end: { why: 'asked', message: '' } }) as never },
			}) as never,
		},
	],
	[
		'a master that does not hear a stop',
		/^'(every stop ends|nothing starts after a stop)'/,
		{ master: patched(masterMachine, ({ on }) => ({ on: { ...on, stop: {} } })) },
	],
];
for (const [bug, invariant, machines] of broken) {
	test(`is found: ${bug}`, () => assert.match(failing(pair, { machines }), invariant));
}

test('two holders of one address are seen', () => {
	const listen = [{ name: 'http', host: null, port: 80, socketPath: null }];
	const spec = treeOf(resolved('', [child('a', {}, { listen } as never), child('b', {}, { listen } as never)]));
	const watcher = new Watcher(spec);
	const world = new World(spec, {}, watcher);
	watcher.watch(world);
	world.settled();
	assert.equal(watcher.violation, { invariant: 'an address has one holder', message: 'b was launched at 10 ms while a holds *:80' });
});

test('invariants of one’s own are asked after every step, and may throw or say', () => {
	let asked = 0;
	const count = { name: 'counts', check: () => void asked++ };
	explore(pair, { seeds: 2, steps: 10, invariants: [count] });
	assert.ok(asked >= 20);
	const said = failing(pair, {
		invariants: [
			{ name: 'somebody is there', check: (world) => (world.now > 100 && world.alive().length === 0 ? 'nobody lives' : undefined) },
		],
	});
	assert.match(said, /^'somebody is there' does not hold \(seed \d+\): nobody lives\n/);
	const thrown = failing(pair, {
		faults: ['crash'],
		invariants: [{ name: 'b is never restarted', check: (world) => assert.is(world.incarnation('b') < 2, true, 'b#2') }],
	});
	assert.match(thrown, /'b is never restarted' does not hold \(seed \d+\): b#2/);
	assert.match(thrown, /[123] of \d+ steps are enough:\n( {2}world\.advance\(\d+\);\n)? {2}world\.crash\('[ab]'\);\n/);
});

test('only the faults that are asked for, and none that there is not', () => {
	explore(pair, {
		seeds: 20,
		faults: ['pause', 'restart'],
		invariants: [{ name: 'nobody crashes', check: (world) => (/crash/.test(world.trace()) ? 'somebody did' : undefined) }],
	});
	assert.throws(() => explore(pair, { seeds: -1 }), /seeds: expected a whole number from 1 on, got -1/);
	assert.throws(() => explore(pair, { steps: 1.5 }), /steps: expected a whole number from 1 on, got 1\.5/);
	assert.throws(() => explore(pair, { invariants: [{ name: 'none' } as never] }), /invariants: expected \{ name, check \}/);
	assert.throws(() => explore(pair, { faults: ['meteor' as never] }), /there is no fault 'meteor'; there are crash, exit, hang,/);
});

test.run();
