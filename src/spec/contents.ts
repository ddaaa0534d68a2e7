/** What the children of a tree run, as digests: whether a new version of a spec changes a child can lie in its files alone. */
import fs from 'node:fs';
import path from 'node:path';
import { digest } from './build.ts';
import { type Bundle, bundle, needsBundle } from './bundle.ts';

/** Local files that a module names. More than is imported does no harm. */
const IMPORTED = /(?:\bfrom|\bimport|\brequire)\s*\(?\s*['"](\.{1,2}\/[^'"\n]+)['"]/g;
/** As Node finds what is required without an ending. */
const ENDINGS = ['', '.js', '.cjs', '.mjs', '.json', '/index.js'];

/** The times of a file are no finer than some milliseconds. */
const YOUNG_MS = 1_000;

/**
 * The digests of what `contentNames` names, relative to `base`: of a module with the local files that it imports. What cannot be
 * read, or bundled, has none. Packages are not looked into. `keep` is given each bundle.
 */
export async function contentsOf(
	base: string,
	names: Iterable<string>,
	cacheDir: string,
	{ keep = async () => {}, digests = new ModuleDigests() }: { keep?: (made: Bundle) => Promise<void>; digests?: ModuleDigests } = {},
): Promise<Map<string, string>> {
	const found = await Promise.all(
		[...names].map(async (name): Promise<Array<[string, string]>> => {
			const [kind, file] = [name.slice(0, name.indexOf(' ')), path.resolve(base, name.slice(name.indexOf(' ') + 1))];
			try {
				if (kind === 'module' && needsBundle(file)) {
					const made = await bundle(file, { cacheDir });
					await keep(made);
					return [[name, made.hash]];
				}
				return [[name, kind === 'module' ? await digests.of(file) : digest(await fs.promises.readFile(file))]];
			} catch {
				return [];
			}
		}),
	);
	return new Map(found.flat());
}

/** What of a file changes when it is written to; null: it was written to just now, and may be again without a difference. */
function markOf(file: string, now: number): string | null {
	let stat: fs.BigIntStats;
	try {
		stat = fs.statSync(file, { bigint: true });
	} catch {
		// Missing, or below what is no folder, or not for us to see: it has no part in the digest.
		return 'none';
	}
	if (now - Number(stat.ctimeMs) < YOUNG_MS) return null;
	return [stat.dev, stat.ino, stat.size, stat.mtimeNs, stat.ctimeNs].join();
}

/** Digests of modules that Node runs as they are, each with the local files that it imports; taken again when one of those was touched. */
export class ModuleDigests {
	readonly #taken = new Map<string, { digest: string; marks: ReadonlyMap<string, string | null> }>();
	readonly #now: () => number;

	constructor(now: () => number = Date.now) {
		this.#now = now;
	}

	/** At once if nothing was touched since it was last taken. Rejects if the module cannot be read. */
	of(entry: string): string | Promise<string> {
		const taken = this.#taken.get(entry);
		const now = this.#now();
		const isUntouched = taken !== undefined && [...taken.marks].every(([file, mark]) => mark !== null && mark === markOf(file, now));
		return isUntouched ? taken.digest : this.#take(entry);
	}

	async #take(entry: string): Promise<string> {
		const digests = new Map<string, string>();
		// Before it is read: what is written meanwhile is seen by the next look.
		const marks = new Map<string, string | null>();
		const open = (file: string) => {
			marks.set(file, markOf(file, this.#now()));
			return fs.promises.readFile(file, 'utf8');
		};
		const read = async (file: string, text: string): Promise<void> => {
			digests.set(file, digest(text));
			for (const [, name] of text.matchAll(IMPORTED)) {
				for (const ending of ENDINGS) {
					const imported = path.resolve(path.dirname(file), `${name}${ending}`);
					if (digests.has(imported)) break;
					const inside = await open(imported).catch(() => null);
					if (inside === null) continue;
					await read(imported, inside);
					break;
				}
			}
		};
		await read(entry, await open(entry));
		const taken = { digest: digest([...digests.values()].join()), marks };
		this.#taken.set(entry, taken);
		return taken.digest;
	}
}
