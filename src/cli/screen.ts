/** A terminal as a page that is drawn again: only the lines that changed, and given back as it was found, however this ends. */
import readline from 'node:readline';

const ENTER = '\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[2J';
const LEAVE = '\x1b[?7h\x1b[?25h\x1b[?1049l';
const RESET = '\x1b[0m';
/** Exit codes of a program that ended by a signal. */
const SIGNALS = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;

export interface Key {
	/** `up`, `return`, `escape`, `c` …; undefined for signs that have no name, such as `/`. */
	name?: string;
	/** What was typed. */
	text: string;
	ctrl: boolean;
}

export class Screen {
	#shown: string[] = [];
	#active = false;
	readonly #keys: boolean;

	/** `onKey`: who takes the keys; without one the terminal keeps them, and Ctrl-C is a signal. */
	constructor({ onKey, onResize }: { onKey?: (key: Key) => void; onResize: () => void }) {
		this.#keys = onKey !== undefined;
		if (onKey !== undefined) {
			readline.emitKeypressEvents(process.stdin);
			process.stdin.on('keypress', (text: string | undefined, { name, ctrl }: readline.Key) => {
				// In raw mode the terminal no longer turns this into a signal.
				if (ctrl === true && name === 'z') return this.#suspend();
				onKey({ ...(name === undefined ? {} : { name }), text: text ?? '', ctrl: ctrl === true });
			});
		}
		process.stdout.on('resize', () => {
			this.#shown = [];
			onResize();
		});
		process.once('exit', () => this.leave());
		for (const [signal, code] of Object.entries(SIGNALS)) process.once(signal, () => process.exit(code));
		process.on('SIGCONT', () => {
			this.enter();
			onResize();
		});
		this.enter();
	}

	get size(): { rows: number; columns: number } {
		return { rows: process.stdout.rows || 24, columns: process.stdout.columns || 80 };
	}

	enter(): void {
		if (this.#active) return;
		this.#active = true;
		this.#shown = [];
		if (this.#keys) process.stdin.setRawMode(true).resume();
		process.stdout.write(ENTER);
	}

	leave(): void {
		if (!this.#active) return;
		this.#active = false;
		process.stdout.write(LEAVE);
		if (this.#keys) process.stdin.setRawMode(false).pause();
	}

	/** Lines beyond the last row are not shown; what is wider is cut by the terminal. */
	draw(lines: readonly string[]): void {
		if (!this.#active) return;
		const { rows } = this.size;
		let text = this.#shown.length === 0 ? '\x1b[2J' : '';
		for (let row = 0; row < Math.min(rows, Math.max(lines.length, this.#shown.length)); row++) {
			const line = lines[row] ?? '';
			if (line !== this.#shown[row]) text += `\x1b[${row + 1};1H${line}${RESET}\x1b[K`;
		}
		this.#shown = lines.slice(0, rows);
		if (text !== '') process.stdout.write(text);
	}

	#suspend(): void {
		this.leave();
		process.kill(process.pid, 'SIGTSTP');
	}
}
