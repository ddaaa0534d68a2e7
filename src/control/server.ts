/** The answering side of the control protocol: what comes over a socket can be garbage, half-open or never read, and nobody notices. */

import type net from 'node:net';
import { LineSplitter, MAX_LINE_BYTES } from './lines.ts';
import { asRefusal, parseRequest, type Request, VERSION } from './protocol.ts';

const MAX_CONNECTIONS = 4096;
/** How long a connection may stay that has not sent one valid request. */
const IDLE_MS = 30_000;
/** Requests of one connection that are being answered; then it is not read until one is done. */
const MAX_PENDING = 64;
/** What may wait for a reader who does not read; then it is cut off. */
const MAX_WRITE_BYTES = 4 * 1024 * 1024;
/** How long a refused connection has to take its refusal. */
const FAREWELL_MS = 1_000;

export interface ControlOptions {
	/** Its result, or what it throws, is the answer. Without an id in the request the result is dropped. */
	answer(request: Request, connection: Connection): unknown;
	maxConnections?: number;
	idleMs?: number;
	maxPending?: number;
	maxWriteBytes?: number;
}

export interface ControlServer {
	/** Takes over a connection that was accepted. Accept with `allowHalfOpen: true`, so that one-shot clients may end first. */
	handle(socket: net.Socket): void;
	/** Ends all connections; the socket that accepts them is its owner's. */
	close(): void;
	readonly connections: number;
}

/** One connection, as the owner of the answers sees it. */
export interface Connection {
	/** Sends a notice; `v` is put in. A connection that is gone takes it silently. */
	send(message: { do: string; [param: string]: unknown }): void;
	onClose(listener: () => void): void;
	destroy(): void;
	/** For the owner: what it knows about who speaks here. */
	readonly context: Map<string, unknown>;
}

interface Limits {
	idleMs: number;
	maxPending: number;
	maxWriteBytes: number;
}

export function serveControl(options: ControlOptions): ControlServer {
	const maxConnections = options.maxConnections ?? MAX_CONNECTIONS;
	const limits: Limits = {
		idleMs: options.idleMs ?? IDLE_MS,
		maxPending: options.maxPending ?? MAX_PENDING,
		maxWriteBytes: options.maxWriteBytes ?? MAX_WRITE_BYTES,
	};
	const speakers = new Set<Speaker>();
	return {
		handle(socket) {
			const speaker = new Speaker(socket, options.answer, limits);
			if (speakers.size >= maxConnections) {
				speaker.refuse('FAILED', `there are already ${maxConnections} connections: try again later`);
				return;
			}
			speakers.add(speaker);
			speaker.onClose(() => speakers.delete(speaker));
			speaker.listen();
		},
		close() {
			for (const speaker of speakers) speaker.destroy();
		},
		get connections() {
			return speakers.size;
		},
	};
}

class Speaker implements Connection {
	readonly context = new Map<string, unknown>();
	readonly #socket: net.Socket;
	readonly #answer: ControlOptions['answer'];
	readonly #limits: Limits;
	readonly #splitter = new LineSplitter(MAX_LINE_BYTES);
	readonly #listeners: Array<() => void> = [];
	/** Lines of the last chunk that wait for a free place: at most one chunk, since the socket is paused meanwhile. */
	#waiting: string[] = [];
	#pending = 0;
	#ended = false;
	#idle: NodeJS.Timeout | null = null;

	constructor(socket: net.Socket, answer: ControlOptions['answer'], limits: Limits) {
		this.#socket = socket;
		this.#answer = answer;
		this.#limits = limits;
		// A reset or a write to a peer that has gone: 'close' follows, and that is all there is to do.
		socket.on('error', () => {});
		socket.on('close', () => {
			this.#stopIdle();
			this.#waiting = [];
			for (const listener of this.#listeners.splice(0)) listener();
		});
	}

	listen(): void {
		this.#idle = setTimeout(() => this.destroy(), this.#limits.idleMs).unref();
		this.#socket.on('data', (chunk: Buffer) => this.#read(chunk));
		this.#socket.on('end', () => {
			this.#ended = true;
			this.#endWhenAnswered();
		});
	}

	send(message: { do: string; [param: string]: unknown }): void {
		this.#write({ v: VERSION, ...message });
	}

	onClose(listener: () => void): void {
		if (this.#socket.closed) listener();
		else this.#listeners.push(listener);
	}

	destroy(): void {
		this.#socket.destroy();
	}

	/** Says why and hangs up. What the other side still sends is read and dropped, else it would see a reset in place of the reason. */
	refuse(code: string, message: string): void {
		if (!this.#socket.writable) return;
		this.#write({ v: VERSION, id: null, ok: false, error: { code, message } });
		this.#socket.removeAllListeners('data');
		this.#socket.resume();
		this.#socket.end();
		this.#stopIdle();
		setTimeout(() => this.destroy(), FAREWELL_MS).unref();
	}

	#read(chunk: Buffer): void {
		for (const line of this.#splitter.push(chunk)) this.#waiting.push(line);
		this.#takeWaiting();
	}

	#takeWaiting(): void {
		let taken = 0;
		while (taken < this.#waiting.length && this.#pending < this.#limits.maxPending && !this.#socket.destroyed)
			this.#take(this.#waiting[taken++]!);
		this.#waiting = this.#waiting.slice(taken);
		if (this.#waiting.length > 0) {
			this.#socket.pause();
		} else if (this.#splitter.tooLong) {
			this.refuse('TOO_LONG', `a line may hold at most ${MAX_LINE_BYTES} bytes`);
		} else {
			this.#socket.resume();
			this.#endWhenAnswered();
		}
	}

	#take(line: string): void {
		if (line.trim() === '') return;
		const parsed = parseRequest(line);
		if (!parsed.ok) {
			this.#write({ v: VERSION, id: parsed.id, ok: false, error: { code: parsed.code, message: parsed.message } });
			return;
		}
		this.#stopIdle();
		const { id } = parsed.request;
		let result: unknown;
		try {
			result = this.#answer(parsed.request, this);
		} catch (error) {
			this.#writeRefusal(id, error);
			return;
		}
		if (!isPromise(result)) {
			this.#writeResult(id, result);
			return;
		}
		this.#pending += 1;
		result
			.then(
				(value) => this.#writeResult(id, value),
				(error) => this.#writeRefusal(id, error),
			)
			.finally(() => {
				this.#pending -= 1;
				if (!this.#socket.destroyed) this.#takeWaiting();
			});
	}

	#writeResult(id: Request['id'], result: unknown): void {
		if (id !== undefined) this.#write({ v: VERSION, id, ok: true, result: result ?? null });
	}

	#writeRefusal(id: Request['id'], error: unknown): void {
		this.#write({ v: VERSION, id: id ?? null, ok: false, error: asRefusal(error) });
	}

	#write(message: object): void {
		if (!this.#socket.writable) return;
		if (this.#socket.writableLength > this.#limits.maxWriteBytes) this.destroy();
		else this.#socket.write(JSON.stringify(message) + '\n');
	}

	#endWhenAnswered(): void {
		if (this.#ended && this.#pending === 0 && this.#waiting.length === 0) this.#socket.end();
	}

	#stopIdle(): void {
		if (this.#idle !== null) clearTimeout(this.#idle);
		this.#idle = null;
	}
}

function isPromise(value: unknown): value is Promise<unknown> {
	return typeof (value as { then?: unknown } | null | undefined)?.then === 'function';
}
