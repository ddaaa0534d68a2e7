/** One line on a terminal's standard error that says what is being waited for; elsewhere nothing. */

const EVERY_MS = 200;
const CLEAR = '\r\x1b[K';

export class Progress {
	#text: string;
	readonly #startedAt = performance.now();
	readonly #ticking: NodeJS.Timeout | null;

	constructor(text: string) {
		this.#text = text;
		this.#ticking = process.stderr.isTTY ? setInterval(() => this.#draw(), EVERY_MS) : null;
	}

	say(text: string): void {
		this.#text = text;
	}

	close(): void {
		if (this.#ticking === null) return;
		clearInterval(this.#ticking);
		process.stderr.write(CLEAR);
	}

	#draw(): void {
		process.stderr.write(`${CLEAR}${this.#text} … ${Math.round((performance.now() - this.#startedAt) / 1_000)} s`);
	}
}
