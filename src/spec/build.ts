/**
 * Makes one ESM text of a module and its local imports, by esbuild. Packages stay outside, as absolute addresses, so that the
 * text may live far from them; a module that asks where it is hears where its source is.
 */
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import { isBuiltin } from 'node:module';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import type { BuildFailure, BuildOptions, Loader, Plugin } from 'esbuild';

export interface Built {
	text: string;
	/** The sources, and the digests of what was read. */
	inputs: Array<[file: string, digest: string]>;
	/** Files of packages that the text imports by their address. */
	packages: string[];
}

/** A bundle that cannot be made. The message is one sentence that names file, line and column. */
export class BundleError extends Error {
	override name = 'BundleError';
}

/** For one build: esbuild takes milliseconds. */
const BUILD_MS = 60_000;

const extension = path.extname(import.meta.url);
/** choir is always the one that runs, whatever is installed beside the spec. */
export const own: Record<string, string> = {
	choir: new URL(`../index${extension}`, import.meta.url).href,
	'choir/worker': new URL(`../worker/index${extension}`, import.meta.url).href,
	'choir/testing': new URL(`../testing/index${extension}`, import.meta.url).href,
	'choir/machines': new URL(`../../machines/index${extension}`, import.meta.url).href,
};

/** What stands for `import.meta` in each source that asks for it. */
const META = '__choirMeta';
const options = {
	bundle: true,
	write: false,
	platform: 'node',
	format: 'esm',
	target: 'node20',
	// As Node resolves: without the fields and conditions that only bundlers know.
	conditions: [],
	mainFields: ['main'],
	define: { 'import.meta': META, __dirname: `${META}.dirname`, __filename: `${META}.filename` },
	// A package.json may call files free of side effects; Node runs them all the same.
	ignoreAnnotations: true,
	charset: 'utf8',
	legalComments: 'none',
	sourcemap: 'external',
	sourcesContent: false,
	logLevel: 'silent',
} satisfies BuildOptions;

const loaders: Record<string, Loader> = { '.ts': 'ts', '.mts': 'ts', '.cts': 'ts', '.tsx': 'tsx', '.jsx': 'jsx', '.json': 'json' };

export function digest(content: string | Uint8Array): string {
	return createHash('sha256').update(content).digest('hex').slice(0, 24);
}

/** esbuild has one process for all that is built at the same time; whoever is last ends it. */
let builds = 0;

export async function build(source: string): Promise<Built> {
	const inputs = new Map<string, string>();
	const packages = new Set<string>();
	const shifts = new Map<string, number>();
	const folder = path.dirname(source);
	builds += 1;
	const esbuild = await import('esbuild');
	let late: NodeJS.Timeout | undefined;
	try {
		const building = esbuild.build({
			...options,
			entryPoints: [source],
			outfile: path.join(folder, 'bundle.mjs'),
			absWorkingDir: folder,
			banner: { js: passingFor(source) },
			plugins: [outside(packages), placed(inputs, shifts)],
		});
		const limit = new Promise<never>((_, reject) => {
			late = setTimeout(() => reject(new BundleError(`${source}: not bundled within ${BUILD_MS / 1_000} s`)), BUILD_MS);
		});
		const { outputFiles } = await Promise.race([building, limit]);
		const [map, code] = outputFiles as unknown as [{ text: string }, { text: string }];
		return { text: code.text + mapComment(map.text, folder), inputs: [...inputs], packages: [...packages] };
	} catch (error) {
		throw sentenceOf(error, folder, shifts);
	} finally {
		clearTimeout(late);
		builds -= 1;
		if (builds === 0) await esbuild.stop();
	}
}

/** A program that asks whether it is the main module compares its address with `argv[1]`: both have to be the source's. */
function passingFor(source: string): string {
	const name = `process.getBuiltinModule('node:path').basename(process.argv[1] ?? '')`;
	return `if (import.meta.url.endsWith('/' + ${name})) process.argv[1] = ${JSON.stringify(source)};`;
}

/** The source map within the text, with absolute addresses: wherever the text lies, it points to the sources. */
function mapComment(json: string, folder: string): string {
	const map = JSON.parse(json) as { sources: string[] };
	const sources = map.sources.map((file) => pathToFileURL(path.resolve(folder, file)).href);
	const encoded = Buffer.from(JSON.stringify({ ...map, sources })).toString('base64');
	return `//# sourceMappingURL=data:application/json;base64,${encoded}\n`;
}

function sentenceOf(error: unknown, folder: string, shifts: Map<string, number>): Error {
	const [first, ...more] = (error as Partial<BuildFailure>).errors ?? [];
	if (first === undefined) return error as Error;
	const missing = /^Could not resolve "(.+)"/.exec(first.text);
	const what = missing === null ? first.text : `there is no module '${missing[1]}'`;
	const rest = more.length > 0 ? ` (and ${more.length} more)` : '';
	if (first.location === null) return new BundleError(`${what}${rest}`);
	const { line, column } = first.location;
	const file = path.resolve(folder, first.location.file);
	const shift = line === 1 ? (shifts.get(file) ?? 0) : 0;
	return new BundleError(`${file}:${line}:${Math.max(0, column - shift) + 1}: ${what}${rest}`);
}

/** Leaves packages and Node's own modules where they are. */
const outside = (packages: Set<string>): Plugin => ({
	name: 'outside',
	setup(build) {
		build.onResolve({ filter: /^[^./]/ }, async ({ path: name, kind, resolveDir, importer, pluginData }) => {
			if (kind === 'entry-point' || pluginData === 'outside' || path.isAbsolute(name) || /^(data|https?):/.test(name)) return null;
			if (name.startsWith('file:')) return { path: fileURLToPath(name) };
			if (isBuiltin(name) && kind !== 'require-call') return { path: name, external: true };
			const ours = own[name];
			if (kind === 'require-call') {
				const asked = ours === undefined ? name : fileURLToPath(ours);
				if (ours !== undefined || isBuiltin(name)) return { path: asked, namespace: 'required', pluginData: importer };
			} else if (ours !== undefined) return { path: ours, external: true };
			const found = await build.resolve(name, { kind, resolveDir, importer, pluginData: 'outside' });
			// esbuild itself says what is wrong, and lets pass what stands in a try block.
			if (found.errors.length > 0) return null;
			if (found.external || !staysOutside(name, found.path, resolveDir)) return found;
			packages.add(found.path);
			if (kind === 'require-call') return { path: found.path, namespace: 'required', pluginData: importer };
			return { path: pathToFileURL(found.path).href, external: true };
		});
		// In an ESM text there is no `require`: what is required and stays outside is asked of one made for its importer.
		build.onLoad({ filter: /.*/, namespace: 'required' }, ({ path: name, pluginData: importer }) => ({
			contents: `module.exports = process.getBuiltinModule('node:module').createRequire(${JSON.stringify(importer)})(${JSON.stringify(name)});`,
		}));
	},
});

/** Whether Node shall load it itself: what comes from a folder of packages and is JavaScript, also where that is only linked there. */
function staysOutside(name: string, file: string, resolveDir: string): boolean {
	if (/\.([mc]?tsx?|jsx|json)$/.test(file)) return false;
	if (file.split(path.sep).includes('node_modules')) return true;
	const packageName = name.split('/', name.startsWith('@') ? 2 : 1).join('/');
	for (let folder = resolveDir; ; folder = path.dirname(folder)) {
		if (fs.existsSync(path.join(folder, 'node_modules', packageName))) return true;
		if (folder === path.dirname(folder)) return false;
	}
}

/** Where a module says it is, is where its source is. */
const placed = (inputs: Map<string, string>, shifts: Map<string, number>): Plugin => ({
	name: 'placed',
	setup(build) {
		build.onLoad({ filter: /\.([mc]?[jt]sx?|json)$/, namespace: 'file' }, async ({ path: file }) => {
			const text = await fs.promises.readFile(file, 'utf8');
			inputs.set(file, digest(text));
			const loader = loaders[path.extname(file)] ?? 'js';
			if (loader === 'json' || !/\bimport\.meta\b|\b__(dirname|filename)\b/.test(text)) return { contents: text, loader };
			const meta = metaOf(file);
			shifts.set(file, Buffer.byteLength(meta));
			// On the first line, so that all lines keep their numbers.
			return { contents: meta + text.replace(/^(\uFEFF)?(#!.*)?/, ''), loader };
		});
	},
});

/** `resolve` takes what Node's does, but reads packages by their conditions for `require`. */
function metaOf(file: string): string {
	const { href } = pathToFileURL(file);
	const place = { url: href, filename: file, dirname: path.dirname(file) };
	const builtin = (name: string) => `process.getBuiltinModule('node:${name}')`;
	const ofPackage = `${builtin('url')}.pathToFileURL(${builtin('module')}.createRequire(${META}.url).resolve(name)).href`;
	const resolve = `(name) => /^\\.{0,2}\\/|^[a-z]+:/.test(name) ? new URL(name, ${META}.url).href : ${ofPackage}`;
	return `const ${META} = { ...${JSON.stringify(place)}, resolve: ${resolve} };`;
}
