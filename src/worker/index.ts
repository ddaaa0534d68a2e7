/** What a Node worker imports: `choir/worker`. Outside choir everything here does nothing, so that a worker also runs alone. */
import { shareState, workerState } from './state.ts';

const state = workerState();
if (state !== null) {
	state.libraryLoaded = true;
	shareState(state);
}

/** Who this worker is within its tree (`web.1`), or null outside choir. */
export const worker: { path: string; id: string } | null = state === null ? null : { path: state.path, id: state.workerId };

/**
 * What to give to `server.listen()`: within choir the held socket of that name in `listen`. Outside it `fallback` (a port or a path),
 * else the environment's PORT. Throws if there is neither, or no such name is declared.
 */
export function listener(name: string, fallback?: number | string): { fd: number } | { port: number } | { path: string } {
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
	return typeof address === 'number' || /^\d+$/.test(address) ? { port: Number(address) } : { path: address };
}

/** Says that this worker may be given work. With `ready: 'signal'` its supervisor waits for it; else it does nothing. */
export function ready(): void {
	state?.channel?.say({ do: 'ready' }, { standing: true });
	state?.channel?.sayPeak();
}

/**
 * Runs `callback` when this worker is asked to go, instead of closing its servers at once; they are closed when all callbacks
 * are done. An error makes the exit code 1. After the drain limit of the spec comes SIGTERM.
 */
export function onDrain(callback: () => unknown): void {
	state?.drains.push(callback);
}

/** One line on what this worker is doing, for `choir status`; at most 200 characters are kept. */
export function status(text: string): void {
	state?.channel?.say({ do: 'status', text }, { standing: true });
}
