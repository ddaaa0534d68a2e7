/** The places where children live, as one: each kind has its own. */
import type { Host, Leftover, Run } from './host.ts';

/** `process`: what the operating system runs, and what an earlier master left. */
export interface Places {
	process: Host;
	thread: Host;
	actor: Host;
}

export class Hosts implements Host {
	readonly #places: Places;

	constructor(places: Places) {
		this.#places = places;
	}

	launch(run: Run): void {
		this.#of(run).launch(run);
	}

	activate(run: Run): void {
		this.#of(run).activate?.(run);
	}

	orderNext(run: Run, next: Run | null): void {
		this.#of(run).orderNext?.(run, next);
	}

	/** Only processes are ordered in advance. */
	dismiss(next: Leftover): void {
		this.#places.process.dismiss?.(next);
	}

	adopt(run: Run, left: Leftover): void {
		this.#of(run).adopt?.(run, left);
	}

	watchReadiness(run: Run): void {
		this.#of(run).watchReadiness(run);
	}

	watchLiveness(run: Run): void {
		this.#of(run).watchLiveness(run);
	}

	askToDrain(run: Run): void {
		this.#of(run).askToDrain(run);
	}

	terminate(run: Run): void {
		this.#of(run).terminate(run);
	}

	kill(run: Run): void {
		this.#of(run).kill(run);
	}

	admit(run: Run): void {
		this.#of(run).admit?.(run);
	}

	changed(run: Run, state: string): void {
		this.#of(run).changed?.(run, state);
	}

	forget(run: Run): void {
		this.#of(run).forget(run);
	}

	discard(path: string): void {
		for (const place of Object.values(this.#places) as Host[]) place.discard?.(path);
	}

	#of({ spec }: Run): Host {
		const { process, thread, actor } = this.#places;
		if (spec?.kind === 'thread') return thread;
		return spec?.kind === 'actor' ? actor : process;
	}
}
