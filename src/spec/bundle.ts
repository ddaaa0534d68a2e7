/**
 * TypeScript, and every spec, as one cached ESM bundle: esbuild is loaded only if something changed. Packages stay outside,
 * as absolute addresses, so that a bundle may live far from them.
 */
import { createHash } from 'node:crypto';
import fs from 'node:fs/promises';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Loader, PartialMessage, Plugin } from 'esbuild';

export interface Bundle {
	/** The bundle itself. */
	file: string;
	hash: string;
	/** The sources it was made of. */
	inputs: string[];
}

/** Bundles kept in a cache. */
const KEPT = 50;
/** Changes whenever the same sources would give another bundle. */
const RECIPE = 'choir-bundle-2';
const extension = path.extname(import.meta.url);
/** choir is always the one that runs, whatever is installed beside the spec. */
const own: Record<string, string> = {
	choir: new URL(`../index${extension}`, import.meta.url).href,
	'choir/worker': new URL(`../worker/index${extension}`, import.meta.url).href,
	'choir/machines': new URL(`../../machines/index${extension}`, import.meta.url).href,
};

/** Whether Node cannot run a module as it is. */
export function needsBundle(file: string): boolean {
	return /\.[mc]?tsx?$/.test(file);
}

/** Bundles a module. Rejects with one sentence that names file, line and column. */
export async function bundle(file: string, { cacheDir }: { cacheDir: string }): Promise<Bundle> {
	const source = path.resolve(file);
	const entry = path.join(cacheDir, digest(`${RECIPE} ${extension} ${source}`));
	const cached = await readCached(`${entry}.json`);
	if (cached !== null) return cached;
	await fs.mkdir(cacheDir, { recursive: true, mode: 0o700 });
	const { text, inputs } = await build(source, `${entry}.mjs`);
	const hashes = await Promise.all(inputs.map(async (input) => [input, digest(await fs.readFile(input))]));
	const hash = digest(text);
	const built = `${entry}-${hash}.mjs`;
	await write(built, text);
	await write(`${entry}.json`, JSON.stringify({ file: built, hash, inputs: hashes }));
	await prune(cacheDir);
	return { file: built, hash, inputs };
}

function digest(content: string | Uint8Array): string {
	return createHash('sha256').update(content).digest('hex').slice(0, 24);
}

/** The bundle that an index names, if all of its sources are still what they were. */
async function readCached(index: string): Promise<Bundle | null> {
	try {
		const { file, hash, inputs } = JSON.parse(await fs.readFile(index, 'utf8')) as {
			file: string;
			hash: string;
			inputs: Array<[string, string]>;
		};
		const same = await Promise.all(inputs.map(async ([input, before]) => digest(await fs.readFile(input)) === before));
		await fs.access(file);
		return same.every(Boolean) ? { file, hash, inputs: inputs.map(([input]) => input) } : null;
	} catch {
		return null;
	}
}

/** Written aside and renamed: another process that bundles the same at the same time does no harm. */
async function write(file: string, text: string): Promise<void> {
	const aside = `${file}.${process.pid}`;
	await fs.writeFile(aside, text, { mode: 0o600 });
	await fs.rename(aside, file);
}

async function prune(cacheDir: string): Promise<void> {
	const names = (await fs.readdir(cacheDir)).filter((name) => name.endsWith('.mjs'));
	if (names.length <= KEPT) return;
	const aged = await Promise.all(
		names.map(async (name) => ({ name, at: (await fs.stat(path.join(cacheDir, name)).catch(() => null))?.mtimeMs ?? 0 })),
	);
	aged.sort((a, b) => b.at - a.at);
	await Promise.all(aged.slice(KEPT).map(({ name }) => fs.rm(path.join(cacheDir, name), { force: true })));
}

/** `outfile` is never written: the source map's paths are relative to it. */
async function build(source: string, outfile: string): Promise<{ text: string; inputs: string[] }> {
	const esbuild = await import('esbuild');
	try {
		const { outputFiles, metafile } = await esbuild.build({
			entryPoints: [source],
			outfile,
			bundle: true,
			write: false,
			metafile: true,
			platform: 'node',
			format: 'esm',
			target: 'node20',
			conditions: [],
			sourcemap: 'inline',
			sourcesContent: false,
			logLevel: 'silent',
			absWorkingDir: path.dirname(source),
			plugins: [outside, placed],
		});
		const inputs = Object.keys(metafile.inputs).map((input) => path.resolve(path.dirname(source), input));
		return { text: outputFiles[0]?.text ?? '', inputs };
	} catch (error) {
		const [first] = (error as { errors?: PartialMessage[] }).errors ?? [];
		if (first === undefined) throw error;
		const { location, text = '' } = first;
		const where =
			location == null
				? source
				: `${path.resolve(path.dirname(source), location.file ?? '')}:${location.line}:${(location.column ?? 0) + 1}`;
		throw new Error(`${where}: ${sentenceOf(text)}`);
	} finally {
		await esbuild.stop();
	}
}

function sentenceOf(text: string): string {
	const missing = /^Could not resolve "(.+)"/.exec(text);
	return missing === null ? text : `there is no module '${missing[1]}'`;
}

/** Leaves packages and Node's own modules where they are. */
const outside: Plugin = {
	name: 'outside',
	setup(build) {
		build.onResolve({ filter: /^[^./]/ }, async ({ path: name, kind, resolveDir, importer, pluginData }) => {
			if (kind === 'entry-point' || pluginData === 'outside' || path.isAbsolute(name)) return null;
			if (name.startsWith('node:')) return { path: name, external: true };
			const ours = own[name];
			if (ours !== undefined) return { path: ours, external: true };
			const found = await build.resolve(name, { kind, resolveDir, importer, pluginData: 'outside' });
			if (found.errors.length > 0 || found.external) return found;
			return { path: pathToFileURL(found.path).href, external: true };
		});
	},
};

const loaders: Record<string, Loader> = { '.ts': 'ts', '.mts': 'ts', '.cts': 'ts', '.tsx': 'tsx', '.jsx': 'jsx' };

/** Where a module says it is, is where its source is. */
const placed: Plugin = {
	name: 'placed',
	setup(build) {
		build.onLoad({ filter: /\.[mc]?[jt]sx?$/ }, async ({ path: file }) => {
			const contents = await fs.readFile(file, 'utf8');
			const loader = loaders[path.extname(file)] ?? 'js';
			if (!/\bimport\.meta\b|\b__(dirname|filename)\b/.test(contents)) return { contents, loader };
			const place = [
				['import.meta.url', pathToFileURL(file).href],
				['import.meta.filename', file],
				['import.meta.dirname', path.dirname(file)],
				['__filename', file],
				['__dirname', path.dirname(file)],
			] as const;
			const { transform } = await import('esbuild');
			const define = Object.fromEntries(place.map(([name, value]) => [name, JSON.stringify(value)]));
			const { code } = await transform(contents, {
				loader,
				define,
				format: 'esm',
				target: 'node20',
				sourcemap: 'inline',
				sourcefile: file,
				sourcesContent: false,
			});
			return { contents: code, loader: 'js' };
		});
	},
};
