/** Follows an append-only file by offset, through rotation and replacement, at the pace of its reader. */

import fs, { type FileHandle } from 'node:fs/promises';
import path from 'node:path';
import { type ArchivedRange, findArchived, firstByte } from './archive.ts';
import { FolderWatch } from './watch.ts';

const CHUNK_BYTES = 64 * 1024;
/** A longer line is given out in pieces. */
const MAX_PIECE_BYTES = 256 * 1024;
const NEWLINE = 10;
const CARRIAGE_RETURN = 13;

export interface Batch {
	/** Complete lines, without their ends. */
	lines: string[];
	/** Bytes that were dropped by rotation before they could be read. */
	skippedBytes: number;
	/** Ask again at once: there may be more to read. */
	more: boolean;
}

/** Reads one chunk whenever it is asked, so that nothing grows while nobody asks. */
export class Follower {
	readonly #file: string;
	readonly #from: number;
	readonly #chunk = Buffer.allocUnsafe(CHUNK_BYTES);
	#handle: FileHandle | null = null;
	#offset: number;
	/** An archive that holds what the live file at this offset no longer has. */
	#archived: ArchivedRange | null = null;
	#unfinished: Buffer = Buffer.alloc(0);

	/** `from` is an offset of the file that is there now, or comes first; a file that replaces it is read from its start. */
	constructor(file: string, { from = 0 }: { from?: number } = {}) {
		this.#file = file;
		this.#from = from;
		this.#offset = from;
	}

	/** Up to where the file has been read. */
	get offset(): number {
		return this.#offset;
	}

	async next(): Promise<Batch> {
		if (this.#handle === null) {
			this.#handle = await fs.open(this.#file, 'r').catch(() => null);
			if (this.#handle === null) return { lines: [], skippedBytes: 0, more: false };
		}
		if (this.#archived !== null) return this.#readArchive(this.#archived);
		return this.#readLive(this.#handle);
	}

	/** The line that has no end yet; it is then given out and forgotten. */
	takeUnfinished(): string | null {
		const bytes = this.#unfinished;
		this.#unfinished = Buffer.alloc(0);
		return bytes.length > 0 ? asText(bytes) : null;
	}

	async close(): Promise<void> {
		await this.#archived?.handle.close();
		await this.#handle?.close();
		this.#archived = null;
		this.#handle = null;
	}

	async #readLive(handle: FileHandle): Promise<Batch> {
		const { bytesRead } = await handle.read(this.#chunk, 0, CHUNK_BYTES, this.#offset);
		if (bytesRead === 0) return this.#atEnd(handle);
		const nul = this.#chunk.subarray(0, bytesRead).indexOf(0);
		if (nul === -1) return this.#take(this.#chunk.subarray(0, bytesRead));
		// A NUL is a hole if everything before it in the file is one too; else the child has printed it.
		const { size } = await handle.stat();
		const first = await firstByte(handle, size);
		if (first <= this.#offset + nul) return this.#take(this.#chunk.subarray(0, bytesRead));
		if (nul > 0) return this.#take(this.#chunk.subarray(0, nul));
		this.#archived = await findArchived(this.#file, handle, this.#offset);
		return this.#archived === null ? this.#skipTo(handle) : { lines: [], skippedBytes: 0, more: true };
	}

	async #readArchive({ handle, base, end }: ArchivedRange): Promise<Batch> {
		const length = Math.min(CHUNK_BYTES, end - this.#offset);
		const { bytesRead } = await handle.read(this.#chunk, 0, length, this.#offset - base);
		const batch = this.#take(this.#chunk.subarray(0, bytesRead));
		if (this.#offset >= end || bytesRead === 0) {
			this.#archived = null;
			await handle.close();
		}
		return batch;
	}

	/** What was here is dropped: goes on at the next byte that some file still has. */
	async #skipTo(handle: FileHandle): Promise<Batch> {
		const { size } = await handle.stat();
		const next = await this.#oldestArchived(handle, await firstByte(handle, size));
		// Who has read nothing yet misses nothing: it starts where the files start.
		const skippedBytes = this.#offset === 0 && this.#from === 0 ? 0 : next - this.#offset;
		this.#offset = next;
		const torn = this.takeUnfinished();
		return { lines: torn === null ? [] : [torn], skippedBytes, more: true };
	}

	/** Walks from the live file's first byte down the archives. */
	async #oldestArchived(handle: FileHandle, first: number): Promise<number> {
		let oldest = first;
		while (oldest > this.#offset + 1) {
			const range = await findArchived(this.#file, handle, oldest - 1);
			if (range === null) break;
			await range.handle.close();
			oldest = range.base;
		}
		return oldest;
	}

	async #atEnd(handle: FileHandle): Promise<Batch> {
		const { size, ino } = await handle.stat();
		if (size < this.#offset) {
			// Somebody has cut the file short.
			this.#offset = 0;
			return this.#ended(size > 0);
		}
		const now = await fs.stat(this.#file).catch(() => null);
		if (now === null || now.ino === ino) return { lines: [], skippedBytes: 0, more: false };
		// Another file has this name now. What was written to the old one until then is read first.
		if ((await handle.stat()).size > this.#offset) return { lines: [], skippedBytes: 0, more: true };
		await handle.close();
		this.#handle = null;
		this.#offset = 0;
		return this.#ended(true);
	}

	#ended(more: boolean): Batch {
		const unfinished = this.takeUnfinished();
		return { lines: unfinished === null ? [] : [unfinished], skippedBytes: 0, more };
	}

	#take(bytes: Buffer): Batch {
		this.#offset += bytes.length;
		const held = this.#unfinished.length === 0 ? bytes : Buffer.concat([this.#unfinished, bytes]);
		const lines: string[] = [];
		let from = 0;
		for (let end = held.indexOf(NEWLINE); end !== -1; end = held.indexOf(NEWLINE, from)) {
			lines.push(asText(held.subarray(givePieces(held, from, end, lines), end)));
			from = end + 1;
		}
		from = givePieces(held, from, held.length, lines);
		// A copy: the chunk is read into again.
		this.#unfinished = Buffer.from(held.subarray(from));
		return { lines, skippedBytes: 0, more: bytes.length > 0 };
	}
}

/** Follows a file until the signal aborts; then gives the unfinished line, if there is one. Waits for a file that is not there yet. */
export async function* follow(file: string, { from = 0, signal }: { from?: number; signal?: AbortSignal } = {}): AsyncGenerator<Batch> {
	const follower = new Follower(file, { from });
	const watch = new FolderWatch(path.dirname(file));
	const stop = (): void => watch.wake();
	signal?.addEventListener('abort', stop);
	try {
		for (;;) {
			// Asked before the read: what was written before the abort is still given out.
			const last = signal?.aborted === true;
			const batch = await follower.next();
			if (batch.lines.length > 0 || batch.skippedBytes > 0) yield batch;
			if (batch.more) continue;
			if (last) break;
			await watch.wait();
		}
		const unfinished = follower.takeUnfinished();
		if (unfinished !== null) yield { lines: [unfinished], skippedBytes: 0, more: false };
	} finally {
		signal?.removeEventListener('abort', stop);
		watch.close();
		await follower.close();
	}
}

/** Gives out whole pieces of a line that is too long, cut between characters; returns where the rest begins. */
function givePieces(bytes: Buffer, from: number, end: number, lines: string[]): number {
	let at = from;
	while (end - at > MAX_PIECE_BYTES) {
		let cut = at + MAX_PIECE_BYTES;
		// Bytes 10xxxxxx continue a character; there are at most three of them.
		for (let back = 0; back < 3 && (bytes[cut]! & 0xc0) === 0x80; back++) cut -= 1;
		lines.push(bytes.toString('utf8', at, cut));
		at = cut;
	}
	return at;
}

function asText(bytes: Buffer): string {
	const end = bytes[bytes.length - 1] === CARRIAGE_RETURN ? bytes.length - 1 : bytes.length;
	return bytes.toString('utf8', 0, end);
}
