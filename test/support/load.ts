/** Clients that ask without end, and what becomes of each request. */
import assert from 'node:assert/strict';
import http from 'node:http';
import net from 'node:net';

export interface Seen {
	/** Requests answered, by what was answered. */
	answers: Map<string, number>;
	answered: number;
	failed: string[];
	/** When each failed, as of `performance.now()`. */
	failedAt: number[];
	/** The longest that one took. */
	slowestMs: number;
	/** How long each took that was answered. */
	tookMs: number[];
	/** Asked and neither answered nor failed yet. */
	underWay: number;
}

export interface LoadOptions {
	/** Clients with a connection each that they keep; and clients that connect for each request. */
	kept?: number;
	fresh?: number;
	host?: string;
	/** In place of clients that wait for their answers: so many requests a second, as far as there is the room for it, half of them on new connections. */
	perSecond?: number;
}

/** Of a test that has failed nobody stops the load: without anybody who answers it stops itself. */
const MAX_FAILED = 5_000;
/** Of a load by the second. */
const MAX_UNDER_WAY = 400;
/** For an answer, however long who asks has to wait for one who serves. */
const ANSWER_MS = 30_000;
/**
 * A server closes what was idle for some seconds (Node's after five or six), and a request that is sent just then fails, whoever supervises it:
 * a client that does not want that is the first to close.
 */
const IDLE_MS = 2_000;
/** Between two requests of a client, so that those who are asked have the processors too: eight clients ask some 1 000 times a second. */
const PAUSE_MS = 5;
/** Between two volleys of a load by the second. */
const VOLLEY_MS = 10;

/** Begins to ask. The answer ends it, and says what was seen; `seen` is what has been so far. */
export function load(port: number, { kept = 4, fresh = 4, host = '127.0.0.1', perSecond = 0 }: LoadOptions = {}) {
	const seen: Seen = { answers: new Map(), answered: 0, failed: [], failedAt: [], slowestMs: 0, tookMs: [], underWay: 0 };
	const agents =
		perSecond > 0
			? [new http.Agent({ keepAlive: true, timeout: IDLE_MS }), new http.Agent({ keepAlive: false })]
			: [
					...Array.from({ length: kept }, () => new http.Agent({ keepAlive: true, maxSockets: 1 })),
					...Array.from({ length: fresh }, () => new http.Agent({ keepAlive: false })),
				];
	let over = false;
	const ask = async (agent: http.Agent) => {
		const from = performance.now();
		seen.underWay += 1;
		const { text, error } = await get(port, host, agent);
		seen.underWay -= 1;
		const tookMs = performance.now() - from;
		seen.slowestMs = Math.max(seen.slowestMs, tookMs);
		if (error === null) {
			seen.answered += 1;
			seen.tookMs.push(tookMs);
			seen.answers.set(text, (seen.answers.get(text) ?? 0) + 1);
		} else {
			seen.failed.push(error);
			seen.failedAt.push(performance.now());
			over ||= seen.failed.length > MAX_FAILED;
		}
	};
	const byTheSecond = async () => {
		const from = performance.now();
		const asked: Array<Promise<void>> = [];
		for (let count = 0; !over; await new Promise((resolve) => setTimeout(resolve, VOLLEY_MS))) {
			const due = Math.floor(((performance.now() - from) / 1000) * perSecond);
			// Who cannot keep pace, be it this process, is not heaped upon: what is due waits.
			for (; count < due && seen.underWay < MAX_UNDER_WAY; count++) asked.push(ask(agents[count % agents.length] as http.Agent));
		}
		await Promise.all(asked);
	};
	const oneByOne = async (agent: http.Agent) => {
		while (!over) {
			await ask(agent);
			await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
		}
	};
	const askers = perSecond > 0 ? [byTheSecond()] : agents.map(oneByOne);
	const stop = async () => {
		over = true;
		await Promise.all(askers);
		for (const agent of agents) agent.destroy();
		return seen;
	};
	return { seen, stop };
}

/** `body`, with clients that ask all the while: none of their requests may fail. */
export async function underLoad(port: number, body: () => Promise<void>): Promise<Seen> {
	const { stop, seen } = load(port, { kept: 2, fresh: 2 });
	try {
		await body();
	} finally {
		await stop();
	}
	assert.deepEqual(seen.failed, []);
	return seen;
}

/** One request, and its answer or why there was none. */
export function get(port: number, host: string, agent: http.Agent): Promise<{ text: string; error: string | null }> {
	return new Promise((resolve) => {
		const request = http
			.get({ port, host, agent, timeout: ANSWER_MS }, (response) => {
				let text = '';
				response
					.setEncoding('utf8')
					.on('data', (piece: string) => {
						text += piece;
					})
					.once('end', () => resolve({ text, error: null }))
					.once('error', (error) => resolve({ text, error: error.message }));
			})
			.once('timeout', () => request.destroy(new Error(`no answer within ${ANSWER_MS} ms`)))
			.once('error', (error) => resolve({ text: '', error: error.message }));
	});
}

/** What a request on a connection of its own is answered. */
export async function textBehind(port: number): Promise<string> {
	const { text, error } = await get(port, '127.0.0.1', new http.Agent({ keepAlive: false }));
	if (error !== null) throw new Error(error);
	return text;
}

/** The pid of who answers, of servers that answer with theirs. */
export const pidBehind = async (port: number): Promise<number> => Number(await textBehind(port));

/** What a server says to who connects, until it ends the connection. */
export function read(address: { port: number; host: string } | { path: string }): Promise<string> {
	return new Promise((resolve, reject) => {
		let text = '';
		const socket = net.connect(address as net.NetConnectOpts);
		socket
			.setTimeout(ANSWER_MS, () => socket.destroy(new Error(`nothing said within ${ANSWER_MS} ms`)))
			.setEncoding('utf8')
			.on('data', (piece: unknown) => {
				text += String(piece);
			})
			.once('end', () => resolve(text))
			.once('error', reject);
	});
}
