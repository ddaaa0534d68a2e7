/**
 * The processes and threads of a tree that runs without an angel: this process is their parent, has their sockets and answers them.
 * Their state folder is that of the tree, as if an angel ran it, and so both cannot run at the same time.
 */
import fs from 'node:fs';
import net from 'node:net';
import { nanoid } from 'nanoid';
import type { ListenSpec } from '../../machines/spec.ts';
import { type Identity, leftBehind } from '../angel/inventory.ts';
import type { ToAngel, ToMaster } from '../angel/link.ts';
import { takeLock } from '../angel/lock.ts';
import { Processes } from '../angel/processes.ts';
import { Sockets, slotsAt } from '../angel/sockets.ts';
import { serveControl } from '../control/server.ts';
import { choirHome, ensureDir, socketPath, treeDir } from '../home.ts';
import { killGroup, killOne } from '../hosts/proc.ts';
import { ThreadHost } from '../hosts/threads.ts';
import type { Tell } from '../master/host.ts';
import { ProcessHost } from '../master/processes.ts';
import { Workers } from '../master/workers.ts';

export interface LocalOptions {
	/** The tree's name. */
	id: string;
	/** The folder to which what is declared is relative. */
	base: string;
	tell: Tell;
	now: () => number;
	/** What its children listen on. */
	listen: readonly ListenSpec[];
	note: (event: string, path: string, message: string) => void;
}

/** Between two looks whether what was killed is gone, and until the looking ends. */
const LOOK_MS = 10;
const GONE_MS = 5_000;

/** Another process, or another tree of this one, runs a tree of that name. */
export class AlreadyRunningError extends Error {
	override name = 'AlreadyRunningError';
	readonly code = 'ALREADY_RUNNING';
}

export class LocalProcesses {
	readonly host: ProcessHost;
	readonly threads: ThreadHost;
	readonly workers: Workers;
	readonly #processes: Processes;
	readonly #sockets: Sockets;
	readonly #lock: net.Server;
	readonly #server: net.Server;
	readonly #control: ReturnType<typeof serveControl>;
	readonly #killAll = () => void this.#processes.sweep('kill');

	static async open(options: LocalOptions): Promise<LocalProcesses> {
		const dir = ensureDir(treeDir(choirHome(), options.id));
		const lock = await takeLock(dir);
		if (lock === null) throw new AlreadyRunningError(`tree '${options.id}' is already running`);
		try {
			// What a process that was killed has left.
			await untilGone(() => {
				const { living, strays } = leftBehind(dir);
				const left = [...living, ...strays];
				for (const { pid } of left) {
					killGroup(pid, 'SIGKILL');
					killOne(pid, 'SIGKILL');
				}
				return left;
			});
			const local = new LocalProcesses(dir, lock, options);
			try {
				await local.#sockets.bind(options.listen);
			} catch (error) {
				await local.close();
				throw error;
			}
			await local.#listen(socketPath(dir, 'control.sock'));
			return local;
		} catch (error) {
			lock.close();
			throw error;
		}
	}

	private constructor(dir: string, lock: net.Server, { base, tell, now, note }: LocalOptions) {
		this.#lock = lock;
		this.#sockets = new Sockets();
		const muted = (path: string, message: string) => note('output.lost', path, message);
		this.#processes = new Processes(dir, this.#sockets, now, (fact) => {
			if (fact.what === 'muted') return muted(fact.path, fact.message);
			const { what, ...rest } = fact;
			this.host.hear({ do: what, ...rest } as ToMaster);
		});
		this.workers = new Workers(tell, (workerId, text) => note('signal.ignored', '', `${workerId}: ${text}`));
		this.#control = serveControl({
			answer: (request, connection) => {
				if (this.workers.understands(request, connection)) return this.workers.hear(request, connection);
				throw Object.assign(new Error(`there is no request '${request.do}'`), { code: 'UNKNOWN' });
			},
		});
		this.#server = net.createServer({ allowHalfOpen: true }, (socket) => this.#control.handle(socket));
		const unrotated = (path: string, why: string) =>
			note('log.unrotated', path, `the output of ${path} cannot be rotated while it runs (${why})`);
		this.threads = new ThreadHost({ dir, base, tell, now, unrotated, muted });
		this.host = new ProcessHost({
			dir,
			base,
			link: { send: (message) => this.#order(message), flush: () => {} },
			workers: this.workers,
			slotsAt: (address) => this.slotsAt(address),
			tell,
			// A crash is heard in the very process that decides and starts.
			offer: null,
			now,
			newToken: () => nanoid(),
			unrotated,
		});
		process.once('exit', this.#killAll);
	}

	/** How many sockets there are at an address. */
	slotsAt(address: ListenSpec): number {
		return slotsAt(this.#sockets.slots, address);
	}

	/** Kills what is left of the tree, and resolves when it is gone and all that was held is free. */
	async close(): Promise<void> {
		this.host.close();
		this.threads.close();
		this.#processes.sweep('kill');
		await untilGone(() => this.#processes.remaining('kill'));
		process.off('exit', this.#killAll);
		this.#control.close();
		this.#server.close();
		await this.#sockets.close();
		this.#processes.close();
		await new Promise((resolve) => this.#lock.close(resolve));
	}

	async #listen(path: string): Promise<void> {
		fs.rmSync(path, { force: true });
		await new Promise<void>((resolve, reject) => this.#server.once('error', reject).listen(path, resolve));
		fs.chmodSync(path, 0o600);
		// Its children keep this process alive, not that they could call.
		this.#server.unref();
	}

	#order(message: ToAngel): void {
		if (message.do === 'spawn') this.#processes.spawn(message.order);
		else if (message.do === 'assign') this.#processes.assign(message);
		else if (message.do === 'heard') this.#processes.heard(message.workerId);
		else if (message.do === 'signal') this.#processes.signal(message.workerId, message.signal);
	}
}

async function untilGone(look: () => Identity[]): Promise<void> {
	const deadline = performance.now() + GONE_MS;
	for (let left = look(); left.length > 0; left = look()) {
		if (performance.now() > deadline) throw new Error(`processes of the tree will not die: ${left.map(({ pid }) => pid).join(', ')}`);
		await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
	}
}
