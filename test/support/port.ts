/** Ports for what a test listens on, by itself or by what it starts. */
import fs from 'node:fs';
import net from 'node:net';

const FIRST_PORT = 10_000;
/** From here on the system gives ports to whoever asks for any, connections among them. */
const firstGiven = (): number => {
	try {
		return Number(fs.readFileSync('/proc/sys/net/ipv4/ip_local_port_range', 'utf8').split(/\s/)[0]);
	} catch {
		return 32_768;
	}
};
const handedOut = new Set<number>();

/** A TCP port that is free on all addresses, and that nobody gets by chance before it is bound. */
export async function freePort(): Promise<number> {
	const given = firstGiven();
	// Where it gives nearly all of them, chance has to do.
	const count = (given > FIRST_PORT + 1_000 ? given : 65_536) - FIRST_PORT;
	for (let tries = 0; tries < 100; tries++) {
		const port = FIRST_PORT + Math.floor(Math.random() * count);
		if (handedOut.has(port) || !(await isFree(port))) continue;
		handedOut.add(port);
		return port;
	}
	throw new Error(`no free port from ${FIRST_PORT} to ${FIRST_PORT + count - 1}`);
}

function isFree(port: number): Promise<boolean> {
	return new Promise((resolve) => {
		const server = net.createServer();
		server.once('error', () => resolve(false));
		server.listen(port, () => server.close(() => resolve(true)));
	});
}
