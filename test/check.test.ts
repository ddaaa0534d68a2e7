/** Declarations: what is wrong with them, all at once, and what they become. */
import * as fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { plain } from '../machines/plain.ts';
import { defaults, type NodeSpec, type SupervisorSpec, type TreeDeclaration } from '../machines/spec.ts';
import { command, node, supervisor, thread, tree } from '../src/spec/builders.ts';
import { checkSpec, parseDuration, resolveSpec } from '../src/spec/check.ts';

const web = { module: './web.ts' };
const lines = (declaration: unknown) => checkSpec(declaration).map(({ message }) => message);
/** A tree with one child: `change` is laid over a right `node`, or over a right `command`. */
const withNode = (change: object) => tree('shop', { children: [node('web', { ...web, ...change } as never)] });
const withCommand = (change: object) => tree('shop', { children: [command('cache', { run: ['true'], ...change } as never)] });
const at = 'shop.children[0]';

test('a whole tree as in the contract has no problem', () => {
	const declaration = tree('shop', {
		strategy: 'one_for_one',
		intensity: { restarts: 5, within: '30s' },
		stopTimeout: '1m',
		operations: { waiting: 10, kept: 20 },
		onAngelLoss: 'stop',
		upgradeTimeout: '1m',
		master: { heartbeat: { every: '6s' }, intensity: { restarts: 3, within: '1m' }, backoff: { from: '1s', to: '2s' } },
		children: [
			node('web', {
				module: './web.ts',
				instances: 2,
				listen: { http: 8080, admin: '127.0.0.1:8081', local: 'localhost:8082', six: '[::1]:8083', socket: 'unix:/run/web.sock' },
				ready: 'signal',
				live: { http: 'http://localhost:8080/health', status: 204, every: '5s', timeout: '1s', failures: 2 },
				heartbeat: { every: '1s', timeout: '10s' },
				restart: { type: 'permanent', strategy: 'one_for_one', backoff: { from: '200ms', to: '30s', resetAfter: '60s' } },
				stop: { drain: '60s', terminate: '5s' },
				standby: 0,
				reload: { mode: 'surge', surge: 1, soak: '2s', timeout: '1m' },
				env: { LOG_LEVEL: 'info' },
				envFile: '.env',
				inheritEnv: ['EDITOR'],
				cwd: '.',
				args: ['--fast'],
				execArgv: ['--max-old-space-size=256'],
				logs: { rotateBytes: 0, keep: 2 },
			}),
			command('cache', { run: ['redis-server', '--port', '6390'], ready: { tcp: 6390, timeout: '5s', every: 50 }, restart: 'transient' }),
			supervisor('jobs', {
				strategy: 'rest_for_one',
				start: 'parallel',
				children: [
					node('web', { ...web, heartbeat: 0, inheritEnv: true, ready: { signal: true }, stop: { drain: 0 } }),
					command('a', { run: ['a', ''], ready: { output: /up/i }, restart: { backoff: 0, okCodes: [0, 1], fatalCodes: [] } }),
					command('b', {
						run: ['b'],
						ready: { exec: ['test', '-f', 'x'] },
						live: { tcp: 'localhost:1' },
						restart: { whenExhausted: 'keepTrying' },
					}),
					command('c', { run: ['c'], ready: { after: '2s' }, live: { exec: ['true'] } }),
				],
			}),
		],
	});
	assert.equal(lines(declaration), []);
});

const wrong: Array<[what: string, declaration: unknown, line: string]> = [
	['no tree', null, 'tree: expected tree(…), got null'],
	['a text', 'shop', "tree: expected tree(…), got 'shop'"],
	['a function', () => tree('shop', { children: [] }), 'tree: expected tree(…), got a function'],
	['a promise', Promise.resolve(), 'tree: expected tree(…), got a Promise'],
	['a supervisor in place of a tree', supervisor('jobs', { children: [] }), 'jobs: expected tree(…), got { kind, id, children }'],
	[
		'a bad name of a tree',
		tree('My Shop', { children: [] }),
		"tree.id: expected an id of lower-case letters, digits, - and _, got 'My Shop'",
	],
	['no children', { kind: 'tree', id: 'shop' }, 'shop.children: expected a list of children, got nothing'],
	['children that are no list', tree('shop', { children: {} as never }), 'shop.children: expected a list of children, got an empty object'],
	[
		'a child of no kind',
		tree('shop', { children: [{ id: 'web' } as never] }),
		`${at}.kind: expected node(…), command(…), thread(…), actor(…), supervisor(…) or dynamic(…), got nothing`,
	],
	[
		'a child that is a text',
		tree('shop', { children: ['web' as never] }),
		`${at}: expected node(…), command(…), thread(…), actor(…), supervisor(…) or dynamic(…), got 'web'`,
	],
	[
		'a thread',
		tree('shop', { children: [{ kind: 'thread', id: 'hasher', module: 'x', modul: 'y' } as never] }),
		`${at}.modul: expected a known key (did you mean 'module'?), got 'modul'`,
	],
	[
		'a thread whose heap is too small to begin in',
		tree('shop', { children: [thread('hasher', { module: 'x', resourceLimits: { maxOldGenerationSizeMb: 2 } })] }),
		`${at}.resourceLimits.maxOldGenerationSizeMb: expected a whole number from 8 to 1000000, got 2`,
	],
	[
		'an actor',
		tree('shop', { children: [{ kind: 'actor', id: 'ledger' } as never] }),
		`${at}.logic: expected XState actor logic, such as a machine, got nothing`,
	],
	['a near miss of a key', withNode({ instnces: 2 }), `${at}.instnces: expected a known key (did you mean 'instances'?), got 'instnces'`],
	['a key in other case', withNode({ stop: { Drain: 0 } }), `${at}.stop.Drain: expected a known key (did you mean 'drain'?), got 'Drain'`],
	['a key of nowhere', withNode({ stop: { xyzzyxy: 0 } }), `${at}.stop.xyzzyxy: expected one of drain, terminate, got 'xyzzyxy'`],
	['a key that is no word', withNode({ stop: { 'a\nb': 0 } }), `${at}.stop['a\\nb']: expected one of drain, terminate, got 'a\\nb'`],
	[
		'an id with a dot',
		tree('shop', { children: [node('web.1', web)] }),
		`${at}.id: expected an id of lower-case letters, digits, - and _, got 'web.1'`,
	],
	[
		'an id twice',
		tree('shop', { children: [node('web', web), command('web', { run: ['x'] })] }),
		"shop.children[1].id: expected an id that no sibling has, got 'web', which shop.children[0] has",
	],
	[
		'an id whose output would be choir’s own',
		tree('shop', { children: [node('angel', web)] }),
		`${at}.id: expected an id other than 'angel' and 'master', whose output is choir's own, got 'angel'`,
	],
	[
		'a path that is no name of a file',
		tree('shop', { children: [node('x'.repeat(201), web)] }),
		`${at}.id: expected at most 200 characters in the path of a child, got 201`,
	],
	[
		'no module',
		tree('shop', { children: [node('web', {} as never)] }),
		`${at}.module: expected the file of a module, such as './web.ts', got nothing`,
	],
	['an empty module', withNode({ module: '' }), `${at}.module: expected a text that is not empty, got ''`],
	[
		'nothing to run',
		withCommand({ run: [] }),
		`${at}.run: expected a program and its arguments, such as ['redis-server', '--port', '6390'], got an empty list`,
	],
	['an empty program', withCommand({ run: [''] }), `${at}.run[0]: expected a text that is not empty, got ''`],
	['a number among the arguments', withCommand({ run: ['x', 1] }), `${at}.run[1]: expected a text, got 1`],
	['0 instances', withNode({ instances: 0 }), `${at}.instances: expected a whole number from 1 to 1000, got 0`],
	['half an instance', withNode({ instances: 1.5 }), `${at}.instances: expected a whole number from 1 to 1000, got 1.5`],
	['NaN instances', withNode({ instances: Number.NaN }), `${at}.instances: expected a whole number from 1 to 1000, got NaN`],
	[
		'a duration of no unit known',
		withNode({ stop: { drain: '5 parsecs' } }),
		`${at}.stop.drain: expected a duration such as '5s' or milliseconds, got '5 parsecs'`,
	],
	[
		'a duration without unit',
		withNode({ stop: { drain: '5' } }),
		`${at}.stop.drain: expected a duration such as '5s' or milliseconds, got '5'`,
	],
	['a negative duration', withNode({ stop: { drain: -1 } }), `${at}.stop.drain: expected a duration such as '5s' or milliseconds, got -1`],
	['half a millisecond', withNode({ stop: { drain: 0.5 } }), `${at}.stop.drain: expected a duration such as '5s' or milliseconds, got 0.5`],
	[
		'an infinite duration',
		withNode({ stop: { drain: Infinity } }),
		`${at}.stop.drain: expected a duration such as '5s' or milliseconds, got Infinity`,
	],
	['a month', withNode({ stop: { drain: '30d' } }), `${at}.stop.drain: expected a duration of at most 24 days, got '30d'`],
	[
		'a kill at once',
		withNode({ stop: { terminate: 0 } }),
		`${at}.stop.terminate: expected a duration above 0, such as '5s' (each wait needs a limit), got 0`,
	],
	[
		'a wait for ever',
		withCommand({ ready: { tcp: 1, timeout: 0 } }),
		`${at}.ready.timeout: expected a duration above 0, such as '5s' (each wait needs a limit), got 0`,
	],
	[
		'a window that a child leaves at once',
		withNode({ restart: { backoff: { resetAfter: '0s' } } }),
		`${at}.restart.backoff.resetAfter: expected a duration above 0, such as '5s' (each wait needs a limit), got '0s'`,
	],
	[
		'a backoff that is one wait',
		withNode({ restart: { backoff: '200ms' } }),
		`${at}.restart.backoff: expected 0 or { from, to, resetAfter }, got '200ms'`,
	],
	['no heartbeat, by another word', withNode({ heartbeat: false }), `${at}.heartbeat: expected 0 or { every, timeout }, got false`],
	[
		'backoff from above to',
		withNode({ restart: { backoff: { from: '2s', to: '1s' } } }),
		`${at}.restart.backoff.to: expected at least the first wait ('2s'), got '1s'`,
	],
	[
		'keepTrying without a wait',
		withNode({ restart: { whenExhausted: 'keepTrying', backoff: 0 } }),
		`${at}.restart.backoff: expected a longest wait 'to' above 0, at which keepTrying goes on, got 0`,
	],
	[
		'a restart type',
		withNode({ restart: 'permanet' }),
		`${at}.restart: expected 'permanent', 'transient' or 'temporary' (did you mean 'permanent'?), got 'permanet'`,
	],
	[
		'a strategy',
		tree('shop', { strategy: 'simple' as never, children: [] }),
		"shop.strategy: expected 'one_for_one', 'one_for_all' or 'rest_for_one', got 'simple'",
	],
	[
		'an intensity without window',
		tree('shop', { intensity: { restarts: 1 } as never, children: [] }),
		"shop.intensity.within: expected a duration such as '30s', got nothing",
	],
	['an exit code', withNode({ restart: { okCodes: [256] } }), `${at}.restart.okCodes[0]: expected a whole number from 0 to 255, got 256`],
	[
		'a heartbeat whose limit is one beat',
		withNode({ heartbeat: { every: '5s', timeout: '9s' } }),
		`${at}.heartbeat.timeout: expected at least twice 'every' (5000 ms), so that one late beat is no death, got 9000 ms`,
	],
	['a heartbeat of a command', withCommand({ heartbeat: 0 }), ''],
	[
		'a command that signals',
		withCommand({ ready: 'signal' }),
		`${at}.ready: expected 'spawned', { tcp }, { http }, { output }, { exec } or { after } for a command, got 'signal', which only a node worker can give`,
	],
	[
		'a command that signals, spelled out',
		withCommand({ ready: { signal: true } }),
		`${at}.ready: expected 'spawned', { tcp }, { http }, { output }, { exec } or { after } for a command, got 'signal', which only a node worker can give`,
	],
	[
		'no kind of readiness',
		withNode({ ready: {} }),
		`${at}.ready: expected 'spawned', 'signal', { tcp }, { http }, { output }, { exec } or { after }, got an empty object`,
	],
	['a text in place of a pattern', withCommand({ ready: { output: 'up' } }), `${at}.ready.output: expected a regular expression, got 'up'`],
	[
		'a pattern that remembers',
		withCommand({ ready: { output: /up/g } }),
		`${at}.ready.output: expected a regular expression without the g and y flags, got /up/g`,
	],
	['two probes', withCommand({ ready: { tcp: 1, http: 'http://x' } }), `${at}.ready: expected one kind of probe, got tcp and http`],
	['a probe of port 0', withCommand({ ready: { tcp: 0 } }), `${at}.ready.tcp: expected a port from 1 to 65535 or 'host:port', got 0`],
	[
		'an address that is none',
		withCommand({ ready: { http: 'http://%' } }),
		`${at}.ready.http: expected a URL such as 'http://localhost:8080/health', got 'http://%'`,
	],
	[
		'readiness after its own limit',
		withCommand({ ready: { after: '1m' } }),
		`${at}.ready.after: expected less than its timeout (30000 ms), got 60000 ms`,
	],
	['a probe of no kind', withNode({ live: { every: '1s' } }), `${at}.live: expected { tcp }, { http } or { exec }, got { every }`],
	['a way to reload', withNode({ reload: 'sruge' }), `${at}.reload: expected 'surge' or 'restart' (did you mean 'surge'?), got 'sruge'`],
	['a surge of none', withNode({ reload: { surge: 0 } }), `${at}.reload.surge: expected a whole number from 1 to 1000, got 0`],
	['a half standby', withNode({ listen: { http: 80 }, standby: 0.5 }), `${at}.standby: expected a whole number from 0 to 100, got 0.5`],
	[
		'a standby that would work at once',
		withNode({ standby: 1 }),
		`${at}.standby: expected 0 without 'listen' or ready: 'signal': a spare would do its work at once, got 1`,
	],
	[
		'a standby of a command',
		withCommand({ standby: 1 }),
		`${at}.standby: expected 0 for a command: only a node worker can be loaded ahead of its work and told to begin, got 1`,
	],
	['a number in env', withNode({ env: { PORT: 80 } }), `${at}.env.PORT: expected a text, got 80`],
	[
		'a name in env that is choir’s',
		withNode({ env: { CHOIR_TREE: '' } }),
		`${at}.env.CHOIR_TREE: expected a name without = that does not begin with CHOIR_, got 'CHOIR_TREE'`,
	],
	[
		'a port out of range',
		withNode({ listen: { http: 65_536 } }),
		`${at}.listen.http: expected a port from 1 to 65535, 'host:port' or 'unix:/path', got 65536`,
	],
	[
		'a port as text',
		withNode({ listen: { http: '8080' } }),
		`${at}.listen.http: expected a port from 1 to 65535, 'host:port' or 'unix:/path', got '8080'`,
	],
	[
		'a name of a host, which no socket can be bound to',
		withNode({ listen: { http: 'example.org:80' } }),
		`${at}.listen.http: expected an IP address or 'localhost' before the port, or the port alone for all addresses, got 'example.org:80'`,
	],
	[
		'a relative socket',
		withNode({ listen: { http: 'unix:web.sock' } }),
		`${at}.listen.http: expected a port from 1 to 65535, 'host:port' or 'unix:/path', got 'unix:web.sock'`,
	],
	[
		'a name of a socket',
		withNode({ listen: { 'a:b': 80 } }),
		`${at}.listen['a:b']: expected a name of letters, digits, - and _, got 'a:b'`,
	],
	[
		'a way to accept',
		withNode({ listen: { http: 80 }, accept: 'slot' }),
		`${at}.accept: expected 'shared', 'slots' or 'token' (did you mean 'slots'?), got 'slot'`,
	],
	[
		'turns of a command',
		withCommand({ listen: { http: 80 }, accept: { mode: 'token' } }),
		`${at}.accept: expected 'shared' or 'slots' for a command: only a node worker can be told when it is its turn, got 'token'`,
	],
	[
		'turns of no length',
		withNode({ listen: { http: 80 }, accept: { mode: 'token', quantum: '1ms' } }),
		`${at}.accept.quantum: expected at least 5 ms, got 1 ms`,
	],
	[
		'a quantum of what has no turns',
		withNode({ listen: { http: 80 }, accept: { mode: 'slots', quantum: '1s' } }),
		`${at}.accept.quantum: expected nothing without mode: 'token', got '1s'`,
	],
	['a way to accept nothing', withNode({ accept: 'slots' }), `${at}.accept: expected nothing without 'listen', got 'slots'`],
	[
		'a port claimed twice in one child',
		withNode({ listen: { http: 80, admin: '127.0.0.1:80' } }),
		`${at}.listen.admin: expected an address that nobody else claims, got '127.0.0.1:80', which ${at}.listen.http claims`,
	],
	[
		'a port claimed twice anywhere',
		tree('shop', {
			children: [
				node('web', { ...web, listen: { http: '127.0.0.1:80' } }),
				supervisor('jobs', { children: [node('web', { ...web, listen: { http: '0.0.0.0:80' } })] }),
			],
		}),
		`shop.children[1].children[0].listen.http: expected an address that nobody else claims, got '0.0.0.0:80', which ${at}.listen.http claims`,
	],
	[
		'a transient supervisor (a warning)',
		tree('shop', { children: [supervisor('jobs', { restart: 'transient', children: [] })] }),
		`${at}.restart: expected a permanent supervisor: one that gives up is otherwise gone for good, with its children, got 'transient'`,
	],
	[
		'waits that outlast the window (a warning)',
		withNode({ restart: { backoff: { from: '10s', to: '10s' } } }),
		`${at}.restart: expected a window longer than the waits between its restarts (up to 50000 ms), else the limit may never be reached, got 5 restarts within 30000 ms`,
	],
	[
		'the same of the master (a warning)',
		tree('shop', { master: { backoff: { from: '20s' } }, children: [] }),
		'shop.master: expected a window longer than the waits between its restarts (up to 100000 ms), else the limit may never be reached, got 5 restarts within 60000 ms',
	],
];
for (const [what, declaration, line] of wrong) {
	test(`one line for ${what}`, () => {
		const found = lines(declaration);
		assert.is(found.length, 1, found.join('\n'));
		if (line !== '') assert.is(found[0], line);
	});
}

test('warnings keep nothing from starting', () => {
	const severities = (declaration: unknown) => checkSpec(declaration).map(({ severity }) => severity);
	assert.equal(severities(tree('shop', { children: [supervisor('jobs', { restart: 'temporary', children: [] })] })), ['warning']);
	assert.equal(severities(withNode({ restart: { intensity: { restarts: 3, within: '1s' } } })), []);
	assert.equal(severities(withNode({ restart: { intensity: { restarts: 3, within: '500ms' } } })), ['warning']);
	assert.equal(severities(withNode({ restart: { type: 'temporary', backoff: { from: '1h' } } })), []);
	assert.equal(severities(withNode({ instances: -1 })), ['error']);
});

test('a probed port is not claimed, and the same port on two addresses is two', () => {
	const children = [
		command('a', { run: ['a'], listen: { x: '127.0.0.1:80' }, ready: { tcp: 80 } }),
		command('b', { run: ['b'], listen: { x: '127.0.0.2:80' }, ready: { tcp: 80 }, live: { tcp: 80 } }),
	];
	assert.equal(lines(tree('shop', { children })), []);
});

test('ten mistakes are ten lines, each with its place', () => {
	const declaration = {
		kind: 'tree',
		id: 'shop',
		strategy: 'one_for_two',
		children: [
			{ kind: 'node', id: 'web', module: 7, instnces: 2, listen: { http: 99_999 } },
			{ kind: 'command', id: 'web', run: [] },
			{ kind: 'command', id: 'Cache', run: ['x'], ready: 'signal', stop: { drain: '5 parsecs' } },
			{ kind: 'supervisor', id: 'jobs', children: [{ kind: 'actorr', id: 'ledger' }] },
		],
	};
	assert.equal(
		checkSpec(declaration).map(({ path }) => path),
		[
			'shop.strategy',
			'shop.children[0].module',
			'shop.children[0].instnces',
			'shop.children[0].listen.http',
			'shop.children[1].run',
			'shop.children[1].id',
			'shop.children[2].id',
			'shop.children[2].ready',
			'shop.children[2].stop.drain',
			'shop.children[3].children[0].kind',
		],
	);
});

test('a declaration that holds itself, over and over, is answered at once', () => {
	const jobs: Record<string, unknown> = { kind: 'supervisor', id: 'jobs' };
	jobs.children = [jobs, jobs];
	assert.ok(lines(tree('shop', { children: [jobs as never] })).some((line) => line.endsWith('got something that holds itself')));
	let nest: object = { kind: 'node', id: 'a', module: 'x' };
	for (let depth = 0; depth < 60; depth++) nest = { kind: 'supervisor', id: `s${depth}`, children: [nest, nest] };
	assert.ok(lines(tree('shop', { children: [nest as never] })).length > 0);
	assert.ok(lines(tree('shop', { children: new Array(2 ** 32 - 1) })).length === 1);
});

test('what cannot be read is a problem of its own place', () => {
	const revoked = Proxy.revocable({}, {});
	revoked.revoke();
	const child = {
		kind: 'node',
		id: 'web',
		get module(): string {
			throw { toString: 'no' };
		},
		env: revoked.proxy,
	};
	assert.equal(lines(tree('shop', { children: [child as never] })), [
		`${at}.module: expected a text that is not empty, got something that cannot be read`,
		`${at}.env: expected { NAME: text }, got something that cannot be read`,
	]);
	assert.equal(lines(revoked.proxy), ['tree: expected tree(…), got something that cannot be read']);
	assert.is(({} as { polluted?: unknown }).polluted, undefined);
	plain(JSON.parse('{"__proto__": {"polluted": 1}}'));
	assert.is(({} as { polluted?: unknown }).polluted, undefined);
});

/** Right places, strange things in them. */
const strange = fc.oneof(
	fc.anything({ withBigInt: true, withDate: true, withMap: true, withNullPrototype: true, withObjectString: true, withSparseArray: true }),
	fc.constantFrom(
		/x/g,
		() => 1,
		Symbol('x'),
		new Proxy(
			{},
			{
				ownKeys: () => {
					throw new Error('no');
				},
			},
		),
		'5s',
		0,
		-1,
		'signal',
		{ tcp: 1 },
	),
);
const keys = [
	'module',
	'run',
	'instances',
	'listen',
	'ready',
	'live',
	'restart',
	'stop',
	'env',
	'heartbeat',
	'logs',
	'children',
	'intensity',
	'id',
];
const strangeChild = fc
	.tuple(
		fc.constantFrom('node', 'command', 'supervisor', 'thread', 'actor', 'dynamic', 'x'),
		fc.dictionary(fc.constantFrom(...keys), strange),
	)
	.map(([kind, rest]) => ({ kind, id: 'a', ...rest }));
const strangeTree = fc
	.tuple(
		fc.array(fc.oneof(strangeChild, strange), { maxLength: 4 }),
		fc.dictionary(fc.constantFrom('id', 'master', 'intensity', 'stopTimeout', 'onAngelLoss', 'x\ny'), strange),
	)
	.map(([children, rest]) => ({ kind: 'tree', id: 'shop', children, ...rest }));

test('it never throws, answers a line a problem, and what it lets pass can be resolved', () => {
	fc.assert(
		fc.property(fc.oneof(strange, strangeTree), (declaration) => {
			const problems = checkSpec(declaration);
			for (const { path, expected, got, message } of problems) {
				assert.is(message, `${path}: expected ${expected}, got ${got}`);
				assert.not.match(message, /[\r\n]/);
			}
			if (problems.every(({ severity }) => severity === 'warning')) JSON.stringify(resolveSpec(declaration as TreeDeclaration));
		}),
		{ numRuns: 3_000 },
	);
});

const durations: Array<[text: string, ms: number | undefined]> = [
	['250ms', 250],
	['5s', 5_000],
	['5 s', 5_000],
	['2m', 120_000],
	['1.5h', 5_400_000],
	['1.1s', 1_100],
	['0s', 0],
	['0.5ms', undefined],
	['5', undefined],
	['', undefined],
	['s', undefined],
	['-5s', undefined],
	['5 parsecs', undefined],
	['5s5s', undefined],
	[`${'1'.repeat(100_000)}x`, undefined],
];
for (const [text, ms] of durations) test(`'${text.slice(0, 20)}' is ${ms} ms`, () => assert.is(parseDuration(text), ms));

test('a spec is a declaration with its defaults', () => {
	const { root, stopTimeoutMs, onAngelLoss, master } = resolveSpec(
		tree('shop', { children: [node('web', web), command('cache', { run: ['x'] })] }),
	);
	assert.is(stopTimeoutMs, 120_000);
	assert.is(onAngelLoss, 'keep');
	assert.equal(master, defaults.master);
	assert.equal(root.children[0], {
		kind: 'node',
		id: 'web',
		declaredId: 'web',
		path: 'web',
		module: './web.ts',
		args: [],
		execArgv: [],
		restart: {
			type: 'permanent',
			significant: false,
			strategy: 'one_for_one',
			intensity: null,
			whenExhausted: 'escalate',
			backoff: { fromMs: 100, toMs: 1_000, resetAfterMs: 30_000 },
			okCodes: [0],
			fatalCodes: [78],
		},
		ready: { kind: 'spawned', timeoutMs: 30_000 },
		live: null,
		heartbeat: { everyMs: 1_000, timeoutMs: 10_000 },
		stop: { drainMs: 60_000, terminateMs: 5_000 },
		listen: [],
		env: {},
		envFile: null,
		inheritEnv: [],
		cwd: null,
		logs: { rotateBytes: 10_485_760, keep: 5 },
		reload: { mode: 'restart', surge: null, soakMs: 1_000, timeoutMs: null },
		standby: 0,
		quantumMs: null,
	});
	const { heartbeat, stop } = root.children[1] as NodeSpec;
	assert.equal({ heartbeat, stop }, { heartbeat: null, stop: { drainMs: 0, terminateMs: 10_000 } });
});

test('instances have numbers, one that is declared as one as well', () => {
	const children = [
		node('web', { ...web, instances: 2 }),
		supervisor('jobs', { children: [node('one', { ...web, instances: 1 }), node('plain', web)] }),
	];
	const { root } = resolveSpec(tree('shop', { children }));
	assert.equal(
		root.children.map(({ path, declaredId }) => [path, declaredId]),
		[
			['web.1', 'web'],
			['web.2', 'web'],
			['jobs', 'jobs'],
		],
	);
	assert.equal(
		(root.children[2] as SupervisorSpec).children.map(({ path }) => path),
		['jobs/one.1', 'jobs/plain'],
	);
});

test('a child takes its strategy, and a budget of its own if it does not escalate, from its supervisor', () => {
	const children = [
		node('a', { ...web, restart: 'transient' }),
		node('b', { ...web, restart: { strategy: 'one_for_one', whenExhausted: 'giveUp' } }),
		node('c', { ...web, restart: { intensity: { restarts: 1, within: 10 } } }),
	];
	const [jobs] = resolveSpec(
		tree('shop', { children: [supervisor('jobs', { strategy: 'rest_for_one', intensity: { restarts: 9, within: '9s' }, children })] }),
	).root.children as [SupervisorSpec];
	assert.is(jobs.restart.strategy, 'one_for_one');
	assert.equal(jobs.restart.backoff, defaults.backoff);
	assert.equal(
		jobs.children.map(({ restart: { type, strategy, intensity } }) => [type, strategy, intensity]),
		[
			['transient', 'rest_for_one', null],
			['permanent', 'one_for_one', { restarts: 9, withinMs: 9_000 }],
			['permanent', 'rest_for_one', { restarts: 1, withinMs: 10 }],
		],
	);
});

const readiness: Array<[what: string, declared: object, ready: object]> = [
	['a server says so', { listen: { http: 80 } }, { kind: 'signal', timeoutMs: 30_000 }],
	[
		'a port here',
		{ ready: { tcp: 6390 } },
		{ kind: 'probe', probe: { kind: 'tcp', host: '127.0.0.1', port: 6390 }, everyMs: 100, timeoutMs: 30_000 },
	],
	[
		'a port there',
		{ ready: { tcp: '[::1]:1', every: '1s' } },
		{ kind: 'probe', probe: { kind: 'tcp', host: '::1', port: 1 }, everyMs: 1_000, timeoutMs: 30_000 },
	],
	[
		'a page',
		{ ready: { http: 'http://x/', timeout: '1s' } },
		{ kind: 'probe', probe: { kind: 'http', url: 'http://x/', status: null }, everyMs: 100, timeoutMs: 1_000 },
	],
	['an output', { ready: { output: /a\/b/i } }, { kind: 'output', pattern: 'a\\/b', regexFlags: 'i', timeoutMs: 30_000 }],
	['a time', { ready: { after: '2s' } }, { kind: 'after', afterMs: 2_000, timeoutMs: 30_000 }],
];
for (const [what, declared, ready] of readiness)
	test(`readiness by ${what}`, () => assert.equal((resolveSpec(withNode(declared)).root.children[0] as NodeSpec).ready, ready));

test('addresses to listen on', () => {
	const listen = { all: 80, local: 'localhost:81', six: '[::1]:82', file: 'unix:/run/a.sock' };
	assert.equal((resolveSpec(withNode({ listen })).root.children[0] as NodeSpec).listen, [
		{ name: 'all', host: null, port: 80, socketPath: null, slots: 1 },
		{ name: 'local', host: '127.0.0.1', port: 81, socketPath: null, slots: 1 },
		{ name: 'six', host: '::1', port: 82, socketPath: null, slots: 1 },
		{ name: 'file', host: null, port: null, socketPath: '/run/a.sock', slots: 1 },
	]);
});

const accepting: Array<[what: string, declared: Record<string, unknown>, slots: number[]]> = [
	['a socket for each instance of a node', { instances: 3 }, [3, 1]],
	['one for all, if that is wished', { instances: 3, accept: 'shared' }, [1, 1]],
	['one for one', { accept: 'slots' }, [1, 1]],
];
for (const [what, declared, slots] of accepting) {
	test(`sockets: ${what}; of a unix socket there is one`, () => {
		const listen = { http: 80, file: 'unix:/run/a.sock' };
		const { children } = resolveSpec(withNode({ listen, ...declared })).root;
		for (const child of children) {
			const found = (child as NodeSpec).listen;
			assert.equal(
				found.map((each) => each.slots),
				slots,
			);
		}
	});
}

test.run();
