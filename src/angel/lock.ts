/** One angel a tree: the lock that the kernel frees when its holder dies, and the pid file that says who holds it. */
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import net from 'node:net';
import { type AngelPid, angelPidFile, readAngelPid, removeIfPossible, socketPath } from '../home.ts';

/** How long somebody who answers on a lock's socket has to do so. */
const ASK_MS = 2_000;

/**
 * Takes the lock of a state folder: a listening socket with an abstract name on Linux, which vanishes with its holder, even
 * by SIGKILL. Elsewhere a socket in the folder: left behind by a killed holder it answers nobody, and is taken over.
 * Resolves to null if somebody holds it.
 */
export async function takeLock(dir: string): Promise<net.Server | null> {
	const path = lockPath(dir);
	const taken = await listen(path);
	if (path.startsWith('\0')) return taken;
	if (taken !== null || (await answers(path))) return taken;
	fs.rmSync(path, { force: true });
	return listen(path);
}

function listen(path: string): Promise<net.Server | null> {
	return new Promise((resolve, reject) => {
		const server = net.createServer((socket) => socket.destroy());
		server.once('error', (error: NodeJS.ErrnoException) => (error.code === 'EADDRINUSE' ? resolve(null) : reject(error)));
		server.listen(path, () => resolve(server));
		server.unref();
	});
}

/** Whether somebody holds the lock, without taking it even for a moment. */
export const isLocked = (dir: string): Promise<boolean> => answers(lockPath(dir));

function lockPath(dir: string): string {
	if (process.platform !== 'linux') return socketPath(dir, 'angel.lock');
	const digest = createHash('sha256').update(fs.realpathSync(dir)).digest('hex').slice(0, 32);
	return `\0choir-${process.getuid?.() ?? 0}-${digest}`;
}

/** The lock, as another angel that still holds it has handed it over. */
export function inheritLock(fd: number): Promise<net.Server> {
	return new Promise((resolve, reject) => {
		const server = net.createServer((socket) => socket.destroy());
		server.once('error', reject);
		server.listen({ fd }, () => resolve(server));
		server.unref();
	});
}

/** The descriptor of a lock. */
export const fdOf = (lock: net.Server) => (lock as unknown as { _handle: { fd: number } })._handle.fd;

/** Whether somebody listens on a unix socket. */
export function answers(path: string): Promise<boolean> {
	return new Promise((resolve) => {
		const socket = net.connect(path);
		const end = (answer: boolean) => {
			socket.destroy();
			resolve(answer);
		};
		socket.once('connect', () => end(true));
		// Anything but a refusal, such as a full queue, comes of somebody who is there.
		socket.once('error', ({ code }: NodeJS.ErrnoException) => end(code !== 'ECONNREFUSED' && code !== 'ENOENT'));
		socket.setTimeout(ASK_MS, () => end(true));
	});
}

/** Written aside and renamed: nobody ever reads half of it. */
export function writePidFile(dir: string, angel: AngelPid): void {
	const file = angelPidFile(dir);
	const aside = `${file}.${process.pid}`;
	fs.writeFileSync(aside, JSON.stringify(angel) + '\n', { mode: 0o600 });
	fs.renameSync(aside, file);
}

/** Only if it is ours: another angel may have come meanwhile. */
export function removePidFile(dir: string, { pid, startTicks }: Pick<AngelPid, 'pid' | 'startTicks'>): void {
	const present = readAngelPid(dir);
	if (present?.pid === pid && present.startTicks === startTicks) removeIfPossible(angelPidFile(dir));
}
