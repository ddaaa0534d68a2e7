/** Loads a spec from its bundle, and says in one sentence why it cannot. */
import fs from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Problem } from '../../machines/check.ts';
import type { TreeDeclaration } from '../../machines/spec.ts';

/** A spec that awaits something for longer does not declare a tree, it does something. */
const LOAD_MS = 30_000;

export class SpecLoadError extends Error {
	override name = 'SpecLoadError';
}

/** The default export of a spec. What it holds is checked elsewhere; here it must be a tree at all. */
export async function loadSpec(bundleFile: string, specFile: string): Promise<TreeDeclaration> {
	process.setSourceMapsEnabled(true);
	const loaded = await withinLimit(import(pathToFileURL(bundleFile).href), specFile);
	const found: unknown = loaded.default;
	if (!('default' in loaded)) throw new SpecLoadError(`${specFile} exports no tree: it needs 'export default tree(…)'`);
	if (typeof found !== 'object' || found === null || (found as { kind?: unknown }).kind !== 'tree')
		throw new SpecLoadError(`${specFile}: its default export must be tree(…), got ${nameOf(found)}`);
	return found as TreeDeclaration;
}

async function withinLimit(loading: Promise<Record<string, unknown>>, specFile: string): Promise<Record<string, unknown>> {
	let late: NodeJS.Timeout | undefined;
	const limit = new Promise<never>((_, reject) => {
		late = setTimeout(
			() => reject(new SpecLoadError(`${specFile} was not loaded within ${LOAD_MS / 1000} s: it awaits something`)),
			LOAD_MS,
		);
	});
	try {
		return await Promise.race([loading, limit]);
	} catch (error) {
		if (error instanceof SpecLoadError) throw error;
		throw new SpecLoadError(`${specFile} cannot be loaded: ${sentenceOf(error)}`);
	} finally {
		clearTimeout(late);
	}
}

function sentenceOf(error: unknown): string {
	if (!(error instanceof Error)) return `it throws ${nameOf(error)}`;
	const [line] = error.message.split('\n');
	const place = /\(?((?:file:\/\/)?\/[^\s()]+:\d+:\d+)\)?/.exec(
		error.stack?.split('\n').find((frame) => /^\s+at /.test(frame) && !frame.includes('node:')) ?? '',
	);
	return `${line}${place === null ? '' : ` (at ${place[1]?.replace('file://', '')})`}`;
}

function nameOf(value: unknown): string {
	if (value === null || value === undefined) return String(value);
	if (typeof value === 'object')
		return (value as { kind?: unknown }).kind === undefined ? 'an object' : `${String((value as { kind: unknown }).kind)}(…)`;
	return typeof value === 'function' ? 'a function' : JSON.stringify(value);
}

/**
 * What the files around a spec do not have: modules, programs, folders, env files. It takes a declaration as it is, right or
 * wrong, so that everything can be said at once; what is not even of the right type is `checkSpec`'s to say.
 */
export function checkFiles(declaration: unknown, folder: string): Problem[] {
	const problems: Problem[] = [];
	const walk = (parent: Record<string, unknown>, place: string, depth: number) => {
		if (!Array.isArray(parent.children) || depth > MAX_DEPTH) return;
		for (const [index, child] of parent.children.entries()) {
			const here = `${place}.children[${index}]`;
			if (!isObject(child)) continue;
			if (child.kind === 'supervisor') walk(child, here, depth + 1);
			else problems.push(...missing(child, here, folder));
		}
	};
	if (isObject(declaration)) walk(declaration, String(declaration.id), 0);
	return problems;
}

const MAX_DEPTH = 32;

function isObject(value: unknown): value is Record<string, unknown> {
	return typeof value === 'object' && value !== null;
}

function missing({ kind, module, run, cwd, envFile, env }: Record<string, unknown>, place: string, folder: string): Problem[] {
	const problems: Problem[] = [];
	const wrong = (field: string, expected: string, got: string) =>
		problems.push({
			path: `${place}.${field}`,
			expected,
			got: `'${got}'`,
			message: `${place}.${field}: expected ${expected}, got '${got}'`,
			severity: 'error',
		});
	const at = path.resolve(folder, isText(cwd) ? cwd : '.');
	if (isText(cwd) && !isFolder(at)) wrong('cwd', 'a folder that exists', cwd);
	if (isText(envFile) && !isFile(path.resolve(folder, envFile))) wrong('envFile', 'a file that exists', envFile);
	if (kind === 'node' && isText(module) && !isFile(path.resolve(folder, module)))
		wrong('module', `a module that exists (looked in ${folder})`, module);
	const program: unknown = Array.isArray(run) ? run[0] : undefined;
	const searched = isObject(env) && isText(env.PATH) ? env.PATH : (process.env.PATH ?? '');
	if (kind === 'command' && isText(program) && !canRun(program, at, searched)) wrong('run[0]', 'a program on PATH, or its path', program);
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
