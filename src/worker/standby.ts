/**
 * A spare: its program is loaded, and what would put it to work waits. `listen()` on a declared address is kept and carried out when it takes
 * the place of a child; then its path, its sockets and its output are that child's.
 */
import { closeSync, openSync } from 'node:fs';
import type net from 'node:net';
import { Cover, type Spare as Slot } from './cover.ts';
import { sayReady, type WorkerState } from './state.ts';
import { warmUp } from './warm.ts';

/** What the master says of the child whose place it takes. */
export interface Assignment {
	path: string;
	output: string;
	slots: Record<string, number>;
}

export class Standby {
	readonly #slots: readonly Slot[];
	readonly #held: Array<{ server: net.Server; listen: () => void }> = [];
	readonly #waiting: Array<() => void> = [];
	#isLoaded = false;
	#isReady = false;
	/** A program that has nothing to do but to wait would end. */
	#alive: NodeJS.Timeout | null = null;

	/** All sockets of its group, each several times. */
	constructor(slots: readonly Slot[]) {
		this.#slots = slots;
	}

	/** It would listen now. */
	hold(state: WorkerState, server: net.Server, listen: () => void): void {
		this.#held.push({ server, listen });
		this.#loaded(state, server);
	}

	/** Its program says that it may be given work. */
	ready(state: WorkerState): void {
		this.#isReady = true;
		this.#loaded(state);
	}

	/** Resolves when it is a child. */
	activated(): Promise<void> {
		return new Promise((resolve) => this.#waiting.push(resolve));
	}

	/** It is asked to go before it was anybody. */
	leave(): void {
		this.#held.length = 0;
		if (this.#alive !== null) clearInterval(this.#alive);
	}

	activate(state: WorkerState, { path, output, slots }: Assignment): void {
		state.standby = null;
		state.path = path;
		process.env.CHOIR_PATH = path;
		delete process.env.CHOIR_STANDBY;
		printTo(output);
		const own = ({ name, slot }: Slot) => slots[name] === slot;
		for (const listening of state.listen) {
			const socket = this.#slots.find((each) => each.name === listening.name && own(each));
			if (socket?.fds[0] !== undefined) Object.assign(listening, { fd: socket.fds[0], slot: socket.slot });
		}
		const others = this.#slots.filter((slot) => !own(slot));
		if (others.length > 0) state.cover = new Cover(others);
		const listening = this.#held.map(({ server, listen }) => {
			const done = new Promise<void>((resolve) => server.once('listening', resolve));
			listen();
			return done;
		});
		// What the library says is said when it holds; without it, what listens says so itself.
		if (this.#isReady) void Promise.all(listening).then(() => sayReady(state));
		for (const resolve of this.#waiting) resolve();
		if (this.#alive !== null) clearInterval(this.#alive);
	}

	#loaded({ channel }: WorkerState, server: net.Server | null = null): void {
		if (this.#isLoaded) return;
		this.#isLoaded = true;
		this.#alive = setInterval(() => {}, 2 ** 30);
		// When what it does in this turn is done.
		setImmediate(async () => {
			if (server !== null) await warmUp(server);
			channel?.say({ do: 'ready', standby: true }, { standing: true });
			channel?.sayPeak();
		});
	}
}

/**
 * The descriptors of both streams are closed and opened anew: the lowest that is free is taken, so they have their old numbers, and all that
 * prints by them goes to the child's own file, Node's last words and the children of the program included. Should a thread of
 * this process have been faster with a file of its own, nothing may be printed: then this process ends,
 * and the next one starts in the usual way.
 */
function printTo(file: string): void {
	for (const stream of [1, 2]) {
		closeSync(stream);
		if (openSync(file, 'a', 0o600) !== stream) process.kill(process.pid, 'SIGKILL');
	}
}
