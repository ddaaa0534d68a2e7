/**
 * Starts that are ordered in advance. What would follow on a crash, where that is one start at once, is known while the child runs; so the angel
 * has the order already, and need not wait for its master. That one is told of the crash as ever, decides as ever, and takes what has begun.
 */
import type { Leftover, Run } from './host.ts';

export interface AdvanceGround {
	/** Where orders go; null: there is nobody who would start anything in advance. */
	order: ((run: Run, next: Run | null) => void) | null;
	newId: () => string;
	/** What would follow on the crash of one that runs; null: nothing, or not that alone, or later. */
	nextOf: (run: Run) => Omit<Run, 'workerId'> | null;
}

export class Advance {
	readonly #ground: AdvanceGround;
	/** What is ordered, by the worker id of the one that it follows. */
	readonly #ordered = new Map<string, Run>();
	/** What has begun, while the end is told that it follows on. */
	#offered: Leftover | null = null;
	/** What had begun when an earlier master ended, by the dead one that it follows on. */
	readonly #begun = new Map<Leftover, Leftover>();

	constructor(ground: AdvanceGround) {
		this.#ground = ground;
	}

	/** Orders what would follow now, or takes back what would no more. `runs`: it is at work, and nobody has asked it to go. */
	look(run: Run, runs: boolean): void {
		const { order, newId, nextOf } = this.#ground;
		if (order === null) return;
		const { workerId } = run;
		const ordered = this.#ordered.get(workerId);
		const next = runs ? nextOf(run) : null;
		if (next === null && ordered === undefined) return;
		if (next?.spec === ordered?.spec && next?.incarnation === ordered?.incarnation && next?.generation === ordered?.generation) return;
		const ahead = next === null ? null : { ...next, workerId: newId() };
		if (ahead === null) this.#ordered.delete(workerId);
		else this.#ordered.set(workerId, ahead);
		order(run, ahead);
	}

	/** Whether anything is ordered for when this one crashes. */
	has(workerId: string): boolean {
		return this.#ordered.has(workerId);
	}

	forget(workerId: string): void {
		this.#ordered.delete(workerId);
	}

	/** It has begun; `told` tells of the end that it follows on. Answers whether it has been taken: else it is not what follows. */
	offer(next: Leftover, told: () => void): boolean {
		this.#offered = next;
		told();
		const isTaken = this.#offered === null;
		this.#offered = null;
		return isTaken;
	}

	/** What has begun, if it is just what is to be launched now. */
	take({ path, incarnation, generation }: Pick<Run, 'path' | 'incarnation' | 'generation'>): Leftover | null {
		const next = this.#offered;
		if (next?.path !== path || next.incarnation !== incarnation || next.generation !== generation) return null;
		this.#offered = null;
		return next;
	}

	/** An earlier master has not heard of the end of the one, nor of the other that follows on it. */
	recall(dead: Leftover, next: Leftover): void {
		this.#begun.set(dead, next);
	}

	/** Tells of the end of one that an earlier master has left. */
	tell(dead: Leftover, told: () => void): void {
		const next = this.#begun.get(dead);
		if (next === undefined) told();
		else this.offer(next, told);
	}

	/** Those of an earlier master's time, taken or not. */
	get begun(): ReadonlySet<Leftover> {
		return new Set(this.#begun.values());
	}
}
