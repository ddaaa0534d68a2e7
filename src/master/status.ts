/** The status of a tree as users get it: what the machines know, and what /proc says of each process. */
import type { Accept, ChildSpec, Exit, ListenSpec } from '../../machines/spec.ts';
import { type Spent, sample } from '../hosts/proc.ts';
import type { Usage } from '../hosts/threads.ts';
import type { StandbyStatus } from './standbys.ts';
import type { ChildView } from './view.ts';

export interface ExitStatus {
	reason: string;
	code: number | null;
	signal: string | null;
	/** ISO time. */
	at: string;
	maxRssBytes: number | null;
	detail?: string;
}

export interface ChildStatus {
	path: string;
	id: string;
	kind: string;
	state: string;
	substate: string | null;
	/** Of a thread: the process that it lives in. */
	pid: number | null;
	incarnation: number;
	generation: number;
	restarts: number;
	/** ISO time of the last change of state. */
	since: string | null;
	lastExit: ExitStatus | null;
	/** What the process holds; of a thread, its heap and its buffers. */
	memoryBytes: number | null;
	cpuPercent: number | null;
	/** Why it is down for good, if it is. */
	standing: string | null;
	/** Stopped until it is resumed; its sockets are held. */
	paused: boolean;
	note: string | null;
	/** How it comes to its connections; null: it declares no address. */
	accept: Accept | null;
	/** Spares of its group of instances; null: it is to have none. */
	standby: StandbyStatus | null;
	/** What the worker last said of itself, by `status()`. */
	says: string | null;
	/** Of its output: what rotation has dropped so far. */
	droppedOutputBytes: number;
	strategy?: string;
	/** Of its children, of which only the first hundred may be in `children`. */
	count?: number;
	children?: ChildStatus[];
}

/** The system counts CPU time in steps of so much: over a shorter time it says nothing. */
const CPU_STEP_MS = 10;

/** CPU time at a time. */
export interface Look {
	at: number;
	cpuMs: number;
}

/** What the hosts know of an incarnation. */
export interface Sources {
	/** What it last said of itself. */
	says: (workerId: string) => string | null;
	/** How many sockets there are at an address. */
	slotsAt: (address: ListenSpec) => number;
	/** What a thread uses. */
	threadUsage: (workerId: string) => Usage | null;
	/** What rotation has dropped of the output of a child. */
	droppedBytes: (path: string) => number;
}

/** Of one core, since the last look, at `at`; the first time since there is what spends it, whoever looked at it before. */
export function percentOf({ cpuMs, ageMs }: Spent, at: number, last: Look = { at: at - ageMs, cpuMs: 0 }): number {
	return Math.round(((cpuMs - last.cpuMs) / Math.max(at - last.at, CPU_STEP_MS)) * 1_000) / 10;
}

/** Turns views into status; remembers the CPU time of each incarnation, so that `cpuPercent` is since the last look. */
export class StatusReader {
	/** By worker id. */
	#looks = new Map<string, Look>();
	readonly #now: () => number;
	readonly #sources: Sources;

	constructor(now: () => number, sources: Sources) {
		this.#now = now;
		this.#sources = sources;
	}

	read(views: readonly ChildView[]): ChildStatus[] {
		const seen = new Map<string, Look>();
		const statuses = views.map((view) => this.#statusOf(view, seen));
		this.#looks = seen;
		return statuses;
	}

	/** What a worker last said of itself. */
	says(workerId: string): string | null {
		return this.#sources.says(workerId);
	}

	isoOf(monotonicMs: number): string {
		return new Date(Date.now() - (this.#now() - monotonicMs)).toISOString();
	}

	#statusOf(view: ChildView, seen: Map<string, Look>): ChildStatus {
		const { spec, state, substate, pid, workerId, incarnation, restarts, sinceMs, lastExit, standing, note, generation } = view;
		const { memoryBytes, spent } = this.usage(view);
		const at = this.#now();
		const cpuPercent = spent === null ? null : percentOf(spent, at, this.#looks.get(workerId ?? ''));
		if (workerId !== null && spent !== null) seen.set(workerId, { at, cpuMs: spent.cpuMs });
		const common: ChildStatus = {
			path: view.path,
			id: spec.declaredId,
			kind: spec.kind,
			state,
			substate,
			pid: state === 'dead' ? null : pid,
			incarnation,
			generation,
			restarts,
			since: sinceMs === null ? null : this.isoOf(sinceMs),
			lastExit: lastExit === null ? null : this.#exitOf(lastExit),
			memoryBytes,
			cpuPercent,
			standing,
			paused: standing === 'paused',
			note,
			accept: this.#acceptOf(spec),
			standby: view.standby,
			says: workerId === null ? null : this.says(workerId),
			droppedOutputBytes: this.#sources.droppedBytes(view.path),
		};
		if (view.count === null) return common;
		const { count } = view;
		const strategy = spec.kind === 'supervisor' ? spec.strategy : 'one_for_one';
		return { ...common, strategy, count, children: view.children.map((child) => this.#statusOf(child, seen)) };
	}

	#acceptOf(spec: ChildSpec): Accept | null {
		if ((spec.kind !== 'node' && spec.kind !== 'command') || spec.listen.length === 0) return null;
		if (spec.kind === 'node' && spec.quantumMs !== null) return 'token';
		return spec.listen.some((address) => this.#sources.slotsAt(address) > 1) ? 'slots' : 'shared';
	}

	/** What is used by what runs there; nulls where nothing does, or where it is not told. */
	usage({ spec, state, pid, workerId }: ChildView): Usage {
		const nothing = { memoryBytes: null, spent: null };
		if (pid === null || workerId === null || state === 'dead') return nothing;
		if (spec.kind === 'thread') return this.#sources.threadUsage(workerId) ?? nothing;
		const used = sample(pid);
		return used === null ? nothing : { memoryBytes: used.rssBytes, spent: used };
	}

	#exitOf({ reason, code, signal, at, maxRssBytes, detail }: Exit): ExitStatus {
		return { reason, code, signal, at: this.isoOf(at), maxRssBytes, ...(detail === undefined ? {} : { detail }) };
	}
}
