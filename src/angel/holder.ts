/** Who has an address that a tree wants, as far as the operating system tells this user: on Linux, from /proc. */
import fs from 'node:fs';
import net from 'node:net';
import type { ListenSpec } from '../../machines/spec.ts';
import { allPids } from '../hosts/proc.ts';

type Address = Pick<ListenSpec, 'host' | 'port' | 'socketPath'>;

/** States and flags in the tables of the kernel's sockets, in hexadecimal. */
const TCP_LISTEN = '0A';
const UNIX_LISTENS = 0x1_0000;
const MAX_COMMAND = 80;

/** For people: `pid 12 (node server.js)`, or that it is not told. */
export function nameHolder(address: Address): string {
	const inodes = address.socketPath === null ? listenersAt(address.host, address.port as number) : listenersOn(address.socketPath);
	const pid = inodes.size === 0 ? undefined : allPids().find((each) => holds(each, inodes));
	if (pid === undefined) return 'another process, which this user may not see,';
	const command = readOrNothing(`/proc/${pid}/cmdline`).replaceAll('\0', ' ').trim() || readOrNothing(`/proc/${pid}/comm`).trim();
	return `pid ${pid} (${command.length > MAX_COMMAND ? `${command.slice(0, MAX_COMMAND)}…` : command})`;
}

/** The sockets that stand in the way of listening on a port. */
function listenersAt(host: string | null, port: number): Set<string> {
	const wanted = host !== null && net.isIPv4(host) ? hexOf(host) : null;
	const rows = ['tcp', 'tcp6'].flatMap((table) => readOrNothing(`/proc/net/${table}`).split('\n').slice(1));
	const inodes = new Set<string>();
	for (const row of rows) {
		const [, local = '', , state, , , , , , inode] = row.trim().split(/\s+/);
		const [address = '', hexPort = ''] = local.split(':');
		if (state !== TCP_LISTEN || Number.parseInt(hexPort, 16) !== port || inode === undefined) continue;
		const isAnother = wanted !== null && address.length === wanted.length && address !== wanted && !/^0+$/.test(address);
		if (!isAnother) inodes.add(inode);
	}
	return inodes;
}

/** As the kernel prints it: the bytes in the order of this machine. */
function hexOf(address: string): string {
	const bytes = Uint8Array.from(address.split('.').map(Number));
	return new Uint32Array(bytes.buffer)[0]?.toString(16).toUpperCase().padStart(8, '0') ?? '';
}

function listenersOn(socketPath: string): Set<string> {
	const inodes = new Set<string>();
	for (const row of readOrNothing('/proc/net/unix').split('\n').slice(1)) {
		const [, , , flags = '', , , inode, ...name] = row.trim().split(/\s+/);
		if ((Number.parseInt(flags, 16) & UNIX_LISTENS) !== 0 && name.join(' ') === socketPath && inode !== undefined) inodes.add(inode);
	}
	return inodes;
}

function holds(pid: number, inodes: ReadonlySet<string>): boolean {
	try {
		return fs.readdirSync(`/proc/${pid}/fd`).some((fd) => {
			const [, inode] = /^socket:\[(\d+)\]$/.exec(linkOf(`/proc/${pid}/fd/${fd}`)) ?? [];
			return inode !== undefined && inodes.has(inode);
		});
	} catch {
		// Another user's, or gone meanwhile.
		return false;
	}
}

function linkOf(file: string): string {
	try {
		return fs.readlinkSync(file);
	} catch {
		return '';
	}
}

function readOrNothing(file: string): string {
	try {
		return fs.readFileSync(file, 'utf8');
	} catch {
		return '';
	}
}
