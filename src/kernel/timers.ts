/** Timers as data: a binary heap of what is due when, in order of time and then of setting. */

export interface Timer {
	at: number;
	/** When it was set. */
	from: number;
	/** Order of setting, so that two timers of one moment fire as they were set. */
	order: number;
	owner: string;
	name: string;
	event: { type: string };
	cancelled: boolean;
}

export class Timers {
	#heap: Timer[] = [];
	#order = 0;
	#cancelled = 0;

	add(at: number, owner: string, name: string, event: { type: string }, from: number = at): Timer {
		const timer = { at, from, order: this.#order++, owner, name, event, cancelled: false };
		this.#heap.push(timer);
		this.#rise(this.#heap.length - 1);
		return timer;
	}

	cancel(timer: Timer): void {
		if (timer.cancelled) return;
		timer.cancelled = true;
		this.#cancelled += 1;
		// A heartbeat cancels a timer and sets the next: without this the heap would fill with the dead.
		if (this.#cancelled > 64 && this.#cancelled * 2 > this.#heap.length) this.#sweep();
	}

	get size(): number {
		return this.#heap.length - this.#cancelled;
	}

	/** The next timer, or null. */
	peek(): Timer | null {
		while (this.#heap[0]?.cancelled) {
			this.#pop();
			this.#cancelled -= 1;
		}
		return this.#heap[0] ?? null;
	}

	/** Takes the next timer if it is due. */
	take(now: number): Timer | null {
		const next = this.peek();
		if (next === null || next.at > now) return null;
		this.#pop();
		return next;
	}

	#sweep(): void {
		const alive = this.#heap.filter((timer) => !timer.cancelled).sort((a, b) => a.at - b.at || a.order - b.order);
		this.#heap = alive;
		this.#cancelled = 0;
	}

	#before(a: Timer, b: Timer): boolean {
		return a.at < b.at || (a.at === b.at && a.order < b.order);
	}

	#rise(index: number): void {
		const heap = this.#heap;
		const timer = heap[index] as Timer;
		let at = index;
		while (at > 0) {
			const parent = (at - 1) >> 1;
			const above = heap[parent] as Timer;
			if (!this.#before(timer, above)) break;
			heap[at] = above;
			at = parent;
		}
		heap[at] = timer;
	}

	#pop(): void {
		const heap = this.#heap;
		const last = heap.pop() as Timer;
		if (heap.length === 0) return;
		let at = 0;
		for (;;) {
			let child = 2 * at + 1;
			if (child >= heap.length) break;
			const right = child + 1;
			if (right < heap.length && this.#before(heap[right] as Timer, heap[child] as Timer)) child = right;
			if (!this.#before(heap[child] as Timer, last)) break;
			heap[at] = heap[child] as Timer;
			at = child;
		}
		heap[at] = last;
	}
}
