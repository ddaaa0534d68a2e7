/** The tree: every child with its state, as a list that can be searched, folded and walked by keys. */
import { computed, type Signal, signal, useComputed } from '@preact/signals';
import type { Row } from '../wire.ts';
import { compact, narrow } from './screen.ts';
import { say } from './socket.ts';
import { below, changed, hello, rows, second, select, selected, shape, tab, troubles } from './store.ts';
import { Windowed } from './windowed.tsx';
import { bytes, duration, nameOf, stateWord, toneOf } from './words.ts';

const VISIBLE_MS = 150;
const MAX_VISIBLE = 200;

interface Item {
	path: string;
	level: number;
	/** Among its siblings, from 1. */
	place: number;
	of: number;
	/** Null: nothing is below it. */
	open: boolean | null;
}

const query = signal('');
const onlyTroubles = signal(false);
const folded = signal<ReadonlySet<string>>(new Set());

/** What is listed, top to bottom: what matches, and what that is in. */
const items = computed<Item[]>(() => {
	shape.value;
	const words = query.value.toLowerCase().split(/\s+/).filter(Boolean);
	const searching = words.length > 0 || onlyTroubles.value;
	if (searching) changed.value;
	const list: Item[] = [];
	const matches = (row: Row) => {
		if (onlyTroubles.value && !['warn', 'bad'].includes(toneOf(row))) return false;
		const text = `${row.path || row.id} ${row.kind} ${stateWord(row)}`.toLowerCase();
		return words.every((word) => text.includes(word));
	};
	const walk = (path: string, level: number, place: number, of: number): boolean => {
		const row = rows.get(path);
		if (row === undefined) return false;
		const paths = below.get(path) ?? [];
		const start = list.length;
		const open = paths.length === 0 ? null : searching || !folded.value.has(path);
		list.push({ path, level, place, of, open });
		let found = !searching || matches(row.peek());
		if (open) for (const [index, child] of paths.entries()) found = walk(child, level + 1, index + 1, paths.length) || found;
		if (!found) list.length = start;
		return found;
	};
	walk('', 1, 1, 1);
	return list;
});

let telling: ReturnType<typeof setTimeout> | null = null;
let told = '';
const range = { from: 0, to: 0 };
export function tellVisible(again = false): void {
	if (again) told = '';
	if (telling !== null) return;
	telling = setTimeout(() => {
		telling = null;
		const paths = items
			.peek()
			.slice(range.from, range.to)
			.slice(0, MAX_VISIBLE)
			.map(({ path }) => path);
		if (paths.join('\n') !== told && say({ do: 'visible', paths })) told = paths.join('\n');
	}, VISIBLE_MS);
}

function fold(path: string, close: boolean): void {
	const next = new Set(folded.value);
	if (close) next.add(path);
	else next.delete(path);
	folded.value = next;
}

function walkByKey(event: KeyboardEvent): void {
	if (event.ctrlKey || event.metaKey || event.altKey) return;
	const list = items.value;
	const here = list.findIndex(({ path }) => path === selected.value);
	const item = list[here];
	const page = Math.max(1, range.to - range.from - 14);
	const to = (index: number) => {
		const next = list[Math.max(0, Math.min(list.length - 1, index))];
		if (next !== undefined) select(next.path);
	};
	const moves: Record<string, () => void> = {
		ArrowDown: () => to(here + 1),
		ArrowUp: () => to(here - 1),
		PageDown: () => to(here + page),
		PageUp: () => to(here - page),
		Home: () => to(0),
		End: () => to(list.length - 1),
		ArrowRight: () => (item?.open === false ? fold(item.path, false) : item?.open && to(here + 1)),
		ArrowLeft: () => {
			if (item?.open && query.value === '') fold(item.path, true);
			else if (item !== undefined) to(list.findLastIndex(({ level }, index) => index < here && level < item.level));
		},
		Enter: () => {
			tab.value = narrow.value || tab.value !== 'output' ? 'chart' : 'output';
			document.querySelector<HTMLElement>('#detail')?.focus();
		},
		' ': () => item?.open != null && fold(item.path, item.open),
	};
	const move = moves[event.key];
	if (move === undefined) return;
	event.preventDefault();
	move();
}

export function Tree() {
	const list = items.value;
	const here = list.findIndex(({ path }) => path === selected.value);
	const onRange = (from: number, to: number) => {
		Object.assign(range, { from, to });
		tellVisible();
	};
	const troubled = troubles.value.length;
	return (
		<section class="tree-side" aria-label="Tree">
			<div class="bar">
				<input
					id="search"
					type="search"
					placeholder="Search by path, kind or state"
					aria-label="Search the tree"
					aria-keyshortcuts="/"
					spellcheck={false}
					value={query.value}
					onInput={({ currentTarget }) => (query.value = currentTarget.value)}
					onKeyDown={({ key }) => {
						if (key === 'Escape') query.value = '';
						if (key !== 'Escape' && key !== 'Enter' && key !== 'ArrowDown') return;
						// What was chosen may only be there for what is below it.
						if (query.value !== '' && list[here]?.open !== null) select(list.find(({ open }) => open === null)?.path ?? selected.value);
						document.querySelector<HTMLElement>('.tree')?.focus();
					}}
				/>
				<button type="button" class="chip" aria-pressed={onlyTroubles.value} onClick={() => (onlyTroubles.value = !onlyTroubles.value)}>
					Trouble <b class={troubled > 0 ? 'tone-bad' : ''}>{troubled}</b>
				</button>
			</div>
			{!compact.value && (
				<div class="row heads" aria-hidden="true">
					<span class="cell-name">Child</span>
					<span class="cell-state">State</span>
					<span class="cell-incarnation">Incarnation</span>
					<span class="cell-restarts">Restarts</span>
					<span class="cell-uptime">Uptime</span>
					<span class="cell-memory">Memory</span>
				</div>
			)}
			<Windowed
				class="tree"
				role="tree"
				aria-label={`Children of ${hello.value?.tree ?? 'the tree'}`}
				aria-activedescendant={here === -1 ? undefined : `row-${selected.value}`}
				tabIndex={0}
				count={list.length}
				height={compact.value ? 54 : 32}
				seen={here}
				onRange={onRange}
				onKeyDown={walkByKey}
			>
				{(index) => {
					const item = list[index] as Item;
					const row = rows.get(item.path);
					return row && <TreeRow key={item.path} row={row} item={item} chosen={index === here} />;
				}}
			</Windowed>
			{list.length === 0 && <p class="empty">{rows.size === 0 ? 'Waiting for the tree …' : 'Nothing matches.'}</p>}
		</section>
	);
}

function TreeRow({ row, item, chosen }: { row: Signal<Row>; item: Item; chosen: boolean }) {
	const { path, id, kind, state, substate, incarnation, restarts, memoryBytes, count } = row.value;
	const { level, place, of, open } = item;
	const tone = toneOf(row.value);
	return (
		// biome-ignore lint/a11y/useFocusableInteractive: the tree has the focus, and says which row is meant
		// biome-ignore lint/a11y/useKeyWithClickEvents: the keys are the tree's
		<div
			id={`row-${path}`}
			class={`row tone-${tone}`}
			role="treeitem"
			aria-level={level}
			aria-posinset={place}
			aria-setsize={of}
			aria-selected={chosen}
			aria-expanded={open ?? undefined}
			data-path={path}
			data-state={substate === null ? state : `${state}.${substate}`}
			title={path === '' ? undefined : `${path} (${kind})`}
			onClick={() => {
				select(path);
				if (narrow.value) tab.value = 'chart';
			}}
		>
			<span class="cell-name" style={{ paddingLeft: `${Math.min(level - 1, 8) * 16}px` }}>
				{open === null ? (
					<span class="twist" />
				) : (
					<button
						type="button"
						class="twist"
						tabIndex={-1}
						aria-label={open ? `Fold ${nameOf(path, id)}` : `Unfold ${nameOf(path, id)}`}
						onClick={(event) => {
							event.stopPropagation();
							fold(path, open);
						}}
					>
						<svg viewBox="0 0 10 10" aria-hidden="true">
							<path d="M3 1.5 7 5 3 8.5" />
						</svg>
					</button>
				)}
				<span class="id">{id}</span>
				{count !== null && <span class="count">{count}</span>}
			</span>
			<span class="cell-state">
				<i class="dot" />
				<span>{stateWord(row.value)}</span>
			</span>
			<span class="cell-incarnation" title="Incarnation">
				{incarnation > 0 && `#${incarnation}`}
			</span>
			<span class={`cell-restarts ${restarts > 0 ? 'some' : ''}`} title="Restarts">
				{restarts}
				{compact.value && ' ↻'}
			</span>
			<Uptime row={row} />
			<span class="cell-memory" title="Memory">
				{bytes(memoryBytes)}
			</span>
		</div>
	);
}

/** Its text grows old without its row. */
function Uptime({ row }: { row: Signal<Row> }) {
	const text = useComputed(() => {
		const { state, path } = row.value;
		// A supervisor that restarts a child has changed its state, and not ended.
		const since = path === '' && hello.value !== null ? Date.parse(hello.value.since) : row.value.since;
		return state !== 'running' || since === null ? '–' : duration(second.value - since);
	});
	return (
		<span class="cell-uptime" title="Uptime">
			{text}
		</span>
	);
}
