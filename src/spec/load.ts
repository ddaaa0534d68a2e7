/** Loads a spec from its bundle, and says in one sentence why it cannot. */
import fs from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Problem } from '../../machines/check.ts';
import type { ChildDeclaration, ChildSpec, ProcessSpec, SupervisorOptions, TreeDeclaration, TreeSpec } from '../../machines/spec.ts';

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

/** What the files around a spec do not have: modules, programs, folders, env files. With the paths of the declaration. */
export function checkFiles(spec: TreeSpec, declaration: TreeDeclaration, folder: string): Problem[] {
	const problems: Problem[] = [];
	const byPath = new Map<string, ProcessSpec>();
	const learn = (children: readonly ChildSpec[]) => {
		for (const child of children) {
			if (child.kind === 'supervisor') learn(child.children);
			else byPath.set(pathOfDeclared(child), child);
		}
	};
	learn(spec.root.children);
	const walk = ({ children }: SupervisorOptions, place: string, above: string) => {
		for (const [index, child] of children.entries()) {
			const here = `${place}.children[${index}]`;
			const childPath = above === '' ? child.id : `${above}/${child.id}`;
			if (child.kind === 'supervisor') walk(child, here, childPath);
			else problems.push(...missing(child, byPath.get(childPath) as ProcessSpec, here, folder));
		}
	};
	walk(declaration, declaration.id, '');
	return problems;
}

const pathOfDeclared = ({ path: childPath, id, declaredId }: ProcessSpec) => childPath.slice(0, childPath.length - id.length) + declaredId;

function missing(declared: ChildDeclaration, spec: ProcessSpec, place: string, folder: string): Problem[] {
	const cwd = path.resolve(folder, spec.cwd ?? '.');
	const problems: Problem[] = [];
	const wrong = (field: string, expected: string, got: string) =>
		problems.push({
			path: `${place}.${field}`,
			expected,
			got: `'${got}'`,
			message: `${place}.${field}: expected ${expected}, got '${got}'`,
			severity: 'error',
		});
	if (spec.cwd !== null && !isFolder(cwd)) wrong('cwd', 'a folder that exists', spec.cwd);
	if (spec.envFile !== null && !fs.existsSync(path.resolve(folder, spec.envFile))) wrong('envFile', 'a file that exists', spec.envFile);
	if (spec.kind === 'node' && !isFile(path.resolve(folder, spec.module)))
		wrong('module', `a module that exists (looked in ${folder})`, spec.module);
	if (spec.kind === 'command' && declared.kind === 'command' && !canRun(spec, cwd))
		wrong('run[0]', 'a program on PATH, or its path', spec.run[0] ?? '');
	return problems;
}

const isFile = (file: string) => fs.statSync(file, { throwIfNoEntry: false })?.isFile() ?? false;
const isFolder = (file: string) => fs.statSync(file, { throwIfNoEntry: false })?.isDirectory() ?? false;

function canRun({ run, env }: Extract<ProcessSpec, { kind: 'command' }>, cwd: string): boolean {
	const [program = ''] = run;
	const executable = (file: string) => {
		try {
			fs.accessSync(file, fs.constants.X_OK);
			return isFile(file);
		} catch {
			return false;
		}
	};
	if (program.includes('/')) return executable(path.resolve(cwd, program));
	return (env.PATH ?? process.env.PATH ?? '')
		.split(path.delimiter)
		.some((folder) => folder !== '' && executable(path.resolve(cwd, folder, program)));
}
