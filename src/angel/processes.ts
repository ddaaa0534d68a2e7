/**
 * The operating system's processes of a tree: the angel is the parent of every worker, so exit codes, pids and output
 * survive the master. Each has a process group of its own, its output goes to a file that it holds itself, and its
 * identity is written down before anybody is told of it.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import fs from 'node:fs';
import { isCrash } from '../../machines/advance.ts';
import { ensureDir, logsDir } from '../home.ts';
import { findMarked, isAlive, killGroup, killOne, startTicks } from '../hosts/proc.ts';
import { Strays } from '../hosts/strays.ts';
import { closeOutput, openOutput } from '../logs/open.ts';
import type { Leftover } from '../master/host.ts';
import { type Entry, type Identity, Inventory, isStillThere, readInventory } from './inventory.ts';
import type { Assigned, SpawnOrder } from './link.ts';
import type { Sockets } from './sockets.ts';
import type { Estate } from './succession.ts';

export type ProcessFact =
	| { workerId: string; what: 'spawned'; pid: number; startTicks: number }
	| { workerId: string; what: 'failed'; message: string }
	| { workerId: string; what: 'exited'; code: number | null; signal: string | null; next?: Leftover }
	/** It runs, and what it prints is lost. */
	| { workerId: string; what: 'muted'; path: string; message: string };

interface Held {
	entry: Entry;
	/** An earlier angel has started it: it is nobody's child here, and how it ends nobody sees. */
	isForeign: boolean;
}

/** What a master has ordered in advance. */
interface Next {
	order: SpawnOrder;
	/** Exit codes that are no crash. */
	except: number[];
}

/** Between two looks whether those that are not children of this process live. */
const LOOK_MS = 50;

export class Processes {
	readonly #dir: string;
	readonly #sockets: Sockets;
	readonly #now: () => number;
	readonly #tell: (fact: ProcessFact) => void;
	readonly #held = new Map<string, Held>();
	/** Of those that have ended, what no master has taken note of. */
	readonly #ended = new Map<string, Leftover>();
	/** What is to be started if a worker crashes, by its id. */
	readonly #nexts = new Map<string, Next>();
	/** Orders that wait for a socket. */
	readonly #waiting = new Map<string, SpawnOrder>();
	readonly #incarnations = new Map<string, number>();
	#inventory: Inventory;
	/** Daemons that left the group of their worker. */
	readonly #strays = new Strays();
	#looking: NodeJS.Timeout | undefined;
	#closed = false;

	/** `living`: what an earlier angel has started, and is taken over. */
	constructor(dir: string, sockets: Sockets, now: () => number, tell: (fact: ProcessFact) => void, living: readonly Entry[] = []) {
		this.#dir = dir;
		this.#now = now;
		this.#sockets = sockets;
		this.#tell = tell;
		ensureDir(logsDir(dir));
		for (const entry of living) this.#held.set(entry.workerId, { entry, isForeign: true });
		for (const { path, incarnation } of living) this.#count(path, incarnation);
		this.#inventory = this.#beginInventory();
	}

	/** Looks itself whether those live that it did not start: nobody tells. */
	watch(): void {
		this.#looking ??= setInterval(() => this.#lookForTheDead(), LOOK_MS);
	}

	/** What is known of those that are taken over, from who has started them. */
	inherit({ ended, incarnations }: Estate): void {
		for (const each of ended) this.#ended.set(each.workerId, each);
		for (const [path, incarnation] of incarnations) this.#count(path, incarnation);
	}

	/** One that was taken over has ended, says who has started it. */
	exited(workerId: string, code: number | null, signal: string | null): void {
		const held = this.#held.get(workerId);
		if (held !== undefined) this.#exited(held, code, signal);
	}

	/** How many of those that run are children of this process. */
	get children(): number {
		return [...this.#held.values()].filter(({ isForeign }) => !isForeign).length;
	}

	/** Gives all away but the being their parent: the inventory is another's now. */
	handOver(): Omit<Estate, 'masterIncarnation'> {
		this.#inventory.close();
		this.#waiting.clear();
		this.#nexts.clear();
		const living = [...this.#held.values()].map(({ entry }) => entry);
		return { living, ended: [...this.#ended.values()], incarnations: this.incarnations };
	}

	/** Takes all back, with what has been started meanwhile. */
	takeBack(): void {
		for (const entry of readInventory(this.#dir).filter(isStillThere)) {
			this.#count(entry.path, entry.incarnation);
			if (!this.#held.has(entry.workerId)) this.#held.set(entry.workerId, { entry, isForeign: true });
		}
		this.#inventory = this.#beginInventory();
		this.watch();
	}

	#beginInventory(): Inventory {
		return new Inventory(this.#dir, () => [...this.#held.values()].map(({ entry }) => entry));
	}

	/** What runs, and what has ended without a master that took note of it: for the next one. */
	get leftovers(): Leftover[] {
		return [...[...this.#held.values()].map(({ entry }) => leftover(entry, null)), ...this.#ended.values()];
	}

	/** The master knows how this one ended. */
	heard(workerId: string): void {
		this.#ended.delete(workerId);
	}

	get incarnations(): Array<[string, number]> {
		return [...this.#incarnations];
	}

	spawn(order: SpawnOrder): void {
		const { workerId } = order;
		this.#count(order.path, order.incarnation);
		if (order.sockets.length === 0) return this.#spawn(order, []);
		this.#waiting.set(workerId, order);
		this.#sockets.descriptors(order.sockets).then(
			(descriptors) => this.#waiting.delete(workerId) && this.#spawn(order, descriptors),
			(error: Error) => this.#waiting.delete(workerId) && this.#tell({ workerId, what: 'failed', message: error.message }),
		);
	}

	/** As if it were ordered in the very moment in which that worker crashes; null: it is not wanted any more. */
	orderNext(after: string, order: SpawnOrder | null, except: number[]): void {
		if (order === null || !this.#held.has(after)) this.#nexts.delete(after);
		else this.#nexts.set(after, { order, except });
	}

	/** Its master has gone: what follows from a crash is for the next one to say. */
	forgetNexts(): void {
		this.#nexts.clear();
	}

	#count(path: string, incarnation: number): void {
		this.#incarnations.set(path, Math.max(incarnation, this.#incarnations.get(path) ?? 0));
	}

	#spawn(order: SpawnOrder, descriptors: number[]): void {
		const { workerId, file } = order;
		const failed = (message: string) => this.#tell({ workerId, what: 'failed', message });
		if (this.#closed) return failed('the tree is stopping');
		let child: ChildProcess;
		try {
			child = this.#fork(order, descriptors);
		} catch (error) {
			return failed(`cannot start '${file}': ${(error as Error).message}`);
		}
		const { pid } = child;
		if (pid === undefined) {
			child.once('error', (error: NodeJS.ErrnoException) => failed(explain(order, error)));
			return;
		}
		const { startTicks } = this.#hold(order, child, pid);
		this.#tell({ workerId, what: 'spawned', pid, startTicks });
	}

	/** What was ordered in advance. null: it has not begun; the master orders it once more, and hears why it cannot be started. */
	#begin(order: SpawnOrder): Entry | null {
		const descriptors = this.#closed ? null : this.#sockets.descriptorsNow(order.sockets);
		if (descriptors === null) return null;
		try {
			const child = this.#fork(order, descriptors);
			if (child.pid === undefined) {
				child.once('error', () => {});
				return null;
			}
			this.#count(order.path, order.incarnation);
			return this.#hold(order, child, child.pid);
		} catch {
			return null;
		}
	}

	#fork({ workerId, path, file, args, cwd, env }: SpawnOrder, descriptors: number[]): ChildProcess {
		const output = openOutput(this.#dir, path, (message) => this.#tell({ workerId, what: 'muted', path, message }));
		try {
			return spawn(file, args, { cwd, env, detached: true, stdio: ['ignore', output, output, ...descriptors] });
		} finally {
			closeOutput(output);
		}
	}

	#hold(order: SpawnOrder, child: ChildProcess, pid: number): Entry {
		// A child that is not reaped keeps its pid and its entry in /proc, so this cannot be somebody else's.
		const held: Held = { entry: entryOf(order, { pid, startTicks: startTicks(pid) ?? 0 }), isForeign: false };
		this.#held.set(order.workerId, held);
		this.#inventory.add(held.entry);
		child.on('error', () => {});
		child.once('exit', (code, signal) => this.#exited(held, code, signal));
		return held.entry;
	}

	#exited({ entry, isForeign }: Held, code: number | null, signal: string | null): void {
		const { workerId, pid } = entry;
		// The group is ours as long as one of it lives; a grandchild does not survive its worker. That of a foreign one is gone
		// if its number is another's by now.
		if (!isForeign || [null, entry.startTicks].includes(startTicks(pid))) killGroup(pid, 'SIGKILL');
		this.#held.delete(workerId);
		const at = this.#now();
		const next = this.#nexts.get(workerId);
		this.#nexts.delete(workerId);
		const begun = next !== undefined && isCrash(code, signal, next.except) ? this.#begin(next.order) : null;
		this.#ended.set(workerId, leftover(entry, { code, signal, at }));
		this.#tell({ workerId, what: 'exited', code, signal, ...(begun === null ? {} : { next: leftover(begun, null) }) });
		// Behind the news: whoever reads of the dead in the inventory sees that they are dead.
		setImmediate(() => {
			this.#inventory.remove(workerId);
			this.#strays.killThoseOf(workerId);
		});
	}

	#lookForTheDead(): void {
		const foreign = [...this.#held.values()].filter(({ isForeign }) => isForeign);
		if (foreign.length === 0) {
			clearInterval(this.#looking);
			this.#looking = undefined;
		}
		for (const held of foreign) if (!isAlive(held.entry)) this.#exited(held, null, null);
	}

	/** What was started as a spare is another child now: so the next master will find it, and the next angel. */
	assign({ workerId, ...assigned }: Assigned): void {
		this.#count(assigned.path, assigned.incarnation);
		const held = this.#held.get(workerId);
		const ended = this.#ended.get(workerId);
		if (ended !== undefined) Object.assign(ended, assigned);
		if (held === undefined) return;
		Object.assign(held.entry, assigned);
		this.#inventory.add(held.entry);
	}

	/** To a group that an angel made. */
	signal(workerId: string, signal: 'SIGTERM' | 'SIGKILL'): void {
		// Who ends it knows what follows.
		this.#nexts.delete(workerId);
		const waiting = this.#waiting.get(workerId);
		if (waiting !== undefined) {
			this.#waiting.delete(workerId);
			return this.#tell({ workerId, what: 'failed', message: this.#sockets.describe(waiting.sockets) });
		}
		const held = this.#held.get(workerId);
		if (held !== undefined) signalHeld(held, signal);
	}

	/** Asks all that is left to go, or kills it; answers who is still there. */
	sweep(how: 'terminate' | 'kill'): Identity[] {
		this.#closed = true;
		this.#strays.close();
		for (const held of this.#held.values()) signalHeld(held, how === 'kill' ? 'SIGKILL' : 'SIGTERM');
		return this.remaining(how);
	}

	/** Who is left of the tree: its workers, and whatever carries its mark, which `how` is done to. */
	remaining(how: 'terminate' | 'kill' | null): Identity[] {
		const own: Identity[] = [...this.#held.values()].map(({ entry }) => entry).filter(isAlive);
		const strays = findMarked('CHOIR_TREE', this.#dir).filter(({ pid }) => !own.some((other) => other.pid === pid));
		if (how !== null) for (const { pid } of strays) killOne(pid, how === 'kill' ? 'SIGKILL' : 'SIGTERM');
		return [...own, ...strays];
	}

	close(): void {
		clearInterval(this.#looking);
		this.#inventory.close();
	}
}

/** What is not a child may have made room for another of its pid. */
function signalHeld({ entry, isForeign }: Held, signal: 'SIGTERM' | 'SIGKILL'): void {
	if (isForeign && !isAlive(entry)) return;
	if (signal === 'SIGKILL') killGroup(entry.pid, signal);
	// TERM is a request to the program, which knows what to tell its own children.
	else killOne(entry.pid, signal);
}

function entryOf(order: SpawnOrder, identity: Identity): Entry {
	const { workerId, path, incarnation, generation, stop, env, logFrom, sockets } = order;
	return { workerId, ...identity, path, incarnation, generation, stop, token: env.CHOIR_TOKEN ?? null, logFrom, sockets };
}

function leftover({ sockets: _, ...entry }: Entry, ended: Leftover['ended']): Leftover {
	return { ...entry, ended };
}

function explain({ file, cwd }: SpawnOrder, { code, message }: NodeJS.ErrnoException): string {
	if (code === 'ENOENT' && !fs.existsSync(cwd)) return `cannot start '${file}': its folder ${cwd} does not exist`;
	if (code === 'ENOENT') return `cannot start '${file}': no such program`;
	if (code === 'EACCES') return `cannot start '${file}': it may not be executed`;
	return `cannot start '${file}': ${message}`;
}
