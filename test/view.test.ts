/** The live page's server, on a tree within this process: who may ask, what is told, what is bounded. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { createWebSocketReceiver, type StatelyInspectionEvent } from '@statelyai/inspect';
import { test } from 'uvu';
import type { DynamicSpec, defaults, WorkSpec } from '../machines/spec.ts';
import { Trie } from '../machines/trie.ts';
import { terminalLines } from '../src/cli/lines.ts';
import { ensureDir, logFile, logsDir } from '../src/home.ts';
import { command, tree as declare } from '../src/index.ts';
import type { Step } from '../src/kernel/kernel.ts';
import { checkSpec, resolveSpec } from '../src/spec/check.ts';
import { judge } from '../src/view/guard.ts';
import { shown } from '../src/view/moment.ts';
import { shownLine } from '../src/view/output.ts';
import { Recorder } from '../src/view/recorder.ts';
import { until, within } from './support/until.ts';
import { ask, Page, served } from './support/viewing.ts';
import { child, rule, supervisor } from './support/world.ts';

const step = (id: string, type: string, more: Partial<Step> = {}): Step => ({
	at: 0,
	id,
	event: { type },
	from: 'a',
	to: 'b',
	before: {},
	after: {},
	effects: [],
	ignored: false,
	...more,
});

test('the recorder keeps so many steps of each path and so many in all, and says that some are gone', () => {
	const recorder = new Recorder({ perChild: 3, inAll: 5 }, () => 7);
	for (let n = 1; n <= 4; n++) recorder.record(step('worker:a#1', `a${n}`));
	assert.deepEqual(
		recorder.of('a').entries.map(({ seq, step: { event } }) => [seq, event.type]),
		[
			[2, 'a2'],
			[3, 'a3'],
			[4, 'a4'],
		],
	);
	assert.equal(recorder.of('a').more, true);
	for (let n = 1; n <= 3; n++) recorder.record(step('master:s', `s${n}`));
	assert.equal(recorder.size, 5);
	assert.deepEqual(
		recorder.of('a').entries.map(({ seq }) => seq),
		[3, 4],
	);
	assert.deepEqual([recorder.of('s').entries.length, recorder.of('s').more, recorder.of('s').entries[0]?.incarnation], [3, false, 7]);
	assert.equal(recorder.find(3)?.step.event.type, 'a3');
	assert.equal(recorder.find(2), null);
	assert.equal(recorder.find(99), null);
	for (let n = 1; n <= 5; n++) recorder.record(step(`worker:z${n}#1`, 'x'));
	assert.deepEqual([recorder.of('a').entries, recorder.of('s').entries, recorder.size], [[], [], 5]);
});

test('of heartbeats in a row the last is kept, so that they do not push out what happened', () => {
	const recorder = new Recorder({ perChild: 4, inAll: 100 }, () => 0);
	const beat = () => recorder.record(step('worker:a#1', 'heartbeat', { from: 'running.healthy', to: 'running.healthy' }));
	recorder.record(step('worker:a#1', 'process.ready'));
	for (let n = 0; n < 50; n++) beat();
	recorder.record(step('worker:b#1', 'heartbeat', { from: 'x', to: 'x' }));
	recorder.record(step('worker:a#1', 'drain'));
	beat();
	assert.deepEqual(
		recorder.of('a').entries.map(({ seq, step: { event } }) => [seq, event.type]),
		[
			[1, 'process.ready'],
			[51, 'heartbeat'],
			[53, 'drain'],
			[54, 'heartbeat'],
		],
	);
	assert.equal(recorder.size, 5);
});

test('a step that was told is never changed by a later one', () => {
	const recorder = new Recorder({ perChild: 4, inAll: 100 }, () => 0);
	const told: number[] = [];
	const entries: Array<{ seq: number }> = [];
	recorder.listener = (entry) => {
		told.push(entry.seq);
		entries.push(entry);
	};
	for (let n = 0; n < 5; n++) recorder.record(step('worker:a#1', 'heartbeat', { from: 'x', to: 'x' }));
	assert.deepEqual(
		[told, entries.map(({ seq }) => seq)],
		[
			[1, 2, 3, 4, 5],
			[1, 2, 3, 4, 5],
		],
	);
	assert.deepEqual([recorder.size, recorder.of('a').entries.length], [1, 1]);
	recorder.record(step('worker:a#2', 'xstate.init'));
	assert.deepEqual(
		recorder.of('a').entries.map(({ incarnation }) => incarnation),
		[1, 2],
	);
});

test('a context is shown as JSON, whatever is in it, and says where it was cut', () => {
	const loop: Record<string, unknown> = { name: 'x\x1b[2Jy' };
	loop.self = loop;
	const deep = Array.from({ length: 20 }).reduce<unknown>((inner) => ({ inner }), 'bottom');
	const value = {
		loop,
		deep,
		map: new Map<unknown, unknown>([
			['__proto__', 1],
			[{}, new Set([1, 2])],
		]),
		trie: new Trie<number>().with('k', 1),
		many: Array.from({ length: 100_000 }, (_, n) => n),
		f: function named() {},
		n: Number.NaN,
		big: 10n,
		error: new Error('<b>boom\x07</b>'),
		bytes: new Uint8Array(1_000_000),
		get broken(): never {
			throw new Error('no');
		},
		long: 'z'.repeat(10_000),
	};
	const json = JSON.stringify(shown(value));
	assert.ok(json.length < 20_000, `${json.length}`);
	const seen = JSON.parse(json);
	assert.deepEqual(seen, '[cannot be read]');
	const { broken: _, ...rest } = Object.getOwnPropertyDescriptors(value);
	const safe = JSON.parse(JSON.stringify(shown(Object.defineProperties({}, rest))));
	assert.equal(safe.loop.name, 'x␛[2Jy');
	assert.equal(safe.loop.self, '[itself]');
	assert.match(JSON.stringify(safe.deep), /"…"/);
	assert.equal(Object.keys(safe.map)[0], '__proto__');
	assert.deepEqual(safe.trie, { k: 1 });
	assert.equal(safe.many.at(-1), '… 99950 more');
	assert.deepEqual([safe.f, safe.n, safe.big, safe.bytes], ['[function named]', 'NaN', '[bigint 10]', '[1000000 bytes]']);
	assert.equal(safe.error, '[Error: <b>boom␇</b>]');
	assert.equal(safe.long.length, 501);
});

test('a line of output keeps its tabs, shows its control characters, and is cut where it is too long', () => {
	assert.equal(shownLine('a\tb\x1b[31m\x07\u202e</script>'), 'a\tb␛[31m␇\\u202e</script>');
	assert.equal(shownLine('x'.repeat(5_000)), `${'x'.repeat(4_000)}… (1000 characters more)`);
});

const own = { token: 'secret', port: 8080, host: '127.0.0.1', hosts: ['choir.example.com', 'other.example:9000'] };
const asked: Array<[what: string, url: string, host: string | undefined, origin: string | undefined, ok: boolean, bound?: string]> = [
	['the own address', '/secret/', '127.0.0.1:8080', undefined, true],
	['localhost', '/secret/page.js', 'localhost:8080', 'http://localhost:8080', true],
	['its name in capitals', '/secret/', 'LocalHost:8080', undefined, true],
	['IPv6', '/secret/', '[::1]:8080', 'http://[::1]:8080', true],
	['a declared name, behind a proxy', '/secret/', 'choir.example.com', 'https://choir.example.com', true],
	['a declared name with its port', '/secret/', 'other.example:9000', undefined, true],
	['a declared name with another port', '/secret/', 'other.example:9001', undefined, false],
	['no Host', '/secret/', undefined, undefined, false],
	['a foreign Host, as DNS rebinding gives', '/secret/', 'evil.example:8080', undefined, false],
	['another port', '/secret/', '127.0.0.1:8081', undefined, false],
	['no port', '/secret/', '127.0.0.1', undefined, false],
	['a Host that only begins right', '/secret/', '127.0.0.1.evil.example:8080', undefined, false],
	['garbage as Host', '/secret/', '127.0.0.1:8080@evil', undefined, false],
	['a foreign Origin', '/secret/live', '127.0.0.1:8080', 'http://evil.example', false],
	['an Origin of another port', '/secret/live', '127.0.0.1:8080', 'http://127.0.0.1:3000', false],
	['TLS where there is no proxy', '/secret/live', '127.0.0.1:8080', 'https://127.0.0.1:8080', false],
	['the Origin of a sandbox', '/secret/live', '127.0.0.1:8080', 'null', false],
	['no token', '/', '127.0.0.1:8080', undefined, false],
	['a wrong token', '/secre/', '127.0.0.1:8080', undefined, false],
	['a longer token', '/secrets/', '127.0.0.1:8080', undefined, false],
	['the token elsewhere', '/x/secret/?secret#secret', '127.0.0.1:8080', undefined, false],
	['an address of the machine, where all are bound', '/secret/', '192.168.1.7:8080', undefined, true, '0.0.0.0'],
	['a foreign name, where all are bound', '/secret/', 'evil.example:8080', undefined, false, '0.0.0.0'],
];
for (const [what, url, host, origin, ok, bound = own.host] of asked) {
	test(`${ok ? 'let in' : 'refused'}: ${what}`, () => {
		const headers = { ...(host === undefined ? {} : { host }), ...(origin === undefined ? {} : { origin }) };
		const verdict = judge({ url, headers }, { ...own, host: bound });
		assert.equal(verdict.ok, ok);
		if (!verdict.ok) assert.match(verdict.why, /^[^\n]+`choir view` prints the address\.$/);
	});
}

const views: Array<[given: unknown, right: Partial<typeof defaults.view> | RegExp]> = [
	[undefined, { on: null, host: '127.0.0.1', port: 0, readOnly: false }],
	[true, { on: true }],
	[false, { on: false }],
	[7000, { on: true, host: '127.0.0.1', port: 7000, readOnly: false }],
	['0.0.0.0:7000', { host: '0.0.0.0', port: 7000, readOnly: true }],
	['[::1]:7000', { host: '::1', port: 7000, readOnly: false }],
	['localhost:7000', { host: '127.0.0.1', port: 7000, readOnly: false }],
	[
		{ host: '0.0.0.0', readOnly: false, history: { perChild: 10 } },
		{ host: '0.0.0.0', readOnly: false, history: { perChild: 10, inAll: 20_000 } },
	],
	[0, /^t\.view: expected true, false, a port from 1 to 65535, .* got 0$/],
	['unix:/run/x', /^t\.view: expected true, false, a port .* got 'unix:\/run\/x'$/],
	['example.com:80', /^t\.view: expected an IP address or 'localhost', got 'example.com'$/],
	[{ port: 70_000 }, /^t\.view\.port: expected a whole number from 0 to 65535, got 70000$/],
	[{ readonly: true }, /^t\.view\.readonly: expected a known key \(did you mean 'readOnly'\?\), got 'readonly'$/],
	[{ hosts: ['<b>'] }, /^t\.view\.hosts\[0\]: expected the name of a host, .* got '<b>'$/],
	[{ history: { inAll: 0 } }, /^t\.view\.history\.inAll: expected a whole number from 1 /],
];
for (const [given, right] of views) {
	test(`view: ${JSON.stringify(given)}`, () => {
		const declaration = declare('t', {
			children: [command('a', { run: ['true'] })],
			...(given === undefined ? {} : { view: given as true }),
		});
		const problems = checkSpec(declaration).map(({ message }) => message);
		if (right instanceof RegExp) {
			assert.equal(problems.length, 1, problems.join('\n'));
			assert.match(problems[0] as string, right);
		} else {
			assert.deepEqual(problems, []);
			const { view } = resolveSpec(declaration);
			assert.deepEqual(view, { ...view, ...right });
		}
	});
}

test('an id that is markup is no id', () => {
	const problems = checkSpec(declare('t', { children: [command('<img src=x onerror=alert(1)>', { run: ['true'] })] }));
	assert.match(problems[0]?.message ?? '', /^t\.children\[0\]\.id: expected an id of lower-case letters/);
});

test('the page is served with its headers, nothing else is, and nothing without the token', () =>
	served([child('a')], async ({ address, port }) => {
		const { status, headers } = await ask(address);
		assert.ok(status === 200 || status === 503, 'the page itself may not be built');
		assert.match(String(headers['content-security-policy']), /^default-src 'none'; script-src 'self';/);
		assert.doesNotMatch(String(headers['content-security-policy']), /script-src[^;]*unsafe/);
		assert.equal(headers['referrer-policy'], 'no-referrer');
		assert.equal(headers['x-content-type-options'], 'nosniff');
		assert.equal(headers['x-frame-options'], 'DENY');
		assert.equal(headers['cache-control'], 'no-store');
		for (const name of ['angel', 'master', 'dynamic', 'worker']) {
			const chart = await ask(`${address}charts/${name}.svg`);
			assert.deepEqual([chart.status, chart.headers['content-type']], [200, 'image/svg+xml; charset=utf-8'], name);
			assert.match(chart.text, /^<svg /);
		}
		const head = await ask(`${address}charts/worker.svg`, { method: 'HEAD' });
		assert.ok(head.status === 200 && head.text === '' && Number(head.headers['content-length']) > 1_000);
		for (const [what, expected] of [
			['nothing', 404],
			['../../package.json', 404],
			['..%2f..%2fpackage.json', 404],
			['page/../../../package.json', 404],
			['constructor', 404],
			['__proto__', 404],
			['charts/..', 404],
		] as const)
			assert.equal((await ask(`${address}${what}`)).status, expected, what);
		assert.equal((await ask(address, { method: 'POST' })).status, 405);
		assert.equal((await ask(address.slice(0, -1))).headers.location, new URL(address).pathname);
		for (const upgrade of [false, true]) {
			const what = upgrade ? 'live' : '';
			const refused = [
				await ask(`http://127.0.0.1:${port}/${what}`, { upgrade }),
				await ask(`http://127.0.0.1:${port}/${'y'.repeat(24)}/${what}`, { upgrade }),
				await ask(`${address}${what}`, { upgrade, headers: { Host: `evil.example:${port}` } }),
				await ask(`${address}${what}`, { upgrade, headers: { Origin: 'http://evil.example' } }),
			];
			for (const { status: got, text } of refused) {
				assert.equal(got, 403);
				assert.match(text, /^[^\n]*`choir view` prints the address\.\n$/);
			}
		}
		assert.equal((await ask(`${address}nothing`, { upgrade: true })).status, 404);
		assert.equal((await ask(`${address}live`, { upgrade: true, headers: { Origin: `http://127.0.0.1:${port}` } })).status, 101);
		assert.equal((await ask(address, { headers: { 'X-Long': 'x'.repeat(10_000) } })).status, 431);
	}));

test('a page is told who serves it, the tree, and then what changes', () =>
	served([child('a'), supervisor('s', [child('s/b', { strategy: 'one_for_all' }), child('s/c')])], async ({ address, tree, launched }) => {
		const page = await Page.open(address);
		const first = await page.next('tree');
		assert.deepEqual(
			first.rows.map((row) => [row.path, row.above, row.kind, row.state, row.count]),
			[
				['', null, 'supervisor', 'running', 2],
				['a', '', 'command', 'running', null],
				['s', '', 'supervisor', 'running', 2],
				['s/b', 's', 'command', 'running', null],
				['s/c', 's', 'command', 'running', null],
			],
		);
		assert.deepEqual(page.row('a')?.operations, ['restart', 'stop']);
		assert.deepEqual(page.row('')?.operations, []);
		const { workerId } = launched.find((run) => run.path === 's/b') as (typeof launched)[number];
		tree.tell(workerId, { type: 'process.exited', code: 1, signal: null, maxRssBytes: null, at: 0 });
		// Their supervisor is what it was: it runs, and has run since then.
		const back = await page.next('rows', ({ rows }) => rows.some((row) => row.path === 's/c' && row.incarnation === 2));
		assert.deepEqual(back.rows.map((row) => [row.path, row.incarnation, row.restarts, row.lastExit?.reason ?? null]).sort(), [
			['s/b', 2, 1, 'crash'],
			['s/c', 2, 1, 'shutdown'],
		]);
		const steps = page.heard.flatMap((message) => (message.say === 'steps' ? message.steps : []));
		const of = (childPath: string) =>
			steps.filter((one) => one.path === childPath).map((one) => `${one.incarnation} ${one.event}: ${one.from} → ${one.to}`);
		// First those from before the page was opened.
		assert.deepEqual(of('s/b'), [
			'1 xstate.init:  → starting.launching',
			'1 process.ready: starting.launching → running.healthy',
			'1 process.exited: running.healthy → dead',
			'2 xstate.init:  → starting.launching',
			'2 process.ready: starting.launching → running.healthy',
		]);
		assert.ok(
			steps.every((one, index) => index === 0 || one.seq === (steps[index - 1]?.seq ?? 0) + 1),
			'none is left out',
		);
		assert.deepEqual([...new Set(steps.map(({ chart }) => chart))].sort(), ['master', 'worker']);
		page.close();
	}));

test('what is selected: its machine, its timers, its history, and the moments before and after a step', () =>
	served([child('a', {}, { heartbeat: { everyMs: 1_000, timeoutMs: 60_000 } })], async ({ address, tree, launched }) => {
		const page = await Page.open(address);
		page.say({ do: 'select', path: 'a' });
		const { now, timers, chart, incarnation } = await page.next('machine');
		assert.deepEqual(
			[chart, incarnation, now?.state, (now as { context: { path: string } }).context.path],
			['worker', 1, 'running.healthy', 'a'],
		);
		assert.equal(timers.length, 1);
		const [{ name, at, from }] = timers as [(typeof timers)[number]];
		assert.equal(name, 'suspectTimeout');
		assert.ok(Math.abs(at - from - 30_000) <= 1 && Math.abs(from - Date.now()) < 5_000, `${from} ${at}`);
		const history = await page.next('history');
		assert.deepEqual(
			history.steps.map(({ event, to }) => [event, to]),
			[
				['xstate.init', 'starting.launching'],
				['process.ready', 'running.healthy'],
			],
		);
		assert.equal(history.more, false);
		const { seq } = history.steps[1] as (typeof history.steps)[number];
		page.say({ do: 'moment', seq });
		const { before, after } = await page.next('moment');
		assert.deepEqual([before?.state, after?.state], ['starting.launching', 'running.healthy']);
		assert.equal((after as { context: { wasReady: boolean } }).context.wasReady, true);
		page.say({ do: 'moment', seq: 10_000 });
		assert.deepEqual(await page.next('moment', (moment) => moment.seq === 10_000), {
			say: 'moment',
			seq: 10_000,
			before: null,
			after: null,
		});
		page.say({ do: 'select', path: '' });
		assert.equal((await page.next('machine', (machine) => machine.path === '')).chart, 'master');
		page.say({ do: 'select', path: 'a' });
		tree.tell(launched[0]?.workerId as string, { type: 'process.exited', code: 1, signal: null, maxRssBytes: null, at: 0 });
		await page.next('machine', (machine) => machine.path === 'a' && machine.incarnation === 2);
		page.close();
	}));

test('a status text that is markup and escapes comes as text without what steers', () =>
	served([child('a')], async ({ address, launched, statuses }) => {
		statuses.set(launched[0]?.workerId as string, '\x1b]0;x\x07<img src=x onerror=alert(1)>\u202e');
		const page = await Page.open(address);
		await page.next('tree');
		assert.equal(page.row('a')?.says, '␛]0;x␇<img src=x onerror=alert(1)>\\u202e');
		statuses.set(launched[0]?.workerId as string, 'fine');
		await page.next('rows', ({ rows }) => rows.some(({ says }) => says === 'fine'));
		for (const frame of page.frames) assert.doesNotMatch(frame, /[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]/);
		page.close();
	}));

test('operations: restart, stop, start; how each ended; each an event', () =>
	served([child('a')], async ({ address, events }) => {
		const page = await Page.open(address);
		let id = 0;
		const operate = async (what: 'restart' | 'stop' | 'start' | 'reload' | 'scale', childPath: string, count?: number) => {
			id += 1;
			page.say({ do: 'operate', id, what, path: childPath, ...(count === undefined ? {} : { count }) });
			const mine = id;
			const { ok, message } = await page.next('done', (done) => done.id === mine);
			return [ok, message];
		};
		assert.deepEqual(await operate('restart', 'a'), [true, 'a was restarted']);
		assert.equal(page.row('a')?.incarnation, 2);
		assert.deepEqual(await operate('stop', 'a'), [true, 'a is stopped']);
		assert.deepEqual([page.row('a')?.state, page.row('a')?.standing, page.row('a')?.operations], ['dead', 'stopped', ['start']]);
		assert.deepEqual(await operate('start', 'a'), [true, 'a runs']);
		assert.equal(page.row('a')?.state, 'running');
		assert.deepEqual((await operate('start', 'a'))[0], false);
		assert.deepEqual(await operate('restart', 'nobody'), [false, "there is no child 'nobody'"]);
		assert.deepEqual(await operate('reload', 'a'), [false, 'the tree is reloaded as a whole']);
		assert.deepEqual(await operate('reload', ''), [false, 'this tree cannot be reloaded']);
		assert.equal((await operate('stop', ''))[0], false);
		assert.deepEqual(await operate('scale', 'a', 2), [false, "'a' is not declared with instances"]);
		assert.deepEqual(
			events
				.filter(({ event }) => event === 'operation.asked')
				.map(({ detail: { what, path: childPath, by } }) => `${by} ${what} ${childPath}`),
			['page restart a', 'page stop a', 'page start a', 'page start a'],
		);
		page.close();
	}));

test('scaling is offered where a child has instances; those that come have rows, those that go have none', () => {
	const instance = { ...child('w.1'), declaredId: 'w' } as WorkSpec;
	return served([instance, child('a')], async ({ address }) => {
		const page = await Page.open(address);
		await page.next('tree');
		assert.deepEqual(
			[page.row('w.1')?.operations, page.row('a')?.operations],
			[
				['restart', 'stop', 'scale'],
				['restart', 'stop'],
			],
		);
		page.say({ do: 'operate', id: 1, what: 'scale', path: 'w.1', count: 3 });
		assert.deepEqual(await page.next('done'), { say: 'done', id: 1, ok: true, message: 'w has 3 instances, after 1' });
		await page.next('rows', ({ rows }) => rows.some(({ path: of, state }) => of === 'w.3' && state === 'running'));
		assert.equal(page.row('')?.count, 4);
		const orders = () => page.heard.flatMap((message) => (message.say === 'rows' ? message.orders : []));
		assert.deepEqual(orders().at(-1), { above: '', ids: ['w.1', 'w.2', 'w.3', 'a'] });
		page.say({ do: 'operate', id: 2, what: 'scale', path: 'w.1', count: 1 });
		assert.equal((await page.next('done', ({ id }) => id === 2)).ok, true);
		const gone = page.heard.flatMap((message) => (message.say === 'rows' ? message.gone : []));
		assert.deepEqual(gone.sort(), ['w.2', 'w.3']);
		assert.deepEqual(orders().at(-1), { above: '', ids: ['w.1', 'a'] });
		for (const [id, what, count] of [
			[3, 'a', 3],
			[4, 'w.1', -1],
			[5, 'w.1', 0],
			[6, 'w.1', 100_000_000],
		] as const) {
			page.say({ do: 'operate', id, what: 'scale', path: what, count });
			assert.equal((await page.next('done', (done) => done.id === id)).ok, false);
		}
		page.close();
	});
});

test('a read-only page shows, and operates nothing', () =>
	served(
		[child('a')],
		async ({ address, launched }) => {
			const page = await Page.open(address);
			assert.equal((await page.next('hello')).readOnly, true);
			await page.next('tree');
			assert.deepEqual(page.row('a')?.operations, []);
			page.say({ do: 'operate', id: 1, what: 'restart', path: 'a' });
			const { ok, message } = await page.next('done');
			assert.equal(ok, false);
			assert.match(message, /read-only/);
			assert.equal(launched.length, 1);
			page.close();
		},
		{ readOnly: true },
	));

test('who asks for too many operations at once is refused the rest', () =>
	served([child('a')], async ({ address }) => {
		const page = await Page.open(address);
		const count = 90;
		const from = performance.now();
		for (let id = 1; id <= count; id++) page.say({ do: 'operate', id, what: 'stop', path: 'nobody' });
		// All of them: who is refused because others are under way hears it before those others do.
		const answered = new Set<number>();
		await page.next('done', ({ id }) => answered.add(id).size === count);
		const refused = page.heard.filter((message) => message.say === 'done' && /no person|under way/.test(message.message));
		// Twenty in each second that they took to arrive, begun ones among them.
		const seconds = Math.floor((performance.now() - from) / 1_000) + 1;
		assert.ok(refused.length >= Math.max(count - 20 * seconds, 1), `${refused.length} in ${seconds} s`);
		page.close();
	}));

const garbage: Array<[what: string, word: string | Buffer]> = [
	['no JSON', '{'],
	['no object', '[]'],
	['another word', '{"do":"explode"}'],
	['a path that is none', '{"do":"select","path":7}'],
	['too many rows', JSON.stringify({ do: 'visible', paths: Array.from({ length: 201 }, String) })],
	['bytes', Buffer.from([1, 2, 3])],
	['a message too long', `"${'x'.repeat(300 * 1024)}"`],
];
for (const [what, word] of garbage) {
	test(`a page that says ${what} is ended, and nobody else`, () =>
		served([child('a')], async ({ address, tree }) => {
			const other = await Page.open(address);
			const page = await Page.open(address);
			page.socket.send(word);
			assert.ok([1003, 1008, 1009].includes(await within('the page is ended', page.closed)));
			await tree.restart('a');
			await other.next('rows', ({ rows }) => rows.some(({ incarnation }) => incarnation === 2));
			other.close();
		}));
}

test('there are at most sixteen pages', () =>
	served([child('a')], async ({ address }) => {
		const pages = await Promise.all(Array.from({ length: 16 }, () => Page.open(address)));
		const { WebSocket } = await import('ws');
		const one = new Page(new WebSocket(`${address.replace('http', 'ws')}live`));
		assert.equal(await within('the page is refused', one.closed), 1013);
		pages[0]?.close();
		await until('there is room again', async () => (await Page.open(address).catch(() => null)) !== null);
		for (const page of pages) page.close();
	}));

const dynamicSpec = (rows: Partial<DynamicSpec> = {}): DynamicSpec => ({
	kind: 'dynamic',
	id: 'd',
	declaredId: 'd',
	path: 'd',
	restart: rule(),
	intensity: { restarts: 3, withinMs: 5_000 },
	maxChildren: 1_000_000,
	shutdownMs: null,
	template: { ...(child('job') as WorkSpec), path: 'd' },
	...rows,
});

test('of ten thousand dynamic children a hundred have rows; when those go, others have', () =>
	served([dynamicSpec()], async ({ address, tree, recorder }) => {
		for (let n = 0; n < 10_000; n++) void tree.startChild('d', {});
		assert.ok(recorder.size <= 20_000);
		const from = performance.now();
		const page = await Page.open(address);
		const { rows } = await page.next('tree');
		assert.ok(performance.now() - from < 2_000);
		assert.deepEqual([rows.length, page.row('d')?.count], [102, 10_000]);
		assert.deepEqual(page.row('d/job-1')?.operations, ['stop']);
		for (let n = 1; n <= 60; n++) void tree.terminateChild('d', `job-${n}`);
		const { gone } = await page.next('rows', (message) => message.gone.length > 0);
		assert.equal(gone.length, 60);
		await page.next('rows', (message) => message.rows.some((row) => row.path === 'd/job-160'));
		assert.equal(page.row('d')?.count, 9_940);
		page.close();
	}));

test('a page that joins a tree of 1 000 children, and all of them change: each row once, in one message or few', () =>
	served(
		Array.from({ length: 1_000 }, (_, n) => child(`c${n}`)),
		async ({ address, tree, launched }) => {
			const page = await Page.open(address);
			assert.equal((await page.next('tree')).rows.length, 1_001);
			const at = page.heard.length;
			const from = performance.now();
			for (const { workerId } of [...launched]) tree.tell(workerId, { type: 'drain', mode: 'fast' });
			await page.next('rows', ({ rows }) => rows.some(({ path: childPath, incarnation }) => childPath === 'c2' && incarnation === 2), at);
			const tookMs = performance.now() - from;
			assert.ok(tookMs < 2_000, `${tookMs} ms`);
			page.close();
		},
	));

/** Steps at such a pace, until it is ended: `rate` a second. */
function stepping(beat: () => void, rate: number): () => number {
	let done = 0;
	const from = performance.now();
	const interval = setInterval(() => {
		for (; done < ((performance.now() - from) * rate) / 1_000; done++) beat();
	}, 5).unref();
	return () => {
		clearInterval(interval);
		return (done * 1_000) / (performance.now() - from);
	};
}

test('a page that does not read: the tree goes on at its pace, what waits for it is bounded; when it reads again, a gap and the tree', () =>
	served([child('a', {}, { heartbeat: { everyMs: 1_000, timeoutMs: 60_000 } })], async ({ address, tree, launched, recorder }) => {
		const reader = await Page.open(address);
		const page = await Page.open(address);
		await page.next('tree');
		// Below the WebSocket: the bytes stay in the socket, as those of a browser that hangs.
		page.socket.pause();
		const { workerId } = launched[0] as (typeof launched)[number];
		const end = stepping(() => tree.tell(workerId, { type: 'heartbeat' }), 5_000);
		const steps = () => reader.heard.reduce((sum, message) => sum + (message.say === 'steps' ? message.steps.length : 0), 0);
		// More than what the kernel's buffers of a connection take.
		await until('a lot has happened', () => steps() > 40_000 && steps());
		const memory = () => process.memoryUsage().arrayBuffers + process.memoryUsage().external;
		const before = memory();
		const at = steps();
		reader.heard.length = 0;
		reader.frames.length = 0;
		await until('and as much again', () => steps() > at / 2);
		assert.ok(memory() - before < 8 * 1024 * 1024, `it grew by ${memory() - before} bytes`);
		assert.ok(recorder.size < 100);
		page.socket.resume();
		const { dropped } = await page.next('gap');
		assert.ok(dropped > 0);
		const gap = page.heard.findIndex(({ say }) => say === 'gap');
		await page.next('tree', () => true, gap);
		assert.equal(page.heard[gap + 1]?.say, 'tree');
		const rate = end();
		// Whoever waits for a page does not come near it.
		assert.ok(rate > 1_000, `${Math.round(rate)} steps a second`);
		assert.ok(!reader.heard.some(({ say }) => say === 'gap'), 'the other page has missed nothing');
		reader.close();
		page.close();
	}));

test('while nobody looks nothing is written, and what was looked at is forgotten', () =>
	served([child('a')], async ({ address, recorder, tree }) => {
		assert.equal(recorder.listener, null);
		const page = await Page.open(address);
		assert.notEqual(recorder.listener, null);
		page.close();
		await until('nobody listens', () => recorder.listener === null);
		await tree.restart('a');
		const again = await Page.open(address);
		await again.next('tree');
		assert.equal(again.row('a')?.incarnation, 2);
		again.close();
	}));

test('measured: memory and CPU of rows on screen', () =>
	served([child('a'), child('b')], async ({ address }) => {
		const page = await Page.open(address);
		page.say({ do: 'visible', paths: ['b', 'nobody', ''] });
		const { rows } = await page.next('measured');
		assert.deepEqual(
			rows.map(({ path: childPath, memoryBytes }) => [childPath, memoryBytes]),
			[['b', 1_000]],
		);
		page.close();
	}));

test('the output of the selected child: the last lines, then what comes; a flood is thinned, and said to be', async () => {
	const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'choir-view-'));
	ensureDir(logsDir(dir));
	const file = logFile(dir, 'a');
	fs.writeFileSync(file, Array.from({ length: 300 }, (_, n) => `line ${n}\n`).join(''));
	try {
		await served(
			[child('a'), child('b')],
			async ({ address }) => {
				const page = await Page.open(address);
				page.say({ do: 'select', path: 'a' });
				const { lines } = await page.next('output');
				assert.deepEqual([lines.length, lines[0], lines.at(-1)], [200, 'line 100', 'line 299']);
				fs.appendFileSync(file, '\x1b[2J<script>alert(1)</script>\tx\n');
				const hostile = await page.next('output', (output) => output.lines.some((line) => line.includes('script')));
				assert.deepEqual(hostile.lines, ['␛[2J<script>alert(1)</script>\tx']);
				const flood = `${'y'.repeat(99)}\n`.repeat(50_000);
				fs.appendFileSync(file, flood);
				fs.appendFileSync(file, 'the end\n');
				const said = () => page.heard.flatMap((message) => (message.say === 'output' ? message : []));
				const last = await page.next('output', (output) => output.skippedBytes > 0);
				assert.ok(last.skippedBytes > 4_000_000, `${last.skippedBytes}`);
				const written = said().reduce((sum, { lines: some }) => sum + some.join('\n').length, 0);
				assert.ok(written < 1_000_000);
				const at = page.heard.length;
				fs.appendFileSync(file, 'after\n');
				await page.next('output', (output) => output.lines.includes('after'));
				page.say({ do: 'select', path: 'b' });
				await page.next('machine', (machine) => machine.path === 'b');
				fs.appendFileSync(file, 'unseen\n');
				fs.writeFileSync(logFile(dir, 'b'), 'of b\n');
				await page.next('output', (output) => output.lines.includes('of b'), at);
				assert.ok(!page.frames.some((frame) => frame.includes('unseen')));
				page.close();
			},
			{ dir },
		);
	} finally {
		fs.rmSync(dir, { recursive: true });
	}
});

test("Stately's receiver understands what it is told: machines, events, snapshots", () =>
	served([child('a'), supervisor('s', [child('s/b')])], async ({ address, tree }) => {
		const seen: StatelyInspectionEvent[] = [];
		createWebSocketReceiver({ server: `${address.replace('http', 'ws')}inspect` }).subscribe((event) => void seen.push(event));
		await until('all machines are there', () => seen.filter(({ type }) => type === '@xstate.actor').length === 4);
		const actors = seen.filter((event) => event.type === '@xstate.actor');
		assert.deepEqual(
			actors.map(({ name, sessionId, rootId, parentId }) => [name, sessionId, rootId, parentId]),
			[
				['test', 'master:', 'master:', undefined],
				['a', 'worker:a#1', 'master:', 'master:'],
				['s', 'master:s', 'master:', 'master:'],
				['s/b', 'worker:s/b#1', 'master:', 'master:s'],
			],
		);
		for (const { definition, snapshot, createdAt, _version } of actors) {
			assert.ok(Object.keys(JSON.parse(definition as string).states).includes('draining'));
			assert.equal(snapshot.status, 'active');
			assert.ok(Number(createdAt) > 0 && _version === '0.7.2');
		}
		assert.deepEqual(actors[1]?.snapshot.value, { running: 'healthy' });
		await tree.restart('a');
		const born = await until('the next incarnation', () =>
			seen.find((event) => event.sessionId === 'worker:a#2' && event.type === '@xstate.actor'),
		);
		const events = seen.filter(({ sessionId }) => sessionId === 'worker:a#1').slice(1);
		assert.deepEqual(
			events.map((event) => [event.type, 'event' in event ? event.event.type : null, 'snapshot' in event ? event.snapshot.status : null]),
			[
				['@xstate.event', 'drain', null],
				['@xstate.snapshot', 'drain', 'active'],
				['@xstate.event', 'process.exited', null],
				['@xstate.snapshot', 'process.exited', 'done'],
			],
		);
		assert.equal(born?.type, '@xstate.actor');
	}));

test('a connection that says half of what it wants is ended, and keeps nobody else from being served', () =>
	served(
		[child('a')],
		async ({ port }) => {
			const half = Array.from({ length: 40 }, () => net.connect(port, '127.0.0.1').on('error', () => {}));
			const ended = half.map((socket) => new Promise((resolve) => socket.once('close', resolve)));
			for (const socket of half) socket.write('GET / HT');
			assert.equal((await ask(`http://127.0.0.1:${port}/`)).status, 403);
			await within('all are ended', Promise.all(ended));
		},
		{ limits: { requestMs: 500 } },
	));

test('a page that does not answer is ended, and so is one that does not read for too long; one that does both stays', () =>
	served(
		[child('a', {}, { heartbeat: { everyMs: 1_000, timeoutMs: 60_000 } })],
		async ({ address, tree, launched, port }) => {
			const good = await Page.open(address);
			let over = false;
			void good.closed.then(() => (over = true));
			// A WebSocket by hand: it reads everything, and answers nothing.
			const silent = net.connect(port, '127.0.0.1');
			silent.resume();
			const silentEnded = new Promise((resolve) => silent.once('close', resolve));
			const key = 'dGhlIHNhbXBsZSBub25jZQ==';
			silent.write(
				`GET ${new URL(address).pathname}live HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${key}\r\n\r\n`,
			);
			await within('who is silent is ended', silentEnded);
			const { workerId } = launched[0] as (typeof launched)[number];
			const deaf = await Page.open(address);
			deaf.socket.pause();
			// As much as fills what the system keeps for a connection.
			const end = stepping(() => tree.tell(workerId, { type: 'heartbeat' }), 10_000);
			const from = good.frames.length;
			await until('the other page is gone from the server', async () => {
				const room = await Promise.all(Array.from({ length: 15 }, () => Page.open(address).catch(() => null)));
				for (const page of room) page?.close();
				return room.every((page) => page !== null);
			});
			end();
			assert.ok(good.frames.length > from && !over);
			good.close();
			deaf.close();
		},
		{ limits: { pingMs: 200, cloggedMs: 300 } },
	));

test('on a terminal the address is a line of choir', () => {
	const { event } = terminalLines({ colour: false });
	assert.equal(
		event({ event: 'view.open', message: 'the live page: http://127.0.0.1:1/x/' }),
		'choir ─ the live page: http://127.0.0.1:1/x/\n',
	);
});

test('the master starts without a server of pages: it is loaded when somebody comes', () => {
	const main = fs.readFileSync(new URL('../dist/src/master/main.js', import.meta.url), 'utf8');
	assert.ok(main.includes('../view/server') && !main.includes('frame-ancestors') && !main.includes('from"ws"'));
});

test.run();
