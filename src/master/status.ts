/** The status of a tree as users get it: what the machines know, and what /proc says of each process. */
import type { Accept, ChildSpec, Exit, ListenSpec } from '../../machines/spec.ts';
import { sample } from '../hosts/proc.ts';
import type { ThreadUsage } from '../hosts/threads.ts';
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

interface Usage {
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
	threadUsage: (workerId: string) => ThreadUsage | null;
	/** What rotation has dropped of the output of a child. */
	droppedBytes: (path: string) => number;
}

/** Turns views into status; remembers the CPU time of each incarnation, so that `cpuPercent` is since the last look. */
export class StatusReader {
	/** By worker id. */
	#usages = new Map<string, Usage>();
	readonly #now: () => number;
	readonly #sources: Sources;

	constructor(now: () => number, sources: Sources) {
		this.#now = now;
		this.#sources = sources;
	}

	read(views: readonly ChildView[]): ChildStatus[] {
		const seen = new Map<string, Usage>();
		const statuses = views.map((view) => this.#statusOf(view, seen));
		this.#usages = seen;
		return statuses;
	}

	/** What a worker last said of itself. */
	says(workerId: string): string | null {
		return this.#sources.says(workerId);
	}

	isoOf(monotonicMs: number): string {
		return new Date(Date.now() - (this.#now() - monotonicMs)).toISOString();
	}

	#statusOf(view: ChildView, seen: Map<string, Usage>): ChildStatus {
		const { spec, state, substate, pid, workerId, incarnation, restarts, sinceMs, lastExit, standing, note, generation } = view;
		const { memoryBytes, cpuMs } = this.usage(view);
		const at = this.#now();
		const sinceStart = sinceMs === null ? 0 : at - sinceMs;
		const base = this.#usages.get(workerId ?? '') ?? { at: at - Math.max(sinceStart, 1), cpuMs: 0 };
		const cpuPercent = cpuMs === null ? null : Math.round(((cpuMs - base.cpuMs) / Math.max(at - base.at, 1)) * 1000) / 10;
		if (workerId !== null && cpuMs !== null) seen.set(workerId, { at, cpuMs });
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

	/** Memory and CPU time of what runs there; nulls where nothing does, or where it is not told. */
	usage({ spec, state, pid, workerId }: ChildView): ThreadUsage {
		const nothing = { memoryBytes: null, cpuMs: null };
		if (pid === null || workerId === null || state === 'dead') return nothing;
		if (spec.kind === 'thread') return this.#sources.threadUsage(workerId) ?? nothing;
		const used = sample(pid);
		return used === null ? nothing : { memoryBytes: used.rssBytes, cpuMs: used.cpuMs };
	}

	#exitOf({ reason, code, signal, at, maxRssBytes, detail }: Exit): ExitStatus {
		return { reason, code, signal, at: this.isoOf(at), maxRssBytes, ...(detail === undefined ? {} : { detail }) };
	}
}
