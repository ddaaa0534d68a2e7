/** Spares: the pool of a group, arrow by arrow, and whole trees with spares in a simulated world. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { standbyMachine, takesSpare } from '../machines/standby.ts';
import { command, node, supervisor, tree } from '../src/index.ts';
import { explore, simulate, type World } from '../src/testing/index.ts';
import { type Row, Table } from '../src/testing/table.ts';

const changed = { type: 'group.changed' };
const seen = (wanted: number, settled: boolean) => ({ type: 'group.seen', wanted, settled });
const one = seen(1, true);
const two = seen(2, true);
const busy = seen(1, false);
const down = seen(0, false);
const found = { type: 'spare.found', place: 1 };
const loaded = (place = 1) => ({ type: 'spare.loaded', place, at: 0 });
const taken = { type: 'spare.taken', place: 1 };
const died = (place = 1, at = 0) => ({ type: 'spare.died', place, why: 'it crashed', at, chance: 0.5 });
const renew = { type: 'renew' };
const loading = [one, 'settleTime'];
const full = [...loading, loaded()];

const rows: Array<Row<undefined>> = [
	['keeps none until the group is up', [], 'resting'],
	['looks when something has happened', [changed], 'resting', ['lookAtGroup']],
	['waits until the group has come to rest', [busy], 'keeping.holding', []],
	['… and for a moment more', [busy, one], 'keeping.settling', []],
	['loads one', loading, 'keeping.loading', ['launchSpare']],
	['… not if somebody starts in that moment', [one, busy], 'keeping.holding', []],
	['… nor if the group goes', [one, down], 'resting', []],
	['… and does not begin the moment anew', [one, one], 'keeping.settling', []],
	['goes no further while somebody starts', [busy, busy], 'keeping.holding', []],
	['rests when the group goes before it came to rest', [busy, down], 'resting', []],
	['is full', full, 'keeping.full', []],
	['loads one after the other', [two, 'settleTime', loaded()], 'keeping.settling', []],
	['… until it is full', [two, 'settleTime', loaded(), 'settleTime', loaded(2)], 'keeping.full', []],
	['looks at the group before it replaces one that was taken', [...full, taken], 'keeping.holding', ['lookAtGroup']],
	['… and does when nobody starts any more', [...full, taken, busy, one, 'settleTime'], 'keeping.loading', ['launchSpare']],
	['hears of another that was taken while it loads', [two, 'settleTime', loaded(), 'settleTime', taken], 'keeping.loading', []],
	['stays full whatever happens in the group', [...full, busy], 'keeping.full', []],
	['lets go what is too much', [two, 'settleTime', loaded(), 'settleTime', loaded(2), one], 'keeping.full', ['releaseSpare']],
	['lets all go with the group', [...full, down], 'resting', ['releaseSpare']],
	['… also what is being loaded', [...loading, down], 'resting', ['releaseSpare']],
	['knows of the group while it loads', [...loading, busy], 'keeping.loading', []],
	['lets go what is loaded after all', [...loading, down, loaded()], 'resting', []],
	['forgets them when they are dead', [...full, down, died()], 'resting', []],
	['loads anew what is out of date', [...full, renew], 'keeping.holding', ['releaseSpare', 'lookAtGroup']],
	['… beside the old one', [...full, renew, one, 'settleTime'], 'keeping.loading', ['launchSpare']],
	['… which is no failure', [...full, renew, one, 'settleTime', died()], 'keeping.loading', []],
	['waits after one has died', [...loading, died()], 'keeping.waiting', ['reportFailure']],
	['… also of one that was loaded', [...full, died()], 'keeping.waiting', ['reportFailure']],
	['… and tries again', [...loading, died(), 'retryDelay'], 'keeping.settling', []],
	['knows of the group while it waits', [...loading, died(), busy, 'retryDelay'], 'keeping.holding', []],
	['takes over what an earlier master has loaded', [found, busy], 'keeping.loading', []],
	['… and is full when it says so', [found, busy, loaded()], 'keeping.full', []],
	['… or lets it go', [found, down], 'resting', ['releaseSpare']],
	['forgets what was taken while it rests', [found, taken], 'resting', []],
];
const table = new Table(standbyMachine, undefined);
for (const row of rows) test(row[0], () => void table.check(row));
test('the table is complete', () => table.assertComplete());

test('waits for longer after each failure, and begins anew after one that was loaded for long', () => {
	const context = (happenings: Row<undefined>[1]) =>
		table.check(['', [...happenings], 'keeping.waiting']).context as { failures: number; delayMs: number };
	const again = ['retryDelay', 'settleTime'];
	assert.is(context([...loading, died()]).delayMs, 100);
	assert.is(context([...loading, died(), ...again, died()]).delayMs, 200);
	assert.is(context([...loading, died(), ...again, died(), ...again, died()]).delayMs, 400);
	assert.is(context([...loading, died(), ...again, loaded(), died(1, 1_000)]).failures, 2);
	assert.is(context([...loading, died(), ...again, loaded(), died(1, 30_000)]).failures, 1);
});

test('takes the place of who died without having been asked', () => {
	assert.ok(takesSpare({ doom: null }));
	assert.ok(takesSpare({ doom: 'hung' }));
	for (const doom of ['shutdown', 'killed', 'startFailed'] as const) assert.not.ok(takesSpare({ doom }));
});

const web = (options: Partial<Parameters<typeof node>[1]> = {}) =>
	node('web', { module: './web.ts', instances: 2, listen: { http: 8080 }, standby: 1, ...options });
const settled = (...children: Parameters<typeof tree>[1]['children'][number][]): World =>
	simulate(tree('shop', { children })).advance('2s').forget();
/** What happens from now on, without the times. */
const told = (world: World) =>
	world
		.trace()
		.split('\n')
		.map((line) => line.replace(/^\d+ +/, ''));

test('a crash activates the spare, and the pool refills', () => {
	const world = settled(web()).crash('web.1').advance('1s');
	assert.equal(told(world), [
		'web.1 ! crashes with code 1',
		'web.1 = dead (crash)',
		'web.1 ~ restarts',
		'web.1 < activate #2',
		'web.1 = running',
		'web.standby-1 < launch #2',
		'web.standby-1 = loaded',
	]);
	assert.equal(
		world.alive(),
		['web.1#2', 'web.2#1', 'web.standby-1#2'].sort((a) => (a === 'web.2#1' ? -1 : 0)),
	);
});

test('of two that crash at once one has the spare, the other starts in the usual way', () => {
	const world = settled(web()).crash('web.1').crash('web.2').advance('1s');
	const asked = told(world).filter((line) => line.includes('<'));
	assert.equal(asked, ['web.1 < activate #2', 'web.2 < launch #2', 'web.standby-1 < launch #2']);
});

test('one that hangs has its place taken as well', () => {
	const world = settled(web()).hang('web.2').advance('12s');
	assert.ok(told(world).includes('web.2 < activate #2'));
});

test('a restart by request loads everything anew, the spares too', () => {
	const world = settled(web());
	void world.restart('web.1');
	const asked = told(world.advance('1s')).filter((line) => line.includes('<'));
	assert.equal(asked, ['web.1 < drain', 'web.standby-1 < terminate', 'web.1 < launch #2', 'web.standby-1 < launch #2']);
});

test('a spare that dies costs no budget, and a pool that cannot be filled says so', () => {
	const world = settled(web({ restart: { backoff: 0, intensity: { restarts: 0, within: '1h' } } }));
	world.behaviour('web.standby-1', { exit: 5 }).crash('web.standby-1').advance('1m');
	assert.is(world.state(), 'running');
	const failures = told(world).filter((line) => line.startsWith('web ~'));
	assert.ok(failures.length > 2 && failures.length < 12, `${failures.length} failures in a minute`);
	assert.match(failures[0] as string, /^web ~ has a standby less: web\.standby-1 crashed with code 1; the next one starts in \d+ ms$/);
	assert.is(world.status()[0]?.restarts, 0);
});

test('one that is not ready in time after all counts as a start that failed', () => {
	const world = settled(web({ ready: { signal: true, timeout: '3s' } }));
	world.hang('web.standby-1').crash('web.1').advance('5s');
	const lines = told(world);
	assert.ok(lines.includes('web.1 = dead (startFailed)'), lines.join('\n'));
	assert.is(world.state('web.1'), 'running');
});

test('spares go with their group, and nobody is left', () => {
	const world = settled(supervisor('front', { children: [web()] }), command('c', { run: ['c'] }));
	void world.terminateChild('front', 'web.1');
	world.advance('1s');
	assert.ok(world.alive().includes('front/web.standby-1#1'));
	void world.terminateChild('front', 'web.2');
	world.advance('1s');
	assert.not.ok(world.alive().some((each) => each.includes('standby')));
	world.stop().advance('1s');
	assert.equal(world.alive(), []);
	assert.is(world.state(), 'dead');
});

test('spares of what is paused go, and come again with it', async () => {
	const world = settled(web());
	void world.pauseChild('web');
	// Its requests follow each other by promises.
	for (let n = 0; n < 20; n++) await world.advance(100).settled();
	assert.equal(world.alive(), []);
	void world.resumeChild('web');
	for (let n = 0; n < 20; n++) await world.advance(100).settled();
	assert.equal(world.alive(), ['web.1#2', 'web.2#2', 'web.standby-1#2']);
});

test('the next master takes spares over as spares, and what was activated as what it is', () => {
	const world = settled(web());
	world.crash('web.1').killMaster().advance('1s');
	const lines = told(world);
	assert.ok(lines.includes('web.1 < activate #2'));
	assert.not.ok(lines.some((line) => line.startsWith('web.1 < launch')));
	world.forget().killMaster().advance('1s');
	assert.ok(told(world).includes('web.standby-1 = loaded'));
	assert.not.ok(told(world).some((line) => line.includes('<')));
	world.forget().crash('web.1').advance(10);
	assert.ok(told(world).includes('web.1 < activate #3'));
});

test('spares of what a reload has replaced are never activated, and are replaced after it', async () => {
	const version = (env: Record<string, string>) => tree('shop', { children: [web({ env })] });
	const { resolveSpec } = await import('../src/spec/check.ts');
	const world = simulate(version({})).advance('2s').forget();
	void world.reload(resolveSpec(version({ NEXT: '1' })));
	// In the moment after the switch.
	world.advance(1_031).crash('web.1').advance('3s');
	const lines = told(world);
	const asked = lines.filter((line) => line.includes('standby') && line.includes('<'));
	assert.equal(asked, ['web.standby-1 < terminate', 'web.standby-1 < launch #2'], lines.join('\n'));
	assert.not.ok(
		lines.some((line) => line.startsWith('web.1 < activate')),
		lines.join('\n'),
	);
});

test('status says how many there are', () => {
	const world = settled(web({ standby: 2 }));
	assert.equal(world.tree.viewAt('web.1')?.standby, { wanted: 2, loaded: 2 });
	world.crash('web.1');
	assert.equal(world.tree.viewAt('web.2')?.standby, { wanted: 2, loaded: 1 });
});

test('whatever goes wrong, what holds for every tree holds with spares', () => {
	const trees = [
		tree('a', { children: [web()] }),
		tree('b', { strategy: 'one_for_all', children: [web({ standby: 2 }), command('c', { run: ['c'] })] }),
		tree('c', {
			strategy: 'rest_for_one',
			children: [supervisor('s', { children: [web({ restart: 'transient' })] }), web({ id: 'api', listen: { http: 8081 } } as object)],
		}),
	];
	for (const each of trees) explore(each, { seeds: 40 });
});

test.run();
