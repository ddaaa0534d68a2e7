/** Keeps output files small while children write to them: a cheap look now and then, and a rotation where one is due. */
import fs from 'node:fs';
import type { LogsSpec } from '../../machines/spec.ts';
import { logFile } from '../home.ts';
import { rotateClosed, rotateHeld } from './rotate.ts';

/** Between two looks at an output file: of one that grows, and at most of one that does not. */
export const LOOK_MS = 1_000;
const LOOK_IDLE_MS = 8_000;

/** Of one incarnation: what its file held at the last look, how many looks to let pass until the next, and how many have. */
export interface Look {
	size: number;
	every: number;
	passed: number;
}

export const firstLook = (): Look => ({ size: -1, every: 1, passed: 0 });

export class Upkeep {
	readonly #dir: string;
	/** Said once per file: its output can only be rotated when its child starts again. */
	readonly #unrotated: (path: string, why: string) => void;
	readonly #rotating = new Set<string>();
	readonly #unrotatable = new Set<string>();

	constructor(dir: string, unrotated: (path: string, why: string) => void) {
		this.#dir = dir;
		this.#unrotated = unrotated;
	}

	/** Before a child starts: nobody writes, so what could not be rotated can be. */
	async beforeStart(path: string, { keep }: LogsSpec): Promise<void> {
		const file = logFile(this.#dir, path);
		if (this.#unrotatable.delete(file)) await rotateClosed(file, keep);
	}

	/** Asked every second. One rotation a file at a time, and only where the cheap look says that one is due. */
	look(path: string, { rotateBytes, keep }: LogsSpec, look: Look): void {
		look.passed += 1;
		if (look.passed < look.every) return;
		look.passed = 0;
		const file = logFile(this.#dir, path);
		if (rotateBytes === 0 || this.#rotating.has(file) || this.#unrotatable.has(file)) return;
		const stat = fs.statSync(file, { throwIfNoEntry: false });
		const grows = stat !== undefined && stat.size !== look.size;
		look.every = grows ? 1 : Math.min(look.every * 2, LOOK_IDLE_MS / LOOK_MS);
		look.size = stat?.size ?? 0;
		if (stat === undefined || stat.size < rotateBytes || stat.blocks * 512 < rotateBytes) return;
		this.#rotating.add(file);
		rotateHeld(file, { rotateBytes, keep })
			.then(
				(result) => (result.rotated ? null : result.why),
				(error: Error) => error.message,
			)
			.then((why) => {
				this.#rotating.delete(file);
				if (why === null) return;
				this.#unrotatable.add(file);
				this.#unrotated(path, why);
			});
	}
}
