/** `choir top`: the tree on a whole terminal, with keys. What is shown and what a key means is in `board.ts`. */
import pc from 'picocolors';
import { request } from '../control/client.ts';
import { logFile, type RunningTree, socketPath } from '../home.ts';
import { Follower } from '../logs/follow.ts';
import { tail } from '../logs/tail.ts';
import { type Board, frame, hear, learn, newBoard, press, type Sort } from './board.ts';
import { chooseRunning } from './choose.ts';
import { Complaint, exitCodes } from './complaint.ts';
import { Polled } from './polled.ts';
import { type Key, Screen } from './screen.ts';

const FIRST_LINES = 500;
const OUTPUT_EVERY_MS = 100;
const RESTART_TIMEOUT_MS = 120_000;

export async function top(word: string | undefined, { sort }: { sort: Sort }): Promise<number> {
	const tree = await chooseRunning(word);
	if (!process.stdout.isTTY || !process.stdin.isTTY)
		throw new Complaint('`choir top` needs a terminal: elsewhere use `choir status`, with --json or --watch', exitCodes.usage);
	return new Top(tree, sort).run();
}

class Top {
	readonly #tree: RunningTree;
	readonly #polled: Polled;
	readonly #screen: Screen;
	readonly #paint = pc.createColors(!process.env.NO_COLOR);
	#board: Board;
	#quit: () => void = () => {};
	/** Outputs that were opened: only the last one is followed. */
	#opened = 0;

	constructor(tree: RunningTree, sort: Sort) {
		this.#tree = tree;
		this.#polled = new Polled(tree);
		this.#board = newBoard(sort);
		this.#screen = new Screen({ onKey: (key) => this.#press(key), onResize: () => this.#draw() });
	}

	async run(): Promise<number> {
		const quit = new Promise<null>((resolve) => {
			this.#quit = () => resolve(null);
		});
		try {
			for (;;) {
				const facts = await Promise.race([this.#polled.next(), quit]);
				if (facts === null) return exitCodes.ok;
				this.#show(learn(this.#board, facts));
			}
		} finally {
			this.#board = { ...this.#board, output: null };
			this.#screen.leave();
		}
	}

	#press(key: Key): void {
		const [board, wish] = press(this.#board, key, this.#screen.size);
		this.#show(board);
		switch (wish?.do) {
			case 'quit':
				return this.#quit();
			case 'restart':
				return void this.#restart(wish.path);
			case 'openOutput':
				return void this.#follow(wish.path);
		}
	}

	#show(board: Board): void {
		this.#board = board;
		this.#draw();
	}

	#draw(): void {
		this.#screen.draw(frame(this.#board, { size: this.#screen.size, paint: this.#paint, now: Date.now() }));
	}

	async #restart(path: string): Promise<void> {
		let note = `${path} restarted`;
		try {
			const asked = request(socketPath(this.#tree.dir, 'control.sock'), 'restart', { path }, { timeoutMs: RESTART_TIMEOUT_MS });
			const failed = [(await asked) as { ok: boolean; error?: string }].flat().find(({ ok }) => !ok);
			if (failed !== undefined) note = `${path} was not restarted: ${failed.error ?? 'the tree did not say why'}`;
		} catch (error) {
			note = `${path} was not restarted: ${(error as Error).message}`;
		}
		this.#show({ ...this.#board, note });
		this.#polled.wake();
	}

	/** Until the output of another one, or none, is shown. */
	async #follow(path: string): Promise<void> {
		this.#opened += 1;
		const mine = this.#opened;
		const isShown = () => this.#opened === mine && this.#board.output?.path === path;
		let follower: Follower | null = null;
		try {
			const { lines, next } = await tail(this.#tree.dir, path, FIRST_LINES);
			if (!isShown()) return;
			this.#show(hear(this.#board, path, lines));
			follower = new Follower(logFile(this.#tree.dir, path), { from: next });
			while (isShown()) {
				const batch = await follower.next();
				if (batch.skippedBytes > 0) this.#show(hear(this.#board, path, [`… ${batch.skippedBytes} bytes were rotated away`]));
				if (batch.lines.length > 0) this.#show(hear(this.#board, path, batch.lines));
				if (!batch.more) await new Promise((resolve) => setTimeout(resolve, OUTPUT_EVERY_MS));
			}
		} catch (error) {
			this.#show(hear(this.#board, path, [`… cannot be read: ${(error as Error).message}`]));
		} finally {
			await follower?.close();
		}
	}
}
