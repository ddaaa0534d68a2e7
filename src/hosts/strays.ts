/** What the dead have left running: it carries their mark in its environment, unless it wiped it. */
import { allPids, killOne, startedWith } from './proc.ts';

/** Deaths within so many ms share one look, and the next incarnation has its start to itself. */
const SHARED_MS = 250;
const AT_ONCE = 8;

export class Strays {
	/** Worker ids of the dead that have not been looked for. */
	readonly #bereaved = new Set<string>();
	#closed = false;

	/** Kills, soon, what this worker has started and left. */
	killThoseOf(workerId: string): void {
		this.#bereaved.add(workerId);
		if (this.#bereaved.size > 1) return;
		setTimeout(() => {
			const dead = new Set<string | null>(this.#bereaved);
			this.#bereaved.clear();
			this.#kill(dead, allPids());
		}, SHARED_MS).unref();
	}

	close(): void {
		this.#closed = true;
	}

	/** A few at a time: reading all of /proc at once would hold up the next start. */
	#kill(dead: ReadonlySet<string | null>, pids: readonly number[]): void {
		if (this.#closed || pids.length === 0) return;
		for (const pid of pids.slice(0, AT_ONCE)) if (dead.has(startedWith(pid, 'CHOIR_WORKER'))) killOne(pid, 'SIGKILL');
		setImmediate(() => this.#kill(dead, pids.slice(AT_ONCE)));
	}
}
