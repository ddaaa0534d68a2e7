/** Stepping by tables means what XState means: both go through the same events, and do and ask the same. */
import * as fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import {
	type AnyActorRef,
	type AnyActorScope,
	type AnyEventObject,
	type AnyMachineSnapshot,
	type AnyStateMachine,
	assign,
	createActor,
	createMachine,
	enqueueActions,
	fromPromise,
	raise,
	setup,
} from 'xstate';
import { angelMachine } from '../machines/angel.ts';
import { dynamicMachine } from '../machines/dynamic.ts';
import { masterMachine } from '../machines/master.ts';
import { rolloutMachine } from '../machines/rollout.ts';
import { workerMachine } from '../machines/worker.ts';
import { type Asked, Chart } from '../src/kernel/chart.ts';
import { stateName } from '../src/kernel/kernel.ts';
import { child, rule, supervisor } from './support/world.ts';

interface Seen {
	state: string;
	context: unknown;
	status: string;
	output: unknown;
	asked: Asked[];
}

/** XState's own steps, with what it asks for taken down. */
function byXState(machine: AnyStateMachine, input: unknown, events: readonly AnyEventObject[]): Seen[] {
	let asked: Asked[] = [];
	const blank = createActor(createMachine({}));
	const scope: AnyActorScope = {
		self: blank as unknown as AnyActorRef,
		id: '',
		sessionId: '',
		logger: () => {},
		defer: () => {},
		emit: () => {},
		stopChild: () => {},
		system: blank.system,
		actionExecutor: ({ type, params }) => {
			// Raised without a delay: taken within the step.
			if (type !== 'xstate.raise' || (params as { delay?: number }).delay !== undefined) asked.push({ type, params });
		},
	};
	const seen = ({ value, context, status, output }: AnyMachineSnapshot): Seen => ({
		state: stateName(value),
		context,
		status,
		output,
		asked,
	});
	let snapshot = machine.getInitialSnapshot(scope, input) as AnyMachineSnapshot;
	const all = [seen(snapshot)];
	for (const event of events) {
		if (snapshot.status !== 'active') break;
		asked = [];
		snapshot = machine.transition(snapshot, event, scope) as AnyMachineSnapshot;
		all.push(seen(snapshot));
	}
	return all;
}

function byTables(machine: AnyStateMachine, input: unknown, events: readonly AnyEventObject[]): Seen[] {
	const chart = new Chart(machine);
	let asked: Asked[] = [];
	let moment = chart.begin(input, asked);
	const seen = (): Seen => ({ state: moment.state.name, context: moment.context, status: moment.status, output: moment.output, asked });
	const all = [seen()];
	for (const event of events) {
		if (moment.status !== 'active') break;
		asked = [];
		moment = chart.take(moment, event, asked);
		all.push(seen());
	}
	return all;
}

/** Event types of a machine, its timers among them. */
function typesOf(machine: AnyStateMachine): string[] {
	const { idMap } = machine as unknown as { idMap: Map<string, { transitions: Map<string, unknown> }> };
	return [...new Set([...idMap.values()].flatMap(({ transitions }) => [...transitions.keys()])), 'nobody.knows'];
}

const id = fc.constantFrom('a', 'b', 'c', 'x');
const mode = fc.constantFrom('drain', 'fast', 'kill');
const reason = fc.constantFrom('normal', 'shutdown', 'crash', 'killed', 'startFailed', 'ignored');
const exit = fc.record({
	reason,
	code: fc.constantFrom(null, 0, 1, 78),
	signal: fc.constantFrom(null, 'SIGKILL'),
	at: fc.nat(5_000),
	maxRssBytes: fc.constant(null),
});
const asked = fc.oneof(
	fc.record({
		do: fc.constant('startChild'),
		id,
		rule: fc.constantFrom(rule(), rule({ type: 'temporary' })),
		incarnation: fc.nat(3),
		request: fc.constant('r'),
	}),
	fc.record({ do: fc.constantFrom('terminateChild', 'restartChild', 'deleteChild'), id, request: fc.constant('r') }),
	fc.record({ do: fc.constant('terminateChild'), id, request: fc.constant('r'), alone: fc.boolean() }),
	fc.record({ do: fc.constant('look'), request: fc.constant('r') }),
);
/** Whatever an event of any of the machines may hold. */
const fields = fc.record({
	mode,
	id,
	request: fc.constant('r'),
	asked,
	incarnation: fc.integer({ min: 1, max: 3 }),
	at: fc.nat(5_000),
	exit,
	chance: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
	operation: fc.integer({ min: 1, max: 4 }),
	code: fc.constantFrom(null, 0, 1, 70),
	signal: fc.constantFrom(null, 'SIGTERM'),
	maxRssBytes: fc.constant(null),
	pid: fc.nat(9),
	startTicks: fc.nat(9),
	message: fc.constant('boom'),
	why: fc.constant('late'),
	effect: fc.constant('launch'),
	exitCode: fc.constantFrom(0, 1, 70),
	lines: fc.constant([]),
	deadline: fc.boolean(),
	numbers: fc.array(fc.tuple(id, fc.integer({ min: 1, max: 5 })), { maxLength: 2 }),
	spec: fc.constant({ start: 'ordered', intensity: { restarts: 1, withinMs: 1_000 }, autoShutdown: 'never', shutdownMs: null }),
	children: fc.uniqueArray(fc.record({ id, rule: fc.constant(rule()), taken: fc.constantFrom(null, { incarnation: 4, readyAt: 1 }) }), {
		maxLength: 3,
		selector: (each) => each.id,
	}),
	stop: fc.constant({ drainMs: 5, terminateMs: 5 }),
	okCodes: fc.constant([0, 1]),
	workerId: fc.constantFrom('w1', 'w2'),
	path: fc.constantFrom('a', 'b'),
	plan: fc.constant({
		candidates: ['w1', 'w2'].map((workerId) => ({ path: workerId, incarnation: 2, workerId, group: 'g', surge: 1, phase: 'waiting' })),
		exchanges: ['a', 'b'].map((path) => ({ path, what: 'replace', phase: 'waiting' })),
		soakMs: 10,
		proofMs: 10,
		touches: true,
	}),
});

const backoff = { fromMs: 10, toMs: 100, resetAfterMs: 1_000 };
const children = [
	child('a', { strategy: 'one_for_all', type: 'transient', significant: true }),
	child('b', { backoff }),
	child('c', { whenExhausted: 'giveUp', intensity: { restarts: 1, withinMs: 1_000 } }),
];
const machines: Array<[machine: AnyStateMachine, input: unknown]> = [
	[
		workerMachine,
		{
			workerId: 'w',
			path: 'p',
			incarnation: 1,
			heartbeat: { everyMs: 1, timeoutMs: 10 },
			live: { probe: { kind: 'tcp', host: 'h', port: 1 }, everyMs: 1, timeoutMs: 1, failures: 2 },
			readyTimeoutMs: 100,
			stop: { drainMs: 10, terminateMs: 10 },
			okCodes: [0],
			adopted: null,
		},
	],
	[masterMachine, { spec: supervisor('', children, { autoShutdown: 'any_significant', shutdownMs: 1_000, start: 'parallel' }) }],
	[masterMachine, { spec: supervisor('', children) }],
	[
		dynamicMachine,
		{
			spec: {
				path: 'pool',
				intensity: { restarts: 2, withinMs: 1_000 },
				maxChildren: 2,
				shutdownMs: 100,
				template: { restart: rule({ backoff }) },
			},
		},
	],
	[rolloutMachine, { generation: 2 }],
	[
		angelMachine,
		{
			care: { heartbeat: { everyMs: 1, timeoutMs: 10 }, intensity: { restarts: 2, withinMs: 1_000 }, backoff },
			stopTimeoutMs: 100,
			upgradeTimeoutMs: 200,
		},
	],
];

for (const [machine, input] of machines) {
	test(`the ${machine.id} goes the same way, whatever happens`, () => {
		const events = fc.array(
			fc.tuple(fc.constantFrom(...typesOf(machine)), fields).map(([type, more]): AnyEventObject => ({ ...more, type })),
			{ maxLength: 40 },
		);
		fc.assert(
			fc.property(events, (happening) => assert.equal(byTables(machine, input, happening), byXState(machine, input, happening))),
			{ numRuns: 300 },
		);
	});
}

const enqueueing = enqueueActions<
	{ log: string[] },
	{ type: string },
	undefined,
	{ type: string },
	never,
	{ type: 'ask'; params: { what: string } } | { type: 'plain'; params: undefined },
	{ type: 'even'; params: undefined },
	never
>;
const odd = setup({
	types: {} as { context: { log: string[] }; events: { type: string } },
	actions: { ask: (_, _params: { what: string }) => {}, plain: () => {} },
	guards: { even: ({ context }) => context.log.length % 2 === 0, is: (_, { it }: { it: boolean }) => it },
	delays: { late: ({ context }) => context.log.length, fixed: 7 },
})
	.extend({
		actions: {
			note: assign({ log: ({ context, event }, params?: { as: string }) => [...context.log, params?.as ?? event.type] }),
			several: enqueueing(({ enqueue, check, context }) => {
				enqueue.assign({ log: [...context.log, 'several'] });
				if (check('even')) enqueue('plain');
				enqueue({ type: 'ask', params: { what: context.log.join() } });
				enqueue.raise({ type: 'follow' });
				enqueue.raise({ type: 'tick' }, { id: 'tock', delay: 5 });
				enqueue.cancel('tock');
			}),
		},
	})
	.createMachine({
		id: 'odd',
		context: { log: [] },
		output: ({ context }) => context.log.length,
		entry: ['plain', { type: 'note', params: { as: 'begin' } }],
		exit: 'plain',
		on: {
			reset: '.a',
			again: { target: '.a', reenter: true },
			follow: { actions: 'note' },
			end: '.z',
			stay: { actions: 'several' },
			never: { guard: { type: 'is', params: { it: false } }, target: '.z' },
		},
		initial: 'a',
		states: {
			a: {
				entry: 'note',
				exit: { type: 'ask', params: ({ event }) => ({ what: event.type }) },
				on: { in: '.two', go: 'b', self: { target: 'a' }, anew: { target: 'a', reenter: true }, stay: {} },
				after: { late: '.two', 3: 'b' },
				initial: 'one',
				states: {
					one: { exit: 'plain', on: { up: '#odd.b', deep: '#deep' }, after: { fixed: { actions: 'note' } } },
					two: { entry: 'note', on: { back: 'one' } },
				},
			},
			b: {
				entry: ['note', raise({ type: 'follow' })],
				always: { guard: 'even', target: 'c' },
				on: { go: 'a', deep: '#deep' },
			},
			c: {
				initial: 'x',
				on: { stay: { guard: 'even', actions: 'several' } },
				states: {
					x: { always: [{ guard: 'even', actions: 'note' }], on: { go: '#deep' } },
					y: { id: 'deep', entry: 'several', on: { up: '#odd.c', go: '#odd.a.two' } },
				},
			},
			z: { type: 'final', entry: 'note' },
		},
	});

test('so does a chart with every turn that charts may take here', () => {
	const events = fc.array(
		fc.constantFrom(...typesOf(odd)).map((type) => ({ type })),
		{ maxLength: 30 },
	);
	fc.assert(
		fc.property(events, (happening) => assert.equal(byTables(odd, undefined, happening), byXState(odd, undefined, happening))),
		{ numRuns: 1_000 },
	);
});

test('what the kernel does not step is refused by name', () => {
	const refused: Array<[AnyStateMachine, string]> = [
		[createMachine({ id: 'm', type: 'parallel', states: { a: {}, b: {} } }), 'parallel states'],
		[
			createMachine({ id: 'm', initial: 'a', states: { a: { initial: 'x', states: { x: {}, h: { type: 'history' } } } } }),
			'history states',
		],
		[createMachine({ id: 'm', invoke: { src: fromPromise(async () => {}) } }), 'something that it invokes'],
		[createMachine({ id: 'm', on: { '*': {} } }), 'a wildcard'],
	];
	for (const [machine, what] of refused) assert.throws(() => new Chart(machine), new RegExp(`the kernel cannot step 'm': .* has ${what}`));
});

test.run();
