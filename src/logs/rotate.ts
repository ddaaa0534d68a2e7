/** Rotation of output files, also of those that a child holds open and goes on writing to. One process at a time rotates a file: its owner. */

import { spawn } from 'node:child_process';
import fs, { type FileHandle } from 'node:fs/promises';
import path from 'node:path';
import { archiveFile, copyingFile, findRotating, firstByte, rotatingFile } from './archive.ts';

const COPY_BYTES = 1024 * 1024;
const SEARCH_BYTES = 64 * 1024;
/** An unfinished line is waited for until it is this much longer than an archive; then it is cut. */
const LINE_GRACE_BYTES = 1024 * 1024;
const PUNCH_TIMEOUT_MS = 30_000;
const NEWLINE = 10;

/** `why` is null when it was not due; else one sentence on why this file cannot be rotated while it is held. */
export type Rotation = { rotated: true; freedBytes: number } | { rotated: false; why: string | null };

export interface RotateOptions {
	/** What the live file may hold; also the size of an archive, up to the end of a line. 0 is never. */
	rotateBytes: number;
	/** Archives kept. */
	keep: number;
}

/**
 * Archives the finished lines of a file that its child goes on appending to, in archives of about `rotateBytes`. Nothing is lost, doubled or
 * torn, whenever this process dies. Where holes cannot be punched the file stays as it is: use `rotateClosed` before the next start.
 */
export async function rotateHeld(file: string, { rotateBytes, keep }: RotateOptions): Promise<Rotation> {
	if (rotateBytes === 0) return { rotated: false, why: null };
	const stat = await fs.stat(file).catch(() => null);
	if (stat === null || stat.size < rotateBytes) return { rotated: false, why: null };
	// A file full of holes is large and yet small: this spares the search at most looks. 0 blocks may mean "not counted yet".
	if (stat.blocks > 0 && stat.blocks * 512 < rotateBytes) return { rotated: false, why: null };

	const handle = await fs.open(file, 'r+');
	try {
		await finishInterrupted(file, handle, keep);
		let freedBytes = 0;
		// The size at this moment: a child that prints faster than this copies shall not keep it here for ever.
		const { size, blocks } = await handle.stat();
		for (;;) {
			const start = await firstByte(handle, size);
			const excess = size - start - (keep + 1) * rotateBytes;
			if (excess > rotateBytes) {
				const why = await dropOldest(file, handle, start, (await findCut(handle, start, size, excess)) ?? start + excess);
				if (why !== null) return { rotated: false, why };
				freedBytes += excess;
				continue;
			}
			if (size - start < rotateBytes) {
				// A child that prints NULs: nothing to keep, but the disk fills all the same.
				if (freedBytes === 0 && blocks * 512 > 2 * rotateBytes + LINE_GRACE_BYTES) await punchHole(handle, 0, start);
				break;
			}
			const end = await findCut(handle, start, size, rotateBytes);
			if (end === null) break;
			const why = await archive(file, handle, start, end, keep);
			if (why !== null) return { rotated: false, why };
			freedBytes += end - start;
		}
		return freedBytes > 0 ? { rotated: true, freedBytes } : { rotated: false, why: null };
	} finally {
		await handle.close();
	}
}

/** Makes a file that nobody holds the newest archive. Afterwards there is no live file until somebody creates one. */
export async function rotateClosed(file: string, keep: number): Promise<void> {
	const handle = await fs.open(file, 'r+').catch(() => null);
	try {
		await finishInterrupted(file, handle, keep);
		if (handle === null) return;
		const { size } = await handle.stat();
		const start = await firstByte(handle, size);
		if (start === size || keep === 0) {
			await fs.rm(file, { force: true });
		} else if (start === 0) {
			await makeRoom(file, keep);
			await fs.rename(file, archiveFile(file, 1));
		} else {
			await copyRange(handle, start, size, copyingFile(file));
			const copy = rotatingFile(file, start, size);
			await fs.rename(copyingFile(file), copy);
			await fs.rm(file, { force: true });
			await makeNewest(file, copy, keep);
		}
	} finally {
		await handle?.close();
	}
}

/** What would be an archive too many before it were one is not copied first; and what is older goes before it. */
async function dropOldest(file: string, handle: FileHandle, start: number, end: number): Promise<string | null> {
	const refused = await refusalToPunch(file);
	if (refused !== null) return refused;
	let last = 0;
	while ((await fs.stat(archiveFile(file, last + 1)).catch(() => null)) !== null) last += 1;
	for (let n = last; n >= 1; n--) await fs.rm(archiveFile(file, n), { force: true });
	return punchHole(handle, start, end);
}

/** Folders in which it has been asked and not refused. */
const punched = new Set<string>();

/** Asked of an empty copy first: a file system that refuses shall not cost a copy at each look. */
async function refusalToPunch(file: string): Promise<string | null> {
	const folder = path.dirname(file);
	if (punched.has(folder)) return null;
	const copying = await fs.open(copyingFile(file), 'w', 0o600);
	const refused = await punchHole(copying, 0, 4096).finally(() => copying.close());
	await fs.rm(copyingFile(file), { force: true });
	if (refused === null) punched.add(folder);
	return refused;
}

/** Copy, punch, rename: in this order, each step is either not done or done, and the copy's name says which range it is. */
async function archive(file: string, handle: FileHandle, start: number, end: number, keep: number): Promise<string | null> {
	const refused = await refusalToPunch(file);
	if (refused !== null) return refused;
	await copyRange(handle, start, end, copyingFile(file));
	const copy = rotatingFile(file, start, end);
	await fs.rename(copyingFile(file), copy);
	const why = await punchHole(handle, start, end);
	if (why !== null) {
		await fs.rm(copy, { force: true });
		return why;
	}
	await makeNewest(file, copy, keep);
	return null;
}

/** What a crash left: a copy whose range is still in the live file is dropped, any other is the only one and becomes `.1`. */
async function finishInterrupted(file: string, live: FileHandle | null, keep: number): Promise<void> {
	await fs.rm(copyingFile(file), { force: true });
	const rotating = await findRotating(file);
	if (rotating === null) return;
	const first = live === null ? -1 : await firstByte(live, (await live.stat()).size);
	if (live !== null && first === rotating.start) {
		await fs.rm(rotating.file, { force: true });
		return;
	}
	if (live !== null && first > rotating.start && first < rotating.end) await punchHole(live, rotating.start, rotating.end);
	await makeNewest(file, rotating.file, keep);
}

async function makeNewest(file: string, copy: string, keep: number): Promise<void> {
	if (keep === 0) {
		await fs.rm(copy, { force: true });
		return;
	}
	await makeRoom(file, keep);
	await fs.rename(copy, archiveFile(file, 1));
}

/** Shifts `.1` to `.2` and so on, up to the first gap, and drops what is then over `keep`. */
async function makeRoom(file: string, keep: number): Promise<void> {
	let last = 0;
	while ((await fs.stat(archiveFile(file, last + 1)).catch(() => null)) !== null) last += 1;
	for (let n = last; n >= 1; n--) {
		if (n >= keep) await fs.rm(archiveFile(file, n), { force: true });
		else await fs.rename(archiveFile(file, n), archiveFile(file, n + 1));
	}
}

/**
 * Where an archive from `start` ends: after the last newline within its size. The byte after the cut has to be there and not be NUL,
 * since the hole is recognised by its end. Null: the line is not finished yet.
 */
async function findCut(handle: FileHandle, start: number, size: number, rotateBytes: number): Promise<number | null> {
	const target = Math.min(size, start + rotateBytes);
	for (let to = target; to > start; to -= SEARCH_BYTES) {
		const from = Math.max(start, to - SEARCH_BYTES);
		const bytes = await readRange(handle, from, Math.min(size, to + 1));
		for (let i = bytes.length - 2; i >= 0; i--) if (bytes[i] === NEWLINE && bytes[i + 1] !== 0) return from + i + 1;
	}
	for (let from = target; from < Math.min(size, target + LINE_GRACE_BYTES); from += SEARCH_BYTES) {
		const bytes = await readRange(handle, from, Math.min(size, from + SEARCH_BYTES + 1));
		for (let i = 0; i < bytes.length - 1; i++) if (bytes[i] === NEWLINE && bytes[i + 1] !== 0) return from + i + 1;
	}
	return size - target < LINE_GRACE_BYTES ? null : target;
}

async function readRange(handle: FileHandle, from: number, to: number): Promise<Buffer> {
	const bytes = Buffer.allocUnsafe(to - from);
	const { bytesRead } = await handle.read(bytes, 0, bytes.length, from);
	return bytes.subarray(0, bytesRead);
}

/** What is copied through, again and again: new ones would pile up until they are collected. */
const idle: Buffer[] = [];
const MAX_IDLE = 2;

async function copyRange(handle: FileHandle, start: number, end: number, target: string): Promise<void> {
	const copy = await fs.open(target, 'w', 0o600);
	const chunk = idle.pop() ?? Buffer.allocUnsafe(COPY_BYTES);
	try {
		for (let at = start; at < end; ) {
			const { bytesRead } = await handle.read(chunk, 0, Math.min(chunk.length, end - at), at);
			if (bytesRead === 0) throw new Error(`${target}: the file became shorter while it was copied: expected ${end} bytes, got ${at}`);
			await copy.writeFile(chunk.subarray(0, bytesRead));
			at += bytesRead;
		}
	} catch (error) {
		// A disk that is full shall have its space back.
		await fs.rm(target, { force: true });
		throw error;
	} finally {
		if (idle.length < MAX_IDLE) idle.push(chunk);
		await copy.close();
	}
}

/** Frees [start, end) and keeps the size. Node has no call for it; util-linux has. Null when done, else why not. */
function punchHole(handle: FileHandle, start: number, end: number): Promise<string | null> {
	return new Promise((resolve) => {
		const args = ['--punch-hole', '--keep-size', '--offset', String(start), '--length', String(end - start), '/proc/self/fd/3'];
		const child = spawn('fallocate', args, {
			env: { PATH: process.env.PATH, LC_ALL: 'C' },
			// The open file itself and not its name: what is punched is what was copied.
			stdio: ['ignore', 'ignore', 'pipe', handle.fd],
		});
		// Our own clock: the one of spawn is not stopped when the program does not exist.
		const late = setTimeout(() => child.kill('SIGKILL'), PUNCH_TIMEOUT_MS);
		let said = '';
		child.stderr?.on('data', (chunk: Buffer) => {
			if (said.length < 1_000) said += chunk.toString();
		});
		child.on('error', (error: NodeJS.ErrnoException) => {
			clearTimeout(late);
			resolve(error.code === 'ENOENT' ? 'fallocate (util-linux) is not installed' : `fallocate could not be started: ${error.message}`);
		});
		child.on('close', (code, signal) => {
			clearTimeout(late);
			resolve(code === 0 ? null : `fallocate refused: ${said.trim() || (signal ?? `exit code ${code}`)}`);
		});
	});
}
