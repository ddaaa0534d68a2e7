/**
 * Who runs, on disk, for the angel after one that was killed: a line when a process is spawned, with all that is needed to adopt it,
 * and a line when it is gone. Each line carries its checksum and stands for itself: one that was cut or damaged is
 * dropped, and its process is then found by the mark in its environment.
 */
import fs from 'node:fs';
import path from 'node:path';
import { removeIfPossible } from '../home.ts';
import { bootId, findMarked, isAlive, startedWith } from '../hosts/proc.ts';
import { checked, writeChecked } from '../journal/checksum.ts';
import type { Leftover } from '../master/host.ts';
import type { Handed } from '../master/slots.ts';

export interface Identity {
	pid: number;
	startTicks: number;
}

/** A process with what the next angel and its master must know of it. */
export interface Entry extends Omit<Leftover, 'ended'> {
	/** The sockets that it was given, from descriptor 3 on. */
	sockets: Handed[];
}

/** What an earlier angel of this folder left running. */
export interface LeftBehind {
	/** By the inventory: these very processes live. */
	living: Entry[];
	/** Marked in their environment, and of none of those. */
	strays: Identity[];
}

/** Deaths and births until the inventory is written anew. */
const MAX_LINES = 4_096;
/** Between two tries to write it anew after it could not be written. */
const RETRY_MS = 5_000;

export const inventoryFile = (dir: string) => path.join(dir, 'inventory.jsonl');

export class Inventory {
	readonly #file: string;
	readonly #living: () => Entry[];
	#fd: number | null = null;
	#lines = 0;
	#retry: NodeJS.Timeout | undefined;
	readonly #retryMs: number;

	/** Begins anew, with what `living` gives; throws if it cannot be written. Later it is tried again by itself. */
	constructor(dir: string, living: () => Entry[], retryMs = RETRY_MS) {
		this.#file = inventoryFile(dir);
		this.#living = living;
		this.#retryMs = retryMs;
		this.#begin();
	}

	add(entry: Entry): void {
		this.#write(lineOf(entry));
	}

	remove(workerId: string): void {
		this.#write({ workerId, gone: true });
	}

	close(): void {
		clearTimeout(this.#retry);
		this.#shut();
	}

	#shut(): void {
		if (this.#fd !== null) fs.closeSync(this.#fd);
		this.#fd = null;
	}

	/** Aside first, then in its place: there is a whole one at any time. */
	#begin(): void {
		this.#shut();
		const aside = `${this.#file}.${process.pid}`;
		const living = this.#living();
		try {
			this.#fd = fs.openSync(aside, 'w', 0o600);
			this.#lines = living.length;
			for (const entry of living) writeChecked(this.#fd, lineOf(entry));
			fs.renameSync(aside, this.#file);
		} catch (error) {
			this.#shut();
			removeIfPossible(aside);
			throw error;
		}
	}

	#write(line: object): void {
		// A full disk must not cost the tree its supervision; the marks in the environments are left.
		try {
			if (this.#fd === null) return;
			writeChecked(this.#fd, line);
			this.#lines += 1;
			if (this.#lines > MAX_LINES + 2 * this.#living().length) this.#begin();
		} catch {
			this.#later();
		}
	}

	#later(): void {
		this.#shut();
		this.#retry = setTimeout(() => {
			try {
				this.#begin();
			} catch {
				this.#later();
			}
		}, this.#retryMs).unref();
	}
}

const lineOf = (entry: Entry) => ({ bootId: bootId(), ...entry });

/** All that the inventory of a folder holds, whether it lives or not, as of this boot of the machine. */
export function readInventory(dir: string): Entry[] {
	let lines: string[];
	try {
		lines = fs.readFileSync(inventoryFile(dir), 'utf8').split('\n');
	} catch {
		return [];
	}
	const listed = new Map<string, Entry>();
	for (const line of lines) {
		const read = checked(line) as ({ gone?: true; bootId?: string } & Entry) | null;
		if (read === null) continue;
		const { gone, bootId: boot, ...entry } = read;
		if (gone) listed.delete(entry.workerId);
		else if (boot === bootId()) listed.set(entry.workerId, entry);
	}
	return [...listed.values()];
}

/** Looks for what an earlier angel left: by the inventory, and by the marks. */
export function leftBehind(dir: string): LeftBehind {
	const living = readInventory(dir).filter(isStillThere);
	const workers = new Set<string | null>(living.map(({ workerId }) => workerId));
	const strays = findMarked('CHOIR_TREE', dir).filter(
		// What an adopted one has started goes with it. Of one that is gone by now nobody can say whose it was.
		(found) => !living.some((each) => each.pid === found.pid) && !workers.has(startedWith(found.pid, 'CHOIR_WORKER')) && isAlive(found),
	);
	return { living, strays };
}

/** Whether this very process lives. One that wiped its environment is known by its pid and the tick of its start. */
export function isStillThere({ workerId, ...identity }: Pick<Entry, 'workerId' | 'pid' | 'startTicks'>): boolean {
	if (!isAlive(identity)) return false;
	const marked = startedWith(identity.pid, 'CHOIR_WORKER');
	return marked === null || marked === workerId;
}
