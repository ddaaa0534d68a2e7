/**
 * A tree in a simulated world: the machines, the kernel and the spec of the real one, over a host that pretends. No process, no
 * thread, no real time: a test lets time pass, makes things go wrong, and looks.
 */
import type { MasterContext, SupervisorEnd } from '../../machines/master.ts';
import type { ChildDeclaration, ChildSpec, Duration, Exit, StopMode, SupervisorSpec, TreeSpec } from '../../machines/spec.ts';
import type { WorkerContext } from '../../machines/worker.ts';
import { SimulatedClock } from '../kernel/clock.ts';
import type { Step } from '../kernel/kernel.ts';
import type { Leftover, Run } from '../master/host.ts';
import type { Reloaded, SavedGeneration, Versions } from '../master/reloads.ts';
import { isSparePath } from '../master/standbys.ts';
import {
	isOfTree,
	type MemberDeclaration,
	type Outcome,
	RequestError,
	type Scaled,
	type Started,
	Tree,
	type TreeNews,
	type TreeOptions,
} from '../master/tree.ts';
import type { ChildView, Counts, Listed } from '../master/view.ts';
import { type Behaviour, type Conduct, conductOf, countOf, msOf, usual } from './behaviour.ts';
import { seeded } from './chance.ts';
import { lineOf, type WorldEvent } from './events.ts';
import { failure } from './failure.ts';
import { type Request, SimulatedHost, type SimulatedProcess } from './host.ts';

export interface WorldOptions {
	/** For all chance in this world, which is the jitter of restarts. Default 1. */
	seed?: number;
	/** By path, or by the declared id of several instances. */
	behaviours?: Readonly<Record<string, Behaviour>>;
	/** Other machines in the place of choir's: to see that a test finds what is broken. */
	machines?: TreeOptions['machines'];
}

/** Whoever looks on while things happen. */
export interface Observer {
	/** A machine took a step. */
	step?: (step: Step) => void;
	/** A request to a process, before it is carried out. */
	asked?: (path: string, what: Request) => void;
	news?: (news: TreeNews) => void;
}

/** One child, as `choir status --json` has it, without what only a real process has. Times are simulated ms. */
export interface SimulatedStatus {
	path: string;
	kind: ChildSpec['kind'];
	state: ChildView['state'];
	substate: string | null;
	incarnation: number;
	restarts: number;
	lastExit: Exit | null;
	/** Why it is down for good, if it is: `gaveUp`, `fatal`, `finished`. */
	standing: string | null;
	note: string | null;
	children: SimulatedStatus[];
}

/** Ends the step of a master that is killed in it. */
class MasterKilled extends RequestError {
	constructor() {
		super('not_running', 'the master was killed');
	}
}

/** A world that has more to do than this for each of its children does not come to rest. */
const SETTLE_ACTS = 10_000;
/** A new master's boot. */
export const BOOT_MS = 50;
/** To try a new spec and to load it. */
const PREPARE_MS = 20;
/** Lines of the trace that an error shows. */
const SHOWN_LINES = 12;

export class World {
	readonly #spec: TreeSpec;
	readonly #options: WorldOptions;
	readonly #observer: Observer;
	readonly #clock = new SimulatedClock();
	readonly #chance: () => number;
	readonly #host: SimulatedHost;
	/** What is declared, and what was ever launched; null: declared nowhere by this path. */
	readonly #known = new Map<string, ChildSpec | null>();
	readonly #incarnations = new Map<string, number>();
	/** What was ever launched, by worker id; and who has died while there was no master. */
	readonly #runs = new Map<string, Run>();
	readonly #unheard: Leftover[] = [];
	/** What the tree is to be reloaded to; and by the name under which the journal has it, each version that was ever loaded. */
	#wanted: TreeSpec;
	readonly #loaded = new Map<string, TreeSpec>();
	#events: WorldEvent[] = [];
	#tree: Tree;
	#nextId = 1;
	#steps = 0;
	/** The master is gone and the next one is not there yet. */
	#booting = false;
	#asked: StopMode | null = null;
	/** What is on disk, while somebody waits for the master to write; and how often until it is killed. */
	#written: Map<string, unknown> | null = null;
	/** What the last master has left. */
	#left: ReadonlyMap<string, unknown> = new Map();
	#writesLeft = 0;
	#ended: SupervisorEnd | null = null;

	/** Nothing has happened yet: the tree starts as soon as time is let go. */
	constructor(spec: TreeSpec, options: WorldOptions = {}, observer: Observer = {}) {
		this.#spec = spec;
		this.#wanted = spec;
		this.#options = options;
		this.#observer = observer;
		this.#chance = seeded(countOf('seed', options.seed ?? 1));
		this.#host = new SimulatedHost({
			clock: this.#clock,
			tell: (workerId, fact) => {
				if (!this.#booting) return this.#tree.tell(workerId, fact);
				const run = this.#runs.get(workerId);
				if (run === undefined || fact.type !== 'process.exited') return;
				const { code, signal, at } = fact;
				this.#unheard.push(leftover(run, 0, { code, signal, at }));
			},
			asked: (run, what) => {
				const { path, incarnation } = run;
				if (!this.#known.has(path)) this.#known.set(path, null);
				if (what === 'launch' || what === 'activate') {
					this.#incarnations.set(path, incarnation);
					this.#runs.set(run.workerId, run);
				}
				observer.asked?.(path, what);
				this.#record('asked', path, incarnation, what);
			},
		});
		const learn = ({ children }: SupervisorSpec): void => {
			for (const child of children) {
				this.#known.set(child.path, child);
				if (child.kind === 'supervisor') learn(child);
			}
		};
		learn(spec.root);
		for (const [path, behaviour] of Object.entries(options.behaviours ?? {})) this.behaviour(path, behaviour);
		this.#tree = this.#newTree(undefined);
		this.#host.later(0, false, () => this.#tree.start());
	}

	/** Simulated ms since the beginning. */
	get now(): number {
		return this.#clock.now();
	}

	/** How the tree ended, or null while it has not. */
	get ended(): SupervisorEnd | null {
		return this.#ended;
	}

	/** Steps that the machines have taken. */
	get steps(): number {
		return this.#steps;
	}

	/** The tree under test. */
	get tree(): Tree {
		return this.#tree;
	}

	/** The names of all children, supervisors included. */
	get paths(): string[] {
		return [...this.#known.keys()];
	}

	// Letting things happen.

	/** Lets simulated time pass: everything that is due in it happens, in order. */
	advance(duration: Duration): this {
		const end = this.now + msOf('advance', duration);
		this.#run(end, null);
		this.#clock.advance(end - this.now);
		return this;
	}

	/**
	 * Lets everything happen that is under way: starts, ends, what follows from them. What waits for a limit, a backoff, a heartbeat or a
	 * fault is left waiting. It has happened when this returns; the promise lets the test's own promises have their turn as well.
	 */
	settled(): Promise<void> {
		this.#run(Number.POSITIVE_INFINITY, SETTLE_ACTS * Math.max(1, this.#known.size));
		return Promise.resolve();
	}

	// Faults.

	/** The process of a path ends at once: with an exit code (default 1), or by a signal such as `SIGSEGV`. */
	crash(path: string, { code = 1, signal = null }: { code?: number; signal?: string | null } = {}): this {
		const process = this.#living(path, 'crash');
		this.#record('fault', process.run.path, 0, signal === null ? `crashes with code ${code}` : `crashes by ${signal}`);
		this.#until(() => this.#host.end(process, signal === null ? code : null, signal));
		return this;
	}

	/** The process of a path ends at once with `code` (default 0), by itself. */
	exit(path: string, code = 0): this {
		const process = this.#living(path, 'exit');
		this.#record('fault', process.run.path, 0, `exits with code ${code}`);
		this.#until(() => this.#host.end(process, code, null));
		return this;
	}

	/** The process of a path stops beating and hears nothing but SIGKILL from now on; the next incarnation is sound. */
	hang(path: string): this {
		const process = this.#living(path, 'hang');
		this.#record('fault', process.run.path, 0, 'hangs');
		process.hung = true;
		return this;
	}

	/** This and later incarnations never become ready. */
	neverReady(path: string): this {
		return this.#change(path, 'is never ready from now on', (conduct) => {
			conduct.readyMs = 'never';
		});
	}

	/** This and later incarnations ignore SIGTERM. */
	ignoreTerm(path: string): this {
		return this.#change(path, 'ignores SIGTERM from now on', (conduct) => {
			conduct.terminateMs = 'ignored';
		});
	}

	/** This and later incarnations take so long to drain. */
	slowDrain(path: string, duration: Duration): this {
		const ms = msOf('slowDrain', duration);
		return this.#change(path, `drains in ${ms} ms from now on`, (conduct) => {
			conduct.drainMs = ms;
		});
	}

	/** The next launches, so many (default: all), give no process. */
	failToSpawn(path: string, times: number | 'always' = 'always'): this {
		const count = times === 'always' ? Number.POSITIVE_INFINITY : countOf('failToSpawn', times);
		return this.#change(path, times === 'always' ? 'cannot be spawned' : `cannot be spawned ${times} times`, (conduct) => {
			conduct.failToSpawn = count;
		});
	}

	/** What the processes of a path do, for this and later incarnations. It replaces what was said before: `{}` is the default. */
	behaviour(path: string, behaviour: Behaviour): this {
		const conduct = conductOf(`behaviour of ${path}`, behaviour);
		for (const each of this.#named(path)) {
			this.#refuseSupervisor(each);
			if (behaviour.ready !== undefined) this.#refuseInstant(each);
			this.#host.conducts.set(each, { ...conduct });
		}
		return this;
	}

	/**
	 * The master is killed with SIGKILL. What runs as a process goes on, threads and actors go with it; 50 ms later the next master finds
	 * what the last one left.
	 */
	killMaster(): this {
		this.#expectGoing('killMaster');
		this.#record('fault', '', 0, 'the master is killed');
		if (this.#booting) return this;
		// As a file would give it back.
		const mind = this.#written === null ? this.#tree.mind() : Object.fromEntries(this.#written);
		const journal = new Map<string, unknown>(Object.entries(JSON.parse(JSON.stringify(mind))));
		this.#written = null;
		this.#left = journal;
		this.#tree.kernel.close();
		this.#host.loseMaster();
		this.#tree = this.#newTree(journal.get('generation') as SavedGeneration | undefined);
		this.#booting = true;
		this.#host.later(BOOT_MS, false, () =>
			this.#host.say(() => {
				this.#booting = false;
				// A stop is not undone by the death of a master.
				if (this.#asked !== null) this.#tree.stop(this.#asked);
				const living = [...this.#host.processes].map(({ run, pid }) => leftover(run, pid, null));
				const found = [...living, ...this.#unheard.splice(0)];
				this.#tree.start({ journal, found, asked: this.#incarnations });
			}),
		);
		return this;
	}

	/**
	 * The master is killed right after it has written down so many things more, before it does what they are about: where it is worst.
	 */
	killMasterAfterWrites(count: number): this {
		this.#expectGoing('killMasterAfterWrites');
		this.#written = this.#booting ? new Map(this.#left) : new Map(Object.entries(this.#tree.mind()));
		this.#writesLeft = countOf('killMasterAfterWrites', count, 1);
		return this;
	}

	/** The supervisor does not run for so long; the processes do, and what they said meanwhile it hears first. */
	pause(duration: Duration): this {
		const ms = msOf('pause', duration);
		this.#record('fault', '', 0, `the supervisor is paused for ${ms} ms`);
		const heard = this.#host.outside(this.now + ms);
		this.#until(() => this.#clock.pause(ms, heard));
		return this;
	}

	/** Stops the tree as `choir stop` does: with the whole drain (default), `'fast'`: SIGTERM at once, `'kill'`. Its `stopTimeout` counts. */
	stop(mode: StopMode = 'drain'): this {
		if (!['drain', 'fast', 'kill'].includes(mode)) throw new TypeError(`stop: expected 'drain', 'fast' or 'kill', got '${String(mode)}'`);
		this.#expectGoing('stop');
		this.#record('fault', '', 0, mode === 'drain' ? 'stop' : `stop (${mode})`);
		const first = this.#asked === null;
		this.#asked = mode;
		if (first)
			this.#host.later(this.#spec.stopTimeoutMs, true, () =>
				this.#host.say(() => {
					if (this.#ended !== null) return;
					this.#record('asked', '', 0, 'kill');
					this.#asked = 'kill';
					this.#tree.stop('kill');
				}),
			);
		if (!this.#booting) this.#until(() => this.#tree.stop(mode));
		return this;
	}

	/** Restarts one child as `choir restart` does. What became of it is known when enough time has passed. */
	restart(path: string): Promise<Outcome> {
		const one = this.#one(path);
		this.#expectGoing('restart');
		this.#record('fault', one, 0, 'restart is asked');
		if (this.#booting) return Promise.resolve({ ok: false, message: 'there is no master at present' });
		return this.#tree.restart(one);
	}

	/**
	 * Adds a child to a supervisor (`''`: the tree), or one more to a dynamic one, as the library's `child(path).startChild` does. What
	 * became of it, and of the requests below, is known when enough time has passed; they reject with a `RequestError`.
	 */
	startChild(supervisor: string, child: ChildDeclaration | MemberDeclaration): Promise<Started> {
		return this.#request(supervisor, `start of ${child.id ?? 'a child'} is asked`, () => this.#tree.startChild(supervisor, child));
	}

	terminateChild(supervisor: string, id: string): Promise<void> {
		return this.#request(supervisor, `end of ${id} is asked`, () => this.#tree.terminateChild(supervisor, id));
	}

	restartChild(supervisor: string, id: string): Promise<Started> {
		return this.#request(supervisor, `restart of ${id} is asked`, () => this.#tree.restartChild(supervisor, id));
	}

	deleteChild(supervisor: string, id: string): Promise<void> {
		return this.#request(supervisor, `removal of ${id} is asked`, () => this.#tree.deleteChild(supervisor, id));
	}

	/** As `choir scale` does. */
	scale(path: string, count: number): Promise<Scaled> {
		return this.#request(path, `${count} instances are asked`, () => this.#tree.scale(path, count));
	}

	/** As `choir pause` does; `''`: the whole tree. */
	pauseChild(path: string): Promise<Outcome> {
		return this.#request(path, 'pause is asked', () => this.#tree.pause(path));
	}

	/** As `choir resume` does; `''`: all that is paused. */
	resumeChild(path: string): Promise<Outcome> {
		return this.#request(path, 'resume is asked', () => this.#tree.unpause(path));
	}

	/** As `choir reload` does, to `spec`. How it ended is known when enough time has passed. */
	reload(spec: TreeSpec): Promise<Reloaded> {
		this.#expectGoing('reload');
		this.#record('fault', '', 0, 'reload is asked');
		this.#wanted = spec;
		if (this.#booting) return Promise.reject(new RequestError('not_running', 'there is no master at present'));
		return this.#tree.reload().ended;
	}

	whichChildren(supervisor: string): Promise<Listed[]> {
		return this.#tree.whichChildren(supervisor);
	}

	countChildren(supervisor: string): Promise<Counts> {
		return this.#tree.countChildren(supervisor);
	}

	#request<Answer>(supervisor: string, what: string, ask: () => Promise<Answer>): Promise<Answer> {
		this.#expectGoing('request');
		this.#record('fault', supervisor, 0, what);
		if (this.#booting) return Promise.reject(new RequestError('not_running', 'there is no master at present'));
		return ask();
	}

	// Looking.

	/** Of one child, or without a path of the tree: starting, running, draining or dead. A child that waits for its restart is dead. */
	state(path = ''): ChildView['state'] {
		if (path === '' || path === this.#spec.id) return this.#ended === null ? (this.#tree.state as ChildView['state']) : 'dead';
		return this.#view(this.#one(path))?.state ?? 'dead';
	}

	status(): SimulatedStatus[] {
		return this.#tree.view.map(statusOf);
	}

	/** The incarnations that live, in order of their launch: `web.1#2`. */
	alive(): string[] {
		return [...this.#host.processes].filter(({ phase }) => phase === 'alive').map(({ run }) => `${run.path}#${run.incarnation}`);
	}

	/** The latest incarnation of a path, from 1; 0 before the first. */
	incarnation(path: string): number {
		const one = this.#one(path);
		return this.#incarnations.get(one) ?? this.#view(one)?.incarnation ?? 0;
	}

	/** How the latest dead incarnation of a path ended, or null. */
	lastExit(path: string): Exit | null {
		return this.#view(this.#one(path))?.lastExit ?? null;
	}

	/** What has happened, one line an event: `6000  web.1 = dead (killed)`. */
	trace(): string {
		return this.#events.map((event) => lineOf(event, this.#spec.id)).join('\n');
	}

	/** What has happened, as records. */
	events(): readonly WorldEvent[] {
		return this.#events;
	}

	/** Forgets what has happened so far, so that the trace begins here. */
	forget(): this {
		this.#events = [];
		return this;
	}

	/** What is declared for a path; null for a child that was started at run time. */
	specOf(path: string): ChildSpec | null {
		return this.#known.get(this.#one(path)) ?? null;
	}

	/** Processes that live or are being spawned. */
	processes(): IterableIterator<SimulatedProcess> {
		return this.#host.processes;
	}

	#run(end: number, limit: number | null): void {
		const clock = this.#clock;
		const host = this.#host;
		for (let acts = 0; ; acts++) {
			const timer = clock.due;
			const act = host.due;
			if (limit !== null) {
				if (host.underWay === 0 && (timer === null || timer > clock.now())) return;
				if (acts > limit) throw failure(`after ${limit} acts, at ${clock.now()} ms, this world has not come to rest\n${this.#end()}`);
			}
			if (timer !== null && (act === null || timer <= act)) {
				if (timer > end) return;
				this.#until(() => clock.advance(timer - clock.now()));
			} else {
				if (act === null || act > end) return;
				clock.advance(act - clock.now());
				this.#until(() => host.act());
			}
		}
	}

	#newTree(saved: SavedGeneration | undefined): Tree {
		const file = saved?.file ?? 'v1';
		const versions: Versions = {
			current: { generation: saved?.number ?? 1, file, bundle: file, contents: new Map() },
			inForce: () => {},
			prepare: (generation, _keep, done) => {
				const spec = this.#wanted;
				const next = `v${generation}`;
				this.#loaded.set(next, spec);
				let wanted = true;
				this.#host.later(PREPARE_MS, false, () => {
					if (wanted) this.#host.say(() => done({ spec, file: next, bundle: next, contents: new Map() }));
				});
				return () => {
					wanted = false;
				};
			},
		};
		const tree: Tree = new Tree({
			versions,
			journal: { write: (set) => this.#write(set) },
			spec: this.#loaded.get(file) ?? this.#spec,
			clock: this.#clock,
			chance: this.#chance,
			newId: () => `w${this.#nextId++}`,
			host: this.#host,
			news: (news) => this.#hear(news),
			running: () => {},
			ended: (end) => {
				this.#ended = end;
				if (end.why !== 'asked') this.#record('news', '', 0, `${end.why === 'startFailed' ? 'did not start' : 'gave up'}: ${end.message}`);
				this.#record('state', '', 0, 'dead', end.why);
			},
			watch: (step) => this.#watch(step),
			...(this.#options.machines === undefined ? {} : { machines: this.#options.machines }),
		});
		return tree;
	}

	#write(set: Record<string, unknown>): void {
		if (this.#written === null) return;
		for (const [key, value] of Object.entries(set)) {
			if (value === null) this.#written.delete(key);
			else this.#written.set(key, value);
		}
		this.#writesLeft -= 1;
		if (this.#writesLeft > 0) return;
		this.killMaster();
		// Nothing of the step that was written down is carried out.
		throw new MasterKilled();
	}

	/** Whatever a master does may be its last. */
	#until(act: () => void): void {
		try {
			act();
		} catch (error) {
			if (!(error instanceof MasterKilled)) throw error;
		}
	}

	#hear(news: TreeNews): void {
		this.#observer.news?.(news);
		// The states say that.
		const told = ['child.suspect', 'child.stuck', 'operation.done', 'standby.activated'];
		if (told.includes(news.event)) return;
		this.#record('news', news.path, 0, news.message);
	}

	#watch(step: Step): void {
		this.#steps += 1;
		this.#observer.step?.(step);
		const { id, from, to } = step;
		if (from === to || isOfTree(id)) return;
		if (id.startsWith('worker:')) {
			const what = workerStates[to];
			if (what === undefined) return;
			const hash = id.lastIndexOf('#');
			const exit = what === 'dead' ? (this.#tree.kernel.context(id) as WorkerContext | undefined)?.exit : undefined;
			const path = id.slice('worker:'.length, hash);
			const said = what === 'running' && isSparePath(path) ? 'loaded' : what;
			this.#record('state', path, Number(id.slice(hash + 1)), said, exit?.reason ?? null);
		} else {
			const what = to.split('.')[0] as string;
			const path = id.slice('master:'.length);
			if (what === 'starting' || what === from.split('.')[0] || (what === 'dead' && path === '')) return;
			// It may run for no longer than a step.
			if (step.effects.includes('reportReady') && what !== 'running') this.#record('state', path, 0, 'running');
			const end = what === 'dead' ? (this.#tree.kernel.context(id) as MasterContext | undefined)?.end : undefined;
			this.#record('state', path, 0, what, end?.why ?? null);
		}
	}

	#record(kind: WorldEvent['kind'], path: string, incarnation: number, what: string, reason: string | null = null): void {
		this.#events.push({ at: this.#host.now, kind, path, incarnation, what, reason });
	}

	#change(path: string, what: string, change: (conduct: Conduct) => void): this {
		for (const each of this.#named(path)) {
			this.#refuseSupervisor(each);
			if (what.startsWith('is never ready')) this.#refuseInstant(each);
			const conduct = { ...(this.#host.conducts.get(each) ?? usual) };
			change(conduct);
			this.#host.conducts.set(each, conduct);
			this.#record('fault', each, 0, what);
		}
		return this;
	}

	/** The paths that a word means: a path, or the declared id of several instances. */
	#named(word: string): string[] {
		if (this.#known.has(word)) return [word];
		const slash = word.lastIndexOf('/');
		const found = [...this.#known].filter(
			([path, spec]) =>
				spec?.declaredId === word.slice(slash + 1) && path.lastIndexOf('/') === slash && path.startsWith(word.slice(0, slash + 1)),
		);
		if (found.length > 0) return found.map(([path]) => path);
		throw failure(`there is no child '${String(word)}'; there are ${this.paths.join(', ')}`);
	}

	#one(word: string): string {
		const paths = this.#named(word);
		if (paths.length > 1) throw failure(`'${word}' is ${paths.join(', ')}: name one of them`);
		return paths[0] as string;
	}

	#living(word: string, verb: string): SimulatedProcess {
		const path = this.#one(word);
		this.#refuseSupervisor(path);
		const process = this.#host.at(path);
		if (process?.phase === 'alive') return process;
		throw failure(`${verb}: at ${this.now} ms ${path} has no process: it is ${this.state(path)}\n${this.#end()}`);
	}

	#refuseSupervisor(path: string): void {
		const kind = this.#known.get(path)?.kind;
		if (kind === 'supervisor' || kind === 'dynamic')
			throw failure(`'${path}' is a supervisor and has no process of its own: name one of its children`);
	}

	#refuseInstant(path: string): void {
		const spec = this.#known.get(path);
		if (spec == null || !('ready' in spec) || (spec.ready.kind !== 'spawned' && spec.ready.kind !== 'after')) return;
		const when = spec.ready.kind === 'spawned' ? 'as soon as it is spawned' : `${spec.ready.afterMs} ms after that`;
		throw failure(`'${path}' is ready ${when}, by its declaration: nothing it does can keep it from that`);
	}

	#expectGoing(verb: string): void {
		if (this.#ended !== null) throw failure(`${verb}: the tree has ended: ${this.#ended.message}\n${this.#end()}`);
	}

	#view(path: string): ChildView | undefined {
		const find = (views: readonly ChildView[]): ChildView | undefined => {
			for (const view of views) {
				const found = view.spec.path === path ? view : find(view.children);
				if (found !== undefined) return found;
			}
			return undefined;
		};
		return find(this.#tree.view);
	}

	/** The end of the trace, for errors. */
	#end(): string {
		return this.#events
			.slice(-SHOWN_LINES)
			.map((event) => `  ${lineOf(event, this.#spec.id)}`)
			.join('\n');
	}
}

/** States of a worker that are worth a line; the others are told by what is asked of it. */
const workerStates: Record<string, string> = {
	'running.healthy': 'running',
	'running.suspect': 'suspect',
	'draining.stuck': 'stuck',
	dead: 'dead',
};

function statusOf({ spec, state, substate, incarnation, restarts, lastExit, standing, note, children }: ChildView): SimulatedStatus {
	const { path, kind } = spec;
	return { path, kind, state, substate, incarnation, restarts, lastExit, standing, note, children: children.map(statusOf) };
}

function leftover({ workerId, path, incarnation, generation, stop }: Run, pid: number, ended: Leftover['ended']): Leftover {
	return { workerId, path, incarnation, generation, stop, pid, startTicks: pid, token: null, logFrom: 0, ended };
}
