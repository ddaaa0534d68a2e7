/** A WebSocket to somebody who may not read: what waits for them is bounded, and what is left out is counted. */
import type { Duplex } from 'node:stream';
import type { WebSocket } from 'ws';

/** What may wait for a reader; the last whole tree, which may be larger, does not count. */
const MAX_WAITING_BYTES = 1024 * 1024;
const PING_MS = 15_000;
const MAX_CLOGGED_MS = 60_000;

export interface PipeOptions {
	pingMs?: number;
	cloggedMs?: number;
	/** All that waited has been taken, and so many messages had been left out meanwhile. */
	drained: (dropped: number) => void;
	closed: () => void;
	/** What it says; text only. */
	heard: (text: string) => void;
}

export class Pipe {
	readonly #socket: WebSocket;
	readonly #raw: Duplex;
	readonly #options: PipeOptions;
	readonly #pinging: NodeJS.Timeout;
	#dropped = 0;
	#clogged: NodeJS.Timeout | null = null;
	#allowance = 0;
	#answers = true;

	/** `raw`: what is below the WebSocket, which alone says when all has been taken. */
	constructor(socket: WebSocket, raw: Duplex, options: PipeOptions) {
		this.#socket = socket;
		this.#options = options;
		this.#raw = raw;
		this.#pinging = setInterval(() => this.#ping(), options.pingMs ?? PING_MS);
		this.#pinging.unref();
		socket.on('pong', () => {
			this.#answers = true;
		});
		socket.on('error', () => socket.terminate());
		socket.on('message', (content, isBinary) => {
			if (isBinary) return socket.close(1003);
			options.heard(String(content));
		});
		socket.on('close', () => {
			clearInterval(this.#pinging);
			if (this.#clogged !== null) clearTimeout(this.#clogged);
			options.closed();
		});
		raw.on('drain', () => this.#drained());
	}

	/** Nothing more is taken until what waits has been read. */
	get clogged(): boolean {
		return this.#clogged !== null;
	}

	get waitingBytes(): number {
		return this.#socket.bufferedAmount;
	}

	/** `whole`: it stands for all that went before, however large it is. */
	send(message: Buffer, whole = false): void {
		if (whole) this.#allowance = message.length;
		if (this.#clogged === null && this.#socket.bufferedAmount > MAX_WAITING_BYTES + this.#allowance) {
			this.#clogged = setTimeout(() => this.#socket.terminate(), this.#options.cloggedMs ?? MAX_CLOGGED_MS);
			this.#clogged.unref();
		}
		if (this.#clogged !== null) this.#dropped += 1;
		else this.#socket.send(message, { binary: false });
	}

	/** As if the reader had been too slow for so many: whatever could not be kept for them. */
	skip(messages: number): void {
		if (this.#clogged !== null) this.#dropped += messages;
		else this.#options.drained(messages);
	}

	/** What is sent until the release goes out in one write. */
	hold(): void {
		this.#raw.cork();
	}

	release(): void {
		this.#raw.uncork();
	}

	close(code: number): void {
		this.#socket.close(code);
	}

	#drained(): void {
		if (this.#clogged === null) return;
		clearTimeout(this.#clogged);
		this.#clogged = null;
		this.#answers = true;
		const dropped = this.#dropped;
		this.#dropped = 0;
		this.#options.drained(dropped);
	}

	#ping(): void {
		// Who does not read cannot answer: there is another limit for them.
		if (this.#clogged !== null) return;
		if (!this.#answers) return this.#socket.terminate();
		this.#answers = false;
		this.#socket.ping();
	}
}
