/**
 * How XState actors come to life within this process, and go; and how events find them, also while one incarnation has ended
 * and the next has not begun.
 */
import type { Host, Run } from '../master/host.ts';
import { asNobody } from './containment.ts';
import { Incarnation, type Legacy, type Surroundings } from './incarnation.ts';

interface Letter {
	path: string;
	event: { type: string };
	/** How many may wait for an incarnation to come. */
	kept: number;
}

/** Deliveries until the rest of the process has its turn. */
const BURST = 1_000;
/** Between two news of events that nobody heard. */
const NEWS_MS = 1_000;

export class ActorHost implements Host {
	readonly #around: Surroundings;
	readonly #living = new Map<string, Incarnation>();
	readonly #legacies = new Map<string, Legacy>();
	readonly #waiting = new Map<string, Letter[]>();
	/** Read from `#next` on. An actor that sends while it hears does not hear its own echo on the same stack. */
	#letters: Letter[] = [];
	#next = 0;
	#delivering = false;
	#unheard = 0;
	#lastUnheard = '';
	#newsTimer: NodeJS.Timeout | null = null;
	#closed = false;

	constructor(around: Surroundings) {
		this.#around = around;
	}

	launch(run: Run): void {
		const { path } = run;
		const incarnation = new Incarnation(run, this.#around, this.#legacies.get(path) ?? null);
		this.#legacies.delete(path);
		this.#living.set(path, incarnation);
		incarnation.start();
		const waiting = this.#waiting.get(path);
		if (waiting === undefined || !incarnation.hears) return;
		this.#waiting.delete(path);
		// Before what has been sent since.
		this.#letters = waiting.concat(this.#letters.slice(this.#next));
		this.#next = 0;
		if (!this.#delivering) this.#deliver();
	}

	/** It is ready as soon as it has started. */
	watchReadiness(): void {}

	watchLiveness(): void {}

	askToDrain({ path, workerId }: Run): void {
		this.#of(path, workerId)?.drain();
	}

	terminate({ path, workerId }: Run): void {
		this.#of(path, workerId)?.stop();
	}

	kill({ path, workerId }: Run): void {
		this.#of(path, workerId)?.stop();
	}

	forget({ path, workerId, spec }: Run): void {
		const incarnation = this.#of(path, workerId);
		if (incarnation === undefined) return;
		this.#living.delete(path);
		const { legacy } = incarnation;
		if (legacy !== null && spec?.restart.type !== 'temporary') this.#legacies.set(path, legacy);
	}

	/** A path that is gone for good: nothing is kept for it. */
	discard(path: string): void {
		this.#legacies.delete(path);
		const waiting = this.#waiting.get(path);
		this.#waiting.delete(path);
		for (const letter of waiting ?? []) this.#drop(letter);
	}

	/**
	 * Sends an event to whichever incarnation of a path there is. While there is none it waits, if fewer than `kept` do, or
	 * is dropped. Never throws on behalf of the receiver.
	 */
	send(path: string, event: { type: string }, kept: number): void {
		if (typeof (event as { type?: unknown } | null)?.type !== 'string')
			throw new TypeError(`an event for ${path} must be an object with a type, got ${event === null ? 'null' : typeof event}`);
		this.#letters.push({ path, event, kept });
		if (!this.#delivering) this.#deliver();
	}

	/** No more news, and nobody waits any longer. */
	close(): void {
		this.#closed = true;
		this.#waiting.clear();
		this.#legacies.clear();
		if (this.#newsTimer !== null) clearTimeout(this.#newsTimer);
	}

	#of(path: string, workerId: string): Incarnation | undefined {
		const incarnation = this.#living.get(path);
		return incarnation?.run.workerId === workerId ? incarnation : undefined;
	}

	#deliver(): void {
		this.#delivering = true;
		for (let count = 0; this.#next < this.#letters.length; count++) {
			if (count === BURST) return void asNobody(setImmediate, () => this.#deliver());
			const letter = this.#letters[this.#next++] as Letter;
			if (this.#next === this.#letters.length) {
				this.#letters = [];
				this.#next = 0;
			}
			const incarnation = this.#living.get(letter.path);
			if (incarnation?.hears) incarnation.hear(letter.event);
			else this.#keep(letter);
		}
		this.#delivering = false;
	}

	#keep(letter: Letter): void {
		const { path, kept } = letter;
		if (this.#closed || kept === 0) return this.#drop(letter);
		const waiting = this.#waiting.get(path);
		if (waiting === undefined) this.#waiting.set(path, [letter]);
		else if (waiting.length < kept) waiting.push(letter);
		else this.#drop(letter);
	}

	/** Told at once, and then at most once a second for all of them. */
	#drop({ path, event }: Letter): void {
		if (this.#closed) return;
		this.#unheard += 1;
		this.#lastUnheard = `'${event.type.slice(0, 100)}' for ${path}`;
		if (this.#newsTimer === null) this.#report();
	}

	#report(): void {
		const count = this.#unheard;
		this.#newsTimer = null;
		if (count === 0) return;
		this.#unheard = 0;
		this.#newsTimer = asNobody(setTimeout, () => this.#report(), NEWS_MS).unref();
		const more = count === 1 ? '' : `, the last of ${count}`;
		const message = `an event was dropped since nobody runs to hear it: ${this.#lastUnheard}${more}`;
		if (this.#around.news !== null)
			asNobody(this.#around.news, { level: 'warn', path: '', event: 'event.dropped', message, detail: { count } });
	}
}
