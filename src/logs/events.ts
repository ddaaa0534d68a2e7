/** choir's own events, as JSON lines that angel and master append to one file. */
import fs from 'node:fs';
import { eventsFile } from '../home.ts';
import { statOf } from './open.ts';

/** Beyond this the file is moved aside once; two of them are kept. */
const MAX_BYTES = 16 * 1024 * 1024;
/** While the file cannot be written, the last ones are kept for later. */
const MAX_WAITING = 1_000;

export interface EventRecord {
	role: 'angel' | 'master';
	level: 'info' | 'warn' | 'error';
	event: string;
	/** One sentence for people. */
	message: string;
	path?: string;
	[field: string]: unknown;
}

interface Waiting {
	time: Date;
	at: number;
	record: EventRecord;
}

/**
 * Appends whole lines, those of one turn in one write, behind what the turn itself is about: a restart does not wait for
 * its own record. On a full disk the last ones wait until there is space again: it may cost events, never the tree.
 */
export class EventLog {
	readonly #file: string;
	#fd: number | null = null;
	#bytes = 0;
	#waiting: Waiting[] = [];
	#isDue = false;
	/** What was written last ends in the middle of a line. */
	#isTorn = false;

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
		if (!this.#isDue) setImmediate(() => this.flush());
		this.#isDue = true;
		this.#waiting.push({ time: new Date(), at: Math.round(performance.now()), record });
	}

	flush(): void {
		this.#isDue = false;
		const waiting = this.#waiting;
		if (waiting.length === 0) return;
		if (!this.#append(waiting)) {
			waiting.splice(0, waiting.length - MAX_WAITING);
			return this.#shut();
		}
		this.#waiting = [];
		try {
			// Only one of the two writers moves the file: the other one follows at its next look.
			if (this.#bytes > MAX_BYTES) this.#moveAside();
		} catch {
			this.#shut();
		}
	}

	/** Whether all of it is written; if only a part is, that is a line for nobody, and they come again. */
	#append(records: readonly Waiting[]): boolean {
		if (this.#fd === null) this.#open();
		if (this.#fd === null) return false;
		const lines = records.map(({ time, at, record }) => JSON.stringify({ time, at, ...record }) + '\n').join('');
		const bytes = Buffer.from(this.#isTorn ? `\n${lines}` : lines);
		try {
			const written = fs.writeSync(this.#fd, bytes);
			this.#bytes += written;
			this.#isTorn = written < bytes.length;
			return !this.#isTorn;
		} catch {
			return false;
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
		const named = statOf(this.#file);
		if (named !== undefined && named.ino === held.ino && named.size > MAX_BYTES) fs.renameSync(this.#file, `${this.#file}.1`);
		this.reopen();
	}
}
