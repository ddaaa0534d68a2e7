/** Which tree a command is about: a name, a spec file, or the only one there is. */

import fs from 'node:fs';
import path from 'node:path';
import { choirHome, listTrees, type RunningTree, treeDir } from '../home.ts';
import { Complaint, exitCodes } from './complaint.ts';

/** The running tree that `word` means; without a word the only one that runs. */
export async function chooseRunning(word: string | undefined): Promise<RunningTree> {
	const tree = await findRunning(word);
	if (tree !== null) return tree;
	if (word === undefined) throw new Complaint('no tree is running: start one with `choir start tree.ts`');
	const others = listTrees(choirHome()).map(({ id }) => id);
	throw new Complaint(`no tree '${word}' is running${others.length > 0 ? `; running: ${others.join(', ')}` : ''}`);
}

/** As above, but null while it does not run. */
export async function findRunning(word: string | undefined): Promise<RunningTree | null> {
	const trees = listTrees(choirHome());
	if (word === undefined) {
		if (trees.length > 1) throw several(trees.map(({ id }) => id));
		return trees[0] ?? null;
	}
	if (!looksLikeSpec(word)) return trees.find(({ id }) => id === word) ?? null;
	const spec = specPath(word);
	const bySpec = trees.find(({ angel }) => angel.spec === spec || realPath(angel.spec) === realPath(spec));
	if (bySpec !== undefined || trees.length === 0) return bySpec ?? null;
	// It may have been started from a copy, or through another path: then its name still tells.
	const id = await treeIdOf(spec);
	return trees.find((tree) => tree.id === id) ?? null;
}

/** The folder of a tree, whether or not it runs. Without a word: of the running one, else of the only one there is. */
export async function chooseFolder(word: string | undefined): Promise<{ id: string; dir: string }> {
	const running = await findRunning(word);
	if (running !== null) return running;
	const home = choirHome();
	if (word === undefined) {
		const [folder, ...others] = listFolders(home);
		if (others.length > 0) throw several(listFolders(home).map(({ id }) => id));
		if (folder === undefined) throw new Complaint(`no tree has run here yet: ${home} is empty`);
		return folder;
	}
	const id = looksLikeSpec(word) ? await treeIdOf(specPath(word)) : word;
	if (!fs.existsSync(treeDir(home, id))) throw new Complaint(`no tree '${id}' has run here yet: there is no folder ${treeDir(home, id)}`);
	return { id, dir: treeDir(home, id) };
}

/** The absolute path of a spec file that has to exist. */
export function specPath(word: string): string {
	const file = path.resolve(word);
	if (!fs.existsSync(file)) throw new Complaint(`${word}: there is no such file`, exitCodes.badSpec);
	return file;
}

/** Where bundles of specs are kept, shared by all trees. */
export function cacheDir(): string {
	return path.join(choirHome(), '.cache');
}

async function treeIdOf(spec: string): Promise<string> {
	const { inspectSpec } = await import('../spec/inspection.ts');
	const inspected = await inspectSpec(spec, { cacheDir: cacheDir() });
	if (!inspected.ok) throw new Complaint(inspected.lines, inspected.exitCode);
	return inspected.tree;
}

export function looksLikeSpec(word: string): boolean {
	return word.includes('/') || /\.[cm]?[jt]s$/.test(word);
}

function several(ids: string[]): Complaint {
	return new Complaint(`there are several trees, say which one: ${ids.join(', ')}`, exitCodes.usage);
}

/** The folders of all trees that have run here, by name. */
export function listFolders(home: string): Array<{ id: string; dir: string }> {
	try {
		return fs
			.readdirSync(home, { withFileTypes: true })
			.filter((entry) => entry.isDirectory() && !entry.name.startsWith('.'))
			.map(({ name }) => ({ id: name, dir: treeDir(home, name) }))
			.sort((a, b) => (a.id < b.id ? -1 : 1));
	} catch {
		return [];
	}
}

function realPath(file: string): string {
	try {
		return fs.realpathSync(file);
	} catch {
		return file;
	}
}
