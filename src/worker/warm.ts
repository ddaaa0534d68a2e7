/**
 * The first request that a Node process serves takes it many times as long as the second: most of what Node itself needs for it is compiled
 * then. A spare has time for that: it serves itself one, by a server of its own, which its program does not notice. (Who listens
 * to Node's own channels sees it: it asks for `/choir-standby`.)
 */
import type http from 'node:http';
import { type AddressInfo, connect, createServer, type Server } from 'node:net';

/** It would be as well without. */
const WARM_MS = 2_000;
const REQUEST = 'GET /choir-standby HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n';

/** `server`: what the program would listen with. Settles when it is done, or cannot be. */
export async function warmUp(server: Server): Promise<void> {
	const isWeb = typeof (server as Partial<http.Server>).closeIdleConnections === 'function' && !('setSecureContext' in server);
	const own = isWeb
		? (await import('node:http')).createServer((_, response) => response.end('ok'))
		: createServer((socket) => socket.end());
	await new Promise<void>((resolve) => {
		const done = () => {
			clearTimeout(late);
			own.close();
			resolve();
		};
		const late = setTimeout(done, WARM_MS);
		own.once('error', done);
		own.listen(0, '127.0.0.1', () => {
			const { port } = own.address() as AddressInfo;
			const client = connect(port, '127.0.0.1', () => client.write(REQUEST));
			client.resume();
			client.once('error', done);
			client.once('close', done);
		});
	});
}
