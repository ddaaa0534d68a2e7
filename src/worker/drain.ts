/** How a Node program drains: it stops accepting, finishes what is under way, lets idle connections go, and ends when its loop is empty. */
import type http from 'node:http';
import type http2 from 'node:http2';
import { Server, type Socket } from 'node:net';
import { ownListeners } from './armed.ts';
import { workerState } from './state.ts';

/** A client may just be sending on an idle connection: closed at once it would see a reset. Of a shorter drain limit, the half. */
const IDLE_GRACE_MS = 1_000;
const LOOK_MS = 100;

/** A connection of HTTP/1 with the response that is under way on it (a name that Node has kept since its first versions), or a session of HTTP/2. */
type Connection = (Socket & { _httpMessage?: http.ServerResponse | null }) | http2.ServerHttp2Session;

/** Servers that have listened, with their connections. */
const servers = new Map<Server, Set<Connection>>();
let draining = false;

export function track(server: Server): void {
	if (servers.has(server)) return;
	const connections = new Set<Connection>();
	const keep = (connection: Connection) => {
		connections.add(connection);
		connection.once('close', () => connections.delete(connection));
	};
	for (const made of ['connection', 'secureConnection', 'session']) server.on(made, keep);
	servers.set(server, connections);
	server.once('close', () => {
		for (const made of ['connection', 'secureConnection', 'session']) server.off(made, keep);
		servers.delete(server);
	});
}

export const isDraining = () => draining;

/** Drains once; what was registered decides how. `told`: the program's own listeners of SIGTERM have been called already. */
export async function drain({ told }: { told: boolean }): Promise<void> {
	if (draining) return;
	draining = true;
	const state = workerState();
	state?.standby?.leave();
	state?.channel?.say({ do: 'drain.acknowledged' });
	state?.channel?.sayPeak();
	const callbacks = state?.drains ?? [];
	const own = ownListeners('SIGTERM');
	if (callbacks.length > 0) {
		const results = await Promise.allSettled(callbacks.map(async (callback) => callback()));
		for (const result of results) {
			if (result.status === 'fulfilled') continue;
			console.error('onDrain failed:', result.reason);
			process.exitCode = 1;
		}
	} else if (own.length > 0 || told) {
		// The program knows itself what SIGTERM asks of it.
		if (!told) for (const listener of own) listener.call(process, 'SIGTERM');
		return;
	} else if (![...servers.keys()].some(({ listening }) => listening)) {
		process.exit();
	}
	closeServers();
}

/** Whether it speaks HTTP/1, with or without TLS. By what it can: to load `node:http` costs a program that needs none. */
function isWeb(server: Server): server is http.Server {
	return typeof (server as Partial<http.Server>).closeIdleConnections === 'function';
}

function closeServers(): void {
	for (const [server, connections] of servers) {
		if (isWeb(server)) {
			// Its own close() would end idle connections at once, under the hands of their clients.
			Server.prototype.close.call(server);
			server.prependListener('request', (_request: unknown, response: http.ServerResponse) => {
				response.shouldKeepAlive = false;
			});
			for (const connection of connections) {
				const response = '_httpMessage' in connection ? connection._httpMessage : null;
				if (response && !response.headersSent) response.shouldKeepAlive = false;
			}
		} else if (server.listening) {
			server.close();
		}
		closeSessions(connections);
	}
	setTimeout(closeIdle, Math.min(IDLE_GRACE_MS, (workerState()?.drainMs ?? 2 * IDLE_GRACE_MS) / 2)).unref();
}

/** A session of HTTP/2 tells its client to make another, and ends with its last stream. */
function closeSessions(connections: Set<Connection>): void {
	for (const connection of connections) if ('goaway' in connection) connection.close();
}

function closeIdle(): void {
	for (const [server, connections] of servers) {
		closeSessions(connections);
		if (!isWeb(server)) continue;
		server.closeIdleConnections();
		// Connected ahead of need, as browsers do: to Node such a one is not idle but late with its first request.
		for (const connection of connections) if ('bytesRead' in connection && connection.bytesRead === 0) connection.destroy();
	}
	if (servers.size > 0) setTimeout(closeIdle, LOOK_MS).unref();
}
