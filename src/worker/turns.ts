/**
 * Taking turns: of the instances that share a socket, this one accepts while it has the token. In between its servers listen, as far as their
 * program can tell, and the kernel hands their connections to others.
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

export class Turns {
	readonly #servers = new Set<net.Server>();
	#has = false;
	/** To the loop a handle that does not look is none, and a program that only listens would end. */
	#alive: NodeJS.Timeout | null = null;

	/** A server has begun to listen on a held socket. */
	begin(server: net.Server): void {
		this.#servers.add(server);
		this.settle();
	}

	/** It listens no more. */
	end(server: net.Server): void {
		this.#servers.delete(server);
		this.#stayAlive();
	}

	/** Whether it is its turn. */
	give(has: boolean): void {
		this.#has = has;
		this.settle();
	}

	/** Whatever has begun to accept by itself does as its turn is. */
	settle(): void {
		for (const server of this.#servers) {
			const handle = handleOf(server);
			handle?.readStart();
			if (!this.#has) handle?.readStop();
		}
		this.#stayAlive();
	}

	#stayAlive(): void {
		const waits = !this.#has && this.#servers.size > 0;
		if (waits) this.#alive ??= setInterval(() => {}, 2 ** 30);
		else if (this.#alive !== null) {
			clearInterval(this.#alive);
			this.#alive = null;
		}
	}
}
