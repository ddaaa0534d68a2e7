/** Splits a stream of bytes into lines, with a bound on the length of one. */

/** A request is short; what is longer is a mistake or an attack. */
export const MAX_LINE_BYTES = 64 * 1024;

const NEWLINE = 10;
const FIRST_BYTES = 256;

/**
 * Takes chunks, gives complete lines without their newline. Bytes are joined before they are decoded, so a character may be split
 * between chunks. A line over the bound is reported once by `tooLong`; after that the splitter takes nothing more.
 */
export class LineSplitter {
	readonly #maxBytes: number;
	#held: Buffer = Buffer.alloc(0);
	#length = 0;
	#tooLong = false;

	constructor(maxBytes: number = MAX_LINE_BYTES) {
		this.#maxBytes = maxBytes;
	}

	get tooLong(): boolean {
		return this.#tooLong;
	}

	push(chunk: Buffer): string[] {
		const lines: string[] = [];
		let from = 0;
		while (!this.#tooLong && from < chunk.length) {
			const newline = chunk.indexOf(NEWLINE, from);
			const end = newline === -1 ? chunk.length : newline;
			if (this.#length + end - from > this.#maxBytes) {
				this.#tooLong = true;
				this.#held = Buffer.alloc(0);
				this.#length = 0;
				break;
			}
			if (newline === -1) {
				this.#hold(chunk.subarray(from));
			} else if (this.#length === 0) {
				lines.push(chunk.toString('utf8', from, newline));
			} else {
				this.#hold(chunk.subarray(from, newline));
				lines.push(this.#held.toString('utf8', 0, this.#length));
				this.#length = 0;
				// An idle connection shall not keep the room that its longest line needed.
				if (this.#held.length > FIRST_BYTES) this.#held = Buffer.alloc(0);
			}
			from = end + 1;
		}
		return lines;
	}

	/** Doubles the room, so that a line that comes byte by byte costs no more than its length. */
	#hold(bytes: Buffer): void {
		const needed = this.#length + bytes.length;
		if (needed > this.#held.length) {
			const wider = Buffer.allocUnsafe(Math.min(this.#maxBytes, Math.max(FIRST_BYTES, needed, this.#held.length * 2)));
			this.#held.copy(wider, 0, 0, this.#length);
			this.#held = wider;
		}
		bytes.copy(this.#held, this.#length);
		this.#length = needed;
	}
}
