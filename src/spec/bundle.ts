/**
 * TypeScript, and every spec, as one cached ESM bundle. What is in the cache is used if all that it was made of is still
 * the same; only otherwise esbuild is loaded.
 */
import { randomUUID } from 'node:crypto';
import fs from 'node:fs/promises';
import { createRequire } from 'node:module';
import path from 'node:path';
import { BundleError, build, digest } from './build.ts';

export interface Bundle {
	/** The bundle itself. */
	file: string;
	/** Of its content. */
	hash: string;
	/** The sources it was made of, the module itself first. */
	inputs: string[];
}

/** What the cache knows of a module: its bundle, and what has to be as it was. */
interface Entry {
	/** A name in the cache. */
	name: string;
	hash: string;
	inputs: Array<[file: string, digest: string]>;
	/** Files that steer a build, and where one would; null where there is none. */
	settings: Array<[file: string, digest: string | null]>;
	/** Files of packages that the bundle imports by their address. */
	packages: string[];
}

/** Bundles kept in a cache: those last used. */
const KEPT = 50;
/** A file that was written aside is no longer on its way then. */
const ASIDE_MS = 3_600_000;
/** Changes whenever the same sources would give another bundle. */
const RECIPE = 'choir-bundle-3';
const { version } = createRequire(import.meta.url)('choir/package.json') as { version: string };
/** Bundles name the choir that runs by its place. */
const maker = [RECIPE, version, new URL('..', import.meta.url), process.versions.node.split('.')[0]].join(' ');

/** Whether Node cannot run a module as it is. */
export function needsBundle(file: string): boolean {
	return /\.[mc]?tsx?$/.test(file);
}

const underWay = new Map<string, Promise<Bundle>>();

/**
 * Bundles a module into `cacheDir`, which is made if need be. Rejects with a `BundleError`, one sentence that names file, line
 * and column. Whoever bundles the same at the same time does no harm.
 */
export function bundle(file: string, { cacheDir }: { cacheDir: string }): Promise<Bundle> {
	const source = path.resolve(file);
	const index = path.join(cacheDir, `${digest(`${maker} ${source}`)}.json`);
	const running = underWay.get(index);
	if (running !== undefined) return running;
	const made = fromCache(cacheDir, index).then((cached) => cached ?? make(source, cacheDir, index));
	underWay.set(index, made);
	const done = () => underWay.delete(index);
	made.then(done, done);
	return made;
}

async function make(source: string, cacheDir: string, index: string): Promise<Bundle> {
	const stat = await fs.stat(source).catch(() => null);
	if (stat === null) throw new BundleError(`${source}: there is no such file`);
	if (!stat.isFile()) throw new BundleError(`${source}: this is no file`);
	const { text, inputs, packages } = await build(source);
	await fs.mkdir(cacheDir, { recursive: true, mode: 0o700 });
	const hash = digest(text);
	const name = `${path.parse(source).name.replace(/[^\w-]/g, '_')}-${hash}.mjs`;
	const entry: Entry = { name, hash, inputs, settings: await settingsOf(inputs, packages), packages };
	await write(path.join(cacheDir, name), text);
	await write(index, JSON.stringify(entry));
	await prune(cacheDir);
	return bundleOf(cacheDir, entry);
}

function bundleOf(cacheDir: string, { name, hash, inputs }: Entry): Bundle {
	return { file: path.join(cacheDir, name), hash, inputs: inputs.map(([input]) => input) };
}

async function fromCache(cacheDir: string, index: string): Promise<Bundle | null> {
	try {
		const entry = JSON.parse(await fs.readFile(index, 'utf8')) as Entry;
		const { file, hash } = bundleOf(cacheDir, entry);
		const asItWas = [...entry.inputs, ...entry.settings, [file, hash] as const].map(
			async ([one, before]) => (await digestOf(one)) === before,
		);
		const there = entry.packages.map((one) => fs.access(one).then(() => true));
		if (!(await Promise.all([...asItWas, ...there])).every(Boolean)) return null;
		const now = new Date();
		// What is used lately is kept; not on a disk that can only be read.
		await Promise.all([file, index].map((one) => fs.utimes(one, now, now).catch(() => {})));
		return bundleOf(cacheDir, entry);
	} catch {
		// No entry, or one that cannot be read: as good as none.
		return null;
	}
}

function digestOf(file: string): Promise<string | null> {
	return fs.readFile(file).then(digest, () => null);
}

/** The nearest `tsconfig.json` (not what it extends) and `package.json` of each source, and the `package.json` of each package. */
async function settingsOf(inputs: Entry['inputs'], packages: string[]): Promise<Entry['settings']> {
	const settings = new Map<string, string | null>();
	for (const folder of new Set(inputs.map(([input]) => path.dirname(input)))) {
		for (const name of ['tsconfig.json', 'package.json']) {
			for (let above = folder; ; above = path.dirname(above)) {
				const file = path.join(above, name);
				if (!settings.has(file)) settings.set(file, await digestOf(file));
				if (settings.get(file) !== null || above === path.dirname(above)) break;
			}
		}
	}
	for (const file of packages) {
		const root = /^.*[\\/]node_modules[\\/](?:@[^\\/]+[\\/])?[^\\/]+/.exec(file)?.[0];
		if (root !== undefined) settings.set(path.join(root, 'package.json'), await digestOf(path.join(root, 'package.json')));
	}
	return [...settings];
}

/** Written aside and renamed: nobody reads half a file. */
async function write(file: string, text: string): Promise<void> {
	const aside = `${file}.${randomUUID()}.aside`;
	await fs.writeFile(aside, text, { mode: 0o600 });
	await fs.rename(aside, file);
}

/** Removes what has not been used for longest. Another process may prune as well: what is gone is gone. */
async function prune(cacheDir: string): Promise<void> {
	const files = await Promise.all(
		(await fs.readdir(cacheDir)).map(async (name) => {
			const file = path.join(cacheDir, name);
			return { file, kind: path.extname(name), usedAt: (await fs.stat(file).catch(() => null))?.mtimeMs ?? 0 };
		}),
	);
	files.sort((a, b) => b.usedAt - a.usedAt);
	const old = ['.mjs', '.json'].flatMap((kind) => files.filter((file) => file.kind === kind).slice(KEPT));
	const left = files.filter(({ kind, usedAt }) => kind === '.aside' && usedAt < Date.now() - ASIDE_MS);
	await Promise.all([...old, ...left].map(({ file }) => fs.rm(file, { force: true })));
}
