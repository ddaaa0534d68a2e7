/**
 * The door of the live page: a listening socket, and nothing behind it until somebody comes. Then the server is loaded, and
 * takes the connections over. While it is closed, there is no socket and no step is kept.
 */
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { isLoopback, type ViewSpec } from '../../machines/spec.ts';
import { Recorder } from './recorder.ts';
import type { Shown, ViewServer } from './server.ts';

/** Where the address of this run is kept, so that a next master serves at the same one. */
const FILE = 'view.json';
/** Connections at a time: pages, and what has not said yet what it wants. */
const MAX_CONNECTIONS = 64;

export interface DoorOptions {
	spec: ViewSpec;
	/** The state folder of the tree. */
	dir: string;
	/** The angel: an address lives as long as it does. */
	run: Run;
	/** Another angel that had this run before. */
	before: Run | null;
	/** What the page shows; asked for when somebody comes. */
	shown: (recorder: Recorder) => Shown;
	incarnationOf: (path: string) => number;
	newToken: () => string;
	news: (level: 'info' | 'warn', event: string, message: string) => void;
}

interface Run {
	pid: number;
	startTicks: number;
}

/** Where the page is. */
export interface Place {
	address: string;
	readOnly: boolean;
}

interface Kept {
	token: string;
	port: number;
	run: Run;
}

export class Door {
	/** null: the door is closed. */
	recorder: Recorder | null = null;
	readonly #options: DoorOptions;
	#opening: Promise<Place> | null = null;
	#listening: net.Server | null = null;
	#loading: Promise<ViewServer> | null = null;
	#server: ViewServer | null = null;

	constructor(options: DoorOptions) {
		this.#options = options;
	}

	/** Whether it was open before, in this run. */
	get wasOpen(): boolean {
		return this.#kept() !== null;
	}

	/** Opens it, if it is not open yet. Rejects with one sentence if it cannot listen. */
	open(): Promise<Place> {
		this.#opening ??= this.#open().catch((error: Error) => {
			this.#opening = null;
			this.recorder = null;
			throw error;
		});
		return this.#opening;
	}

	/** Takes leave of the pages, and forgets the address. The process ends with this: nobody's answer is waited for. */
	close(): void {
		fs.rmSync(path.join(this.#options.dir, FILE), { force: true });
		this.#listening?.close();
		this.#server?.close();
	}

	async #open(): Promise<Place> {
		const { spec, news, newToken, run, dir, incarnationOf } = this.#options;
		// From here on, so that also the first steps of a tree are there to be looked at.
		const recorder = new Recorder(spec.history, incarnationOf);
		this.recorder = recorder;
		const kept = this.#kept();
		const token = kept?.token ?? newToken();
		// A port of this run that somebody has taken while there was no master is given up, one that was declared is not.
		const listening = await listen(spec, spec.port || kept?.port || 0).catch((error: Error) => {
			if (spec.port !== 0 || kept === null) throw error;
			return listen(spec, 0);
		});
		const { port } = listening.address() as net.AddressInfo;
		this.#listening = listening;
		listening.on('connection', (socket) => this.#admit(socket, recorder, token, port));
		listening.on('error', (error) => news('warn', 'view.failed', `the live page: ${error.message}`));
		try {
			write(dir, { token, port, run });
		} catch (error) {
			news(
				'warn',
				'view.failed',
				`the address of the live page cannot be kept, a next master will have another: ${(error as Error).message}`,
			);
		}
		const place = { address: `http://${hostOf(spec.host)}:${port}/${token}/`, readOnly: spec.readOnly };
		const whom = isLoopback(spec.host) ? '' : `, on ${spec.host}: other machines reach it`;
		news('info', 'view.open', `the live page${spec.readOnly ? ' (read-only)' : ''}: ${place.address}${whom}`);
		return place;
	}

	#admit(socket: net.Socket, recorder: Recorder, token: string, port: number): void {
		socket.on('error', () => {});
		if (this.#server !== null) return this.#server.take(socket);
		this.#loading ??= load().then(({ serveView }) => {
			const { spec, shown } = this.#options;
			const { host, hosts, readOnly } = spec;
			this.#server = serveView({ token, port, host, hosts, readOnly, shown: shown(recorder) });
			return this.#server;
		});
		this.#loading.then(
			(server) => server.take(socket),
			(error: Error) => {
				this.#loading = null;
				this.#options.news('warn', 'view.failed', `the live page cannot be served: ${error.message}`);
				socket.destroy();
			},
		);
	}

	#kept(): Kept | null {
		const { dir, run, before } = this.#options;
		try {
			const kept = JSON.parse(fs.readFileSync(path.join(dir, FILE), 'utf8')) as Kept;
			const isOf = (other: Run | null) => kept.run.pid === other?.pid && kept.run.startTicks === other.startTicks;
			return isOf(run) || isOf(before) ? kept : null;
		} catch {
			return null;
		}
	}
}

/** By its place: what is bundled with the master's main would be in memory before anybody comes. */
function load(): Promise<typeof import('./server.ts')> {
	return import(new URL(`../view/server${path.extname(import.meta.url)}`, import.meta.url).href);
}

function listen({ host }: ViewSpec, port: number): Promise<net.Server> {
	return new Promise((resolve, reject) => {
		// Read from when there is somebody who reads.
		const server = net.createServer({ pauseOnConnect: true, allowHalfOpen: true, noDelay: true });
		server.maxConnections = MAX_CONNECTIONS;
		server.once('error', ({ code, message }: NodeJS.ErrnoException) => {
			const why =
				code === 'EADDRINUSE'
					? `another process has it: free it, or declare another 'view.port', then \`choir view\``
					: code === 'EACCES'
						? 'this user may not'
						: message;
			reject(new Error(`the live page cannot listen on port ${port} of ${host}: ${why}`));
		});
		server.listen(port, host, () => {
			server.removeAllListeners('error');
			resolve(server);
		});
	});
}

/** Where a browser of this machine finds it. */
function hostOf(host: string): string {
	const own = host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host;
	return net.isIPv6(own) ? `[${own}]` : own;
}

/** Written aside and renamed: nobody reads half of it; and nobody else reads any of it. */
function write(dir: string, kept: Kept): void {
	const file = path.join(dir, FILE);
	const aside = `${file}.${process.pid}`;
	fs.writeFileSync(aside, JSON.stringify(kept) + '\n', { mode: 0o600 });
	fs.renameSync(aside, file);
}
