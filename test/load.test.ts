/** Specs as files: loaded, refused in one sentence, looked at with the files around them, and tried in a process of their own. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { command, node, supervisor, tree } from '../src/spec/builders.ts';
import { bundle } from '../src/spec/bundle.ts';
import type { InspectResult, inspectSpec } from '../src/spec/inspection.ts';
import { checkFiles, loadSpec } from '../src/spec/load.ts';
import { until } from './support/until.ts';

async function inFolder(files: Record<string, string>, act: (dir: string, cacheDir: string) => Promise<void>): Promise<void> {
	const root = fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), 'choir-load-')));
	const dir = path.join(root, 'project');
	fs.mkdirSync(dir);
	try {
		for (const [name, text] of Object.entries(files)) {
			fs.mkdirSync(path.dirname(path.join(dir, name)), { recursive: true });
			fs.writeFileSync(path.join(dir, name), text);
		}
		await act(dir, path.join(root, 'cache'));
	} finally {
		fs.rmSync(root, { recursive: true, force: true });
	}
}

const built = pathToFileURL(path.join(import.meta.dirname, '../dist/src/spec/inspection.js')).href;

/** As a user meets it: built, in a process of its own. */
async function inspect(dir: string, cacheDir: string, options: { signal?: AbortSignal; timeoutMs?: number } = {}): Promise<InspectResult> {
	const { inspectSpec: run } = (await import(built)) as { inspectSpec: typeof inspectSpec };
	return run(path.join(dir, 'tree.ts'), { cacheDir, ...options });
}

const right = `import { command, tree } from 'choir';
export default tree('shop', { stopTimeout: '3s', children: [command('a', { run: ['true'] })] });`;

const unloadable: Array<[what: string, files: Record<string, string>, sentence: RegExp]> = [
	['does not exist', {}, /^there is no spec at \/\S+\/tree\.ts$/],
	[
		'throws',
		{ 'tree.ts': `interface X {}\n\nthrow new Error('no luck\\ntoday');` },
		/tree\.ts cannot be loaded: no luck \(at \S+\/tree\.ts:3:7\)$/,
	],
	[
		'throws in a file that it imports',
		{ 'tree.ts': `import './deep/fail.ts';`, 'deep/fail.ts': `\n\nnull.x;` },
		/cannot be loaded: Cannot read properties of null \(reading 'x'\) \(at \S+\/deep\/fail\.ts:3:6\)$/,
	],
	['throws what is no error', { 'tree.ts': `throw { code: 7 };` }, /cannot be loaded: it throws \{ code \}$/],
	['throws aside', { 'tree.ts': `Promise.reject(new Error('aside'));\nawait new Promise(() => {});` }, /tree\.ts cannot be loaded: aside/],
	['imports a file that is not there', { 'tree.ts': `\nimport './nope.ts';` }, /\/tree\.ts:2:8: there is no module '\.\/nope\.ts'$/],
	['imports a package that is not there', { 'tree.ts': `import nope from 'nope'; nope();` }, /\/tree\.ts:1:18: there is no module 'nope'$/],
	[
		'asks for a module that is not there only when it runs',
		{ 'tree.ts': `const name = './nope.js';\nawait import(new URL(name, import.meta.url).href);` },
		/cannot be loaded: Cannot find module '\S+\/nope\.js' imported from \S+\/tree\.ts/,
	],
	[
		'asks choir for what it has not',
		{ 'tree.ts': `import { thred } from 'choir';\nexport default thred();` },
		/cannot be loaded: there is no 'thred' in 'choir'$/,
	],
	['is no TypeScript', { 'tree.ts': `export default {{` }, /\/tree\.ts:1:17: Expected identifier but found "\{"$/],
	['exports nothing', { 'tree.ts': 'export const shop = 1;' }, /tree\.ts exports no tree: it needs 'export default tree\(…\)'$/],
	['exports a function', { 'tree.ts': 'export default () => 1;' }, /its default export must be tree\(…\), got a function$/],
	[
		'exports a promise',
		{ 'tree.ts': 'export default Promise.resolve(1);' },
		/its default export must be tree\(…\), got a Promise: await it$/,
	],
	[
		'exports a supervisor',
		{ 'tree.ts': `import { supervisor } from 'choir';\nexport default supervisor('jobs', { children: [] });` },
		/must be tree\(…\), got supervisor\(…\)$/,
	],
	[
		'ends the process',
		{ 'tree.ts': 'process.exit(3);' },
		/tree\.ts cannot be loaded: it ended the process in which it was tried \(exit code 3\)$/,
	],
	[
		'kills the process',
		{ 'tree.ts': `process.kill(process.pid, 'SIGKILL'); await new Promise(() => {});` },
		/SIGKILL ended the process in which it was tried$/,
	],
];
for (const [what, files, sentence] of unloadable) {
	test(`a spec that ${what} is one sentence`, () =>
		inFolder(files, async (dir, cacheDir) => {
			const result = await inspect(dir, cacheDir);
			assert.not(result.ok);
			if (result.ok) return;
			assert.is(result.exitCode, 78);
			assert.is(result.lines.length, 1);
			assert.match(result.lines[0] as string, sentence);
			assert.not.match(result.lines[0] as string, cacheDir);
		}));
}

test('a right spec is answered with what its angel has to know, whatever it prints and leaves open', () =>
	inFolder(
		{
			'tree.ts': `if (process.argv[1]?.endsWith('inspect.js')) {
	console.log('{"ok":false}');
	process.stdout.write('x');
	process.on('exit', () => { for (;;); });
	setInterval(() => {}, 1000);
}
${right}`,
		},
		async (dir, cacheDir) => {
			const result = await inspect(dir, cacheDir);
			assert.ok(result.ok, JSON.stringify(result));
			const { tree: id, stopTimeoutMs, warnings, bundle: file, outline } = result;
			assert.equal(
				{ id, stopTimeoutMs, warnings, paths: outline.root.children.map(({ path: at }) => at) },
				{ id: 'shop', stopTimeoutMs: 3_000, warnings: [], paths: ['a'] },
			);
			assert.is(path.dirname(file), cacheDir);
		},
	));

test('what was accepted can be loaded again, whatever has become of the file', () =>
	inFolder({ 'tree.ts': right }, async (dir, cacheDir) => {
		const result = await inspect(dir, cacheDir);
		assert.ok(result.ok, JSON.stringify(result));
		fs.writeFileSync(path.join(dir, 'tree.ts'), 'throw new Error();');
		assert.is((await loadSpec(result.bundle, path.join(dir, 'tree.ts'))).id, 'shop');
	}));

test('all mistakes come at once, those in files among them, and warnings do not hinder', () =>
	inFolder(
		{
			'tree.ts': `import { node, supervisor, tree } from 'choir';
export default tree('shop', { start: 'later' as never, children: [
	node('web', { module: './web.ts', envFile: '.env' }),
	supervisor('jobs', { restart: 'transient', children: [] }),
] });`,
		},
		async (dir, cacheDir) => {
			const refused = await inspect(dir, cacheDir);
			assert.not(refused.ok);
			assert.equal(refused.ok || refused.lines.map((line) => line.split(':')[0]), [
				'shop.start',
				'shop.children[0].envFile',
				'shop.children[0].module',
			]);
			fs.writeFileSync(path.join(dir, 'web.ts'), '');
			fs.writeFileSync(path.join(dir, '.env'), '');
			fs.writeFileSync(path.join(dir, 'tree.ts'), fs.readFileSync(path.join(dir, 'tree.ts'), 'utf8').replace('later', 'parallel'));
			const result = await inspect(dir, cacheDir);
			assert.ok(result.ok, JSON.stringify(result));
			assert.equal(
				result.warnings.map((line) => line.split(':')[0]),
				['shop.children[1].restart'],
			);
		},
	));

/** The pid that a spec wrote before it stayed. */
async function pidOf(file: string): Promise<number> {
	return until(`${file} is written`, () => fs.existsSync(file) && Number(fs.readFileSync(file, 'utf8')), 15_000) as Promise<number>;
}
const isAlive = (pid: number) => {
	try {
		return process.kill(pid, 0);
	} catch {
		return false;
	}
};
const stays = `import fs from 'node:fs';\nfs.writeFileSync(new URL('./pid', import.meta.url), String(process.pid));\n`;

for (const [how, end] of [
	['waits for ever', 'await new Promise(() => {});'],
	['is busy for ever', 'for (;;);'],
] as const) {
	test(`a spec that ${how} is given up in time, and its process is gone`, () =>
		inFolder({ 'tree.ts': stays + end }, async (dir, cacheDir) => {
			const result = await inspect(dir, cacheDir, { timeoutMs: 2_000 });
			assert.equal(result, { ok: false, exitCode: 78, lines: [`${dir}/tree.ts cannot be loaded: it took more than 2000 ms`] });
			assert.not(isAlive(await pidOf(path.join(dir, 'pid'))));
		}));

	test(`a spec that ${how} is no longer tried once that is called off`, () =>
		inFolder({ 'tree.ts': stays + end }, async (dir, cacheDir) => {
			const off = new AbortController();
			const trial = inspect(dir, cacheDir, { signal: off.signal });
			const pid = await pidOf(path.join(dir, 'pid'));
			off.abort();
			assert.not((await trial).ok);
			assert.not(isAlive(pid));
		}));
}

/** A process that tries a spec as the angel would, from the sources or built. */
function asker(inspection: string, dir: string, cacheDir: string, loader: string[] = []): ChildProcess {
	const program = `if (process.env.ASKED) process.exit(9);
process.env.ASKED = '1';
const { inspectSpec } = await import(${JSON.stringify(inspection)});
const { ok, lines } = await inspectSpec(${JSON.stringify(path.join(dir, 'tree.ts'))}, { cacheDir: ${JSON.stringify(cacheDir)} });
console.log(JSON.stringify({ ok, lines }));`;
	return spawn(process.execPath, [...loader, '--input-type=module', '-e', program], { stdio: ['ignore', 'pipe', 'inherit'] });
}

test('a busy spec does not outlive whoever asked, however that ends', () =>
	inFolder({ 'tree.ts': `${stays}for (;;);` }, async (dir, cacheDir) => {
		const asking = asker(built, dir, cacheDir);
		const pid = await pidOf(path.join(dir, 'pid'));
		asking.kill('SIGKILL');
		await until(`process ${pid} is no longer busy`, () => !isAlive(pid));
	}));

test('from the sources it is tried once, however the asking process was started', () =>
	inFolder({ 'tree.ts': right }, async (dir, cacheDir) => {
		const sources = pathToFileURL(path.join(import.meta.dirname, '../src/spec/inspection.ts')).href;
		const asking = asker(sources, dir, cacheDir, ['--import', import.meta.resolve('tsx')]);
		let said = '';
		asking.stdout?.setEncoding('utf8').on('data', (text: string) => {
			said += text;
		});
		await once(asking, 'close', { signal: AbortSignal.timeout(30_000) });
		assert.is(said, '{"ok":true}\n');
	}));

test('a trial that is called off before it begins ends at once', () =>
	inFolder({ 'tree.ts': right }, async (dir, cacheDir) => {
		assert.not((await inspect(dir, cacheDir, { signal: AbortSignal.abort() })).ok);
	}));

test('a cache that cannot be written is not the fault of the spec', () =>
	inFolder({ 'tree.ts': right, 'a-file': '' }, async (dir) => {
		const result = await inspect(dir, path.join(dir, 'a-file/cache'));
		assert.not(result.ok);
		if (result.ok) return;
		assert.is(result.exitCode, 1);
		assert.match(result.lines[0] as string, /tree\.ts could not be tried: ENOTDIR/);
	}));

test('JavaScript and CommonJS are specs as well', () =>
	inFolder(
		{
			'a.js': right.replace("'3s'", '3000'),
			'b.cjs': `module.exports = { kind: 'tree', id: 'b', children: [] };`,
			'c.cts': `Object.defineProperty(exports, '__esModule', { value: true, enumerable: true });\nexports.default = { kind: 'tree', id: 'c', children: [] };`,
		},
		async (dir, cacheDir) => {
			for (const [name, id] of [
				['a.js', 'shop'],
				['b.cjs', 'b'],
				['c.cts', 'c'],
			] as const) {
				const { file } = await bundle(path.join(dir, name), { cacheDir });
				assert.is((await loadSpec(file, path.join(dir, name))).id, id);
			}
		},
	));

test('files that are not there are named by their place in the spec', () =>
	inFolder({ 'there.ts': '', '.env': '', 'bin/tool': '', 'bin/plain': '' }, async (dir) => {
		fs.chmodSync(path.join(dir, 'bin/tool'), 0o755);
		const declaration = tree('shop', {
			children: [
				node('right', { module: './there.ts', envFile: '.env', cwd: 'bin', ready: { exec: ['./tool'] } }),
				command('sh', { run: ['sh'] }),
				command('own', { run: ['tool'], env: { PATH: path.join(dir, 'bin') } }),
				supervisor('jobs', {
					children: [
						node('a', { module: './bin', cwd: './nope', envFile: 'nope.env' }),
						command('b', { run: ['no-such-program-at-all'], live: { exec: ['./nope'] } }),
						command('c', { run: ['./bin/plain'] }),
					],
				}),
			],
		});
		const at = 'shop.children[3].children';
		assert.equal(
			checkFiles(declaration, dir).map(({ message }) => message),
			[
				`${at}[0].cwd: expected a folder that exists, got './nope'`,
				`${at}[0].envFile: expected a file that exists, got 'nope.env'`,
				`${at}[0].module: expected a module that exists (looked in ${dir}), got './bin'`,
				`${at}[1].run[0]: expected a program on PATH, or its path, got 'no-such-program-at-all'`,
				`${at}[1].live.exec[0]: expected a program on PATH, or its path, got './nope'`,
				`${at}[2].run[0]: expected a program on PATH, or its path, got './bin/plain'`,
			],
		);
		for (const odd of [null, 7, { children: 7 }, { children: [null, 7, { kind: 'node', module: 7 }, { kind: 'command', run: {} }] }])
			assert.equal(checkFiles(odd, dir), []);
	}));

test.run();
