/** Those who look at the live page, for tests: pages, plain requests, and a tree within this process that is served. */
import assert from 'node:assert/strict';
import http from 'node:http';
import net from 'node:net';
import { WebSocket } from 'ws';
import { defaults } from '../../machines/spec.ts';
import type { Clock } from '../../src/kernel/clock.ts';
import { RealClock } from '../../src/kernel/clock.ts';
import type { Step } from '../../src/kernel/kernel.ts';
import type { Run } from '../../src/master/host.ts';
import { Tree } from '../../src/master/tree.ts';
import { Recorder } from '../../src/view/recorder.ts';
import { type Limits, serveView, type ViewServer } from '../../src/view/server.ts';
import type { FromPage, ToPage } from '../../src/view/wire.ts';
import { supervisor, treeOf } from './world.ts';

const MESSAGE_MS = 10_000;

type Say = ToPage['say'];
type Message<S extends Say> = Extract<ToPage, { say: S }>;

/** A page that is open: what it was told so far, and what it says. */
export class Page {
	readonly heard: ToPage[] = [];
	/** The frames as they came. */
	readonly frames: string[] = [];
	/** The code with which the server has ended it. */
	readonly closed: Promise<number>;
	readonly socket: WebSocket;
	#wake: () => void = () => {};

	static async open(address: string, options: { headers?: Record<string, string> } = {}): Promise<Page> {
		const socket = new WebSocket(`${address.replace(/^http/, 'ws')}live`, options);
		const page = new Page(socket);
		const refused = page.closed.then((code) => {
			throw new Error(`the page was ended (${code}) before it was greeted`);
		});
		await Promise.race([page.next('hello'), refused]);
		refused.catch(() => {});
		return page;
	}

	constructor(socket: WebSocket) {
		this.socket = socket;
		this.closed = new Promise((resolve) => socket.once('close', resolve));
		socket.on('error', () => {});
		socket.on('message', (content) => {
			this.frames.push(String(content));
			this.heard.push(JSON.parse(String(content)) as ToPage);
			this.#wake();
		});
	}

	say(word: FromPage): void {
		this.socket.send(JSON.stringify(word));
	}

	/** The first message of this kind that is right, of all so far or of those that come. */
	async next<S extends Say>(say: S, isRight: (message: Message<S>) => unknown = () => true, from = 0): Promise<Message<S>> {
		const deadline = performance.now() + MESSAGE_MS;
		for (let at = from; ; ) {
			for (; at < this.heard.length; at++) {
				const message = this.heard[at] as ToPage;
				if (message.say === say && isRight(message as Message<S>)) return message as Message<S>;
			}
			const left = deadline - performance.now();
			const last = this.frames.slice(-3).map((frame) => frame.slice(0, 300));
			assert.ok(left > 0, `no '${say}' within ${MESSAGE_MS} ms; last heard: ${last.join('\n')}`);
			let late: NodeJS.Timeout | undefined;
			await new Promise<void>((resolve) => {
				this.#wake = resolve;
				late = setTimeout(resolve, left);
			});
			clearTimeout(late);
		}
	}

	/** The last row that was told of a path. */
	row(path: string) {
		return this.heard
			.flatMap((message) => (message.say === 'tree' || message.say === 'rows' ? message.rows : []))
			.findLast((row) => row.path === path);
	}

	close(): void {
		this.socket.terminate();
	}
}

export interface Answer {
	status: number;
	headers: http.IncomingHttpHeaders;
	text: string;
}

/** A plain request, or one for a WebSocket; with these headers, whatever the address says. */
export function ask(
	address: string,
	options: { method?: string; headers?: Record<string, string>; upgrade?: boolean } = {},
): Promise<Answer> {
	const { method = 'GET', upgrade = false } = options;
	const handshake = {
		Connection: 'Upgrade',
		Upgrade: 'websocket',
		'Sec-WebSocket-Version': '13',
		'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==',
	};
	return new Promise((resolve, reject) => {
		// As it stands: a URL would have its dots resolved.
		const [, host = '', port = '', where = '/'] = /^http:\/\/([^:/]+):(\d+)(\/.*)?$/.exec(address) ?? [];
		const request = http.request({
			host,
			port,
			path: where,
			method,
			headers: { ...(upgrade ? handshake : {}), ...options.headers },
			agent: false,
			timeout: MESSAGE_MS,
		});
		request.once('error', reject);
		request.once('timeout', () => request.destroy(new Error(`${address} did not answer`)));
		request.once('upgrade', (response, socket) => {
			socket.destroy();
			resolve({ status: response.statusCode ?? 0, headers: response.headers, text: '' });
		});
		request.once('response', (response) => {
			let text = '';
			response.setEncoding('utf8').on('data', (chunk) => (text += chunk));
			response.once('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, text }));
		});
		request.end();
	});
}

export interface Served {
	tree: Tree;
	recorder: Recorder;
	server: ViewServer;
	address: string;
	port: number;
	launched: Run[];
	/** What the tree and the page wanted people to know. */
	events: Array<{ event: string; detail: Record<string, unknown> }>;
	statuses: Map<string, string>;
}

/** A tree of children that start at once and die when they are asked to, with its page. */
export async function served(
	children: Parameters<typeof supervisor>[1],
	body: (served: Served) => Promise<void>,
	options: { readOnly?: boolean; host?: string; hosts?: string[]; limits?: Limits; clock?: Clock; dir?: string } = {},
): Promise<void> {
	const { readOnly = false, host = '127.0.0.1', hosts = [], limits = {}, clock = new RealClock(), dir = '/nonexistent' } = options;
	const launched: Run[] = [];
	const events: Served['events'] = [];
	const statuses = new Map<string, string>();
	const die = ({ workerId }: Run) =>
		tree.tell(workerId, { type: 'process.exited', code: 0, signal: null, maxRssBytes: null, at: clock.now() });
	const nothing = () => {};
	let ids = 0;
	const recorder: Recorder = new Recorder(defaults.view.history, (path) => tree.present(path).incarnation);
	const tree: Tree = new Tree({
		spec: treeOf(supervisor('', children)),
		clock,
		chance: () => 0,
		newId: () => `w${++ids}`,
		news: ({ event, detail = {} }) => void events.push({ event, detail }),
		running: nothing,
		ended: nothing,
		watch: (step: Step) => recorder.record(step),
		host: {
			launch: (run) => {
				launched.push(run);
				tree.tell(run.workerId, { type: 'process.ready' });
			},
			askToDrain: die,
			terminate: die,
			kill: die,
			watchReadiness: nothing,
			watchLiveness: nothing,
			forget: nothing,
		},
	});
	tree.start();
	const door = net.createServer({ pauseOnConnect: true, allowHalfOpen: true, noDelay: true });
	await new Promise<void>((resolve) => door.listen(0, '127.0.0.1', resolve));
	const { port } = door.address() as net.AddressInfo;
	const token = 'x'.repeat(24);
	const server = serveView({
		token,
		port,
		host,
		hosts,
		readOnly,
		limits,
		shown: {
			id: 'test',
			dir,
			since: new Date().toISOString(),
			angelPid: 1,
			masterIncarnation: 1,
			tree,
			recorder,
			says: (workerId) => statuses.get(workerId) ?? null,
			usage: () => ({ memoryBytes: 1_000, spent: { cpuMs: 5, ageMs: 1_000 } }),
			news: (_, event, __, detail) => void events.push({ event, detail }),
		},
	});
	const sockets = new Set<net.Socket>();
	door.on('connection', (socket) => {
		sockets.add(socket);
		server.take(socket);
	});
	try {
		await body({ tree, recorder, server, address: `http://127.0.0.1:${port}/${token}/`, port, launched, events, statuses });
	} finally {
		for (const socket of sockets) socket.destroy();
		door.close();
		tree.kernel.close();
	}
}
