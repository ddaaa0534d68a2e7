/** One page that looks: what it has selected, what it has on screen, and what it may ask for. */
import { isObject } from '../../machines/plain.ts';
import { Output } from './output.ts';
import type { Pipe } from './pipe.ts';
import type { FromPage, Operation, ToPage } from './wire.ts';

const MAX_VISIBLE = 200;
const MAX_PATH = 1_000;
/** What a page may say within a second; a person says less. */
const MAX_WORDS = 100;
/** Operations that have not ended yet. */
const MAX_OPERATIONS = 16;
const operations = new Set<unknown>(['restart', 'stop', 'start', 'reload', 'scale'] satisfies Operation[]);

export interface ViewerOptions {
	dir: string;
	pipe: Pipe;
	/** Whether there is such a child, and it prints. */
	prints: (path: string) => boolean;
	selected: (path: string) => void;
	/** Other rows are on the screen. */
	looks: () => void;
	moment: (seq: number) => void;
	operate: (asked: Extract<FromPage, { do: 'operate' }>) => Promise<{ ok: boolean; message: string }>;
}

export class Viewer {
	visible: readonly string[] = [];
	selected: string | null = null;
	readonly pipe: Pipe;
	readonly #options: ViewerOptions;
	#output: Output | null = null;
	#operations = 0;
	#words = 0;
	#secondFrom = 0;

	constructor(options: ViewerOptions) {
		this.#options = options;
		this.pipe = options.pipe;
	}

	say(message: ToPage, whole = false): void {
		this.pipe.send(Buffer.from(JSON.stringify(message)), whole);
	}

	close(): void {
		this.#output?.close();
		this.#output = null;
	}

	/** What a page says. One that does not speak the protocol is no page of ours. */
	hear(text: string): void {
		if (performance.now() - this.#secondFrom > 1_000) {
			this.#secondFrom = performance.now();
			this.#words = 0;
		}
		this.#words += 1;
		const word = this.#words > MAX_WORDS ? null : parse(text);
		if (word === null) return this.pipe.close(1008);
		switch (word.do) {
			case 'select':
				return this.#select(word.path);
			case 'visible':
				this.visible = word.paths;
				return this.#options.looks();
			case 'moment':
				return this.#options.moment(word.seq);
			case 'operate':
				return this.#operate(word);
		}
	}

	#select(path: string | null): void {
		this.close();
		this.selected = path;
		if (path === null) return;
		this.#options.selected(path);
		if (!this.#options.prints(path)) return;
		this.#output = new Output({
			dir: this.#options.dir,
			path,
			busy: () => this.pipe.clogged,
			lines: (lines, skippedBytes) => this.say({ say: 'output', path, lines, skippedBytes }),
		});
	}

	#operate(asked: Extract<FromPage, { do: 'operate' }>): void {
		const { id } = asked;
		if (this.#operations >= MAX_OPERATIONS)
			return this.say({ say: 'done', id, ok: false, message: `${MAX_OPERATIONS} operations of this page are under way: wait for one` });
		this.#operations += 1;
		this.#options
			.operate(asked)
			.catch((error: Error) => ({ ok: false, message: error.message }))
			.then((outcome) => {
				this.#operations -= 1;
				this.say({ say: 'done', id, ...outcome });
			});
	}
}

/** Null: it is none of the words of a page. */
function parse(text: string): FromPage | null {
	let word: unknown;
	try {
		word = JSON.parse(text);
	} catch {
		return null;
	}
	if (!isObject(word)) return null;
	const { do: what, path, paths, seq, id, what: operation, count } = word;
	switch (what) {
		case 'select':
			return path === null || isPath(path) ? { do: 'select', path } : null;
		case 'visible':
			return Array.isArray(paths) && paths.length <= MAX_VISIBLE && paths.every(isPath) ? { do: 'visible', paths } : null;
		case 'moment':
			return Number.isSafeInteger(seq) ? { do: 'moment', seq: seq as number } : null;
		case 'operate': {
			if (!Number.isSafeInteger(id) || !isPath(path) || !operations.has(operation)) return null;
			if (count !== undefined && !Number.isSafeInteger(count)) return null;
			return {
				do: 'operate',
				id: id as number,
				what: operation as Operation,
				path,
				...(count === undefined ? {} : { count: count as number }),
			};
		}
		default:
			return null;
	}
}

const isPath = (path: unknown): path is string => typeof path === 'string' && path.length <= MAX_PATH;
