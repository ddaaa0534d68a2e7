/** What the preload (in a thread: its first module) and the library `choir/worker` share. One object a process or thread, whichever of them is loaded first or twice. */
import type net from 'node:net';
import type { Accepting } from './accepting.ts';
import type { Channel } from './channel.ts';
import type { Cover } from './cover.ts';
import type { Standby } from './standby.ts';

export interface Listening {
	name: string;
	host: string | null;
	port: number | null;
	socketPath: string | null;
	fd: number;
	/** Which of the sockets at its address, if that was said after its start. */
	slot?: number;
}

export interface WorkerState {
	path: string;
	workerId: string;
	listen: Listening[];
	/** Those that listen on a held socket. */
	servers: Map<Listening, net.Server>;
	/** null: there are no slots. */
	cover: Cover | null;
	/** Whether connections to the held sockets are accepted now; null: always. */
	accepting: Accepting | null;
	/** null: it is a child. */
	standby: Standby | null;
	channel: Pick<Channel, 'say' | 'sayPeak'> | null;
	/** Readiness is the worker's to say; without its word, its listening says so. */
	readyBySignal: boolean;
	/** The program imports `choir/worker`: it says itself when it is ready. */
	libraryLoaded: boolean;
	/** It is a thread of the master: it has no sockets of the angel's. */
	inThread: boolean;
	/** How long a drain may take; null: that is not known here. */
	drainMs: number | null;
	drains: Array<() => unknown>;
}

const key = Symbol.for('choir.worker');

/** The shared state; null outside choir. */
export function workerState(): WorkerState | null {
	return (globalThis as { [key]?: WorkerState })[key] ?? null;
}

export function shareState(state: WorkerState): void {
	(globalThis as { [key]?: WorkerState })[key] = state;
}

/** Says that this worker may be given work, to this master and to those that come after it. */
export function sayReady({ channel }: WorkerState): void {
	channel?.say({ do: 'ready' }, { standing: true });
	channel?.sayPeak();
}
