/** What happens, for whoever reads along: each reader has a queue of its own, and one that does not keep up is told what it missed. */

/** So many were left out here, because the reader did not take them in time. */
export interface Gap {
	type: 'gap';
	missed: number;
}

export class Feed<Item> {
	readonly #readers = new Set<Reader<Item>>();
	readonly #capacity: number;
	#ended = false;

	constructor(capacity: number) {
		this.#capacity = capacity;
	}

	/** Whether anybody reads. */
	get isRead(): boolean {
		return this.#readers.size > 0;
	}

	put(item: Item): void {
		for (const reader of this.#readers) reader.put(item);
	}

	end(): void {
		this.#ended = true;
		for (const reader of this.#readers) reader.end();
		this.#readers.clear();
	}

	/** From now on. It ends with the feed, or when its reader breaks off. */
	read(): AsyncIterableIterator<Item | Gap> {
		const reader = new Reader<Item>(this.#capacity, () => this.#readers.delete(reader));
		if (this.#ended) reader.end();
		else this.#readers.add(reader);
		return reader;
	}
}

type Result<Item> = IteratorResult<Item | Gap, undefined>;

class Reader<Item> implements AsyncIterableIterator<Item | Gap> {
	readonly #capacity: number;
	readonly #left: () => void;
	#items: Item[] = [];
	#missed = 0;
	#ended = false;
	#asking: Array<(result: Result<Item>) => void> = [];

	constructor(capacity: number, left: () => void) {
		this.#capacity = capacity;
		this.#left = left;
	}

	[Symbol.asyncIterator](): this {
		return this;
	}

	put(item: Item): void {
		const asking = this.#asking.shift();
		if (asking !== undefined) asking({ done: false, value: item });
		// The newest is left out: what is there already stays as it happened.
		else if (this.#items.length < this.#capacity && this.#missed === 0) this.#items.push(item);
		else this.#missed += 1;
	}

	end(): void {
		this.#ended = true;
		for (const asking of this.#asking.splice(0)) asking({ done: true, value: undefined });
	}

	next(): Promise<Result<Item>> {
		const item = this.#items.shift();
		if (item !== undefined) return Promise.resolve({ done: false, value: item });
		if (this.#missed > 0) {
			const gap: Gap = { type: 'gap', missed: this.#missed };
			this.#missed = 0;
			return Promise.resolve({ done: false, value: gap });
		}
		if (this.#ended) return Promise.resolve({ done: true, value: undefined });
		return new Promise((resolve) => this.#asking.push(resolve));
	}

	return(): Promise<Result<Item>> {
		this.#left();
		this.#items = [];
		this.#missed = 0;
		this.end();
		return Promise.resolve({ done: true, value: undefined });
	}
}
