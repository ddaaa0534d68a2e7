/** Actors as children: what the tree is told of each, whatever it does; and that it does it to nobody else. */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import {
	type AnyActorLogic,
	type AnyActorRef,
	assign,
	fromCallback,
	fromObservable,
	fromPromise,
	fromTransition,
	type Subscribable,
	sendTo,
	setup,
	spawnChild,
} from 'xstate';
import type { ActorSpec } from '../machines/spec.ts';
import type { WorkerEvent } from '../machines/worker.ts';
import { ActorHost } from '../src/hosts/actors.ts';
import type { Run } from '../src/master/host.ts';
import type { TreeNews } from '../src/master/tree.ts';
import { turn, until } from './support/until.ts';

const foreign: unknown[] = [];
process.on('uncaughtException', (error) => foreign.push(error));
process.on('unhandledRejection', (error) => foreign.push(error));

/** A host, and what it says. */
class Stage {
	readonly facts: Array<WorkerEvent & { of: string }> = [];
	readonly news: TreeNews[] = [];
	readonly host = new ActorHost({
		tell: (of, fact) => void this.facts.push({ of, ...fact }),
		now: () => performance.now(),
		news: (news) => void this.news.push(news),
	});
	#incarnation = 0;

	launch(logic: ActorSpec['logic'], more: Partial<ActorSpec> = {}): Run {
		this.#incarnation += 1;
		const spec = { kind: 'actor', logic, input: undefined, kept: 0, resume: 'fresh', restart: { type: 'permanent' }, ...more };
		const run: Run = {
			workerId: `w${this.#incarnation}`,
			path: 'a',
			incarnation: this.#incarnation,
			generation: 1,
			spec: spec as unknown as ActorSpec,
			stop: { drainMs: 1_000, terminateMs: 0 },
		};
		this.host.launch(run);
		return run;
	}

	send(event: { type: string }, kept = 0): void {
		this.host.send('a', event, kept);
	}

	/** What was told, in short. */
	get told(): string[] {
		return this.facts.map(({ of, ...fact }) => {
			const { reason, detail, message } = fact as { reason?: string; detail?: string; message?: string };
			return [of, fact.type, reason, detail ?? message].filter((part) => part !== undefined).join(' ');
		});
	}

	heard(type: string): string[] {
		return this.news.filter(({ event }) => event === type).map(({ message }) => message);
	}
}

const fail = (message = 'broken'): never => {
	throw new Error(message);
};
const idle = setup({}).createMachine({ on: { never: {} } });
const brittle = setup({ actions: { fail: () => fail() } }).createMachine({ on: { break: { actions: 'fail' } } });
const silent: Subscribable<number> = { subscribe: () => ({ unsubscribe: () => {} }) };

const starts: Array<[name: string, logic: () => ActorSpec['logic'], told: string[]]> = [
	['a machine', () => idle, ['w1 process.ready']],
	[
		'a machine that is done at once',
		() =>
			setup({}).createMachine({
				type: 'parallel',
				initial: 'a',
				states: { a: { initial: 'b', states: { b: { type: 'final' } } } },
			} as never),
		['w1 process.ready', 'w1 process.exited normal'],
	],
	['a callback', () => fromCallback(() => {}), ['w1 process.ready']],
	['a promise', () => fromPromise(() => new Promise(() => {})), ['w1 process.ready']],
	['a transition', () => fromTransition((state) => state, 0), ['w1 process.ready']],
	['an observable', () => fromObservable(() => silent), ['w1 process.ready']],
	['a function that gives logic', () => () => idle, ['w1 process.ready']],
	['a function that gives null', () => () => null, ['w1 process.exited ignored']],
	['a function that throws', () => () => fail(), ['w1 process.failed broken']],
	[
		'a function that gives something else',
		() => (() => 7) as never,
		['w1 process.failed the function that is its logic gave something else than actor logic'],
	],
	['a throw in an entry action', () => setup({}).createMachine({ entry: () => fail() }), ['w1 process.failed broken']],
	['a throw in the context', () => setup({}).createMachine({ context: () => fail() }), ['w1 process.failed broken']],
	['a throw in a callback', () => fromCallback(() => fail()), ['w1 process.failed broken']],
	['a throw in a promise', () => fromPromise(() => fail()), ['w1 process.failed broken']],
	[
		'a throw in a transition’s initial state',
		() =>
			fromTransition(
				(state) => state,
				() => fail(),
			),
		['w1 process.failed broken'],
	],
	['a throw in an observable', () => fromObservable(() => fail()), ['w1 process.failed broken']],
];
for (const [name, logic, told] of starts)
	test(`start: ${name}`, () => {
		const stage = new Stage();
		stage.launch(logic());
		assert.equal(stage.told, told);
	});

test('the input is that of the run, else that of the spec', () => {
	const seen: unknown[] = [];
	const stage = new Stage();
	const logic = fromCallback(({ input }) => void seen.push(input));
	const run = stage.launch(logic, { input: 1 });
	stage.host.kill(run);
	stage.host.forget(run);
	stage.host.launch({ ...run, workerId: 'other', input: 2 });
	assert.equal(seen, [1, 2]);
});

test('done is a normal end, a rejection and an error are crashes, each is told once', async () => {
	const done = new Stage();
	done.launch(fromPromise(async () => 1));
	await until('it ends', () => done.facts.length === 2);
	assert.equal(done.told, ['w1 process.ready', 'w1 process.exited normal']);
	const rejected = new Stage();
	rejected.launch(fromPromise(async () => fail()));
	await until('it ends', () => rejected.facts.length === 2);
	assert.equal(rejected.told, ['w1 process.ready', 'w1 process.exited crash broken']);
	const broken = new Stage();
	const run = broken.launch(brittle);
	broken.send({ type: 'break' });
	broken.host.kill(run);
	broken.host.terminate(run);
	broken.host.forget(run);
	broken.send({ type: 'break' });
	assert.equal(broken.told, ['w1 process.ready', 'w1 process.exited crash broken']);
});

test('what was thrown need not be an error, nor be readable, nor be short', () => {
	const thrown: Array<[unknown, RegExp]> = [
		['text', /^text$/],
		[undefined, /^undefined$/],
		[null, /^null$/],
		[Object.create(null), /^something that cannot be read$/],
		[
			new (class extends Error {
				override get message(): string {
					return fail();
				}
			})(),
			/^something that cannot be read$/,
		],
		[new Error('x'.repeat(10_000)), /^x{499}…$/],
	];
	for (const [value, detail] of thrown) {
		const stage = new Stage();
		stage.launch(
			setup({}).createMachine({
				on: {
					break: {
						actions: () => {
							throw value;
						},
					},
				},
			}),
		);
		stage.send({ type: 'break' });
		const [, exit] = stage.facts as unknown as [unknown, { detail: string }];
		assert.match(exit.detail, detail);
	}
});

const draining = setup({}).createMachine({
	initial: 'open',
	states: { open: { on: { 'choir.drain': 'closing' } }, closing: { on: { close: 'closed' } }, closed: { type: 'final' } },
});
const drains: Array<[name: string, logic: () => AnyActorLogic, told: string[]]> = [
	['a machine that takes it', () => draining, ['drain.acknowledged']],
	[
		'a machine that takes it and is done',
		() => setup({}).createMachine({ initial: 'a', states: { a: { on: { 'choir.drain': 'b' } }, b: { type: 'final' } } }),
		['process.exited normal'],
	],
	['a machine that cannot', () => idle, ['drain.undeliverable']],
	[
		'a machine whose guard says no',
		() => setup({}).createMachine({ on: { 'choir.drain': { guard: () => false, actions: () => {} } } }),
		['drain.undeliverable'],
	],
	[
		'a machine whose guard throws',
		() => setup({}).createMachine({ on: { 'choir.drain': { guard: () => fail(), actions: () => {} } } }),
		['drain.undeliverable'],
	],
	[
		'a machine that breaks of it',
		() => setup({}).createMachine({ on: { 'choir.drain': { actions: () => fail() } } }),
		['process.exited crash broken'],
	],
	['a callback that listens', () => fromCallback(({ receive }) => receive(() => {})), ['drain.acknowledged']],
	['a callback that does not', () => fromCallback(() => {}), ['drain.undeliverable']],
	['a callback that breaks of it', () => fromCallback(({ receive }) => receive(() => fail())), ['process.exited crash broken']],
	['a promise', () => fromPromise(() => new Promise(() => {})), ['drain.undeliverable']],
	['an observable', () => fromObservable(() => silent), ['drain.undeliverable']],
	[
		'a transition that knows it',
		() => fromTransition((state, { type }) => (type === 'choir.drain' ? 'drains' : state), 'runs'),
		['drain.acknowledged'],
	],
	['a transition that does not', () => fromTransition((state) => state, { a: 1 }), ['drain.undeliverable']],
];
for (const [name, logic, told] of drains)
	test(`drain: ${name}`, () => {
		const stage = new Stage();
		const run = stage.launch(logic());
		stage.host.askToDrain(run);
		// After its end nothing counts.
		const facts = stage.told.slice(1).map((line) => line.replace('w1 ', ''));
		assert.equal(facts.slice(0, 1), told);
		if (told[0]?.startsWith('process.')) return;
		stage.host.terminate(run);
		assert.equal(stage.told.at(-1), 'w1 process.exited normal');
	});

test('a drained actor that is done later has ended by that', () => {
	const stage = new Stage();
	const run = stage.launch(draining);
	stage.host.askToDrain(run);
	stage.send({ type: 'close' });
	stage.host.kill(run);
	assert.equal(stage.told, ['w1 process.ready', 'w1 drain.acknowledged', 'w1 process.exited normal']);
});

test('what throws while it is stopped is contained', () => {
	const logics: AnyActorLogic[] = [
		fromCallback(() => () => fail()),
		fromObservable(() => ({ subscribe: () => ({ unsubscribe: () => fail() }) }) as unknown as Subscribable<number>),
		setup({ actors: { inner: fromCallback(() => () => fail()) } }).createMachine({ invoke: { src: 'inner' } }),
		setup({
			actors: {
				inner: fromPromise(({ signal }) => new Promise((_, no) => signal.addEventListener('abort', () => no(new Error('aborted'))))),
			},
		}).createMachine({ invoke: { src: 'inner' } }),
	];
	for (const logic of logics) {
		const stage = new Stage();
		const run = stage.launch(logic);
		stage.host.kill(run);
		assert.match(stage.told.join('\n'), /^w1 process.ready\nw1 process.exited (normal|crash broken)$/);
	}
});

test('an actor that is stopped in the middle of its own step ends after it', () => {
	const stage = new Stage();
	const order: string[] = [];
	const run: Run = stage.launch(
		setup({}).createMachine({
			on: {
				go: {
					actions: [
						() => {
							stage.host.kill(run);
							order.push(`told ${stage.facts.length}`);
						},
						() => void order.push('goes on'),
					],
				},
			},
		}),
	);
	stage.send({ type: 'go' });
	assert.equal(order, ['told 1', 'goes on']);
	assert.equal(stage.told, ['w1 process.ready', 'w1 process.exited normal']);
});

test('a machine that breaks leaves nothing running, at whatever depth', () => {
	let living = 0;
	const beating = fromCallback(() => {
		living += 1;
		const interval = setInterval(() => {}, 1_000);
		return () => {
			living -= 1;
			clearInterval(interval);
		};
	});
	const inner = setup({ actors: { beating }, actions: { fail: () => fail() } }).createMachine({
		id: 'inner',
		invoke: { src: 'beating' },
		on: { break: { actions: 'fail' } },
	});
	const outer = setup({ actors: { beating, inner }, actions: { fail: () => fail() } }).createMachine({
		invoke: [
			{ id: 'inner', src: 'inner', onError: {} },
			{ id: 'beating', src: 'beating' },
		],
		on: {
			break: { actions: [spawnChild('beating'), 'fail'] },
			breakInner: { actions: sendTo('inner', { type: 'break' }) },
			more: { actions: spawnChild('beating') },
		},
	});
	const stage = new Stage();
	stage.launch(outer);
	assert.is(living, 2);
	// The inner machine is dead, and what it invoked lives on: XState does not know it any more.
	stage.send({ type: 'breakInner' });
	assert.is(stage.facts.length, 1);
	assert.is(living, 2);
	for (let count = 0; count < 100; count++) stage.send({ type: 'more' });
	assert.is(living, 102);
	stage.send({ type: 'break' });
	assert.equal(stage.told.at(-1), 'w1 process.exited crash broken');
	assert.is(living, 0);
});

test('events find the incarnation that there is, in order, and do not pile up on the stack', () => {
	const stage = new Stage();
	const seen: number[] = [];
	const rounds = 20_000;
	stage.launch(
		setup({ types: {} as { events: { type: 'tick'; n: number } } }).createMachine({
			on: {
				tick: {
					actions: ({ event }) => {
						seen.push(event.n);
						if (event.n < rounds) stage.send({ type: 'tick', n: event.n + 1 } as never);
					},
				},
			},
		}),
	);
	stage.send({ type: 'tick', n: 0 } as never);
	return until('all are there', () => seen.length === rounds + 1).then(() => assert.is(seen.at(-1), rounds));
});

test('what is no event is refused at once', () => {
	const stage = new Stage();
	for (const event of ['text', null, undefined, {}, { type: 1 }])
		assert.throws(() => stage.send(event as never), /must be an object with a type/);
});

test('unheard events are dropped, and reported at most once a second', async () => {
	const stage = new Stage();
	for (let count = 0; count < 1_000; count++) stage.send({ type: 'tick' });
	assert.equal(stage.heard('event.dropped'), ["an event was dropped since nobody runs to hear it: 'tick' for a"]);
	await until('the rest is reported', () => stage.heard('event.dropped').length === 2);
	assert.equal(stage.heard('event.dropped')[1], "an event was dropped since nobody runs to hear it: 'tick' for a, the last of 999");
	stage.host.close();
});

test('unheard events that are kept come in order, before later ones; beyond the limit the newest is refused', () => {
	const stage = new Stage();
	const seen: number[] = [];
	const logic = fromCallback<{ type: 'n'; n: number }>(({ receive }) =>
		receive(({ n }) => {
			seen.push(n);
			if (n === 1) fail();
		}),
	);
	const event = (n: number) => ({ type: 'n', n }) as { type: string };
	for (let n = 0; n < 5; n++) stage.send(event(n), 4);
	assert.is(stage.heard('event.dropped').length, 1);
	const first = stage.launch(logic);
	// It broke at the second: the others wait for the next.
	assert.equal(seen, [0, 1]);
	stage.host.forget(first);
	stage.send(event(5), 4);
	stage.launch(logic);
	stage.send(event(6), 4);
	assert.equal(seen, [0, 1, 2, 3, 5, 6]);
	stage.host.discard('a');
	stage.host.close();
});

test('what goes on throwing after its end is told once', async () => {
	const stage = new Stage();
	let thrown = 0;
	const run = stage.launch(
		fromCallback(() => {
			const interval = setInterval(() => {
				thrown += 1;
				if (thrown === 5) clearInterval(interval);
				fail();
			}, 1);
		}),
	);
	stage.host.kill(run);
	stage.host.forget(run);
	await until('it has thrown again and again', () => thrown === 5);
	assert.is(stage.heard('actor.late').length, 1);
});

const later = async (stage: Stage) => until('it crashes', () => stage.facts.length === 2);
const asides: Array<[name: string, aside: () => void]> = [
	['a timer', () => void setTimeout(() => fail(), 1)],
	[
		'an interval',
		() => {
			const interval = setInterval(() => {
				clearInterval(interval);
				fail();
			}, 1);
		},
	],
	['an immediate', () => void setImmediate(() => fail())],
	['a tick', () => void process.nextTick(() => fail())],
	['a promise that nobody awaits', () => void Promise.reject(new Error('broken'))],
	[
		'an async function',
		() =>
			void (async () => {
				await turn();
				fail();
			})(),
	],
	['a timer in a promise', () => void Promise.resolve().then(() => setTimeout(() => fail(), 1))],
	['a file that was read', () => void fs.readFile(os.devNull, () => fail())],
];
for (const [name, aside] of asides) {
	test(`aside: ${name}`, async () => {
		for (const logic of [
			setup({}).createMachine({ on: { go: { actions: aside } } }),
			fromCallback(({ receive }) => receive(aside)),
			fromTransition((state, { type }) => {
				if (type === 'go') aside();
				return state;
			}, 0),
		]) {
			const stage = new Stage();
			const run = stage.launch(logic as AnyActorLogic);
			stage.send({ type: 'go' });
			await later(stage);
			assert.equal(stage.told, ['w1 process.ready', 'w1 process.exited crash broken']);
			stage.host.forget(run);
		}
		for (const logic of [
			fromPromise(() => {
				aside();
				return new Promise(() => {});
			}),
			fromObservable(() => {
				aside();
				return silent;
			}),
		]) {
			const stage = new Stage();
			stage.launch(logic as AnyActorLogic);
			await later(stage);
			assert.equal(stage.told, ['w1 process.ready', 'w1 process.exited crash broken']);
		}
		assert.equal(foreign, []);
	});

	test(`after its end: ${name}`, async () => {
		const stage = new Stage();
		const run = stage.launch(fromCallback(() => aside));
		stage.host.kill(run);
		stage.host.forget(run);
		await until('it is noted', () => stage.heard('actor.late').length === 1);
		assert.equal(stage.told, ['w1 process.ready', 'w1 process.exited normal']);
		assert.equal(stage.heard('actor.late'), ['a: it had ended when something that it left threw: broken']);
		assert.equal(foreign, []);
	});
}

test('a delayed transition, an observer of its own children and one without an error listener', async () => {
	const child = fromTransition((state: number) => state + 1, 0);
	const logics: AnyActorLogic[] = [
		setup({ actions: { fail: () => fail() } }).createMachine({ after: { 1: { actions: 'fail' } } }),
		setup({ actors: { child } }).createMachine({
			context: ({ spawn }: { spawn(src: string): { subscribe(observer: () => void): void } }) => {
				const ref = spawn('child');
				ref.subscribe(() => fail());
				return { ref };
			},
			entry: ({ context }: { context: { ref: { send(event: { type: string }): void } } }) => context.ref.send({ type: 'x' }),
		} as never),
		setup({ actions: { fail: () => fail() } }).createMachine({
			entry: ({ self }) => void self.subscribe(() => {}),
			after: { 1: { actions: 'fail' } },
		}),
		setup({ actions: { fail: () => fail() } }).createMachine({
			entry: ({ self }) => void self.subscribe({ error: () => fail('in the observer') }),
			after: { 1: { actions: 'fail' } },
		}),
	];
	for (const logic of logics) {
		const stage = new Stage();
		stage.launch(logic);
		await later(stage);
		await turn();
		assert.equal(stage.told, ['w1 process.ready', 'w1 process.exited crash broken']);
	}
	assert.equal(foreign, []);
});

test('who is blamed is who did it, not who caused it', async () => {
	const stage = new Stage();
	const run = (path: string, logic: AnyActorLogic): Run => ({
		workerId: path,
		path,
		incarnation: 1,
		generation: 1,
		spec: { kind: 'actor', logic, kept: 0, resume: 'fresh', restart: { type: 'permanent' } } as unknown as ActorSpec,
		stop: { drainMs: 0, terminateMs: 0 },
	});
	stage.host.launch(
		run('sender', setup({}).createMachine({ on: { go: { actions: () => stage.host.send('receiver', { type: 'go' }, 0) } } })),
	);
	stage.host.launch(
		run(
			'receiver',
			fromCallback(({ receive }) => receive(() => setTimeout(() => fail(), 1))),
		),
	);
	stage.host.send('sender', { type: 'go' }, 0);
	await until('it crashes', () => stage.facts.length === 3);
	assert.is(stage.told.at(-1), 'receiver process.exited crash broken');
});

const counting = setup({
	types: {} as { context: { n: number }; events: { type: 'add' } | { type: 'break' } | { type: 'wait' } | { type: 'say' } },
	actions: { fail: () => fail() },
}).createMachine({
	context: { n: 0 },
	initial: 'steady',
	on: { add: { actions: assign({ n: ({ context }) => context.n + 1 }) }, break: { actions: [assign({ n: -1 }), 'fail'] } },
	states: { steady: { on: { wait: 'waiting' } }, waiting: { after: { 100: 'over' } }, over: { type: 'final' } },
});

test('a restart goes on from the last good snapshot', () => {
	const stage = new Stage();
	const seen: number[] = [];
	const watched = setup({ actors: { counting } }).createMachine({
		context: { sum: 0 },
		invoke: { id: 'below', src: 'counting' },
		on: {
			add: { actions: [assign({ sum: ({ context }: { context: { sum: number } }) => context.sum + 1 }), sendTo('below', { type: 'add' })] },
			look: {
				actions: ({ context, self }: { context: { sum: number }; self: AnyActorRef }) =>
					void seen.push(context.sum, self.getSnapshot().children.below.getSnapshot().context.n),
			},
			break: { actions: () => fail() },
		},
	} as never);
	for (let count = 0; count < 3; count++) {
		const run = stage.launch(watched as AnyActorLogic, { resume: 'snapshot' });
		stage.send({ type: 'add' });
		stage.send({ type: 'look' });
		stage.host[count === 1 ? 'kill' : 'askToDrain'](run);
		if (count !== 1) stage.send({ type: 'break' });
		stage.host.forget(run);
	}
	assert.equal(seen, [1, 1, 2, 2, 3, 3]);
});

test('its delayed events are set again for what is left of their time', async () => {
	const stage = new Stage();
	const before = performance.now();
	const run = stage.launch(counting, { resume: 'snapshot' });
	stage.send({ type: 'wait' });
	// Half of its time.
	await new Promise((resolve) => setTimeout(resolve, 50));
	stage.send({ type: 'break' });
	stage.host.forget(run);
	stage.launch(counting, { resume: 'snapshot' });
	const isOver = () => stage.told.at(-1) === 'w2 process.exited normal';
	// Timers fire in the order of their times, however late.
	let wholeTimeIsOver = false;
	const wholeTime = setTimeout(() => {
		wholeTimeIsOver = !isOver();
	}, 99);
	await until('it is over', isOver);
	clearTimeout(wholeTime);
	const took = performance.now() - before;
	// Node's timers may be early by a millisecond, and so may be what the wall clock says of when it was set.
	assert.ok(took >= 98, `after ${took} ms`);
	assert.not(wholeTimeIsOver, 'what was left was its whole time');
	assert.equal(stage.told, ['w1 process.ready', 'w1 process.exited crash broken', 'w2 process.ready', 'w2 process.exited normal']);
});

test('so are those of what it has invoked', async () => {
	const stage = new Stage();
	const outer = setup({ actors: { counting }, actions: { fail: () => fail() } }).createMachine({
		initial: 'going',
		states: {
			going: {
				invoke: { id: 'below', src: 'counting', onDone: 'gone' },
				on: { wait: { actions: sendTo('below', { type: 'wait' }) }, break: { actions: 'fail' } },
			},
			gone: { type: 'final' },
		},
	});
	const run = stage.launch(outer, { resume: 'snapshot' });
	stage.send({ type: 'wait' });
	stage.send({ type: 'break' });
	stage.host.forget(run);
	stage.launch(outer, { resume: 'snapshot' });
	await until('it is over', () => stage.told.at(-1) === 'w2 process.exited normal');
});

test('a poisoned snapshot makes no crash loop', async () => {
	const stage = new Stage();
	const poisoned = setup({
		types: {} as { context: { n: number } },
		actors: { check: fromPromise<void, number>(async ({ input }) => void (input > 0 && fail('poison'))) },
	}).createMachine({
		context: { n: 0 },
		initial: 'good',
		states: {
			good: { on: { poison: { target: 'bad', actions: assign({ n: 1 }) } } },
			bad: { invoke: { src: 'check', input: ({ context }) => context.n } },
		},
	});
	const first = stage.launch(poisoned, { resume: 'snapshot' });
	stage.send({ type: 'poison' });
	await until('it crashes', () => stage.facts.length === 2);
	stage.host.forget(first);
	const second = stage.launch(poisoned, { resume: 'snapshot' });
	await until('it crashes again', () => stage.facts.length === 4);
	stage.host.forget(second);
	stage.launch(poisoned, { resume: 'snapshot' });
	// It would crash as those before it: in a promise, which is no further away than this.
	await turn();
	assert.equal(stage.told, [
		'w1 process.ready',
		'w1 process.exited crash poison',
		'w2 process.ready',
		'w2 process.exited crash poison',
		'w3 process.ready',
	]);
	assert.is(stage.heard('snapshot.dropped').length, 1);
});

test('a snapshot that cannot be kept, or that the next logic cannot take, means afresh', () => {
	const stage = new Stage();
	const unkept = {
		...fromTransition((state: number, { type }) => (type === 'break' ? fail() : state), 0),
		getPersistedSnapshot: () => fail('no'),
	};
	const run = stage.launch(unkept as AnyActorLogic, { resume: 'snapshot' });
	stage.send({ type: 'break' });
	stage.host.forget(run);
	assert.equal(stage.heard('snapshot.dropped'), ['a: its snapshot cannot be kept (no), and so it starts afresh']);
	const second = stage.launch(counting, { resume: 'snapshot' });
	stage.send({ type: 'wait' });
	stage.send({ type: 'break' });
	stage.host.forget(second);
	const other = setup({}).createMachine({ initial: 'x', states: { x: {} } });
	stage.launch(other, { resume: 'snapshot' });
	assert.is(stage.told.at(-1), 'w3 process.ready');
	assert.match(stage.heard('snapshot.dropped')[1] ?? '', /cannot go on from its snapshot/);
});

/** The end of a process, and what it prints, with an actor in it and without. */
function endOf(code: string, actors: boolean): { status: number | null; stderr: string } {
	const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'choir-actors-'));
	try {
		const file = path.join(dir, 'main.mts');
		const host = new URL('../src/hosts/actors.ts', import.meta.url).href;
		const xstate = import.meta.resolve('xstate');
		const lines = [
			`const { ActorHost } = await import(${JSON.stringify(host)}); const { fromCallback } = await import(${JSON.stringify(xstate)});`,
			`const host = new ActorHost({ tell: () => {}, now: () => 0, news: () => {} });`,
			`const launch = () => host.launch({ workerId: 'a', path: 'a', incarnation: 1, stop: {}, spec: { kind: 'actor', kept: 0, resume: 'fresh', restart: {}, logic: fromCallback(() => { setTimeout(() => { throw new Error('contained') }, 1); }) } });`,
			`${actors ? 'launch();' : 'void launch;'}`,
			// Behind the timer of the actor.
			`await new Promise((resolve) => setTimeout(resolve, 2));`,
			code,
		];
		fs.writeFileSync(file, lines.join('\n'));
		const { status, stderr } = spawnSync(process.execPath, ['--import', import.meta.resolve('tsx'), file], {
			encoding: 'utf8',
			timeout: 30_000,
			cwd: dir,
		});
		return { status, stderr: stderr.replaceAll(dir, '') };
	} finally {
		fs.rmSync(dir, { recursive: true, force: true });
	}
}

const others = {
	'an error in a timer': `setTimeout(() => { throw new Error('foreign') }, 1);`,
	'a rejection': `Promise.reject(new Error('foreign'));`,
	'a rejection of no error': `Promise.reject(7);`,
	'an error with a listener': `process.on('uncaughtException', (error) => console.error('heard', error.message)); setTimeout(() => { throw new Error('foreign') }, 1);`,
	'an exit code of its own': `process.on('exit', () => { process.exitCode = 9; }); setTimeout(() => { throw new Error('foreign') }, 1);`,
};
for (const [name, code] of Object.entries(others))
	test(`somebody else’s error is Node’s: ${name}`, () => {
		const [without, beside] = [endOf(code, false), endOf(code, true)];
		// The text of the script differs in one word.
		assert.is(beside.status, without.status);
		assert.is(beside.stderr, without.stderr);
		assert.match(without.stderr, /foreign|7/);
	});

test.run();
