/**
 * Listening without accepting. To its program a server listens, and it says ready; its connections wait in the socket, where others
 * may accept them, until the gate opens. The socket itself listens already: only this process does not look at it yet.
 */
import net from 'node:net';
import { getSystemErrorName } from 'node:util';

/** What is below a server. */
interface Handle {
	listen(backlog: number): number;
}

type Listening = net.Server & { _handle: Handle | null; _listen2: (...args: unknown[]) => void };

const openHandle = (net as unknown as { _createServerHandle(address: null, port: null, type: null, fd: number): Handle | number })
	._createServerHandle;

export class Gate {
	#open = false;
	/** Each begins to accept when the gate opens. */
	readonly #waiting = new Set<() => void>();
	#alive: NodeJS.Timeout | null = null;

	open(): void {
		this.#open = true;
		for (const begin of this.#waiting) begin();
		this.#forget(this.#waiting);
	}

	/** A program lives as long as it listens, also when it only seems to. */
	#wait(begin: () => void): void {
		this.#waiting.add(begin);
		this.#alive ??= setInterval(() => {}, 2 ** 30);
	}

	#forget(begun: Iterable<() => void>): void {
		for (const begin of begun) this.#waiting.delete(begin);
		if (this.#waiting.size > 0 || this.#alive === null) return;
		clearInterval(this.#alive);
		this.#alive = null;
	}

	/** Calls `listen`, which listens on this descriptor, at once; connections come when the gate is open. */
	listen<Result>(server: net.Server, fd: number, listen: () => Result): Result {
		if (this.#open) return listen();
		const listening = server as Listening;
		const { _listen2: listen2 } = listening;
		// Node's own step from arguments to a handle, by the name that it has kept for those who stand in for it.
		listening._listen2 = (...args) => {
			const handle = openHandle(null, null, null, fd);
			// What is wrong with it Node finds as well, and says.
			if (typeof handle !== 'number') this.#holdBack(listening, handle);
			listen2.apply(listening, args);
		};
		try {
			return listen();
		} finally {
			delete (listening as Partial<Listening>)._listen2;
		}
	}

	#holdBack(server: Listening, handle: Handle): void {
		server._handle = handle;
		handle.listen = (backlog) => {
			const begin = () => {
				const error = handle.listen(backlog);
				if (error !== 0) server.emit('error', new Error(`the held socket cannot be accepted on: ${getSystemErrorName(error)}`));
			};
			this.#wait(begin);
			server.once('close', () => this.#forget([begin]));
			// The next time it is Node's own.
			delete (handle as Partial<Handle>).listen;
			return 0;
		};
	}
}
