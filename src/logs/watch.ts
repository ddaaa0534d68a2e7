/** Says when something in a folder may have changed. A watch on the folder outlives the replacement of its files; a slow poll is the net below it. */

import fs from 'node:fs';

const POLL_MS = 250;

export class FolderWatch {
	readonly #pollMs: number;
	readonly #watcher: fs.FSWatcher | null;
	#changed = false;
	#wake: (() => void) | null = null;

	constructor(dir: string, pollMs: number = POLL_MS) {
		this.#pollMs = pollMs;
		this.#watcher = this.#watch(dir);
	}

	/** Resolves at the next change, at once if there was one since the last call, or when the poll is due. */
	wait(): Promise<void> {
		return new Promise((resolve) => {
			const poll = setTimeout(() => this.#wake?.(), this.#changed ? 0 : this.#pollMs);
			this.#wake = () => {
				clearTimeout(poll);
				this.#wake = null;
				this.#changed = false;
				resolve();
			};
		});
	}

	/** Ends a wait that is under way. */
	wake(): void {
		this.#changed = true;
		this.#wake?.();
	}

	close(): void {
		this.#watcher?.close();
		this.wake();
	}

	#watch(dir: string): fs.FSWatcher | null {
		try {
			const watcher = fs.watch(dir, () => this.wake());
			watcher.on('error', () => watcher.close());
			return watcher;
		} catch {
			// No such folder yet, or no watches left on this machine: the poll does it.
			return null;
		}
	}
}
