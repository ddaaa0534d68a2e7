/** Children as rows of aligned text: what `status` and `top` show. */
import type pc from 'picocolors';
import { visible } from '../logs/visible.ts';
import { asDuration } from './duration.ts';
import type { ChildStatus, TreeStatus } from './facts.ts';

export type Paint = ReturnType<typeof pc.createColors>;

export interface TableRow {
	child: ChildStatus;
	depth: number;
	/** What stands before its name, such as a mark that it can be opened. */
	mark?: string;
	/** With the whole path in place of the last id. */
	whole?: boolean;
}

const HEADINGS = ['', 'state', 'pid', 'inc', 'restarts', 'up', 'memory', 'cpu', 'last exit'];
const isNumeric = (column: number): boolean => column >= 2 && column <= 7;

/** The heading first, then a line a row. `now`: ms since the epoch, for how long things have been up. */
export function tableLines(rows: readonly TableRow[], { paint, now }: { paint: Paint; now: number }): string[] {
	const cells = rows.map((row) => cellsOf(row, now));
	const widths = HEADINGS.map((heading, n) => cells.reduce((width, row) => Math.max(width, row[n]!.length), heading.length));
	const align = (row: string[], tint: (text: string) => string): string =>
		row
			.map((cell, n) => (n === 1 ? tint(cell.padEnd(widths[n]!)) : isNumeric(n) ? cell.padStart(widths[n]!) : cell.padEnd(widths[n]!)))
			.join('  ')
			.trimEnd();
	return [
		paint.dim(align(HEADINGS, (text) => text)),
		...rows.map(({ child }, n) => align(cells[n] as string[], stateColour(paint, child.standing ?? child.substate ?? child.state))),
	];
}

/** Two lines: the tree, and who keeps it. */
export function headLines(facts: TreeStatus, { paint, now }: { paint: Paint; now: number }): string[] {
	const { angel, master } = facts;
	const up = facts.since ? ` for ${asDuration(now - Date.parse(facts.since))}` : '';
	const again = master.incarnation !== undefined && master.incarnation > 1 ? ` (incarnation ${master.incarnation})` : '';
	const version = facts.generation !== undefined && facts.generation > 1 ? `, generation ${facts.generation}` : '';
	const { reload } = facts;
	const why = reload?.reason ? `: ${visible(reload.reason)}` : '';
	const failed = reload?.state === 'rolledBack' || reload?.state === 'refused';
	return [
		`${paint.bold(facts.tree)}  ${stateColour(paint, facts.state)(facts.state)}${up}`,
		paint.dim(`angel ${angel.pid ?? '–'} ${angel.state}, master ${master.pid ?? '–'} ${master.state}${again}${version}`),
		...(reload ? [(failed ? paint.red : paint.yellow)(`reload to generation ${reload.generation}: ${reload.state}${why}`)] : []),
	];
}

function cellsOf({ child, depth, mark = '', whole = depth === 0 }: TableRow, now: number): string[] {
	const { path, state, substate, standing, standby, lastExit, memoryBytes, cpuPercent } = child;
	const why = standing ?? (substate === 'healthy' || substate === 'steady' ? null : substate);
	const spares = standby && standing == null ? `standby ${standby.loaded}/${standby.wanted}` : null;
	const more = [why, spares].filter(Boolean).join(', ');
	return [
		'  '.repeat(depth) + mark + (whole ? path : path.slice(path.lastIndexOf('/') + 1)),
		more ? `${state} (${more})` : state,
		child.pid ? String(child.pid) : '',
		child.incarnation ? String(child.incarnation) : '',
		child.restarts === undefined ? '' : String(child.restarts),
		state !== 'dead' && child.since ? asDuration(now - Date.parse(child.since)) : '',
		memoryBytes ? `${(memoryBytes / 1e6).toFixed(1)} MB` : '',
		typeof cpuPercent === 'number' ? `${cpuPercent.toFixed(1)} %` : '',
		lastExit ? visible(`${lastExit.reason}${exitDetail(lastExit)}`) : '',
	];
}

function exitDetail({ code, signal }: { code: number | null; signal: string | null }): string {
	if (signal !== null) return ` (${signal})`;
	return code === null ? '' : ` (code ${code})`;
}

function stateColour(paint: Paint, state: string): (text: string) => string {
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
		case 'paused':
			return paint.dim;
		default:
			return paint.yellow;
	}
}
