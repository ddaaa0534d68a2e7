/**
 * Stands in for an angel that was killed, for a master that is to stop its tree all the same: it signals processes that are
 * nobody's children here, each only while it is the very one, and sees by looking that they are gone. It starts nothing.
 */
import type { Identity } from '../angel/inventory.ts';
import type { ToAngel, ToMaster } from '../angel/link.ts';
import { findMarked, isAlive, killGroup, killOne, startTicks } from '../hosts/proc.ts';

/** Between two looks whether they live. */
const LOOK_MS = 50;

export interface StandInOptions {
	/** The state folder of the tree. */
	dir: string;
	/** What runs, by worker id. null: asked of the angel, which has not answered any more. */
	processes: ReadonlyMap<string, Identity | null>;
	hear: (message: ToMaster) => void;
}

export class StandIn {
	readonly #options: StandInOptions;
	readonly #processes = new Map<string, Identity>();
	readonly #looking: NodeJS.Timeout;

	constructor(options: StandInOptions) {
		this.#options = options;
		for (const [workerId, known] of options.processes) {
			const identity = known ?? findMarked('CHOIR_WORKER', workerId)[0];
			if (identity === undefined) this.#refuse(workerId);
			else this.#processes.set(workerId, identity);
		}
		this.#looking = setInterval(() => this.#look(), LOOK_MS);
	}

	send(message: ToAngel): void {
		if (message.do === 'spawn') return this.#refuse(message.order.workerId);
		const identity = message.do === 'signal' ? this.#processes.get(message.workerId) : undefined;
		if (message.do !== 'signal' || identity === undefined || !isAlive(identity)) return;
		if (message.signal === 'SIGKILL') killGroup(identity.pid, 'SIGKILL');
		else killOne(identity.pid, 'SIGTERM');
	}

	/** Kills whatever carries the mark of the tree: there will be nobody to look for it. */
	sweep(): void {
		clearInterval(this.#looking);
		for (const { pid } of findMarked('CHOIR_TREE', this.#options.dir)) killOne(pid, 'SIGKILL');
	}

	#refuse(workerId: string): void {
		setImmediate(() => this.#options.hear({ do: 'failed', workerId, message: 'the angel, which starts processes, was killed' }));
	}

	#look(): void {
		for (const [workerId, identity] of this.#processes) {
			if (isAlive(identity)) continue;
			this.#processes.delete(workerId);
			// What it started and left goes with it, unless its number is another's by now.
			if ([null, identity.startTicks].includes(startTicks(identity.pid))) killGroup(identity.pid, 'SIGKILL');
			this.#options.hear({ do: 'exited', workerId, code: null, signal: null });
		}
	}
}
