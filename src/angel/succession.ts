/**
 * An upgrade, as two angels see it: the old one starts the new one with all its descriptors, and they speak over a socket pair. Until the tree
 * runs under the new one, the old one can take everything back. After that it is its *front*: the parent of what it
 * started, which tells how those end, and the process that others wait for.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import net from 'node:net';
import type { Signal } from '../../machines/signals.ts';
import type { StopMode } from '../../machines/spec.ts';
import { findMarked, killGroup, killOne, startedWith } from '../hosts/proc.ts';
import type { Leftover } from '../master/host.ts';
import type { Entry } from './inventory.ts';
import { Link, type ViewWish } from './link.ts';

/** Where a new angel is: its main module, and the Node that runs it. */
export interface Installation {
	main: string;
	execPath: string;
}

/** The sockets of one address. */
export interface HandedSockets {
	key: string;
	/** Of a unix socket. */
	socketPath: string | null;
	fds: number[];
}

/** What a successor is told at its start. */
export interface Terms {
	dir: string;
	tree: string;
	/** The version of the spec in force. */
	bundle: string;
	view: ViewWish;
	sockets: HandedSockets[];
}

/** What it is given when there is no master any more. */
export interface Estate {
	living: Entry[];
	/** Of these no master has taken note. */
	ended: Leftover[];
	incarnations: Array<[path: string, incarnation: number]>;
	masterIncarnation: number;
}

export type ToSuccessor =
	| { do: 'begin'; terms: Terms }
	| { do: 'go'; estate: Estate }
	| { do: 'exited'; workerId: string; code: number | null; signal: string | null }
	| { do: 'stop'; mode: StopMode; deadline: boolean }
	| { do: 'signal'; signal: Signal };

export type ToFront = { do: 'prepared' } | { do: 'running' } | { do: 'failed'; lines: string[] };

/** What a successor finds from descriptor 3 on. */
export const LINK_FD = 3;
export const CONTROL_FD = 4;
export const LOCK_FD = 5;
const FIRST_SOCKET = 6;
/** As the third argument of an angel's main. */
export const HEIR = 'heir';

export interface SuccessorOptions extends Installation {
	spec: string;
	terms: Omit<Terms, 'sockets'>;
	controlFd: number;
	lockFd: number;
	/** With the descriptors of this process. */
	sockets: HandedSockets[];
	hear: (message: ToFront) => void;
	exited: (exitCode: number, signal: string | null) => void;
}

/** The new angel, as the old one has it. */
export class Successor {
	readonly #child: ChildProcess;
	readonly #link: Link<ToSuccessor, ToFront>;
	readonly #dir: string;
	#isGone = false;

	constructor({ main, execPath, spec, terms, controlFd, lockFd, sockets, hear, exited }: SuccessorOptions) {
		this.#dir = terms.dir;
		this.#child = spawn(execPath, [...angelFlags, main, spec, HEIR], {
			// A terminal's Ctrl-C is for the front, which hands it on.
			detached: true,
			stdio: ['ignore', 'inherit', 'inherit', 'pipe', controlFd, lockFd, ...sockets.flatMap(({ fds }) => fds)],
		});
		const gone = (exitCode: number, signal: string | null) => {
			if (this.#isGone) return;
			this.#isGone = true;
			// What it said last is still in the link.
			setImmediate(() => exited(exitCode, signal));
		};
		this.#child.once('exit', (code, signal) => gone(code ?? 1, signal));
		this.#child.once('error', (error) => {
			hear({ do: 'failed', lines: [`the new angel could not be started: ${error.message}`] });
			if (this.#child.pid === undefined) gone(1, null);
		});
		this.#link = new Link(this.#child.stdio[LINK_FD] as net.Socket, hear, () => {});
		let next = FIRST_SOCKET;
		const handed = sockets.map(({ fds, ...rest }) => ({ ...rest, fds: fds.map(() => next++) }));
		this.send({ do: 'begin', terms: { ...terms, sockets: handed } });
	}

	get pid(): number | undefined {
		return this.#child.pid;
	}

	get isGone(): boolean {
		return this.#isGone;
	}

	send(message: ToSuccessor): void {
		this.#link.send(message);
	}

	/** Kills it, and with it the master that it may have if it was given the tree. Nothing else of the tree is touched. */
	kill({ hasTree }: { hasTree: boolean }): void {
		const { pid } = this.#child;
		if (pid === undefined || this.#isGone) return;
		if (hasTree) {
			// A master that it lost it would replace.
			killOne(pid, 'SIGSTOP');
			this.killMasters();
		}
		killOne(pid, 'SIGKILL');
	}

	/** Masters carry the mark of the tree and are no workers; what the old angel had of them has ended by now. */
	killMasters(): void {
		for (const { pid } of findMarked('CHOIR_TREE', this.#dir))
			if (startedWith(pid, 'CHOIR_WORKER') === null && startedWith(pid, 'CHOIR_INCARNATION') !== null) killGroup(pid, 'SIGKILL');
	}
}

/** The old angel, as the new one has it. */
export interface Front {
	link: Link<ToFront, ToSuccessor>;
	terms: Terms;
}

/** The first word of the old angel. `hear` gets all that follow, `lost` is called when it is gone. */
export function meetFront(hear: (message: ToSuccessor) => void, lost: () => void): Promise<Front> {
	return new Promise((resolve) => {
		const link: Link<ToFront, ToSuccessor> = new Link(
			new net.Socket({ fd: LINK_FD }),
			(message) => {
				if (message.do === 'begin') resolve({ link, terms: message.terms });
				else hear(message);
			},
			lost,
		);
	});
}

/** For V8: little is young in an angel, and what it has in memory `fork` has to copy. */
export const angelFlags = ['--max-semi-space-size=1'];
