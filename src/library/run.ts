/** Runs a tree within this process: the master's part, and without an angel. */
import { nanoid } from 'nanoid';
import type { SupervisorEnd } from '../../machines/master.ts';
import { type ChildSpec, listenersOf, type StopMode, type TreeDeclaration, type TreeSpec } from '../../machines/spec.ts';
import type { WorkerContext } from '../../machines/worker.ts';
import { ActorHost } from '../hosts/actors.ts';
import { asNobody } from '../hosts/containment.ts';
import { RealClock } from '../kernel/clock.ts';
import type { Step } from '../kernel/kernel.ts';
import type { Tell } from '../master/host.ts';
import { Hosts } from '../master/hosts.ts';
import { pathOf } from '../master/paths.ts';
import { isPool } from '../master/standbys.ts';
import { StatusReader } from '../master/status.ts';
import { RequestError, Tree, type TreeNews } from '../master/tree.ts';
import { checkSpec, resolveSpec, SpecError } from '../spec/check.ts';
import { checkFiles } from '../spec/load.ts';
import { Feed } from './feed.ts';
import { LaterHost } from './later.ts';
import { LocalProcesses } from './processes.ts';
import { type Running, type RunningChild, StartError, type StartOptions, type Transition } from './start.ts';

/** What waits for a reader who does not read. */
const MAX_EVENTS = 1_000;

export async function run(declaration: TreeDeclaration, options: StartOptions): Promise<Running<TreeDeclaration>> {
	const base = options.base ?? process.cwd();
	const errors = [...checkSpec(declaration), ...checkFiles(declaration, base)].filter(({ severity }) => severity === 'error');
	if (errors.length > 0) throw new SpecError(errors);
	return asNobody(() => Local.start(resolveSpec(declaration), base, options));
}

/** Whether something of it is more than an actor: a process, or a thread with its output. */
function needsFolder(spec: ChildSpec): boolean {
	if (spec.kind === 'supervisor') return spec.children.some(needsFolder);
	const { kind } = spec.kind === 'dynamic' ? spec.template : spec;
	return kind !== 'actor';
}

class Local implements Running<TreeDeclaration> {
	readonly ended: Promise<SupervisorEnd>;
	readonly #spec: TreeSpec;
	readonly #base: string;
	readonly #options: StartOptions;
	readonly #clock = new RealClock();
	readonly #since = new Date().toISOString();
	readonly #feed = new Feed<Transition>(MAX_EVENTS);
	readonly #actors: ActorHost;
	readonly #tell: Tell = (workerId, fact) => this.#tree?.tell(workerId, fact);
	readonly #statuses: StatusReader;
	#processes: LocalProcesses | null = null;
	#opening: Promise<LocalProcesses> | null = null;
	#tree: Tree | null = null;
	#end: (end: SupervisorEnd) => void = () => {};
	#stopTimer: NodeJS.Timeout | null = null;
	#over = false;

	static async start(spec: TreeSpec, base: string, options: StartOptions): Promise<Local> {
		const local = new Local(spec, base, options);
		await local.#start();
		return local;
	}

	private constructor(spec: TreeSpec, base: string, options: StartOptions) {
		this.#spec = spec;
		this.#base = base;
		this.#options = options;
		this.#actors = new ActorHost({
			tell: this.#tell,
			now: this.#now,
			news: options.news === undefined ? null : (news) => this.#news(news),
		});
		this.#statuses = new StatusReader(this.#now, {
			says: (workerId) => this.#processes?.workers.statusText(workerId) ?? this.#processes?.threads.statusText(workerId) ?? null,
			threadUsage: (workerId) => this.#processes?.threads.usage(workerId) ?? null,
			slotsAt: (address) => this.#processes?.slotsAt(address) ?? 1,
			droppedBytes: (path) => Math.max(this.#processes?.host.droppedBytes(path) ?? 0, this.#processes?.threads.droppedBytes(path) ?? 0),
		});
		this.ended = new Promise<SupervisorEnd>((resolve) => {
			this.#end = resolve;
		}).then((end) => this.#close().then(() => end));
		// Whoever does not ask how it ended is not told by the end of the process.
		this.ended.catch(() => {});
	}

	readonly #now = () => this.#clock.now();

	async #start(): Promise<void> {
		if (needsFolder(this.#spec.root)) await this.#open();
		const host = new Hosts({
			process: new LaterHost(async () => (await this.#open()).host, this.#tell, this.#now),
			thread: new LaterHost(async () => (await this.#open()).threads, this.#tell, this.#now),
			actor: this.#actors,
		});
		const feed = this.#feed;
		const watch = (step: Step) => this.#watch(step);
		const running = new Promise<void>((resolve) => {
			this.#tree = new Tree({
				spec: this.#spec,
				clock: this.#clock,
				chance: Math.random,
				newId: () => nanoid(),
				host,
				news: (news) => this.#news(news),
				running: resolve,
				ended: (end) => this.#end(end),
				get watch() {
					return feed.isRead ? watch : undefined;
				},
			});
		});
		this.#running.start();
		const end = await Promise.race([running, this.ended]);
		if (end !== undefined) throw new StartError(`tree '${this.#spec.id}' did not start: ${end.message}`);
	}

	/** The folder, the lock and the sockets of the tree: taken when the first child needs them. */
	#open(): Promise<LocalProcesses> {
		this.#opening ??= LocalProcesses.open({
			id: this.#spec.id,
			base: this.#base,
			tell: this.#tell,
			now: this.#now,
			listen: listenersOf(this.#spec.root),
			note: (event, path, message) => this.#news({ level: 'info', path, event, message }),
		}).then(
			(processes) => {
				this.#processes = processes;
				return processes;
			},
			(error: Error) => {
				this.#opening = null;
				throw error;
			},
		);
		return this.#opening;
	}

	get #running(): Tree {
		return this.#tree as Tree;
	}

	status(): ReturnType<Running<TreeDeclaration>['status']> {
		const { state, view } = this.#running;
		return { tree: this.#spec.id, state, since: this.#since, children: this.#statuses.read(view) };
	}

	events(): ReturnType<Running<TreeDeclaration>['events']> {
		return this.#feed.read();
	}

	ref(path: string): { readonly path: string; send(event: { type: string }): void } {
		const spec = this.#running.specOf(path);
		if (spec === undefined) throw new RequestError('not_found', `there is no child '${path}'`);
		if (spec.kind !== 'actor') throw new RequestError('failed', `'${path}' is no actor`);
		return { path, send: (event) => this.#actors.send(path, event, spec.kept) };
	}

	child(path: string): RunningChild {
		const tree = this.#running;
		return {
			startChild: (child) => asNobody(() => tree.startChild(path, child)),
			terminateChild: (id) => asNobody(() => tree.terminateChild(path, id)),
			restartChild: (id) => asNobody(() => tree.restartChild(path, id)),
			deleteChild: (id) => asNobody(() => tree.deleteChild(path, id)),
			whichChildren: () => asNobody(() => tree.whichChildren(path)),
			countChildren: () => asNobody(() => tree.countChildren(path)),
		};
	}

	async stop(mode: StopMode = 'drain'): Promise<void> {
		// A limit for what is over would only keep the process alive.
		if (this.#over) return void (await this.ended);
		asNobody(() => {
			this.#stopTimer ??= setTimeout(() => this.#running.stop('kill'), this.#spec.stopTimeoutMs);
			this.#running.stop(mode);
		});
		await this.ended;
	}

	/** Nothing of the tree runs any more. */
	async #close(): Promise<void> {
		this.#over = true;
		if (this.#stopTimer !== null) clearTimeout(this.#stopTimer);
		this.#actors.close();
		await this.#opening?.catch(() => null);
		await this.#processes?.close();
		this.#feed.end();
	}

	#news({ level, path, event, message, detail }: TreeNews): void {
		this.#options.news?.({ level, path, event, message, detail: detail ?? {} });
	}

	#watch({ id, from, to, at }: Step): void {
		if (from === to || isPool(id)) return;
		const isWorker = id.startsWith('worker:');
		const exit = isWorker && to === 'dead' ? (this.#running.kernel.context(id) as WorkerContext | undefined)?.exit : null;
		this.#feed.put({
			type: 'transition',
			at: this.#statuses.isoOf(at),
			path: pathOf(id),
			incarnation: isWorker ? Number(id.slice(id.lastIndexOf('#') + 1)) : null,
			from: from === '' ? null : from,
			to,
			exit: exit == null ? null : { ...exit, at: this.#statuses.isoOf(exit.at) },
		});
	}
}
