/** A tree whose angel was killed: what of it still runs, and how it is stopped without an angel. */
import fs from 'node:fs';
import type { StopMode } from '../../machines/spec.ts';
import { isStillThere, type LeftBehind, leftBehind } from '../angel/inventory.ts';
import { takeLock } from '../angel/lock.ts';
import { type AngelPid, angelPidFile, choirHome, readAngelPid } from '../home.ts';
import { killGroup, killOne } from '../hosts/proc.ts';
import { chooseFolder, listFolders } from './choose.ts';
import { Complaint } from './complaint.ts';
import { askStatus, type ChildStatus, type TreeStatus } from './facts.ts';

export interface Orphans extends LeftBehind {
	id: string;
	dir: string;
	angel: AngelPid | null;
}

/** Between two looks whether they are gone. */
const LOOK_MS = 20;
/** From SIGTERM to SIGKILL for what is in no inventory. */
const STRAY_MS = 5_000;
const GONE_MS = 30_000;

/** Of a tree that does not run; without a word: of the only such tree that has left something. null: there is nothing. */
export async function findOrphans(word: string | undefined): Promise<Orphans | null> {
	const folders = word === undefined ? listFolders(choirHome()) : [await chooseFolder(word).catch(() => null)];
	const found = folders.flatMap((folder): Orphans[] => {
		const angel = folder === null ? null : readAngelPid(folder.dir);
		// One that ended in order has left nothing, and has taken its file with it.
		if (folder === null || angel === null) return [];
		const left = leftBehind(folder.dir);
		return left.living.length + left.strays.length > 0 ? [{ ...folder, angel, ...left }] : [];
	});
	return found.length === 1 ? (found[0] as Orphans) : null;
}

/** One sentence on what has happened, and what to do. */
export function describeOrphans({ id, angel, living, strays }: Orphans): string {
	const who = angel === null ? 'its angel' : `its angel (pid ${angel.pid})`;
	const pids = [...living, ...strays].map(({ pid }) => pid);
	return `${who} was killed, and ${pids.length} processes still run (pid ${pids.join(', ')}): \`choir start\` takes them over, \`choir stop ${id}\` stops them`;
}

/** As `choir status` shows it. A master that stops the tree without its angel still answers. */
export async function statusOfOrphans({ id, dir, living }: Orphans): Promise<TreeStatus> {
	const nobody = { pid: null, state: 'dead' };
	const children = living.map(
		({ path, token, pid, incarnation, generation }): ChildStatus => ({
			path,
			id: path.slice(path.lastIndexOf('/') + 1).replace(/\.\d+$/, ''),
			kind: token === null ? 'command' : 'node',
			state: 'running',
			pid,
			incarnation,
			generation,
		}),
	);
	return askStatus(dir).catch(() => ({ tree: id, state: 'dead', angel: nobody, master: nobody, children }));
}

/** Asks all of them to go, kills who has not gone within the limits that it was declared with, and resolves when they are gone. */
export async function stopOrphans({ id, dir }: Orphans, mode: StopMode): Promise<void> {
	const lock = await takeLock(dir);
	if (lock === null) throw new Complaint(`${id} has just been started: ask again`);
	try {
		const startedAt = performance.now();
		const { living, strays } = leftBehind(dir);
		const limits = living.map(({ stop }) => (mode === 'drain' ? stop.drainMs + stop.terminateMs : stop.terminateMs));
		const limitMs = mode === 'kill' ? 0 : Math.max(STRAY_MS, ...limits);
		if (mode !== 'kill') {
			for (const entry of living) if (isStillThere(entry)) killOne(entry.pid, 'SIGTERM');
			for (const { pid } of strays) killOne(pid, 'SIGTERM');
		}
		for (;;) {
			const now = leftBehind(dir);
			const isLate = performance.now() - startedAt >= limitMs;
			const pids = [...now.living, ...now.strays].map(({ pid }) => pid);
			if (pids.length === 0) break;
			if (performance.now() - startedAt > limitMs + GONE_MS) throw new Complaint(`${id}: these will not die: pid ${pids.join(', ')}`);
			if (isLate) for (const { pid } of now.living) killGroup(pid, 'SIGKILL');
			// What a worker has started and left does not survive it.
			for (const { pid } of now.strays) if (isLate || !strays.some((each) => each.pid === pid)) killOne(pid, 'SIGKILL');
			await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
		}
		fs.rmSync(angelPidFile(dir), { force: true });
	} finally {
		lock.close();
	}
}
