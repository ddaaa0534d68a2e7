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

/**
 * Appends whole lines, those of one turn in one write, behind what the turn itself is about: a restart does not wait for
 * its own record. A full disk costs events, never the tree.
 */
export class EventLog {
	readonly #file: string;
	#fd: number | null = null;
	#bytes = 0;
	#waiting: Array<{ time: Date; at: number; record: EventRecord }> = [];

	constructor(dir: string) {
		this.#file = eventsFile(dir);
		this.reopen();
		process.once('exit', () => this.flush());
	}

	reopen(): void {
		this.close();
		this.#open();
	}

	write(record: EventRecord): void {
		if (this.#waiting.length === 0) setImmediate(() => this.flush());
		this.#waiting.push({ time: new Date(), at: Math.round(performance.now()), record });
	}

	flush(): void {
		const waiting = this.#waiting;
		if (waiting.length === 0) return;
		this.#waiting = [];
		if (this.#fd === null) this.#open();
		if (this.#fd === null) return;
		const lines = waiting.map(({ time, at, record }) => JSON.stringify({ time, at, ...record }) + '\n').join('');
		try {
			fs.writeSync(this.#fd, lines);
			this.#bytes += lines.length;
			// Only one of the two writers moves the file: the other one follows at its next look.
			if (this.#bytes > MAX_BYTES) this.#moveAside();
		} catch {
			this.#shut();
		}
	}

	close(): void {
		this.flush();
		this.#shut();
	}

	#open(): void {
		try {
			this.#fd = fs.openSync(this.#file, 'a', 0o600);
			this.#bytes = fs.fstatSync(this.#fd).size;
		} catch {
			this.#fd = null;
		}
	}

	#shut(): void {
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
