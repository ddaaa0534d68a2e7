/**
 * The first module of a thread: it takes the thread's streams, its signs of life and the drain request in hand, then imports the
 * user's module. Nothing of it keeps the thread alive.
 */
import { once } from 'node:events';
import fs from 'node:fs';
import { getHeapStatistics } from 'node:v8';
import { type MessagePort, parentPort } from 'node:worker_threads';
import type { Word } from './channel.ts';
import { drain } from './drain.ts';
import { patchListen } from './listen.ts';
import { printTo } from './output.ts';
import { shareState, type WorkerState } from './state.ts';

/** What the host sends first, to a thread whose `workerData` is all the user's. */
export interface ThreadTask {
	/** Between this thread and its host, and nobody else's. */
	port: MessagePort;
	workerId: string;
	path: string;
	/** The address of the user's module, or of its bundle. */
	module: string;
	/** What `process.argv[1]` shall be. */
	file: string;
	sourceMaps: boolean;
	output: string;
	readyBySignal: boolean;
	/** 0: none. */
	heartbeatMs: number;
}

/** What a thread says to its host, beside the words of `choir/worker`. */
export type ThreadWord =
	| { do: 'hello'; tid: number | null }
	/** The module and all that it imports is there, and begins to run. */
	| { do: 'loaded' }
	| { do: 'unloadable'; message: string; stack: string }
	/** Something was thrown that may be its end. */
	| { do: 'thrown'; origin: string }
	| { do: 'beat'; memoryBytes: number }
	| { do: 'ready' }
	| { do: 'drain.acknowledged' }
	| { do: 'status'; text: string };

/** Node's own, of a process whose module waits for what cannot come. */
const UNSETTLED = 13;
const loaded = Symbol.for('choir.thread.loaded');

if (parentPort !== null) {
	const [task] = (await once(parentPort, 'message')) as [ThreadTask];
	await join(task);
}

async function join(task: ThreadTask): Promise<void> {
	const { port, workerId, path, module, file, sourceMaps, output, readyBySignal, heartbeatMs } = task;
	const say = (word: Word | ThreadWord) => port.postMessage(word);
	printTo(output);
	const state: WorkerState = {
		path,
		workerId,
		listen: [],
		servers: new Map(),
		cover: null,
		accepting: null,
		standby: null,
		channel: { say, sayPeak: () => {} },
		readyBySignal,
		libraryLoaded: false,
		inThread: true,
		drainMs: null,
		drains: [],
	};
	shareState(state);
	patchListen(state);
	port.on('message', (word: Word) => {
		if (word.do === 'drain') void drain({ told: false });
	});
	port.unref();
	say({ do: 'hello', tid: ownTid() });
	const beat = () => say({ do: 'beat', memoryBytes: heapBytes() });
	if (heartbeatMs > 0) {
		beat();
		setInterval(beat, heartbeatMs).unref();
	}
	process.on('uncaughtExceptionMonitor', (_error, origin) => say({ do: 'thrown', origin }));
	if (sourceMaps) process.setSourceMapsEnabled(true);
	process.argv[1] = file;
	await run(module, say);
}

/**
 * Runs the user's module behind one that says that all of it could be loaded: modules are linked together, and then run in the
 * order of their imports. So what cannot be loaded is told from what throws.
 */
async function run(module: string, say: (word: ThreadWord) => void): Promise<void> {
	const marks = globalThis as { [loaded]?: () => void };
	let isLoaded = false;
	let isSettled = false;
	marks[loaded] = () => {
		isLoaded = true;
		delete marks[loaded];
		say({ do: 'loaded' });
	};
	process.once('beforeExit', () => {
		if (isSettled) return;
		console.error(`the top-level await of ${process.argv[1]} never settled`);
		process.exit(UNSETTLED);
	});
	try {
		await import(
			textModule(`import '${textModule(`globalThis[Symbol.for('${loaded.description}')]()`)}'; import ${JSON.stringify(module)};`)
		);
	} catch (error) {
		if (!isLoaded) {
			const { message, stack } = error as Error;
			say({ do: 'unloadable', message: String(message), stack: String(stack) });
		}
		// As what a process throws at its top level: not a rejection that somebody forgot.
		queueMicrotask(() => {
			throw error;
		});
	} finally {
		isSettled = true;
	}
}

function textModule(text: string): string {
	return `data:text/javascript,${encodeURIComponent(text).replaceAll("'", '%27')}`;
}

function heapBytes(): number {
	const { total_heap_size, external_memory } = getHeapStatistics();
	return total_heap_size + external_memory;
}

/** What Linux calls this thread, for its CPU time; null elsewhere. */
function ownTid(): number | null {
	try {
		return Number(fs.readlinkSync('/proc/thread-self').split('/').at(-1));
	} catch {
		return null;
	}
}
