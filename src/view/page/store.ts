/** What the page knows, as signals: the tree, the selected machine, and the steps that were heard. All of it is bounded. */
import { batch, computed, type Signal, signal } from '@preact/signals';
import type { Moment, Operation, Row, StepEntry, ToPage } from '../wire.ts';
import { say } from './socket.ts';
import { isQuiet, toneOf } from './words.ts';

const MAX_ENTRIES = 5_000;
/** Of the entries, those that changed nothing: heartbeats would push all others out. */
const MAX_QUIET = 500;
const MAX_HISTORY = 1_000;
const MAX_MOMENTS = 100;
/** The browser keeps them until they are cleared. */
const MAX_MEASURES = 1_000;
const SELECT_MS = 60;
const TOAST_MS = 7_000;

type Said<Name extends ToPage['say']> = Extract<ToPage, { say: Name }>;

export interface Entry {
	key: number;
	/** Null: a note between the steps. */
	step: StepEntry | null;
	note: string;
	/** Whether its master still lives: only then its step can be looked at. */
	master: number;
}

export const hello = signal<Said<'hello'> | null>(null);
/** By path. */
export const rows = new Map<string, Signal<Row>>();
/** The paths below each path, in start order. */
export const below = new Map<string, string[]>();
/** Grows with what rows there are, and with whatever is in one. */
export const shape = signal(0);
export const changed = signal(0);
export const selected = signal('');
const rowAt = (path: string) => {
	// A row that was not there has no signal that could tell.
	shape.value;
	return rows.get(path)?.value ?? null;
};
export const rootRow = computed(() => rowAt(''));
export const selectedRow = computed(() => rowAt(selected.value));
export const machine = signal<Said<'machine'> | null>(null);
export const history = signal<StepEntry[]>([]);
export const older = signal(false);
export const moments = signal<ReadonlyMap<number, { before: Moment | null; after: Moment | null }>>(new Map());
/** The step that is looked at; null: what is now. */
export const at = signal<StepEntry | null>(null);
export const shownStep = computed(() => at.value ?? history.value.at(-1) ?? null);
export const logged = signal(0);
export const toasts = signal<Array<{ id: number; ok: boolean; message: string }>>([]);
/** Server time, in whole seconds, for what grows old on the screen. */
export const second = signal(Date.now());
/** `chart` and `output` share a place on a wide screen; on a narrow one each is a page. */
export const tab = signal<'tree' | 'chart' | 'output' | 'log'>('tree');

const telling = { changes: [] as Entry[], quiet: [] as Entry[] };
let newest = { master: 0, seq: 0 };
let keys = 0;
let clockOffsetMs = 0;
let operations = 0;
let updates = 0;
/** A moment that the address names, until its history has come. */
let wanted: { seq: number; time: number } | null = null;
let outputHeard: (lines: string[], skippedBytes: number) => void = () => {};

export const serverNow = () => Date.now() + clockOffsetMs;
setInterval(() => {
	second.value = Math.floor(serverNow() / 1_000) * 1_000;
}, 1_000);

export const troubles = computed(() => {
	changed.value;
	const list: Row[] = [];
	for (const { value } of rows.values()) if (['warn', 'bad'].includes(toneOf(value))) list.push(value);
	return list;
});

/** All that is kept, the oldest first. */
export function entries(withQuiet: boolean): readonly Entry[] {
	if (!withQuiet) return telling.changes;
	return [...telling.changes, ...telling.quiet].sort((a, b) => a.key - b.key);
}

export function onOutput(hear: typeof outputHeard): void {
	outputHeard = hear;
}

let selecting: ReturnType<typeof setTimeout> | undefined;
/** Held arrow keys pass many rows: the server is told of the one where they rest. */
export function select(path: string): void {
	batch(() => {
		if (path !== selected.value) {
			selected.value = path;
			machine.value = null;
			history.value = [];
			older.value = false;
			outputHeard([], -1);
			clearTimeout(selecting);
			selecting = setTimeout(() => {
				say({ do: 'select', path });
				window.history.replaceState(null, '', path === '' ? location.pathname : `#${new URLSearchParams({ path })}`);
			}, SELECT_MS);
			wanted = null;
		}
		at.value = null;
	});
}

/** At a step of the selected machine; null: at what is now. */
export function look(step: StepEntry | null): void {
	at.value = step;
	if (step !== null && !moments.value.has(step.seq)) say({ do: 'moment', seq: step.seq });
}

/** To the step before or after the one that is looked at. */
export function stepBy(by: 1 | -1): void {
	const steps = history.value;
	const here = at.value === null ? steps.length - 1 : steps.findIndex(({ seq }) => seq === at.value?.seq);
	const next = steps[here + by];
	if (next === undefined || (by === 1 && here + by === steps.length - 1)) look(by === 1 ? null : at.value);
	else look(next);
}

/** The place that an address names, such as `#at=12&path=web.1&time=…`. */
export function follow(hash: string): void {
	const asked = new URLSearchParams(hash.slice(1));
	const path = asked.get('path');
	if (path === null) return;
	const seq = Number(asked.get('at') ?? Number.NaN);
	select(path);
	wanted = Number.isSafeInteger(seq) ? { seq, time: Number(asked.get('time') ?? 0) } : null;
	if (rows.size > 0 && history.value.length > 0) lookAtWanted();
}

export function linkTo({ seq, path, time }: StepEntry): string {
	return `${location.href.split('#')[0]}#${new URLSearchParams({ at: String(seq), path, time: String(time) })}`;
}

function lookAtWanted(): void {
	if (wanted === null) return;
	const { seq, time } = wanted;
	wanted = null;
	// A step of another master may have the same number.
	const step = history.value.find((one) => one.seq === seq && (time === 0 || one.time === time));
	if (step !== undefined) look(step);
	else toast(false, 'That moment is no longer kept.');
}

export function operate(what: Operation, path: string, count?: number): void {
	operations += 1;
	const sent = say({ do: 'operate', id: operations, what, path, ...(count === undefined ? {} : { count }) });
	if (!sent) toast(false, 'Not connected: nothing was asked for.');
}

export function toast(ok: boolean, message: string): void {
	const id = ++keys;
	toasts.value = [...toasts.value.slice(-3), { id, ok, message }];
	// What went wrong stays until somebody has seen it.
	if (ok) setTimeout(() => dismiss(id), TOAST_MS);
}

export function dismiss(id: number): void {
	toasts.value = toasts.value.filter((one) => one.id !== id);
}

/** All that has come since the last frame, in one change of the page. */
export function hear(messages: readonly ToPage[], since: number): void {
	const first = shape.peek() === 0;
	batch(() => {
		for (const message of messages) take(message);
	});
	// After the frame in which it is drawn.
	requestAnimationFrame(() =>
		setTimeout(() => {
			updates += 1;
			if (updates % MAX_MEASURES === 0) performance.clearMeasures('choir.update');
			performance.measure('choir.update', { start: since });
			if (first && shape.peek() > 0) performance.mark('choir.painted');
		}),
	);
}

/** What this page looks at, told to a server that does not know it. */
export function introduce(): void {
	clearTimeout(selecting);
	say({ do: 'select', path: selected.value });
}

function take(message: ToPage): void {
	switch (message.say) {
		case 'hello': {
			const before = hello.value;
			clockOffsetMs = message.now - Date.now();
			hello.value = message;
			if (before === null) return;
			outputHeard([], -1);
			if (before.master.pid === message.master.pid) return;
			// Its steps count from one again.
			note(`another master took over: incarnation ${message.master.incarnation}, pid ${message.master.pid}`);
			moments.value = new Map();
			history.value = [];
			at.value = null;
			return;
		}
		case 'tree':
			rows.clear();
			below.clear();
			for (const row of message.rows) put(row);
			shape.value += 1;
			changed.value += 1;
			return;
		case 'rows': {
			for (const row of message.rows) if (put(row)) shape.value += 1;
			for (const path of message.gone) drop(path);
			for (const { above, ids } of message.orders) order(above, ids);
			changed.value += 1;
			return;
		}
		case 'measured':
			for (const measured of message.rows) {
				const row = rows.get(measured.path);
				if (row !== undefined) row.value = { ...row.value, ...measured };
			}
			return;
		case 'steps':
			return message.steps.forEach(log);
		case 'gap':
			return note(`${message.dropped} messages were left out: this page was too slow`);
		case 'machine':
			if (message.path === selected.value) machine.value = message;
			return;
		case 'history':
			if (message.path !== selected.value) return;
			history.value = message.steps;
			older.value = message.more;
			return lookAtWanted();
		case 'moment': {
			const kept = [...moments.value].slice(-MAX_MOMENTS);
			moments.value = new Map([...kept, [message.seq, { before: message.before, after: message.after }]]);
			return;
		}
		case 'output':
			if (message.path === selected.value) outputHeard(message.lines, message.skippedBytes);
			return;
		case 'done':
			return toast(message.ok, message.message);
	}
}

/** Whether it is new. */
function put(row: Row): boolean {
	const known = rows.get(row.path);
	if (known !== undefined) {
		// Measured ones come in messages of their own.
		const { memoryBytes, cpuPercent, pid } = known.value;
		known.value = row.memoryBytes === null && row.pid === pid ? { ...row, memoryBytes, cpuPercent } : row;
		return false;
	}
	rows.set(row.path, signal(row));
	if (row.above === null) return true;
	const siblings = below.get(row.above);
	if (siblings === undefined) below.set(row.above, [row.path]);
	else siblings.push(row.path);
	return true;
}

/** Who is not among them stays, at the end. */
function order(above: string, ids: readonly string[]): void {
	const siblings = below.get(above);
	if (siblings === undefined) return;
	const place = new Map(ids.map((id, index) => [above === '' ? id : `${above}/${id}`, index]));
	const placeOf = (path: string) => place.get(path) ?? ids.length;
	below.set(
		above,
		[...siblings].sort((a, b) => placeOf(a) - placeOf(b)),
	);
	shape.value += 1;
}

function drop(path: string): void {
	const row = rows.get(path);
	if (row === undefined) return;
	for (const child of below.get(path) ?? []) drop(child);
	below.delete(path);
	rows.delete(path);
	const siblings = below.get(row.value.above ?? '');
	if (siblings !== undefined)
		below.set(
			row.value.above ?? '',
			siblings.filter((one) => one !== path),
		);
	shape.value += 1;
}

function log(step: StepEntry): void {
	const master = hello.value?.master.pid ?? 0;
	// What was told before the connection was lost may be told again.
	if (master === newest.master && step.seq <= newest.seq) return;
	newest = { master, seq: step.seq };
	enter({ key: ++keys, step, note: '', master });
	if (step.path !== selected.value) return;
	const last = history.value.at(-1);
	if (last !== undefined && step.seq <= last.seq) return;
	// As the server keeps them: of quiet ones in a row, the last.
	const again = last !== undefined && isQuiet(step) && isQuiet(last) && last.event === step.event && last.seq !== at.value?.seq;
	history.value = [...(again ? history.value.slice(0, -1) : history.value.slice(-MAX_HISTORY)), step];
}

function note(text: string): void {
	enter({ key: ++keys, step: null, note: text, master: 0 });
}

function enter(entry: Entry): void {
	const quiet = entry.step !== null && isQuiet(entry.step);
	const list = quiet ? telling.quiet : telling.changes;
	const max = quiet ? MAX_QUIET : MAX_ENTRIES - MAX_QUIET;
	list.push(entry);
	// Now and then, since to take from the front moves all the rest.
	if (list.length > max) list.splice(0, Math.ceil(max / 10));
	logged.value += 1;
}
