/** What a selected child prints, at a pace that a page can take: what is beyond is left out, and said. */
import fs from 'node:fs/promises';
import path from 'node:path';
import { logFile } from '../home.ts';
import { Follower } from '../logs/follow.ts';
import { tail } from '../logs/tail.ts';
import { visible } from '../logs/visible.ts';
import { FolderWatch } from '../logs/watch.ts';

/** Lines from before the selection. */
const LAST_LINES = 200;
/** A chunk of the follower, 64 kB, each. */
const TURN_MS = 100;
/** Who is further behind goes on at the end. */
const MAX_BEHIND_BYTES = 256 * 1024;
const MAX_CHARACTERS = 4_000;
/** Characters of a message, so that a tail of very long lines is bounded as well. */
const MAX_MESSAGE_CHARACTERS = 256 * 1024;

export interface OutputOptions {
	dir: string;
	path: string;
	/** Not now: what comes meanwhile is left out. */
	busy: () => boolean;
	lines: (lines: string[], skippedBytes: number) => void;
}

/** Follows one file until it is closed. */
export class Output {
	readonly #options: OutputOptions;
	readonly #file: string;
	readonly #watch: FolderWatch;
	#closed = false;

	constructor(options: OutputOptions) {
		this.#options = options;
		this.#file = logFile(options.dir, options.path);
		this.#watch = new FolderWatch(path.dirname(this.#file));
		this.#run().catch(() => this.close());
	}

	close(): void {
		this.#closed = true;
		this.#watch.close();
	}

	async #run(): Promise<void> {
		const { dir, path: childPath } = this.#options;
		const { lines, unfinished, next } = await tail(dir, childPath, LAST_LINES);
		if (this.#closed) return;
		this.#say(lines, 0);
		let follower = new Follower(this.#file, { from: next });
		// The line that is not finished is read again with its end.
		void unfinished;
		try {
			while (!this.#closed) {
				const from = performance.now();
				let skippedBytes = 0;
				const behind = await this.#behind(follower);
				if (this.#options.busy()) {
					await this.#rest(from);
					continue;
				}
				if (behind > MAX_BEHIND_BYTES) {
					const to = follower.offset + behind;
					await follower.close();
					follower = new Follower(this.#file, { from: to });
					skippedBytes = behind;
				}
				const batch = await follower.next();
				this.#say(batch.lines, skippedBytes + batch.skippedBytes);
				if (!batch.more) await this.#watch.wait();
				await this.#rest(from);
			}
		} finally {
			await follower.close();
			this.#watch.close();
		}
	}

	async #behind(follower: Follower): Promise<number> {
		const stat = await fs.stat(this.#file).catch(() => null);
		return stat === null ? 0 : Math.max(0, stat.size - follower.offset);
	}

	async #rest(from: number): Promise<void> {
		const left = TURN_MS - (performance.now() - from);
		if (left > 0 && !this.#closed) await new Promise((resolve) => setTimeout(resolve, left));
	}

	#say(lines: string[], skippedBytes: number): void {
		if (this.#closed || (lines.length === 0 && skippedBytes === 0)) return;
		let left = MAX_MESSAGE_CHARACTERS;
		const said: string[] = [];
		let skipped = skippedBytes;
		// The newest matter most.
		for (let at = lines.length - 1; at >= 0; at--) {
			const line = shownLine(lines[at] as string);
			left -= line.length;
			if (left >= 0) said.push(line);
			else skipped += Buffer.byteLength(lines[at] as string) + 1;
		}
		this.#options.lines(said.reverse(), skipped);
	}
}

/** A line with its control characters as signs, cut where it is too long for a page. */
export function shownLine(line: string): string {
	if (line.length <= MAX_CHARACTERS) return visible(line);
	return `${visible(line.slice(0, MAX_CHARACTERS))}… (${line.length - MAX_CHARACTERS} characters more)`;
}
