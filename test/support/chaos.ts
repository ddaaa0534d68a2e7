/**
 * Chaos: a real tree under load to which things are done at random moments, from a seed. Afterwards it has to be what was asked of it:
 * nobody missing, nobody twice, nothing left open, and a master that reads the journal finds the same.
 */
import assert from 'node:assert/strict';
import { type ChildStatus, flatten } from '../../src/cli/facts.ts';
import { load, textBehind } from './load.ts';
import { type Ended, freePort, identify, isAlive, openDescriptors, RealTree, signal } from './real.ts';

export interface ChaosOptions {
	seed: number;
	/** How long things are done to it. */
	seconds: number;
	/** Requests a second, to each of its two servers. */
	perSecond?: number;
	/** Told of each thing as it is done. */
	log?: (line: string) => void;
	/** The executable that choir runs on. */
	node?: string;
}

export interface ChaosResult {
	/** How often each was done. */
	done: Record<string, number>;
	answered: number;
	/** Only what a worker took with it. */
	failed: number;
	slowestMs: number;
}

/** A request that fails up to this long after a worker was killed or stopped was that worker's. */
const OWING_MS = 8_000;
const SETTLE_MS = 30_000;
const COMMAND_MS = 60_000;
const INSTANCES = 3;

const spec = (port: number, other: number) => `
	import { command, node, supervisor, tree } from 'choir';
	const often = { restarts: 100_000, within: '1m' };
	const server = { heartbeat: { every: '200ms', timeout: '2s' }, restart: { backoff: 0 }, stop: { drain: '2s', terminate: '1s' }, reload: { soak: '100ms' } };
	export default tree('chaos', {
		view: false,
		intensity: often,
		master: { heartbeat: { every: '200ms', timeout: '2s' }, intensity: often, backoff: { from: '20ms', to: '20ms' } },
		children: [
			node('web', { module: './web.ts', instances: ${INSTANCES}, listen: { http: '127.0.0.1:${port}' }, standby: 1, ...server }),
			node('plain', { module: './plain.mjs', instances: 2, listen: { http: '127.0.0.1:${other}' }, ...server }),
			supervisor('jobs', { strategy: 'rest_for_one', intensity: often, children: [
				command('one', { run: ['sleep', '100000'], instances: 2, restart: { backoff: { from: '200ms', to: '200ms' } } }),
				command('two', { run: ['sleep', '100000'], restart: { backoff: 0 } }),
			] }),
		],
	});
`;
const web = (version: string) => `
	import http from 'node:http';
	import { listener, ready } from 'choir/worker';
	http.createServer((_, response) => setTimeout(() => response.end('${version}'), 1)).listen(listener('http'), ready);
`;
const plain = (port: number) => `
	import http from 'node:http';
	http.createServer((_, response) => response.end('plain')).listen(${port}, '127.0.0.1');
`;
const broken = "throw new Error('a version that does not work');";

/** What of a child has to be the same after its master was replaced. */
const lasting = ({ path, pid, incarnation, generation, restarts, state }: ChildStatus) => ({
	path,
	pid,
	incarnation,
	generation,
	restarts,
	state,
});

export async function chaos(options: ChaosOptions): Promise<ChaosResult> {
	const { node } = options;
	const [port, other] = [await freePort(), await freePort()];
	const files = { 'tree.ts': spec(port, other), 'web.ts': web('v0'), 'plain.mjs': plain(other) };
	const tree = new RealTree(files, { id: 'chaos', ...(node === undefined ? {} : { node }) });
	const lines: string[] = [];
	try {
		const result = await new Chaos(tree, options, lines).run(port, other);
		await tree.end();
		return result;
	} catch (error) {
		throw new Error(`seed ${options.seed}: ${(error as Error).message}\n--- what was done\n${lines.slice(-60).join('\n')}`, {
			cause: error,
		});
	} finally {
		await tree.remove();
	}
}

class Chaos {
	readonly #tree: RealTree;
	readonly #options: ChaosOptions;
	readonly #lines: string[];
	readonly #chance: () => number;
	readonly #from = performance.now();
	readonly #done: Record<string, number> = {};
	/** Who was stopped by a signal and goes on by itself. */
	readonly #stopped = new Set<() => void>();
	/** When workers were killed, stopped, or went on. */
	readonly #hurts: number[] = [];
	/** One operation at a time: what is asked meanwhile would be refused. */
	#operation: Promise<void> | null = null;
	/** By the operations that have been done: whoever asks is told, over the deaths of masters. */
	readonly #wanted = { web: INSTANCES, 'jobs/one': 2, version: 'v0' };
	#version = 0;
	#paused = false;

	constructor(tree: RealTree, options: ChaosOptions, lines: string[]) {
		this.#tree = tree;
		this.#options = options;
		this.#lines = lines;
		this.#chance = random(options.seed);
	}

	async run(port: number, other: number): Promise<ChaosResult> {
		const { seconds, perSecond = 150 } = this.#options;
		const angel = (await this.#tree.up()).pid;
		const before = openDescriptors(angel);
		const loads = [load(port, { perSecond }), load(other, { perSecond })];
		const until = this.#from + seconds * 1000;
		while (performance.now() < until) {
			await this.#one();
			await pause(30 + this.#chance() * 600);
		}
		for (const goOn of this.#stopped) goOn();
		await this.#operation;
		if (this.#paused) this.#resume();
		await this.#operation;
		await this.#settled();
		await this.#checkWanted(port);
		await this.#checkProcesses(angel);
		await this.#checkReplay();
		const seen = await Promise.all(loads.map(({ stop }) => stop()));
		this.#checkRequests(seen.flatMap(({ failedAt, failed }) => failed.map((error, index) => ({ error, at: failedAt[index] as number }))));
		assert.equal((await this.#tree.cli('scale', 'web', String(INSTANCES))).code, 0);
		await this.#tree.until('the angel has no more descriptors open than at first', () => openDescriptors(angel) === before);
		return {
			done: this.#done,
			answered: seen.reduce((sum, { answered }) => sum + answered, 0),
			failed: seen.reduce((sum, { failed }) => sum + failed.length, 0),
			slowestMs: Math.max(...seen.map(({ slowestMs }) => slowestMs)),
		};
	}

	async #one(): Promise<void> {
		const { master, children } = await this.#tree.until('somebody says what there is', async () => {
			const status = await this.#tree.status();
			return status.master.pid !== null && status;
		});
		const living = flatten(children).filter(({ pid }) => pid != null);
		const one = living[Math.floor(this.#chance() * living.length)];
		const roll = this.#chance();
		const what = things.find(([, upTo]) => roll < upTo)?.[0] as Thing;
		switch (what) {
			case 'kill a worker':
				if (one === undefined) return;
				this.#note(what, `${one.path} (pid ${one.pid})`);
				this.#hurt();
				return void signal(one.pid as number, 'SIGKILL');
			case 'stop a worker':
				if (one === undefined) return;
				this.#hurt();
				return this.#stopFor(what, one.pid as number, one.path, 4_000);
			case 'kill the master':
				this.#note(what, `pid ${master.pid}`);
				return void signal(master.pid as number, 'SIGKILL');
			case 'stop the master':
				return this.#stopFor(what, master.pid as number, 'master', 4_000);
			case 'reload':
				return this.#operate(what, ['reload', '--wait'], (ended) => {
					if (ended.code === 0) this.#wanted.version = `v${this.#version}`;
				});
			case 'reload what is broken':
				return this.#operate(what, ['reload', '--wait'], (ended) => assert.notEqual(ended.code, 0));
			case 'scale': {
				const count = 1 + Math.floor(this.#chance() * 4);
				const which = this.#chance() < 0.6 ? 'web' : 'jobs/one';
				return this.#operate(what, ['scale', which, String(count)], (ended) => {
					if (ended.code === 0) this.#wanted[which] = count;
				});
			}
			case 'restart':
				return this.#operate(what, ['restart', this.#chance() < 0.5 ? 'plain' : 'jobs/one'], () => {});
			case 'pause':
				return this.#operate(what, ['pause', 'plain'], () => {
					this.#paused = true;
				});
		}
	}

	#operate(what: string, args: string[], then: (ended: Ended) => void): void {
		if (this.#operation !== null) return;
		// What is paused is resumed by the next thing that is asked.
		if (this.#paused) return this.#resume();
		if (what === 'reload') this.#tree.write('web.ts', web(`v${++this.#version}`));
		if (what === 'reload what is broken') this.#tree.write('web.ts', broken);
		this.#note(what, args.join(' '));
		const command = this.#tree.launch(args);
		this.#operation = this.#tree.ended(command, COMMAND_MS).then((ended) => {
			this.#say(`${args.join(' ')} ended with ${ended.code}: ${(ended.stdout + ended.stderr).trim().split('\n').at(-1)}`);
			assert.ok(ended.code === 0 || ended.code === 1, `${args.join(' ')} ended with ${ended.code}: ${ended.stderr}`);
			then(ended);
			this.#operation = null;
		});
		// It is awaited at the end; until then a failure shall not end the process.
		this.#operation.catch(() => {});
	}

	#resume(): void {
		this.#paused = false;
		const from = performance.now();
		// A worker that is killed before it is ready is told to whoever has asked; it is started again all the same.
		const isExcused = () => this.#hurts.some((hurt) => hurt >= from);
		this.#operate('resume', ['resume', 'plain'], ({ code, stderr }) => assert.ok(code === 0 || isExcused(), stderr));
	}

	#stopFor(what: string, pid: number, who: string, upToMs: number): void {
		const ms = Math.round(this.#chance() * upToMs);
		this.#note(what, `${who} (pid ${pid}) for ${ms} ms`);
		const identity = identify(pid);
		signal(pid, 'SIGSTOP');
		const goOn = () => {
			clearTimeout(timer);
			this.#stopped.delete(goOn);
			// Killed meanwhile, its number may be another's.
			if (isAlive(identity)) signal(pid, 'SIGCONT');
			if (who !== 'master') this.#hurt();
		};
		const timer = setTimeout(goOn, ms);
		this.#stopped.add(goOn);
	}

	#hurt(): void {
		this.#hurts.push(performance.now());
	}

	#note(what: string, detail: string): void {
		this.#done[what] = (this.#done[what] ?? 0) + 1;
		this.#say(`${what}: ${detail}`);
	}

	#say(text: string): void {
		const line = `+${((performance.now() - this.#from) / 1000).toFixed(2)} s ${text}`;
		this.#lines.push(line);
		this.#options.log?.(line);
	}

	#settled(): Promise<unknown> {
		return this.#tree.until(
			'all of it runs',
			async () => {
				const { state, children, reload } = await this.#tree.status();
				const others = flatten(children).filter((child) => child.state !== 'running');
				assert.deepEqual([state, others.map(({ path, state: is }) => `${path} ${is}`)], ['running', []]);
				assert.ok(reload == null || reload.state === 'rolledBack' || reload.state === 'refused', `a reload is ${reload?.state}`);
				return true;
			},
			SETTLE_MS,
		);
	}

	/** Desired equals observed. */
	async #checkWanted(port: number): Promise<void> {
		const { children } = await this.#tree.status();
		const paths = flatten(children).map(({ path }) => path);
		const instances = (which: 'web' | 'jobs/one') => Array.from({ length: this.#wanted[which] }, (_, index) => `${which}.${index + 1}`);
		// In start order, however they have come and gone.
		assert.deepEqual(paths, [...instances('web'), 'plain.1', 'plain.2', 'jobs', ...instances('jobs/one'), 'jobs/two']);
		for (let n = 0; n < 10; n++) {
			const version = await textBehind(port);
			assert.equal(version, this.#wanted.version);
		}
	}

	/** No orphan, no double. */
	async #checkProcesses(angel: number): Promise<void> {
		await this.#tree.until(
			'exactly what is in the status runs',
			async () => {
				const { master, children } = await this.#tree.status();
				const known = new Set([angel, master.pid, ...flatten(children).map(({ pid }) => pid)]);
				const others = this.#tree.strays().filter(({ pid }) => !known.has(pid));
				// `choir run` prints in a process of its own, and there is a spare.
				assert.equal(others.length, 2, JSON.stringify(others));
				return true;
			},
			SETTLE_MS,
		);
	}

	/** What the next master makes of the journal and of what it finds. */
	async #checkReplay(): Promise<void> {
		const before = await this.#tree.status();
		signal(before.master.pid as number, 'SIGKILL');
		await this.#tree.until('the next master runs the tree', async () => {
			const { master, state } = await this.#tree.status();
			return state === 'running' && master.pid !== null && master.pid !== before.master.pid;
		});
		const after = await this.#tree.status();
		assert.deepEqual(flatten(after.children).map(lasting), flatten(before.children).map(lasting));
		assert.equal(after.generation, before.generation);
	}

	/** Nobody but a worker that was killed or stopped has cost a request. */
	#checkRequests(failures: Array<{ error: string; at: number }>): void {
		for (const { error, at } of failures)
			assert.ok(
				this.#hurts.some((hurt) => at >= hurt && at - hurt < OWING_MS),
				`a request failed (${error}) at +${((at - this.#from) / 1000).toFixed(2)} s, with no worker hurt`,
			);
	}
}

type Thing =
	| 'kill a worker'
	| 'stop a worker'
	| 'kill the master'
	| 'stop the master'
	| 'reload'
	| 'reload what is broken'
	| 'scale'
	| 'restart'
	| 'pause';
const weights: Array<[thing: Thing, weight: number]> = [
	['kill a worker', 5],
	['stop a worker', 2],
	['kill the master', 3],
	['stop the master', 1],
	['reload', 3],
	['reload what is broken', 1],
	['scale', 3],
	['restart', 2],
	['pause', 1],
];
const total = weights.reduce((sum, [, weight]) => sum + weight, 0);
/** With the chance up to which each is meant. */
const things = weights.map(([thing], index): [Thing, number] => [
	thing,
	weights.slice(0, index + 1).reduce((sum, [, weight]) => sum + weight, 0) / total,
]);

/** The same seed gives the same numbers (mulberry32). */
function random(seed: number): () => number {
	let state = seed >>> 0;
	return () => {
		state = (state + 0x6d2b79f5) >>> 0;
		let mixed = Math.imul(state ^ (state >>> 15), state | 1);
		mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
		return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
	};
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
