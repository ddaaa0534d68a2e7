/** What `choir top` shows and what each key does to it: plain values in, plain values out. */
import { visible } from '../logs/visible.ts';
import { type ChildStatus, flatten, type TreeStatus } from './facts.ts';
import type { Key } from './screen.ts';
import { headLines, type Paint, type TableRow, tableLines } from './table.ts';

const sorts = ['tree', 'cpu', 'memory', 'restarts', 'up', 'name'] as const;
export type Sort = (typeof sorts)[number];

export interface Board {
	readonly facts: TreeStatus | null;
	readonly sort: Sort;
	readonly selected: string | null;
	/** Supervisors whose children are hidden. */
	readonly closed: ReadonlySet<string>;
	readonly filter: string;
	/** What the keys go to. */
	readonly mode: 'table' | 'filter' | 'confirm' | 'output' | 'help';
	/** The first row that is on the screen. */
	readonly first: number;
	/** What became of the last request, until the next key. */
	readonly note: string;
	readonly output: Output | null;
}

/** `above`: so many lines above the newest; while it is 0 the output is followed. */
export interface Output {
	readonly path: string;
	readonly lines: readonly string[];
	readonly above: number;
}

/** What the world has to do for a key. */
export type Wish = { do: 'quit' } | { do: 'restart'; path: string } | { do: 'openOutput'; path: string } | { do: 'closeOutput' };

export interface Size {
	rows: number;
	columns: number;
}

export const newBoard = (sort: Sort): Board => ({
	facts: null,
	sort,
	selected: null,
	closed: new Set(),
	filter: '',
	mode: 'table',
	first: 0,
	note: '',
	output: null,
});

const MAX_OUTPUT_LINES = 2_000;
/** Lines of a frame beside the rows of its table: two of head, a summary, the headings, and the keys. */
const FRAME_LINES = 6;
const KEYS = '↑↓ choose  ←→ fold  s sort  / filter  l logs  r restart  ? help  q quit';
const HELP = [
	'↑ ↓  k j            choose a child; PgUp, PgDn, Home and End go further',
	'← →                 fold and unfold a supervisor',
	`s  S                sort by the next or the one before: ${sorts.join(', ')}`,
	'/                   show only paths that contain a text; Enter keeps it, Escape drops it',
	'l  Enter            the output of the child, as it comes',
	'r                   restart the child, after a question',
	'q  Ctrl-C           leave; the tree goes on',
];

/** The board with what is known now. */
export function learn(board: Board, facts: TreeStatus): Board {
	return keepSelected({ ...board, facts }, board);
}

/** The board with more output. */
export function hear(board: Board, path: string, lines: readonly string[]): Board {
	if (board.output?.path !== path || lines.length === 0) return board;
	const all = [...board.output.lines, ...lines.map(visible)].slice(-MAX_OUTPUT_LINES);
	// Who reads further up stays where they read.
	const above = board.output.above === 0 ? 0 : Math.min(board.output.above + lines.length, all.length);
	return { ...board, output: { path, lines: all, above } };
}

export function press(board: Board, key: Key, size: Size): [Board, Wish?] {
	if (key.ctrl && (key.name === 'c' || key.name === 'd')) return [board, { do: 'quit' }];
	const quiet = { ...board, note: '' };
	switch (board.mode) {
		case 'help':
			return [{ ...quiet, mode: 'table' }];
		case 'filter':
			return [typed(quiet, key)];
		case 'confirm': {
			const answered: Board = { ...quiet, mode: 'table' };
			const { selected } = board;
			return key.text === 'y' && selected !== null
				? [
						{ ...answered, note: `restarting ${selected} …` },
						{ do: 'restart', path: selected },
					]
				: [answered];
		}
		case 'output':
			return inOutput(quiet, key, size);
		case 'table':
			return inTable(quiet, key, size);
	}
}

function inTable(board: Board, key: Key, size: Size): [Board, Wish?] {
	const rows = rowsOf(board);
	const page = Math.max(1, size.rows - FRAME_LINES - 1);
	const at = rows.findIndex(({ child }) => child.path === board.selected);
	const chosen = rows[at]?.child;
	const go = (row: number): [Board] => [
		scrolled({ ...board, selected: rows[Math.max(0, Math.min(rows.length - 1, row))]?.child.path ?? null }, size),
	];
	switch (key.name) {
		case 'up':
		case 'k':
			return go(at - 1);
		case 'down':
		case 'j':
			return go(at + 1);
		case 'pageup':
			return go(at - page);
		case 'pagedown':
			return go(at + page);
		case 'home':
			return go(0);
		case 'end':
			return go(rows.length - 1);
		case 'left':
			return [chosen?.children === undefined ? board : fold(board, chosen.path, true)];
		case 'right':
			return [chosen?.children === undefined ? board : fold(board, chosen.path, false)];
		case 's': {
			const step = key.text === 'S' ? sorts.length - 1 : 1;
			const sort = sorts[(sorts.indexOf(board.sort) + step) % sorts.length] as Sort;
			return [scrolled(keepSelected({ ...board, sort }, board), size)];
		}
		case 'r':
			return [chosen === undefined ? board : { ...board, mode: 'confirm' }];
		case 'l':
		case 'return':
			if (chosen === undefined) return [board];
			if (chosen.children !== undefined) return [{ ...board, note: `${chosen.path} is a supervisor and has no output of its own` }];
			return [
				{ ...board, mode: 'output', output: { path: chosen.path, lines: [], above: 0 } },
				{ do: 'openOutput', path: chosen.path },
			];
		case 'escape':
			return [keepSelected({ ...board, filter: '' }, board)];
		case 'q':
			return [board, { do: 'quit' }];
		default:
			if (key.text === '/') return [{ ...board, mode: 'filter' }];
			return [key.text === '?' || key.name === 'h' ? { ...board, mode: 'help' } : board];
	}
}

function inOutput(board: Board, key: Key, size: Size): [Board, Wish?] {
	const { output } = board;
	if (output === null) return [{ ...board, mode: 'table' }];
	const page = Math.max(1, size.rows - 3);
	const go = (above: number): [Board] => [
		{ ...board, output: { ...output, above: Math.max(0, Math.min(above, output.lines.length - page)) } },
	];
	switch (key.name) {
		case 'up':
		case 'k':
			return go(output.above + 1);
		case 'down':
		case 'j':
			return go(output.above - 1);
		case 'pageup':
			return go(output.above + page);
		case 'pagedown':
			return go(output.above - page);
		case 'home':
			return go(output.lines.length);
		case 'end':
			return go(0);
		case 'escape':
		case 'q':
		case 'l':
		case 'return':
			return [{ ...board, mode: 'table', output: null }, { do: 'closeOutput' }];
		default:
			return [board];
	}
}

function typed(board: Board, { name, text, ctrl }: Key): Board {
	if (name === 'return') return { ...board, mode: 'table' };
	if (name === 'escape') return keepSelected({ ...board, mode: 'table', filter: '' }, board);
	const filter = name === 'backspace' ? board.filter.slice(0, -1) : ctrl || text < ' ' ? board.filter : board.filter + text;
	return keepSelected({ ...board, filter: filter.slice(0, 100) }, board);
}

function fold(board: Board, path: string, shut: boolean): Board {
	const closed = new Set(board.closed);
	if (shut) closed.add(path);
	else closed.delete(path);
	return { ...board, closed };
}

/** If the selected one is no longer shown, the one in its place is. */
function keepSelected(board: Board, before: Board): Board {
	const rows = rowsOf(board);
	if (rows.some(({ child }) => child.path === board.selected)) return board;
	const place = rowsOf(before).findIndex(({ child }) => child.path === board.selected);
	return { ...board, selected: rows[Math.max(0, Math.min(place, rows.length - 1))]?.child.path ?? null };
}

function scrolled(board: Board, { rows: height }: Size): Board {
	const room = Math.max(1, height - FRAME_LINES);
	const rows = rowsOf(board);
	const at = Math.max(
		0,
		rows.findIndex(({ child }) => child.path === board.selected),
	);
	const first = Math.max(0, Math.min(board.first, rows.length - room));
	return { ...board, first: at < first ? at : at >= first + room ? at - room + 1 : first };
}

/** As a tree, or, in another order, those that do the work, with their whole paths. */
function rowsOf({ facts, sort, closed, filter }: Board): TableRow[] {
	if (facts === null) return [];
	const wanted = filter.toLowerCase();
	const isMeant = ({ path }: ChildStatus) => path.toLowerCase().includes(wanted);
	if (sort !== 'tree')
		return flatten(facts.children)
			.filter((child) => child.children === undefined && isMeant(child))
			.sort((a, b) => weightOf(b, sort) - weightOf(a, sort) || (a.path < b.path ? -1 : 1))
			.map((child) => ({ child, depth: 0, whole: true }));
	const rows: TableRow[] = [];
	const add = (children: readonly ChildStatus[], depth: number): void => {
		for (const child of children) {
			if (!flatten([child]).some(isMeant)) continue;
			const { path, children: below } = child;
			// What was looked for is shown, wherever it is.
			const isClosed = closed.has(path) && filter === '';
			rows.push({ child, depth, mark: below === undefined ? '' : isClosed ? '▸ ' : '▾ ' });
			if (below !== undefined && !isClosed) add(below, depth + 1);
		}
	};
	add(facts.children, 0);
	return rows;
}

function weightOf({ cpuPercent, memoryBytes, restarts, since, state }: ChildStatus, sort: Exclude<Sort, 'tree'>): number {
	switch (sort) {
		case 'cpu':
			return cpuPercent ?? -1;
		case 'memory':
			return memoryBytes ?? -1;
		case 'restarts':
			return restarts ?? -1;
		case 'up':
			return since && state !== 'dead' ? -Date.parse(since) : Number.NEGATIVE_INFINITY;
		case 'name':
			return 0;
	}
}

/** The lines of the screen. `now`: ms since the epoch. */
export function frame(board: Board, { size, paint, now }: { size: Size; paint: Paint; now: number }): string[] {
	const { facts, mode, output, filter, note, selected } = board;
	if (facts === null) return ['…'];
	if (mode === 'help') return [paint.bold('choir top'), '', ...HELP, '', paint.dim('any key goes back')];
	if (mode === 'output' && output !== null) return outputFrame(output, { size, paint });
	const room = Math.max(1, size.rows - FRAME_LINES);
	const { first } = scrolled(board, size);
	const rows = rowsOf(board);
	const [headings = '', ...lines] = tableLines(rows, { paint, now });
	const shown = lines.slice(first, first + room).map((line, n) => {
		const isSelected = rows[first + n]?.child.path === selected;
		return isSelected ? paint.inverse(`› ${line}`) : `  ${line}`;
	});
	const last = rows.find(({ child }) => child.path === selected)?.child.note;
	return [
		...headLines(facts, { paint, now }),
		summaryOf(board, rows.length, paint),
		`  ${headings}`,
		...shown,
		...Array.from({ length: room - shown.length }, () => ''),
		last ? `${paint.red('why')} ${visible(last)}` : '',
		mode === 'filter'
			? `/${filter}▏`
			: mode === 'confirm'
				? paint.bold(`restart ${selected}? It drains first. y: yes, any other key: no`)
				: note === ''
					? paint.dim(KEYS)
					: visible(note),
	];
}

function outputFrame({ path, lines, above }: Output, { size, paint }: { size: Size; paint: Paint }): string[] {
	const room = Math.max(1, size.rows - 3);
	const end = lines.length - above;
	const where = above === 0 ? 'following' : `${above} lines above the newest; End follows`;
	const shown = lines.slice(Math.max(0, end - room), end);
	return [
		`${paint.bold(path)}  ${paint.dim(where)}`,
		'',
		...shown,
		...Array.from({ length: room - shown.length }, () => ''),
		paint.dim('↑↓ PgUp PgDn Home End scroll  q back'),
	];
}

function summaryOf({ facts, sort, filter }: Board, rows: number, paint: Paint): string {
	const work = flatten(facts?.children ?? []).filter(({ children }) => children === undefined);
	const counts = new Map<string, number>();
	for (const { state } of work) counts.set(state, (counts.get(state) ?? 0) + 1);
	const states = [...counts].map(([state, count]) => `${count} ${state}`).join(', ');
	const order = sort === 'tree' ? '' : `  sorted by ${sort}`;
	const only = filter === '' ? '' : `  only '${filter}': ${rows}`;
	return paint.dim(`${work.length} children${states === '' ? '' : `: ${states}`}${order}${only}`);
}
