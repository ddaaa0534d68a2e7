import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { assign, createMachine, type InspectionEvent, setup } from 'xstate';
import { workerMachine } from '../machines/worker.ts';
import { RealClock, SimulatedClock } from '../src/kernel/clock.ts';
import { Kernel, type Step } from '../src/kernel/kernel.ts';
import { Timers } from '../src/kernel/timers.ts';

const chain = createMachine({
	id: 'chain',
	initial: 'a',
	states: { a: { after: { 10: 'b' } }, b: { after: { 10: 'c' } }, c: { after: { 10: 'd' } }, d: {} },
});

test('simulated time steps from due timer to due timer', () => {
	const clock = new SimulatedClock();
	const steps: Step[] = [];
	const kernel = new Kernel({ clock, watch: (step) => steps.push(step) });
	kernel.start('chain', chain, undefined, {});
	clock.advance(30);
	assert.equal(
		steps.map(({ at, to }) => `${at} ${to}`),
		['0 a', '10 b', '20 c', '30 d'],
	);
	assert.is(clock.now(), 30);
	assert.is(kernel.pendingTimers, 0);
});

test('leaving a state cancels its timers', () => {
	const clock = new SimulatedClock();
	const machine = createMachine({ initial: 'a', states: { a: { after: { 10: 'late' }, on: { go: 'b' } }, b: {}, late: {} } });
	const kernel = new Kernel({ clock });
	kernel.start('m', machine, undefined, {});
	clock.advance(9);
	kernel.send('m', { type: 'go' });
	clock.advance(100);
	assert.is(kernel.state('m'), 'b');
});

const throwing = setup({ types: {} as { context: { told: string[] } }, actions: { explode: () => {} } })
	.extend({ actions: { note: assign({ told: ({ context, event }) => [...context.told, String((event as { effect?: string }).effect)] }) } })
	.createMachine({ context: { told: [] }, on: { go: { actions: 'explode' }, 'effect.failed': { actions: 'note' } } });

test('an effect that throws becomes a fact', () => {
	const faults: string[] = [];
	const kernel = new Kernel({ clock: new SimulatedClock(), fault: (_, what) => faults.push(what) });
	const explode = () => {
		throw new Error('boom');
	};
	kernel.start('m', throwing, undefined, { explode });
	kernel.send('m', { type: 'go' });
	assert.equal(kernel.context('m'), { told: ['explode'] });
	assert.equal(faults, ['explode']);
});

test('an effect that nobody carries out is a fault, not silence', () => {
	const faults: string[] = [];
	const kernel = new Kernel({ clock: new SimulatedClock(), fault: (_, __, error) => faults.push((error as Error).message) });
	kernel.start('m', throwing, undefined, {});
	kernel.send('m', { type: 'go' });
	assert.equal(faults, ["nobody carries out 'explode'"]);
});

test('a machine that breaks stays where it was, and the others go on', () => {
	const broken = createMachine({
		initial: 'a',
		states: {
			a: {
				on: {
					go: {
						guard: () => {
							throw new Error('no');
						},
						target: 'b',
					},
				},
			},
			b: {},
		},
	});
	const faults: string[] = [];
	const kernel = new Kernel({ clock: new SimulatedClock(), fault: (id) => faults.push(id) });
	kernel.start('broken', broken, undefined, {});
	kernel.start('chain', chain, undefined, {});
	kernel.send('broken', { type: 'go' });
	assert.equal([kernel.state('broken'), kernel.state('chain')], ['a', 'a']);
	assert.equal(faults, ['broken']);
});

test('a chain of a million sends neither recurses nor grows', () => {
	const counter = setup({ types: {} as { context: { count: number } }, actions: { pass: () => {} } })
		.extend({ actions: { count: assign({ count: ({ context }) => context.count + 1 }) } })
		.createMachine({ context: { count: 0 }, on: { go: { actions: ['count', 'pass'] } } });
	const clock = new SimulatedClock();
	const kernel = new Kernel({ clock });
	const hops = 100_000;
	const pass = (_: undefined, id: string) => {
		const context = kernel.context('a') as { count: number } | undefined;
		if (context !== undefined && context.count < hops) kernel.send(id === 'a' ? 'b' : 'a', { type: 'go' });
	};
	kernel.start('a', counter, undefined, { pass });
	kernel.start('b', counter, undefined, { pass });
	kernel.send('a', { type: 'go' });
	clock.advance(0);
	assert.equal(kernel.context('a'), { count: hops });
});

test('what means nothing is a recorded no-op: to nobody, to the dead, and in a state that does not know it', () => {
	const steps: Step[] = [];
	const machine = createMachine({ initial: 'a', states: { a: { on: { end: 'z' } }, z: { type: 'final' } } });
	const kernel = new Kernel({ clock: new SimulatedClock(), watch: (step) => steps.push(step) });
	kernel.start('m', machine, undefined, {});
	for (const [to, type] of [
		['nobody', 'x'],
		['m', 'x'],
		['m', 'end'],
		['m', 'x'],
	] as const)
		kernel.send(to, { type });
	assert.equal(
		steps.map(({ id, event, ignored }) => `${id} ${event.type} ${ignored}`),
		['m xstate.init false', 'nobody x true', 'm x true', 'm end false', 'm x true'],
	);
});

test('what is sent to a machine before its first step waits for that step, in order', () => {
	const heard: string[] = [];
	const types = {} as { events: { type: string } };
	const any = setup({ types, actions: { act: (_, __: { type: string }) => {} } }).createMachine({
		on: Object.fromEntries(['go', 'a', 'b', 'c'].map((type) => [type, { actions: { type: 'act', params: { type } } }])),
	});
	const kernel = new Kernel({ clock: new SimulatedClock() });
	const tell = (...words: string[]) => {
		for (const type of words) kernel.send('child', { type });
	};
	kernel.start('friend', any, undefined, { act: () => tell('b', 'c') });
	kernel.start('parent', any, undefined, {
		act: () => {
			kernel.send('friend', { type: 'go' });
			kernel.start('child', any, undefined, { act: ({ type }) => void heard.push(type) });
			tell('a');
		},
	});
	kernel.send('parent', { type: 'go' });
	// The friend comes before the child; what it sends goes behind what was sent already.
	assert.equal(heard, ['a', 'b', 'c']);
});

test('after a pause it says so before anything that only seems overdue fires', () => {
	const clock = new SimulatedClock();
	const states: string[] = [];
	const kernel = new Kernel({ clock, watch: ({ to }) => states.push(to), paused: () => kernel.send('w', { type: 'supervisor.resumed' }) });
	const input = {
		workerId: 'w',
		path: 'w',
		incarnation: 1,
		heartbeat: { everyMs: 1_000, timeoutMs: 4_000 },
		live: null,
		readyTimeoutMs: 10_000,
		stop: { drainMs: 0, terminateMs: 1_000 },
		okCodes: [0],
		adopted: { pid: 2, startTicks: 2, ready: false, asked: false },
	};
	const none = new Proxy({}, { get: () => () => {} }) as Record<string, () => void>;
	kernel.start('w', workerMachine, input, none);
	kernel.send('w', { type: 'process.ready' });
	clock.pause(15_000);
	assert.not(states.includes('running.suspect'));
	clock.advance(2_000);
	assert.is(kernel.state('w'), 'running.suspect');
});

test('inspectors of the ecosystem see what happens', () => {
	const seen: InspectionEvent[] = [];
	const kernel = new Kernel({ clock: new SimulatedClock(), inspect: (event) => seen.push(event) });
	kernel.start('chain', chain, undefined, {});
	assert.equal(seen.map(({ type }) => type).slice(0, 3), ['@xstate.actor', '@xstate.event', '@xstate.snapshot']);
	assert.ok(seen.every(({ rootId, actorRef }) => rootId === 'choir' && (actorRef as { sessionId: string }).sessionId === 'chain'));
});

test('timers fire in order of time, then of setting, also after many were cancelled', () => {
	const timers = new Timers();
	const made = Array.from({ length: 1_000 }, (_, n) => timers.add((n * 7919) % 100, 'm', String(n), { type: 'x' }));
	for (const [n, timer] of made.entries()) if (n % 3 === 0) timers.cancel(timer);
	let before = { at: -1, order: -1 };
	let count = 0;
	for (let next = timers.take(1_000); next !== null; next = timers.take(1_000)) {
		assert.ok(next.at > before.at || (next.at === before.at && next.order > before.order));
		before = next;
		count += 1;
	}
	assert.is(count, made.filter((_, n) => n % 3 !== 0).length);
	assert.is(timers.size, 0);
});

test('the real clock wakes the kernel', async () => {
	const kernel = new Kernel({ clock: new RealClock() });
	const reached = new Promise<void>((resolve) => {
		const machine = setup({ actions: { tell: () => {} } }).createMachine({
			initial: 'a',
			states: { a: { after: { 5: 'b' } }, b: { entry: 'tell' } },
		});
		kernel.start('m', machine, undefined, { tell: () => resolve() });
	});
	await reached;
	assert.is(kernel.state('m'), 'b');
	kernel.close();
});

test.run();
