/** The last lines of an output file and of what rotation has made of it, read from the end, with a bound. */

import fs, { type FileHandle } from 'node:fs/promises';
import { logFile } from '../home.ts';
import { firstByte, listArchives } from './archive.ts';

const CHUNK_BYTES = 64 * 1024;
/** What is read at most, however long the lines are. */
const MAX_TAIL_BYTES = 16 * 1024 * 1024;
const NEWLINE = 10;

export interface Tail {
	/** Complete lines, oldest first. */
	lines: string[];
	/** What follows the last newline: a line that its child has not finished. */
	unfinished: string;
	/** The offset of the live file at which `unfinished` begins: where to follow on. */
	next: number;
}

/** The last `n` lines of a child, across the live file and the rotated ones. A child without files has none. */
export async function tail(dir: string, childPath: string, n: number): Promise<Tail> {
	const file = logFile(dir, childPath);
	const live = await readEnd(file, n, MAX_TAIL_BYTES);
	const next = live === null ? 0 : live.end - (live.bytes.length - 1 - live.bytes.lastIndexOf(NEWLINE));
	// Joined before they are split: a file that was rotated while nobody held it may end in the middle of a line.
	let bytes = live === null ? Buffer.alloc(0) : live.bytes;
	const { numbered, rotating } = await listArchives(file);
	for (const older of [...(rotating === null ? [] : [rotating.file]), ...numbered.map((archive) => archive.file)]) {
		if (countLines(bytes) > n || bytes.length >= MAX_TAIL_BYTES) break;
		const read = await readEnd(older, n, MAX_TAIL_BYTES - bytes.length);
		if (read === null) continue;
		const complete = read.bytes.length === 0 || read.bytes[read.bytes.length - 1] === NEWLINE;
		bytes = Buffer.concat([read.bytes, complete ? Buffer.alloc(0) : Buffer.from('\n'), bytes]);
	}
	const lastNewline = bytes.lastIndexOf(NEWLINE);
	const complete = lastNewline === -1 ? [] : bytes.toString('utf8', 0, lastNewline).split('\n');
	return {
		lines: n === 0 ? [] : complete.slice(-n).map((line) => (line.endsWith('\r') ? line.slice(0, -1) : line)),
		unfinished: bytes.toString('utf8', lastNewline + 1),
		next,
	};
}

/** Reads backwards until there are more than `n` newlines, the hole begins, or the bound is reached. */
async function readEnd(file: string, n: number, maxBytes: number): Promise<{ bytes: Buffer; end: number } | null> {
	const handle = await fs.open(file, 'r').catch(() => null);
	if (handle === null) return null;
	try {
		const end = (await handle.stat()).size;
		const start = await firstByte(handle, end);
		const chunks: Buffer[] = [];
		let newlines = 0;
		let at = end;
		while (at > start && newlines <= n && end - at < maxBytes) {
			const from = Math.max(start, at - CHUNK_BYTES);
			const chunk = await readWhole(handle, from, at);
			newlines += countLines(chunk);
			chunks.unshift(chunk);
			at = from;
		}
		return { bytes: Buffer.concat(chunks), end };
	} finally {
		await handle.close();
	}
}

async function readWhole(handle: FileHandle, from: number, to: number): Promise<Buffer> {
	const bytes = Buffer.alloc(to - from);
	await handle.read(bytes, 0, bytes.length, from);
	return bytes;
}

function countLines(bytes: Buffer): number {
	let count = 0;
	for (let at = bytes.indexOf(NEWLINE); at !== -1; at = bytes.indexOf(NEWLINE, at + 1)) count += 1;
	return count;
}
