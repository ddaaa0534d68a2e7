/**
 * What a Node worker imports, be it a process or a thread: `choir/worker`. Outside choir everything here does nothing, so that
 * a worker also runs alone.
 */
import { sayReady, workerState } from './state.ts';

/** Of a status text: the rest is cut off. */
const MAX_STATUS = 200;

const state = workerState();
if (state !== null) state.libraryLoaded = true;

/** Who this worker is within its tree (`web.1`; a spare `web.standby-1`, until it takes the place of a child), or null outside choir. */
export const worker: { readonly path: string; readonly id: string } | null =
	state === null
		? null
		: {
				get path() {
					return state.path;
				},
				id: state.workerId,
			};

/**
 * What to give to `server.listen()`: within choir the held socket of that name in `listen`. Outside it `fallback` (a port,
 * `'host:port'`, or the path of a unix socket), else the environment's PORT. Throws if there is neither, if no such name
 * is declared, and in a thread, which holds no sockets.
 */
export function listener(name: string, fallback?: number | string): { fd: number } | { port: number; host?: string } | { path: string } {
	if (state?.inThread)
		throw new Error(
			`listener('${name}'): threads hold no sockets: declare ${state.path} as node(…), or let it listen on a port of its own`,
		);
	if (state !== null) {
		const held = state.listen.find((each) => each.name === name);
		if (held !== undefined) return { fd: held.fd };
		const declared = state.listen.map((each) => `'${each.name}'`).join(', ') || 'none';
		throw new Error(`listener('${name}'): expected a name in this child's 'listen' (${declared})`);
	}
	const address = fallback ?? process.env.PORT;
	if (address === undefined)
		throw new Error(
			`listener('${name}'): outside choir it needs a fallback, such as listener('${name}', 8080), or PORT in the environment`,
		);
	const text = String(address);
	const [, host, port] = /^(?:\[?([^/]+?)\]?:)?(\d+)$/.exec(text) ?? [];
	if (port === undefined) return { path: text.replace(/^unix:/, '') };
	return host === undefined ? { port: Number(port) } : { port: Number(port), host };
}

/** Says that this worker may be given work; in a spare, that it is loaded. With `ready: 'signal'` its supervisor waits for it; else it does nothing. */
export function ready(): void {
	if (state === null) return;
	if (state.standby !== null) state.standby.ready(state);
	else sayReady(state);
}

/**
 * Resolves when this worker is to do its work: at once, unless it is a spare (`standby`), which is loaded ahead of need. Who listens on what is
 * declared in `listen` need not ask: in a spare that waits by itself.
 */
export function activated(): Promise<void> {
	return state?.standby?.activated() ?? Promise.resolve();
}

/**
 * Runs `callback` when this worker is asked to go, instead of closing its servers at once; they are closed when all callbacks
 * are done. An error makes the exit code 1. After the drain limit of the spec comes SIGTERM; a thread is
 * killed then.
 */
export function onDrain(callback: () => unknown): void {
	state?.drains.push(callback);
}

/** One line on what this worker is doing, for `choir status`; at most 200 characters are kept. */
export function status(text: string): void {
	state?.channel?.say({ do: 'status', text: text.slice(0, MAX_STATUS) }, { standing: true });
}
