/** `choir diagram`: a tree, or a machine, as a picture, as text, or as a plain structure. */

import fs from 'node:fs';
import path from 'node:path';
import type { ChildSpec, TreeSpec } from '../../machines/spec.ts';
import type { Chart } from '../diagram/chart.ts';
import type { DrawnMachine } from '../diagram/machines.ts';
import { cacheDir, findRunning, looksLikeSpec, specPath } from './choose.ts';
import { Complaint, exitCodes } from './complaint.ts';

type Format = 'svg' | 'mermaid' | 'json';
type Drawing = Record<Format, () => Promise<string>>;

const formats: Readonly<Record<string, Format>> = { '.svg': 'svg', '.mmd': 'mermaid', '.mermaid': 'mermaid', '.json': 'json' };
const machineNames = ['worker', 'master', 'dynamic', 'angel', 'agenda', 'rollout'] as const;

export async function diagram(
	what: string | undefined,
	child: string | undefined,
	options: { format?: Format; json?: boolean; output?: string },
): Promise<number> {
	const format = formatOf(options);
	const drawing = await drawingOf(what, child);
	const text = await drawing[format]();
	if (options.output !== undefined) {
		write(options.output, text);
		return exitCodes.ok;
	}
	process.stdout.write(text);
	if (format === 'svg' && process.stdout.isTTY)
		process.stderr.write('this was an SVG picture: `-o picture.svg` writes it into a file, `--format mermaid` gives text\n');
	return exitCodes.ok;
}

function formatOf({ format, json, output }: { format?: Format; json?: boolean; output?: string }): Format {
	if (json === true && format !== undefined && format !== 'json')
		throw new Complaint(`--json and --format ${format} are two formats: leave one out`, exitCodes.usage);
	if (json === true) return 'json';
	if (format !== undefined) return format;
	if (output === undefined) return 'svg';
	const byEnding = formats[path.extname(output).toLowerCase()];
	if (byEnding === undefined)
		throw new Complaint(`${output}: expected a file that ends in .svg, .mmd or .json; or say which by --format`, exitCodes.usage);
	return byEnding;
}

async function drawingOf(what: string | undefined, child: string | undefined): Promise<Drawing> {
	const name = machineNames.find((each) => each === what);
	if (name !== undefined) {
		if (child !== undefined) throw new Complaint(`${name} is a machine, there is no '${child}' in it: leave that out`, exitCodes.usage);
		return ofMachine(name);
	}
	const spec = await specOf(what);
	const { inspectSpec } = await import('../spec/inspection.ts');
	const inspected = await inspectSpec(spec, { cacheDir: cacheDir(), machines: true });
	if (!inspected.ok) throw new Complaint(inspected.lines, inspected.exitCode);
	const { outline, machines } = inspected;
	if (child === undefined) return ofTree(outline, path.dirname(spec), machines);
	const { chart, config } = machineAt(child, outline, machines);
	return ofChart(chart, () => {
		if (config === null) throw new Complaint(`the machine of ${child} holds what JSON cannot say: draw it as svg or mermaid`);
		return config;
	});
}

/** The spec that a word means: itself, or the one of a tree that runs. */
async function specOf(what: string | undefined): Promise<string> {
	if (what !== undefined && looksLikeSpec(what)) return specPath(what);
	const running = await findRunning(what);
	if (running !== null) return specPath(running.angel.spec);
	const choices = `a spec file such as tree.ts, or one of the machines ${machineNames.join(', ')}`;
	if (what === undefined) throw new Complaint(`no tree is running, so say what to draw: ${choices}`, exitCodes.usage);
	throw new Complaint(`there is no tree '${what}' running: expected its name, ${choices}`, exitCodes.usage);
}

async function ofMachine(name: (typeof machineNames)[number]): Promise<Drawing> {
	const machines = await import('../../machines/index.ts');
	const machine = machines[`${name}Machine`];
	const [{ chartOf }, { configOf }] = await Promise.all([import('../diagram/chart.ts'), import('../diagram/machines.ts')]);
	return ofChart(chartOf(machine), () => configOf(machine) as string);
}

function ofChart(chart: Chart, json: () => string): Drawing {
	return {
		svg: async () => {
			const { chartSvg } = await import('../diagram/chart-svg.ts');
			try {
				return await chartSvg(chart);
			} catch (error) {
				throw new Complaint(`the machine ${chart.id} cannot be laid out (${(error as Error).message}): try --format mermaid`);
			}
		},
		mermaid: async () => (await import('../diagram/mermaid.ts')).mermaidOf(chart),
		json: async () => json(),
	};
}

async function ofTree(outline: TreeSpec, folder: string, machines: DrawnMachine[]): Promise<Drawing> {
	const { drawnTree } = await import('../diagram/tree.ts');
	const drawn = drawnTree(outline, folder, new Map(machines.map(({ path: at, chart }) => [at, chart.id])));
	return {
		svg: async () => (await import('../diagram/tree-svg.ts')).treeSvg(drawn),
		mermaid: async () => (await import('../diagram/tree-mermaid.ts')).treeMermaid(drawn),
		json: async () => JSON.stringify(drawn, null, 2) + '\n',
	};
}

/** An instance has the machine of its like, and a child that comes at run time the one that its supervisor declares. */
function machineAt(word: string, { id, root }: TreeSpec, machines: DrawnMachine[]): DrawnMachine {
	const at = (children: ChildSpec[], [first, ...rest]: string[], above: string): { child: ChildSpec; declared: string } | null => {
		const child = children.find((each) => each.id === first || each.declaredId === first);
		if (child === undefined) return null;
		const declared = above === '' ? child.declaredId : `${above}/${child.declaredId}`;
		if (rest.length === 0 || (child.kind === 'dynamic' && rest.length === 1)) return { child, declared };
		return child.kind === 'supervisor' ? at(child.children, rest, declared) : null;
	};
	const found = at(root.children, word.split('/'), '');
	const machine = machines.find(({ path: declared }) => declared === found?.declared);
	if (machine !== undefined) return machine;
	const others =
		machines.length === 0 ? 'no child has one' : `these have one: ${machines.map(({ path: declared }) => declared).join(', ')}`;
	if (found === null) throw new Complaint(`${id} has no child '${word}' to draw the machine of; ${others}`, exitCodes.usage);
	const { kind } = found.child;
	const said =
		kind === 'actor' || kind === 'dynamic' ? `is no XState machine that can be drawn` : `is a ${kind}, which has no machine of its own`;
	throw new Complaint(`${word} ${said}; ${others}`, exitCodes.usage);
}

function write(file: string, text: string): void {
	try {
		fs.writeFileSync(file, text);
	} catch (error) {
		const { code, message } = error as NodeJS.ErrnoException;
		const why = code === 'ENOENT' ? 'there is no such folder' : code === 'EISDIR' ? 'it is a folder' : message;
		throw new Complaint(`${file} cannot be written: ${why}`);
	}
	process.stderr.write(`wrote ${file}\n`);
}
