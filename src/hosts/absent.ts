/** In place of a host that there is not: what is launched fails, and says so. */
import type { Host, Run, Tell } from '../master/host.ts';

export class AbsentHost implements Host {
	readonly #tell: Tell;
	readonly #what: string;
	readonly #now: () => number;

	constructor(what: string, tell: Tell, now: () => number) {
		this.#what = what;
		this.#tell = tell;
		this.#now = now;
	}

	launch({ workerId }: Run): void {
		this.#tell(workerId, { type: 'process.failed', message: `${this.#what} are not available yet`, at: this.#now() });
	}

	watchReadiness(): void {}
	watchLiveness(): void {}
	askToDrain(): void {}
	terminate(): void {}
	kill(): void {}
	forget(): void {}
}
