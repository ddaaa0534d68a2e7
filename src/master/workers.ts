/** The control connections of the workers: who has said hello, who beats, who can be asked to drain. */
import type { WorkerEvent } from '../../machines/worker.ts';
import type { AskedBack } from '../angel/sockets.ts';
import type { Request } from '../control/protocol.ts';
import type { Connection } from '../control/server.ts';

interface Expected {
	token: string;
	connection: Connection | null;
	/** The most that it has said of its own peak. */
	maxRssBytes: number | null;
	/** Which of its words counts for readiness: that it is loaded, if it is a spare. */
	ready: Readiness;
	/** What it is to become, until it is ready as that. */
	assignment: Assignment | null;
	/** Whether it has the token; null: there is none, or nothing has been said. */
	turn: boolean | null;
	/** It was told to accept, in case it waits for that. */
	accepts: boolean;
	/** The sockets that the angel wants back from it, and where to; null: none. */
	wanted: { to: string; sockets: AskedBack } | null;
	/** The slots that it covers; null: none has been said. */
	cover: readonly number[] | null;
}

export type Readiness = 'ready' | 'loaded' | null;

/** What a spare has to know to go to work. */
export interface Assignment {
	path: string;
	/** The file that its output goes to from now on. */
	output: string;
	/** Which of the sockets of an address is its own, by the name of the address. */
	slots: Record<string, number>;
}

/** Words that workers say, as opposed to requests of users. */
const words = new Set(['hello', 'beat', 'ready', 'drain.acknowledged', 'status', 'rss', 'token.taken', 'signal.ignored']);

export class Workers {
	readonly #tell: (workerId: string, fact: WorkerEvent) => void;
	readonly #note: (workerId: string, text: string) => void;
	readonly #expected = new Map<string, Expected>();
	readonly #statuses = new Map<string, string>();
	/** Told of a worker that has taken the token. */
	taken: (workerId: string) => void = () => {};

	constructor(tell: (workerId: string, fact: WorkerEvent) => void, note: (workerId: string, text: string) => void) {
		this.#tell = tell;
		this.#note = note;
	}

	/** A worker that is about to be spawned, and the word by which it will be known. */
	expect(workerId: string, token: string, ready: Readiness): void {
		this.#expected.set(workerId, {
			...{ token, ready, connection: null, maxRssBytes: null },
			...{ assignment: null, turn: null, accepts: false, wanted: null, cover: null },
		});
	}

	/** A spare is to go to work; it is told as often as it takes. */
	assign(workerId: string, assignment: Assignment, ready: Readiness): void {
		const expected = this.#expected.get(workerId);
		if (expected === undefined) return;
		expected.ready = ready;
		expected.assignment = assignment;
		expected.connection?.send({ do: 'activate', ...assignment });
	}

	/** As soon as it says hello, it is asked for sockets that it holds alone. */
	wantSockets(workerId: string, to: string, sockets: AskedBack): void {
		const expected = this.#expected.get(workerId);
		if (expected !== undefined) expected.wanted = { to, sockets };
	}

	forget(workerId: string): void {
		this.#expected.get(workerId)?.connection?.destroy();
		this.#expected.delete(workerId);
		this.#statuses.delete(workerId);
	}

	maxRssBytes(workerId: string): number | null {
		return this.#expected.get(workerId)?.maxRssBytes ?? null;
	}

	/** What the worker last said of itself. */
	statusText(workerId: string): string | null {
		return this.#statuses.get(workerId) ?? null;
	}

	/** False if nobody is there to be asked. */
	askToDrain(workerId: string): boolean {
		const connection = this.#expected.get(workerId)?.connection ?? null;
		connection?.send({ do: 'drain' });
		return connection !== null;
	}

	/** From now on its connections are its own: nobody waits for it any more. */
	accept(workerId: string): void {
		const expected = this.#expected.get(workerId);
		if (expected === undefined) return;
		expected.accepts = true;
		expected.connection?.send({ do: 'accept' });
	}

	/** Whether it is its turn to accept. It is said again however often: what it says to that counts. */
	token(workerId: string, has: boolean): void {
		const expected = this.#expected.get(workerId);
		if (expected === undefined) return;
		expected.turn = has;
		expected.connection?.send({ do: 'token', has });
	}

	/** The slots of siblings that it is to accept on from now on. */
	cover(workerId: string, slots: readonly number[]): void {
		const expected = this.#expected.get(workerId);
		if (expected === undefined || (expected.cover !== null && String(expected.cover) === String(slots))) return;
		expected.cover = slots;
		expected.connection?.send({ do: 'cover', slots });
	}

	/** Whether a request is a worker's word: `status` is one only from a worker. */
	understands(request: Request, connection: Connection): boolean {
		return words.has(request.do) && (request.do !== 'status' || connection.context.has('workerId'));
	}

	/** A worker's word. What an unknown speaker says is refused. */
	hear(request: Request, connection: Connection): unknown {
		if (request.do === 'hello') return this.#greet(request, connection);
		const workerId = connection.context.get('workerId') as string | undefined;
		const expected = workerId === undefined ? undefined : this.#expected.get(workerId);
		if (workerId === undefined || expected === undefined) throw new Error(`'${request.do}' is for workers: say hello first`);
		switch (request.do) {
			case 'beat':
				return this.#tell(workerId, { type: 'heartbeat' });
			case 'ready':
				if (request.standby !== true) expected.assignment = null;
				if (expected.ready === (request.standby === true ? 'loaded' : 'ready')) this.#tell(workerId, { type: 'process.ready' });
				return;
			case 'drain.acknowledged':
				return this.#tell(workerId, { type: 'drain.acknowledged' });
			case 'status':
				if (typeof request.text === 'string') this.#statuses.set(workerId, request.text.slice(0, 200));
				return;
			case 'rss':
				if (typeof request.maxRssBytes === 'number') expected.maxRssBytes = Math.max(expected.maxRssBytes ?? 0, request.maxRssBytes);
				return;
			case 'token.taken':
				return this.taken(workerId);
			case 'signal.ignored':
				return this.#note(workerId, `${String(request.signal).slice(0, 20)} means nothing to a worker and is ignored`);
		}
	}

	#greet({ worker, token }: Request, connection: Connection): void {
		const expected = typeof worker === 'string' ? this.#expected.get(worker) : undefined;
		if (expected === undefined || expected.token !== token) throw new Error('no such worker is expected');
		expected.connection?.destroy();
		expected.connection = connection;
		connection.context.set('workerId', worker);
		if (expected.assignment !== null) connection.send({ do: 'activate', ...expected.assignment });
		if (expected.turn !== null) connection.send({ do: 'token', has: expected.turn });
		if (expected.accepts) connection.send({ do: 'accept' });
		if (expected.wanted !== null) connection.send({ do: 'sockets.wanted', ...expected.wanted });
		if (expected.cover !== null) connection.send({ do: 'cover', slots: expected.cover });
		connection.onClose(() => {
			if (expected.connection === connection) expected.connection = null;
		});
	}
}
