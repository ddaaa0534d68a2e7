/** The channel from a worker to its master: it keeps nothing alive, survives the master, and repeats what the next one must know. */
import { connect, type Socket } from 'node:net';

export type Word = { do: string; [param: string]: unknown };

export interface ChannelOptions {
	path: string;
	workerId: string;
	token: string;
	/** 0: none. */
	heartbeatMs: number;
	hear: (word: Word) => void;
}

/** The program goes first: what it takes to connect would make it serve later. */
const CONNECT_MS = 60;
/** With its first word it connects sooner, by so many turns of its loop: a client that has waited is accepted in one, and has its answer some turns later. */
const CONNECT_TURNS = 10;
const RECONNECT_FROM_MS = 50;
const RECONNECT_TO_MS = 1_000;
/** What a master says is short; beyond this it is none. */
const MAX_HELD = 64 * 1024;
/** Beats between two reports of the peak of memory. */
const BEATS_PER_PEAK = 10;
/** The hello alone has an id: its refusal must be told from that of a word which an older master does not know. */
const HELLO_ID = 'hello';

export class Channel {
	readonly #options: ChannelOptions;
	/** Until it connects for the first time. */
	#waiting: NodeJS.Timeout | null;
	#isDue = false;
	#socket: Socket | null = null;
	#connected = false;
	#connectedAt = 0;
	#retryMs = RECONNECT_FROM_MS;
	#held = '';
	/** Something standing was not taken; it is said again when there is room. */
	#behind = false;
	#beats = 0;
	/** Said again to each new master. */
	#standing = new Map<string, Word>();

	constructor(options: ChannelOptions) {
		this.#options = options;
		this.#waiting = setTimeout(() => this.#begin(), CONNECT_MS).unref();
	}

	/** Says something; `standing` words are repeated to a new master. Without a master what is not standing is dropped. */
	say(word: Word, { standing = false }: { standing?: boolean } = {}): void {
		if (standing) this.#standing.set(word.do, word);
		if (this.#waiting !== null && !this.#isDue) {
			this.#isDue = true;
			this.#beginIn(CONNECT_TURNS);
		}
		if (!this.#connected) return;
		const taken = this.#write(word);
		this.#behind ||= standing && !taken;
	}

	sayPeak(): void {
		if (!this.#connected) return;
		this.say({ do: 'rss', maxRssBytes: process.resourceUsage().maxRSS * 1024 });
	}

	/** Its loop may not rest before that. */
	#beginIn(turns: number): void {
		setImmediate(() => (turns > 1 ? this.#beginIn(turns - 1) : this.#begin()));
	}

	#begin(): void {
		if (this.#waiting === null) return;
		clearTimeout(this.#waiting);
		this.#waiting = null;
		this.#connect();
		const { heartbeatMs } = this.#options;
		if (heartbeatMs > 0) setInterval(() => this.#beat(), heartbeatMs).unref();
	}

	#beat(): void {
		this.#beats += 1;
		this.say({ do: 'beat' });
		if (this.#beats % BEATS_PER_PEAK === 0) this.sayPeak();
	}

	#connect(): void {
		const socket = connect(this.#options.path);
		this.#socket = socket;
		socket.unref();
		socket.setEncoding('utf8');
		socket.on('connect', () => {
			this.#connected = true;
			this.#connectedAt = performance.now();
			const { workerId: worker, token } = this.#options;
			this.#write({ id: HELLO_ID, do: 'hello', worker, token, pid: process.pid });
			this.#repeat();
		});
		socket.on('drain', () => {
			if (this.#behind) this.#repeat();
		});
		socket.on('data', (text: unknown) => this.#read(String(text)));
		socket.on('error', () => {});
		socket.on('close', () => {
			// One that lasted was a master's: the next is waited for from the shortest wait on. What is closed at once is none.
			if (this.#connected && performance.now() - this.#connectedAt >= RECONNECT_TO_MS) this.#retryMs = RECONNECT_FROM_MS;
			this.#connected = false;
			this.#held = '';
			setTimeout(() => this.#connect(), this.#retryMs).unref();
			this.#retryMs = Math.min(RECONNECT_TO_MS, this.#retryMs * 2);
		});
	}

	#repeat(): void {
		this.#behind = false;
		for (const word of this.#standing.values()) this.#write(word);
	}

	/** False if it was not taken: a master that does not read is as good as none, and nothing is kept for it. */
	#write(word: Word): boolean {
		if (this.#socket === null || this.#socket.writableLength >= MAX_HELD) return false;
		this.#socket.write(JSON.stringify({ v: 1, ...word }) + '\n');
		return true;
	}

	#read(text: string): void {
		this.#held += text;
		const lines = this.#held.split('\n');
		this.#held = lines.pop() ?? '';
		if (this.#held.length > MAX_HELD) return void this.#socket?.destroy();
		for (const line of lines) {
			const said = saidIn(line);
			// A master that has just begun may not expect this worker yet, and a connection says hello once: so make another.
			if (said?.id === HELLO_ID && said.ok === false) return void this.#socket?.destroy();
			if (typeof said?.do === 'string') this.#options.hear(said as Word);
		}
	}
}

/** What a line says: a word, an answer, or null for what is no line of the protocol. */
function saidIn(line: string): { do?: unknown; id?: unknown; ok?: unknown } | null {
	try {
		return JSON.parse(line);
	} catch {
		return null;
	}
}
