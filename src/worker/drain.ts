/** How a Node program drains: it stops accepting, finishes what is under way, lets idle connections go, and ends when its loop is empty. */
import http from 'node:http';
import net from 'node:net';
import { workerState } from './state.ts';

/** A client may just be sending on an idle connection: closed at once it would see a reset. */
const IDLE_GRACE_MS = 1_000;
const LOOK_MS = 100;

/** Servers that have listened. */
const servers = new Set<net.Server>();
let draining = false;

export function track(server: net.Server): void {
	servers.add(server);
	server.once('close', () => servers.delete(server));
}

export const isDraining = () => draining;

/** Drains once; what was registered decides how. `own`: our handler of SIGTERM, which is none of the program's. */
export async function drain(asked: 'by word' | 'by signal', own: NodeJS.SignalsListener): Promise<void> {
	if (draining) return;
	draining = true;
	const state = workerState();
	state?.channel?.say({ do: 'drain.acknowledged' });
	state?.channel?.sayPeak();
	const callbacks = state?.drains ?? [];
	const theirs = process.listeners('SIGTERM').filter((listener) => listener !== own);
	if (callbacks.length > 0) {
		const results = await Promise.allSettled(callbacks.map(async (callback) => callback()));
		for (const result of results) {
			if (result.status === 'fulfilled') continue;
			console.error('onDrain failed:', result.reason);
			process.exitCode = 1;
		}
	} else if (theirs.length > 0) {
		// The program knows itself what SIGTERM asks of it. By signal it has been told already.
		if (asked === 'by word') for (const listener of theirs) listener('SIGTERM');
		return;
	} else if (![...servers].some(({ listening }) => listening)) {
		process.exit();
	}
	closeServers();
}

function closeServers(): void {
	for (const server of servers) {
		if (server instanceof http.Server) {
			// Its own close() would end idle connections at once, under the hands of their clients.
			net.Server.prototype.close.call(server);
			server.prependListener('request', (_request: unknown, response: http.ServerResponse) => {
				response.shouldKeepAlive = false;
			});
		} else if (server.listening) {
			server.close();
		}
	}
	setTimeout(closeIdle, IDLE_GRACE_MS).unref();
}

function closeIdle(): void {
	for (const server of servers) (server as Partial<http.Server>).closeIdleConnections?.();
	if (servers.size > 0) setTimeout(closeIdle, LOOK_MS).unref();
}
