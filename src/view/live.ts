/** What changes in the tree, told to all pages that look: gathered for some milliseconds, written once, and sent to each. */
import { monotonicMs } from '../kernel/clock.ts';
import { joinPath, runId, splitPath, supervisorId } from '../master/paths.ts';
import { type Look, percentOf } from '../master/status.ts';
import type { ChildView } from '../master/view.ts';
import { momentOf, text } from './moment.ts';
import type { Entry } from './recorder.ts';
import { epochMs, rowAt } from './rows.ts';
import type { Shown } from './server.ts';
import type { Viewer } from './viewer.ts';
import type { ChartName, Row, StepEntry, ToPage } from './wire.ts';

/** From a change to what is sent of it. */
const GATHER_MS = 25;
/** Steps in one message. */
const MAX_STEPS = 500;
/** Steps from before a page was opened. */
const STEPS_BEFORE = 200;
/** Steps that wait to be sent: a hundred thousand actors may start at once. */
const MAX_WAITING = 20_000;
/** Children of a dynamic supervisor that have a row. */
const MAX_MEMBERS = 100;
/** Between two looks at rows, whether something has changed in them that was no step; and how many are looked at. */
const REFRESH_MS = 500;
const REFRESH_ROWS = 100;
const MEASURE_MS = 2_000;
/** From a look at other rows to their figures. */
const SOON_MS = 200;
/** Processes measured in one turn. */
const MEASURE_ROWS = 25;

interface Used extends Look {
	workerId: string;
}

export class Live {
	readonly #shown: Shown;
	readonly #readOnly: boolean;
	readonly #viewers = new Set<Viewer>();
	/** What was last sent of each path, as JSON. */
	readonly #rows = new Map<string, string>();
	/** How many children of each dynamic supervisor have a row. */
	readonly #members = new Map<string, number>();
	readonly #dirty = new Set<string>();
	/** Supervisors that have made a step, and the order that was last sent of each. */
	readonly #supervisors = new Set<string>();
	readonly #orders = new Map<string, readonly string[]>();
	/** Selected machines that have made a step. */
	readonly #stepped = new Set<string>();
	#used = new Map<string, Used>();
	#steps: Entry[] = [];
	#lost = 0;
	#gathering: NodeJS.Timeout | null = null;
	#intervals: NodeJS.Timeout[] = [];
	#next: Iterator<string> | null = null;
	#measuring = false;
	#soon: NodeJS.Timeout | null = null;

	constructor(shown: Shown, readOnly: boolean) {
		this.#shown = shown;
		this.#readOnly = readOnly;
	}

	get watched(): boolean {
		return this.#viewers.size > 0;
	}

	join(viewer: Viewer): void {
		if (this.#viewers.size === 0) {
			this.#intervals = [setInterval(() => this.#refresh(), REFRESH_MS), setInterval(() => void this.#measure(), MEASURE_MS)];
			for (const interval of this.#intervals) interval.unref();
		}
		// The others have what went before; this one has it in its tree.
		this.flush();
		this.#viewers.add(viewer);
		this.#sendTree(viewer);
		const before = this.#shown.recorder.latest(STEPS_BEFORE);
		if (before.length > 0) viewer.say({ say: 'steps', steps: before.map((entry) => this.#stepOf(entry)) });
	}

	leave(viewer: Viewer): void {
		viewer.close();
		if (!this.#viewers.delete(viewer) || this.#viewers.size > 0) return;
		for (const interval of this.#intervals) clearInterval(interval);
		if (this.#gathering !== null) clearTimeout(this.#gathering);
		this.#gathering = null;
		this.#rows.clear();
		this.#members.clear();
		this.#dirty.clear();
		this.#supervisors.clear();
		this.#orders.clear();
		this.#stepped.clear();
		this.#used = new Map();
		this.#steps = [];
		this.#next = null;
	}

	/** After a page was too slow, or has missed something: the tree anew, and what it has selected. */
	renew(viewer: Viewer, dropped: number): void {
		this.flush();
		viewer.say({ say: 'gap', dropped });
		this.#sendTree(viewer);
		if (viewer.selected !== null) this.show(viewer, viewer.selected);
	}

	/** A path was selected. */
	show(viewer: Viewer, path: string): void {
		viewer.say(this.#machine(path));
		const { entries, more } = this.#shown.recorder.of(path);
		viewer.say({ say: 'history', path, steps: entries.map((entry) => this.#stepOf(entry)), more });
	}

	moment(viewer: Viewer, seq: number): void {
		const step = this.#shown.recorder.find(seq)?.step;
		viewer.say({
			say: 'moment',
			seq,
			before: step === undefined ? null : momentOf(step.from, step.before),
			after: step === undefined ? null : momentOf(step.to, step.after),
		});
	}

	/** Of every step while somebody looks: it only notes what to look at. */
	heard(entry: Entry): void {
		if (this.#viewers.size === 0) return;
		const { step, path } = entry;
		if (this.#steps.length < MAX_WAITING) this.#steps.push(entry);
		else this.#lost += 1;
		this.#stepped.add(path);
		if (step.id.startsWith('master:')) this.#markBelow(entry);
		// A heartbeat is nothing that a row shows.
		else if (step.from !== step.to || step.effects.length > 0) this.#mark(path);
		this.#gathering ??= setTimeout(() => this.flush(), GATHER_MS);
	}

	flush(): void {
		if (this.#gathering !== null) clearTimeout(this.#gathering);
		this.#gathering = null;
		for (const { pipe } of this.#viewers) pipe.hold();
		this.#flush();
		for (const { pipe } of this.#viewers) pipe.release();
	}

	#flush(): void {
		const steps = this.#steps;
		this.#steps = [];
		for (let at = 0; at < steps.length; at += MAX_STEPS)
			this.#tell({ say: 'steps', steps: steps.slice(at, at + MAX_STEPS).map((entry) => this.#stepOf(entry)) });
		this.#flushRows();
		for (const viewer of this.#viewers)
			if (viewer.selected !== null && this.#stepped.has(viewer.selected)) viewer.say(this.#machine(viewer.selected));
		this.#stepped.clear();
		if (this.#lost === 0) return;
		const lost = this.#lost;
		this.#lost = 0;
		for (const viewer of this.#viewers) viewer.pipe.skip(lost);
	}

	#tell(message: ToPage): void {
		if (this.#viewers.size > 0) this.#tellText(JSON.stringify(message));
	}

	#tellText(json: string): void {
		const bytes = Buffer.from(json);
		for (const { pipe } of this.#viewers) pipe.send(bytes);
	}

	#mark(path: string): void {
		if (this.#rows.has(path) || this.#hasRoom(splitPath(path)[0])) this.#dirty.add(path);
	}

	/** Whether one more child of a supervisor may have a row. */
	#hasRoom(above: string): boolean {
		return (this.#members.get(above) ?? 0) < MAX_MEMBERS;
	}

	/** A step of a supervisor changes what it knows of the child that the event is about; its start or end, of all. */
	#markBelow({ path, step: { event, from, to } }: Entry): void {
		this.#mark(path);
		this.#supervisors.add(path);
		const { id, asked } = event as { id?: unknown; asked?: { id?: unknown } };
		for (const one of [id, asked?.id]) if (typeof one === 'string') this.#mark(joinPath(path, one));
		if (event.type !== 'xstate.init' && (to !== 'dead' || from === to)) return;
		const under = path === '' ? '' : `${path}/`;
		for (const known of this.#rows.keys()) if (known !== '' && known.startsWith(under)) this.#dirty.add(known);
		for (const child of this.#shown.tree.childPaths(path)) this.#mark(child);
	}

	#flushRows(): void {
		if (this.#dirty.size === 0 && this.#supervisors.size === 0) return;
		const paths = [...this.#dirty];
		this.#dirty.clear();
		const changed: string[] = [];
		const gone: string[] = [];
		for (const path of paths) {
			const before = this.#rows.get(path);
			const row = this.#rowOf(path);
			if (row === null) {
				if (before !== undefined) this.#forget(path, gone);
				continue;
			}
			// Who is above comes first: what has no supervisor with a row waits for it.
			if (before === undefined && (row.above === null || !this.#rows.has(row.above) || !this.#hasRoom(row.above))) continue;
			const json = JSON.stringify(row);
			if (json === before) continue;
			if (before === undefined) this.#count(path, 1);
			this.#rows.set(path, json);
			changed.push(json);
			if (before === undefined && row.count !== null) for (const child of this.#shown.tree.childPaths(path)) this.#mark(child);
		}
		const orders = this.#moved();
		if (changed.length > 0 || gone.length > 0 || orders.length > 0)
			this.#tellText(`{"say":"rows","rows":[${changed.join(',')}],"gone":${JSON.stringify(gone)},"orders":${JSON.stringify(orders)}}`);
		if (this.#dirty.size > 0) this.#gathering ??= setTimeout(() => this.flush(), GATHER_MS);
	}

	/** Of the supervisors that have made a step since: whose children are others than they were, or elsewhere. */
	#moved(): Extract<ToPage, { say: 'rows' }>['orders'] {
		const orders = [...this.#supervisors].flatMap((above) => {
			const ids = this.#shown.tree.orderOf(above);
			if (ids === null || ids === this.#orders.get(above)) return [];
			this.#orders.set(above, ids);
			return [{ above, ids }];
		});
		this.#supervisors.clear();
		return orders;
	}

	#forget(path: string, gone: string[]): void {
		for (const known of [path, ...this.#below(path)]) {
			if (!this.#rows.delete(known)) continue;
			this.#count(known, -1);
			this.#orders.delete(known);
			gone.push(known);
		}
	}

	/** Only what supervises has anything below it: a look through all is seldom. */
	#below(path: string): string[] {
		const kind = (JSON.parse(this.#rows.get(path) ?? '{}') as Partial<Row>).kind;
		return kind === 'supervisor' || kind === 'dynamic' ? [...this.#rows.keys()].filter((known) => known.startsWith(`${path}/`)) : [];
	}

	#count(path: string, more: 1 | -1): void {
		const [above] = splitPath(path);
		if (path !== '' && this.#shown.tree.specOf(above)?.kind === 'dynamic') this.#members.set(above, (this.#members.get(above) ?? 0) + more);
	}

	#rowOf(path: string): Row | null {
		return rowAt(this.#shown, path, this.#readOnly);
	}

	/** Parents before children, in start order. Rows that have not changed since are not made again. */
	#sendTree(viewer: Viewer): void {
		const sent = new Map(this.#rows);
		this.#rows.clear();
		this.#members.clear();
		const walk = (path: string) => {
			const row = sent.get(path) ?? jsonOf(this.#rowOf(path));
			if (row === null) return;
			this.#rows.set(path, row);
			this.#count(path, 1);
			const ids = this.#shown.tree.orderOf(path);
			if (ids !== null) this.#orders.set(path, ids);
			for (const child of this.#shown.tree.childPaths(path)) walk(child);
		};
		walk('');
		this.#next = null;
		// What the others still have and this look has not is looked at again, for their sake.
		const missing = [...sent.keys()].filter((path) => !this.#rows.has(path));
		for (const path of missing) {
			this.#rows.set(path, sent.get(path) as string);
			this.#count(path, 1);
			this.#dirty.add(path);
		}
		viewer.pipe.send(Buffer.from(`{"say":"tree","rows":[${[...this.#rows.values()].join(',')}]}`), true);
	}

	/** What is no step: a status text, for example. A few rows each time, and room for members that have none yet. */
	#refresh(): void {
		for (let count = 0; count < REFRESH_ROWS; count++) {
			this.#next ??= this.#rows.keys();
			const { value, done } = this.#next.next();
			if (done) {
				this.#next = null;
				break;
			}
			this.#dirty.add(value);
			const shown = this.#members.get(value) ?? MAX_MEMBERS;
			const { count: members } = JSON.parse(this.#rows.get(value) as string) as Row;
			if (shown < Math.min(MAX_MEMBERS, members ?? 0)) for (const child of this.#shown.tree.childPaths(value)) this.#mark(child);
		}
		for (const { visible } of this.#viewers) for (const path of visible) if (this.#rows.has(path)) this.#dirty.add(path);
		this.#flushRows();
	}

	/** Whoever scrolls does not wait for the next round, and starts one seldom. */
	measureSoon(): void {
		this.#soon ??= setTimeout(() => {
			this.#soon = null;
			void this.#measure();
		}, SOON_MS).unref();
	}

	/** Memory and CPU time of what somebody has on screen, some at a time. */
	async #measure(): Promise<void> {
		if (this.#measuring) return;
		this.#measuring = true;
		const paths = [...new Set([...this.#viewers].flatMap(({ visible }) => visible))];
		const used = new Map<string, Used>();
		for (let at = 0; at < paths.length; at += MEASURE_ROWS) {
			const rows = paths.slice(at, at + MEASURE_ROWS).flatMap((path) => this.#measured(path, used) ?? []);
			if (rows.length > 0) this.#tell({ say: 'measured', rows });
			await new Promise((resolve) => setTimeout(resolve, 1));
		}
		this.#used = used;
		this.#measuring = false;
	}

	#measured(path: string, used: Map<string, Used>): Pick<Row, 'path' | 'memoryBytes' | 'cpuPercent'> | null {
		const view: ChildView | null = path === '' ? null : this.#shown.tree.viewAt(path);
		if (view === null || view.workerId === null) return null;
		const { workerId } = view;
		const { memoryBytes, spent } = this.#shown.usage(view);
		if (spent === null) return { path, memoryBytes, cpuPercent: null };
		const at = monotonicMs();
		const last = this.#used.get(path);
		used.set(path, { workerId, at, cpuMs: spent.cpuMs });
		return { path, memoryBytes, cpuPercent: percentOf(spent, at, last?.workerId === workerId ? last : undefined) };
	}

	#machine(path: string): Extract<ToPage, { say: 'machine' }> {
		const { tree } = this.#shown;
		const { incarnation } = path === '' ? { incarnation: this.#shown.masterIncarnation } : (tree.viewAt(path) ?? { incarnation: 0 });
		const isSupervisor = this.#isSupervisor(path);
		const machine = isSupervisor ? supervisorId(path) : runId(path, incarnation);
		const state = tree.kernel.state(machine);
		return {
			say: 'machine',
			path,
			chart: this.#chartOf(path),
			incarnation,
			now: state === null ? null : momentOf(state, tree.kernel.context(machine)),
			timers: tree.kernel.timers(machine).map(({ name, at, from }) => ({ name: text(name), at: epochMs(at), from: epochMs(from) })),
		};
	}

	#isSupervisor(path: string): boolean {
		const kind = this.#shown.tree.specOf(path)?.kind;
		return path === '' || kind === 'supervisor' || kind === 'dynamic';
	}

	#chartOf(path: string): ChartName {
		if (!this.#isSupervisor(path)) return 'worker';
		return this.#shown.tree.specOf(path)?.kind === 'dynamic' ? 'dynamic' : 'master';
	}

	#stepOf({ seq, step, path, incarnation }: Entry): StepEntry {
		const worker = step.id.startsWith('worker:');
		return {
			seq,
			time: epochMs(step.at),
			path,
			chart: worker ? 'worker' : this.#chartOf(path),
			incarnation: path === '' ? this.#shown.masterIncarnation : incarnation,
			event: text(step.event.type),
			from: step.from,
			to: step.to,
			effects: step.effects,
			ignored: step.ignored,
		};
	}
}

const jsonOf = (row: Row | null) => (row === null ? null : JSON.stringify(row));
