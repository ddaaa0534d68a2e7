/** Where a tree keeps its state: one folder a tree, mode 0700, and the names of the files in it. */

import { createHash } from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { bootId, isAlive } from './hosts/proc.ts';

/** sun_path holds 108 bytes on Linux and 104 on macOS, the closing NUL among them. */
const SOCKET_PATH_BYTES = 103;

/** What an angel writes into `angel.pid`. */
export interface AngelPid {
	pid: number;
	startTicks: number;
	bootId: string;
	/** The absolute path of the spec. */
	spec: string;
	/** ISO time. */
	startedAt: string;
}

/** A tree that has a folder and a living angel. */
export interface RunningTree {
	id: string;
	dir: string;
	angel: AngelPid;
}

/** `$CHOIR_HOME`, else `$XDG_STATE_HOME/choir`, else `~/.local/state/choir`. An empty variable counts as unset. */
export function choirHome(env: NodeJS.ProcessEnv = process.env): string {
	if (env.CHOIR_HOME) return path.resolve(env.CHOIR_HOME);
	if (env.XDG_STATE_HOME) return path.resolve(env.XDG_STATE_HOME, 'choir');
	return path.join(env.HOME || os.homedir(), '.local', 'state', 'choir');
}

export function treeDir(home: string, treeId: string): string {
	return path.join(home, treeId);
}

/** Makes the folder and what is above it, closed to others. A folder of somebody else is refused. */
export function ensureDir(dir: string): string {
	fs.mkdirSync(dir, { recursive: true, mode: 0o700 });
	const stat = fs.statSync(dir);
	if (process.getuid !== undefined && stat.uid !== process.getuid()) {
		throw new Error(`${dir} belongs to user ${stat.uid}, not to you: choir keeps its state only in folders of its own user`);
	}
	if ((stat.mode & 0o777) !== 0o700) fs.chmodSync(dir, 0o700);
	return dir;
}

/** Removes a file, if it is there; on a disk that can only be read it stays. */
export function removeIfPossible(file: string): void {
	try {
		fs.rmSync(file, { force: true });
	} catch {}
}

/**
 * The path of a unix socket of a tree: in its folder, or, where that is too long for the kernel, in a folder of this user
 * in the temporary directory, named by a hash of the tree's folder.
 */
export function socketPath(dir: string, name: string): string {
	const near = path.join(dir, name);
	if (Buffer.byteLength(near) <= SOCKET_PATH_BYTES) return near;
	const hash = createHash('sha256').update(path.resolve(dir)).digest('hex').slice(0, 16);
	const folder = ensureDir(path.join(os.tmpdir(), `choir-${process.getuid?.() ?? 'user'}`));
	return path.join(folder, `${hash}-${name}`);
}

export function logsDir(dir: string): string {
	return path.join(dir, 'logs');
}

/** The output file of a child. `childPath` may also be `angel` or `master`. */
export function logFile(dir: string, childPath: string): string {
	return path.join(logsDir(dir), `${childPath.replaceAll('/', '+')}.log`);
}

/** The child whose output a file of `logs/` holds; null for rotated files and strangers. */
export function childOfLogFile(name: string): string | null {
	return name.endsWith('.log') ? name.slice(0, -'.log'.length).replaceAll('+', '/') : null;
}

export function eventsFile(dir: string): string {
	return path.join(dir, 'events.jsonl');
}

export function angelPidFile(dir: string): string {
	return path.join(dir, 'angel.pid');
}

/** What `angel.pid` says, whether or not that process still lives; null if there is none that can be read. */
export function readAngelPid(dir: string): AngelPid | null {
	try {
		const read = JSON.parse(fs.readFileSync(angelPidFile(dir), 'utf8')) as Partial<AngelPid> | null;
		return typeof read?.pid === 'number' && typeof read.startTicks === 'number' ? (read as AngelPid) : null;
	} catch {
		return null;
	}
}

/** Whether the process that wrote this `angel.pid` still runs: the same boot, pid and start time. */
export function angelLives(angel: AngelPid): boolean {
	return angel.bootId === bootId() && isAlive(angel);
}

/** The trees of this home whose angel lives, by name. */
export function listTrees(home: string): RunningTree[] {
	let names: string[];
	try {
		names = fs.readdirSync(home).sort();
	} catch {
		return [];
	}
	const trees: RunningTree[] = [];
	for (const id of names) {
		const dir = treeDir(home, id);
		const angel = readAngelPid(dir);
		if (angel !== null && angelLives(angel)) trees.push({ id, dir, angel });
	}
	return trees;
}
