/** Whatever an actor does, it fails alone: kinds of logic × what goes wrong and when × who looks on, drawn by chance. */
import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import {
	type AnyActorLogic,
	type AnyActorRef,
	fromCallback,
	fromEventObservable,
	fromObservable,
	fromPromise,
	fromTransition,
	type Subscribable,
	setup,
	spawnChild,
} from 'xstate';
import type { ExitReason } from '../machines/spec.ts';
import { actor, start, tree } from '../src/index.ts';
import { turn, until } from './support/until.ts';

const foreign: unknown[] = [];
process.on('uncaughtException', (error) => foreign.push(error));
process.on('unhandledRejection', (error) => foreign.push(error));

/** What a logic gets to know: how to fail, and its observer. */
interface Part {
	fail: () => never;
	/** Looks on, in one of several ways. */
	observe: (self: AnyActorRef) => void;
}
type Way = (part: Part) => AnyActorLogic;

const never = <T>() => new Promise<T>(() => {});
const silent: Subscribable<never> = { subscribe: () => ({ unsubscribe: () => {} }) };
const observable = (subscribe: (observer: { next?(value: number): void; error?(error: unknown): void }) => () => void) =>
	({ subscribe: (observer: never) => ({ unsubscribe: subscribe(observer) }) }) as unknown as Subscribable<number>;

/** What goes wrong aside, in nobody's hands. */
const asides: Record<string, (fail: () => never) => void> = {
	timer: (fail) => void setTimeout(fail, 1),
	interval: (fail) => {
		const interval = setInterval(() => {
			clearInterval(interval);
			fail();
		}, 1);
	},
	immediate: (fail) => void setImmediate(fail),
	tick: (fail) => void process.nextTick(fail),
	rejection: (fail) => void (async () => fail())(),
	laterRejection: (fail) => void turn().then(fail),
	timerInPromise: (fail) => void Promise.resolve().then(() => setTimeout(fail, 1)),
};

/** Each fails once it has got `go`, or by itself. */
const running: Record<string, Way> = {
	'machine: action': ({ fail, observe }) =>
		setup({}).createMachine({ entry: ({ self }) => observe(self), on: { go: { actions: () => fail() } } }),
	'machine: entry action of a later state': ({ fail, observe }) =>
		setup({}).createMachine({
			entry: ({ self }) => observe(self),
			initial: 'a',
			states: { a: { on: { go: 'b' } }, b: { entry: () => fail() } },
		}),
	'machine: exit action': ({ fail, observe }) =>
		setup({}).createMachine({
			entry: ({ self }) => observe(self),
			initial: 'a',
			states: { a: { on: { go: 'b' }, exit: () => fail() }, b: {} },
		}),
	'machine: guard': ({ fail, observe }) =>
		setup({}).createMachine({ entry: ({ self }) => observe(self), on: { go: { guard: () => fail(), actions: () => {} } } }),
	'machine: guard of always': ({ fail, observe }) =>
		setup({}).createMachine({
			entry: ({ self }) => observe(self),
			initial: 'a',
			states: { a: { on: { go: 'b' } }, b: { always: { guard: () => fail(), target: 'a' } } },
		}),
	'machine: output': ({ fail, observe }) =>
		setup({}).createMachine({
			entry: ({ self }) => observe(self),
			output: () => fail(),
			initial: 'a',
			states: { a: { on: { go: 'b' } }, b: { type: 'final' } },
		}),
	'machine: delayed transition': ({ fail, observe }) =>
		setup({}).createMachine({ entry: ({ self }) => observe(self), after: { 1: { actions: () => fail() } } }),
	'machine: delay': ({ fail, observe }) =>
		setup({ delays: { wait: () => fail() } }).createMachine({
			entry: ({ self }) => observe(self),
			initial: 'a',
			states: { a: { on: { go: 'b' } }, b: { after: { wait: 'a' } } },
		}),
	'machine: invoked promise': ({ fail, observe }) =>
		setup({ actors: { work: fromPromise(async () => fail()) } }).createMachine({
			entry: ({ self }) => observe(self),
			initial: 'a',
			states: { a: { on: { go: 'b' } }, b: { invoke: { src: 'work' } } },
		}),
	'machine: invoked callback': ({ fail, observe }) =>
		setup({ actors: { work: fromCallback(() => fail()) } }).createMachine({
			entry: ({ self }) => observe(self),
			initial: 'a',
			states: { a: { on: { go: 'b' } }, b: { invoke: { src: 'work' } } },
		}),
	'machine: spawned machine': ({ fail, observe }) =>
		setup({ actors: { work: setup({}).createMachine({ entry: () => fail() }) } }).createMachine({
			entry: ({ self }) => observe(self),
			on: { go: { actions: spawnChild('work') } },
		}),
	'machine: observer of its own child': ({ fail, observe }) =>
		setup({ actors: { work: setup({}).createMachine({ after: { 1: { actions: () => {} } } }) } }).createMachine({
			entry: ({ self }) => observe(self),
			invoke: { id: 'work', src: 'work' },
			on: { go: { actions: ({ self }) => void self.getSnapshot().children.work?.subscribe(() => fail()) } },
		}),
	'callback: listener': ({ fail, observe }) =>
		fromCallback(({ self, receive }) => {
			observe(self);
			receive(() => fail());
		}),
	'promise: rejection': ({ fail, observe }) =>
		fromPromise(async ({ self }) => {
			observe(self);
			await turn();
			fail();
		}),
	'observable: error': ({ fail, observe }) =>
		fromObservable(({ self }) => {
			observe(self);
			return observable((observer) => {
				const timer = setTimeout(() => {
					try {
						fail();
					} catch (error) {
						observer.error?.(error);
					}
				}, 1);
				return () => clearTimeout(timer);
			});
		}),
	'transition: throw': ({ fail, observe }) =>
		fromTransition((state: number, { type }, { self }) => {
			observe(self);
			return type === 'go' ? fail() : state;
		}, 0),
};
for (const [name, aside] of Object.entries(asides)) {
	running[`machine: ${name}`] = ({ fail, observe }) =>
		setup({}).createMachine({ entry: ({ self }) => observe(self), on: { go: { actions: () => aside(fail) } } });
	running[`callback: ${name}`] = ({ fail, observe }) =>
		fromCallback(({ self, receive }) => {
			observe(self);
			receive(() => aside(fail));
		});
	running[`promise: ${name}`] = ({ fail, observe }) =>
		fromPromise(({ self }) => {
			observe(self);
			aside(fail);
			return never();
		});
	running[`observable: ${name}`] = ({ fail, observe }) =>
		fromObservable(({ self }) => {
			observe(self);
			aside(fail);
			return silent;
		});
	running[`event observable: ${name}`] = ({ fail, observe }) =>
		fromEventObservable(({ self }) => {
			observe(self);
			aside(fail);
			return silent;
		});
	running[`transition: ${name}`] = ({ fail, observe }) =>
		fromTransition((state: number, { type }, { self }) => {
			observe(self);
			if (type === 'go') aside(fail);
			return state;
		}, 0);
}

const starting: Record<string, Way> = {
	'machine: entry action': ({ fail }) => setup({}).createMachine({ entry: () => fail() }),
	'machine: context': ({ fail }) => setup({}).createMachine({ context: () => fail() }),
	'machine: invoked callback': ({ fail }) =>
		setup({ actors: { work: fromCallback(() => fail()) } }).createMachine({ invoke: { src: 'work' } }),
	'machine: input of what it invokes': ({ fail }) =>
		setup({ actors: { work: fromCallback(() => {}) } }).createMachine({ invoke: { src: 'work', input: () => fail() } }),
	'machine: always': ({ fail }) =>
		setup({}).createMachine({ initial: 'a', states: { a: { always: { target: 'b', guard: () => fail() } }, b: {} } }),
	'callback: function': ({ fail }) => fromCallback(() => fail()),
	'promise: function': ({ fail }) => fromPromise(() => fail()),
	'observable: function': ({ fail }) => fromObservable(() => fail()),
	'observable: subscription': ({ fail }) => fromObservable(() => observable(() => fail())),
	'transition: initial state': ({ fail }) =>
		fromTransition(
			(state: number) => state,
			() => fail(),
		),
	'logic: function': ({ fail }) => fail(),
};

const stopping: Record<string, Way> = {
	'machine: cleanup of what it invokes': ({ fail }) =>
		setup({ actors: { work: fromCallback(() => fail) } }).createMachine({ invoke: { src: 'work' } }),
	'machine: what it invokes, when aborted': ({ fail }) =>
		setup({
			actors: {
				work: fromPromise(({ signal }) => {
					signal.addEventListener('abort', () => void turn().then(fail));
					return never();
				}),
			},
		}).createMachine({ invoke: { src: 'work' } }),
	'callback: cleanup': ({ fail }) => fromCallback(() => fail),
	'callback: cleanup, aside': ({ fail }) => fromCallback(() => () => void setTimeout(fail, 1)),
	'callback: what it does not clean up': ({ fail }) =>
		fromCallback(() => {
			setTimeout(fail, 15);
		}),
	'promise: after an abort': ({ fail }) =>
		fromPromise(async ({ signal }) => {
			await new Promise((resolve) => signal.addEventListener('abort', resolve));
			await turn();
			fail();
		}),
	'observable: unsubscription': ({ fail }) => fromObservable(() => observable(() => fail)),
};

/** Who looks on at the actor that fails. */
const observers: Record<string, (self: AnyActorRef, fail: () => never) => void> = {
	nobody: () => {},
	'somebody who does not take errors': (self) => void self.subscribe(() => {}),
	'somebody who takes errors': (self) => void self.subscribe({ error: () => {} }),
	'somebody who fails of errors': (self, fail) => void self.subscribe({ error: () => fail() }),
	'somebody who fails of the end': (self, fail) => void self.subscribe({ error: () => {}, complete: () => fail() }),
};

const errors: Record<string, () => unknown> = {
	error: () => new Error('broken'),
	text: () => 'broken',
	nothing: () => undefined,
	frozen: () => Object.freeze(new Error('broken')),
	unreadable: () =>
		Object.defineProperty(new Error(), 'message', {
			get: () => {
				throw new Error('unreadable');
			},
		}),
};

type Moment = 'starting' | 'running' | 'stopping';
const ways: Array<[Moment, string, Way]> = [
	...Object.entries(starting).map(([name, way]): [Moment, string, Way] => ['starting', name, way]),
	...Object.entries(running).map(([name, way]): [Moment, string, Way] => ['running', name, way]),
	...Object.entries(stopping).map(([name, way]): [Moment, string, Way] => ['stopping', name, way]),
];
const expected: Record<Moment, ExitReason> = { starting: 'startFailed', running: 'crash', stopping: 'shutdown' };

/** Its first life is good where it is to fail at a start, its second otherwise; and so is its last. */
async function failsAlone(moment: Moment, way: Way, observer: keyof typeof observers, error: () => unknown): Promise<void> {
	const fail = (): never => {
		throw error();
	};
	const observed = new WeakSet<AnyActorRef>();
	const part: Part = {
		fail,
		observe: (self) => {
			if (observed.has(self)) return;
			observed.add(self);
			observers[observer]?.(self, fail);
		},
	};
	const good = setup({}).createMachine({
		on: {
			end: {
				actions: () => {
					throw new Error('asked to break');
				},
			},
		},
	});
	let lives = 0;
	let siblings = 0;
	const bad = moment === 'starting' ? 2 : 1;
	const sibling = fromCallback(() => {
		siblings += 1;
	});
	const exits: Array<{ reason: string }> = [];
	const running = await start(
		tree('t', {
			intensity: { restarts: 10, within: '1s' },
			children: [
				actor('before', { logic: sibling }),
				actor('child', { logic: () => (++lives === bad ? way(part) : good) }),
				actor('after', { logic: sibling }),
			],
		}),
	);
	const reading = (async () => {
		for await (const event of running.events())
			if (event.type === 'transition' && event.path === 'child' && event.exit !== null) exits.push(event.exit);
	})();
	try {
		const child = running.ref('child');
		if (moment === 'starting') child.send({ type: 'end' } as never);
		else if (moment === 'running') child.send({ type: 'go' } as never);
		else {
			await running.child('').terminateChild('child');
			await running.child('').restartChild('child');
		}
		await until('it is restarted', () => lives > bad && running.status().children[1]?.state === 'running');
		await turn();
		// What it has left has its time to do harm: timers of one process fire in the order of their times, and this one is behind its own.
		await new Promise((resolve) => setTimeout(resolve, moment === 'stopping' ? 16 : 2));
		assert.is(siblings, 2, 'its siblings live');
		assert.is(lives, bad + 1, 'it was restarted once');
		assert.is(running.status().state, 'running');
	} finally {
		await running.stop();
		await reading;
	}
	const reasons = exits.map(({ reason }) => reason);
	assert.equal(reasons, moment === 'starting' ? ['crash', 'startFailed', 'shutdown'] : [expected[moment], 'shutdown']);
	assert.equal(foreign, [], 'nothing is unhandled');
}

test(`each of ${ways.length} ways to fail, with nobody looking on`, async () => {
	for (const [moment, name, way] of ways) {
		try {
			await failsAlone(moment, way, 'nobody', () => new Error('broken'));
		} catch (error) {
			throw new Error(`${moment}, ${name}: ${(error as Error).message}`);
		}
	}
});

test('two hundred ways for an actor to fail', async () => {
	await fc.assert(
		fc.asyncProperty(
			fc.constantFrom(...ways.map(([moment, name]) => `${moment}, ${name}`)),
			fc.constantFrom(...Object.keys(observers)),
			fc.constantFrom(...Object.keys(errors)),
			async (wanted, observer, error) => {
				const [moment, , way] = ways.find(([at, name]) => `${at}, ${name}` === wanted) as [Moment, string, Way];
				await failsAlone(moment, way, observer, errors[error] as () => unknown);
			},
		),
		{ numRuns: 200 },
	);
});

test.run();
