/** The status of a tree as users get it: what the machines know, and what /proc says of each process. */
import type { Exit } from '../../machines/spec.ts';
import { sample } from '../hosts/proc.ts';
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
	pid: number | null;
	incarnation: number;
	generation: number;
	restarts: number;
	/** ISO time of the last change of state. */
	since: string | null;
	lastExit: ExitStatus | null;
	memoryBytes: number | null;
	cpuPercent: number | null;
	/** Why it is down for good, if it is. */
	standing: string | null;
	note: string | null;
	/** What the worker last said of itself, by `status()`. */
	says: string | null;
	strategy?: string;
	/** Of its children, of which only the first hundred may be in `children`. */
	count?: number;
	children?: ChildStatus[];
}

interface Usage {
	at: number;
	cpuMs: number;
}

/** Turns views into status; remembers the CPU time of each process, so that `cpuPercent` is since the last look. */
export class StatusReader {
	#usages = new Map<number, Usage>();
	readonly #now: () => number;
	readonly #says: (workerId: string) => string | null;

	constructor(now: () => number, says: (workerId: string) => string | null) {
		this.#now = now;
		this.#says = says;
	}

	read(views: readonly ChildView[]): ChildStatus[] {
		const seen = new Map<number, Usage>();
		const statuses = views.map((view) => this.#statusOf(view, seen));
		this.#usages = seen;
		return statuses;
	}

	isoOf(monotonicMs: number): string {
		return new Date(Date.now() - (this.#now() - monotonicMs)).toISOString();
	}

	#statusOf(view: ChildView, seen: Map<number, Usage>): ChildStatus {
		const { spec, state, substate, pid, incarnation, restarts, sinceMs, lastExit, standing, note } = view;
		const usage = pid === null || state === 'dead' ? null : sample(pid);
		const before = pid === null ? undefined : this.#usages.get(pid);
		const at = this.#now();
		const sinceStart = sinceMs === null ? 0 : at - sinceMs;
		const base = before ?? { at: at - Math.max(sinceStart, 1), cpuMs: 0 };
		const cpuPercent = usage === null ? null : Math.round(((usage.cpuMs - base.cpuMs) / Math.max(at - base.at, 1)) * 1000) / 10;
		if (pid !== null && usage !== null) seen.set(pid, { at, cpuMs: usage.cpuMs });
		const common: ChildStatus = {
			path: view.path,
			id: spec.declaredId,
			kind: spec.kind,
			state,
			substate,
			pid: state === 'dead' ? null : pid,
			incarnation,
			generation: 1,
			restarts,
			since: sinceMs === null ? null : this.isoOf(sinceMs),
			lastExit: lastExit === null ? null : this.#exitOf(lastExit),
			memoryBytes: usage?.rssBytes ?? null,
			cpuPercent,
			standing,
			note,
			says: view.workerId === null ? null : this.#says(view.workerId),
		};
		if (view.count === null) return common;
		const { count } = view;
		const strategy = spec.kind === 'supervisor' ? spec.strategy : 'one_for_one';
		return { ...common, strategy, count, children: view.children.map((child) => this.#statusOf(child, seen)) };
	}

	#exitOf({ reason, code, signal, at, maxRssBytes, detail }: Exit): ExitStatus {
		return { reason, code, signal, at: this.isoOf(at), maxRssBytes, ...(detail === undefined ? {} : { detail }) };
	}
}
