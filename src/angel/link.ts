/** What angel and master say to each other, over a socket pair that ends with either of them: one JSON object a line. */
import type net from 'node:net';
import type { OperationBySignal, Signal } from '../../machines/signals.ts';
import type { StopMode, StopSpec } from '../../machines/spec.ts';
import { LineSplitter } from '../control/lines.ts';
import type { Leftover } from '../master/host.ts';
import type { Handed } from '../master/slots.ts';
import type { AskedBack, Slots } from './sockets.ts';

/** What is to run, all of it: the angel knows no specs. */
export interface SpawnOrder {
	workerId: string;
	path: string;
	incarnation: number;
	generation: number;
	file: string;
	args: string[];
	cwd: string;
	env: Record<string, string>;
	/** Sockets to hand down, from descriptor 3 on, in this order. */
	sockets: Handed[];
	/** For a later master that has to stop it without a spec, or waits for its first line. */
	stop: StopSpec;
	logFrom: number;
}

/** Where the processes of a tree come from: this angel, one that was killed, or one that has handed over to this one. */
export type Origin = 'new' | 'killed' | 'upgraded';

/** What changes of an order when a spare takes the place of a child. */
export type Assigned = Pick<SpawnOrder, 'workerId' | 'path' | 'incarnation' | 'generation' | 'stop' | 'logFrom'>;

/** Whether there is to be a live page where the spec does not say; `never`: not even where it does. */
export type ViewWish = 'on' | 'off' | 'never';

export type ToAngel =
	| { do: 'hello' }
	| { do: 'beat' }
	| { do: 'running' }
	/** Another version of the spec is in force: the next master is to load that. */
	| { do: 'version'; bundle: string }
	| { do: 'ended'; exitCode: number; lines: string[] }
	| { do: 'spawn'; order: SpawnOrder }
	/** To be started at once if that worker crashes: with a signal, or a code that is none of these. null: no more. */
	| { do: 'next'; after: string; order: SpawnOrder | null; except: number[] }
	/** A spare is that child from now on. */
	| ({ do: 'assign' } & Assigned)
	/** Its end is known, and written down. */
	| { do: 'heard'; workerId: string }
	| { do: 'signal'; workerId: string; signal: 'SIGTERM' | 'SIGKILL' };

export type ToMaster =
	| {
			do: 'inventory';
			leftovers: Leftover[];
			incarnations: Array<[string, number]>;
			masterIncarnation: number;
			slots: Slots;
			/** What workers hold that the angel needs, and the unix socket to which they are to pass it; null: nothing. */
			wanted: { to: string; asked: Array<[workerId: string, sockets: AskedBack]> } | null;
			view: ViewWish;
	  }
	| { do: 'spawned'; workerId: string; pid: number; startTicks: number }
	| { do: 'failed'; workerId: string; message: string }
	/** `next`: what was ordered in advance has begun. */
	| { do: 'exited'; workerId: string; code: number | null; signal: string | null; next?: Leftover }
	| { do: 'stop'; mode: StopMode }
	/** Somebody has asked by a signal. */
	| { do: 'operate'; what: OperationBySignal; signal: Signal }
	/** To end, and leave the tree as it is: another master goes on with it. */
	| { do: 'release' }
	| { do: 'reopen' };

/** An environment can be long; beyond this something is wrong. */
const MAX_LINE_BYTES = 16 * 1024 * 1024;

/** One end of the link. `hear` is called for each message, `lost` once when the other end is gone. */
export class Link<Out, In> {
	readonly #socket: net.Socket;
	/** Lines of one turn go out in one write: a burst of spawns is one system call. */
	#outgoing: string[] = [];

	constructor(socket: net.Socket, hear: (message: In) => void, lost: () => void) {
		this.#socket = socket;
		const splitter = new LineSplitter(MAX_LINE_BYTES);
		socket.on('data', (chunk: Buffer) => {
			for (const line of splitter.push(chunk)) hear(JSON.parse(line) as In);
			if (splitter.tooLong) socket.destroy(new Error(`a message between angel and master may hold at most ${MAX_LINE_BYTES} bytes`));
		});
		socket.on('error', () => {});
		socket.on('close', lost);
	}

	send(message: Out): void {
		this.#outgoing.push(JSON.stringify(message) + '\n');
		if (this.#outgoing.length === 1) process.nextTick(() => this.flush());
	}

	flush(done?: () => void): void {
		const text = this.#outgoing.join('');
		this.#outgoing = [];
		if (this.#socket.writable && (text !== '' || done !== undefined)) this.#socket.write(text, () => done?.());
		else done?.();
	}

	close(): void {
		this.#socket.destroy();
	}
}
