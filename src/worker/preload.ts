/**
 * Loaded before a user's module: `node --import preload.js module`. It arms the signals first, then speaks to the master for
 * programs that know nothing of choir: it beats, says ready when they listen, hands them the held sockets and drains them.
 */
import net from 'node:net';
import { Channel } from './channel.ts';
import { drain, isDraining, track } from './drain.ts';
import { type Listening, shareState, type WorkerState, workerState } from './state.ts';

const terminated: NodeJS.SignalsListener = () => {
	if (isDraining() && process.listenerCount('SIGTERM') === 1) process.exit();
	void drain('by signal', terminated);
};

if (process.env.CHOIR_WORKER !== undefined && process.env.CHOIR_TOKEN !== undefined && workerState() === null) {
	arm();
	join(process.env.CHOIR_WORKER, process.env.CHOIR_TOKEN);
}

function arm(): void {
	process.on('SIGTERM', terminated);
	process.on('SIGQUIT', terminated);
	process.on('SIGINT', () => process.exit());
	// None of these may do what the operating system does by default: end us, stop us, or open the inspector.
	for (const signal of ['SIGHUP', 'SIGUSR1', 'SIGUSR2', 'SIGWINCH', 'SIGTTIN', 'SIGTTOU'] as const)
		process.on(signal, () => workerState()?.channel?.say({ do: 'signal.ignored', signal }));
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
	// Only this process is the worker: what it starts may not speak in its name. (The marks stay, to find strays by.)
	for (const name of ['CHOIR_TOKEN', 'CHOIR_CONTROL', 'CHOIR_LISTEN', 'CHOIR_READY', 'CHOIR_HEARTBEAT_MS']) delete process.env[name];
	patchListen(state);
	state.channel = new Channel({
		path: CHOIR_CONTROL,
		workerId,
		token,
		heartbeatMs: Number(CHOIR_HEARTBEAT_MS),
		hear: (word) => {
			if (word.do === 'drain') void drain('by word', terminated);
		},
	});
}

/** A program that listens on a declared port gets the socket that the angel holds. */
function patchListen(state: WorkerState): void {
	const listen = net.Server.prototype.listen as (...args: unknown[]) => net.Server;
	net.Server.prototype.listen = function (this: net.Server, ...args: unknown[]): net.Server {
		const held = heldFor(state.listen, args);
		track(this);
		this.once('listening', () => {
			const counts = state.listen.length === 0 || held !== null || isHeldFd(state.listen, args);
			if (counts && state.readyBySignal && !state.libraryLoaded) sayReady(state);
		});
		const callback = args.at(-1);
		if (held === null) return listen.apply(this, args);
		return listen.call(this, { fd: held.fd }, ...(typeof callback === 'function' ? [callback] : []));
	} as typeof net.Server.prototype.listen;
}

export function sayReady(state: WorkerState): void {
	state.channel?.say({ do: 'ready' }, { standing: true });
	state.channel?.sayPeak();
}

/** The held socket that these arguments of `listen` mean, if any. */
function heldFor(listen: readonly Listening[], [first, second]: unknown[]): Listening | null {
	const options =
		typeof first === 'object' && first !== null ? (first as { port?: unknown; path?: unknown; host?: unknown; fd?: unknown }) : null;
	if (options?.fd !== undefined) return null;
	const path = options?.path ?? (typeof first === 'string' && !/^\d+$/.test(first) ? first : undefined);
	if (path !== undefined) return listen.find(({ socketPath }) => socketPath === path) ?? null;
	const given = options?.port ?? first;
	const port = typeof given === 'number' || (typeof given === 'string' && /^\d+$/.test(given)) ? Number(given) : undefined;
	// Which of two sockets with one port is meant, the host says; else the port is enough.
	const host = options?.host ?? (typeof second === 'string' ? second : undefined);
	const same = listen.filter((each) => port !== undefined && port !== 0 && each.port === port);
	return same.find((each) => each.host === host) ?? same[0] ?? null;
}

function isHeldFd(listen: readonly Listening[], [first]: unknown[]): boolean {
	return listen.some(({ fd }) => (first as { fd?: unknown } | null)?.fd === fd);
}
