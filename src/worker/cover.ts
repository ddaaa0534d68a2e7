/**
 * Covering for siblings: where each instance has a socket of its own, this worker accepts on that of another one while nobody
 * else does. It has the descriptors from its start; which to accept on its master says.
 */
import type { Server } from 'node:net';
import { openSocket } from './give-back.ts';

/** Descriptors of one socket of a sibling; each can be listened on once, for to stop listening is to close it. */
export interface Spare {
	/** As in `listen`. */
	name: string;
	slot: number;
	fds: number[];
}

/** What is below a server. */
interface Handle {
	onconnection: unknown;
	listen(backlog: number): number;
	unref(): void;
	close(): void;
	[key: symbol]: unknown;
}

const BACKLOG = 511;

export class Cover {
	readonly #spares: readonly Spare[];
	readonly #handles = new Map<Spare, Handle>();
	/** Of this program, by the name of what it listens on. */
	readonly #servers = new Map<string, Server>();
	#wanted: readonly number[] = [];

	constructor(spares: readonly Spare[]) {
		this.#spares = spares;
	}

	/** All slots to accept on, beside the own; what was covered and is not among them is left. */
	want(slots: readonly number[]): void {
		this.#wanted = slots;
		this.#settle();
	}

	/** A server listens on the held socket of that name. */
	begin(name: string, server: Server): void {
		this.#servers.set(name, server);
		this.#settle();
	}

	/** It accepts no more, and so nobody's connections. */
	end(server: Server): void {
		for (const [name, each] of this.#servers) {
			if (each !== server) continue;
			this.#servers.delete(name);
			for (const [spare, handle] of this.#handles) if (spare.name === name) this.#close(spare, handle);
		}
	}

	/** A sibling's socket, if there is still a way to it. */
	socketOf(name: string, slot: number): unknown {
		const spare = this.#spares.find((each) => each.name === name && each.slot === slot);
		if (spare === undefined) return null;
		const fd = spare.fds.at(-1);
		return this.#handles.get(spare) ?? (fd === undefined ? null : openSocket(fd));
	}

	#settle(): void {
		for (const spare of this.#spares) {
			const server = this.#servers.get(spare.name);
			const handle = this.#handles.get(spare);
			const isWanted = this.#wanted.includes(spare.slot);
			if (isWanted && handle === undefined && server !== undefined) this.#accept(spare, server);
			// With the last descriptor it goes on, beside the sibling: else it could not come back.
			else if (!isWanted && handle !== undefined && spare.fds.length > 0) this.#close(spare, handle);
		}
	}

	/** A second handle below the same server: to the server, and to all that hangs on it, there is no difference. */
	#accept(spare: Spare, server: Server): void {
		const own = (server as unknown as { _handle: Handle | null })._handle;
		const owner = Object.getOwnPropertySymbols(own ?? {}).find(({ description }) => description === 'owner_symbol');
		const fd = spare.fds.pop();
		if (own === null || owner === undefined || fd === undefined) return;
		const handle = openSocket(fd) as Handle | null;
		if (handle === null) return;
		handle.onconnection = own.onconnection;
		handle[owner] = server;
		// The program lives as long as its own socket is listened on.
		handle.unref();
		if (handle.listen(BACKLOG)) handle.close();
		else this.#handles.set(spare, handle);
	}

	#close(spare: Spare, handle: Handle): void {
		this.#handles.delete(spare);
		handle.close();
	}
}
