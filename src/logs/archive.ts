/**
 * How a rotated output file lies on the disk, and where a byte of it is to be found.
 *
 * A child holds its file open with O_APPEND for ever, so the file is never renamed under it. Rotation copies the finished lines away and
 * punches a hole where they were: the file's size and every offset stay valid, the disk is freed, and what is left starts at
 * the first byte that is not NUL. Seen by offset, the newest archive `.1` ends where the live file begins, `.2` where `.1` begins, and so on.
 */

import fs, { type FileHandle } from 'node:fs/promises';
import path from 'node:path';

const BLOCK_BYTES = 4096;
/** How often, and how long in all, the archives are looked at again while a rotation is at work on them. */
const RETRY_MS = 10;
const RETRIES = 100;

/** A part of the live file that has been copied away and is about to become `.1`. Its name says which part, so that a crash here loses nothing. */
export interface Rotating {
	file: string;
	start: number;
	end: number;
}

interface Archives {
	/** `.1`, `.2` … up to the first that is missing. */
	numbered: Array<{ file: string; ino: number; size: number }>;
	rotating: Rotating | null;
}

/** Where archived bytes are: `handle` gives the byte of offset `from` at position `from - base`, and so on up to offset `end`. */
export interface ArchivedRange {
	handle: FileHandle;
	base: number;
	end: number;
}

export function archiveFile(file: string, n: number): string {
	return `${file}.${n}`;
}

/** The copy while it is being written: worth nothing until it is renamed. */
export function copyingFile(file: string): string {
	return `${file}.copying`;
}

export function rotatingFile(file: string, start: number, end: number): string {
	return `${file}.rotating-${start}-${end}`;
}

/** The first byte that has not been archived: a binary search for the first block that is not all NUL. `size` if there is none. */
export async function firstByte(handle: FileHandle, size: number): Promise<number> {
	const block = Buffer.alloc(BLOCK_BYTES);
	const firstIn = async (n: number): Promise<number> => {
		const { bytesRead } = await handle.read(block, 0, BLOCK_BYTES, n * BLOCK_BYTES);
		for (let i = 0; i < bytesRead; i++) if (block[i] !== 0) return n * BLOCK_BYTES + i;
		return -1;
	};
	// Most files have no hole; and NULs that a child printed later are none.
	const atOnce = await firstIn(0);
	if (atOnce !== -1) return Math.min(atOnce, size);
	let low = 1;
	let high = Math.ceil(size / BLOCK_BYTES);
	let found = size;
	while (low < high) {
		const middle = Math.floor((low + high) / 2);
		const first = await firstIn(middle);
		if (first === -1) {
			low = middle + 1;
		} else {
			found = first;
			high = middle;
		}
	}
	return Math.min(found, size);
}

export async function findRotating(file: string): Promise<Rotating | null> {
	const prefix = `${path.basename(file)}.rotating-`;
	for (const name of await fs.readdir(path.dirname(file)).catch(() => [])) {
		const range = name.startsWith(prefix) ? /^(\d+)-(\d+)$/.exec(name.slice(prefix.length)) : null;
		if (range) return { file: path.join(path.dirname(file), name), start: Number(range[1]), end: Number(range[2]) };
	}
	return null;
}

export async function listArchives(file: string): Promise<Archives> {
	const numbered: Archives['numbered'] = [];
	for (let n = 1; ; n++) {
		const stat = await fs.stat(archiveFile(file, n)).catch(() => null);
		if (stat === null) break;
		numbered.push({ file: archiveFile(file, n), ino: stat.ino, size: stat.size });
	}
	return { numbered, rotating: await findRotating(file) };
}

/** Finds the archive that holds `offset` of the live file; null when it has been dropped. The caller closes the handle. */
export async function findArchived(file: string, live: FileHandle, offset: number): Promise<ArchivedRange | null> {
	for (let attempt = 0; attempt < RETRIES; attempt++) {
		const before = await listArchives(file);
		const { size } = await live.stat();
		const first = await firstByte(live, size);
		const after = await listArchives(file);
		// Only a look between two equal listings is a look at one state.
		if (sameArchives(before, after)) {
			const found = await openAt(after, first, offset);
			if (found !== null) return found;
			// In the middle of a shift an older archive has no number for a moment.
			if (after.rotating === null) return null;
		}
		await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
	}
	return null;
}

/** How much of a file that is rotated is in no archive any more. */
export async function droppedBytes(file: string): Promise<number> {
	const live = await fs.open(file, 'r');
	try {
		for (let attempt = 0; attempt < RETRIES; attempt++) {
			const before = await listArchives(file);
			const first = await firstByte(live, (await live.stat()).size);
			const after = await listArchives(file);
			if (sameArchives(before, after)) {
				const end = after.rotating?.start ?? first;
				return Math.max(0, end - after.numbered.reduce((sum, { size }) => sum + size, 0));
			}
			await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
		}
		throw new Error(`${file} is rotated too often to be looked at`);
	} finally {
		await live.close();
	}
}

async function openAt({ numbered, rotating }: Archives, first: number, offset: number): Promise<ArchivedRange | null> {
	if (rotating !== null && offset >= rotating.start && offset < rotating.end) {
		const handle = await fs.open(rotating.file, 'r').catch(() => null);
		return handle && { handle, base: rotating.start, end: rotating.end };
	}
	let end = rotating === null ? first : rotating.start;
	for (const archive of numbered) {
		const base = end - archive.size;
		if (offset >= base && offset < end) {
			const handle = await fs.open(archive.file, 'r').catch(() => null);
			if (handle === null || (await handle.stat()).ino === archive.ino) return handle && { handle, base, end };
			await handle.close();
			return null;
		}
		end = base;
	}
	return null;
}

function sameArchives(a: Archives, b: Archives): boolean {
	return (
		a.rotating?.file === b.rotating?.file &&
		a.numbered.length === b.numbered.length &&
		a.numbered.every((archive, n) => archive.ino === b.numbered[n]!.ino && archive.size === b.numbered[n]!.size)
	);
}
