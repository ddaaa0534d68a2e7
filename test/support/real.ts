/**
 * Trees of real processes for tests: a folder of their own, with the spec and choir's state in it, and the built `choir` run
 * as users run it. Waits are for facts, each with a deadline; and whatever happens, nothing of a tree outlives its test.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { askStatus, type ChildStatus, flatten, type TreeStatus } from '../../src/cli/facts.ts';
import { angelLives, angelPidFile, eventsFile, logFile, readAngelPid, treeDir } from '../../src/home.ts';
import { findMarked, isAlive, killOne, sample, startTicks } from '../../src/hosts/proc.ts';
import type { EventRecord } from '../../src/logs/events.ts';

const bin = fileURLToPath(new URL('../../bin/choir.js', import.meta.url));

const LOOK_MS = 20;
/** For a fact that nothing special delays: generous, for machines on which other things run. */
const FACT_MS = 10_000;
const COMMAND_MS = 30_000;
const STOP_MS = 20_000;
/** For what was sent SIGKILL. */
const GONE_MS = 5_000;
/** What a failure shows of an output or of the events. */
const SHOWN_BYTES = 4_000;

export interface Identity {
	pid: number;
	startTicks: number;
}

export interface Ended {
	code: number | null;
	signal: NodeJS.Signals | null;
	stdout: string;
	stderr: string;
}

/** A `choir` command that runs. */
export interface Command {
	pid: number;
	child: ChildProcess;
	/** What it has said so far. */
	stdout(): string;
	stderr(): string;
	ended: Promise<Ended>;
}

/** What `choir status --json` says of a process child. */
export type Child = ChildStatus & { pid: number; incarnation: number; restarts: number };

/** Those that are not over: what a test file leaves when it ends early is killed on the way out. */
const unfinished = new Set<RealTree>();
process.once('exit', () => {
	for (const tree of unfinished) tree.killStrays();
});
// Each time: a second one would end this process by default, in the middle of that.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => process.exit(1));

export class RealTree {
	/** The tree's name in its spec. */
	readonly id: string;
	/** Where the spec and its workers are; also their working directory. */
	readonly folder: string;
	/** CHOIR_HOME. */
	readonly home: string;
	/** The state folder of the tree. */
	readonly dir: string;
	readonly #commands: Command[] = [];
	readonly #node: string;

	/** `node`: the executable that choir runs on. */
	constructor(files: Record<string, string>, { id = 't', node = process.execPath }: { id?: string; node?: string } = {}) {
		this.id = id;
		this.#node = node;
		// Real path: a process names its files by it.
		this.folder = fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), 'cr-')));
		this.home = path.join(this.folder, 'home');
		this.dir = treeDir(this.home, id);
		unfinished.add(this);
		for (const [name, text] of Object.entries(files)) this.write(name, text);
	}

	write(name: string, text: string): string {
		const file = path.join(this.folder, name);
		fs.mkdirSync(path.dirname(file), { recursive: true });
		fs.writeFileSync(file, text);
		return file;
	}

	/** The text of a file in the folder; '' if there is none yet. */
	read(name: string): string {
		return readOrNothing(path.join(this.folder, name));
	}

	/** The lines that are complete. */
	lines(name: string): string[] {
		return this.read(name).split('\n').slice(0, -1);
	}

	/** Starts a `choir` command, in a process group of its own. */
	launch(args: string[], { env = {} }: { env?: NodeJS.ProcessEnv } = {}): Command {
		const child = spawn(this.#node, [bin, ...args], {
			cwd: this.folder,
			env: { ...around(), CHOIR_HOME: this.home, ...env },
			detached: true,
			stdio: ['ignore', 'pipe', 'pipe'],
		});
		const heard = { stdout: '', stderr: '' };
		for (const name of ['stdout', 'stderr'] as const)
			child[name]?.setEncoding('utf8').on('data', (text: string) => {
				heard[name] += text;
			});
		const ended = new Promise<Ended>((resolve, reject) => {
			child.once('error', reject);
			child.once('close', (code, signal) => resolve({ code, signal, ...heard }));
		});
		assert.ok(child.pid !== undefined, 'choir could not be started');
		const command = { pid: child.pid, child, stdout: () => heard.stdout, stderr: () => heard.stderr, ended };
		this.#commands.push(command);
		return command;
	}

	/** `choir run` of the spec, in the background of the test; its pid is the angel's. */
	run(spec = 'tree.ts'): Command {
		return this.launch(['run', spec]);
	}

	/** `choir start` of the spec, which ends once the tree runs in the background. */
	start(spec = 'tree.ts'): Promise<Ended> {
		return this.cli('start', spec);
	}

	/** Runs the tree and waits until all of it runs. */
	async up(deadlineMs = COMMAND_MS): Promise<Command> {
		const command = this.run();
		await this.running(deadlineMs);
		return command;
	}

	async running(deadlineMs = COMMAND_MS): Promise<TreeStatus> {
		return this.until(
			'the tree runs',
			async () => {
				const over = this.#commands.find(({ child }) => child.exitCode !== null || child.signalCode !== null);
				const status = await this.status();
				assert.ok(status.state === 'running' || over === undefined, 'choir has ended');
				return status.state === 'running' && status;
			},
			deadlineMs,
		);
	}

	/** A command from its start to its end. */
	async cli(...args: string[]): Promise<Ended> {
		const command = this.launch(args);
		return this.ended(command, COMMAND_MS);
	}

	/** How a command ended. */
	async ended(command: Command, deadlineMs = COMMAND_MS): Promise<Ended> {
		let late: NodeJS.Timeout | undefined;
		try {
			return await Promise.race([
				command.ended,
				new Promise<never>((_, reject) => {
					late = setTimeout(
						() => reject(new Error(`${command.child.spawnargs.slice(2).join(' ')} did not end in ${deadlineMs} ms\n${this.describe()}`)),
						deadlineMs,
					);
				}),
			]);
		} finally {
			clearTimeout(late);
		}
	}

	/** What `choir status --json` prints, asked without a process for it. Rejects while nobody answers. */
	status(): Promise<TreeStatus> {
		return askStatus(this.dir);
	}

	/** A child of the tree, as status shows it. */
	async child(childPath: string): Promise<Child> {
		const { children } = await this.status();
		const found = flatten(children).find((child) => child.path === childPath);
		assert.ok(found !== undefined, `status has no ${childPath}: ${JSON.stringify(children)}`);
		return found as Child;
	}

	/**
	 * Looks every 20 ms until `fact` gives something true, and gives that. An error counts as "not yet". After the deadline it fails
	 * with what was seen last, and with what choir has said.
	 */
	async until<T>(what: string, fact: () => T | Promise<T>, deadlineMs = FACT_MS): Promise<Exclude<T, false | null | undefined | 0 | ''>> {
		const deadline = performance.now() + deadlineMs;
		for (;;) {
			let seen: unknown;
			try {
				seen = await fact();
				if (seen) return seen as Exclude<T, false | null | undefined | 0 | ''>;
			} catch (error) {
				seen = (error as Error).message;
			}
			if (performance.now() > deadline)
				throw new Error(`not within ${deadlineMs} ms: ${what}; last seen: ${JSON.stringify(seen)}\n${this.describe()}`);
			await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
		}
	}

	/** A child that runs, in its nth incarnation or a later one. */
	incarnation(childPath: string, atLeast: number, deadlineMs = FACT_MS): Promise<Child> {
		return this.until(
			`${childPath} runs in its incarnation ${atLeast}`,
			async () => {
				const child = await this.child(childPath);
				assert.ok(child.state === 'running' && child.incarnation >= atLeast, JSON.stringify(child));
				return child;
			},
			deadlineMs,
		) as Promise<Child>;
	}

	/** choir's own events so far. */
	events(): Array<EventRecord & { time: string; at: number }> {
		return readOrNothing(eventsFile(this.dir))
			.split('\n')
			.slice(0, -1)
			.map((line) => JSON.parse(line));
	}

	/** What a child has printed. */
	output(childPath: string): string {
		return readOrNothing(logFile(this.dir, childPath));
	}

	/** All processes of the tree and of its commands, whoever their parent is now. */
	strays(): Identity[] {
		const found = new Map<number, Identity>();
		for (const identity of [...findMarked('CHOIR_HOME', this.home), ...findMarked('CHOIR_TREE', this.dir)])
			found.set(identity.pid, identity);
		return [...found.values()];
	}

	killStrays(): void {
		for (const { pid } of this.strays()) killOne(pid, 'SIGKILL');
	}

	/** Stops the tree as SIGTERM does, and fails if anything of it is left after that. */
	async end(): Promise<void> {
		const angel = readAngelPid(this.dir);
		if (angel !== null && angelLives(angel)) killOne(angel.pid, 'SIGTERM');
		for (const command of this.#commands) await this.ended(command, STOP_MS);
		if (angel !== null) await this.until('the angel has ended', () => !angelLives(angel), STOP_MS);
		const left = this.strays().map(({ pid }) => `${pid} ${readOrNothing(`/proc/${pid}/cmdline`).replaceAll('\0', ' ')}`);
		assert.deepEqual(left, [], `processes are left:\n${this.describe()}`);
		assert.equal(fs.existsSync(angelPidFile(this.dir)), false, 'the pid file is left');
	}

	/** Kills what is left and removes the folder. */
	async remove(): Promise<void> {
		try {
			await this.until('all that was killed is gone', () => this.killStrays() === undefined && this.strays().length === 0, GONE_MS);
		} finally {
			fs.rmSync(this.folder, { recursive: true, force: true, maxRetries: 3 });
			unfinished.delete(this);
		}
	}

	/** What there is to know when a test has failed. */
	describe(): string {
		const parts: Array<[string, string]> = [];
		for (const { child, stdout, stderr } of this.#commands) {
			const name = child.spawnargs.slice(2).join(' ');
			// What `choir run` prints without a terminal are the events, and they are below.
			if (!name.startsWith('run ')) parts.push([`${name}: stdout`, stdout()]);
			parts.push([`${name}: stderr`, stderr()]);
		}
		parts.push(['events', readOrNothing(eventsFile(this.dir))], ['master', this.output('master')]);
		return parts
			.filter(([, text]) => text !== '')
			.map(([name, text]) => `--- ${name}\n${text.slice(-SHOWN_BYTES)}`)
			.join('\n');
	}
}

/** Gives `body` a tree that is not started yet; afterwards it is stopped, nothing may be left of it, and its folder is removed. */
export async function withTree(
	files: Record<string, string>,
	body: (tree: RealTree) => Promise<void>,
	options: { id?: string; node?: string } = {},
): Promise<void> {
	const tree = new RealTree(files, options);
	try {
		await body(tree);
		await tree.end();
	} finally {
		await tree.remove();
	}
}

/** That of a child that counts, a number a line: none is missing, torn or there twice. */
export function assertCounted(output: string): void {
	const lines = output.split('\n').slice(0, -1);
	assert.deepEqual(
		lines,
		lines.map((_, n) => String(n + 1)),
	);
}

/** Who a process is, for `isAlive`. */
export function identify(pid: number | null | undefined): Identity {
	const ticks = pid == null ? null : startTicks(pid);
	assert.ok(pid != null && ticks !== null, `there is no process ${pid}`);
	return { pid, startTicks: ticks };
}

/** How many descriptors a process has open. */
export function openDescriptors(pid: number): number {
	return fs.readdirSync(`/proc/${pid}/fd`).length;
}

/** CPU time of a process so far. */
export function cpuMs(pid: number): number {
	return sample(pid)?.cpuMs ?? 0;
}

export { freePort } from './port.ts';
export { isAlive, killOne as signal };

/** The environment of a user's shell: nothing of the tests' own, and nothing of a choir around them. */
function around(): NodeJS.ProcessEnv {
	const own = Object.entries(process.env).filter(([name]) => !/^(CHOIR_|FORCE_COLOR$|XDG_STATE_HOME$)/.test(name));
	return { ...Object.fromEntries(own), NO_COLOR: '1' };
}

function readOrNothing(file: string): string {
	try {
		return fs.readFileSync(file, 'utf8');
	} catch {
		return '';
	}
}
