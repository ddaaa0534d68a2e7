/** Bundles: what they hold, where they say they are, and when a cache may be trusted. */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { bundle, needsBundle } from '../src/spec/bundle.ts';

interface Place {
	dir: string;
	cacheDir: string;
	write(name: string, text: string): string;
}

/** A folder with these files, and a cache far from it. */
async function inFolder(files: Record<string, string>, act: (place: Place) => Promise<void>): Promise<void> {
	const root = fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), 'choir-bundle-')));
	const dir = path.join(root, 'project');
	const write = (name: string, text: string) => {
		const file = path.join(dir, name);
		fs.mkdirSync(path.dirname(file), { recursive: true });
		fs.writeFileSync(file, text);
		return file;
	};
	try {
		for (const [name, text] of Object.entries(files)) write(name, text);
		await act({ dir, cacheDir: path.join(root, 'cache'), write });
	} finally {
		fs.rmSync(root, { recursive: true, force: true });
	}
}

/** What a file prints as a program of its own. */
function run(file: string, ...flags: string[]): { stdout: string; stderr: string; status: number | null } {
	const { stdout, stderr, status } = spawnSync(process.execPath, [...flags, file], {
		encoding: 'utf8',
		timeout: 20_000,
		env: { PATH: process.env.PATH },
	});
	return { stdout: stdout.trim(), stderr, status };
}
const failure = (promise: Promise<unknown>) =>
	promise.then(
		() => 'no failure',
		(error: Error) => error.message,
	);
const mjs = (cacheDir: string) => fs.readdirSync(cacheDir).filter((name) => name.endsWith('.mjs'));

test('which files Node cannot run', () => {
	for (const name of ['a.ts', 'a.mts', 'a.cts', 'a.tsx']) assert.ok(needsBundle(name), name);
	for (const name of ['a.js', 'a.mjs', 'a.cjs', 'a.json', 'ts']) assert.not(needsBundle(name), name);
});

test('TypeScript, JSON and what is imported from other folders become one file', () =>
	inFolder(
		{
			'main.ts': `import { add } from './deep/add.js';\nimport settings from './settings.json' with { type: 'json' };\nconsole.log(add(settings.one as number, 2));`,
			'deep/add.ts': 'enum Sign { Plus = 1 }\nexport const add = (a: number, b: number): number => a + Sign.Plus * b;',
			'settings.json': '{ "one": 1 }',
		},
		async ({ dir, cacheDir }) => {
			const { file, hash, inputs } = await bundle(path.join(dir, 'main.ts'), { cacheDir });
			assert.is(run(file).stdout, '3');
			assert.match(path.basename(file), /^main-[0-9a-f]{24}\.mjs$/);
			assert.ok(file.includes(hash));
			assert.is(inputs[0], path.join(dir, 'main.ts'));
			assert.equal(
				[...inputs].sort(),
				['deep/add.ts', 'main.ts', 'settings.json'].map((name) => path.join(dir, name)),
			);
			assert.is(fs.statSync(cacheDir).mode & 0o777, 0o700);
		},
	));

test('every source says where it is itself', () =>
	inFolder(
		{
			'main.ts': `#!/usr/bin/env node
import fs from 'node:fs';
import { fileURLToPath } from 'node:url';
import { inner } from './deep/inner.ts';
const { url, filename } = import.meta;
console.log(JSON.stringify({ url, filename, dirname: import.meta.dirname, old: [__dirname, __filename], inner,
	text: fs.readFileSync(new URL('./text', import.meta.url), 'utf8'), next: import.meta.resolve('./next.js'), pkg: import.meta.resolve('pkg'),
	isMain: process.argv[1] === fileURLToPath(import.meta.url) }));`,
			'deep/inner.ts': `const __dirname = 'its own'; export const inner = [__dirname, __filename, import.meta.filename];`,
			text: 'hello',
			'node_modules/pkg/package.json': '{ "name": "pkg", "main": "pkg.js" }',
			'node_modules/pkg/pkg.js': '',
		},
		async ({ dir, cacheDir }) => {
			const { file } = await bundle(path.join(dir, 'main.ts'), { cacheDir });
			const main = path.join(dir, 'main.ts');
			const inner = path.join(dir, 'deep/inner.ts');
			const { stdout, stderr } = run(file);
			assert.is(stderr, '');
			assert.equal(JSON.parse(stdout), {
				url: pathToFileURL(main).href,
				filename: main,
				dirname: dir,
				old: [dir, main],
				inner: ['its own', inner, inner],
				text: 'hello',
				next: pathToFileURL(path.join(dir, 'next.js')).href,
				pkg: pathToFileURL(path.join(dir, 'node_modules/pkg/pkg.js')).href,
				isMain: true,
			});
		},
	));

test('packages stay where they are; linked ones too; TypeScript among them is taken in', () =>
	inFolder(
		{
			'app/main.ts': `import { where, both } from 'pkg';\nimport linked from 'linked/sub';\nimport { typed } from 'typed';\nimport meta from 'pkg/package.json';\nimport { sep } from 'path';\nimport { alias } from '#local';\nconsole.log(JSON.stringify([where, both, linked, typed, meta.name, sep, alias]));`,
			'app/package.json': '{ "name": "app", "imports": { "#local": "./local.ts" } }',
			'app/local.ts': `export const alias = 'alias';`,
			'app/node_modules/pkg/package.json':
				'{ "name": "pkg", "type": "module", "exports": { ".": { "module": "./bundler.js", "import": "./index.js", "require": "./index.cjs" }, "./package.json": "./package.json" } }',
			'app/node_modules/pkg/index.js': `export const where = import.meta.url; export const both = 'import';`,
			'app/node_modules/pkg/bundler.js': `export const both = 'module';`,
			'app/node_modules/pkg/index.cjs': `exports.both = 'require';`,
			'app/node_modules/typed/package.json': '{ "name": "typed", "main": "typed.ts" }',
			'app/node_modules/typed/typed.ts': `export const typed: string = 'typed';`,
			'linked/package.json': '{ "name": "linked", "type": "module" }',
			'linked/sub.js': `export default import.meta.url;`,
		},
		async ({ dir, cacheDir }) => {
			fs.symlinkSync(path.join(dir, 'linked'), path.join(dir, 'app/node_modules/linked'));
			const { file, inputs } = await bundle(path.join(dir, 'app/main.ts'), { cacheDir });
			const { stdout, stderr } = run(file);
			assert.is(stderr, '');
			const at = (name: string) => pathToFileURL(path.join(dir, name)).href;
			assert.equal(JSON.parse(stdout), [
				at('app/node_modules/pkg/index.js'),
				'import',
				at('linked/sub.js'),
				'typed',
				'pkg',
				path.sep,
				'alias',
			]);
			assert.not.ok(inputs.some((input) => input.endsWith('index.js')));
		},
	));

test('a CommonJS module may require files, packages and what Node has', () =>
	inFolder(
		{
			'main.cts': `const { both } = require('pkg');\nconst fs = require('fs');\nlet optional = 'there';\ntry { require('nowhere'); } catch { optional = 'not there'; }\nmodule.exports = { kind: 'tree', both, other: require('./other.cjs'), fs: typeof fs.readFileSync, optional };`,
			'other.cjs': `exports.name = require('path').basename(__filename); exports.dir = __dirname;`,
			'node_modules/pkg/package.json': '{ "name": "pkg", "exports": { "import": "./index.mjs", "require": "./index.cjs" } }',
			'node_modules/pkg/index.cjs': `exports.both = 'require';`,
			'node_modules/pkg/index.mjs': `export const both = 'import';`,
		},
		async ({ dir, cacheDir }) => {
			const { file } = await bundle(path.join(dir, 'main.cts'), { cacheDir });
			const { default: exported } = await import(pathToFileURL(file).href);
			assert.equal(exported, { kind: 'tree', both: 'require', other: { name: 'other.cjs', dir }, fs: 'function', optional: 'not there' });
		},
	));

test('choir is always the one that runs', () =>
	inFolder(
		{
			'main.ts': `import { tree } from 'choir';\nexport default tree('shop', { children: [] });`,
			'node_modules/choir/package.json': '{ "name": "choir", "type": "module", "main": "index.js" }',
			'node_modules/choir/index.js': `throw new Error('another choir');`,
		},
		async ({ dir, cacheDir }) => {
			const { file } = await bundle(path.join(dir, 'main.ts'), { cacheDir });
			assert.equal((await import(pathToFileURL(file).href)).default, { kind: 'tree', id: 'shop', children: [] });
		},
	));

test('a stack names the lines of the sources', () =>
	inFolder(
		{
			'main.ts': `import { fail } from './fail.ts';\n\nfail();`,
			'fail.ts': `interface Unused {\n\tx: 1;\n}\nexport function fail(): never {\n\tthrow new Error('boom');\n}`,
		},
		async ({ dir, cacheDir }) => {
			const { file } = await bundle(path.join(dir, 'main.ts'), { cacheDir });
			const { stderr } = run(file, '--enable-source-maps');
			assert.match(stderr, `${path.join(dir, 'fail.ts')}:5:`);
			assert.match(stderr, `${path.join(dir, 'main.ts')}:3:`);
		},
	));

const broken: Array<[what: string, files: Record<string, string>, message: string]> = [
	['a mistake in the syntax', { 'main.ts': 'export default {\n\ta: 1;\n};' }, 'main.ts:2:6: Expected "}" but found ";"'],
	['the first of several', { 'main.ts': 'import "./a.ts"; import "./b.ts";' }, "main.ts:1:8: there is no module './a.ts' (and 1 more)"],
	['a package that is not installed', { 'main.ts': '\nimport x from "nowhere"; x();' }, "main.ts:2:15: there is no module 'nowhere'"],
	[
		'the column of a first line that asks where it is',
		{ 'main.ts': 'import.meta.url; import "./a.ts";' },
		"main.ts:1:25: there is no module './a.ts'",
	],
	[
		'the file in which it is',
		{ 'main.ts': 'import "./deep/inner.ts";', 'deep/inner.ts': '\n\nconst x = ;' },
		'deep/inner.ts:3:11: Unexpected ";"',
	],
	['a module that does not exist', {}, 'main.ts: there is no such file'],
	['a folder', { 'main.ts/x': '' }, 'main.ts: this is no file'],
];
for (const [what, files, message] of broken) {
	test(`a failure names ${what}`, () =>
		inFolder(files, async ({ dir, cacheDir }) => {
			assert.is(await failure(bundle(path.join(dir, 'main.ts'), { cacheDir })), path.join(dir, message));
		}));
}

test('what is cached is used until something it was made of changes', () =>
	inFolder(
		{
			'main.ts': `import { x } from './x.ts';\nimport 'pkg';\nexport default x;`,
			'x.ts': 'export const x = 1;',
			'package.json': '{ "name": "project" }',
			'node_modules/pkg/package.json': '{ "name": "pkg", "main": "a.js" }',
			'node_modules/pkg/a.js': '',
			'node_modules/pkg/b.js': '',
		},
		async ({ dir, cacheDir, write }) => {
			const main = path.join(dir, 'main.ts');
			const first = await bundle(main, { cacheDir });
			const inode = () => fs.statSync(first.file).ino;
			const before = inode();
			assert.equal(await bundle(main, { cacheDir }), first);
			assert.is(inode(), before, 'it was not written again');

			write('x.ts', 'export const x = 2;');
			const second = await bundle(main, { cacheDir });
			assert.is.not(second.hash, first.hash);
			assert.ok(fs.existsSync(first.file), 'a master that runs may still need it');
			write('x.ts', 'export const x = 1;');
			assert.equal(await bundle(main, { cacheDir }), first);

			write('node_modules/pkg/package.json', '{ "name": "pkg", "main": "b.js" }');
			const moved = await bundle(main, { cacheDir });
			assert.match(fs.readFileSync(moved.file, 'utf8'), 'pkg/b.js');
			fs.rmSync(path.join(dir, 'node_modules'), { recursive: true });
			assert.match(await failure(bundle(main, { cacheDir })), "there is no module 'pkg'");
		},
	));

test('settings count as well: one that changes, one that comes nearer', () =>
	inFolder(
		{
			'tsconfig.json': '{ "compilerOptions": { "paths": { "@/*": ["./one/*"] } } }',
			'app/main.ts': `import { x } from '@/x';\nexport default x;`,
			'one/x.ts': `export const x = 'one';`,
			'two/x.ts': `export const x = 'two';`,
		},
		async ({ dir, cacheDir, write }) => {
			const exported = async () =>
				(await import(pathToFileURL((await bundle(path.join(dir, 'app/main.ts'), { cacheDir })).file).href)).default;
			assert.is(await exported(), 'one');
			write('tsconfig.json', '{ "compilerOptions": { "paths": { "@/*": ["./two/*"] } } }');
			assert.is(await exported(), 'two');
			write('app/tsconfig.json', '{ "compilerOptions": { "paths": { "@/*": ["../one/*"] } } }');
			assert.is(await exported(), 'one');
		},
	));

test('a damaged cache is made anew', () =>
	inFolder({ 'main.ts': 'export default 1 as number;' }, async ({ dir, cacheDir }) => {
		const main = path.join(dir, 'main.ts');
		const { file, hash } = await bundle(main, { cacheDir });
		const text = fs.readFileSync(file, 'utf8');
		fs.writeFileSync(file, text.slice(0, 10));
		assert.is((await bundle(main, { cacheDir })).hash, hash);
		assert.is(fs.readFileSync(file, 'utf8'), text);
		fs.rmSync(file);
		assert.is((await bundle(main, { cacheDir })).file, file);
		for (const name of fs.readdirSync(cacheDir)) if (name.endsWith('.json')) fs.writeFileSync(path.join(cacheDir, name), '{');
		assert.is((await bundle(main, { cacheDir })).file, file);
		assert.is(fs.readFileSync(file, 'utf8'), text);
	}));

test('several at once, of one module and of many, do not disturb each other', () =>
	inFolder({}, async ({ dir, cacheDir, write }) => {
		const files = Array.from({ length: 6 }, (_, index) => write(`m${index}.ts`, `export default ${index} as number;`));
		write('broken.ts', 'const x = ;');
		const broken = failure(bundle(path.join(dir, 'broken.ts'), { cacheDir }));
		const made = await Promise.all([...files, ...files].map((file) => bundle(file, { cacheDir })));
		assert.match(await broken, 'broken.ts:1:11:');
		assert.is(new Set(made.map(({ file }) => file)).size, 6);
		for (const [index, { file }] of made.entries()) assert.is((await import(pathToFileURL(file).href)).default, index % 6);
		assert.not.ok(fs.readdirSync(cacheDir).some((name) => name.endsWith('.aside')));
	}));

test('the fifty that were used last are kept', () =>
	inFolder({ 'main.ts': 'export default 0 as number;' }, async ({ dir, cacheDir, write }) => {
		const first = await bundle(path.join(dir, 'main.ts'), { cacheDir });
		const long = new Date(Date.now() - 7_200_000);
		for (let index = 0; index < 60; index++) {
			const file = path.join(cacheDir, `old${index}-x.mjs`);
			fs.writeFileSync(file, '');
			fs.utimesSync(file, new Date(long.getTime() + index), new Date(long.getTime() + index));
		}
		fs.writeFileSync(path.join(cacheDir, 'x.mjs.1.aside'), '');
		fs.utimesSync(path.join(cacheDir, 'x.mjs.1.aside'), long, long);
		fs.utimesSync(first.file, long, long);
		await bundle(path.join(dir, 'main.ts'), { cacheDir });
		await bundle(write('other.ts', 'export default 1 as number;'), { cacheDir });
		assert.is(mjs(cacheDir).length, 50);
		assert.ok(fs.existsSync(first.file), 'used lately');
		assert.not.ok(fs.existsSync(path.join(cacheDir, 'old0-x.mjs')));
		assert.not.ok(fs.existsSync(path.join(cacheDir, 'x.mjs.1.aside')));
	}));

test('esbuild leaves no process behind, and is not even loaded for what is cached', () =>
	inFolder({ 'main.ts': 'export default 1 as number;' }, async ({ dir, cacheDir, write }) => {
		const bundleUrl = pathToFileURL(path.join(import.meta.dirname, '../dist/src/spec/bundle.js')).href;
		const program = write(
			'probe.mjs',
			`import fs from 'node:fs';
import { createRequire } from 'node:module';
import { bundle } from ${JSON.stringify(bundleUrl)};
await bundle(${JSON.stringify(path.join(dir, 'main.ts'))}, { cacheDir: ${JSON.stringify(cacheDir)} });
const look = () => fs.readFileSync(\`/proc/self/task/\${process.pid}/children\`, 'utf8').trim();
// It has been told to go, and needs a moment for it.
for (const from = Date.now(); look() !== '' && Date.now() - from < 5_000; ) await new Promise((resolve) => setTimeout(resolve, 5));
const children = look();
console.log(JSON.stringify({ children,
	loaded: Object.keys(createRequire(import.meta.url).cache).some((file) => file.includes('esbuild')) }));`,
		);
		assert.equal(JSON.parse(run(program).stdout), { children: '', loaded: true });
		assert.equal(JSON.parse(run(program).stdout), { children: '', loaded: false });
	}));

test.run();
