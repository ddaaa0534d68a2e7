/**
 * What a master has in mind, on disk for the next one: a file of lines that each set some keys at once, written before
 * anything is done that others can see. Each line carries its checksum: of a file that was cut or damaged counts what
 * comes before the damage. A person can read it.
 */
import fs from 'node:fs';
import path from 'node:path';
import { removeIfPossible } from '../home.ts';
import { checked, writeChecked } from './checksum.ts';

/** Lines beyond those that the keys need; then the file is written anew. */
const MAX_LINES = 10_000;
/** Between two tries to write a journal anew that could not be written. */
const RETRY_MS = 5_000;

/** A value of null forgets its key. */
export type Changes = Record<string, unknown>;

export interface JournalLine {
	/** ISO time. */
	time: string;
	set: Changes;
}

export interface JournalOptions {
	/** Whether the file that is there counts. */
	resume: boolean;
	/** Told once of a journal that cannot be written (a full disk, say): the tree goes on without. */
	failed: (error: Error) => void;
	/** It can again, and holds all there is by now. */
	recovered: () => void;
	/** Between two tries, in ms. Default 5 000. */
	retryMs?: number;
}

export const journalFile = (dir: string) => path.join(dir, 'journal.jsonl');

export class Journal {
	readonly #file: string;
	readonly #failed: (error: Error) => void;
	readonly #recovered: () => void;
	readonly #retryMs: number;
	readonly #values = new Map<string, unknown>();
	#fd: number | null = null;
	#lines = 0;
	#hasFailed = false;
	#retry: NodeJS.Timeout | undefined;

	/** Goes on with the file that is there, or begins anew. */
	constructor(dir: string, { resume, failed, recovered, retryMs = RETRY_MS }: JournalOptions) {
		this.#file = journalFile(dir);
		this.#failed = failed;
		this.#recovered = recovered;
		this.#retryMs = retryMs;
		if (resume) for (const { set } of readJournal(dir).lines) this.#apply(set);
		this.#begin();
	}

	get values(): ReadonlyMap<string, unknown> {
		return this.#values;
	}

	/** Sets some keys at once, now. */
	write(set: Changes): void {
		this.#apply(set);
		if (this.#fd === null) return;
		try {
			writeChecked(this.#fd, lineOf(set));
			this.#lines += 1;
			if (this.#lines > MAX_LINES + 2 * this.#values.size) this.#begin();
		} catch (error) {
			this.#fail(error as Error);
		}
	}

	close(): void {
		clearTimeout(this.#retry);
		this.#shut();
	}

	#shut(): void {
		if (this.#fd !== null) fs.closeSync(this.#fd);
		this.#fd = null;
	}

	#apply(set: Changes): void {
		for (const [key, value] of Object.entries(set)) {
			if (value === null) this.#values.delete(key);
			else this.#values.set(key, value);
		}
	}

	/** Aside first, then in its place: there is a whole one at any time. */
	#begin(): void {
		this.#shut();
		const aside = `${this.#file}.${process.pid}`;
		try {
			this.#fd = fs.openSync(aside, 'w', 0o600);
			this.#lines = this.#values.size;
			for (const [key, value] of this.#values) writeChecked(this.#fd, lineOf({ [key]: value }));
			fs.renameSync(aside, this.#file);
		} catch (error) {
			removeIfPossible(aside);
			return this.#fail(error as Error);
		}
		if (this.#hasFailed) this.#recovered();
		this.#hasFailed = false;
	}

	#fail(error: Error): void {
		this.#shut();
		// What it says is no longer true.
		removeIfPossible(this.#file);
		if (!this.#hasFailed) this.#failed(error);
		this.#hasFailed = true;
		this.#retry = setTimeout(() => this.#begin(), this.#retryMs).unref();
	}
}

const lineOf = (set: Changes): JournalLine => ({ time: new Date().toISOString(), set });

/** The lines of a journal; `damaged`: bytes at its end that are no lines, or come after one that is none. */
export function readJournal(dir: string): { lines: JournalLine[]; damaged: number } {
	let bytes: Buffer;
	try {
		bytes = fs.readFileSync(journalFile(dir));
	} catch {
		return { lines: [], damaged: 0 };
	}
	const lines: JournalLine[] = [];
	let at = 0;
	for (let end = bytes.indexOf(10, at); end >= 0; end = bytes.indexOf(10, at)) {
		const line = parsed(bytes.toString('utf8', at, end));
		if (line === null) break;
		lines.push(line);
		at = end + 1;
	}
	return { lines, damaged: bytes.length - at };
}

function parsed(text: string): JournalLine | null {
	const read = checked(text) as Partial<JournalLine> | null;
	return typeof read?.set === 'object' && read.set !== null ? (read as JournalLine) : null;
}
