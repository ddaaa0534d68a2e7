/** Reloads of whole trees, on the simulated clock. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { ChildSpec, TreeSpec } from '../machines/spec.ts';
import { World } from '../src/testing/world.ts';
import { child, supervisor, treeOf } from './support/world.ts';

/** `v`: its version. What listens is replaced beside the old one. */
const web = (path: string, v: string, more: Partial<ChildSpec> = {}) =>
	child(path, {}, {
		declaredId: 'web',
		env: { V: v },
		reload: { mode: 'surge', surge: null, soakMs: 100, timeoutMs: null },
		...more,
	} as Partial<ChildSpec>);
const job = (path: string, v: string) =>
	child(path, {}, { env: { V: v }, reload: { mode: 'restart', surge: null, soakMs: 0, timeoutMs: null } } as Partial<ChildSpec>);
const version = (v: string, jobs = v): TreeSpec =>
	treeOf(supervisor('', [web('web.1', v), web('web.2', v), supervisor('s', [job('s/job', jobs)]), job('same', '0')]));

/** A world that runs version 1. */
function running(spec = version('1'), behaviours = {}): World {
	const world = new World(spec, { behaviours });
	world.advance(100);
	assert.equal(world.state(), 'running');
	return world.forget();
}
/** What lives, with the version of each. */
const versions = (world: World) =>
	[...world.processes()]
		.filter(({ phase }) => phase === 'alive')
		.map(({ run }) => `${run.path} ${(run.spec as { env: { V: string } } | null)?.env.V ?? '?'}`)
		.sort();
const all = (v: string, jobs = v) => ['s/job ' + jobs, 'same 0', `web.1 ${v}`, `web.2 ${v}`];

test('new ones beside the old ones, then what cannot live twice, then the switch', async () => {
	const world = running();
	const ended = world.reload(version('2'));
	world.advance(5_000);
	assert.equal((await ended).result, 'done');
	assert.equal(versions(world), all('2'));
	assert.snapshot(
		world.trace(),
		`
100  test ! reload is asked
120  test ~ reload to generation 2: 3 replaced, 2 kept
120  web.1 < launch #2
120  web.2 < launch #2
130  web.1 = running
130  web.2 = running
230  s/job < terminate
235  s/job = dead (shutdown)
235  s/job < launch #2
245  s/job = running
245  test ~ generation 2 is in force; the old ones drain
245  web.1 < terminate
245  web.2 < terminate
250  web.1 = dead (shutdown)
250  web.2 = dead (shutdown)
250  test ~ reloaded: generation 2 runs alone`.trim(),
	);
	assert.equal(world.tree.generation, 2);
	world.crash('web.1');
	world.advance(1_000);
	assert.equal(versions(world), all('2'));
	assert.equal(world.incarnation('web.1'), 3);
});

test('a new one that does not get ready: rolled back, and no old one noticed', async () => {
	const world = running();
	const late = treeOf(
		supervisor('', [web('web.1', '2', { ready: { kind: 'signal', timeoutMs: 500 } } as never), ...version('1').root.children.slice(1)]),
	);
	world.neverReady('web.1');
	const ended = world.reload(late);
	world.advance(5_000);
	const { result, lines } = await ended;
	assert.equal([result, lines], ['rolledBack', ['the new web.1 ended by SIGKILL before it was ready (not ready within 500 ms)']]);
	assert.equal(versions(world), all('1'));
	assert.equal(world.incarnation('web.2'), 1);
	assert.equal(world.tree.reloadStatus?.state, 'rolledBack');
	assert.equal(world.tree.generation, 1);
});

test('what was exchanged comes back when the next cannot be', async () => {
	const spec = (v: string) => treeOf(supervisor('', [web('web.1', v), job('a', v), job('b', v)]));
	const world = running(spec('1'));
	world.failToSpawn('b', 1);
	const ended = world.reload(spec('2'));
	world.advance(5_000);
	assert.equal((await ended).lines, ['the new b did not start (no such file)']);
	assert.equal(versions(world), ['a 1', 'b 1', 'web.1 1']);
});

test('what was exchanged and crashes soon comes back as it was', async () => {
	const proved = (v: string) =>
		({ env: { V: v }, reload: { mode: 'restart', surge: null, soakMs: 500, timeoutMs: null } }) as Partial<ChildSpec>;
	const spec = (v: string) => treeOf(supervisor('', [child('a', {}, proved(v)), job('b', v)]));
	const world = running(spec('1'));
	const ended = world.reload(spec('2'));
	world.advance(200);
	assert.equal(versions(world), ['a 2', 'b 2']);
	world.crash('a');
	world.advance(5_000);
	assert.equal((await ended).lines, ['the new a crashed with code 1']);
	assert.equal(versions(world), ['a 1', 'b 1']);
});

test('an old one that crashes before the switch comes back as it was', async () => {
	const world = running();
	const ended = world.reload(version('2'));
	world.advance(60);
	const old = [...world.processes()].find(({ run }) => run.path === 'web.1' && run.incarnation === 1);
	assert.ok(old);
	world.tree.tell(old.run.workerId, { type: 'process.exited', code: 1, signal: null, maxRssBytes: null, at: world.now });
	world.advance(20);
	assert.ok([...world.processes()].some(({ run }) => run.path === 'web.1' && run.incarnation === 3 && run.generation === 1));
	world.advance(5_000);
	assert.equal((await ended).result, 'done');
	assert.equal(
		versions(world).filter((each) => each.startsWith('web.1') && each !== 'web.1 1'),
		['web.1 2'],
	);
});

test('children come and go; scaled instances are replaced with the others; what is stopped stays so', async () => {
	const spec = (v: string, ...more: ChildSpec[]) => treeOf(supervisor('', [web('web.1', v), job('rest', v), ...more]));
	const world = running(spec('1', job('old', '1')));
	const scaled = world.scale('web', 2);
	world.advance(100);
	await scaled;
	const stopped = world.terminateChild('', 'rest');
	world.advance(100);
	await stopped;
	const ended = world.reload(spec('2', supervisor('new', [job('new/x', '2')]), web('more', '2')));
	world.advance(5_000);
	assert.equal((await ended).result, 'done');
	assert.equal(versions(world), ['more 2', 'new/x 2', 'web.1 2', 'web.2 2']);
	const back = world.restartChild('', 'rest');
	world.advance(100);
	await back;
	assert.equal(versions(world)[2], 'rest 2');
});

test('asked while one goes on: one more, however often', async () => {
	const world = running();
	const first = world.reload(version('2'));
	world.advance(50);
	const second = world.reload(version('3'));
	const third = world.reload(version('4'));
	world.advance(10_000);
	assert.equal(
		[await first, await second, await third].map(({ result, generation }) => [result, generation]),
		[
			['done', 2],
			['done', 3],
			['done', 3],
		],
	);
	assert.equal(versions(world), all('4'));
});

test('nobody else changes a child in the meantime: an operation waits, a request for a single child is refused', async () => {
	const world = running();
	const ended = world.reload(version('2'));
	world.advance(50);
	const restarted = world.restart('web.1');
	const refused = await world.terminateChild('', 'web.1').catch((error) => error.message);
	assert.is(refused, 'a reload goes on (soaking): ask again when it is over');
	assert.is(world.incarnation('web.1'), 2);
	world.advance(5_000);
	assert.equal((await ended).result, 'done');
	assert.equal(await restarted, { ok: true, message: '' });
	assert.equal(versions(world), all('2'));
	assert.is(world.incarnation('web.1'), 3);
});

for (const [at, result] of [
	[10, 'refused'],
	[25, 'rolledBack'],
	[60, 'rolledBack'],
	[133, 'rolledBack'],
	[146, 'done'],
] as const)
	test(`a stop ${at} ms into a reload ends old and new`, async () => {
		const world = running();
		const ended = world.reload(version('2'));
		world.advance(at);
		world.stop();
		world.advance(10_000);
		assert.equal(world.ended?.why, 'asked');
		assert.equal(versions(world), []);
		assert.equal((await ended).result, result);
	});

test('a master that is killed at any moment of a reload: all old or all new, and nothing twice', () => {
	const seen = new Set<string>();
	for (let at = 0; at <= 170; at++) {
		const world = running();
		world.reload(version('2')).catch(() => {});
		world.advance(at);
		world.killMaster();
		world.advance(10_000);
		const now = versions(world).join();
		assert.ok(now === all('1').join() || now === all('2').join(), `killed ${at} ms after it was asked: ${now}\n${world.trace()}`);
		assert.equal(world.tree.generation, now === all('1').join() ? 1 : 2);
		seen.add(now);
		// And it can be tried again.
		world.reload(version('3')).catch(() => {});
		world.advance(10_000);
		assert.equal(versions(world), all('3'), `again after ${at}\n${world.trace()}`);
	}
	assert.equal(seen.size, 2);
});

test.run();
