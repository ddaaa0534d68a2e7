/**
 * Loaded before a user's module: `node --import preload.js module`. It arms the signals first, then speaks to the master for
 * programs that know nothing of choir: it beats, says ready when they listen, hands them the held sockets and drains them.
 */
import net from 'node:net';
import { requestOf, type Signal } from '../../machines/signals.ts';
import { armSignals } from './armed.ts';
import { Channel } from './channel.ts';
import { drain, isDraining, track } from './drain.ts';
import { type Listening, sayReady, shareState, type WorkerState, workerState } from './state.ts';

if (process.env.CHOIR_WORKER !== undefined && process.env.CHOIR_TOKEN !== undefined && workerState() === null) {
	armSignals(take);
	join(process.env.CHOIR_WORKER, process.env.CHOIR_TOKEN);
}

function take(signal: Signal, told: boolean): void {
	const request = requestOf('worker', signal, false);
	if (request.do !== 'stop') {
		// To go on after a stop is nothing to speak of; and what the program takes itself is not ignored.
		if (!told && signal !== 'SIGCONT') workerState()?.channel?.say({ do: 'signal.ignored', signal });
		return;
	}
	if (signal !== 'SIGTERM' && told) return;
	if (request.mode === 'fast') process.exit();
	// Asked a second time: its time is over, unless the program wants to see to that itself.
	if (isDraining() && !told) process.exit();
	void drain({ told });
}

function join(workerId: string, token: string): void {
	const { CHOIR_CONTROL = '', CHOIR_PATH = '', CHOIR_HEARTBEAT_MS = '0', CHOIR_READY = '', CHOIR_LISTEN = '[]' } = process.env;
	const state: WorkerState = {
		path: CHOIR_PATH,
		workerId,
		listen: JSON.parse(CHOIR_LISTEN) as Listening[],
		channel: null,
		readyBySignal: CHOIR_READY === 'signal',
		libraryLoaded: false,
		drains: [],
	};
	shareState(state);
	// Only this process is the worker: what it starts may not speak in its name. (All else stays: strays are found by it.)
	delete process.env.CHOIR_TOKEN;
	patchListen(state);
	const channel = new Channel({
		path: CHOIR_CONTROL,
		workerId,
		token,
		heartbeatMs: Number(CHOIR_HEARTBEAT_MS),
		hear: (word) => {
			if (word.do === 'drain') void drain({ told: false });
		},
	});
	state.channel = channel;
	// A write to a local socket is done when it returns, as long as the master reads.
	process.once('exit', () => channel.sayPeak());
}

/** A program that listens on a declared port gets the socket that the angel holds. */
function patchListen(state: WorkerState): void {
	const listen = net.Server.prototype.listen as (...args: unknown[]) => net.Server;
	// A server closes its descriptor with itself, and the number may then be another file's.
	const given = new Set<number>();
	net.Server.prototype.listen = function (this: net.Server, ...args: unknown[]): net.Server {
		track(this);
		const byFd = state.listen.find(({ fd }) => (args[0] as { fd?: unknown } | null | undefined)?.fd === fd);
		if (byFd !== undefined && given.has(byFd.fd))
			throw new Error(`the held socket '${byFd.name}' can be listened on once in a process, and it has been`);
		// A second time by its port, this finds the port taken, as it would be outside choir.
		const byAddress = byFd === undefined ? heldFor(state.listen, args) : null;
		const held = byFd ?? (byAddress !== null && !given.has(byAddress.fd) ? byAddress : null);
		if (held !== null) given.add(held.fd);
		this.once('listening', () => {
			const counts = state.listen.length === 0 || held !== null;
			if (counts && state.readyBySignal && !state.libraryLoaded) sayReady(state);
		});
		return listen.apply(this, held !== null && byFd === undefined ? argumentsFor(held, args) : args);
	} as typeof net.Server.prototype.listen;
}

interface ListenOptions {
	port?: unknown;
	path?: unknown;
	host?: unknown;
	fd?: unknown;
	backlog?: unknown;
	signal?: unknown;
}

function optionsOf([first]: readonly unknown[]): ListenOptions | null {
	return typeof first === 'object' && first !== null ? first : null;
}

/** The held socket that these arguments of `listen` mean, if any. */
function heldFor(listen: readonly Listening[], args: readonly unknown[]): Listening | null {
	const [first, second] = args;
	const options = optionsOf(args);
	if (options?.fd !== undefined) return null;
	const path = options?.path ?? (typeof first === 'string' && !/^\d+$/.test(first) ? first : undefined);
	if (path !== undefined) return listen.find(({ socketPath }) => socketPath === path) ?? null;
	const wanted = options?.port ?? first;
	const port = typeof wanted === 'number' || (typeof wanted === 'string' && /^\d+$/.test(wanted)) ? Number(wanted) : undefined;
	// Which of two sockets with one port is meant, the host says; else the port is enough.
	const host = options?.host ?? (typeof second === 'string' ? second : undefined);
	const same = listen.filter((each) => port !== undefined && port !== 0 && each.port === port);
	return same.find((each) => each.host === host) ?? same[0] ?? null;
}

/** The same wish, for a descriptor instead of an address. */
function argumentsFor({ fd }: Listening, args: readonly unknown[]): unknown[] {
	const options = optionsOf(args);
	const backlog = options?.backlog ?? args.slice(1).find((each) => typeof each === 'number');
	const callback = args.at(-1);
	return [
		{ fd, ...(options?.signal === undefined ? {} : { signal: options.signal }) },
		...(backlog === undefined ? [] : [backlog]),
		...(typeof callback === 'function' ? [callback] : []),
	];
}
