/** The command line: what it says and what it exits with, without a tree that runs. */

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import { parseDuration } from '../src/cli/duration.ts';
import { missingForRunning, type TreeStatus } from '../src/cli/facts.ts';
import { jsonLines, terminalLines } from '../src/cli/lines.ts';
import { outline } from '../src/cli/outline.ts';
import { renderStatus } from '../src/cli/status.ts';
import { serveControl } from '../src/control/server.ts';
import { angelPidFile, childOfLogFile, choirHome, listTrees, logFile, socketPath } from '../src/home.ts';
import { bootId, startTicks } from '../src/hosts/proc.ts';
import { followedSizes } from '../src/logs/sizes.ts';
import { visible, visibleJson } from '../src/logs/visible.ts';
import { until } from './support/until.ts';

const DEADLINE_MS = 30_000;
const root = fileURLToPath(new URL('..', import.meta.url));
const bin = path.join(root, 'bin/choir.js');
const printer = path.join(root, 'dist/src/cli/printer.js');

interface Ended {
	code: number | null;
	stdout: string;
	stderr: string;
}

async function inHome(run: (home: string) => Promise<void>): Promise<void> {
	const home = fs.mkdtempSync(path.join(os.tmpdir(), 'choir-cli-'));
	try {
		await run(home);
	} finally {
		fs.rmSync(home, { recursive: true });
	}
}

/** A process of what is built, with no terminal. */
function launch(file: string, args: string[], env: NodeJS.ProcessEnv) {
	const child = spawn(process.execPath, [file, ...args], {
		cwd: root,
		env: { ...process.env, NO_COLOR: '1', ...env },
		stdio: ['pipe', 'pipe', 'pipe'],
		timeout: DEADLINE_MS,
		killSignal: 'SIGKILL',
	});
	const heard = { stdout: '', stderr: '' };
	child.stdout.on('data', (chunk) => {
		heard.stdout += chunk;
	});
	child.stderr.on('data', (chunk) => {
		heard.stderr += chunk;
	});
	const ended = new Promise<Ended>((resolve) => child.once('close', (exitCode) => resolve({ code: exitCode, ...heard })));
	return { child, heard, ended };
}

function choir(home: string, ...args: string[]): Promise<Ended> {
	const { child, ended } = launch(bin, args, { CHOIR_HOME: home });
	child.stdin.end();
	return ended;
}

/** A tree whose angel is this process: it answers on angel.sock, and there is no master. */
async function pretendTree(
	home: string,
	id: string,
	facts: Partial<TreeStatus>,
	spec = `/specs/${id}.ts`,
): Promise<{ dir: string; close(): void }> {
	const dir = path.join(home, id);
	fs.mkdirSync(path.join(dir, 'logs'), { recursive: true, mode: 0o700 });
	const angel = { pid: process.pid, startTicks: startTicks(process.pid), bootId: bootId(), spec, startedAt: 'now' };
	fs.writeFileSync(angelPidFile(dir), JSON.stringify(angel));
	const running = { pid: process.pid, state: 'running' };
	const control = serveControl({
		answer: () => ({ tree: id, state: 'running', angel: running, master: running, children: [], ...facts }),
	});
	const server = net.createServer({ allowHalfOpen: true }, (socket) => control.handle(socket));
	await new Promise<void>((resolve) => server.listen(socketPath(dir, 'angel.sock'), resolve));
	return {
		dir,
		close() {
			control.close();
			server.close();
		},
	};
}

const printed = (fact: () => boolean) => until('it is printed', fact, DEADLINE_MS);

test('the home is CHOIR_HOME, else XDG_STATE_HOME, else in the home folder', () => {
	assert.equal(choirHome({ CHOIR_HOME: '/a', XDG_STATE_HOME: '/b', HOME: '/c' }), '/a');
	assert.equal(choirHome({ CHOIR_HOME: '', XDG_STATE_HOME: '/b', HOME: '/c' }), '/b/choir');
	assert.equal(choirHome({ HOME: '/c' }), '/c/.local/state/choir');
});

test('a socket path that is too long for the kernel is replaced by a short one, always the same', () => {
	assert.equal(socketPath('/short', 'angel.sock'), '/short/angel.sock');
	const long = `/${'x'.repeat(150)}`;
	assert.ok(socketPath(long, 'angel.sock').length <= 103);
	assert.equal(socketPath(long, 'angel.sock'), socketPath(long, 'angel.sock'));
	assert.notEqual(socketPath(long, 'angel.sock'), socketPath(`${long}y`, 'angel.sock'));
});

test('the name of an output file tells its child', () => {
	assert.equal(logFile('/d', 'jobs/tick.1'), '/d/logs/jobs+tick.1.log');
	assert.equal(childOfLogFile('jobs+tick.1.log'), 'jobs/tick.1');
	assert.equal(childOfLogFile('jobs+tick.1.log.1'), null);
});

test('a pid file of another process than the one that wrote it is no running tree', async () => {
	await inHome(async (home) => {
		const tree = await pretendTree(home, 'shop', {});
		assert.deepEqual(
			listTrees(home).map(({ id }) => id),
			['shop'],
		);
		for (const wrong of [{ startTicks: 1 }, { bootId: 'another' }, { pid: 'x' }]) {
			const right = { pid: process.pid, startTicks: startTicks(process.pid), bootId: bootId() };
			fs.writeFileSync(angelPidFile(tree.dir), JSON.stringify({ ...right, ...wrong }));
			assert.deepEqual(listTrees(home), []);
		}
		fs.writeFileSync(angelPidFile(tree.dir), 'torn');
		assert.deepEqual(listTrees(home), []);
		tree.close();
	});
});

for (const [text, ms] of [
	['500', 500],
	['250ms', 250],
	['10s', 10_000],
	['2m', 120_000],
	['0', 0],
	['0s', 0],
] as const) {
	test(`the duration ${text} is ${ms} ms`, () => assert.equal(parseDuration(text), ms));
}
for (const text of ['', 'soon', '5 parsecs', '-1s']) {
	test(`'${text}' is no duration`, () => assert.throws(() => parseDuration(text), /expected a duration/));
}

test('help teaches by examples', async () => {
	await inHome(async (home) => {
		const { code, stdout } = await choir(home, '--help');
		assert.equal(code, 0);
		for (const word of ['run', 'start', 'stop', 'status', 'wait', 'restart', 'logs', 'check', 'diagram'])
			assert.match(stdout, new RegExp(`choir ${word} `));
		assert.match(stdout, /Exit codes/);
	});
});

for (const args of [
	['dance'],
	['run'],
	['status', '--no-such-option'],
	['wait', '--timeout', 'soon'],
	['wait', '--for', 'tea'],
	['logs', '-n', 'x'],
	['diagram'],
	['diagram', 'tea'],
	['diagram', 'worker', 'web'],
	['diagram', 'worker', '--format', 'png'],
	['diagram', 'worker', '--json', '--format', 'svg'],
	['diagram', 'worker', '-o', 'worker.png'],
]) {
	test(`choir ${args.join(' ')}: wrong usage, 64`, async () => {
		await inHome(async (home) => {
			const { code, stdout, stderr } = await choir(home, ...args);
			assert.equal(code, 64, stderr);
			assert.equal(stdout, '');
			assert.notEqual(stderr, '');
		});
	});
}

test('a wrong word: how the command is used', async () => {
	await inHome(async (home) => {
		const { stderr } = await choir(home, 'status', '--tree', 'shop');
		assert.equal(stderr, "error: unknown option '--tree'\n(`choir status [options] [tree]`: `choir status --help` says more)\n");
	});
});

for (const [args, said] of [
	[['status'], 'no tree is running: start one with `choir start tree.ts`\n'],
	[['status', 'shop'], "no tree 'shop' is running\n"],
	[['stop'], 'no tree is running: start one with `choir start tree.ts`\n'],
	[['restart', 'web'], 'no tree is running: start one with `choir start tree.ts`\n'],
	[['wait', '--timeout', '50ms'], 'not running within 50ms:\n  no tree is running\n'],
] as const) {
	test(`choir ${args.join(' ')} where nothing runs: 1, and what to do`, async () => {
		await inHome(async (home) => assert.deepEqual(await choir(home, ...args), { code: 1, stdout: '', stderr: said }));
	});
}

test('waiting for the end of what does not run is over at once', async () => {
	await inHome(async (home) => assert.deepEqual(await choir(home, 'wait', '--for', 'dead'), { code: 0, stdout: '', stderr: '' }));
});

test('a spec that does not exist is one sentence and 78; a stack comes only with --verbose', async () => {
	await inHome(async (home) => {
		for (const command of ['run', 'start', 'check', 'diagram']) {
			assert.deepEqual(await choir(home, command, './none.ts'), { code: 78, stdout: '', stderr: './none.ts: there is no such file\n' });
		}
		assert.match((await choir(home, '--verbose', 'check', './none.ts')).stderr, /\n {4}at /);
	});
});

test('where several trees run one has to be named', async () => {
	await inHome(async (home) => {
		const trees = [await pretendTree(home, 'bar', {}), await pretendTree(home, 'foo', {})];
		assert.deepEqual(await choir(home, 'status'), { code: 64, stdout: '', stderr: 'there are several trees, say which one: bar, foo\n' });
		assert.equal(JSON.parse((await choir(home, 'status', 'foo', '--json')).stdout).tree, 'foo');
		assert.equal((await choir(home, 'status', 'shop')).stderr, "no tree 'shop' is running; running: bar, foo\n");
		for (const tree of trees) tree.close();
	});
});

test('wait says which children are missing, in which state', async () => {
	await inHome(async (home) => {
		const tree = await pretendTree(home, 'shop', {
			children: [
				{ path: 'web.1', id: 'web', kind: 'node', state: 'running' },
				{ path: 'web.2', id: 'web', kind: 'node', state: 'starting', substate: 'warming' },
				{ path: 'once', id: 'once', kind: 'command', state: 'dead', standing: 'finished' },
			],
		});
		assert.equal((await choir(home, 'wait', '--for', 'web.1=running')).code, 0);
		assert.deepEqual(await choir(home, 'wait', 'shop', '--for', 'running', '--timeout', '100ms'), {
			code: 1,
			stdout: '',
			stderr: 'not running within 100ms:\n  web.2 is starting (warming)\n',
		});
		assert.equal(
			(await choir(home, 'wait', '--for', 'web=running', '--timeout', '1ms')).stderr.split('\n')[1],
			'  web.2 is starting (warming)',
		);
		assert.equal(
			(await choir(home, 'wait', '--for', 'db=running', '--timeout', '1ms')).stderr.split('\n')[1],
			"  shop shows no child 'db'",
		);
		tree.close();
	});
});

test('status as text: aligned, nested, and why a child is down', () => {
	const now = Date.parse('2026-01-01T01:00:00Z');
	const since = '2026-01-01T00:00:00Z';
	const facts: TreeStatus = {
		tree: 'shop',
		state: 'running',
		since,
		angel: { pid: 100, state: 'running' },
		master: { pid: 101, state: 'running', incarnation: 2 },
		children: [
			{
				...{ path: 'web.1', id: 'web', kind: 'node', state: 'running', substate: 'healthy', pid: 102, incarnation: 2, restarts: 1, since },
				...{ memoryBytes: 48_000_000, cpuPercent: 0.42, lastExit: { reason: 'killed', code: null, signal: 'SIGKILL' } },
			},
			{
				...{ path: 'jobs', id: 'jobs', kind: 'supervisor', state: 'running', substate: 'steady', restarts: 0, since },
				children: [
					{
						...{ path: 'jobs/tick', id: 'tick', kind: 'command', state: 'dead', incarnation: 6, restarts: 5, standing: 'gaveUp' },
						...{ note: 'jobs/tick exited with code 1; given up', lastExit: { reason: 'crash', code: 1, signal: null } },
					},
				],
			},
		],
	};
	assert.equal(
		renderStatus(facts, { colour: false, now }),
		`shop  running for 1h
angel 100 running, master 101 running (incarnation 2)

        state          pid  inc  restarts  up   memory    cpu  last exit
web.1   running        102    2         1  1h  48.0 MB  0.4 %  killed (SIGKILL)
jobs    running                         0  1h
  tick  dead (gaveUp)         6         5                      crash (code 1)

why jobs/tick exited with code 1; given up
`,
	);
	assert.deepEqual(missingForRunning(facts), ['jobs/tick exited with code 1; given up']);
});

test('logs come from the files, also when nothing runs', async () => {
	await inHome(async (home) => {
		const dir = path.join(home, 'shop');
		fs.mkdirSync(path.join(dir, 'logs'), { recursive: true });
		fs.writeFileSync(logFile(dir, 'web.1'), 'a1\na2\n');
		fs.writeFileSync(logFile(dir, 'web.2'), 'b1\nb2\nhalf');
		fs.writeFileSync(logFile(dir, 'jobs/tick'), 'tick\n');
		fs.writeFileSync(logFile(dir, 'angel'), 'its own\n');
		assert.equal(
			(await choir(home, 'logs')).stdout,
			'jobs/tick | tick\nweb.1     | a1\nweb.1     | a2\nweb.2     | b1\nweb.2     | b2\nweb.2     | half\n',
		);
		assert.equal((await choir(home, 'logs', 'web', '-n', '1')).stdout, 'web.1 | a2\nweb.2 | half\n');
		assert.equal((await choir(home, 'logs', 'web.1')).stdout, 'a1\na2\n');
		assert.equal((await choir(home, 'logs', 'jobs', '--json')).stdout, '{"child":"jobs/tick","msg":"tick"}\n');
		assert.equal((await choir(home, 'logs', 'angel')).stdout, 'its own\n');
		assert.deepEqual(await choir(home, 'logs', 'db'), {
			code: 1,
			stdout: '',
			stderr: "shop: there is no output of 'db'; there is of angel, jobs/tick, web.1, web.2\n",
		});
	});
});

test('logs -f goes on with what comes, also from children that come later', async () => {
	await inHome(async (home) => {
		const dir = path.join(home, 'shop');
		fs.mkdirSync(path.join(dir, 'logs'), { recursive: true });
		fs.writeFileSync(logFile(dir, 'web.1'), 'old\nha');
		const { child, heard, ended } = launch(bin, ['logs', 'web', '-f'], { CHOIR_HOME: home });
		await printed(() => heard.stdout === 'web.1 | old\n');
		fs.appendFileSync(logFile(dir, 'web.1'), 'lf\n');
		fs.writeFileSync(logFile(dir, 'web.2'), 'new\n');
		await printed(() => heard.stdout.includes('web.1 | half\n') && heard.stdout.includes('web.2 | new\n'));
		child.kill('SIGKILL');
		await ended;
	});
});

test('lines on a terminal: aligned prefixes, events that look different, colours that do not leak', () => {
	const plain = terminalLines({ colour: false });
	assert.equal(plain.output('web.1', 'hello'), 'web.1 | hello\n');
	assert.equal(plain.output('jobs/tick', 'x'), 'jobs/tick | x\n');
	assert.equal(plain.output('web.1', 'hello'), 'web.1     | hello\n');
	assert.equal(plain.event({ level: 'warn', path: 'web.1', message: 'web.1 died' }), 'choir ─ web.1 died\n');
	assert.equal(plain.event({ path: 'web.1', message: 'died' }), 'choir ─ web.1: died\n');
	const coloured = terminalLines({ colour: true });
	assert.ok(coloured.output('a', 'x').includes('\x1b[36m'));
	assert.ok(terminalLines({ colour: true, raw: true }).output('a', '\x1b[31mred').endsWith('\x1b[31mred\x1b[0m\n'));
	assert.ok(coloured.event({ level: 'info', message: 'm' }).startsWith('\x1b[2m'));
});

test('what would steer a terminal is a sign to be read, in output and in events', () => {
	const hostile = 'a\tb\x1b[2J\x1b]0;mine\x07\r\x7f\u009b31m\u202eback';
	const harmless = 'a\tb␛[2J␛]0;mine␇␍␡\\u009b31m\\u202eback';
	assert.equal(visible(hostile), harmless);
	assert.equal(visible('Grüße 👩‍👩‍👧 日本'), 'Grüße 👩‍👩‍👧 日本');
	const plain = terminalLines({ colour: false });
	assert.equal(plain.output('web.1', hostile), `web.1 | ${harmless}\n`);
	assert.equal(plain.event({ message: hostile }), `choir ─ ${harmless}\n`);
	assert.deepEqual(JSON.parse(visibleJson({ hostile })), { hostile });
	assert.ok(!/[\x00-\x1f\x7f-\x9f\u202a-\u202e]/.test(visibleJson({ hostile })));
});

test('lines elsewhere: JSON as pino writes it', () => {
	const json = jsonLines(() => 7);
	assert.deepEqual(JSON.parse(json.output('web.1', 'say "hi"')), { level: 30, time: 7, child: 'web.1', msg: 'say "hi"' });
	const time = '2026-01-01T00:00:00.000Z';
	assert.deepEqual(
		JSON.parse(json.event({ time, at: 5, role: 'master', level: 'error', path: 'web.1', event: 'child.dead', message: 'm' })),
		{
			...{ level: 50, time: Date.parse(time), at: 5, role: 'master' },
			...{ event: 'child.dead', child: 'web.1', msg: 'm' },
		},
	);
});

test('the printer begins where it was told, prints what comes, ignores signals, and ends with its stdin', async () => {
	await inHome(async (home) => {
		const dir = path.join(home, 'shop');
		fs.mkdirSync(path.join(dir, 'logs'), { recursive: true });
		fs.writeFileSync(logFile(dir, 'web.1'), 'of an earlier run\n');
		fs.writeFileSync(path.join(dir, 'events.jsonl'), '{"message":"old"}\n');
		const env = { CHOIR_PRINT_FROM: JSON.stringify(followedSizes(dir)) };
		const { child, heard, ended } = launch(printer, [dir], env);
		fs.appendFileSync(logFile(dir, 'web.1'), 'now\n');
		fs.appendFileSync(path.join(dir, 'events.jsonl'), '{"level":"warn","event":"child.dead","path":"web.1","message":"web.1 died"}\n');
		await printed(() => heard.stdout.includes('now') && heard.stdout.includes('web.1 died'));
		for (const signal of ['SIGINT', 'SIGTERM', 'SIGQUIT', 'SIGHUP'] as const) child.kill(signal);
		fs.writeFileSync(logFile(dir, 'web.2'), 'late');
		child.stdin.end();
		const { code, stdout, stderr } = await ended;
		assert.deepEqual({ code, stderr }, { code: 0, stderr: '' });
		const said = stdout
			.trim()
			.split('\n')
			.map((line) => JSON.parse(line).msg)
			.sort();
		assert.deepEqual(said, ['late', 'now', 'web.1 died']);
	});
});

test('the printer holds nothing for a reader who does not read, and gives up in the end', async () => {
	await inHome(async (home) => {
		const dir = path.join(home, 'shop');
		fs.mkdirSync(path.join(dir, 'logs'), { recursive: true });
		const { child, heard, ended } = launch(printer, [dir], {});
		fs.writeFileSync(logFile(dir, 'web.1'), 'ready\n');
		await printed(() => heard.stdout.includes('ready'));
		child.stdout.pause();
		const residentMb = (): number => Number(/VmRSS:\s+(\d+)/.exec(fs.readFileSync(`/proc/${child.pid}/status`, 'utf8'))?.[1]) / 1024;
		const before = residentMb();
		for (let n = 0; n < 100; n++) fs.appendFileSync(logFile(dir, 'web.1'), `${'x'.repeat(1_000)}\n`.repeat(1_000));
		child.stdin.end();
		let most = 0;
		const measuring = setInterval(() => {
			most = Math.max(most, residentMb() || 0);
		}, 50);
		await new Promise((resolve) => child.once('exit', resolve));
		clearInterval(measuring);
		child.stdout.resume();
		assert.equal((await ended).code, 0);
		assert.ok(most - before < 30, `grew by ${Math.round(most - before)} MB`);
	});
});

test('check prints the tree of a right spec, and all that is wrong with another; nothing is started', async () => {
	await inHome(async (home) => {
		const right = path.join(home, 'right.mjs');
		const sleeper = `{ kind: 'command', id: 'nap', run: ['sleep', '60'], instances: 2 }`;
		fs.writeFileSync(right, `export default { kind: 'tree', id: 'shop', children: [${sleeper}] };`);
		const checked = await choir(home, 'check', right);
		assert.deepEqual([checked.code, checked.stderr], [0, '']);
		assert.match(checked.stdout, /^shop {3}tree, one_for_one, .*\n {2}nap {2}command × 2, sleep 60, permanent, /);
		assert.equal(JSON.parse((await choir(home, 'check', right, '--json')).stdout).tree.id, 'shop');

		const wrong = path.join(home, 'wrong.mjs');
		fs.writeFileSync(wrong, `export default { kind: 'tree', id: 'shop', children: [${sleeper}, ${sleeper}], strategie: 1 };`);
		const refused = await choir(home, 'check', wrong);
		assert.deepEqual([refused.code, refused.stdout], [78, '']);
		assert.match(refused.stderr, /^shop\.strategie: .*$/m);
		assert.match(refused.stderr, /^shop\.children\[1\].*$/m);
		assert.equal(
			JSON.parse((await choir(home, 'check', wrong, '--json')).stdout).problems.length,
			refused.stderr.trim().split('\n').length,
		);
		assert.equal(fs.existsSync(path.join(home, 'shop')), false);
	});
});

for (const [machine, format, ending] of [
	['worker', 'svg', 'svg'],
	['master', 'mermaid', 'mmd'],
	['dynamic', 'svg', 'svg'],
	['angel', 'json', 'json'],
] as const) {
	test(`choir diagram ${machine} --format ${format}: as it is in diagrams/`, async () => {
		await inHome(async (home) => {
			const stdout = fs.readFileSync(path.join(root, `diagrams/${machine}.${ending}`), 'utf8');
			assert.deepEqual(await choir(home, 'diagram', machine, '--format', format), { code: 0, stdout, stderr: '' });
		});
	});
}

const shopWithActors = `
	import { createMachine, fromPromise } from ${JSON.stringify(import.meta.resolve('xstate'))};
	const logic = createMachine({ id: 'ledger', initial: 'open', states: { open: { on: { close: { target: 'closed', guard: () => true } } }, closed: {} } });
	const { actor, command, dynamic, supervisor, tree } = await import('choir');
	console.log('this is printed when it is loaded');
	export default tree('shop', {
		children: [
			command('nap', { run: ['sleep', '60', '<&">'], instances: 2, restart: { type: 'transient', strategy: 'one_for_all' } }),
			supervisor('jobs', { strategy: 'rest_for_one', start: 'parallel', children: [actor('ledger', { logic, instances: 2 }), actor('once', { logic: fromPromise(async () => 1) })] }),
			dynamic('carts', { child: actor('cart', { logic: () => logic }) }),
		],
	});`;

test('choir diagram of a spec: in three formats, into a file or not', async () => {
	await inHome(async (home) => {
		const spec = path.join(home, 'tree.mjs');
		fs.writeFileSync(spec, shopWithActors);
		const out = (name: string) => path.join(home, name);
		const json = await choir(home, 'diagram', spec, '--json');
		assert.equal(json.code, 0);
		const { tree, supervises } = JSON.parse(json.stdout);
		assert.equal(tree, 'shop');
		assert.deepEqual(supervises.intensity, { restarts: 5, withinMs: 30_000 });
		assert.deepEqual(
			supervises.children.map(({ path, kind, instances, order, restart, takesDown }: Record<string, unknown>) => [
				...[path, kind, instances, order, restart, takesDown],
			]),
			[
				['nap', 'command', 2, 1, 'transient', 'all its siblings'],
				['jobs', 'supervisor', 1, 2, 'permanent', 'nobody'],
				['carts', 'dynamic', 1, 3, 'permanent', 'nobody'],
			],
		);
		const [, jobs, carts] = supervises.children;
		assert.deepEqual([jobs.supervises.strategy, jobs.supervises.start], ['rest_for_one', 'parallel']);
		assert.deepEqual(
			jobs.supervises.children.map(({ path, runs }: Record<string, unknown>) => [path, runs]),
			[
				['jobs/ledger', 'machine ledger'],
				['jobs/once', null],
			],
		);
		assert.equal(carts.supervises.children[0].runs, 'machine ledger');

		for (const name of ['tree.svg', 'tree.mmd', 'tree.json'])
			assert.deepEqual(await choir(home, 'diagram', spec, '-o', out(name)), {
				...{ code: 0, stdout: '' },
				stderr: `this is printed when it is loaded\nwrote ${out(name)}\n`,
			});
		assert.equal(fs.readFileSync(out('tree.json'), 'utf8'), json.stdout);
		const svg = fs.readFileSync(out('tree.svg'), 'utf8');
		for (const text of [
			'nap × 2',
			'sleep 60 &#60;&#38;&#34;&#62;',
			'one goes down: those after it go down',
			'one_for_all: it takes all its siblings',
		])
			assert.ok(svg.includes(text), text);
		assert.match(fs.readFileSync(out('tree.mmd'), 'utf8'), /^flowchart TB\n[\s\S]* ==> /);
		const chosen = await choir(home, 'diagram', spec, '-o', out('picture'), '--format', 'mermaid');
		assert.equal(chosen.code, 0);
		assert.equal(fs.readFileSync(out('picture'), 'utf8'), fs.readFileSync(out('tree.mmd'), 'utf8'));
		assert.match(
			(await choir(home, 'diagram', spec, '-o', out('none/tree.svg'))).stderr,
			/none\/tree\.svg cannot be written: there is no such folder\n$/,
		);
	});
});

test('choir diagram of an actor in a spec: its machine; of another child: what has one', async () => {
	await inHome(async (home) => {
		const spec = path.join(home, 'tree.mjs');
		fs.writeFileSync(spec, shopWithActors);
		for (const at of ['jobs/ledger', 'jobs/ledger.2', 'carts', 'carts/cart-7']) {
			const { code, stdout } = await choir(home, 'diagram', spec, at, '--format', 'mermaid');
			assert.equal(code, 0);
			assert.match(stdout, /^\topen --> closed : close \[/m);
		}
		const { states } = JSON.parse((await choir(home, 'diagram', spec, 'jobs/ledger', '--json')).stdout);
		assert.deepEqual(states, { open: { on: { close: { target: 'closed', guard: 'guard' } } }, closed: {} });
		assert.match((await choir(home, 'diagram', spec, 'jobs/ledger')).stdout, /data-from="open" data-to="closed"/);
		const ones = 'these have one: jobs/ledger, carts\n';
		for (const [at, said] of [
			['nap', `nap is a command, which has no machine of its own; ${ones}`],
			['jobs/once', `jobs/once is no XState machine that can be drawn; ${ones}`],
			['tea', `shop has no child 'tea' to draw the machine of; ${ones}`],
		] as const) {
			const { code, stdout, stderr } = await choir(home, 'diagram', spec, at);
			assert.deepEqual([code, stdout], [64, '']);
			assert.ok(stderr.endsWith(said), stderr);
		}
	});
});

test('choir diagram draws the spec of the tree that runs, and says all that is wrong with one', async () => {
	await inHome(async (home) => {
		const spec = path.join(home, 'tree.mjs');
		fs.writeFileSync(
			spec,
			`export default { kind: 'tree', id: 'shop', children: [{ kind: 'command', id: 'nap', run: ['sleep', '60'] }] };`,
		);
		const tree = await pretendTree(home, 'shop', {}, spec);
		for (const args of [[], ['shop'], [spec]])
			assert.equal(JSON.parse((await choir(home, 'diagram', ...args, '--json')).stdout).tree, 'shop');
		tree.close();
		fs.writeFileSync(spec, `export default { kind: 'tree', id: 'shop', children: [{ kind: 'command', id: 'nap' }], strategie: 1 };`);
		const { code, stdout, stderr } = await choir(home, 'diagram', spec);
		assert.deepEqual([code, stdout, stderr.trim().split('\n').length], [78, '', 2]);
	});
});

test('the outline of a tree: instances together, nested supervisors indented', () => {
	const restart = {
		...{ type: 'permanent', strategy: 'one_for_one', intensity: null, whenExhausted: 'escalate' },
		...{ backoff: { fromMs: 0, toMs: 0, resetAfterMs: 0 }, okCodes: [0], fatalCodes: [78] },
	} as const;
	const process = {
		...{ restart, live: null, heartbeat: null, stop: { drainMs: 0, terminateMs: 0 }, env: {}, envFile: null, inheritEnv: [], cwd: null },
		logs: { rotateBytes: 0, keep: 0 },
	};
	const web = (n: number) => ({
		...process,
		...{ kind: 'node' as const, id: `web.${n}`, declaredId: 'web', path: `web.${n}`, module: '/specs/web.ts', args: [], execArgv: [] },
		...{ ready: { kind: 'signal' as const, timeoutMs: 1 }, listen: [{ name: 'http', host: null, port: 8080, socketPath: null }] },
	});
	const supervisor = {
		kind: 'supervisor' as const,
		restart: { ...restart, okCodes: [0], fatalCodes: [78] },
		strategy: 'rest_for_one' as const,
	};
	const tick = {
		...process,
		...{ kind: 'command' as const, id: 'tick', declaredId: 'tick', path: 'jobs/tick', run: ['sleep', '1'], listen: [] },
		ready: { kind: 'spawned' as const, timeoutMs: 1 },
	};
	const jobs = {
		...supervisor,
		...{
			id: 'jobs',
			declaredId: 'jobs',
			path: 'jobs',
			intensity: { restarts: 3, withinMs: 10_000 },
			start: 'parallel' as const,
			children: [tick],
		},
	};
	const root = {
		...supervisor,
		...{ id: '', declaredId: '', path: '', intensity: { restarts: 5, withinMs: 30_000 }, start: 'ordered' as const },
	};
	const spec = { id: 'shop', root: { ...root, children: [web(1), web(2), jobs] }, stopTimeoutMs: 1 };
	assert.equal(
		outline(spec as unknown as Parameters<typeof outline>[0], '/specs'),
		`shop      tree, rest_for_one, 5 restarts within 30s
  web     node × 2, web.ts, permanent, one_for_one, http on 8080, ready by its own word
  jobs    supervisor, rest_for_one, 3 restarts within 10s, starts in parallel, permanent
    tick  command, sleep 1, permanent, one_for_one, ready when spawned
`,
	);
});

test.run();
