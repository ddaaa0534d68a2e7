/**
 * Listening without accepting: to its program a server listens, and says ready; its connections wait in the socket, where others may accept
 * them. So it is with the new worker of a reload until it is admitted, and with one of those that take turns until it has the token.
 */
import type net from 'node:net';

/**
 * What is below a server. To read from a listening socket means to look whether there are connections, and so libuv stops accepting when reading
 * is stopped, and goes on when it is started, as often as one likes. It stops only what was started by that name.
 */
interface Handle {
	readStart(): number;
	readStop(): number;
}

const handleOf = (server: net.Server) => (server as unknown as { _handle: Handle | null })._handle;

export class Accepting {
	readonly #servers = new Set<net.Server>();
	#isAdmitted: boolean;
	#hasTurn: boolean;
	/** To the loop a handle that does not look is none, and a program that only listens would end. */
	#alive: NodeJS.Timeout | null = null;

	/** Of what it has from the start, nobody tells it. */
	constructor({ isAdmitted, hasTurn }: { isAdmitted: boolean; hasTurn: boolean }) {
		this.#isAdmitted = isAdmitted;
		this.#hasTurn = hasTurn;
	}

	/** A server has begun to listen on a held socket. */
	begin(server: net.Server): void {
		this.#servers.add(server);
		this.#settle();
	}

	/** It listens no more. */
	end(server: net.Server): void {
		this.#servers.delete(server);
		this.#stayAlive();
	}

	/** It is one of those that serve now. */
	admit(): void {
		this.#isAdmitted = true;
		this.#settle();
	}

	/** Whether it is its turn. */
	give(hasTurn: boolean): void {
		this.#hasTurn = hasTurn;
		this.#settle();
	}

	get #accepts(): boolean {
		return this.#isAdmitted && this.#hasTurn;
	}

	#settle(): void {
		for (const server of this.#servers) {
			const handle = handleOf(server);
			handle?.readStart();
			if (!this.#accepts) handle?.readStop();
		}
		this.#stayAlive();
	}

	#stayAlive(): void {
		const waits = !this.#accepts && this.#servers.size > 0;
		if (waits) this.#alive ??= setInterval(() => {}, 2 ** 30);
		else if (this.#alive !== null) {
			clearInterval(this.#alive);
			this.#alive = null;
		}
	}
}
