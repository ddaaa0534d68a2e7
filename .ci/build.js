// Builds dist/ from src/ and machines/: aside, and put in its place when it is whole, so that what runs from it goes on.
// What starts as a process or thread of its own is bundled into one file: it starts sooner and needs megabytes less.
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = fileURLToPath(new URL('..', import.meta.url));
const dist = path.join(root, 'dist');
const aside = path.join(root, `dist.${process.pid}`);
const before = path.join(root, `dist.${process.pid}.old`);
/** Each stays where it was, so that what it names relative to itself is still there. */
const processes = ['src/angel/main.js', 'src/master/main.js', 'src/worker/thread.js', 'src/spec/inspect.js', 'src/view/server.js'];

try {
	const { status } = spawnSync(path.join(root, 'node_modules/.bin/tsc'), ['-p', 'tsconfig.build.json', '--outDir', aside], {
		cwd: root,
		stdio: 'inherit',
	});
	if (status !== 0) throw new Error('the types do not check');
	const small = { bundle: true, platform: 'node', target: 'node20', minifyWhitespace: true, minifySyntax: true };
	// What is required comes sooner than what is imported, by some milliseconds of each start of a worker.
	const preload = path.join(aside, 'src/worker/preload.js');
	const required = { ...small, minifyIdentifiers: true, format: 'cjs', logLevel: 'warning' };
	await build({ ...required, entryPoints: [preload], outfile: preload.replace(/js$/, 'cjs') });
	fs.rmSync(preload);
	await build({
		...small,
		entryPoints: processes.map((file) => path.join(aside, file)),
		outdir: aside,
		outbase: aside,
		allowOverwrite: true,
		format: 'esm',
		// The signals are armed once in a process, by whoever comes first.
		external: ['esbuild', 'ws', '*/arm.js'],
		logLevel: 'warning',
	});
	// The live page as browsers get it, so that who uses it needs no build step.
	const page = path.join(root, 'src/view/page');
	await build({
		entryPoints: [path.join(page, 'main.tsx'), path.join(page, 'page.css')],
		outdir: path.join(aside, 'src/view/page'),
		entryNames: 'page',
		bundle: true,
		minify: true,
		platform: 'browser',
		format: 'esm',
		target: 'es2022',
		legalComments: 'none',
		logLevel: 'warning',
	});
	fs.copyFileSync(path.join(page, 'index.html'), path.join(aside, 'src/view/page/index.html'));
	fs.writeFileSync(path.join(aside, '.built'), '');
	if (fs.existsSync(dist)) fs.renameSync(dist, before);
	fs.renameSync(aside, dist);
} catch (error) {
	console.error(`not built: ${error.message}`);
	process.exitCode = 1;
}
fs.rmSync(before, { recursive: true, force: true });
fs.rmSync(aside, { recursive: true, force: true });
