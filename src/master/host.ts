/** What a tree asks of the place where its children live. The real one speaks to the angel; the simulated one pretends. */

import type { Found } from '../../machines/reconcile.ts';
import type { StopSpec, WorkSpec } from '../../machines/spec.ts';
import type { WorkerEvent } from '../../machines/worker.ts';

/** One incarnation, as the host sees it. */
export interface Run {
	/** Names this incarnation, everywhere and for ever. */
	workerId: string;
	path: string;
	incarnation: number;
	/** The version of the spec that it was started from. */
	generation: number;
	/** null: started by a master that is gone, from a spec that may be gone too. */
	spec: WorkSpec | null;
	/** What it begins with, where its spec does not say: an instance of a dynamic supervisor. */
	input?: unknown;
	stop: StopSpec;
	/** `spare`: it is loaded ahead of need, and is nobody yet. `activated`: it was one, and its process goes on as this child. */
	standby?: 'spare' | 'activated';
	/** It is ready and accepts nothing until it is admitted: a failure of its costs no request. */
	waits?: boolean;
}

/** A process that an earlier master started, with what that one knew of it. */
export interface Leftover extends Found {
	path: string;
	generation: number;
	stop: StopSpec;
	/** By which it is known when it says hello; null: it has nobody to speak to. */
	token: string | null;
	/** Where its output begins in the file that it shares with those before it. */
	logFrom: number;
}

/**
 * Each request returns at once; what becomes of it comes back as facts. A request that throws is a fact as well.
 * `forget`: this incarnation is dead, whatever was held for it can go. `discard`: so is its path, no other will come.
 */
export interface Host {
	launch(run: Run): void;
	/** The process of a spare, which has this very worker id, is to go to work as this child. */
	activate?(run: Run): void;
	/** What is to follow at once if a child crashes, with nobody asked: as its `offer` it comes back. null: nothing any more. */
	orderNext?(run: Run, next: Run | null): void;
	/** That has begun, and something else follows: it is to go. */
	dismiss?(next: Leftover): void;
	/** It runs already, or has just ended: an earlier master started it, or it was ordered in advance. */
	adopt?(run: Run, left: Leftover): void;
	watchReadiness(run: Run): void;
	watchLiveness(run: Run): void;
	askToDrain(run: Run): void;
	terminate(run: Run): void;
	kill(run: Run): void;
	/** It waits no more. */
	admit?(run: Run): void;
	/** Its machine has another state, as XState names it. */
	changed?(run: Run, state: string): void;
	forget(run: Run): void;
	discard?(path: string): void;
}

/** Where a host says what was ordered in advance and has begun; `told` tells of the end that it follows on. */
export type Offer = (next: Leftover, told: () => void) => void;

/** Where a host tells what happened to an incarnation. */
export type Tell = (workerId: string, fact: WorkerEvent) => void;
