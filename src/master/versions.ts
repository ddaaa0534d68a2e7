/** New versions of the spec of a running tree: tried in a throw-away process, then loaded beside the one in force. */
import fs from 'node:fs';
import path from 'node:path';
import type { TreeSpec } from '../../machines/spec.ts';
import { digest } from '../spec/build.ts';
import { checkSpec, resolveSpec } from '../spec/check.ts';
import { contentsOf } from '../spec/contents.ts';
import { inspectSpec } from '../spec/inspection.ts';
import { loadSpec, SpecLoadError } from '../spec/load.ts';
import { contentsIn, type Prepared, type SavedGeneration, type Unprepared, type Versions } from './reloads.ts';

const BAD_SPEC = 78;
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
		// What earlier runs and earlier reloads have left.
		for (const name of fs.readdirSync(options.dir))
			if (VERSION_FILE.test(name) && name !== path.basename(bundleFile)) fs.rmSync(path.join(options.dir, name), { force: true });
	}

	/** What the children run now: until it is known, a reload replaces them. */
	async learnContents(): Promise<SavedGeneration> {
		const found = await this.#contentsOf(this.#options.spec);
		for (const [name, content] of found) this.#contents.set(name, content);
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
		if (!keep) return { spec: tried.outline, file: tried.bundle, bundle, contents: await this.#contentsOf(tried.outline) };
		// A name of its own: what has been imported once is not read again. A module cannot be unloaded either, so each version that was
		// tried stays in memory, which is small beside all else: a spec is declarations.
		const file = versionFile(dir, generation);
		fs.writeFileSync(file, text, { mode: 0o600 });
		const declaration = await loadSpec(file, specFile);
		const errors = checkSpec(declaration).filter(({ severity }) => severity === 'error');
		if (errors.length > 0) return { exitCode: BAD_SPEC, lines: errors.map(({ message }) => message) };
		const spec = resolveSpec(declaration);
		return { spec, file, bundle, contents: await this.#contentsOf(spec) };
	}

	#contentsOf({ root }: TreeSpec): Promise<Map<string, string>> {
		return contentsOf(path.dirname(this.#options.specFile), contentsIn(root), this.#cacheDir);
	}

	get #cacheDir(): string {
		return path.join(path.dirname(this.#options.dir), '.cache');
	}
}
