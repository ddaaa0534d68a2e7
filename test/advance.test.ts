/** Starts that are ordered in advance: which may be, what is ordered when, and what is taken of it. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { isCrash, mayBeOrdered, mayHoldUpMs, mayLingerMs, noCrash } from '../machines/advance.ts';
import type { WorkSpec } from '../machines/spec.ts';
import { type NodeDeclaration, node, tree } from '../src/index.ts';
import { Advance } from '../src/master/advance.ts';
import type { Leftover, Run } from '../src/master/host.ts';
import { resolveSpec } from '../src/spec/check.ts';
import { child, rule } from './support/world.ts';

const spec = child('a') as NonNullable<Run['spec']>;
const run: Run = { workerId: 'one', path: 'a', incarnation: 1, generation: 1, spec, stop: spec.stop };
const begun = (change: Partial<Leftover> = {}): Leftover => ({
	...{ workerId: 'two', path: 'a', incarnation: 2, generation: 1, pid: 7, startTicks: 70, token: null, logFrom: 0 },
	...{ stop: spec.stop, ended: null, ...change },
});

const nodeSpec = (more: Partial<NodeDeclaration>) =>
	resolveSpec(tree('t', { children: [node('a', { module: './a.mjs', restart: { backoff: 0 }, ...more })] })).root.children[0] as WorkSpec;

test('who may be ordered in advance: a Node child whose start is the same now as later', () => {
	const rows: Array<[what: string, of: WorkSpec, may: boolean]> = [
		['a Node child without backoff', nodeSpec({}), true],
		['with a backoff', nodeSpec({ restart: { backoff: { from: '1ms' } } }), false],
		['with a standby', nodeSpec({ standby: 1, ready: 'signal' }), false],
		['with an envFile', nodeSpec({ envFile: './env' }), false],
		['ready by its output', nodeSpec({ ready: { output: /up/ } }), false],
		['a command', child('a') as WorkSpec, false],
	];
	for (const [what, of, may] of rows) assert.is(mayBeOrdered(of), may, what);
});

test('what a crash is: a signal, or a code that is neither in order nor fatal', () => {
	const except = noCrash(rule({ okCodes: [0, 3], fatalCodes: [78] }));
	const rows: Array<[code: number | null, signal: string | null, is: boolean]> = [
		[0, null, false],
		[1, null, true],
		[3, null, false],
		[78, null, false],
		[null, 'SIGKILL', true],
		[null, 'SIGSEGV', true],
		[null, null, false],
	];
	for (const [code, signal, is] of rows) assert.is(isCrash(code, signal, except), is, `${code} ${signal}`);
});

test('how long what has begun and is not wanted may take to end: its stop, and half of the time in which who follows has to be ready', () => {
	const never = 2 ** 31 - 1;
	for (const [drainMs, terminateMs, ms] of [
		[60_000, 5_000, 65_000],
		[0, 10, 10],
		[never, 5_000, never],
	] as const)
		assert.is(mayLingerMs({ drainMs, terminateMs }), ms);
	assert.is(mayHoldUpMs({ timeoutMs: 30_000 }), 15_000);
	assert.is(mayHoldUpMs({ timeoutMs: 3 * never }), never);
});

/** What follows on `run`, as it is set; and what was ordered, or taken back, in that order. */
function advance() {
	const orders: string[] = [];
	const world: { next: Omit<Run, 'workerId'> | null } = { next: { ...run, incarnation: 2 } };
	let id = 0;
	const its = new Advance({
		order: (after, next) => void orders.push(`${after.workerId}: ${next === null ? 'nothing' : `${next.workerId}#${next.incarnation}`}`),
		newId: () => `n${++id}`,
		nextOf: () => world.next,
	});
	return { its, orders, world };
}

test('what follows is ordered once, anew when it is another, and taken back when nothing follows or nobody runs', () => {
	const { its, orders, world } = advance();
	its.look(run, true);
	its.look(run, true);
	assert.equal(orders, ['one: n1#2']);
	assert.is(its.has('one'), true);
	world.next = { ...run, incarnation: 2, generation: 2 };
	its.look(run, true);
	world.next = { ...run, incarnation: 2, generation: 2, spec: { ...spec } };
	its.look(run, true);
	world.next = null;
	its.look(run, true);
	its.look(run, true);
	assert.equal(orders, ['one: n1#2', 'one: n2#2', 'one: n3#2', 'one: nothing']);
	world.next = { ...run, incarnation: 3 };
	its.look(run, true);
	its.look(run, false);
	its.look(run, false);
	assert.equal(orders.slice(4), ['one: n4#3', 'one: nothing']);
	assert.is(its.has('one'), false);
});

test('who has ended is forgotten: for a next one of that name it is ordered again', () => {
	const { its, orders } = advance();
	its.look(run, true);
	its.forget('one');
	its.look(run, true);
	assert.equal(orders, ['one: n1#2', 'one: n2#2']);
});

test('what has begun is taken by just what follows, once, while the end is told that it follows on', () => {
	const { its } = advance();
	const wanted = { path: 'a', incarnation: 2, generation: 1 };
	assert.is(its.take(wanted), null);
	for (const other of [{ path: 'b' }, { incarnation: 3 }, { generation: 2 }])
		assert.is(
			its.offer(begun(), () => assert.is(its.take({ ...wanted, ...other }), null)),
			false,
		);
	const next = begun();
	const isTaken = its.offer(next, () => {
		assert.is(its.take(wanted), next);
		assert.is(its.take(wanted), null);
	});
	assert.is(isTaken, true);
	assert.is(its.take(wanted), null);
});

test('of what an earlier master has left, it is offered with the end of the one that it follows on', () => {
	const { its } = advance();
	const dead = begun({ workerId: 'one', incarnation: 1, ended: { code: 1, signal: null, at: 5 } });
	const next = begun();
	its.recall(dead, next);
	assert.equal([...its.begun], [next]);
	let told = 0;
	its.tell(begun({ workerId: 'another' }), () => {
		told += 1;
		assert.is(its.take({ path: 'a', incarnation: 2, generation: 1 }), null);
	});
	its.tell(dead, () => {
		told += 1;
		assert.is(its.take({ path: 'a', incarnation: 2, generation: 1 }), next);
	});
	assert.is(told, 2);
});

test('where nobody would start anything in advance, nothing is ordered', () => {
	const its = new Advance({ order: null, newId: () => 'n', nextOf: () => ({ ...run, incarnation: 2 }) });
	its.look(run, true);
	assert.is(its.has('one'), false);
});

test.run();
