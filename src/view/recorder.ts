/** The last steps of a tree: of each path so many, and in all so many, each with what its machine knew before and after. */
import type { Step } from '../kernel/kernel.ts';
import { pathOf } from '../master/paths.ts';

/** Steps and contexts are values that never change: to keep one costs a few pointers. */
export interface Entry {
	/** Grows by one a step. */
	seq: number;
	step: Step;
	path: string;
	incarnation: number;
	/** Its neighbours among all, and among those of its path. */
	older: Entry | null;
	newer: Entry | null;
	above: Entry | null;
	below: Entry | null;
}

/** The entries of one path, the oldest first. */
interface Track {
	path: string;
	/** Whose step was the last, and its incarnation. */
	machine: string;
	incarnation: number;
	first: Entry;
	last: Entry;
	count: number;
	/** Some of it are no longer kept. */
	cut: boolean;
}

export class Recorder {
	/** Told of each step; null: nobody is there. */
	listener: ((entry: Entry) => void) | null = null;
	readonly #perChild: number;
	readonly #inAll: number;
	readonly #incarnationOf: (path: string) => number;
	readonly #tracks = new Map<string, Track>();
	/** The same by the machine of the last step: its name is at hand, to cut the path out of it takes time. */
	readonly #machines = new Map<string, Track>();
	#oldest: Entry | null = null;
	#newest: Entry | null = null;
	#count = 0;
	#seq = 0;

	constructor({ perChild, inAll }: { perChild: number; inAll: number }, incarnationOf: (path: string) => number) {
		this.#perChild = perChild;
		this.#inAll = inAll;
		this.#incarnationOf = incarnationOf;
	}

	get size(): number {
		return this.#count;
	}

	record(step: Step): void {
		const seq = ++this.#seq;
		const known = this.#machines.get(step.id);
		const track = known !== undefined && step.event.type !== 'xstate.init' ? known : this.#trackOf(step);
		const last = track?.last;
		// Heartbeats would push out what happened: of those in a row that change nothing, the last is kept.
		if (track !== undefined && last !== undefined && isQuiet(step) && step.event.type === last.step.event.type && isQuiet(last.step)) {
			this.#unlink(last);
			const entry = this.listener === null ? last : { ...last };
			entry.seq = seq;
			entry.step = step;
			if (entry !== last) {
				if (entry.above === null) track.first = entry;
				else entry.above.below = entry;
				track.last = entry;
			}
			return this.#append(entry);
		}
		if (track === undefined) return this.#begin(step, seq);
		const entry: Entry = {
			seq,
			step,
			path: track.path,
			incarnation: track.incarnation,
			older: null,
			newer: null,
			above: track.last,
			below: null,
		};
		track.last.below = entry;
		track.last = entry;
		track.count += 1;
		this.#append(entry);
		if (track.count > this.#perChild) this.#drop(track.first);
		if (this.#count > this.#inAll) this.#drop(this.#oldest as Entry);
	}

	/** The track of a machine of which the last step was not, or which begins anew. */
	#trackOf({ id }: Step): Track | undefined {
		const track = this.#tracks.get(pathOf(id));
		if (track === undefined) return undefined;
		this.#machines.delete(track.machine);
		this.#machines.set(id, track);
		track.machine = id;
		track.incarnation = incarnationIn(id) ?? this.#incarnationOf(track.path);
		return track;
	}

	/** The first of a path. */
	#begin(step: Step, seq: number): void {
		const path = pathOf(step.id);
		const incarnation = incarnationIn(step.id) ?? this.#incarnationOf(path);
		const entry: Entry = { seq, step, path, incarnation, older: null, newer: null, above: null, below: null };
		const track: Track = { path, machine: step.id, incarnation, first: entry, last: entry, count: 1, cut: false };
		this.#tracks.set(path, track);
		this.#machines.set(step.id, track);
		this.#append(entry);
		if (this.#count > this.#inAll) this.#drop(this.#oldest as Entry);
	}

	#append(entry: Entry): void {
		entry.older = this.#newest;
		entry.newer = null;
		if (this.#newest === null) this.#oldest = entry;
		else this.#newest.newer = entry;
		this.#newest = entry;
		this.#count += 1;
		this.listener?.(entry);
	}

	/** What is kept of a path, the oldest first. `more`: there were older ones. */
	of(path: string): { entries: Entry[]; more: boolean } {
		const track = this.#tracks.get(path);
		const entries: Entry[] = [];
		for (let entry = track?.first ?? null; entry !== null; entry = entry.below) entries.push(entry);
		return { entries, more: track?.cut ?? false };
	}

	/** The last of all paths, the oldest first. */
	latest(count: number): Entry[] {
		const entries: Entry[] = [];
		for (let entry = this.#newest; entry !== null && entries.length < count; entry = entry.older) entries.push(entry);
		return entries.reverse();
	}

	/** Null: no longer kept. */
	find(seq: number): Entry | null {
		for (let entry = this.#newest; entry !== null && entry.seq >= seq; entry = entry.older) if (entry.seq === seq) return entry;
		return null;
	}

	/** The oldest of a path, which may be the oldest of all. */
	#drop(entry: Entry): void {
		this.#unlink(entry);
		const track = this.#tracks.get(entry.path) as Track;
		track.count -= 1;
		track.cut = true;
		if (entry.below === null) {
			this.#tracks.delete(entry.path);
			this.#machines.delete(track.machine);
			return;
		}
		track.first = entry.below;
		entry.below.above = null;
		// An old one that points to newer ones would keep them all when the garbage collector passes over the young.
		entry.below = null;
	}

	/** Takes it out of the row of all. */
	#unlink(entry: Entry): void {
		if (entry.older === null) this.#oldest = entry.newer;
		else entry.older.newer = entry.newer;
		if (entry.newer === null) this.#newest = entry.older;
		else entry.newer.older = entry.older;
		entry.older = null;
		entry.newer = null;
		this.#count -= 1;
	}
}

/** Of a worker; the name of a supervisor's machine has none. */
function incarnationIn(machine: string): number | null {
	return machine.startsWith('worker:') ? Number(machine.slice(machine.lastIndexOf('#') + 1)) : null;
}

/** It changed no state and asked nobody for anything. */
function isQuiet({ from, to, effects }: Step): boolean {
	return from === to && effects.length === 0;
}
