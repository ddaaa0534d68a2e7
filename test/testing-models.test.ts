/** Transition tables and model-based paths of `choir/testing`, for machines of anybody's. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { assign, setup } from 'xstate';
import { type WorkerInput, workerMachine } from '../machines/worker.ts';
import { SimulatedClock } from '../src/kernel/clock.ts';
import { Kernel } from '../src/kernel/kernel.ts';
import { paths, table } from '../src/testing/index.ts';

interface DoorContext {
	tries: number;
	code: string;
}
type DoorEvent = { type: 'push' } | { type: 'code'; code: string };
const nothing = () => {};
const door = setup({
	types: {} as { context: DoorContext; events: DoorEvent; input: { code: string } },
	actions: { ring: nothing, open: nothing, count: assign({ tries: ({ context }) => context.tries + 1 }) },
	guards: {
		isRight: ({ context, event }) => event.type === 'code' && event.code === context.code,
		isLast: ({ context }) => context.tries >= 2,
	},
	delays: { closeAfter: 3_000 },
}).createMachine({
	id: 'door',
	context: ({ input }) => ({ tries: 0, code: input.code }),
	initial: 'locked',
	states: {
		locked: {
			on: {
				code: [{ guard: 'isRight', target: 'unlocked' }, { guard: 'isLast', target: 'alarmed' }, { actions: 'count' }],
			},
		},
		unlocked: { entry: 'open', initial: 'shut', states: { shut: { on: { push: 'open' } }, open: { after: { closeAfter: 'shut' } } } },
		alarmed: { entry: 'ring', type: 'final' },
	},
});
const right = { type: 'code', code: '1234' } as const;
const wrong = { type: 'code', code: '0000' } as const;
const input = { code: '1234' };

test('a row passes where it should, and returns where it led', () => {
	const doors = table(door, input);
	doors.check(['opens to the right code', [right], 'unlocked.shut', ['open']]);
	assert.is(doors.check(['counts', [wrong, wrong], 'locked', []]).context.tries, 2);
	doors.check(['shuts by itself', [right, { type: 'push' }, 'closeAfter'], 'unlocked.shut', []]);
	doors.check(['takes another code', [{ type: 'code', code: 'x' }], 'unlocked.shut', ['open'], { code: 'x' }]);
});

/** The error that something throws. */
function thrown(act: () => unknown): Error & { actual?: unknown; expected?: unknown } {
	try {
		act();
	} catch (error) {
		return error as Error;
	}
	throw new Error('it throws nothing');
}

test('a row that leads elsewhere says where, with both sides', () => {
	const { message, actual, expected } = thrown(() => table(door, input).check(['opens', [wrong, right], 'locked']));
	assert.is(message, 'opens: after code, code it is in unlocked.shut, not in locked');
	assert.equal([actual, expected], ['unlocked.shut', 'locked']);
	const asked = thrown(() => table(door, input).check(['rings', [right], 'unlocked.shut', ['ring']]));
	assert.is(asked.message, 'rings: after code it asks for [open], not for [ring]');
	assert.equal([asked.actual, asked.expected], [['open'], ['ring']]);
	assert.throws(
		() => table(door, input).check(['', [right, { type: 'push' }, 'openAfter'], '']),
		/no timer 'openAfter' runs in unlocked\.open; there run closeAfter/,
	);
});

test('a table without a row for an arrow names it', () => {
	const doors = table(door, input);
	doors.check(['', [right, { type: 'push' }, 'closeAfter'], 'unlocked.shut']);
	assert.is(
		thrown(() => doors.assertComplete()).message,
		'arrows that no row takes:\ndoor.locked --code [isLast]--> door.alarmed\ndoor.locked --code--> stays',
	);
	doors.check(['', [wrong, wrong, wrong], 'alarmed']);
	doors.assertComplete();
});

test('paths lead to each state and through each arrow, by the shortest way', () => {
	const { states, arrows, missing, all } = paths(door, {
		input,
		events: [right, wrong, { type: 'push' }],
		same: ({ value }) => JSON.stringify(value),
	});
	assert.equal(
		states.map(({ description }) => description),
		['reaches locked at the beginning', 'reaches unlocked.shut: code', 'reaches unlocked.open: code → push'],
	);
	assert.equal(
		arrows.map(({ description }) => description.replace(/.*: /, '')),
		['code', 'code', 'code → push', 'code → push → after closeAfter'],
	);
	// Two wrong codes look like one: so says `same`.
	assert.equal(missing, ['door.locked --code [isLast]--> door.alarmed']);
	assert.equal(
		all.map(({ steps }) => steps.length),
		[1, 3],
	);
	const whole = paths(door, { input, events: [right, wrong, { type: 'push' }] });
	assert.equal(whole.missing, []);
	assert.ok(whole.states.some(({ description }) => description === 'reaches alarmed: code → code → code'));
});

test('more states than the limit are an error that says what would do', () => {
	const endless = setup({
		types: {} as { context: { count: number } },
		actions: { add: assign({ count: ({ context }) => context.count + 1 }) },
	}).createMachine({
		id: 'endless',
		context: { count: 0 },
		on: { more: { actions: 'add' } },
	});
	assert.throws(() => paths(endless, { limit: 50 }), /'endless' has more than 50 states: give fewer 'events', or say with 'same'/);
	assert.is(paths(endless, { same: () => 'one' }).states.length, 1);
});

/** A door as somebody could have built it. `flaw`: what is wrong with it. */
function built(flaw: 'none' | 'stays open' | 'throws') {
	let [unlocked, open, tries, rings] = [false, false, 0, false];
	let ends = 0;
	const system = {
		events: {
			code: ({ code }: { code: string }) => {
				if (flaw === 'throws' && tries === 1) throw new Error('no display');
				if (code === '1234') unlocked = true;
				else rings ||= tries++ >= 2;
			},
			push: async () => {
				open = true;
			},
			'after closeAfter': () => {
				if (flaw !== 'stays open') open = false;
			},
		},
		states: {
			locked: () => assert.not(unlocked),
			unlocked: () => assert.ok(unlocked),
			'unlocked.shut': () => assert.is(open, false),
			'unlocked.open': async () => assert.is(open, true),
			alarmed: () => assert.ok(rings),
		},
		end: () => {
			ends += 1;
		},
	};
	return { system, ends: () => ends };
}

const model = () => paths(door, { input, events: [right, wrong, { type: 'push' }] });
const rejected = async (promise: Promise<unknown>): Promise<Error & { actual?: unknown; expected?: unknown }> =>
	promise.then(
		() => assert.unreachable() as never,
		(error) => error,
	);

test('a system that does as its model passes, made afresh for each path', async () => {
	const made: Array<ReturnType<typeof built>> = [];
	const { paths: count, events } = await model().test(() => {
		const one = built('none');
		made.push(one);
		return one.system;
	});
	assert.is(count, made.length);
	assert.ok(count >= 3 && events > count);
	assert.ok(made.every(({ ends }) => ends() === 1));
});

test('a system that does not is shown with the path and the place in it', async () => {
	const error = await rejected(model().test(() => built('stays open').system));
	assert.match(error.message, /code → push → after closeAfter\nafter 'after closeAfter' the system is not in 'unlocked\.shut': /);
	assert.is(error.actual, true);
	assert.instance(error.cause, Error);
	const throwing = await rejected(model().test(() => built('throws').system));
	assert.match(throwing.message, /: code → code.*\nevent 'code' failed: no display$/);
});

test('a system that lacks an event, or has a state too many, is refused', async () => {
	const { system } = built('none');
	const { push: _, ...events } = system.events;
	assert.is((await rejected(model().test(() => ({ ...system, events })))).message, "the system does not know how to bring about 'push'");
	const states = { ...system.states, ajar: () => {} };
	assert.match(
		(await rejected(model().test(() => ({ ...system, states })))).message,
		/^no path reaches 'ajar'; there are locked, unlocked\.shut, unlocked/,
	);
});

const worker: WorkerInput = {
	workerId: 'w1',
	path: 'web',
	incarnation: 1,
	heartbeat: { everyMs: 1_000, timeoutMs: 10_000 },
	live: null,
	readyTimeoutMs: 30_000,
	stop: { drainMs: 60_000, terminateMs: 5_000 },
	okCodes: [0],
	adopted: null,
};

test('the kernel leads the worker along every path as its model says', async () => {
	const exited = { type: 'process.exited', code: 0, signal: null, maxRssBytes: null, at: 0 } as const;
	const model = paths(workerMachine, {
		input: worker,
		same: ({ value, context }) => `${JSON.stringify(value)} ${context.doom} ${context.kills}`,
		events: [
			{ type: 'process.spawned', pid: 7, startTicks: 7 },
			{ type: 'process.ready' },
			exited,
			{ type: 'heartbeat' },
			...(['drain', 'fast', 'kill'] as const).map((mode) => ({ type: 'drain' as const, mode })),
			{ type: 'drain.acknowledged' },
		],
	});
	assert.ok(model.states.length > 20);
	const places = ['starting', 'running.suspect', 'draining.asked', 'draining.killing', 'draining.stuck', 'dead'];
	const reached = new Set<string>();
	const figures = await model.test(() => {
		const kernel = new Kernel({ clock: new SimulatedClock() });
		kernel.start('w', workerMachine, worker, new Proxy({}, { get: () => () => {} }) as never);
		const isIn = (place: string) => () => {
			reached.add(place);
			assert.ok(kernel.state('w')?.startsWith(place), `${kernel.state('w')} is not in ${place}`);
		};
		// Every event, a timer's as well, is sent as it is.
		const send = (event: { type: string }) => kernel.send('w', event);
		return { events: new Proxy({}, { get: () => send }), states: Object.fromEntries(places.map((place) => [place, isIn(place)])) };
	});
	assert.ok(figures.paths > 20);
	assert.equal([...reached].sort(), [...places].sort());
});

test.run();
