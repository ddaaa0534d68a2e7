/** New versions of the spec of a running tree: tried in a throw-away process, then loaded beside the one in force. */

import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { TreeSpec } from '../../machines/spec.ts';
import { digest } from '../spec/build.ts';
import { type Bundle, needsBundle } from '../spec/bundle.ts';
import { checkSpec, resolveSpec } from '../spec/check.ts';
import { contentsOf, ModuleDigests } from '../spec/contents.ts';
import { inspectSpec } from '../spec/inspection.ts';
import { loadSpec, SpecLoadError } from '../spec/load.ts';
import { contentsIn, type Prepared, type SavedGeneration, type Unprepared, type Versions } from './reloads.ts';

const BAD_SPEC = 78;
/** For all modules of a version. */
const KEEP_MS = 60_000;
const VERSION_FILE = /^spec\.(\d+)\.mjs$/;
/** A file has the number of its generation: a journal may be lost. */
export const versionFile = (dir: string, generation: number) => path.join(dir, `spec.${generation}.mjs`);

export interface VersionsOptions {
	/** The state folder of the tree. */
	dir: string;
	specFile: string;
	spec: TreeSpec;
	/** What the spec in force was loaded from. */
	bundleFile: string;
	/** As it was written down, if it was. */
	saved: SavedGeneration | null;
	inForce: (file: string) => void;
}

export class SpecVersions implements Versions {
	readonly current: Versions['current'];
	readonly #options: VersionsOptions;
	readonly #contents: Map<string, string>;
	/** What the children run, by generation. */
	readonly #known: Map<number, ReadonlyMap<string, string>>;
	readonly #digests = new ModuleDigests();

	constructor(options: VersionsOptions) {
		this.#options = options;
		const { saved, bundleFile } = options;
		this.#contents = new Map(saved?.contents);
		this.current = {
			generation: saved?.number ?? Number(VERSION_FILE.exec(path.basename(bundleFile))?.[1] ?? 1),
			file: bundleFile,
			bundle: saved?.bundle ?? digest(fs.readFileSync(bundleFile)),
			contents: this.#contents,
		};
		this.#known = new Map([[this.current.generation, this.#contents]]);
		try {
			this.#tidy();
		} catch {
			// On a disk that can only be read all stays as it is.
		}
	}

	/** What earlier runs and earlier reloads have left goes. */
	#tidy(): void {
		const { dir, bundleFile } = this.#options;
		for (const name of fs.readdirSync(dir))
			if (VERSION_FILE.test(name) && name !== path.basename(bundleFile)) fs.rmSync(path.join(dir, name), { force: true });
		const inUse = new Set(this.#contents.values());
		fs.mkdirSync(this.#modulesDir, { recursive: true, mode: 0o700 });
		for (const name of fs.readdirSync(this.#modulesDir))
			if (!inUse.has(path.parse(name).name)) fs.rmSync(path.join(this.#modulesDir, name), { force: true });
	}

	/**
	 * The bundle that a generation runs of a module, whatever its files are by now: who crashes comes back as he was. Null: that is not
	 * known yet; or Node runs it as it is, and it is still the same.
	 */
	async moduleOf(generation: number, module: string): Promise<string | null> {
		const hash = this.#known.get(generation)?.get(`module ${module}`);
		const file = hash === undefined ? null : this.#keptAs(hash);
		if (file === null || !fs.existsSync(file)) return null;
		const source = path.resolve(this.#base, module);
		const isAsItWas = !needsBundle(source) && (await this.#digestOf(source)) === hash;
		return isAsItWas ? null : file;
	}

	/** What the children run now: until it is known, a reload replaces them. */
	async learnContents(): Promise<SavedGeneration> {
		const found = await this.#contentsOf(this.#options.spec);
		for (const [name, content] of found) this.#contents.set(name, content);
		this.#keepModules(found);
		const { generation, file, bundle } = this.current;
		return { number: generation, file, bundle, contents: [...found] };
	}

	inForce(file: string): void {
		this.#options.inForce(file);
	}

	prepare(generation: number, keep: boolean, done: (result: Prepared | Unprepared) => void): () => void {
		const abort = new AbortController();
		this.#prepare(generation, keep, abort.signal).then(done, (error: Error) =>
			done({ exitCode: error instanceof SpecLoadError ? BAD_SPEC : 1, lines: [error.message] }),
		);
		return () => abort.abort();
	}

	async #prepare(generation: number, keep: boolean, signal: AbortSignal): Promise<Prepared | Unprepared> {
		const { dir, specFile, spec: current } = this.#options;
		const tried = await inspectSpec(specFile, { cacheDir: this.#cacheDir, signal });
		if (!tried.ok) return { exitCode: tried.exitCode, lines: tried.lines };
		if (tried.tree !== current.id)
			return { exitCode: BAD_SPEC, lines: [`${specFile}: expected tree('${current.id}', …), which runs, got tree('${tried.tree}', …)`] };
		const text = fs.readFileSync(tried.bundle);
		const bundle = digest(text);
		if (!keep) {
			const contents = await contentsOf(this.#base, contentsIn(tried.outline.root), this.#cacheDir, { digests: this.#digests });
			return { spec: tried.outline, file: tried.bundle, bundle, contents };
		}
		// A name of its own: what has been imported once is not read again. A module cannot be unloaded either, so each version that was
		// tried stays in memory, which is small beside all else: a spec is declarations.
		const file = versionFile(dir, generation);
		try {
			fs.writeFileSync(file, text, { mode: 0o600 });
		} catch (error) {
			throw new Error(`the new version cannot be put beside the old one: ${(error as Error).message}`);
		}
		const declaration = await loadSpec(file, specFile);
		const errors = checkSpec(declaration).filter(({ severity }) => severity === 'error');
		if (errors.length > 0) return { exitCode: BAD_SPEC, lines: errors.map(({ message }) => message) };
		const spec = resolveSpec(declaration);
		const contents = await this.#contentsOf(spec);
		this.#known.set(generation, contents);
		this.#keepModules(contents);
		return { spec, file, bundle, contents };
	}

	#contentsOf({ root }: TreeSpec): Promise<Map<string, string>> {
		const keep = async ({ file, hash }: Bundle) => {
			const kept = this.#keptAs(hash);
			if (fs.existsSync(kept)) return;
			// Nobody finds half a file.
			const aside = `${kept}.${randomUUID()}`;
			await fs.promises.copyFile(file, aside);
			await fs.promises.rename(aside, kept);
		};
		return contentsOf(this.#base, contentsIn(root), this.#cacheDir, { keep, digests: this.#digests });
	}

	async #digestOf(source: string): Promise<string | null> {
		try {
			return await this.#digests.of(source);
		} catch {
			return null;
		}
	}

	/** Of modules that Node runs as they are a copy is made in the background. */
	#keepModules(contents: ReadonlyMap<string, string>): void {
		const pairs = [...contents].flatMap(([name, hash]) => {
			const [, module] = /^module (.*)$/.exec(name) ?? [];
			if (module === undefined || needsBundle(module) || fs.existsSync(this.#keptAs(hash))) return [];
			return [path.resolve(this.#base, module), this.#keptAs(hash)];
		});
		if (pairs.length === 0) return;
		const extension = path.extname(import.meta.url);
		const main = fileURLToPath(new URL(`../spec/keep${extension}`, import.meta.url));
		// It is not of the tree: it is neither stopped with it nor waited for.
		const { CHOIR_TREE: _tree, ...env } = process.env;
		const limits = { timeout: KEEP_MS, killSignal: 'SIGKILL' } as const;
		const keeping = spawn(process.execPath, [main, this.#cacheDir, ...pairs], { env, stdio: 'ignore', ...limits });
		keeping.unref();
		// Without copies they come back as their files are by then.
		keeping.on('error', () => {});
	}

	get #base(): string {
		return path.dirname(this.#options.specFile);
	}

	/** Copies of its own: a cache may be cleared. */
	get #modulesDir(): string {
		return path.join(this.#options.dir, 'modules');
	}

	#keptAs(hash: string): string {
		return path.join(this.#modulesDir, `${hash}.mjs`);
	}

	get #cacheDir(): string {
		return path.join(path.dirname(this.#options.dir), '.cache');
	}
}
