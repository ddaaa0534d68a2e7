/** The status of a tree, again and again. */
import type { RunningTree } from '../home.ts';
import { chooseRunning } from './choose.ts';
import { askStatus, type TreeStatus } from './facts.ts';

const EVERY_MS = 1_000;
/** An angel that is busy for so many looks is not there. */
const MAX_MISSED = 3;

export class Polled {
	readonly #tree: RunningTree;
	#askedAt = Number.NEGATIVE_INFINITY;
	#wake: (() => void) | null = null;

	constructor(tree: RunningTree) {
		this.#tree = tree;
	}

	/** A second after the last one, or as soon as it is woken. Rejects when the tree has ended. */
	async next(): Promise<TreeStatus> {
		for (let missed = 0; ; ) {
			await this.#pause();
			this.#askedAt = performance.now();
			try {
				return await askStatus(this.#tree.dir);
			} catch (error) {
				missed += 1;
				await chooseRunning(this.#tree.id);
				if (missed > MAX_MISSED) throw error;
			}
		}
	}

	wake(): void {
		this.#wake?.();
	}

	#pause(): Promise<void> {
		return new Promise((resolve) => {
			const timer = setTimeout(resolve, Math.max(0, this.#askedAt + EVERY_MS - performance.now()));
			this.#wake = () => {
				clearTimeout(timer);
				resolve();
			};
		});
	}
}
