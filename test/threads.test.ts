/**
 * Real threads, of the built choir: what the tree is told of each, whatever it does; and that it does it to nobody else. (From its
 * sources it would need a loader in each thread, which Node 20 does not hand on.)
 */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { ThreadDeclaration, ThreadSpec } from '../machines/spec.ts';
import type { WorkerEvent } from '../machines/worker.ts';
import { logFile } from '../src/home.ts';
import { findMarked } from '../src/hosts/proc.ts';
import type { Run } from '../src/master/host.ts';
import { resolveSpec } from '../src/spec/check.ts';
import { turn, until } from './support/until.ts';

const built = path.join(import.meta.dirname, '../dist/src');
const { ThreadHost } = (await import(pathToFileURL(path.join(built, 'hosts/threads.js')).href)) as typeof import('../src/hosts/threads.ts');
const foreign: unknown[] = [];
process.on('uncaughtException', (error) => foreign.push(error));
process.on('unhandledRejection', (error) => foreign.push(error));

type Fact = WorkerEvent & { of: string };
type Exited = Extract<Fact, { type: 'process.exited' }>;
type More = Omit<ThreadDeclaration, 'kind' | 'id' | 'module'>;

/** A host with a folder of its own, and what it says. */
class Stage {
	readonly facts: Fact[] = [];
	readonly folder = fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), 'choir-threads-')));
	readonly dir = path.join(this.folder, 'home/t');
	readonly host = new ThreadHost({
		dir: this.dir,
		base: this.folder,
		tell: (of, fact) => void this.facts.push({ of, ...fact }),
		now: () => performance.now(),
		unrotated: () => {},
		muted: () => {},
	});
	#incarnation = 0;

	/** Starts a thread of these lines, in a module of its own. */
	launch(text: string, more: More = {}, name = `m${this.#incarnation}.mjs`): Run {
		// As an installed package would be found.
		const own = { 'choir/worker': path.join(built, 'worker/index.js') };
		let source = text;
		if (!name.endsWith('.ts')) for (const [asked, file] of Object.entries(own)) source = source.replaceAll(`'${asked}'`, `'${file}'`);
		fs.writeFileSync(path.join(this.folder, name), source);
		return this.start(name, more);
	}

	start(module: string, more: More = {}): Run {
		this.#incarnation += 1;
		const declaration: ThreadDeclaration = { kind: 'thread', id: 'a', module, ...more };
		const [spec] = resolveSpec({ kind: 'tree', id: 't', children: [declaration] }).root.children as [ThreadSpec];
		const run: Run = { workerId: `w${this.#incarnation}`, path: 'a', incarnation: this.#incarnation, generation: 1, spec, stop: spec.stop };
		this.host.launch(run);
		return run;
	}

	/** Starts one and waits until it is ready. */
	async up(text: string, more: More = {}, name?: string): Promise<Run> {
		const run = this.launch(text, more, name);
		await this.fact(run, 'process.ready');
		return run;
	}

	of({ workerId }: Run): Fact[] {
		return this.facts.filter(({ of }) => of === workerId);
	}

	/** What it has said so far, without its heartbeats. */
	said(run: Run): string[] {
		return this.of(run)
			.map(({ type }) => type)
			.filter((type) => type !== 'heartbeat');
	}

	async fact<Type extends Fact['type']>(run: Run, type: Type): Promise<Extract<Fact, { type: Type }>> {
		const heard = () => this.of(run).find((fact) => fact.type === type || fact.type === 'process.exited' || fact.type === 'process.failed');
		const exact = () => this.of(run).find((fact) => fact.type === type);
		await until(`${run.workerId} says ${type}`, () => exact() ?? heard());
		assert.ok(exact(), `it says ${type}: ${JSON.stringify(this.of(run))}\n${this.output()}`);
		return exact() as Extract<Fact, { type: Type }>;
	}

	async exit(run: Run): Promise<Pick<Exited, 'code' | 'signal' | 'reason' | 'detail'>> {
		const { code, signal, reason, detail } = await this.fact(run, 'process.exited');
		return { code, signal, ...(reason === undefined ? {} : { reason }), ...(detail === undefined ? {} : { detail }) };
	}

	/** What all threads have printed. */
	output(): string {
		return fs.existsSync(logFile(this.dir, 'a')) ? fs.readFileSync(logFile(this.dir, 'a'), 'utf8') : '';
	}
}

async function withStage(body: (stage: Stage) => Promise<void>): Promise<void> {
	const stage = new Stage();
	try {
		await body(stage);
		await turn();
		assert.equal(foreign, []);
	} finally {
		stage.host.close();
		fs.rmSync(stage.folder, { recursive: true, force: true, maxRetries: 3 });
	}
}

const IDLE = 'setInterval(() => {}, 1_000);';

/** What a thread does, and how it is told that it ended. */
const ends: Array<[does: string, text: string, exit: object, more?: More]> = [
	['comes to its end', 'export {};', { code: 0, signal: null }],
	['calls process.exit()', 'process.exit();', { code: 0, signal: null }],
	['calls process.exit(3)', 'process.exit(3);', { code: 3, signal: null }],
	['sets process.exitCode', 'process.exitCode = 78;', { code: 78, signal: null }],
	[
		'throws at its top level',
		"throw new TypeError('top\\nand more');",
		{ code: 1, signal: null, reason: 'crash', detail: 'uncaught: TypeError: top' },
	],
	[
		'throws later',
		"setTimeout(() => { throw new RangeError('later'); });",
		{ code: 1, signal: null, reason: 'crash', detail: 'uncaught: RangeError: later' },
	],
	[
		'throws what is no error',
		"setTimeout(() => { throw { odd: 'thing' }; });",
		{ code: 1, signal: null, reason: 'crash', detail: "uncaught: { odd: 'thing' }" },
	],
	[
		'throws what cannot be sent',
		'setTimeout(() => { throw () => {}; });',
		{ code: 1, signal: null, reason: 'crash', detail: 'uncaught: [Function (anonymous)]' },
	],
	[
		'leaves a rejection unhandled',
		"void Promise.reject(new Error('nobody'));",
		{ code: 1, signal: null, reason: 'crash', detail: 'unhandled rejection: Error: nobody' },
	],
	[
		'reaches the limit of its heap',
		'const kept = []; for (;;) kept.push({ some: [1, 2, 3], more: "text " + kept.length });',
		{ code: null, signal: null, reason: 'crash', detail: 'out of memory: its heap reached its limit of 12 MiB' },
		{ resourceLimits: { maxOldGenerationSizeMb: 12 } },
	],
	[
		'calls itself without end',
		'const again = () => again() + 1; again();',
		{ code: 1, signal: null, reason: 'crash', detail: 'uncaught: RangeError: Maximum call stack size exceeded' },
	],
	['waits at its top level for what cannot come', 'await new Promise(() => {});', { code: 13, signal: null }],
	['handles what it throws', "process.on('uncaughtException', () => process.exit(4)); throw new Error('own');", { code: 4, signal: null }],
];
for (const [does, text, expected, more] of ends) {
	test(`a thread that ${does}`, () =>
		withStage(async (stage) => {
			const run = await stage.up(text, more);
			assert.equal(await stage.exit(run), expected);
			assert.equal(stage.said(run), ['process.spawned', 'process.ready', 'process.exited']);
		}));
}

const unloadable: Array<[name: string, text: string, why: RegExp, file?: string]> = [
	['is not JavaScript', 'let a = ;', /^m0\.mjs cannot be loaded: Unexpected token ';'/],
	[
		'imports what is not there',
		"import './nowhere.mjs';",
		/^m0\.mjs cannot be loaded: Cannot find module '.*nowhere\.mjs' imported from \S+m0\.mjs/,
	],
	['imports a name that is not exported', "import { nothing } from 'node:fs';", /^m0\.mjs cannot be loaded: .*'nothing'/],
	['imports a package that is not there', "import 'no-such-package';", /^m0\.mjs cannot be loaded: Cannot find package 'no-such-package'/],
	['asks choir for what it has not', "import { nothing } from 'choir/worker';\nnothing();", /^u\.ts cannot be loaded: .*'nothing'/, 'u.ts'],
];
for (const [what, text, why, file] of unloadable) {
	test(`a module that ${what} did not start`, () =>
		withStage(async (stage) => {
			const run = stage.launch(text, {}, file);
			const { detail = '', ...exit } = await stage.exit(run);
			assert.equal(exit, { code: null, signal: null, reason: 'startFailed' });
			assert.match(detail, why);
			assert.not.match(detail, /data:|\n/);
			assert.equal(stage.said(run), ['process.spawned', 'process.exited']);
		}));
}

const failures: Array<[what: string, module: string, more: More, why: RegExp, text?: string]> = [
	['whose module is not there', './nowhere.mjs', {}, /^its module \/.*nowhere\.mjs does not exist$/],
	['whose TypeScript is none', './bad.ts', {}, /bad\.ts:1:9: Unexpected ";"$/, 'let a = ;'],
	[
		'whose input cannot be cloned',
		'./good.mjs',
		{ input: { call: () => {} } },
		/^its input cannot be given to a thread: .*could not be cloned/,
		'',
	],
	['with options for Node that a thread cannot have', './good.mjs', { env: { NODE_OPTIONS: '--title=x' } }, /NODE_OPTIONS/, ''],
];
for (const [what, module, more, why, text] of failures) {
	test(`a thread ${what} fails to start`, () =>
		withStage(async (stage) => {
			if (text !== undefined) fs.writeFileSync(path.join(stage.folder, module), text);
			const run = stage.start(module, more);
			const { message } = await stage.fact(run, 'process.failed');
			assert.match(message, why);
			assert.equal(stage.said(run), ['process.failed']);
		}));
}

test('a thread is of this process, and beats', () =>
	withStage(async (stage) => {
		const run = await stage.up(IDLE, { heartbeat: { every: '10ms', timeout: '1s' } });
		const { pid } = await stage.fact(run, 'process.spawned');
		assert.is(pid, process.pid);
		await until('it has beaten five times', () => stage.of(run).filter(({ type }) => type === 'heartbeat').length >= 5);
		const { memoryBytes, spent } = stage.host.usage(run.workerId) ?? {};
		assert.ok(memoryBytes && memoryBytes > 1_000_000 && memoryBytes < 200_000_000, `${memoryBytes} bytes`);
		assert.ok(spent && spent.cpuMs <= spent.ageMs + 20 && spent.ageMs < 60_000, JSON.stringify(spent));
	}));

test('a thread without heartbeat says none', () =>
	withStage(async (stage) => {
		const run = await stage.up('setTimeout(() => {}, 50);', { heartbeat: 0 });
		await stage.exit(run);
		assert.equal(
			stage.of(run).map(({ type }) => type),
			['process.spawned', 'process.ready', 'process.exited'],
		);
	}));

test('a thread that is to say when it is ready says it, and counts once', () =>
	withStage(async (stage) => {
		const text = `
			import { ready } from 'choir/worker';
			import { existsSync } from 'node:fs';
			const look = setInterval(() => { if (existsSync('${stage.folder}/go')) { ready(); ready(); clearInterval(look); } }, 2);
		`;
		const run = stage.launch(text, { ready: 'signal', heartbeat: { every: '5ms', timeout: '1s' } });
		await stage.fact(run, 'heartbeat');
		const beats = () => stage.of(run).filter(({ type }) => type === 'heartbeat').length;
		const before = beats();
		await until('it beats on', () => beats() > before + 2);
		assert.equal(stage.said(run), ['process.spawned']);
		fs.writeFileSync(path.join(stage.folder, 'go'), '');
		await stage.exit(run);
		assert.equal(stage.said(run), ['process.spawned', 'process.ready', 'process.exited']);
	}));

test('a server in a thread is ready when it listens, and closes when it is drained', () =>
	withStage(async (stage) => {
		const text = `
			import { createServer } from 'node:http';
			const server = createServer((_, response) => response.end('served')).listen(0, '127.0.0.1', () => console.log(server.address().port));
		`;
		const run = await stage.up(text, { ready: 'signal' });
		const port = await until('it has said its port', () => /(\d+)\n/.exec(stage.output())?.[1]);
		const answer = await fetch(`http://127.0.0.1:${port}`, { headers: { connection: 'close' }, signal: AbortSignal.timeout(10_000) });
		assert.is(await answer.text(), 'served');
		stage.host.askToDrain(run);
		assert.equal(await stage.exit(run), { code: 0, signal: null });
		assert.equal(stage.said(run), ['process.spawned', 'process.ready', 'drain.acknowledged', 'process.exited']);
	}));

test('ready after a time', () =>
	withStage(async (stage) => {
		const started = performance.now();
		const run = await stage.up(IDLE, { ready: { after: '80ms' } });
		assert.ok(performance.now() - started >= 79);
		assert.equal(stage.said(run), ['process.spawned', 'process.ready']);
	}));

test('workerData is the input, argv the arguments, and the module is the program', () =>
	withStage(async (stage) => {
		const input = { list: [1, new Map([['a', 2n]])], at: new Date(0), bytes: new Uint8Array([1, 2]) };
		const text = `
			import { isMainThread, workerData, parentPort, threadId } from 'node:worker_threads';
			import { inspect } from 'node:util';
			import { worker } from 'choir/worker';
			console.log(inspect(workerData, { depth: 5 }));
			console.log(JSON.stringify({ argv: process.argv.slice(1), isMainThread, hasParent: parentPort !== null, worker }));
		`;
		const run = await stage.up(text, { input, args: ['--fast', 'x y'] });
		await stage.exit(run);
		const module = path.join(stage.folder, 'm0.mjs');
		assert.is(
			stage.output(),
			"{\n  list: [ 1, Map(1) { 'a' => 2n } ],\n  at: 1970-01-01T00:00:00.000Z,\n  bytes: Uint8Array(2) [ 1, 2 ]\n}\n" +
				`${JSON.stringify({ argv: [module, '--fast', 'x y'], isMainThread: false, hasParent: true, worker: { path: 'a', id: 'w1' } })}\n`,
		);
	}));

test('a thread without input has none', () =>
	withStage(async (stage) => {
		const run = await stage.up("import { workerData } from 'node:worker_threads'; console.log(workerData ?? 'none');");
		await stage.exit(run);
		assert.is(stage.output(), 'none\n');
	}));

test('the environment of a thread is its own', () =>
	withStage(async (stage) => {
		process.env.CHOIR_THREADS_TEST = 'mine';
		process.env.THREADS_TEST = 'mine';
		process.env.THREADS_TEST_SECRET = 'mine';
		const text = `
			process.env.THREADS_TEST = 'theirs';
			const { THREADS_TEST, THREADS_TEST_SECRET, LEVEL, CHOIR_PATH, CHOIR_THREADS_TEST } = process.env;
			console.log(JSON.stringify([THREADS_TEST, THREADS_TEST_SECRET, LEVEL, CHOIR_PATH, CHOIR_THREADS_TEST, typeof process.env.PATH]));
		`;
		try {
			const run = await stage.up(text, { env: { LEVEL: 'high' }, inheritEnv: ['THREADS_TEST'] });
			await stage.exit(run);
			assert.equal(JSON.parse(stage.output()), ['theirs', null, 'high', 'a', null, 'string']);
			assert.is(process.env.THREADS_TEST, 'mine');
		} finally {
			for (const name of ['CHOIR_THREADS_TEST', 'THREADS_TEST', 'THREADS_TEST_SECRET']) delete process.env[name];
		}
	}));

test('what a thread prints is in its file: all of it, in order, whatever comes after', () =>
	withStage(async (stage) => {
		const endings = ['process.exit(0)', "throw new Error('boom')", 'for (;;);'];
		const print = (n: number, ending: string) => `
			for (let i = 0; i < 2_000; i += 1) (i % 2 ? console.error : console.log)('${n} ' + i);
			process.stdout.write('${n} é');
			process.stdout.write(Buffer.from(' last\\n'));
			${ending};
		`;
		for (const [n, ending] of endings.entries()) {
			const run = await stage.up(print(n, ending));
			if (n === 2) {
				await until('it has printed', () => stage.output().includes('2 é last\n'));
				stage.host.kill(run);
			}
			await stage.exit(run);
		}
		const lines = stage.output().split('\n');
		const expected = (n: number) => [...Array.from({ length: 2_000 }, (_, i) => `${n} ${i}`), `${n} é last`];
		assert.equal(lines.splice(0, 2_001), expected(0));
		assert.equal(lines.splice(0, 2_001), expected(1));
		// The error that ended it, as Node would print it.
		assert.match(lines[0] as string, /^Uncaught Error: boom$/);
		const stack = lines.splice(0, lines.indexOf('2 0'));
		assert.match(stack.join('\n'), /at .*m1\.mjs:5/);
		assert.equal(lines, [...expected(2), '']);
	}));

test('a thread that prints without end waits for nobody and holds nothing', () =>
	withStage(async (stage) => {
		const line = 'x'.repeat(999);
		const text = `for (let i = 0; i < 30_000; i += 1) console.log('${line}');`;
		const run = await stage.up(text, { resourceLimits: { maxOldGenerationSizeMb: 16 } });
		assert.equal(await stage.exit(run), { code: 0, signal: null });
		assert.is(fs.statSync(logFile(stage.dir, 'a')).size, 30_000 * 1_000);
	}));

test('the file of a thread is rotated while it runs', () =>
	withStage(async (stage) => {
		const text = `
			import { existsSync } from 'node:fs';
			let n = 0;
			const print = setInterval(() => { for (let i = 0; i < 100; i += 1) console.log('line ' + ++n); }, 5);
			const look = setInterval(() => { if (existsSync('${stage.folder}/enough')) { clearInterval(print); clearInterval(look); } }, 5);
		`;
		const run = await stage.up(text, { logs: { rotateBytes: 20_000, keep: 1_000 } });
		const file = logFile(stage.dir, 'a');
		await until('it is rotated', () => fs.existsSync(`${file}.2`));
		fs.writeFileSync(path.join(stage.folder, 'enough'), '');
		await stage.exit(run);
		assert.match(stage.output(), /line \d+\n$/);
	}));

test('TypeScript: bundled, with positions of the source, and the same choir/worker', () =>
	withStage(async (stage) => {
		fs.writeFileSync(path.join(stage.folder, 'part.ts'), "export enum Word { Said = 'said' }\n");
		const text = `import { workerData } from 'node:worker_threads';
import { ready, worker } from 'choir/worker';
import { Word } from './part.ts';
const input: { n: number } = workerData;
console.log(Word.Said, input.n, worker?.path, import.meta.filename);
ready();
setTimeout((): never => {
	throw new Error('at line 8');
});
`;
		const run = await stage.up(text, { input: { n: 7 }, ready: 'signal' }, 'thread.ts');
		assert.equal(await stage.exit(run), { code: 1, signal: null, reason: 'crash', detail: 'uncaught: Error: at line 8' });
		assert.match(stage.output(), `said 7 a ${path.join(stage.folder, 'thread.ts')}\n`);
		assert.match(stage.output(), /thread\.ts:8:8/);
	}));

test('a CommonJS module is a thread as well', () =>
	withStage(async (stage) => {
		const run = await stage.up(
			"const { workerData } = require('node:worker_threads'); console.log(workerData, __filename);",
			{ input: 5 },
			'c.cjs',
		);
		assert.equal(await stage.exit(run), { code: 0, signal: null });
		assert.is(stage.output(), `5 ${path.join(stage.folder, 'c.cjs')}\n`);
	}));

test('drain: the callbacks of onDrain run to their end, then the loop empties', () =>
	withStage(async (stage) => {
		const text = `
			import { onDrain, status } from 'choir/worker';
			const work = setInterval(() => {}, 1_000);
			onDrain(async () => { console.log('one'); await new Promise((done) => setTimeout(done, 30)); console.log('two'); });
			onDrain(() => { clearInterval(work); status('draining'); });
		`;
		const run = await stage.up(text);
		stage.host.askToDrain(run);
		assert.equal(await stage.exit(run), { code: 0, signal: null });
		assert.equal(stage.said(run), ['process.spawned', 'process.ready', 'drain.acknowledged', 'process.exited']);
		assert.is(stage.output(), 'one\ntwo\n');
		assert.is(stage.host.statusText(run.workerId), 'draining');
		stage.host.forget(run);
		assert.is(stage.host.statusText(run.workerId), null);
	}));

test('drain: a callback that fails makes code 1', () =>
	withStage(async (stage) => {
		const run = await stage.up(
			"import { onDrain } from 'choir/worker'; const work = setInterval(() => {}, 1_000); onDrain(() => { clearInterval(work); throw new Error('no'); });",
		);
		stage.host.askToDrain(run);
		assert.equal(await stage.exit(run), { code: 1, signal: null });
		assert.match(stage.output(), 'onDrain failed: Error: no');
	}));

test('drain: a thread that has nothing to finish exits', () =>
	withStage(async (stage) => {
		const run = await stage.up(IDLE);
		stage.host.askToDrain(run);
		assert.equal(await stage.exit(run), { code: 0, signal: null });
	}));

test('drain: a thread that listens to SIGTERM is called as a process would be', () =>
	withStage(async (stage) => {
		const run = await stage.up(
			"const work = setInterval(() => {}, 1_000); process.on('SIGTERM', (signal) => { console.log(signal); clearInterval(work); });",
		);
		stage.host.askToDrain(run);
		assert.equal(await stage.exit(run), { code: 0, signal: null });
		assert.is(stage.output(), 'SIGTERM\n');
	}));

test('drain: one that does not finish is killed, and one asked before it was there cannot be', () =>
	withStage(async (stage) => {
		const text = "import { onDrain } from 'choir/worker'; setInterval(() => {}, 1_000); onDrain(() => new Promise(() => {}));";
		const run = stage.launch(text);
		stage.host.askToDrain(run);
		assert.equal(stage.said(run), ['drain.undeliverable']);
		await stage.fact(run, 'process.ready');
		stage.host.askToDrain(run);
		await stage.fact(run, 'drain.acknowledged');
		stage.host.kill(run);
		assert.equal(await stage.exit(run), { code: null, signal: null, reason: 'killed' });
	}));

test('drain: a busy thread finds the request when it is free, and what stands in for it does nothing', () =>
	withStage(async (stage) => {
		const text = `
			import { existsSync } from 'node:fs';
			setTimeout(() => { console.log('busy'); while (!existsSync('${stage.folder}/free')); setInterval(() => {}, 1_000); });
		`;
		const run = await stage.up(text);
		await until('it is busy', () => stage.output() === 'busy\n');
		stage.host.askToDrain(run);
		stage.host.terminate(run);
		// Nothing comes of it at once; and that it was not terminated its exit tells, below.
		await turn();
		assert.equal(stage.said(run), ['process.spawned', 'process.ready']);
		fs.writeFileSync(path.join(stage.folder, 'free'), '');
		assert.equal(await stage.exit(run), { code: 0, signal: null });
		assert.equal(stage.said(run), ['process.spawned', 'process.ready', 'drain.acknowledged', 'process.exited']);
	}));

test('terminate ends a thread that could not be asked', () =>
	withStage(async (stage) => {
		const run = await stage.up(IDLE);
		stage.host.terminate(run);
		assert.equal(await stage.exit(run), { code: null, signal: null, reason: 'killed' });
	}));

test('a blocked thread stops beating, and can be killed; this process does not notice', () =>
	withStage(async (stage) => {
		const beat = { heartbeat: { every: '10ms', timeout: '1s' } };
		const blocked = await stage.up("setTimeout(() => { console.log('blocked'); for (;;); }, 50);", beat);
		const well = await stage.up(IDLE, beat);
		const beats = (run: Run) => stage.of(run).filter(({ type }) => type === 'heartbeat').length;
		await until('it is blocked', () => stage.output().includes('blocked'));
		const [ofBlocked, ofWell] = [beats(blocked), beats(well)];
		let latest = 0;
		let last = performance.now();
		await until('its sibling has beaten on', () => {
			const now = performance.now();
			latest = Math.max(latest, now - last);
			last = now;
			return beats(well) > ofWell + 20;
		});
		// One beat may have been on its way.
		assert.ok(beats(blocked) <= ofBlocked + 1);
		assert.ok(latest < 500, `this loop was held up for ${latest} ms`);
		stage.host.kill(blocked);
		stage.host.kill(blocked);
		assert.equal(await stage.exit(blocked), { code: null, signal: null, reason: 'killed' });
		assert.equal(stage.said(well), ['process.spawned', 'process.ready']);
	}));

test('a thread that is killed before it is there', () =>
	withStage(async (stage) => {
		const preparing = stage.launch(IDLE);
		stage.host.kill(preparing);
		const { message } = await stage.fact(preparing, 'process.failed');
		assert.is(message, 'stopped before it was started');
		assert.equal(stage.said(preparing), ['process.failed']);
	}));

test('start, stop, start quickly: each incarnation tells of itself alone, and of its end once', () =>
	withStage(async (stage) => {
		const runs: Run[] = [];
		for (let n = 0; n < 15; n += 1) {
			const run = stage.launch(IDLE, { heartbeat: { every: '1ms', timeout: '1s' } }, 'again.mjs');
			runs.push(run);
			// Now and then in each of its phases.
			if (n % 3 > 0) await stage.fact(run, 'process.spawned');
			if (n % 3 > 1) await stage.fact(run, 'process.ready');
			stage.host.kill(run);
			await until('it is over', () => stage.said(run).some((type) => type === 'process.exited' || type === 'process.failed'));
			stage.host.forget(run);
		}
		const last = await stage.up(IDLE, {}, 'again.mjs');
		for (const run of runs) {
			const said = stage.of(run).map(({ type }) => type);
			const end = said.findIndex((type) => type === 'process.exited' || type === 'process.failed');
			assert.is(end, said.length - 1, `nothing comes after the end: ${said}`);
		}
		stage.host.kill(last);
		await stage.exit(last);
	}));

test('a process that a thread has started does not outlive it', () =>
	withStage(async (stage) => {
		const text = `
			import { spawn } from 'node:child_process';
			const { pid } = spawn('sleep', ['1000'], { detached: true });
			console.log(pid);
			throw new Error('gone');
		`;
		const run = await stage.up(text);
		await stage.exit(run);
		const pid = Number.parseInt(stage.output(), 10);
		// In the middle of its exec a process has no environment for a moment, and is not found.
		await until('it is found', () => findMarked('CHOIR_WORKER', run.workerId).some((found) => found.pid === pid));
		stage.host.forget(run);
		// Nobody reaps it: its parent was the thread. But it does not run.
		await until('it is killed', () => findMarked('CHOIR_WORKER', run.workerId).every((found) => found.pid !== pid));
	}));

test('a thread does not get a held socket, and is told why', () =>
	withStage(async (stage) => {
		const run = await stage.up("import { listener } from 'choir/worker'; listener('http', 8080);");
		const { detail } = await stage.exit(run);
		assert.is(
			detail,
			"uncaught: Error: listener('http'): threads hold no sockets: declare a as node(…), or let it listen on a port of its own",
		);
	}));

test('fifty threads one after the other leave nothing behind', () =>
	withStage(async (stage) => {
		const text = "console.log('here'); process.on('exit', () => console.log('gone'));";
		const once = async (n: number) => {
			const run = await stage.up(text, {}, 'leak.mjs');
			await stage.exit(run);
			stage.host.forget(run);
			return n;
		};
		const listeners = () =>
			[process, process.stdout, process.stderr].map((of) => of.eventNames().reduce((sum, name) => sum + of.listenerCount(name), 0));
		const held = () => process.getActiveResourcesInfo().filter((kind) => /Worker|MessagePort|File|Timeout/.test(kind)).length;
		const descriptors = () => fs.readdirSync('/proc/self/fd').length;
		for (let n = 0; n < 5; n += 1) await once(n);
		await turn();
		const before = { listeners: listeners(), held: held(), descriptors: descriptors() };
		for (let n = 0; n < 50; n += 1) await once(n);
		await until('all that they held is free', () => held() <= before.held && descriptors() <= before.descriptors);
		assert.equal(listeners(), before.listeners);
		assert.is(stage.output().split('\n').length - 1, 110);
	}));

test('a thread keeps nobody alive, and does not outlive its process', () => {
	const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'choir-threads-'));
	try {
		fs.writeFileSync(path.join(folder, 'busy.mjs'), "setInterval(() => console.log('on'), 5);");
		const text = `
			import { ThreadHost } from '${built}/hosts/threads.js';
			import { resolveSpec } from '${built}/spec/check.js';
			const [spec] = resolveSpec({ kind: 'tree', id: 't', children: [{ kind: 'thread', id: 'a', module: './busy.mjs' }] }).root.children;
			const facts = [];
			const host = new ThreadHost({ dir: '${folder}/home/t', base: '${folder}', now: () => 0, unrotated: () => {}, muted: () => {}, tell: (_, { type }) => facts.push(type) });
			const run = { workerId: 'w', path: 'a', incarnation: 1, spec, stop: spec.stop };
			host.launch(run);
			const look = setInterval(() => {
				if (!facts.includes('process.spawned')) return;
				clearInterval(look);
				console.log('spawned');
			}, 2);
		`;
		fs.writeFileSync(path.join(folder, 'main.mjs'), text);
		const main = path.join(folder, 'main.mjs');
		const { status, signal, stdout, stderr } = spawnSync(process.execPath, [main], { encoding: 'utf8', timeout: 20_000 });
		assert.equal({ status, signal, stdout, stderr }, { status: 0, signal: null, stdout: 'spawned\n', stderr: '' });
	} finally {
		fs.rmSync(folder, { recursive: true, force: true });
	}
});

test.run();
