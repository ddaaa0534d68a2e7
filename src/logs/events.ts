/** choir's own events, as JSON lines that angel and master append to one file. */
import fs from 'node:fs';
import { eventsFile } from '../home.ts';

/** Beyond this the file is moved aside once; two of them are kept. */
const MAX_BYTES = 16 * 1024 * 1024;

export interface EventRecord {
	role: 'angel' | 'master';
	level: 'info' | 'warn' | 'error';
	event: string;
	/** One sentence for people. */
	message: string;
	path?: string;
	[field: string]: unknown;
}

/** Appends whole lines, each in one write. A full disk costs events, never the tree. */
export class EventLog {
	readonly #file: string;
	#fd: number | null = null;
	#bytes = 0;

	constructor(dir: string) {
		this.#file = eventsFile(dir);
		this.reopen();
	}

	reopen(): void {
		this.close();
		try {
			this.#fd = fs.openSync(this.#file, 'a', 0o600);
			this.#bytes = fs.fstatSync(this.#fd).size;
		} catch {
			this.#fd = null;
		}
	}

	write(record: EventRecord): void {
		if (this.#fd === null) this.reopen();
		if (this.#fd === null) return;
		const line = JSON.stringify({ time: new Date().toISOString(), at: Math.round(performance.now()), ...record }) + '\n';
		try {
			fs.writeSync(this.#fd, line);
			this.#bytes += line.length;
			// Only one of the two writers moves the file: the other one follows at its next look.
			if (this.#bytes > MAX_BYTES) this.#moveAside();
		} catch {
			this.close();
		}
	}

	close(): void {
		if (this.#fd !== null) fs.closeSync(this.#fd);
		this.#fd = null;
	}

	#moveAside(): void {
		// Somebody else may have moved it meanwhile: then the path is another file than the one held.
		const held = fs.fstatSync(this.#fd as number);
		const named = fs.statSync(this.#file, { throwIfNoEntry: false });
		if (named !== undefined && named.ino === held.ino && named.size > MAX_BYTES) fs.renameSync(this.#file, `${this.#file}.1`);
		this.reopen();
	}
}
