/** Operations of whole trees, on the simulated clock: whatever comes between, they end, and what runs is what is desired. */
import * as fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { childrenAsDesired, isPaused } from '../machines/desired.ts';
import type { MasterContext } from '../machines/master.ts';
import { nextAfterCrash } from '../machines/operations.ts';
import type { ChildSpec, SupervisorSpec, TreeSpec } from '../machines/spec.ts';
import { splitPath, supervisorId } from '../src/master/paths.ts';
import type { Outcome, Scaled } from '../src/master/tree.ts';
import { BOOT_MS, type SimulatedStatus, World } from '../src/testing/world.ts';
import { child, supervisor, treeOf } from './support/world.ts';

const web = (n: number, more: Partial<ChildSpec> = {}) => child(`web.${n}`, {}, { declaredId: 'web', ...more } as Partial<ChildSpec>);
const inner = (n: number) => child(`s/in.${n}`, { strategy: 'rest_for_one', backoff: slowly }, { declaredId: 'in' } as Partial<ChildSpec>);
const slowly = { fromMs: 50, toMs: 50, resetAfterMs: 1_000 };
const often = { intensity: { restarts: 1_000, withinMs: 1_000 } };
const spec = (...more: ChildSpec[]): TreeSpec =>
	treeOf(
		supervisor(
			'',
			[
				web(1),
				web(2),
				child('job', { strategy: 'rest_for_one' }),
				supervisor('s', [inner(1), inner(2), child('s/all', { strategy: 'one_for_all' })], often),
				...more,
			],
			often,
		),
	);

function running(of = spec()): World {
	const world = new World(of);
	world.advance(1_000);
	assert.is(world.state(), 'running');
	return world;
}

/** In start order: who there is, and who there has to be, however they came. Nothing is said of those below a supervisor that is down. */
const order = (world: World) => {
	const below = (all: SimulatedStatus[]): string[] =>
		all.flatMap(({ path, state, children }) => [path, ...(state === 'dead' ? [] : below(children))]);
	return below(world.status());
};
function wantedOrder(world: World, root: SupervisorSpec): string[] {
	const below = (supervisor: SupervisorSpec): string[] =>
		childrenAsDesired(supervisor, world.tree.desired).flatMap((each) => [
			each.path,
			...(each.kind === 'supervisor' && world.state(each.path) !== 'dead' ? below(each) : []),
		]);
	return below(root);
}
/** What lives, without its incarnations; and what has to live. */
const alive = (world: World) =>
	world
		.alive()
		.map((each) => each.replace(/#\d+$/, ''))
		.sort();
function wanted(world: World, root: SupervisorSpec): string[] {
	const { desired } = world.tree;
	const below = (supervisor: SupervisorSpec): string[] =>
		childrenAsDesired(supervisor, desired)
			.filter((each) => !isPaused(desired, each))
			.flatMap((each) => (each.kind === 'supervisor' ? below(each) : [each.path]));
	return below(root).sort();
}
function assertSettled(world: World, root: SupervisorSpec): void {
	const { current, waiting } = world.tree.operations;
	assert.is(current, null, `not ended: ${JSON.stringify(current)}`);
	assert.equal(waiting, []);
	assert.equal(alive(world), wanted(world, root));
	assert.equal(order(world), wantedOrder(world, root));
}
const ends = (world: World) =>
	world.tree.operations.ended.map(({ kind, end }) => `${kind}: ${end?.ok ? 'ok' : end?.code}, ${end?.message}`);
async function after<T>(world: World, asked: Promise<T>, ms = 2_000): Promise<T> {
	world.advance(ms);
	return asked;
}
/** What would follow if a child crashed now. */
function nextOf(world: World, path: string): number | null {
	const [above, id] = splitPath(path);
	const context = world.tree.kernel.context(supervisorId(above)) as MasterContext | undefined;
	return context === undefined ? null : nextAfterCrash(context, id, world.tree.kernel.clock.now());
}
/** Crashes a child, and answers with all that is asked for in that moment; null: its master dies of what it writes down. */
function asksAfterCrash(world: World, path: string): string[] | null {
	const before = world.events().length;
	world.crash(path);
	const events = world.events().slice(before);
	if (events.some(({ kind, what }) => kind === 'fault' && what === 'the master is killed')) return null;
	return events.filter(({ kind }) => kind === 'asked').map((asked) => `${asked.what} ${asked.path}#${asked.incarnation}`);
}
const everybody = ['job', 's/all', 's/in.1', 's/in.2', 'web.1', 'web.2'];

test('a pause keeps children down whatever happens around them, until they are resumed', async () => {
	const world = running();
	assert.equal(await after(world, world.tree.pause('web')), { ok: true, message: '' });
	assert.equal(alive(world), ['job', 's/all', 's/in.1', 's/in.2']);
	assert.is(world.status()[0]?.standing, 'paused');
	// A group restart that they are part of, and the death of the master.
	world.crash('job');
	world.advance(1_000);
	world.killMaster();
	world.advance(1_000);
	assert.equal(alive(world), ['job', 's/all', 's/in.1', 's/in.2']);
	assert.equal(await after(world, world.tree.unpause('web.2')), { ok: true, message: '' });
	assert.equal(alive(world), ['job', 's/all', 's/in.1', 's/in.2', 'web.2']);
	assert.equal(await after(world, world.tree.unpause()), { ok: true, message: '' });
	assert.equal(alive(world), everybody);
	assert.is(world.incarnation('web.1'), 2);
});

test('a whole tree pauses in reverse order, and resumes in order', async () => {
	const world = running().forget();
	await after(world, world.tree.pause());
	assert.equal(alive(world), []);
	assert.is(world.state(), 'running');
	const asked = () => world.events().filter(({ kind, what }) => kind === 'asked' && what !== 'kill');
	assert.equal(
		asked().map(({ path }) => path),
		['s/all', 's/in.2', 's/in.1', 'job', 'web.2', 'web.1'],
	);
	world.forget();
	await after(world, world.tree.unpause());
	assert.equal(
		asked().map(({ path }) => path),
		['web.1', 'web.2', 'job', 's/in.1', 's/in.2', 's/all'],
	);
});

test('a supervisor that starts again keeps who is paused below it, and the instances that were asked for', async () => {
	const world = running();
	await after(world, world.tree.pause('s/all'));
	await after(world, world.scale('s/in', 4));
	assert.equal(alive(world), ['job', 's/in.1', 's/in.2', 's/in.3', 's/in.4', 'web.1', 'web.2']);
	await after(world, world.restart('s'));
	assert.equal(alive(world), ['job', 's/in.1', 's/in.2', 's/in.3', 's/in.4', 'web.1', 'web.2']);
	await after(world, world.scale('s/in', 1));
	await after(world, world.restart('s'));
	assert.equal(alive(world), ['job', 's/in.1', 'web.1', 'web.2']);
});

test('what is refused says why', async () => {
	const world = running();
	await after(world, world.tree.pause('s'));
	const refused = async (asked: Promise<Outcome | Scaled>) => {
		const outcome = await after(
			world,
			asked.catch((error: Error) => ({ ok: false, message: error.message })),
		);
		return (outcome as Outcome).message;
	};
	assert.is(await refused(world.tree.restart('s')), "'s' is paused: resume it first");
	assert.is(await refused(world.tree.unpause('s/in.1')), "'s' is paused: resume it first");
	assert.is(await refused(world.tree.pause('nobody')), "there is no child 'nobody'");
	assert.is(await refused(world.tree.scale('s', 2)), "'s' is one child: declare it with `instances` to scale it");
	await after(world, world.tree.pause('web.1'));
	assert.is(await refused(world.tree.scale('web', 3)), "'web' is paused: resume it first");
	assert.is(await refused(world.tree.restart('web.1')), "'web.1' is paused: resume it first");
	const asked = { id: 'x', kind: 'restart', target: 'job', argument: null, by: 'cli' } as const;
	await after(world, world.tree.operate(asked));
	assert.is(await refused(world.tree.operate({ ...asked, target: 'web' }) as never), "operation 'x' is another one: restart job");
});

test('an instance stands beside its siblings, whether it was declared, came later, came back, or was adopted', async () => {
	const beside = (...webs: number[]) => [...webs.map((n) => `web.${n}`), 'job', 's', 's/in.1', 's/in.2', 's/all'];
	const world = running();
	const next = async (change: () => Promise<unknown>) => {
		await after(world, change());
		const before = order(world);
		world.killMaster();
		world.advance(2_000);
		assert.equal(order(world), before);
		return before;
	};
	assert.equal(await next(() => world.scale('web', 4)), beside(1, 2, 3, 4));
	assert.equal(await next(() => world.scale('web', 1)), beside(1));
	assert.equal(await next(() => world.scale('web', 3)), beside(1, 2, 3));
	assert.equal(await next(() => world.reload(spec(child('last')))), [...beside(1, 2, 3), 'last']);
	// Who goes and comes with `job` is who is behind it.
	const incarnations = () => [1, 2, 3].map((n) => world.incarnation(`web.${n}`));
	const before = incarnations();
	world.crash('job');
	world.advance(2_000);
	assert.equal(incarnations(), before);
	assert.is(world.incarnation('last'), 2);
});

test('who is down with an instance that goes before its restart is restarted without it', async () => {
	const world = running();
	world.crash('s/in.2');
	world.advance(20);
	assert.is(world.state('s/all'), 'dead');
	await after(world, world.scale('s/in', 1));
	assert.equal(alive(world), ['job', 's/all', 's/in.1', 'web.1', 'web.2']);
	assert.is(world.incarnation('s/all'), 2);
	assertSettled(world, spec().root);
});

test('an instance that is started in the very moment in which its supervisor is stopped is stopped with it', async () => {
	const parallel = { ...often, start: 'parallel' } as const;
	const of = treeOf(supervisor('', [child('job', { strategy: 'rest_for_one' }), supervisor('s', [inner(1), inner(2)], parallel)], often));
	const world = running(of);
	world.crash('job');
	world.advance(20);
	assert.is(world.state('s'), 'starting');
	// Who dies now with whom it started, and what is asked of it, waits until it is up.
	world.crash('job');
	const scaled = world.scale('s/in', 3).catch((error: Error) => error.message);
	assert.is(await after(world, scaled), 'the supervisor is stopping; undone: s/in has 2 instances as before');
	assertSettled(world, of.root);
	assert.is(world.state('s'), 'running');
});

test('a supervisor whose start was only decided begins as is desired, after whatever line the master is killed', async () => {
	for (let line = 1; ; line++) {
		const world = running();
		await after(world, world.scale('s/in', 3));
		await after(world, world.tree.pause('s/in.1'));
		world.crash('job');
		while (world.state('s') !== 'dead') world.advance(1);
		// Of one that is down, the next master keeps nothing.
		world.killMaster();
		world.advance(BOOT_MS);
		assert.is(world.state('s'), 'dead');
		world.forget().killMasterAfterWrites(line);
		world.advance(5_000);
		assertSettled(world, spec().root);
		assert.equal(alive(world), ['job', 's/all', 's/in.2', 's/in.3', 'web.1', 'web.2'], `line ${line}`);
		if (!world.trace().includes('master is killed')) return assert.ok(line > 5, `only ${line} lines`);
	}
});

test('a scale that cannot be completed is undone', async () => {
	const world = running();
	world.tree.specOf('web.1');
	world.advance(10);
	const asked = world.scale('web', 5).catch((error: Error) => error.message);
	world.advance(15);
	// The third is up, and the fourth is on its way.
	assert.equal(world.alive().at(-1), 'web.4#1');
	world.crash('web.4');
	assert.is(await after(world, asked), 'web.4 ended with code 1 before it was ready; undone: web has 2 instances as before');
	assert.equal(alive(world), everybody);
	assert.equal(world.tree.desired.scaled, {});
});

test('a rolling restart ends at the first that does not come up', async () => {
	const world = running();
	world.failToSpawn('web.1', 1);
	const { ok, message } = await after(world, world.tree.restart('web'));
	assert.equal([ok, message], [false, 'web.1 did not start (no such file); not begun: web.2']);
	assert.is(world.incarnation('web.2'), 1);
});

test('the same id is the same operation: while it goes on, and when it has ended, also by another master', async () => {
	const world = running();
	const asked = { id: 'x', kind: 'restart', target: 'job', argument: null, by: 'cli' } as const;
	const both = [world.tree.operate(asked), world.tree.operate(asked)];
	world.advance(1_000);
	const [first, second] = await Promise.all(both);
	assert.is(first, second);
	world.killMaster();
	world.advance(1_000);
	const third = await world.tree.operate(asked);
	assert.equal(third.end, first?.end);
	assert.is(world.incarnation('job'), 2);
});

test('a reload keeps who is paused and how many there are; another declared number counts more', async () => {
	const v = (n: string, count = 2): TreeSpec => {
		const version = { env: { V: n }, reload: { mode: 'surge', surge: null, soakMs: 10, timeoutMs: null } } as Partial<ChildSpec>;
		const webs = Array.from({ length: count }, (_, index) => web(index + 1, version));
		return treeOf(supervisor('', [...webs, child('job', {}, version)], often));
	};
	const world = running(v('1'));
	const versions = () =>
		[...world.processes()].map(({ run }) => `${run.path} ${(run.spec as { env: { V: string } } | null)?.env.V}`).sort();
	await after(world, world.scale('web', 3));
	await after(world, world.tree.pause('job'));
	assert.is((await after(world, world.reload(v('2')))).result, 'done');
	assert.equal(versions(), ['web.1 2', 'web.2 2', 'web.3 2']);
	await after(world, world.tree.unpause());
	assert.equal(versions(), ['job 2', 'web.1 2', 'web.2 2', 'web.3 2']);
	assert.is((await after(world, world.reload(v('3', 1)))).result, 'done');
	assert.equal(versions(), ['job 3', 'web.1 3']);
	assert.is((await after(world, world.reload(v('4', 2)))).result, 'done');
	assert.equal(versions(), ['job 4', 'web.1 4', 'web.2 4']);
	// New ones of what is paused are paused.
	await after(world, world.tree.pause('web'));
	assert.is((await after(world, world.reload(v('5', 4)))).result, 'done');
	assert.equal(versions(), ['job 5']);
	await after(world, world.tree.unpause('web'));
	assert.equal(versions(), ['job 5', 'web.1 5', 'web.2 5', 'web.3 5', 'web.4 5']);
});

for (const [kind, ask, ok, undone] of [
	['restart of two', (world: World) => world.tree.restart('web'), [], []],
	['scale up', (world: World) => world.scale('web', 4), ['web.3', 'web.4'], []],
	['scale down', (world: World) => world.scale('web', 1), [], ['web.2']],
	['pause', (world: World) => world.pauseChild('web'), [], ['web.1', 'web.2']],
	['pause of a supervisor', (world: World) => world.pauseChild('s'), [], ['s/all', 's/in.1', 's/in.2']],
	['restart of a supervisor', (world: World) => world.restart('s'), [], []],
] as Array<[string, (world: World) => Promise<unknown>, string[], string[]]>)
	test(`a master that is killed after any line of a ${kind}: it is completed`, () => {
		for (let line = 1; ; line++) {
			const world = running();
			world.killMasterAfterWrites(line);
			ask(world).catch(() => {});
			world.advance(5_000);
			const { ended } = world.tree.operations;
			assertSettled(world, spec().root);
			assert.equal(alive(world), [...everybody, ...ok].filter((each) => !undone.includes(each)).sort(), `line ${line}`);
			assert.equal(
				ended.map(({ end }) => end?.ok),
				[true],
				`line ${line}: ${ends(world)}\n${world.trace()}`,
			);
			if (kind.startsWith('restart of two')) assert.equal([world.incarnation('web.1'), world.incarnation('web.2')], [2, 2], `line ${line}`);
			if (!world.trace().includes('master is killed')) return assert.ok(line > 5, `only ${line} lines`);
		}
	});

test('a master that is killed after any line of a scale that fails: all or nothing', () => {
	for (let line = 1; ; line++) {
		const world = running();
		for (const count of [4, 2]) {
			world.scale('web', count);
			world.advance(2_000);
		}
		world.failToSpawn('web.4');
		world.forget().killMasterAfterWrites(line);
		world.scale('web', 5).catch(() => {});
		world.advance(5_000);
		assertSettled(world, spec().root);
		assert.equal(alive(world), everybody, `line ${line}`);
		assert.is(world.tree.operations.ended.at(-1)?.end?.code, 'undone', `line ${line}`);
		if (!world.trace().includes('master is killed')) return assert.ok(line > 5, `only ${line} lines`);
	}
});

test('what would follow from a crash, at once and alone, can be told ahead of it', () => {
	const limited = { intensity: { restarts: 1, withinMs: 1_000 } };
	const rows: Array<[what: string, of: TreeSpec, path: string, before: (world: World) => unknown, next: number | null]> = [
		['one_for_one', spec(), 'web.1', () => {}, 2],
		['its third life', spec(), 'web.1', (world) => world.crash('web.1').advance(1_000), 3],
		['transient', treeOf(supervisor('', [child('a', { type: 'transient' })], often)), 'a', () => {}, 2],
		['temporary', treeOf(supervisor('', [child('a', { type: 'temporary' })], often)), 'a', () => {}, null],
		['others go with it', spec(), 's/all', () => {}, null],
		['nobody behind it', treeOf(supervisor('', [child('a'), child('b', { strategy: 'rest_for_one' })], often)), 'b', () => {}, 2],
		['somebody behind it', treeOf(supervisor('', [child('a', { strategy: 'rest_for_one' }), child('b')], often)), 'a', () => {}, null],
		['a backoff', spec(), 's/in.2', () => {}, null],
		['the last one allowed', treeOf(supervisor('', [child('a')], limited)), 'a', () => {}, 2],
		['one too many', treeOf(supervisor('', [child('a')], limited)), 'a', (world) => world.crash('a').advance(100), null],
		['after its window', treeOf(supervisor('', [child('a')], limited)), 'a', (world) => world.crash('a').advance(1_500), 3],
		['it is starting', spec(), 'web.1', (world) => world.crash('web.1').advance(1), null],
		['another is being restarted', spec(), 'web.1', (world) => world.crash('web.2').advance(1), null],
		['it is paused', spec(), 'web.1', (world) => void after(world, world.tree.pause('web')), null],
		['it is not there', spec(), 'nobody', () => {}, null],
	];
	for (const [what, of, path, before, next] of rows) {
		const world = running(of);
		before(world);
		assert.is(nextOf(world, path), next, what);
	}
});

const request = fc.record({
	what: fc.oneof(
		{ weight: 5, arbitrary: fc.constant('crash') },
		{ weight: 4, arbitrary: fc.constantFrom('restart', 'scale') },
		{ weight: 6, arbitrary: fc.constantFrom('pause', 'resume', 'resumeAll', 'reload', 'kill', 'killAfter') },
	),
	target: fc.constantFrom('web', 'web.1', 'job', 's', 's/in', 's/in.2', 's/all', ''),
	count: fc.integer({ min: 1, max: 12 }),
	waitMs: fc.constantFrom(0, 0, 3, 7, 20, 100, 3_000),
});

test('any sequence of requests, with the master killed after any line: all end, and what runs is what is desired', () => {
	const seen = new Map<string, number>();
	fc.assert(
		fc.property(fc.array(request, { minLength: 1, maxLength: 12 }), (requests) => {
			const world = running();
			const ask = <T>(asked: () => Promise<T>) => void asked().catch(() => {});
			for (const { what, target, count, waitMs } of requests) {
				if (what === 'restart' && target !== '') ask(() => world.tree.restart(target));
				if (what === 'scale') ask(() => world.scale(target.startsWith('s') ? 's/in' : 'web', Math.ceil(count / 3)));
				if (what === 'pause') ask(() => world.pauseChild(target));
				if (what === 'resume') ask(() => world.resumeChild(target));
				if (what === 'resumeAll') ask(() => world.resumeChild(''));
				if (what === 'reload') ask(() => world.reload(spec()));
				const living = world.alive().map((each) => each.replace(/#\d+$/, ''));
				if (what === 'crash' && living.includes(target)) {
					const next = nextOf(world, target);
					const asks = asksAfterCrash(world, target);
					if (next !== null && asks !== null) assert.equal(asks, [`launch ${target}#${next}`]);
					if (next !== null && asks !== null) seen.set('told ahead', (seen.get('told ahead') ?? 0) + 1);
				}
				if (what === 'kill') world.killMaster();
				if (what === 'killAfter') world.killMasterAfterWrites(count);
				world.advance(waitMs);
			}
			world.advance(120_000);
			for (const { kind, end } of world.tree.operations.ended) {
				const how = `${kind} ${end?.ok === true ? 'done' : end?.code}`;
				seen.set(how, (seen.get(how) ?? 0) + 1);
			}
			assertSettled(world, spec().root);
		}),
		{ numRuns: 500 },
	);
	for (const how of ['restart done', 'scale done', 'pause done', 'resume done', 'reload done', 'told ahead'])
		assert.ok((seen.get(how) ?? 0) > 20, how);
});

test.run();
