/** The asking side of the control protocol. */

import net from 'node:net';
import { LineSplitter } from './lines.ts';
import { type Answer, ControlError, parseAnswer, VERSION } from './protocol.ts';

const CONNECT_TIMEOUT_MS = 2_000;
const REQUEST_TIMEOUT_MS = 5_000;
/** Answers are longer than requests: the status of a large tree is one line. */
const MAX_ANSWER_BYTES = 64 * 1024 * 1024;

export interface Client {
	/** Resolves with the result; rejects with a ControlError. A timeout of 0 waits as long as the connection lasts. */
	request(name: string, params?: Record<string, unknown>, options?: { timeoutMs?: number }): Promise<unknown>;
	/** Sends without wanting an answer. */
	send(name: string, params?: Record<string, unknown>): void;
	/** What the other side sends unasked. */
	onMessage(listener: (message: Record<string, unknown>) => void): void;
	onClose(listener: () => void): void;
	close(): void;
}

/** Rejects with NOT_RUNNING where nobody listens. */
export function connect(path: string, { timeoutMs = CONNECT_TIMEOUT_MS }: { timeoutMs?: number } = {}): Promise<Client> {
	return new Promise((resolve, reject) => {
		const socket = net.connect(path);
		const late = setTimeout(() => {
			socket.destroy();
			reject(new ControlError('NO_ANSWER', `${path} did not accept a connection within ${seconds(timeoutMs)}`));
		}, timeoutMs);
		socket.once('error', (error: NodeJS.ErrnoException) => {
			clearTimeout(late);
			reject(connectError(path, error));
		});
		socket.once('connect', () => {
			clearTimeout(late);
			resolve(clientOn(socket));
		});
	});
}

/** Connects, asks, hangs up. `timeoutMs` is for the answer. */
export async function request(
	path: string,
	name: string,
	params: Record<string, unknown> = {},
	{ timeoutMs = REQUEST_TIMEOUT_MS }: { timeoutMs?: number } = {},
): Promise<unknown> {
	const client = await connect(path, timeoutMs > 0 ? { timeoutMs: Math.min(timeoutMs, CONNECT_TIMEOUT_MS) } : {});
	try {
		return await client.request(name, params, { timeoutMs });
	} finally {
		client.close();
	}
}

function clientOn(socket: net.Socket): Client {
	const splitter = new LineSplitter(MAX_ANSWER_BYTES);
	const waiting = new Map<number, { settle(answer: Answer): void; fail(error: ControlError): void }>();
	const messageListeners: Array<(message: Record<string, unknown>) => void> = [];
	let lastId = 0;

	const take = (line: string): void => {
		const answer = parseAnswer(line);
		if (answer === undefined) {
			const message = asMessage(line);
			if (message !== undefined) for (const listener of messageListeners) listener(message);
		} else if (typeof answer.id === 'number') {
			waiting.get(answer.id)?.settle(answer);
		} else if (!answer.ok) {
			// A refusal without an id is about the connection as a whole: nothing that was asked here will be answered.
			for (const asked of [...waiting.values()]) asked.fail(new ControlError(answer.error.code, answer.error.message));
		}
	};
	socket.on('data', (chunk: Buffer) => {
		for (const line of splitter.push(chunk)) take(line);
		if (splitter.tooLong) socket.destroy();
	});
	socket.removeAllListeners('error');
	socket.on('error', () => {});
	socket.on('close', () => {
		for (const asked of [...waiting.values()])
			asked.fail(new ControlError('NO_ANSWER', 'the connection was closed before the answer came'));
	});

	return {
		request(name, params = {}, { timeoutMs = REQUEST_TIMEOUT_MS } = {}) {
			return new Promise((resolve, reject) => {
				lastId += 1;
				const id = lastId;
				let late: NodeJS.Timeout | undefined;
				const done = (): void => {
					clearTimeout(late);
					waiting.delete(id);
				};
				waiting.set(id, {
					settle(answer) {
						done();
						if (answer.ok) resolve(answer.result);
						else reject(new ControlError(answer.error.code, answer.error.message));
					},
					fail(error) {
						done();
						reject(error);
					},
				});
				const fail = (message: string): void => waiting.get(id)?.fail(new ControlError('NO_ANSWER', message));
				if (socket.destroyed) {
					fail('the connection is closed');
					return;
				}
				if (timeoutMs > 0) late = setTimeout(() => fail(`${name}: the tree did not answer within ${seconds(timeoutMs)}`), timeoutMs);
				socket.write(JSON.stringify({ ...params, v: VERSION, id, do: name }) + '\n');
			});
		},
		send(name, params = {}) {
			if (socket.writable) socket.write(JSON.stringify({ ...params, v: VERSION, do: name }) + '\n');
		},
		onMessage(listener) {
			messageListeners.push(listener);
		},
		onClose(listener) {
			if (socket.closed) listener();
			else socket.on('close', listener);
		},
		close() {
			socket.destroy();
		},
	};
}

function asMessage(line: string): Record<string, unknown> | undefined {
	try {
		const read = JSON.parse(line) as unknown;
		return read !== null && typeof read === 'object' && !Array.isArray(read) ? (read as Record<string, unknown>) : undefined;
	} catch {
		return undefined;
	}
}

function connectError(path: string, error: NodeJS.ErrnoException): ControlError {
	if (error.code === 'ENOENT' || error.code === 'ECONNREFUSED') return new ControlError('NOT_RUNNING', 'no tree is running here');
	if (error.code === 'EACCES')
		return new ControlError('NOT_RUNNING', `${path} belongs to another user: ask as the user who started the tree`);
	return new ControlError('NO_ANSWER', `cannot connect to ${path}: ${error.message}`);
}

function seconds(ms: number): string {
	return ms < 1_000 ? `${ms} ms` : `${ms / 1_000} s`;
}
