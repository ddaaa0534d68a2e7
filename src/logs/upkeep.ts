/** Keeps output files small while children write to them: a cheap look now and then, and a rotation where one is due. */
import type { LogsSpec } from '../../machines/spec.ts';
import { logFile } from '../home.ts';
import { droppedBytes } from './archive.ts';
import { statOf } from './open.ts';
import { rotateClosed, rotateHeld } from './rotate.ts';

/** Between two looks at an output file: of one that grows, and at most of one that does not. */
export const LOOK_MS = 1_000;
const LOOK_IDLE_MS = 8_000;
/** Of one that would be full before the next look. */
const LOOK_FAST_MS = 25;
const FADING = 0.9;
/** Until a rotation is tried again that has failed, for want of space on the disk, say. */
const RETRY_MS = 60_000;

/** Of one incarnation: what its file held at the last look and when that was, how many looks to let pass until the next, and how many have. */
export interface Look {
	size: number;
	at: number;
	/** Bytes in a millisecond, of late. */
	perMs: number;
	every: number;
	passed: number;
	/** An extra look is due. */
	soon: boolean;
}

export const firstLook = (): Look => ({ size: -1, at: 0, perMs: 0, every: 1, passed: 0, soon: false });

export class Upkeep {
	readonly #dir: string;
	/** Said once per file: its output can only be rotated when its child starts again. */
	readonly #unrotated: (path: string, why: string) => void;
	readonly #rotating = new Set<string>();
	/** By file: until when none is tried, in the ms of `performance.now()`; infinity: as long as a child holds it. */
	readonly #unrotatable = new Map<string, number>();
	/** By file: what rotation has dropped of it. */
	readonly #dropped = new Map<string, number>();

	constructor(dir: string, unrotated: (path: string, why: string) => void) {
		this.#dir = dir;
		this.#unrotated = unrotated;
	}

	/** Before a child starts: nobody writes, so what could not be rotated can be. */
	async beforeStart(path: string, { keep }: LogsSpec): Promise<void> {
		const file = logFile(this.#dir, path);
		if (!this.#unrotatable.delete(file)) return;
		try {
			await rotateClosed(file, keep);
		} catch (error) {
			// A file that is too long keeps nobody from running.
			this.#unrotated(path, (error as Error).message);
		}
	}

	/** Whether a start of the child has something to do here first. */
	waitsForStart(path: string): boolean {
		return this.#unrotatable.has(logFile(this.#dir, path));
	}

	/** How much of the output of a child is no longer there, by now. It is counted from the files, so that it outlives this process. */
	dropped(path: string): number {
		return this.#dropped.get(logFile(this.#dir, path)) ?? 0;
	}

	/** Asked every second. One rotation a file at a time, and only where the cheap look says that one is due. */
	look(path: string, { rotateBytes, keep }: LogsSpec, look: Look): void {
		look.passed += 1;
		if (look.passed < look.every) return;
		look.passed = 0;
		const file = logFile(this.#dir, path);
		if (rotateBytes === 0 || (this.#unrotatable.get(file) ?? 0) > performance.now()) return;
		const stat = statOf(file);
		const size = stat?.size ?? 0;
		const now = performance.now();
		const isFirst = look.size < 0;
		// Who prints in bursts is looked at between them as well, for about a second.
		look.perMs = isFirst ? size / LOOK_MS : Math.max((size - look.size) / Math.max(now - look.at, 1), look.perMs * FADING);
		look.every = size !== look.size ? 1 : Math.min(look.every * 2, LOOK_IDLE_MS / LOOK_MS);
		look.size = size;
		look.at = now;
		if (look.perMs * LOOK_MS > rotateBytes / 2) this.#lookSoon(path, { rotateBytes, keep }, look);
		if (stat === undefined || size < rotateBytes) return;
		// By who looks for the first time: an earlier master may have rotated it.
		if (isFirst && keep > 0) this.#count(file);
		if (stat.blocks * 512 < rotateBytes || this.#rotating.has(file)) return;
		this.#rotating.add(file);
		rotateHeld(file, { rotateBytes, keep })
			.then(
				(result) => ({ why: result.rotated ? null : result.why, until: Number.POSITIVE_INFINITY }),
				(error: Error) => ({ why: error.message, until: performance.now() + RETRY_MS }),
			)
			.then(({ why, until }) => {
				this.#rotating.delete(file);
				this.#count(file);
				const isSaid = this.#unrotatable.delete(file);
				if (why === null) return;
				this.#unrotatable.set(file, until);
				if (!isSaid) this.#unrotated(path, why);
			});
	}

	/** At the pace of who prints so much that a second is long. */
	#lookSoon(path: string, logs: LogsSpec, look: Look): void {
		if (look.soon) return;
		look.soon = true;
		const timer = setTimeout(() => {
			look.soon = false;
			look.passed = look.every;
			this.look(path, logs, look);
		}, LOOK_FAST_MS);
		timer.unref();
	}

	#count(file: string): void {
		droppedBytes(file).then(
			(bytes) => this.#dropped.set(file, bytes),
			// It is counted at the next rotation.
			() => {},
		);
	}
}
