/** In the place of a host that is opened when it is first needed: what is asked of it before waits, in order. */
import type { Host, Run, Tell } from '../master/host.ts';

type Asked = Exclude<keyof Host, 'discard' | 'adopt' | 'activate' | 'admit' | 'changed' | 'orderNext' | 'dismiss'>;

export class LaterHost implements Host {
	readonly #open: () => Promise<Host>;
	readonly #tell: Tell;
	readonly #now: () => number;
	#host: Host | null = null;
	#waiting: Array<{ what: Asked; run: Run }> = [];
	#opening = false;

	constructor(open: () => Promise<Host>, tell: Tell, now: () => number) {
		this.#open = open;
		this.#tell = tell;
		this.#now = now;
	}

	launch(run: Run): void {
		this.#ask('launch', run);
	}

	watchReadiness(run: Run): void {
		this.#ask('watchReadiness', run);
	}

	watchLiveness(run: Run): void {
		this.#ask('watchLiveness', run);
	}

	askToDrain(run: Run): void {
		this.#ask('askToDrain', run);
	}

	terminate(run: Run): void {
		this.#ask('terminate', run);
	}

	kill(run: Run): void {
		this.#ask('kill', run);
	}

	/** A spare has been loaded: it is open. */
	activate(run: Run): void {
		this.#host?.activate?.(run);
	}

	/** As long as it is not open nothing of it serves. */
	changed(run: Run, state: string): void {
		this.#host?.changed?.(run, state);
	}

	forget(run: Run): void {
		this.#ask('forget', run);
	}

	#ask(what: Asked, run: Run): void {
		if (this.#host !== null) return this.#host[what](run);
		this.#waiting.push({ what, run });
		if (this.#opening) return;
		this.#opening = true;
		this.#open().then(
			(host) => {
				this.#host = host;
				for (const { what: asked, run: about } of this.#waiting.splice(0)) host[asked](about);
			},
			(error: Error) => {
				// Whoever is launched next tries again.
				this.#opening = false;
				for (const { what: asked, run: about } of this.#waiting.splice(0))
					if (asked === 'launch') this.#tell(about.workerId, { type: 'process.failed', message: error.message, at: this.#now() });
			},
		);
	}
}
