/** Giving the held sockets to a new angel, whose predecessor was killed: this worker and its siblings are then all who hold them. */
import net from 'node:net';
import { passSocket } from './pass.ts';
import type { WorkerState } from './state.ts';

interface Asked {
	index: number;
	name: string;
	slot: number;
}

const isAsked = (each: Partial<Asked> | null): each is Asked =>
	typeof each?.index === 'number' && typeof each.name === 'string' && typeof each.slot === 'number';

/** Passes what is asked for to the unix socket at `to`, as far as it is still here. The server goes on listening. */
export function giveBack(state: WorkerState, token: string, to: unknown, sockets: unknown): void {
	if (typeof to !== 'string' || !Array.isArray(sockets)) return;
	for (const { index, name, slot } of sockets.filter(isAsked)) {
		const own = state.listen[index];
		const socket = own === undefined ? state.cover?.socketOf(name, slot) : socketOf(state, own.fd);
		if (socket != null) passSocket(to, JSON.stringify({ worker: state.workerId, token, index }), socket);
	}
}

/** What is below the server that listens on it; nobody yet: the descriptor as it was inherited. */
function socketOf({ servers }: WorkerState, fd: number): unknown {
	const server = servers.get(fd);
	if (server === undefined) return openSocket(fd);
	return (server as unknown as { _handle: unknown })._handle;
}

/** It is never closed: to close it would close the descriptor, which the program may still want. */
export function openSocket(fd: number): unknown {
	const open = (net as unknown as { _createServerHandle(address: null, port: null, type: null, fd: number): unknown })._createServerHandle;
	const handle = open(null, null, null, fd);
	return typeof handle === 'number' ? null : handle;
}
