/** Loads a spec from its bundle, and says in one sentence why it cannot; and looks for the files that a spec names. */
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { isId, type Problem } from '../../machines/check.ts';
import { describe, isObject, plain } from '../../machines/plain.ts';
import type { TreeDeclaration } from '../../machines/spec.ts';
import { own } from './build.ts';

/** A spec that awaits something for longer does not declare a tree, it does something. */
const LOAD_MS = 30_000;

/** A spec that gives no tree. The message is one sentence that names the spec. */
export class SpecLoadError extends Error {
	override name = 'SpecLoadError';
}

/**
 * The default export of a spec: `bundleFile` was made of `specFile`. That it is a tree is all that is promised, what it holds
 * is for `checkSpec`. Rejects with a `SpecLoadError`, after 30 s at the latest.
 */
export async function loadSpec(bundleFile: string, specFile: string): Promise<TreeDeclaration> {
	const loaded = await load(bundleFile, specFile);
	if (!('default' in loaded)) throw new SpecLoadError(`${specFile} exports no tree: it needs 'export default tree(…)'`);
	const found = plain(loaded.default);
	// What a compiler makes of `export default` in CommonJS.
	const inner = isObject(found) && found.__esModule === true ? found.default : found;
	if (!isObject(inner) || inner.kind !== 'tree')
		throw new SpecLoadError(`${specFile}: its default export must be tree(…), got ${nameOf(inner)}`);
	return (inner === found ? loaded.default : (loaded.default as { default: unknown }).default) as TreeDeclaration;
}

async function load(bundleFile: string, specFile: string): Promise<Record<string, unknown>> {
	// For the positions in what it throws.
	const mapped = process.sourceMapsEnabled;
	process.setSourceMapsEnabled(true);
	let late: NodeJS.Timeout | undefined;
	const limit = new Promise<never>((_, reject) => {
		const message = `${specFile} was not loaded within ${LOAD_MS / 1_000} s: it awaits something`;
		late = setTimeout(() => reject(new SpecLoadError(message)), LOAD_MS);
	});
	try {
		return await Promise.race([import(pathToFileURL(bundleFile).href), limit]);
	} catch (error) {
		if (error instanceof SpecLoadError) throw error;
		throw new SpecLoadError(`${specFile} cannot be loaded: ${sentenceOf(error, bundleFile, specFile)}`);
	} finally {
		clearTimeout(late);
		process.setSourceMapsEnabled(mapped ?? false);
	}
}

/** What was thrown, and where in the sources, in one line. */
export function sentenceOf(error: unknown, bundleFile: string, specFile: string): string {
	if (!(error instanceof Error)) return `it throws ${describe(plain(error))}`;
	const { message, stack } = plain({ message: error.message, stack: error.stack }) as { message: unknown; stack: unknown };
	const [line = ''] = String(message).split('\n');
	const missing = /does not provide an export named '(.+)'/.exec(line);
	const asked = Object.keys(own).find((name) => line.includes(`'${own[name]}'`));
	if (missing !== null && asked !== undefined) return `there is no '${missing[1]}' in '${asked}'`;
	const place = placeOf(String(stack), bundleFile);
	return line.replaceAll(bundleFile, specFile) + (place === null ? '' : ` (at ${place})`);
}

/** The first frame of a stack that is in a source of the user's own, as `file:line:column`. */
function placeOf(stack: string, bundleFile: string): string | null {
	for (const frame of stack.split('\n').filter((text) => /^\s+at /.test(text))) {
		const [, file, position] = /((?:file:\/\/)?\/.+?)(:\d+:\d+)\)?$/.exec(frame) ?? [];
		if (file === undefined || file.includes('/node_modules/')) continue;
		const source = file.startsWith('file:') ? fileURLToPath(file) : file;
		if (source !== bundleFile) return `${source}${position}`;
	}
	return null;
}

function nameOf(value: unknown): string {
	if (isObject(value) && (value.kind === 'supervisor' || value.kind === 'node' || value.kind === 'command')) return `${value.kind}(…)`;
	const text = describe(value);
	return text === 'a Promise' ? 'a Promise: await it' : text;
}

/**
 * What the files around a spec do not have: modules, programs, folders, env files. It takes a declaration as it is, right or
 * wrong, so that everything can be said at once; what is not even of the right type is `checkSpec`'s to say.
 */
export function checkFiles(declaration: unknown, folder: string): Problem[] {
	const problems: Problem[] = [];
	const walk = (parent: unknown, place: string) => {
		if (!isObject(parent) || !Array.isArray(parent.children)) return;
		for (const [index, child] of parent.children.entries()) {
			const here = `${place}.children[${index}]`;
			if (isObject(child)) problems.push(...missing(child, here, folder));
			if (isObject(child) && isObject(child.child)) problems.push(...missing(child.child, `${here}.child`, folder));
			walk(child, here);
		}
	};
	const safe = plain(declaration);
	walk(safe, isObject(safe) && isId(safe.id) ? safe.id : 'tree');
	return problems;
}

function missing(child: Record<string, unknown>, place: string, folder: string): Problem[] {
	const { kind, module, run, cwd, envFile, env, ready, live } = child;
	if (kind !== 'node' && kind !== 'command' && kind !== 'thread') return [];
	const problems: Problem[] = [];
	const wrong = (field: string, expected: string, found: string) => {
		const got = describe(found);
		const at = `${place}.${field}`;
		problems.push({ path: at, expected, got, message: `${at}: expected ${expected}, got ${got}`, severity: 'error' });
	};
	const at = path.resolve(folder, isText(cwd) ? cwd : '.');
	if (kind !== 'thread') {
		if (isText(cwd) && !isFolder(at)) wrong('cwd', 'a folder that exists', cwd);
		if (isText(envFile) && !isFile(path.resolve(folder, envFile))) wrong('envFile', 'a file that exists', envFile);
	}
	if (kind !== 'command' && isText(module) && !isFile(path.resolve(folder, module)))
		wrong('module', `a module that exists (looked in ${folder})`, module);
	if (kind === 'thread') return problems;
	const searched = isObject(env) && isText(env.PATH) ? env.PATH : (process.env.PATH ?? '');
	const programs: Array<[field: string, command: unknown]> = [
		['run', kind === 'command' ? run : undefined],
		['ready.exec', isObject(ready) ? ready.exec : undefined],
		['live.exec', isObject(live) ? live.exec : undefined],
	];
	for (const [field, command] of programs) {
		const program: unknown = Array.isArray(command) ? command[0] : undefined;
		if (isText(program) && !canRun(program, at, searched)) wrong(`${field}[0]`, 'a program on PATH, or its path', program);
	}
	return problems;
}

const isText = (value: unknown): value is string => typeof value === 'string' && value !== '' && !value.includes('\0');
const isFile = (file: string) => fs.statSync(file, { throwIfNoEntry: false })?.isFile() ?? false;
const isFolder = (file: string) => fs.statSync(file, { throwIfNoEntry: false })?.isDirectory() ?? false;

function canRun(program: string, cwd: string, searched: string): boolean {
	const executable = (file: string) => {
		try {
			fs.accessSync(file, fs.constants.X_OK);
			return isFile(file);
		} catch {
			return false;
		}
	};
	if (program.includes('/')) return executable(path.resolve(cwd, program));
	return searched.split(path.delimiter).some((folder) => folder !== '' && executable(path.resolve(cwd, folder, program)));
}
