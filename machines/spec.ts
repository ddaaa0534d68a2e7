/**
 * The words of choir: what a tree is made of, as users declare it (`…Declaration`) and as the machines read it
 * (`…Spec`: defaults filled in, durations in milliseconds, instances written out, in start order).
 * `checkSpec` in `check.ts` says what is wrong with a declaration; `resolveSpec` below takes only a right one.
 */

import type { AnyActorLogic, InputFrom } from 'xstate';

/** Milliseconds, or `'250ms'`, `'5s'`, `'2m'`. 0 means off. */
export type Duration = number | string;

/** OTP's restart types. */
export type RestartType = 'permanent' | 'transient' | 'temporary';

/** Who else goes down with a child that fails. In OTP a supervisor has one; here each child may have its own. */
export type Strategy = 'one_for_one' | 'one_for_all' | 'rest_for_one';

/** What becomes of a child whose intensity is exceeded: its supervisor ends, it stays dead, or it is tried on at the slowest backoff. */
export type WhenExhausted = 'escalate' | 'giveUp' | 'keepTrying';

/** When a supervisor ends by itself because its significant children have ended in order (OTP's `auto_shutdown`). */
export type AutoShutdown = 'never' | 'any_significant' | 'all_significant';

/**
 * Why an incarnation ended. `shutdown`: it was asked to; `lost`: it is gone and nobody saw how; `ignored`: it did not want to run
 * (OTP's `ignore`).
 */
export type ExitReason = 'normal' | 'shutdown' | 'crash' | 'killed' | 'startFailed' | 'hung' | 'lost' | 'ignored';

/** How an incarnation ended. `at`: monotonic ms of the supervisor that saw it. `detail`: one sentence for people, if there is more to say. */
export interface Exit {
	reason: ExitReason;
	code: number | null;
	signal: string | null;
	at: number;
	maxRssBytes: number | null;
	detail?: string;
}

/**
 * What a master does whose angel was killed. `keep`: it ends, and the workers go on serving until the next run takes them over;
 * `stop`: it stops the tree in order, and ends.
 */
export type OnAngelLoss = 'keep' | 'stop';

/** How a stop is to go: with the whole drain, with SIGTERM at once, or with SIGKILL at once. */
export type StopMode = 'drain' | 'fast' | 'kill';

export interface IntensityDeclaration {
	restarts: number;
	within: Duration;
}
export interface BackoffDeclaration {
	from?: Duration;
	to?: Duration;
	resetAfter?: Duration;
}
export interface RestartDeclaration {
	type?: RestartType;
	strategy?: Strategy;
	intensity?: IntensityDeclaration;
	whenExhausted?: WhenExhausted;
	/** 0 switches it off: the replacement starts at once; of a `node` child it is ordered in advance where nothing else would follow. */
	backoff?: BackoffDeclaration | 0;
	/** Exit codes that count as a normal end. Default `[0]`. */
	okCodes?: number[];
	/** Exit codes after which the child is not restarted. Default `[78]`. */
	fatalCodes?: number[];
}
export interface StopDeclaration {
	/** From the drain request to SIGTERM. Default `'60s'` for node, 0 (SIGTERM at once) for command. */
	drain?: Duration | 'infinity';
	/** From SIGTERM to SIGKILL. Default `'5s'` for node, `'10s'` for command. */
	terminate?: Duration;
}
/** How what lives within the master is stopped. There is no SIGTERM for it: after the drain it is killed. */
export interface InnerStopDeclaration {
	/** From the drain request to the kill. Default `'5s'`, as in OTP; 0: killed at once (OTP's `brutal_kill`). */
	drain?: Duration | 'infinity';
}
type Probe = { tcp: number | string } | { http: string; status?: number } | { exec: string[] };
export type ReadyDeclaration =
	| 'spawned'
	| 'signal'
	| ((Probe | { signal: true } | { output: RegExp } | { after: Duration }) & {
			/** Until ready, from the start. Default `'30s'`. */
			timeout?: Duration;
			/** Between two tries of a probe. Default `'100ms'`. */
			every?: Duration;
	  });
export type LiveDeclaration = Probe & {
	/** Between two probes. Default `'10s'`. */
	every?: Duration;
	/** For one probe. Default `'5s'`. */
	timeout?: Duration;
	/** Failures in a row until the child counts as hung. Default 3. */
	failures?: number;
};
export interface HeartbeatDeclaration {
	every?: Duration;
	timeout?: Duration;
}
/** How a new version takes the place of the old one. A mode, or more. */
export type ReloadDeclaration =
	| ReloadMode
	| {
			mode?: ReloadMode;
			/** Of the instances of a child: how many new ones may be starting at a time. Default: all. */
			surge?: number;
			/** How long new ones must have run, once all are ready, before the old ones are let go. Default `'1s'`. */
			soak?: Duration;
			/** Until a new one is ready, from its start. Default: that of `ready`. */
			timeout?: Duration;
	  };
/**
 * `surge`: the new one starts beside the old one, which goes when the new one has soaked: for what can share what it holds (default
 * with `listen`). `restart`: the old one stops, then the new one starts: for what only one can hold (default without).
 */
export type ReloadMode = 'surge' | 'restart';
export interface LogsDeclaration {
	/** The output file is rotated when it holds this many bytes. Default 10 MiB; 0 is never. */
	rotateBytes?: number;
	/** Rotated files kept. Default 5. */
	keep?: number;
}
interface ChildOptions<Id extends string = string> {
	id: Id;
	restart?: RestartType | RestartDeclaration;
	/** Its end counts for the `autoShutdown` of its supervisor. Not for a permanent child. Default false. */
	significant?: boolean;
}
/** How the instances of a child come to their connections. */
export type Accept = 'shared' | 'slots' | 'token';
export type AcceptDeclaration =
	| Accept
	| {
			mode: Accept;
			/** Of a token: how long each has it. Default `'100ms'`. */
			quantum?: Duration;
	  };
interface ProcessDeclaration<Id extends string> extends ChildOptions<Id> {
	instances?: number;
	/** Name → port (on all addresses), `'host:port'` (an IP address or `localhost`) or `'unix:/path'`. */
	listen?: Record<string, number | string>;
	/**
	 * `'slots'`: a socket of the same port (SO_REUSEPORT) for each declared instance, so that the kernel spreads connections evenly;
	 * siblings cover for one that is down. Where the platform cannot, and for unix sockets, they share one. `'shared'`: one for all.
	 * `'token'`, for `node` only: one for all, on which they take turns to accept; the next one has it at once if one dies, drains or hangs.
	 * Default: `'slots'` for `node`, `'shared'` for `command`, whose program cannot cover.
	 */
	accept?: AcceptDeclaration;
	ready?: ReadyDeclaration;
	live?: LiveDeclaration;
	stop?: StopDeclaration;
	/** What the child gets, beside the names in `inheritEnv` and a small base (PATH, HOME, USER, LOGNAME, SHELL, LANG, LC_*, TZ, TMPDIR). */
	env?: Record<string, string>;
	/** Read anew at each start; `env` wins. Relative to the spec. */
	envFile?: string;
	/** Names passed on from choir's own environment, or `true` for all of it. Default none. */
	inheritEnv?: string[] | true;
	/** Relative to the spec. Default: the spec's folder. */
	cwd?: string;
	logs?: LogsDeclaration;
	reload?: ReloadDeclaration;
}
export interface NodeDeclaration<Id extends string = string> extends ProcessDeclaration<Id> {
	kind: 'node';
	/** TypeScript or JavaScript, relative to the spec. */
	module: string;
	args?: string[];
	/** Options for node itself, such as `--max-old-space-size=256`. */
	execArgv?: string[];
	/** Default `{ every: '1s', timeout: '10s' }`; 0 is off. */
	heartbeat?: HeartbeatDeclaration | 0;
	/**
	 * So many spares for the group of its instances: processes that are loaded and do not accept yet. A crash activates one in the place of
	 * a new process, and the pool refills in the background. With `listen` or `ready: 'signal'` only. Default 0. With spares the
	 * default of `restart.backoff` is 0: there is no use in a spare that waits.
	 */
	standby?: number;
}
export interface CommandDeclaration<Id extends string = string> extends ProcessDeclaration<Id> {
	kind: 'command';
	run: string[];
}
/** Heap limits of a thread, in MiB, as `worker_threads` takes them. `maxOldGenerationSizeMb` is at least 8: below, a thread cannot begin. */
export interface ResourceLimits {
	maxOldGenerationSizeMb?: number;
	maxYoungGenerationSizeMb?: number;
	codeRangeSizeMb?: number;
	stackSizeMb?: number;
}
export interface ThreadDeclaration<Id extends string = string> extends ChildOptions<Id> {
	kind: 'thread';
	instances?: number;
	/** TypeScript or JavaScript, relative to the spec. */
	module: string;
	args?: string[];
	/** What the thread finds in `workerData`: anything that can be cloned. */
	input?: unknown;
	resourceLimits?: ResourceLimits;
	/** `'spawned'` (default): its module is loaded and runs. `'signal'`: it says so, or it listens. */
	ready?: 'spawned' | 'signal' | { signal: true; timeout?: Duration } | { after: Duration; timeout?: Duration };
	/** Default `{ every: '1s', timeout: '10s' }`; 0 is off. */
	heartbeat?: HeartbeatDeclaration | 0;
	stop?: InnerStopDeclaration;
	env?: Record<string, string>;
	inheritEnv?: string[] | true;
	logs?: LogsDeclaration;
}
/** XState actor logic of any kind: a machine, `fromPromise`, `fromCallback`, `fromTransition`, `fromObservable`. */
export interface ActorDeclaration<
	Id extends string = string,
	Logic extends AnyActorLogic = AnyActorLogic,
	/** `never`: there are none, and its path is its id. */
	Instances extends number = number,
> extends ChildOptions<Id> {
	kind: 'actor';
	instances?: Instances;
	/** A function is asked at each start; null from it: not now (OTP's `ignore`), which is no failure. */
	logic: Logic | (() => Logic | null);
	input?: InputFrom<Logic>;
	stop?: InnerStopDeclaration;
	/** What becomes of events sent while there is no incarnation: dropped, or kept, so many at most. Default `'dropped'`. */
	unheard?: 'dropped' | { kept: number };
	/** `'snapshot'`: a restart goes on from the last good snapshot instead of afresh. */
	resume?: 'fresh' | 'snapshot';
}
export interface SupervisorOptions<Children extends readonly ChildDeclaration[] = readonly ChildDeclaration[]> {
	strategy?: Strategy;
	/** Default `{ restarts: 5, within: '30s' }`. */
	intensity?: IntensityDeclaration;
	/** `'ordered'` (default): each child is ready before the next starts. */
	start?: 'ordered' | 'parallel';
	/** Whether it ends when its significant children have ended. Default `'never'`. */
	autoShutdown?: AutoShutdown;
	children: Children;
}
/** How long a supervisor may take to stop its children before they are killed: a limit, `'infinity'` (default, as in OTP), `'kill'`: at once. */
export type ShutdownDeclaration = Duration | 'infinity' | 'kill';
export interface SupervisorDeclaration<
	Id extends string = string,
	Children extends readonly ChildDeclaration[] = readonly ChildDeclaration[],
> extends SupervisorOptions<Children>,
		ChildOptions<Id> {
	kind: 'supervisor';
	shutdown?: ShutdownDeclaration;
}
/** A supervisor of very many like children that come and go at run time (OTP's simple_one_for_one, Elixir's DynamicSupervisor). */
export interface DynamicDeclaration<
	Id extends string = string,
	Child extends WorkDeclaration = WorkDeclaration,
	/** `never`: there is one supervisor. */
	Partitions extends number = number,
> extends ChildOptions<Id> {
	kind: 'dynamic';
	/** What each of them is. Its `id` names those that are started without a name of their own: `id-1`, `id-2` … */
	child: Child;
	/** Default `{ restarts: 5, within: '30s' }`. */
	intensity?: IntensityDeclaration;
	/** At most so many at a time; a start beyond is refused. Default 1 000 000. */
	maxChildren?: number;
	/** So many supervisors side by side, `id.1` …, each with its own intensity; a child's name decides whose it is (Elixir's PartitionSupervisor). */
	partitions?: Partitions;
	shutdown?: ShutdownDeclaration;
}
export interface TreeDeclaration<Id extends string = string, Children extends readonly ChildDeclaration[] = readonly ChildDeclaration[]>
	extends SupervisorOptions<Children> {
	kind: 'tree';
	id: Id;
	/** For a stop by SIGTERM or `choir stop`, over all: then what is left is killed. Default `'2m'`. */
	stopTimeout?: Duration;
	/** What becomes of the tree if its angel is killed by SIGKILL. Default `'keep'`: it goes on serving, and the next run takes it over. */
	onAngelLoss?: OnAngelLoss;
	/** For an upgrade: until the tree runs under its new angel. Then all is taken back. Default `'30s'`. */
	upgradeTimeout?: Duration;
	/** The angel's watch over its master. Default: `every: '1s'`, `timeout: '30s'`, `{ restarts: 5, within: '60s' }`, `'200ms'` to `'5s'`. */
	master?: { heartbeat?: HeartbeatDeclaration; intensity?: IntensityDeclaration; backoff?: BackoffDeclaration };
	/**
	 * The live page: on or off, a port of the loopback address, an address, or more. Without it, `choir run` has the page and
	 * `choir start` has it once `choir view` asks. Default: any free port of `127.0.0.1`. A tree that runs as a library has none.
	 */
	view?: boolean | number | string | ViewDeclaration;
	/** Operations (`choir restart`, `reload`, `scale` …) go one at a time: how many may wait, and how many ended ones are remembered. Default 100 each. */
	operations?: { waiting?: number; kept?: number };
}
export interface ViewDeclaration {
	/** An IP address or `localhost`. Default `'127.0.0.1'`: no other machine reaches it. */
	host?: string;
	/** 0 (default): any that is free. */
	port?: number;
	/** Whether the page only shows. Default: false on the loopback address, true elsewhere. */
	readOnly?: boolean;
	/** Names by which browsers may reach it beside its address, such as that of a proxy: `'choir.example.com'`. Default none. */
	hosts?: string[];
	/** The last steps that are kept to be looked at: of each child (default 200), and in all (default 20 000). */
	history?: { perChild?: number; inAll?: number };
}
export type WorkDeclaration = NodeDeclaration | CommandDeclaration | ThreadDeclaration | ActorDeclaration;
export type ChildDeclaration = WorkDeclaration | SupervisorDeclaration | DynamicDeclaration;

export interface Intensity {
	restarts: number;
	withinMs: number;
}
export interface Backoff {
	fromMs: number;
	toMs: number;
	resetAfterMs: number;
}
export interface RestartRule {
	type: RestartType;
	significant: boolean;
	strategy: Strategy;
	/** Its own window beside its supervisor's. A child that does not escalate has only its own. */
	intensity: Intensity | null;
	whenExhausted: WhenExhausted;
	backoff: Backoff;
	okCodes: number[];
	fatalCodes: number[];
}
export type ProbeSpec =
	| { kind: 'tcp'; host: string; port: number }
	| { kind: 'http'; url: string; status: number | null }
	| { kind: 'exec'; run: string[] };
export type ReadySpec = { timeoutMs: number } & (
	| { kind: 'spawned' }
	| { kind: 'signal' }
	| { kind: 'output'; pattern: string; regexFlags: string }
	| { kind: 'after'; afterMs: number }
	| { kind: 'probe'; probe: ProbeSpec; everyMs: number }
);
export interface LiveSpec {
	probe: ProbeSpec;
	everyMs: number;
	timeoutMs: number;
	failures: number;
}
export interface HeartbeatSpec {
	everyMs: number;
	timeoutMs: number;
}
/** `drainMs` 0: no drain, SIGTERM at once. `terminateMs` 0: no SIGTERM, killed at once. */
export interface StopSpec {
	drainMs: number;
	terminateMs: number;
}
/** An address that the angel binds. The order of descriptors is the order in `listen`. */
export interface ListenSpec {
	name: string;
	host: string | null;
	port: number | null;
	socketPath: string | null;
	/** Sockets wanted at this address; 1: one that all instances share. */
	slots: number;
}
interface ChildFields {
	/** The id, with `.1`, `.2` … for instances: unique among its siblings. */
	id: string;
	/** The id as declared. */
	declaredId: string;
	/** Ids from the root joined with `/`, without the tree's name. */
	path: string;
	restart: RestartRule;
}
interface WorkFields extends ChildFields {
	ready: ReadySpec;
	live: LiveSpec | null;
	heartbeat: HeartbeatSpec | null;
	stop: StopSpec;
}
interface ProcessFields extends WorkFields {
	listen: ListenSpec[];
	env: Record<string, string>;
	envFile: string | null;
	inheritEnv: string[] | true;
	cwd: string | null;
	logs: LogsSpec;
	reload: ReloadSpec;
}
export interface ReloadSpec {
	mode: ReloadMode;
	/** null: all at once. */
	surge: number | null;
	soakMs: number;
	/** null: that of `ready`. */
	timeoutMs: number | null;
}
export interface LogsSpec {
	rotateBytes: number;
	keep: number;
}
export interface NodeSpec extends ProcessFields {
	kind: 'node';
	module: string;
	args: string[];
	execArgv: string[];
	/** Spares of its group. */
	standby: number;
	/** How long each of its instances has the token; null: there is none. */
	quantumMs: number | null;
}
export interface CommandSpec extends ProcessFields {
	kind: 'command';
	run: string[];
}
export interface ThreadSpec extends WorkFields {
	kind: 'thread';
	module: string;
	args: string[];
	input: unknown;
	resourceLimits: ResourceLimits;
	env: Record<string, string>;
	inheritEnv: string[] | true;
	logs: LogsSpec;
}
export interface ActorSpec extends WorkFields {
	kind: 'actor';
	logic: ActorDeclaration['logic'];
	input: unknown;
	/** Events kept while there is no incarnation. 0: dropped. */
	kept: number;
	resume: 'fresh' | 'snapshot';
}
/** The root has `''` for its ids and its path. */
export interface SupervisorSpec extends ChildFields {
	kind: 'supervisor';
	strategy: Strategy;
	intensity: Intensity;
	start: 'ordered' | 'parallel';
	autoShutdown: AutoShutdown;
	/** From a stop request to the kill of what is left; 0: killed at once; null: no limit. */
	shutdownMs: number | null;
	children: ChildSpec[];
}
export interface DynamicSpec extends ChildFields {
	kind: 'dynamic';
	intensity: Intensity;
	maxChildren: number;
	shutdownMs: number | null;
	/** What all its children are; `id` and `path` are those of the supervisor, and each child has its own. */
	template: WorkSpec;
}
/** What the operating system runs. */
export type ProcessSpec = NodeSpec | CommandSpec;
/** What runs, as opposed to what supervises. */
export type WorkSpec = ProcessSpec | ThreadSpec | ActorSpec;
export type ChildSpec = WorkSpec | SupervisorSpec | DynamicSpec;
export interface TreeSpec {
	/** The tree's name. */
	id: string;
	root: SupervisorSpec;
	stopTimeoutMs: number;
	onAngelLoss: OnAngelLoss;
	upgradeTimeoutMs: number;
	master: { heartbeat: HeartbeatSpec; intensity: Intensity; backoff: Backoff };
	view: ViewSpec;
	operations: { waiting: number; kept: number };
}
export interface ViewSpec {
	/** null: not said. */
	on: boolean | null;
	host: string;
	/** 0: any that is free. */
	port: number;
	readOnly: boolean;
	hosts: string[];
	history: { perChild: number; inAll: number };
}

/** Defaults, each in one place. Durations in ms. */
export const defaults = {
	strategy: 'one_for_one' as Strategy,
	intensity: { restarts: 5, withinMs: 30_000 },
	// A crash loop is ended by its intensity, not by ever longer waits: so the slowest default wait is short.
	backoff: { fromMs: 100, toMs: 1_000, resetAfterMs: 30_000 },
	noBackoff: { fromMs: 0, toMs: 0, resetAfterMs: 0 },
	okCodes: [0],
	fatalCodes: [78],
	readyTimeoutMs: 30_000,
	readyEveryMs: 100,
	live: { everyMs: 10_000, timeoutMs: 5_000, failures: 3 },
	heartbeat: { everyMs: 1_000, timeoutMs: 10_000 },
	stopNode: { drainMs: 60_000, terminateMs: 5_000 },
	stopCommand: { drainMs: 0, terminateMs: 10_000 },
	stopInner: { drainMs: 5_000, terminateMs: 0 },
	maxChildren: 1_000_000,
	logs: { rotateBytes: 10 * 1024 * 1024, keep: 5 },
	reload: { soakMs: 1_000 },
	quantumMs: 100,
	stopTimeoutMs: 120_000,
	onAngelLoss: 'keep' as OnAngelLoss,
	upgradeTimeoutMs: 30_000,
	master: {
		heartbeat: { everyMs: 1_000, timeoutMs: 30_000 },
		intensity: { restarts: 5, withinMs: 60_000 },
		backoff: { fromMs: 200, toMs: 5_000, resetAfterMs: 60_000 },
	},
	operations: { waiting: 100, kept: 100 },
	view: { on: null, host: '127.0.0.1', port: 0, readOnly: false, hosts: [], history: { perChild: 200, inAll: 20_000 } } as ViewSpec,
} as const;

/** The kernel's timers end here; an `after` beyond would fire at once. Stands for "no limit". */
export const NEVER_MS = 2 ** 31 - 1;

/** Text such as '5s' → milliseconds; undefined if it is no duration. It comes from outside: this folder has no libraries. */
export type ParseDuration = (text: string) => number | undefined;

/** A declaration with all its defaults, durations in ms and instances written out. Only for one that `checkSpec` finds right. */
export function resolveSpec(declaration: TreeDeclaration, parseDuration: ParseDuration): TreeSpec {
	return resolving(parseDuration).treeOf(declaration);
}

/** A child that is added at run time, as `supervisor` would have it. Several if it is declared with instances. */
export function resolveChild(declaration: ChildDeclaration, supervisor: SupervisorSpec, parseDuration: ParseDuration): ChildSpec[] {
	return resolving(parseDuration).childOf(declaration, supervisor);
}

function resolving(parseDuration: ParseDuration) {
	const ms = (duration: Duration | undefined, otherwise: number) =>
		duration === undefined ? otherwise : typeof duration === 'number' ? duration : (parseDuration(duration) ?? otherwise);
	const drainOf = (drain: Duration | 'infinity' | undefined, otherwise: number) => (drain === 'infinity' ? NEVER_MS : ms(drain, otherwise));
	const shutdownOf = (given: ShutdownDeclaration | undefined) =>
		given === undefined || given === 'infinity' ? null : given === 'kill' ? 0 : ms(given, 0);
	const intensityOf = (given: IntensityDeclaration | undefined, otherwise: Intensity): Intensity =>
		given === undefined ? { ...otherwise } : { restarts: given.restarts, withinMs: ms(given.within, otherwise.withinMs) };
	const backoffOf = (given: BackoffDeclaration | 0 | undefined, otherwise: Backoff): Backoff => {
		if (given === 0) return { ...defaults.noBackoff };
		const fromMs = ms(given?.from, otherwise.fromMs);
		// Who raises only the first wait means no shorter ones after it.
		return { fromMs, toMs: ms(given?.to, Math.max(fromMs, otherwise.toMs)), resetAfterMs: ms(given?.resetAfter, otherwise.resetAfterMs) };
	};
	const heartbeatOf = (given: HeartbeatDeclaration | undefined, otherwise: HeartbeatSpec): HeartbeatSpec => ({
		everyMs: ms(given?.every, otherwise.everyMs),
		timeoutMs: ms(given?.timeout, otherwise.timeoutMs),
	});
	const restartOf = (
		given: RestartType | RestartDeclaration | undefined,
		above: { strategy: Strategy; intensity: Intensity },
		significant = false,
		backoff: Backoff = defaults.backoff,
	): RestartRule => {
		const rule: RestartDeclaration = typeof given === 'object' ? given : given === undefined ? {} : { type: given };
		const whenExhausted = rule.whenExhausted ?? 'escalate';
		return {
			type: rule.type ?? 'permanent',
			significant,
			strategy: rule.strategy ?? above.strategy,
			// One that does not escalate counts for itself.
			intensity: rule.intensity === undefined && whenExhausted === 'escalate' ? null : intensityOf(rule.intensity, above.intensity),
			whenExhausted,
			backoff: backoffOf(rule.backoff, backoff),
			okCodes: [...(rule.okCodes ?? defaults.okCodes)],
			fatalCodes: [...(rule.fatalCodes ?? defaults.fatalCodes)],
		};
	};
	const readyOf = (given: ReadyDeclaration | undefined, isServer: boolean): ReadySpec => {
		const timeoutMs = ms(typeof given === 'object' ? given.timeout : undefined, defaults.readyTimeoutMs);
		if (given === undefined) return { kind: isServer ? 'signal' : 'spawned', timeoutMs };
		if (typeof given === 'string') return { kind: given, timeoutMs };
		if ('signal' in given) return { kind: 'signal', timeoutMs };
		if ('output' in given) return { kind: 'output', pattern: given.output.source, regexFlags: given.output.flags, timeoutMs };
		if ('after' in given) return { kind: 'after', afterMs: ms(given.after, 0), timeoutMs };
		return { kind: 'probe', probe: probeOf(given), everyMs: ms(given.every, defaults.readyEveryMs), timeoutMs };
	};
	const liveOf = (given: LiveDeclaration): LiveSpec => ({
		probe: probeOf(given),
		everyMs: ms(given.every, defaults.live.everyMs),
		timeoutMs: ms(given.timeout, defaults.live.timeoutMs),
		failures: given.failures ?? defaults.live.failures,
	});
	const named = ({ id, instances }: { id: string; instances?: number }) =>
		instances === undefined ? [id] : Array.from({ length: instances }, (_, index) => `${id}.${index + 1}`);
	const workOf = (child: WorkDeclaration, above: Above): WorkSpec[] =>
		named(child).map((id) => workFrom(child, { id, declaredId: child.id, path: joinPath(above.path, id) }, above));
	const workFrom = (child: WorkDeclaration, common: Names, above: Above): WorkSpec => {
		switch (child.kind) {
			case 'node':
			case 'command':
				return processOf(child, common, above);
			case 'thread':
				return {
					kind: 'thread',
					...common,
					restart: restartOf(child.restart, above, child.significant),
					ready: readyOf(child.ready, false),
					live: null,
					heartbeat: child.heartbeat === 0 ? null : heartbeatOf(child.heartbeat, defaults.heartbeat),
					stop: { ...defaults.stopInner, drainMs: drainOf(child.stop?.drain, defaults.stopInner.drainMs) },
					module: child.module,
					args: [...(child.args ?? [])],
					input: child.input,
					resourceLimits: { ...child.resourceLimits },
					env: { ...child.env },
					inheritEnv: child.inheritEnv ?? [],
					logs: logsOf(child.logs),
				};
			case 'actor':
				return {
					kind: 'actor',
					...common,
					// What costs nothing to start may be started at once, as in OTP.
					restart: restartOf(child.restart, above, child.significant, defaults.noBackoff),
					ready: readyOf('spawned', false),
					live: null,
					heartbeat: null,
					stop: { ...defaults.stopInner, drainMs: drainOf(child.stop?.drain, defaults.stopInner.drainMs) },
					logic: child.logic,
					input: child.input,
					kept: typeof child.unheard === 'object' ? child.unheard.kept : 0,
					resume: child.resume ?? 'fresh',
				};
		}
	};
	const logsOf = (given: LogsDeclaration | undefined): LogsSpec => ({
		rotateBytes: given?.rotateBytes ?? defaults.logs.rotateBytes,
		keep: given?.keep ?? defaults.logs.keep,
	});
	const reloadOf = (given: ReloadDeclaration | undefined, shares: boolean): ReloadSpec => {
		const said = typeof given === 'object' ? given : given === undefined ? {} : { mode: given };
		return {
			mode: said.mode ?? (shares ? 'surge' : 'restart'),
			surge: said.surge ?? null,
			soakMs: ms(said.soak, defaults.reload.soakMs),
			timeoutMs: said.timeout === undefined ? null : ms(said.timeout, 0),
		};
	};
	const processOf = (child: NodeDeclaration | CommandDeclaration, names: Names, above: Above): ProcessSpec => {
		const { listen = {}, stop } = child;
		const limits = child.kind === 'node' ? defaults.stopNode : defaults.stopCommand;
		const given: { mode?: Accept | undefined; quantum?: Duration } =
			typeof child.accept === 'object' ? child.accept : { mode: child.accept };
		const accept = given.mode ?? (child.kind === 'node' ? 'slots' : 'shared');
		const slots = accept === 'slots' ? (child.instances ?? 1) : 1;
		const standby = child.kind === 'node' ? (child.standby ?? 0) : 0;
		const keepsTrying = typeof child.restart === 'object' && child.restart.whenExhausted === 'keepTrying';
		const common: Omit<NodeSpec, 'kind' | 'module' | 'args' | 'execArgv' | 'standby' | 'quantumMs'> = {
			...names,
			restart: restartOf(child.restart, above, child.significant, standby > 0 && !keepsTrying ? defaults.noBackoff : undefined),
			ready: readyOf(child.ready, child.kind === 'node' && Object.keys(listen).length > 0),
			live: child.live === undefined ? null : liveOf(child.live),
			heartbeat: child.kind === 'node' && child.heartbeat !== 0 ? heartbeatOf(child.heartbeat, defaults.heartbeat) : null,
			stop: { drainMs: drainOf(stop?.drain, limits.drainMs), terminateMs: ms(stop?.terminate, limits.terminateMs) },
			listen: Object.entries(listen).map(([name, address]) => listenOf(name, address, slots)),
			env: { ...child.env },
			envFile: child.envFile ?? null,
			inheritEnv: child.inheritEnv ?? [],
			cwd: child.cwd ?? null,
			logs: logsOf(child.logs),
			reload: reloadOf(child.reload, Object.keys(listen).length > 0),
		};
		if (child.kind === 'command') return { kind: 'command', ...common, run: [...child.run] };
		const { module, args = [], execArgv = [] } = child;
		const quantumMs = accept === 'token' ? ms(given.quantum, defaults.quantumMs) : null;
		return { kind: 'node', ...common, module, args: [...args], execArgv: [...execArgv], standby, quantumMs };
	};
	const dynamicOf = (given: DynamicDeclaration, above: Above): DynamicSpec[] =>
		named({ id: given.id, ...(given.partitions === undefined ? {} : { instances: given.partitions }) }).map((id): DynamicSpec => {
			const path = joinPath(above.path, id);
			const intensity = intensityOf(given.intensity, defaults.intensity);
			const [template] = workOf(given.child, { path: above.path, strategy: 'one_for_one', intensity }) as [WorkSpec];
			return {
				kind: 'dynamic',
				id,
				declaredId: given.id,
				path,
				restart: restartOf(given.restart, above, given.significant),
				intensity,
				maxChildren: given.maxChildren ?? defaults.maxChildren,
				shutdownMs: shutdownOf(given.shutdown),
				template: { ...template, path },
			};
		});
	const childOf = (child: ChildDeclaration, above: SupervisorSpec): ChildSpec[] => {
		if (child.kind === 'supervisor') return [supervisorOf(child, child.id, joinPath(above.path, child.id), above)];
		return child.kind === 'dynamic' ? dynamicOf(child, above) : workOf(child, above);
	};
	const supervisorOf = (
		given: SupervisorOptions,
		id: string,
		path: string,
		above: { strategy: Strategy; intensity: Intensity } | null,
	): SupervisorSpec => {
		const supervisor: SupervisorSpec = {
			kind: 'supervisor',
			id,
			declaredId: id,
			path,
			restart: restartOf(
				(given as SupervisorDeclaration).restart,
				above ?? { strategy: defaults.strategy, intensity: defaults.intensity },
				(given as SupervisorDeclaration).significant,
			),
			strategy: given.strategy ?? defaults.strategy,
			intensity: intensityOf(given.intensity, defaults.intensity),
			start: given.start ?? 'ordered',
			autoShutdown: given.autoShutdown ?? 'never',
			shutdownMs: shutdownOf((given as SupervisorDeclaration).shutdown),
			children: [],
		};
		return { ...supervisor, children: given.children.flatMap((child) => childOf(child, supervisor)) };
	};
	const treeOf = (declaration: TreeDeclaration): TreeSpec => {
		const { master } = declaration;
		return {
			id: declaration.id,
			root: supervisorOf(declaration, '', '', null),
			stopTimeoutMs: ms(declaration.stopTimeout, defaults.stopTimeoutMs),
			onAngelLoss: declaration.onAngelLoss ?? defaults.onAngelLoss,
			upgradeTimeoutMs: ms(declaration.upgradeTimeout, defaults.upgradeTimeoutMs),
			master: {
				heartbeat: heartbeatOf(master?.heartbeat, defaults.master.heartbeat),
				intensity: intensityOf(master?.intensity, defaults.master.intensity),
				backoff: backoffOf(master?.backoff, defaults.master.backoff),
			},
			view: viewOf(declaration.view),
			operations: { ...defaults.operations, ...declaration.operations },
		};
	};
	return { treeOf, childOf };
}

type Names = Omit<ChildFields, 'restart'>;
/** What a child takes over from its supervisor. */
type Above = Pick<SupervisorSpec, 'path' | 'strategy' | 'intensity'>;

const joinPath = (path: string, id: string) => (path === '' ? id : `${path}/${id}`);

/** Where a declared address is: a port, `'host:port'`, `'[::1]:port'` or `'unix:/path'`. */
export function addressOf(address: number | string): Omit<ListenSpec, 'name' | 'slots'> {
	if (typeof address === 'number') return { host: null, port: address, socketPath: null };
	if (address.startsWith('unix:')) return { host: null, port: null, socketPath: address.slice('unix:'.length) };
	const colon = address.lastIndexOf(':');
	const host = colon < 0 ? null : address.slice(0, colon).replace(/^\[|\]$/g, '');
	return { host, port: Number(address.slice(colon + 1)), socketPath: null };
}

function viewOf(given: TreeDeclaration['view']): ViewSpec {
	const said: ViewDeclaration =
		typeof given === 'object' ? given : typeof given === 'boolean' || given === undefined ? {} : atAddress(given);
	const host = said.host === undefined || said.host === 'localhost' ? defaults.view.host : said.host.replace(/^\[|\]$/g, '');
	return {
		on: given === undefined ? null : given !== false,
		host,
		port: said.port ?? defaults.view.port,
		readOnly: said.readOnly ?? !isLoopback(host),
		hosts: [...(said.hosts ?? [])],
		history: { ...defaults.view.history, ...said.history },
	};
}

function atAddress(address: number | string): ViewDeclaration {
	const { host, port } = addressOf(address);
	return { ...(host === null ? {} : { host }), port: port as number };
}

/** Whether only this machine reaches an address. */
export const isLoopback = (host: string) => /^(127(\.\d+){3}|::1|localhost)$/.test(host);

/** A socket is bound to an address, not to a name: of names only `localhost` is sure everywhere. */
function listenOf(name: string, address: number | string, slots: number): ListenSpec {
	const { host, port, socketPath } = addressOf(address);
	return { name, host: host === 'localhost' ? '127.0.0.1' : host, port, socketPath, slots: socketPath === null ? slots : 1 };
}

/** All that the processes of a tree declare to listen on. */
export function listenersOf(spec: ChildSpec): ListenSpec[] {
	if (spec.kind === 'supervisor') return spec.children.flatMap(listenersOf);
	return spec.kind === 'node' || spec.kind === 'command' ? spec.listen : [];
}

function probeOf(given: Probe): ProbeSpec {
	if ('http' in given) return { kind: 'http', url: given.http, status: given.status ?? null };
	if ('exec' in given) return { kind: 'exec', run: [...given.exec] };
	const { host, port } = addressOf(given.tcp);
	return { kind: 'tcp', host: host ?? '127.0.0.1', port: port as number };
}
