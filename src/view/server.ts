/**
 * The server of the live page: its files, the WebSocket on which it lives, and one for Stately's inspector. Loaded when somebody comes. It takes
 * connections that the door has accepted; who asks without the token, or under another name, gets a 403 and one sentence.
 */
import fs from 'node:fs/promises';
import http from 'node:http';
import { createRequire } from 'node:module';
import type net from 'node:net';
import type { Duplex } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { type WebSocket, WebSocketServer } from 'ws';
import type { Usage } from '../hosts/threads.ts';
import type { Tree } from '../master/tree.ts';
import type { ChildView } from '../master/view.ts';
import { judge, type Own } from './guard.ts';
import { Inspector } from './inspector.ts';
import { Live } from './live.ts';
import { asker } from './operations.ts';
import { Pipe } from './pipe.ts';
import type { Entry, Recorder } from './recorder.ts';
import { Viewer } from './viewer.ts';
import { WIRE_VERSION } from './wire.ts';

/** What the page shows, and what may be asked for. */
export interface Shown {
	/** The tree's name. */
	id: string;
	/** Its state folder. */
	dir: string;
	/** ISO time. */
	since: string;
	angelPid: number;
	masterIncarnation: number;
	tree: Tree;
	recorder: Recorder;
	/** What a worker last said of itself. */
	says: (workerId: string) => string | null;
	usage: (view: ChildView) => Usage;
	news: (level: 'info' | 'warn', event: string, message: string, detail: Record<string, unknown>) => void;
	/** Of all instances of a child, which is meant by its path without their numbers. */
}

/** For tests, which cannot wait so long. */
export interface Limits {
	/** From accepting a connection to the end of what it asks for; what becomes a WebSocket stays. Default 15 s. */
	requestMs?: number;
	/** Between two questions whether a page is still there. Default 15 s. */
	pingMs?: number;
	/** For a page that reads nothing while something waits for it. Default 60 s. */
	cloggedMs?: number;
}

export interface ViewOptions extends Own {
	readOnly: boolean;
	shown: Shown;
	limits?: Limits;
}

export interface ViewServer {
	take(socket: net.Socket): void;
	close(): void;
}

const MAX_HEADER_BYTES = 8 * 1024;
/** A page that is open has one socket. */
const MAX_PAGES = 16;
const REQUEST_MS = 15_000;
/** The longest a page may say: its rows on screen. */
const MAX_WORD_BYTES = 256 * 1024;
const GOING_AWAY = 1001;
const TRY_LATER = 1013;

/** All there is to fetch: no name from outside ever reaches the file system. */
const files: Record<string, { file: string; type: string }> = {
	'': { file: 'page/index.html', type: 'text/html; charset=utf-8' },
	'page.js': { file: 'page/page.js', type: 'text/javascript; charset=utf-8' },
	'page.css': { file: 'page/page.css', type: 'text/css; charset=utf-8' },
	...Object.fromEntries(
		['angel', 'master', 'dynamic', 'worker'].map((name) => [
			`charts/${name}.svg`,
			{ file: `diagrams/${name}.svg`, type: 'image/svg+xml; charset=utf-8' },
		]),
	),
};
const ownPackage = createRequire(import.meta.url).resolve('choir/package.json');

const headers = {
	'Content-Security-Policy':
		"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
	'Referrer-Policy': 'no-referrer',
	'X-Content-Type-Options': 'nosniff',
	'X-Frame-Options': 'DENY',
	'Cross-Origin-Opener-Policy': 'same-origin',
	'Cross-Origin-Resource-Policy': 'same-origin',
	'Cache-Control': 'no-store',
};

export function serveView(options: ViewOptions): ViewServer {
	return new Server(options);
}

class Server implements ViewServer {
	readonly #options: ViewOptions;
	readonly #http: http.Server;
	readonly #sockets = new WebSocketServer({ noServer: true, maxPayload: MAX_WORD_BYTES, perMessageDeflate: false, clientTracking: false });
	readonly #live: Live;
	readonly #pipes = new Set<Pipe>();
	readonly #inspectors = new Set<Inspector>();
	/** What ends a connection that takes too long. */
	readonly #limits = new WeakMap<Duplex, NodeJS.Timeout>();

	constructor(options: ViewOptions) {
		this.#options = options;
		this.#live = new Live(options.shown, options.readOnly);
		this.#http = http.createServer({ maxHeaderSize: MAX_HEADER_BYTES, requireHostHeader: false }, (request, response) =>
			this.#answer(request, response),
		);
		this.#http.on('upgrade', (request, socket: Duplex, head: Buffer) => this.#upgrade(request, socket, head));
	}

	take(socket: net.Socket): void {
		if (socket.destroyed) return;
		const late = setTimeout(() => socket.destroy(), this.#options.limits?.requestMs ?? REQUEST_MS);
		late.unref();
		this.#limits.set(socket, late);
		socket.once('close', () => clearTimeout(late));
		this.#http.emit('connection', socket);
		socket.resume();
	}

	close(): void {
		for (const pipe of this.#pipes) pipe.close(GOING_AWAY);
	}

	#answer(request: http.IncomingMessage, response: http.ServerResponse): void {
		const verdict = judge(request, this.#options);
		if (!verdict.ok) return say(response, 403, verdict.why);
		if (request.method !== 'GET' && request.method !== 'HEAD')
			return say(response, 405, 'Only GET and HEAD are answered.', { Allow: 'GET, HEAD' });
		if (verdict.what === null) return say(response, 308, 'The page is a folder.', { Location: `/${this.#options.token}/` });
		const found = Object.hasOwn(files, verdict.what) ? files[verdict.what] : undefined;
		if (found === undefined) return say(response, 404, 'There is nothing of that name.');
		// Relative to the package, or to what is built of this very file.
		const base = found.file.startsWith('diagrams/') ? `file://${ownPackage}` : import.meta.url;
		fs.readFile(fileURLToPath(new URL(found.file, base))).then(
			(content) => send(response, 200, content, { 'Content-Type': found.type }),
			() => say(response, 503, `${found.file} is not there: the package has to be built.`),
		);
	}

	#upgrade(request: http.IncomingMessage, socket: Duplex, head: Buffer): void {
		socket.on('error', () => socket.destroy());
		const verdict = judge(request, this.#options);
		if (!verdict.ok) return refuse(socket, '403 Forbidden', verdict.why);
		const { what } = verdict;
		if (what !== 'live' && what !== 'inspect') return refuse(socket, '404 Not Found', 'There is nothing of that name.');
		this.#sockets.handleUpgrade(request, socket, head, (opened) => {
			clearTimeout(this.#limits.get(socket));
			if (this.#pipes.size >= MAX_PAGES) return opened.close(TRY_LATER, `there are ${MAX_PAGES} pages already`);
			if (what === 'live') this.#greet(opened, socket);
			else this.#inspect(opened, socket);
		});
	}

	#greet(opened: WebSocket, socket: Duplex): void {
		const { shown, readOnly, limits } = this.#options;
		const ask = asker(shown, readOnly);
		const pipe = new Pipe(opened, socket, {
			...limits,
			drained: (dropped) => this.#live.renew(viewer, dropped),
			heard: (word) => viewer.hear(word),
			closed: () => {
				this.#pipes.delete(pipe);
				this.#live.leave(viewer);
				this.#listen();
			},
		});
		const viewer: Viewer = new Viewer({
			dir: shown.dir,
			pipe,
			prints: (path) => ['node', 'command', 'thread'].includes(shown.tree.viewAt(path)?.spec.kind ?? ''),
			selected: (path) => this.#live.show(viewer, path),
			looks: () => this.#live.measureSoon(),
			moment: (seq) => this.#live.moment(viewer, seq),
			// What came of it is on the page before its end is said.
			operate: (asked) =>
				ask(asked).then((outcome) => {
					this.#live.flush();
					return outcome;
				}),
		});
		this.#pipes.add(pipe);
		viewer.say({
			say: 'hello',
			v: WIRE_VERSION,
			tree: shown.id,
			since: shown.since,
			now: Date.now(),
			angel: { pid: shown.angelPid },
			master: { pid: process.pid, incarnation: shown.masterIncarnation },
			readOnly,
		});
		this.#live.join(viewer);
		this.#listen();
	}

	#inspect(opened: WebSocket, socket: Duplex): void {
		const { shown, limits } = this.#options;
		const pipe = new Pipe(opened, socket, {
			...limits,
			drained: () => void inspector.attach(),
			// It has nothing to say to us.
			heard: () => {},
			closed: () => {
				inspector.close();
				this.#pipes.delete(pipe);
				this.#inspectors.delete(inspector);
				this.#listen();
			},
		});
		const inspector = new Inspector(shown, pipe);
		this.#pipes.add(pipe);
		this.#inspectors.add(inspector);
		void inspector.attach();
		this.#listen();
	}

	/** While nobody looks, a step costs what it costs to keep it. */
	#listen(): void {
		const { recorder } = this.#options.shown;
		if (!this.#live.watched && this.#inspectors.size === 0) recorder.listener = null;
		else recorder.listener = this.#heard;
	}

	readonly #heard = (entry: Entry): void => {
		this.#live.heard(entry);
		for (const inspector of this.#inspectors) inspector.heard(entry);
	};
}

function send(response: http.ServerResponse, status: number, content: Buffer | string, more: Record<string, string>): void {
	response.writeHead(status, { ...headers, ...more, 'Content-Length': Buffer.byteLength(content) });
	// To HEAD it answers with the length alone: node leaves out the rest.
	response.end(content);
}

function say(response: http.ServerResponse, status: number, sentence: string, more: Record<string, string> = {}): void {
	send(response, status, `${sentence}\n`, { 'Content-Type': 'text/plain; charset=utf-8', Connection: 'close', ...more });
}

/** Before the handshake: there is no WebSocket yet that could be told. */
function refuse(socket: Duplex, status: string, sentence: string): void {
	const body = `${sentence}\n`;
	socket.end(
		`HTTP/1.1 ${status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
	);
}
