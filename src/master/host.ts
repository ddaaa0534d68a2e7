/** What a tree asks of the place where its children live. The real one speaks to the angel; the simulated one pretends. */

import type { StopSpec, WorkSpec } from '../../machines/spec.ts';
import type { WorkerEvent } from '../../machines/worker.ts';

/** One incarnation, as the host sees it. */
export interface Run {
	/** Names this incarnation, everywhere and for ever. */
	workerId: string;
	path: string;
	incarnation: number;
	/** null: started by a master that is gone, from a spec that may be gone too. */
	spec: WorkSpec | null;
	/** What it begins with, where its spec does not say: an instance of a dynamic supervisor. */
	input?: unknown;
	stop: StopSpec;
}

/**
 * Each request returns at once; what becomes of it comes back as facts. A request that throws is a fact as well.
 * `forget`: this incarnation is dead, whatever was held for it can go. `discard`: so is its path, no other will come.
 */
export interface Host {
	launch(run: Run): void;
	watchReadiness(run: Run): void;
	watchLiveness(run: Run): void;
	askToDrain(run: Run): void;
	terminate(run: Run): void;
	kill(run: Run): void;
	forget(run: Run): void;
	discard?(path: string): void;
}

/** Where a host tells what happened to an incarnation. */
export type Tell = (workerId: string, fact: WorkerEvent) => void;
