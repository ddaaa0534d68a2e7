/** The channel from a worker to its master: it keeps nothing alive, survives the master, and repeats what the next one must know. */
import net from 'node:net';

export type Word = { do: string; [param: string]: unknown };

export interface ChannelOptions {
	path: string;
	workerId: string;
	token: string;
	/** 0: none. */
	heartbeatMs: number;
	hear: (word: Word) => void;
}

const RECONNECT_FROM_MS = 50;
const RECONNECT_TO_MS = 1_000;
/** What a master says is short; beyond this it is none. */
const MAX_HELD = 64 * 1024;
/** Beats between two reports of the peak of memory. */
const BEATS_PER_PEAK = 10;

export class Channel {
	readonly #options: ChannelOptions;
	#socket: net.Socket | null = null;
	#connected = false;
	#retryMs = RECONNECT_FROM_MS;
	#held = '';
	#beats = 0;
	/** Said again to each new master. */
	#standing = new Map<string, Word>();

	constructor(options: ChannelOptions) {
		this.#options = options;
		this.#connect();
		if (options.heartbeatMs > 0) setInterval(() => this.#beat(), options.heartbeatMs).unref();
	}

	/** Says something; `standing` words are repeated to a new master. Without a master what is not standing is dropped. */
	say(word: Word, { standing = false }: { standing?: boolean } = {}): void {
		if (standing) this.#standing.set(word.do, word);
		if (this.#connected) this.#write(word);
	}

	sayPeak(): void {
		this.say({ do: 'rss', maxRssBytes: process.resourceUsage().maxRSS * 1024 });
	}

	#beat(): void {
		this.#beats += 1;
		this.say({ do: 'beat' });
		if (this.#beats % BEATS_PER_PEAK === 0) this.sayPeak();
	}

	#connect(): void {
		const socket = net.connect(this.#options.path);
		this.#socket = socket;
		socket.unref();
		socket.setEncoding('utf8');
		socket.on('connect', () => {
			this.#connected = true;
			const { workerId: worker, token } = this.#options;
			this.#write({ do: 'hello', worker, token, pid: process.pid });
			for (const word of this.#standing.values()) this.#write(word);
		});
		socket.on('data', (text: unknown) => this.#read(String(text)));
		socket.on('error', () => {});
		socket.on('close', () => {
			this.#connected = false;
			this.#held = '';
			setTimeout(() => this.#connect(), this.#retryMs).unref();
			this.#retryMs = Math.min(RECONNECT_TO_MS, this.#retryMs * 2);
		});
	}

	#write(word: Word): void {
		// A master that does not read is as good as none: what it does not take is not kept.
		if (this.#socket !== null && this.#socket.writableLength < MAX_HELD) this.#socket.write(JSON.stringify({ v: 1, ...word }) + '\n');
	}

	#read(text: string): void {
		this.#held += text;
		const lines = this.#held.split('\n');
		this.#held = lines.pop() ?? '';
		if (this.#held.length > MAX_HELD) return void this.#socket?.destroy();
		for (const line of lines) {
			let word: Word;
			try {
				word = JSON.parse(line) as Word;
			} catch {
				continue;
			}
			if (typeof word.do !== 'string') continue;
			// It speaks to us, so it knows us: the next loss begins with the shortest wait.
			this.#retryMs = RECONNECT_FROM_MS;
			this.#options.hear(word);
		}
	}
}
