/** `choir status`: the tree with its states. */

import pc from 'picocolors';
import { chooseRunning } from './choose.ts';
import { asDuration } from './duration.ts';
import { askStatus, type ChildStatus, type TreeStatus } from './facts.ts';

const WATCH_EVERY_MS = 1_000;
const HOME_AND_CLEAR = '\x1b[H\x1b[J';
const HEADINGS = ['', 'state', 'pid', 'inc', 'restarts', 'up', 'memory', 'cpu', 'last exit'];

export async function status(word: string | undefined, options: { json?: boolean; watch?: boolean }): Promise<number> {
	const tree = await chooseRunning(word);
	const render = (facts: TreeStatus): string => {
		if (options.json) return JSON.stringify(facts, null, options.watch ? undefined : 2) + '\n';
		return renderStatus(facts, { colour: process.stdout.isTTY && !process.env.NO_COLOR, now: Date.now() });
	};
	if (!options.watch) {
		process.stdout.write(render(await askStatus(tree.dir)));
		return 0;
	}
	let shown = '';
	let missed = 0;
	for (;;) {
		const asked = performance.now();
		try {
			const facts = await askStatus(tree.dir);
			missed = 0;
			const text = render(facts);
			const redraw = process.stdout.isTTY && !options.json;
			if (redraw) process.stdout.write(HOME_AND_CLEAR + text);
			else if (withoutTime(facts) !== shown) process.stdout.write(text);
			shown = withoutTime(facts);
		} catch (error) {
			// It has stopped; or its angel is busy, which passes.
			missed += 1;
			await chooseRunning(tree.id);
			if (missed > 3) throw error;
		}
		await new Promise((resolve) => setTimeout(resolve, Math.max(0, WATCH_EVERY_MS - (performance.now() - asked))));
	}
}

/** What counts as a change to somebody who reads along: not the memory of the last second. */
function withoutTime(facts: TreeStatus): string {
	return JSON.stringify(facts, (key, value) => (key === 'memoryBytes' || key === 'cpuPercent' ? undefined : value));
}

/** The tree as aligned text. `now`: ms since the epoch, for how long things have been up. */
export function renderStatus(facts: TreeStatus, { colour, now }: { colour: boolean; now: number }): string {
	const paint = pc.createColors(colour);
	const rows: Array<{ cells: string[]; state: string }> = [];
	const notes: string[] = [];
	const add = (children: ChildStatus[], depth: number): void => {
		for (const child of children) {
			rows.push({ cells: cellsOf(child, depth, now), state: child.standing ?? child.substate ?? child.state });
			if (child.note) notes.push(child.note);
			add(child.children ?? [], depth + 1);
		}
	};
	add(facts.children, 0);

	const { angel, master } = facts;
	const up = facts.since ? ` for ${asDuration(now - Date.parse(facts.since))}` : '';
	const lines = [
		`${paint.bold(facts.tree)}  ${stateColour(paint, facts.state)(facts.state)}${up}`,
		paint.dim(
			`angel ${angel.pid ?? '–'} ${angel.state}, master ${master.pid ?? '–'} ${master.state}${
				master.incarnation !== undefined && master.incarnation > 1 ? ` (incarnation ${master.incarnation})` : ''
			}`,
		),
	];
	if (rows.length > 0) {
		const widths = HEADINGS.map((heading, n) => Math.max(heading.length, ...rows.map(({ cells }) => cells[n]!.length)));
		const align = (cells: string[], tint: (text: string) => string): string =>
			cells
				.map((cell, n) => (n === 1 ? tint(cell.padEnd(widths[n]!)) : isNumeric(n) ? cell.padStart(widths[n]!) : cell.padEnd(widths[n]!)))
				.join('  ')
				.trimEnd();
		lines.push('', paint.dim(align(HEADINGS, (text) => text)));
		for (const { cells, state } of rows) lines.push(align(cells, stateColour(paint, state)));
	}
	if (notes.length > 0) lines.push('', ...notes.map((note) => `${paint.red('why')} ${note}`));
	return lines.join('\n') + '\n';
}

function cellsOf(child: ChildStatus, depth: number, now: number): string[] {
	const { state, substate, standing, lastExit } = child;
	const more = standing ?? (substate === 'healthy' || substate === 'steady' ? null : substate);
	return [
		'  '.repeat(depth) + (depth === 0 ? child.path : child.path.slice(child.path.lastIndexOf('/') + 1)),
		more ? `${state} (${more})` : state,
		child.pid ? String(child.pid) : '',
		child.incarnation ? String(child.incarnation) : '',
		child.restarts === undefined ? '' : String(child.restarts),
		state !== 'dead' && child.since ? asDuration(now - Date.parse(child.since)) : '',
		child.memoryBytes ? `${(child.memoryBytes / 1e6).toFixed(1)} MB` : '',
		typeof child.cpuPercent === 'number' ? `${child.cpuPercent.toFixed(1)} %` : '',
		lastExit ? `${lastExit.reason}${exitDetail(lastExit)}` : '',
	];
}

function exitDetail({ code, signal }: { code: number | null; signal: string | null }): string {
	if (signal !== null) return ` (${signal})`;
	return code === null ? '' : ` (code ${code})`;
}

const isNumeric = (column: number): boolean => column >= 2 && column <= 7;

function stateColour(paint: ReturnType<typeof pc.createColors>, state: string): (text: string) => string {
	switch (state) {
		case 'running':
		case 'healthy':
		case 'steady':
			return paint.green;
		case 'dead':
		case 'gaveUp':
		case 'fatal':
		case 'stuck':
			return paint.red;
		case 'finished':
		case 'stopped':
			return paint.dim;
		default:
			return paint.yellow;
	}
}
