/** Giving the held sockets to a new angel, whose predecessor was killed: this worker and its siblings are then all who hold them. */
import { _createServerHandle } from 'node:net';
import { passSocket } from './pass.ts';
import type { Listening, WorkerState } from './state.ts';

declare module 'node:net' {
	/** As Node itself makes what is below a server; a number is an error. */
	function _createServerHandle(address: null, port: null, type: null, fd: number): object | number;
}

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
		// The sockets that a program was started with are its own from the first on; of one that was a spare, the name and the slot say which.
		const wasSpare = state.listen.some((each) => each.slot !== undefined);
		const own = wasSpare ? state.listen.find((each) => each.name === name && each.slot === slot) : state.listen[index];
		const socket = own === undefined ? state.cover?.socketOf(name, slot) : socketOf(state, own);
		if (socket != null) passSocket(to, JSON.stringify({ worker: state.workerId, token, index }), socket);
	}
}

/** What is below the server that listens on it; nobody yet: the descriptor as it was inherited. */
function socketOf({ servers }: WorkerState, listening: Listening): unknown {
	const server = servers.get(listening);
	if (server === undefined) return openSocket(listening.fd);
	return (server as unknown as { _handle: unknown })._handle;
}

/** It is never closed: to close it would close the descriptor, which the program may still want. */
export function openSocket(fd: number): unknown {
	const handle = _createServerHandle(null, null, null, fd);
	return typeof handle === 'number' ? null : handle;
}
