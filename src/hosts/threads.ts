/** How threads of this process come to life and go: `worker_threads`, each with its own environment, output file and signs of life. */
import fs from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { inspect } from 'node:util';
import { MessageChannel, type MessagePort, receiveMessageOnPort, Worker } from 'node:worker_threads';
import type { ReadySpec, ThreadSpec } from '../../machines/spec.ts';
import type { WorkerEvent } from '../../machines/worker.ts';
import { logFile } from '../home.ts';
import { closeOutput, openOutput } from '../logs/open.ts';
import { firstLook, LOOK_MS, Upkeep } from '../logs/upkeep.ts';
import type { Host, Run, Tell } from '../master/host.ts';
import { bundle, needsBundle } from '../spec/bundle.ts';
import { sentenceOf } from '../spec/load.ts';
import type { ThreadTask, ThreadWord } from '../worker/thread.ts';
import { childEnvironment } from './environment.ts';
import { type Spent, spentByThread, startTicks } from './proc.ts';
import { Strays } from './strays.ts';

export interface ThreadHostOptions {
	/** The state folder of the tree. */
	dir: string;
	/** The folder of the spec: modules are relative to it. */
	base: string;
	tell: Tell;
	now: () => number;
	/** The bundle that a generation runs of a module, if its files may not be run as they are now. */
	moduleOf?: (generation: number, module: string) => Promise<string | null>;
	/** Said once per file: its output can only be rotated when its child starts again. */
	unrotated: (path: string, why: string) => void;
	/** A thread runs, and what it prints is lost: a sentence. */
	muted: (path: string, message: string) => void;
}

/** What an incarnation uses. Of a thread, memory is its heap and its buffers; what it has spent is known on Linux. */
export interface Usage {
	memoryBytes: number | null;
	spent: Spent | null;
}

/** Of what was thrown, in a sentence. */
const MAX_THROWN = 300;
/** What Node makes of a thread that is over its heap limit. */
const OUT_OF_MEMORY = 'ERR_WORKER_OUT_OF_MEMORY';

const firstModule = new URL(`../worker/thread${path.extname(import.meta.url)}`, import.meta.url);

export class ThreadHost implements Host {
	readonly #options: ThreadHostOptions;
	readonly #upkeep: Upkeep;
	readonly #threads = new Map<string, Thread>();
	readonly #strays = new Strays();
	readonly #interval: NodeJS.Timeout;

	constructor(options: ThreadHostOptions) {
		this.#options = options;
		this.#upkeep = new Upkeep(options.dir, options.unrotated);
		this.#interval = setInterval(() => {
			for (const { run, spec, look } of this.#threads.values()) this.#upkeep.look(run.path, spec.logs, look);
		}, LOOK_MS).unref();
	}

	/** Whatever still runs is ended. */
	close(): void {
		clearInterval(this.#interval);
		this.#strays.close();
		for (const thread of this.#threads.values()) thread.kill();
	}

	launch(run: Run): void {
		const thread = new Thread(run, this.#options, this.#upkeep);
		this.#threads.set(run.workerId, thread);
		void thread.start();
	}

	/** It says so itself, from its start on. */
	watchReadiness(): void {}

	/** Its heartbeat says it. */
	watchLiveness(): void {}

	askToDrain({ workerId }: Run): void {
		if (!this.#threads.get(workerId)?.askToDrain()) this.#options.tell(workerId, { type: 'drain.undeliverable' });
	}

	/** There is no signal for a thread: one that has not answered yet finds the request when its loop is free. */
	terminate({ workerId }: Run): void {
		const thread = this.#threads.get(workerId);
		if (thread?.wasAsked === false) thread.kill();
	}

	kill({ workerId }: Run): void {
		this.#threads.get(workerId)?.kill();
	}

	forget({ workerId }: Run): void {
		this.#threads.delete(workerId);
		// A thread has no process group: what it has started is known by its mark alone.
		this.#strays.killThoseOf(workerId);
	}

	/** What the thread last said of itself. */
	statusText(workerId: string): string | null {
		return this.#threads.get(workerId)?.statusText ?? null;
	}

	/** What rotation has dropped of the output of a child. */
	droppedBytes(childPath: string): number {
		return this.#upkeep.dropped(childPath);
	}

	usage(workerId: string): Usage | null {
		return this.#threads.get(workerId)?.usage ?? null;
	}
}

/** The rest of a fact about an end. */
type End = Omit<Extract<WorkerEvent, { type: 'process.exited' }>, 'type' | 'signal' | 'maxRssBytes' | 'at'>;

/** What is loaded in place of the module that was declared: itself, or its bundle. */
interface Loadable {
	source: string;
	file: string;
	env: Record<string, string>;
}

/** One thread, from its start to its end. It says nothing more after its end. */
class Thread {
	readonly run: Run;
	readonly spec: ThreadSpec;
	readonly look = firstLook();
	statusText: string | null = null;
	/** Whether it has been sent the request to drain. */
	wasAsked = false;
	readonly #options: ThreadHostOptions;
	readonly #upkeep: Upkeep;
	#worker: Worker | null = null;
	#port: MessagePort | null = null;
	#loadable: Loadable | null = null;
	/** It hears. */
	#isUp = false;
	#isReady = false;
	#isKilled = false;
	#isOver = false;
	#readyTimer: NodeJS.Timeout | null = null;
	#tid: number | null = null;
	#memoryBytes: number | null = null;
	#origin: string | null = null;
	#thrown: { error: unknown } | null = null;
	#unloadable: string | null = null;

	constructor(run: Run, options: ThreadHostOptions, upkeep: Upkeep) {
		this.run = run;
		this.spec = run.spec as ThreadSpec;
		this.#options = options;
		this.#upkeep = upkeep;
	}

	async start(): Promise<void> {
		try {
			this.#loadable = await this.#prepare();
			if (this.#isKilled) return this.#fail('stopped before it was started');
			this.#launch(this.#loadable);
		} catch (error) {
			this.#fail((error as Error).message);
		}
	}

	/** False if nobody is there to be asked. */
	askToDrain(): boolean {
		if (!this.#isUp || this.#isOver) return false;
		this.#port?.postMessage({ do: 'drain' });
		this.wasAsked = true;
		return true;
	}

	kill(): void {
		this.#isKilled = true;
		this.#worker?.terminate().catch(() => {});
	}

	get usage(): Usage {
		return { memoryBytes: this.#memoryBytes, spent: this.#tid === null || this.#isOver ? null : spentByThread(this.#tid) };
	}

	async #prepare(): Promise<Loadable> {
		const { dir, base } = this.#options;
		const { workerId, path: childPath } = this.run;
		const { module, inheritEnv, env, logs } = this.spec;
		const source = path.resolve(base, module);
		const kept = (await this.#options.moduleOf?.(this.run.generation, module)) ?? null;
		if (kept === null && !fs.existsSync(source)) throw new Error(`its module ${source} does not exist`);
		const isBuilt = kept === null && needsBundle(source);
		const file = kept ?? (isBuilt ? (await bundle(source, { cacheDir: path.join(path.dirname(dir), '.cache') })).file : source);
		// What it starts is known by these as part of the tree.
		const own = { CHOIR_WORKER: workerId, CHOIR_TREE: dir, CHOIR_PATH: childPath };
		await this.#upkeep.beforeStart(childPath, logs);
		closeOutput(openOutput(dir, childPath, (message) => this.#options.muted(childPath, message)));
		return {
			source,
			file,
			env: await childEnvironment({ inheritEnv, env, envFile: null }, base, process.env, own),
		};
	}

	#launch({ source, file, env }: Loadable): void {
		const { workerId, path: childPath } = this.run;
		const { args, input, resourceLimits, ready, heartbeat } = this.spec;
		const { port1: port, port2 } = new MessageChannel();
		this.#port = port;
		try {
			// What it prints before its first module could take its streams in hand goes where this process prints to.
			this.#worker = new Worker(firstModule, { argv: args, env, workerData: input, resourceLimits, name: childPath });
		} catch (error) {
			port.close();
			const { name, message } = error as Error;
			throw new Error(name === 'DataCloneError' ? `its input cannot be given to a thread: ${message}` : message);
		}
		const worker = this.#worker;
		// Nothing of a thread keeps this process alive, or ends it: an error that nobody listens to would.
		worker.unref();
		worker.on('error', (error) => {
			this.#thrown = { error };
		});
		worker.on('messageerror', () => {});
		worker.once('exit', (code) => this.#exited(code));
		port.on('message', (word: ThreadWord) => this.#hear(word));
		port.on('messageerror', () => {});
		port.unref();
		const task: ThreadTask = {
			port: port2,
			workerId,
			path: childPath,
			module: pathToFileURL(file).href,
			file,
			sourceMaps: file !== source,
			output: this.#output,
			readyBySignal: ready.kind === 'signal',
			heartbeatMs: heartbeat?.everyMs ?? 0,
		};
		worker.postMessage(task, [port2]);
	}

	#hear(word: ThreadWord): void {
		if (this.#isOver) return;
		switch (word.do) {
			case 'hello':
				this.#isUp = true;
				this.#tid = word.tid;
				// It lives in this process, and has no other pid.
				return this.#tell({ type: 'process.spawned', pid: process.pid, startTicks: ownStartTicks() });
			case 'loaded':
				return this.#awaitReadiness(this.spec.ready);
			case 'unloadable':
				this.#unloadable = this.#whyUnloadable(word);
				return;
			case 'thrown':
				this.#origin = word.origin;
				return;
			case 'beat':
				this.#memoryBytes = word.memoryBytes;
				return this.#tell({ type: 'heartbeat' });
			case 'ready':
				if (this.spec.ready.kind === 'signal') this.#sayReady();
				return;
			case 'drain.acknowledged':
				return this.#tell({ type: 'drain.acknowledged' });
			case 'status':
				this.statusText = word.text;
		}
	}

	#awaitReadiness(ready: ReadySpec): void {
		if (ready.kind === 'spawned') this.#sayReady();
		else if (ready.kind === 'after') this.#readyTimer = setTimeout(() => this.#sayReady(), ready.afterMs).unref();
	}

	#sayReady(): void {
		if (this.#isReady) return;
		this.#isReady = true;
		this.#tell({ type: 'process.ready' });
	}

	#exited(code: number): void {
		// What it said last may not have been heard yet.
		for (let late = this.#takeWord(); late !== undefined; late = this.#takeWord()) this.#hear(late.message);
		if (this.#thrown !== null) this.#print(`${this.#origin === null ? '' : 'Uncaught '}${textOf(this.#thrown.error)}\n`);
		this.#end({ type: 'process.exited', signal: null, maxRssBytes: null, at: this.#options.now(), ...this.#endOf(code) });
	}

	#takeWord(): { message: ThreadWord } | undefined {
		return this.#port === null ? undefined : receiveMessageOnPort(this.#port);
	}

	#endOf(code: number): End {
		if (this.#unloadable !== null) return { code: null, reason: 'startFailed', detail: this.#unloadable };
		if (this.#thrown !== null) {
			const isFull = (this.#thrown.error as { code?: unknown } | null | undefined)?.code === OUT_OF_MEMORY;
			// No code is its own then: Node gives it one, now 1 and now 0.
			if (isFull) return { code: null, reason: 'crash', detail: `out of memory: ${this.#limitText}` };
			return { code, reason: 'crash', detail: this.#whyThrown(this.#thrown.error) };
		}
		// Node gives it code 1 then, which says nothing.
		return this.#isKilled ? { code: null, reason: 'killed' } : { code };
	}

	#whyThrown(error: unknown): string {
		const text = error instanceof Error ? `${error.name}: ${error.message}` : textOf(error);
		const what = this.#origin === 'unhandledRejection' ? 'unhandled rejection' : 'uncaught';
		return `${what}: ${(text.split('\n')[0] as string).slice(0, MAX_THROWN)}`;
	}

	get #limitText(): string {
		const limit = this.spec.resourceLimits.maxOldGenerationSizeMb;
		return `its heap reached its limit${limit === undefined ? '' : ` of ${limit} MiB`}`;
	}

	#whyUnloadable({ message, stack }: { message: string; stack: string }): string {
		const { file, source } = this.#loadable as Loadable;
		// Its importer is a module that only says that it is loaded.
		const error = Object.assign(new Error(message.replace(/ imported from data:\S+/, '')), { stack });
		return `${this.spec.module} cannot be loaded: ${sentenceOf(error, file, source)}`;
	}

	#fail(message: string): void {
		this.#end({ type: 'process.failed', message, at: this.#options.now() });
	}

	#end(fact: WorkerEvent): void {
		if (this.#isOver) return;
		this.#tell(fact);
		this.#isOver = true;
		if (this.#readyTimer !== null) clearTimeout(this.#readyTimer);
		this.#port?.close();
	}

	#tell(fact: WorkerEvent): void {
		if (!this.#isOver) this.#options.tell(this.run.workerId, fact);
	}

	get #output(): string {
		return logFile(this.#options.dir, this.run.path);
	}

	#print(text: string): void {
		try {
			fs.appendFileSync(this.#output, text, { mode: 0o600 });
		} catch {
			// A full disk: its supervisor is told all the same.
		}
	}
}

/** What cannot be sent comes as a text of it. */
const textOf = (thrown: unknown) => (typeof thrown === 'string' ? thrown : inspect(thrown));

let started: number | null = null;

function ownStartTicks(): number {
	started ??= startTicks(process.pid) ?? 0;
	return started;
}
