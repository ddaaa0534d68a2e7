/** What the children of a tree run, as digests: whether a new version of a spec changes a child can lie in its files alone. */
import fs from 'node:fs/promises';
import path from 'node:path';
import { digest } from './build.ts';
import { type Bundle, bundle, needsBundle } from './bundle.ts';

/** Local files that a module names. More than is imported does no harm. */
const IMPORTED = /(?:\bfrom|\bimport|\brequire)\s*\(?\s*['"](\.{1,2}\/[^'"\n]+)['"]/g;
/** As Node finds what is required without an ending. */
const ENDINGS = ['', '.js', '.cjs', '.mjs', '.json', '/index.js'];

/**
 * The digests of what `contentNames` names, relative to `base`: of a module with the local files that it imports. What cannot be
 * read, or bundled, has none. Packages are not looked into. `keep` is given each bundle.
 */
export async function contentsOf(
	base: string,
	names: Iterable<string>,
	cacheDir: string,
	keep: (made: Bundle) => Promise<void> = async () => {},
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
				return [[name, kind === 'module' ? await digestOfModule(file) : digest(await fs.readFile(file))]];
			} catch {
				return [];
			}
		}),
	);
	return new Map(found.flat());
}

/** Of a module that Node runs as it is, with the local files that it imports. */
export async function digestOfModule(entry: string): Promise<string> {
	const digests = new Map<string, string>();
	const read = async (file: string, text: string): Promise<void> => {
		digests.set(file, digest(text));
		for (const [, name] of text.matchAll(IMPORTED)) {
			for (const ending of ENDINGS) {
				const imported = path.resolve(path.dirname(file), `${name}${ending}`);
				if (digests.has(imported)) break;
				const inside = await fs.readFile(imported, 'utf8').catch(() => null);
				if (inside === null) continue;
				await read(imported, inside);
				break;
			}
		}
	};
	await read(entry, await fs.readFile(entry, 'utf8'));
	return digest([...digests.values()].join());
}
