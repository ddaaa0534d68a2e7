/** `choir top` and `status --watch`: the board as values, then on a real terminal. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import pc from 'picocolors';
import { test } from 'uvu';
import { type Board, frame, hear, learn, newBoard, press, type Wish } from '../src/cli/board.ts';
import type { ChildStatus, TreeStatus } from '../src/cli/facts.ts';
import type { Key } from '../src/cli/screen.ts';
import { withTree } from './support/real.ts';
import { until, within } from './support/until.ts';

const size = { rows: 12, columns: 80 };
const now = Date.parse('2026-01-01T00:01:00.000Z');

const child = (path: string, rest: Partial<ChildStatus> = {}): ChildStatus => ({
	path,
	id: path,
	kind: 'node',
	state: 'running',
	restarts: 0,
	incarnation: 1,
	since: '2026-01-01T00:00:00.000Z',
	...rest,
});
const facts = (children: ChildStatus[]): TreeStatus => ({
	tree: 'shop',
	state: 'running',
	angel: { pid: 1, state: 'running' },
	master: { pid: 2, state: 'running' },
	children,
});
const shop = facts([
	child('web.1', { memoryBytes: 5e6, cpuPercent: 1, restarts: 2 }),
	child('web.2', { memoryBytes: 9e6, cpuPercent: 0, since: '2026-01-01T00:00:30.000Z' }),
	child('jobs', { kind: 'supervisor', children: [child('jobs/sweep', { cpuPercent: 7, state: 'dead', note: 'jobs/sweep gave up' })] }),
	child('clock', { memoryBytes: 1e6 }),
]);

const key = (typed: string): Key =>
	typed.length === 1 ? { name: typed.toLowerCase(), text: typed, ctrl: false } : { name: typed, text: '', ctrl: false };

/** The board after some keys, and what they asked for. */
function after(board: Board, ...keys: string[]): { board: Board; wishes: Wish[] } {
	const wishes: Wish[] = [];
	for (const typed of keys) {
		const [next, wish] = press(board, key(typed), size);
		board = next;
		if (wish !== undefined) wishes.push(wish);
	}
	return { board, wishes };
}

const lines = (board: Board) => frame(board, { size, paint: pc.createColors(false), now });
/** The names in the table. */
const names = (board: Board) =>
	lines(board)
		.slice(4, -2)
		.filter((line) => line !== '')
		.map((line) => line.slice(0, line.search(/\S {2,}\S/) + 1));

const start = learn(newBoard('tree'), shop);

test('the tree in its order, the first one chosen', () => {
	assert.deepEqual(names(start), ['› web.1', '  web.2', '  ▾ jobs', '    sweep', '  clock']);
	assert.equal(lines(start)[2], '4 children: 3 running, 1 dead');
	assert.equal(lines(start).length, size.rows);
});

for (const [what, keys, expected] of [
	['down, down, up', ['down', 'j', 'k'], 'web.2'],
	['not beyond the end', ['end', 'down'], 'clock'],
	['not beyond the beginning', ['end', 'home', 'up'], 'web.1'],
	['a page', ['pagedown'], 'clock'],
] as const)
	test(`choosing: ${what}`, () => assert.equal(after(start, ...keys).board.selected, expected));

test('a supervisor is folded and unfolded; what it hides is found by a filter', () => {
	const folded = after(start, 'j', 'j', 'left').board;
	assert.deepEqual(names(folded), ['  web.1', '  web.2', '› ▸ jobs', '  clock']);
	assert.deepEqual(names(after(folded, '/', 's', 'w').board), ['› ▾ jobs', '    sweep']);
	assert.deepEqual(names(after(folded, 'right').board), names(after(start, 'j', 'j').board));
});

for (const [sort, expected] of [
	['cpu', ['jobs/sweep', 'web.1', 'web.2', 'clock']],
	['memory', ['web.2', 'web.1', 'clock', 'jobs/sweep']],
	['restarts', ['web.1', 'clock', 'jobs/sweep', 'web.2']],
	['up', ['clock', 'web.1', 'web.2', 'jobs/sweep']],
	['name', ['clock', 'jobs/sweep', 'web.1', 'web.2']],
] as const)
	test(`sorted by ${sort}: whole paths, no supervisors`, () => {
		const board = learn(newBoard(sort), shop);
		const shown = names(board).map((name) => name.slice(2));
		assert.deepEqual(shown, expected);
		assert.match(lines(board)[2] as string, new RegExp(`sorted by ${sort}$`));
	});

test('s goes through the orders, S back, and the chosen one stays chosen', () => {
	const { board } = after(start, 'end', 's', 's', 's', 'S');
	assert.equal(board.sort, 'memory');
	assert.equal(board.selected, 'clock');
});

test('a restart is asked for after a yes only', () => {
	assert.deepEqual(after(start, 'j', 'r', 'n').wishes, []);
	assert.deepEqual(after(start, 'j', 'r', 'return').wishes, []);
	const { board, wishes } = after(start, 'j', 'r', 'y');
	assert.deepEqual(wishes, [{ do: 'restart', path: 'web.2' }]);
	assert.equal(lines(board).at(-1), 'restarting web.2 …');
});

test('why a child is down is said when it is chosen', () => {
	assert.equal(lines(after(start, 'j', 'j', 'j').board).at(-2), 'why jobs/sweep gave up');
});

test('output follows until somebody reads further up, and steers nothing', () => {
	const { board, wishes } = after(start, 'l');
	assert.deepEqual(wishes, [{ do: 'openOutput', path: 'web.1' }]);
	const some = Array.from({ length: 20 }, (_, n) => `line ${n}`);
	const read = hear(board, 'web.1', [...some, '\x1b[2J\x1b]0;mine\x07']);
	assert.equal(lines(read).at(-2), '␛[2J␛]0;mine␇');
	const above = after(read, 'k', 'k').board;
	assert.equal(lines(above).at(-2), 'line 18');
	assert.equal(lines(hear(above, 'web.1', ['more', 'and more'])).at(-2), 'line 18');
	assert.equal(lines(hear(after(above, 'end').board, 'web.1', ['more'])).at(-2), 'more');
	assert.equal(hear(read, 'web.2', ['of another']), read);
	assert.deepEqual(after(read, 'q').wishes, [{ do: 'closeOutput' }]);
});

test('output is bounded', () => {
	const { board } = after(start, 'l');
	const read = hear(
		board,
		'web.1',
		Array.from({ length: 5_000 }, (_, n) => String(n)),
	);
	assert.equal(read.output?.lines.length, 2_000);
	assert.equal(read.output?.lines.at(-1), '4999');
});

test('with more children than rows the chosen one is on the screen', () => {
	const many = learn(newBoard('tree'), facts(Array.from({ length: 1_000 }, (_, n) => child(`c${n}`))));
	assert.ok(names(after(many, 'end').board).includes('› c999'));
	assert.ok(names(after(many, 'end', 'pageup').board).includes('› c994'));
	assert.ok(names(after(many, 'end', 'home').board).includes('› c0'));
	assert.equal(lines(after(many, 'end').board).length, size.rows);
});

test('a chosen child that goes leaves the choice to the one in its place', () => {
	const { board } = after(start, 'j');
	const fewer = learn(board, facts(shop.children.filter(({ path }) => path !== 'web.2')));
	assert.equal(fewer.selected, 'jobs');
	assert.equal(learn(board, facts([])).selected, null);
});

test('what steers a terminal is a sign in notes and in exits', () => {
	const hostile = facts([child('a', { note: '\x1b[2J', lastExit: { reason: '\x1b]0;x\x07', code: null, signal: null } })]);
	assert.ok(
		!lines(learn(newBoard('tree'), hostile))
			.join('')
			.includes('\x1b'),
	);
});

const bin = fileURLToPath(new URL('../bin/choir.js', import.meta.url));

/** A command on a terminal of its own, 100 × 30. */
function onTerminal(args: string[], home: string): { ended: Promise<number | null>; seen: () => string; type: (text: string) => void } {
	const command = `stty rows 30 cols 100; exec ${[process.execPath, bin, ...args].map((word) => `'${word}'`).join(' ')}`;
	const child = spawn('script', ['-qfec', command, '/dev/null'], {
		env: { PATH: process.env.PATH, TERM: 'xterm-256color', CHOIR_HOME: home, SHELL: '/bin/sh' },
		stdio: ['pipe', 'pipe', 'inherit'],
	});
	let seen = '';
	child.stdout?.setEncoding('utf8').on('data', (text: string) => {
		seen += text;
	});
	const closed = new Promise<number | null>((resolve) => child.once('close', resolve));
	const ended = within(`choir ${args[0]} ends`, closed, 60_000, () => seen);
	ended.catch(() => child.kill('SIGKILL'));
	return { ended, seen: () => seen, type: (text) => child.stdin?.write(text) };
}

const spec = `import { command, tree } from 'choir';
export default tree('t', { children: [
	command('a', { run: ['sh', '-c', 'printf "\\\\033[2J\\\\033]0;mine\\\\007 hostile\\\\n"; exec sleep 1000'] }),
	command('b', { run: ['sleep', '1000'] }),
] });`;

test('on a terminal: a restart by its key, output that steers nothing, and the terminal as it was', async () => {
	await withTree({ 'tree.ts': spec }, async (tree) => {
		await tree.up();
		const { ended, seen, type } = onTerminal(['top'], tree.home);
		await until('on the terminal', () => seen().includes('2 children: 2 running'));
		type('j');
		type('r');
		await until('on the terminal', () => seen().includes('restart b? It drains first.'));
		type('y');
		await until('on the terminal', () => seen().includes('b restarted'));
		assert.equal((await tree.child('b')).incarnation, 2);
		type('kl');
		await until('on the terminal', () => seen().includes('␛[2J␛]0;mine␇ hostile'));
		assert.ok(!seen().includes('\x1b]0;mine'));
		type('qq');
		assert.equal(await ended, 0);
		assert.ok(seen().includes('\x1b[?1049h') && seen().trimEnd().endsWith('\x1b[?1049l'));
	});
});

test('on a terminal: the output of children in `run` and `logs`, and `status --watch`, steer nothing', async () => {
	await withTree({ 'tree.ts': spec }, async (tree) => {
		await tree.up();
		const logs = onTerminal(['logs', 'a'], tree.home);
		await logs.ended;
		assert.equal(logs.seen().trim(), '␛[2J␛]0;mine␇ hostile');
		const raw = onTerminal(['logs', 'a', '--raw'], tree.home);
		await raw.ended;
		assert.equal(raw.seen().trimEnd(), '\x1b[2J\x1b]0;mine\x07 hostile');
		const watch = onTerminal(['status', '--watch'], tree.home);
		await until('on the terminal', () => /running.*\d+ms|running.*\ds/.test(watch.seen()));
		watch.type('\x03');
		await watch.ended;
		assert.ok(watch.seen().includes('\x1b[?1049l'));
	});
	await withTree({ 'tree.ts': spec }, async (tree) => {
		const run = onTerminal(['run', path.join(tree.folder, 'tree.ts')], tree.home);
		await until('on the terminal', () => run.seen().includes('␛[2J␛]0;mine␇ hostile'));
		assert.ok(!run.seen().includes('\x1b[2J'));
		run.type('\x03');
		await run.ended;
	});
});

test('without a terminal `top` says what to use', async () => {
	await withTree({ 'tree.ts': spec }, async (tree) => {
		await tree.up();
		const { code, stderr } = await tree.cli('top');
		assert.equal(code, 64);
		assert.match(stderr, /needs a terminal.*choir status/);
	});
});

test.run();
