/** What becomes of `listen()` in a worker: a declared address means the socket that the angel holds, and every server is known for the drain. */
import { Server } from 'node:net';
import { track } from './drain.ts';
import { type Listening, sayReady, type WorkerState } from './state.ts';

/** A program that listens on a declared port gets the socket that the angel holds. */
export function patchListen(state: WorkerState): void {
	const listen = Server.prototype.listen as (...args: unknown[]) => Server;
	// A server closes its descriptor with itself, and the number may then be another file's.
	const given = state.servers;
	Server.prototype.listen = function (this: Server, ...args: unknown[]): Server {
		track(this);
		const byFd = state.listen.find(({ fd }) => (args[0] as { fd?: unknown } | null | undefined)?.fd === fd);
		if (byFd !== undefined && given.has(byFd))
			throw new Error(`the held socket '${byFd.name}' can be listened on once in a process, and it has been`);
		// A second time by its port, this finds the port taken, as it would be outside choir.
		const byAddress = byFd === undefined ? heldFor(state.listen, args) : null;
		const held = byFd ?? (byAddress !== null && !given.has(byAddress) ? byAddress : null);
		if (held !== null) given.set(held, this);
		this.once('listening', () => {
			const counts = state.listen.length === 0 || held !== null;
			if (held !== null) {
				state.cover?.begin(held.name, this);
				// Before the loop looks at it for the first time.
				state.accepting?.begin(this);
			}
			if (counts && state.readyBySignal && !state.libraryLoaded && state.standby === null) sayReady(state);
		});
		if (held !== null && state.standby !== null) {
			state.standby.hold(state, this, () => listen.apply(this, argumentsFor(held, args)));
			return this;
		}
		return listen.apply(this, held !== null && byFd === undefined ? argumentsFor(held, args) : args);
	} as typeof Server.prototype.listen;
	if (state.cover === null && state.standby === null && state.accepting === null) return;
	const { close } = Server.prototype;
	Server.prototype.close = function (this: Server, ...args: Parameters<typeof close>) {
		state.cover?.end(this);
		state.accepting?.end(this);
		return close.apply(this, args);
	};
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
