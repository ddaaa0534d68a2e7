/** A tree whose angel and master were killed, whatever it was in the middle of, and that is wanted again: in the end all of it runs, once. */
import assert from 'node:assert/strict';
import * as fc from 'fast-check';
import { test } from 'uvu';
import { SimulatedClock } from '../src/kernel/clock.ts';
import type { Host, Leftover, Run } from '../src/master/host.ts';
import { Tree, type TreeOptions } from '../src/master/tree.ts';
import { command, tree as declare, supervisor } from '../src/spec/builders.ts';
import { resolveSpec } from '../src/spec/check.ts';

const nothing = () => {};
const spec = resolveSpec(
	declare('t', {
		intensity: { restarts: 1_000, within: '10s' },
		children: [
			command('web', { run: ['true'], instances: 2, restart: { strategy: 'rest_for_one', backoff: { from: '100ms', to: '100ms' } } }),
			supervisor('jobs', {
				strategy: 'one_for_all',
				intensity: { restarts: 1_000, within: '10s' },
				children: [command('a', { run: ['true'] }), command('b', { run: ['true'] })],
			}),
			command('last', { run: ['true'] }),
		],
	}),
);
const declared = ['jobs/a', 'jobs/b', 'last', 'web.1', 'web.2'];

/** Processes that outlive their master. They start at once, and go when it is their turn. */
class Processes {
	readonly clock = new SimulatedClock();
	readonly alive = new Map<string, Run>();
	/** Those who were asked to go. */
	readonly leaving = new Set<string>();
	readonly journal = new Map<string, unknown>();
	hasEnded = false;
	#ids = 0;

	/** A master, with nobody before it or after another one. */
	tree(): Tree {
		const leave = ({ workerId }: Run) => void (this.alive.has(workerId) && this.leaving.add(workerId));
		const host: Host = {
			launch: (run) => {
				assert.ok(![...this.alive.values()].some(({ path }) => path === run.path), `${run.path} is started while one of it lives`);
				this.alive.set(run.workerId, run);
				tree.tell(run.workerId, { type: 'process.spawned', pid: 1, startTicks: 1 });
			},
			watchReadiness: ({ workerId }) => tree.tell(workerId, { type: 'process.ready' }),
			...{ watchLiveness: nothing, askToDrain: leave, terminate: leave, kill: leave, forget: nothing },
		};
		const options: TreeOptions = {
			...{ spec, clock: this.clock, chance: () => 0.5, newId: () => `w${++this.#ids}`, host, news: nothing, running: nothing },
			ended: () => {
				this.hasEnded = true;
			},
			journal: {
				write: (set) => {
					for (const [key, value] of Object.entries(set)) value === null ? this.journal.delete(key) : this.journal.set(key, value);
				},
			},
		};
		const tree = new Tree(options);
		return tree;
	}

	/** `tree`: null, nobody is there to see it. */
	end({ workerId }: Run, tree: Tree | null): void {
		this.leaving.delete(workerId);
		if (!this.alive.delete(workerId)) return;
		tree?.tell(workerId, { type: 'process.exited', code: null, signal: null, maxRssBytes: null, at: this.clock.now() });
	}

	letGo(tree: Tree | null): void {
		for (const workerId of [...this.leaving]) this.end(this.alive.get(workerId) as Run, tree);
	}
}

const act = fc.record({ what: fc.constantFrom('crash', 'wait', 'go', 'go', 'restart', 'scale', 'stop'), which: fc.nat(9) });

/** An instance dies with whom those behind it go down, and is scaled away before any of them is back. */
const groupWithoutOne: [Array<{ what: string; which: number }>, number[]] = [
	[
		{ what: 'crash', which: 2 },
		{ what: 'scale', which: 4 },
		{ what: 'crash', which: 4 },
		{ what: 'scale', which: 0 },
	],
	[],
];

test('whatever it was in the middle of', () => {
	let stopping = 0;
	fc.assert(
		fc.property(fc.array(act, { maxLength: 20 }), fc.array(fc.nat(9), { maxLength: 3 }), (acts, deaths) => {
			const world = new Processes();
			const { alive, clock, journal } = world;
			const first = world.tree();
			first.start();
			for (const { what, which } of acts) {
				const run = [...alive.values()][which % Math.max(1, alive.size)];
				if (what === 'crash' && run !== undefined) world.end(run, first);
				else if (what === 'wait') clock.advance(which * 100);
				else if (what === 'go') world.letGo(first);
				else if (what === 'restart') void first.restart('jobs').catch(nothing);
				else if (what === 'scale') void first.scale('web', 2 + (which % 3)).catch(nothing);
				else if (what === 'stop' && which > 5) first.stop('drain');
				if (world.hasEnded) return;
			}
			if (first.state === 'draining') stopping += 1;
			// Angel and master are killed; those who were asked to go may go, and others die, with nobody to see it.
			first.kernel.close();
			const saved = new Map(structuredClone([...journal]));
			if (deaths.includes(0)) world.letGo(null);
			for (const which of deaths) {
				const run = [...alive.values()][which % Math.max(1, alive.size)];
				if (run !== undefined) world.end(run, null);
			}
			const found = [...alive.values()].map(
				({ workerId, path, incarnation, generation, stop }): Leftover => ({
					...{ workerId, path, incarnation, generation, stop, pid: 1, startTicks: 1, token: null, logFrom: 0, ended: null },
				}),
			);
			const asked = [...saved].flatMap(([key, value]): Array<[string, number]> => {
				const { incarnation } = value as { incarnation?: number };
				return key.startsWith('child:') && incarnation !== undefined ? [[key.slice('child:'.length), incarnation]] : [];
			});
			const next = world.tree();
			next.start({ journal: saved, found, asked: new Map(asked), isOfEarlierRun: true });
			for (let n = 0; n < 100; n++) {
				world.letGo(next);
				clock.advance(100);
			}
			assert.equal(next.state, 'running');
			const running = [...alive.values()].map(({ path }) => path).sort();
			assert.deepEqual(
				running.filter((path) => !/^web\.[3-9]$/.test(path)),
				declared,
			);
			assert.equal(new Set(running).size, running.length);
			next.kernel.close();
		}),
		{ numRuns: 300, examples: [groupWithoutOne] },
	);
	assert.ok(stopping > 5, `only ${stopping} of them were stopping`);
});

test.run();
