/** What of a supervisor's mind is written down after a step: all that is different since the last time, and nothing else. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { MasterContext } from '../machines/master.ts';
import type { Child, Death, Operation } from '../machines/operations.ts';
import type { SavedSupervisor } from '../machines/reconcile.ts';
import { noRestarts, restartLog } from '../machines/restart.ts';
import type { SupervisorSpec } from '../machines/spec.ts';
import { OrderedTrie } from '../machines/trie.ts';
import type { Kernel } from '../src/kernel/kernel.ts';
import { childKey, Mind, supervisorKey } from '../src/master/mind.ts';

const declared = { kind: 'supervisor', path: 'jobs', children: [{ id: 'a', path: 'jobs/a' }] } as unknown as SupervisorSpec;
const child = (id: string) => ({ id, log: noRestarts }) as unknown as Child;
const death = { id: 'a', incarnation: 1, exit: { reason: 'crash' }, chance: 0 } as unknown as Death;
const waiting = { id: 7, phase: 'waiting' } as unknown as Operation;
const atRest = {
	...{ log: noRestarts, operations: [], nextOperation: 1, end: null, mode: 'drain', mail: [] },
	children: new OrderedTrie<Child>().with('a', child('a')),
} as unknown as MasterContext;

/** Tells a mind of one step after another; `write` gives what is written after a step that leads to this. */
function minded(): { write: (context: MasterContext, asked?: Parameters<Mind['changed']>[1]) => Record<string, unknown> } {
	let now = atRest;
	const kernel = { context: () => now, clock: { now: () => 1_000 }, timers: () => [] } as unknown as Kernel;
	const mind = new Mind({ kernel, incarnationOf: () => 3, supervisorOf: (path) => (path === 'jobs' ? declared : undefined) });
	return {
		write: (context, asked = []) => {
			now = context;
			return mind.changed('master:jobs', asked);
		},
	};
}
const own = supervisorKey('jobs');

test('at first all of it, and nothing when nothing is different', () => {
	const { write } = minded();
	const saved: SavedSupervisor = { incarnation: 3, log: [], operations: [], nextOperation: 1, due: [], mail: [], end: null, mode: 'drain' };
	const first = write(atRest);
	assert.equal(Object.keys(first), [own, childKey('jobs/a')]);
	assert.equal(first[own], saved);
	assert.equal(write({ ...atRest }), {});
});

for (const [what, more] of Object.entries({
	log: { log: restartLog([1]) },
	operations: { operations: [waiting] },
	end: { end: { why: 'asked', reason: 'shutdown', message: '' } },
	mode: { mode: 'fast' },
	mail: { mail: [death] },
}))
	test(`a step that changes nothing but its ${what} is written down`, () => {
		const { write } = minded();
		write(atRest);
		const set = write({ ...atRest, ...more } as unknown as MasterContext);
		assert.equal(Object.keys(set), [own]);
		const plain = 'log' in more ? { log: [1] } : more;
		for (const [name, value] of Object.entries(plain)) assert.equal((set[own] as Record<string, unknown>)[name], value);
	});

test('of its mail the deaths are kept, and no requests: whoever asked is told by no other master', () => {
	const { write } = minded();
	const mail = [{ do: 'look', request: '1' }, death] as unknown as MasterContext['mail'];
	assert.equal((write({ ...atRest, mail })[own] as SavedSupervisor).mail, [death]);
});

test('until when an operation waits is known as long as it does', () => {
	const { write } = minded();
	const asked = [{ type: 'xstate.raise', params: { id: 'restart.due.7', delay: 50 } }] as unknown as Parameters<Mind['changed']>[1];
	const set = write({ ...atRest, operations: [waiting] }, asked);
	assert.equal((set[own] as SavedSupervisor).due, [[7, 1_050]]);
	assert.equal((write({ ...atRest, operations: [] })[own] as SavedSupervisor).due, []);
});

test('of the children those that are different; of one that is gone, that it shall not come back, if it is declared', () => {
	const { write } = minded();
	write({ ...atRest, children: atRest.children.with('added', child('added')) });
	assert.equal(write({ ...atRest, children: new OrderedTrie<Child>() }), {
		[childKey('jobs/a')]: { deleted: true },
		[childKey('jobs/added')]: null,
	});
});

test('nobody else’s step is its own', () => {
	const kernel = { context: () => ({ members: new Map() }) } as unknown as Kernel;
	const mind = new Mind({ kernel, incarnationOf: () => 1, supervisorOf: () => undefined });
	assert.equal(mind.changed('worker:jobs/a#1', []), {});
	assert.equal(mind.changed('master:dynamic', []), {});
});

test.run();
