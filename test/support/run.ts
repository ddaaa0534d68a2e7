/** A tree at work for a test: a home of its own, the real command line, facts awaited with a deadline, and nothing left behind. */
import { type ChildProcess, spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { findMarked, isAlive, killGroup, killOne, startTicks } from '../../src/hosts/proc.ts';
import type { ChildStatus } from '../../src/master/status.ts';
import { within } from './until.ts';

/** For a command, and for a tree that stops. */
const ENDED_MS = 30_000;

const choir = path.join(import.meta.dirname, '../../bin/choir.js');

export interface Status {
	tree: string;
	state: string;
	angel: { pid: number; state: string };
	master: { pid: number | null; state: string; incarnation: number };
	children: ChildStatus[];
}

export interface Ended {
	code: number | null;
	signal: string | null;
	stdout: string;
	stderr: string;
}

/** Waits for a fact: looks every 20 ms; late, it fails and says what was awaited and what was last seen. */
export async function until<T>(what: string, fact: () => T | Promise<T>, deadlineMs = 15_000): Promise<NonNullable<T>> {
	const late = Date.now() + deadlineMs;
	let last: unknown;
	while (Date.now() < late) {
		try {
			last = await fact();
			if (last !== false && last !== null && last !== undefined) return last as NonNullable<T>;
		} catch (error) {
			last = (error as Error).message;
		}
		await new Promise((resolve) => setTimeout(resolve, 20));
	}
	throw new Error(`not within ${deadlineMs} ms: ${what}; last seen: ${String(last)}`);
}

export { freePort } from './port.ts';

export const alive = (pid: number | null): boolean => pid !== null && isAlive({ pid, startTicks: startTicks(pid) ?? -1 });

/** A process of `choir` and what it says. */
export class Process {
	readonly child: ChildProcess;
	stdout = '';
	stderr = '';
	readonly #args: string[];
	readonly #exited: Promise<unknown>;
	readonly #closed: Promise<unknown>;

	constructor(args: string[], env: NodeJS.ProcessEnv, cwd: string) {
		this.child = spawn(process.execPath, [choir, ...args], { cwd, env, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
		this.child.stdout?.setEncoding('utf8').on('data', (text) => {
			this.stdout += text;
		});
		this.child.stderr?.setEncoding('utf8').on('data', (text) => {
			this.stderr += text;
		});
		this.#args = args;
		this.#exited = new Promise((resolve) => this.child.once('exit', resolve));
		this.#closed = new Promise((resolve) => this.child.once('close', resolve));
	}

	/** How it ended, as soon as it has. What it has said may not have been read to its end. */
	get ended(): Promise<Ended> {
		return this.#endOf(this.#exited);
	}

	/** How it ended, with all that it has said: also that of those to whom it left its output. */
	get closed(): Promise<Ended> {
		return this.#endOf(this.#closed);
	}

	async #endOf(end: Promise<unknown>): Promise<Ended> {
		await within(`choir ${this.#args.join(' ')} ends`, end, ENDED_MS, () => this.stderr);
		return { code: this.child.exitCode, signal: this.child.signalCode, stdout: this.stdout, stderr: this.stderr };
	}

	get pid(): number {
		return this.child.pid as number;
	}
}

/** A folder with specs, a home for state, and the trees that run from it. */
export class Place {
	readonly dir = fs.mkdtempSync(path.join(os.tmpdir(), 'choir-'));
	readonly home = path.join(this.dir, 'home');
	readonly #env: NodeJS.ProcessEnv;

	constructor(files: Record<string, string>) {
		// What CI or a terminal set for the tests themselves is not for the trees.
		this.#env = { PATH: process.env.PATH, HOME: this.dir, CHOIR_HOME: this.home };
		for (const [name, text] of Object.entries(files)) this.write(name, text);
	}

	write(name: string, text: string): void {
		fs.writeFileSync(path.join(this.dir, name), text);
	}

	file(name: string): string {
		return path.join(this.dir, name);
	}

	read(name: string): string {
		return fs.existsSync(this.file(name)) ? fs.readFileSync(this.file(name), 'utf8') : '';
	}

	/** `choir …` in the background of the test. */
	begin(...args: string[]): Process {
		return new Process(args, this.#env, this.dir);
	}

	/** `choir …` to its end. */
	choir(...args: string[]): Promise<Ended> {
		return this.begin(...args).closed;
	}

	/** `choir run tree.ts`, up. */
	async run(spec = 'tree.ts'): Promise<Process> {
		const running = this.begin('run', spec);
		await until(
			`the tree runs (${spec})`,
			async () => {
				if (running.child.exitCode !== null) throw new Error(`it ended with ${running.child.exitCode}: ${running.stderr}`);
				return (await this.status())?.state === 'running';
			},
			30_000,
		);
		return running;
	}

	async status(): Promise<Status | null> {
		const { code, stdout } = await this.choir('status', '--json');
		return code === 0 ? (JSON.parse(stdout) as Status) : null;
	}

	async child(childPath: string): Promise<ChildStatus> {
		const all = (children: readonly ChildStatus[]): ChildStatus[] => children.flatMap((child) => [child, ...all(child.children ?? [])]);
		const found = all((await this.status())?.children ?? []).find((child) => child.path === childPath);
		if (found === undefined) throw new Error(`no child ${childPath}`);
		return found;
	}

	/** choir's own events of a tree, so far. */
	events(tree: string): Array<{ at: number; event: string; path?: string; message: string; level: string }> {
		return this.read(`home/${tree}/events.jsonl`)
			.split('\n')
			.filter((line) => line !== '')
			.map((line) => JSON.parse(line));
	}

	/** Processes of a tree, whoever their parent is. */
	members(tree: string): number[] {
		return findMarked('CHOIR_TREE', path.join(this.home, tree)).map(({ pid }) => pid);
	}

	/** Ends whatever is left, and the folder. */
	close(): void {
		const trees = fs.existsSync(this.home) ? fs.readdirSync(this.home) : [];
		const angels = findMarked('CHOIR_HOME', this.home).map(({ pid }) => pid);
		for (const pid of [...angels, ...trees.flatMap((tree) => this.members(tree))]) {
			killGroup(pid, 'SIGKILL');
			killOne(pid, 'SIGKILL');
		}
		fs.rmSync(this.dir, { recursive: true, force: true });
	}
}

/** A test's body with a place, which is closed whatever happens. */
export async function inPlace(files: Record<string, string>, body: (place: Place) => Promise<void>): Promise<void> {
	const place = new Place(files);
	try {
		await body(place);
	} finally {
		place.close();
	}
}
