/**
 * The operating system's processes of a tree: the angel is the parent of every worker, so exit codes, pids and output
 * survive the master. Each has a process group of its own, its output goes to a file that it holds itself, and its
 * identity is written down before anybody is told of it.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { ensureDir, logFile, logsDir } from '../home.ts';
import { bootId, findMarked, isAlive, killGroup, killOne, startTicks } from '../hosts/proc.ts';
import { Strays } from '../hosts/strays.ts';
import type { Leftover } from '../master/host.ts';
import type { Assigned, SpawnOrder } from './link.ts';
import type { Sockets } from './sockets.ts';

export interface Identity {
	pid: number;
	startTicks: number;
}

export type ProcessFact =
	| { workerId: string; what: 'spawned'; pid: number; startTicks: number }
	| { workerId: string; what: 'failed'; message: string }
	| { workerId: string; what: 'exited'; code: number | null; signal: string | null };

interface Held {
	order: SpawnOrder;
	identity: Identity;
	child: ChildProcess;
}

export class Processes {
	readonly #dir: string;
	readonly #sockets: Sockets;
	readonly #now: () => number;
	readonly #tell: (fact: ProcessFact) => void;
	readonly #held = new Map<string, Held>();
	/** Of those that have ended, what no master has taken note of. */
	readonly #ended = new Map<string, { held: Held; ended: Leftover['ended'] }>();
	readonly #incarnations = new Map<string, number>();
	readonly #inventory: Inventory;
	/** Daemons that left the group of their worker. */
	readonly #strays = new Strays();
	#closed = false;

	constructor(dir: string, sockets: Sockets, now: () => number, tell: (fact: ProcessFact) => void) {
		this.#dir = dir;
		this.#now = now;
		this.#sockets = sockets;
		this.#tell = tell;
		ensureDir(logsDir(dir));
		this.#inventory = new Inventory(dir, () => [...this.#held].map(([workerId, { identity }]) => [workerId, identity]));
	}

	/** What runs, and what has ended without a master that took note of it: for the next one. */
	get leftovers(): Leftover[] {
		return [
			...[...this.#held.values()].map((held) => leftover(held, null)),
			...[...this.#ended.values()].map(({ held, ended }) => leftover(held, ended)),
		];
	}

	/** The master knows how this one ended. */
	heard(workerId: string): void {
		this.#ended.delete(workerId);
	}

	get incarnations(): Array<[string, number]> {
		return [...this.#incarnations];
	}

	spawn(order: SpawnOrder): void {
		this.#incarnations.set(order.path, Math.max(order.incarnation, this.#incarnations.get(order.path) ?? 0));
		if (order.sockets.length === 0) return this.#spawn(order, []);
		this.#sockets.descriptors(order.sockets).then(
			(descriptors) => this.#spawn(order, descriptors),
			(error: Error) => this.#tell({ workerId: order.workerId, what: 'failed', message: error.message }),
		);
	}

	#spawn(order: SpawnOrder, descriptors: number[]): void {
		const { workerId, file, args, cwd, env } = order;
		const failed = (message: string) => this.#tell({ workerId, what: 'failed', message });
		if (this.#closed) return failed('the tree is stopping');
		let output: number | null = null;
		let child: ChildProcess;
		try {
			output = fs.openSync(logFile(this.#dir, order.path), 'a', 0o600);
			child = spawn(file, args, { cwd, env, detached: true, stdio: ['ignore', output, output, ...descriptors] });
		} catch (error) {
			return failed(`cannot start '${file}': ${(error as Error).message}`);
		} finally {
			if (output !== null) fs.closeSync(output);
		}
		const { pid } = child;
		if (pid === undefined) {
			child.once('error', (error: NodeJS.ErrnoException) => failed(explain(order, error)));
			return;
		}
		// A child that is not reaped keeps its pid and its entry in /proc, so this cannot be somebody else's.
		const identity = { pid, startTicks: startTicks(pid) ?? 0 };
		const held = { order, identity, child };
		this.#held.set(workerId, held);
		this.#inventory.add(workerId, identity);
		child.on('error', () => {});
		child.once('exit', (code, signal) => {
			// The group is ours as long as one of it lives; a grandchild does not survive its worker.
			killGroup(pid, 'SIGKILL');
			this.#held.delete(workerId);
			this.#ended.set(workerId, { held, ended: { code, signal, at: this.#now() } });
			this.#tell({ workerId, what: 'exited', code, signal });
			// Behind the news: whoever reads of the dead in the inventory sees that they are dead.
			setImmediate(() => {
				this.#inventory.remove(workerId);
				this.#strays.killThoseOf(workerId);
			});
		});
		this.#tell({ workerId, what: 'spawned', ...identity });
	}

	/** What was started as a spare is another child now: so the next master will find it. */
	assign({ workerId, ...assigned }: Assigned): void {
		const { path: childPath, incarnation } = assigned;
		this.#incarnations.set(childPath, Math.max(incarnation, this.#incarnations.get(childPath) ?? 0));
		const held = this.#held.get(workerId) ?? this.#ended.get(workerId)?.held;
		if (held !== undefined) Object.assign(held.order, assigned);
	}

	/** To a group that this angel made. */
	signal(workerId: string, signal: 'SIGTERM' | 'SIGKILL'): void {
		const held = this.#held.get(workerId);
		if (held === undefined) return;
		if (signal === 'SIGKILL') killGroup(held.identity.pid, signal);
		// TERM is a request to the program, which knows what to tell its own children.
		else killOne(held.identity.pid, signal);
	}

	/** Asks all that is left to go, or kills it; answers who is still there. */
	sweep(how: 'terminate' | 'kill'): Identity[] {
		this.#closed = true;
		this.#strays.close();
		for (const { identity } of this.#held.values()) {
			if (how === 'kill') killGroup(identity.pid, 'SIGKILL');
			else killOne(identity.pid, 'SIGTERM');
		}
		return this.remaining(how);
	}

	/** Who is left of the tree: its workers, and whatever carries its mark, which `how` is done to. */
	remaining(how: 'terminate' | 'kill' | null): Identity[] {
		const own = [...this.#held.values()].map(({ identity }) => identity).filter(isAlive);
		const strays = findMarked('CHOIR_TREE', this.#dir).filter(({ pid }) => !own.some((other) => other.pid === pid));
		if (how !== null) for (const { pid } of strays) killOne(pid, how === 'kill' ? 'SIGKILL' : 'SIGTERM');
		return [...own, ...strays];
	}

	close(): void {
		this.#inventory.close();
	}
}

function leftover({ order, identity }: Held, ended: Leftover['ended']): Leftover {
	const { workerId, path: childPath, incarnation, generation, stop, env, logFrom } = order;
	return { workerId, path: childPath, incarnation, generation, stop, token: env.CHOIR_TOKEN ?? null, logFrom, ended, ...identity };
}

function explain({ file, cwd }: SpawnOrder, { code, message }: NodeJS.ErrnoException): string {
	if (code === 'ENOENT' && !fs.existsSync(cwd)) return `cannot start '${file}': its folder ${cwd} does not exist`;
	if (code === 'ENOENT') return `cannot start '${file}': no such program`;
	if (code === 'EACCES') return `cannot start '${file}': it may not be executed`;
	return `cannot start '${file}': ${message}`;
}

/** Who runs, on disk, for the angel after one that was killed: a line when one is spawned, a line when it is gone. */
class Inventory {
	readonly #file: string;
	readonly #living: () => Array<[string, Identity]>;
	#fd: number | null = null;
	#lines = 0;

	constructor(dir: string, living: () => Array<[string, Identity]>) {
		this.#file = inventoryFile(dir);
		this.#living = living;
		// Begun anew: what an earlier angel left has been cleared by now.
		this.#begin();
	}

	#begin(): void {
		this.close();
		const aside = `${this.#file}.${process.pid}`;
		this.#fd = fs.openSync(aside, 'w', 0o600);
		this.#lines = 0;
		for (const [workerId, identity] of this.#living()) this.add(workerId, identity);
		fs.renameSync(aside, this.#file);
	}

	add(workerId: string, { pid, startTicks: ticks }: Identity): void {
		this.#write({ workerId, bootId: bootId(), pid, startTicks: ticks });
	}

	remove(workerId: string): void {
		this.#write({ workerId, gone: true });
	}

	close(): void {
		if (this.#fd !== null) fs.closeSync(this.#fd);
		this.#fd = null;
	}

	#write(line: object): void {
		// A full disk must not cost the tree its supervision; the marks in the environments are left.
		try {
			if (this.#fd === null) return;
			fs.writeSync(this.#fd, JSON.stringify(line) + '\n');
			this.#lines += 1;
			if (this.#lines > MAX_INVENTORY_LINES + 2 * this.#living().length) this.#begin();
		} catch {
			this.close();
		}
	}
}

/** Deaths and births until the inventory is written anew. */
const MAX_INVENTORY_LINES = 4_096;
const inventoryFile = (dir: string) => path.join(dir, 'inventory.jsonl');

type InventoryLine = { workerId: string } & ({ gone: true } | { gone?: never; bootId: string; pid: number; startTicks: number });

/** What an earlier angel of this folder left running: by its inventory, and by the mark in the environments. */
export function leftBehind(dir: string): Identity[] {
	const listed = new Map<string, Identity>();
	let lines: string[] = [];
	try {
		lines = fs.readFileSync(inventoryFile(dir), 'utf8').split('\n');
	} catch {
		// There was none.
	}
	for (const line of lines) {
		try {
			const entry = JSON.parse(line) as InventoryLine;
			if (entry.gone) listed.delete(entry.workerId);
			else if (entry.bootId === bootId()) listed.set(entry.workerId, { pid: entry.pid, startTicks: entry.startTicks });
		} catch {
			// The last line of an angel that was killed while it wrote.
		}
	}
	const alive = [...listed.values()].filter(isAlive);
	const marked = findMarked('CHOIR_TREE', dir).filter(({ pid }) => !alive.some((other) => other.pid === pid));
	return [...alive, ...marked];
}
