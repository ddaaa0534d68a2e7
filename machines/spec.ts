/**
 * The words of choir: what a tree is made of, as users declare it (`…Declaration`) and as the machines read it
 * (`…Spec`: defaults filled in, durations in milliseconds, instances written out, in start order).
 * `checkSpec` in `check.ts` says what is wrong with a declaration; `resolveSpec` below takes only a right one.
 */

/** Milliseconds, or `'250ms'`, `'5s'`, `'2m'`. 0 means off. */
export type Duration = number | string;

/** OTP's restart types. */
export type RestartType = 'permanent' | 'transient' | 'temporary';

/** Who else goes down with a child that fails. In OTP a supervisor has one; here each child may have its own. */
export type Strategy = 'one_for_one' | 'one_for_all' | 'rest_for_one';

/** What becomes of a child whose intensity is exceeded: its supervisor ends, it stays dead, or it is tried on at the slowest backoff. */
export type WhenExhausted = 'escalate' | 'giveUp' | 'keepTrying';

/** Why an incarnation ended. `shutdown`: it was asked to; `lost`: it is gone and nobody saw how. */
export type ExitReason = 'normal' | 'shutdown' | 'crash' | 'killed' | 'startFailed' | 'hung' | 'lost';

/** How an incarnation ended. `at`: monotonic ms of the supervisor that saw it. `detail`: one sentence for people, if there is more to say. */
export interface Exit {
	reason: ExitReason;
	code: number | null;
	signal: string | null;
	at: number;
	maxRssBytes: number | null;
	detail?: string;
}

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
	/** 0 switches it off: the replacement starts at once. */
	backoff?: BackoffDeclaration | 0;
	/** Exit codes that count as a normal end. Default `[0]`. */
	okCodes?: number[];
	/** Exit codes after which the child is not restarted. Default `[78]`. */
	fatalCodes?: number[];
}
export interface StopDeclaration {
	/** From the drain request to SIGTERM. Default `'60s'` for node, 0 (SIGTERM at once) for command. */
	drain?: Duration;
	/** From SIGTERM to SIGKILL. Default `'5s'` for node, `'10s'` for command. */
	terminate?: Duration;
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
export interface LogsDeclaration {
	/** The output file is rotated when it holds this many bytes. Default 10 MiB; 0 is never. */
	rotateBytes?: number;
	/** Rotated files kept. Default 5. */
	keep?: number;
}
interface ProcessDeclaration {
	id: string;
	instances?: number;
	/** Name → port (on all addresses), `'host:port'` (an IP address or `localhost`) or `'unix:/path'`. */
	listen?: Record<string, number | string>;
	ready?: ReadyDeclaration;
	live?: LiveDeclaration;
	restart?: RestartType | RestartDeclaration;
	stop?: StopDeclaration;
	/** Spare incarnations kept warm. Only 0 for now. */
	standby?: number;
	/** What the child gets, beside the names in `inheritEnv` and a small base (PATH, HOME, USER, LOGNAME, SHELL, LANG, LC_*, TZ, TMPDIR). */
	env?: Record<string, string>;
	/** Read anew at each start; `env` wins. Relative to the spec. */
	envFile?: string;
	/** Names passed on from choir's own environment, or `true` for all of it. Default none. */
	inheritEnv?: string[] | true;
	/** Relative to the spec. Default: the spec's folder. */
	cwd?: string;
	logs?: LogsDeclaration;
}
export interface NodeDeclaration extends ProcessDeclaration {
	kind: 'node';
	/** TypeScript or JavaScript, relative to the spec. */
	module: string;
	args?: string[];
	/** Options for node itself, such as `--max-old-space-size=256`. */
	execArgv?: string[];
	/** Default `{ every: '1s', timeout: '10s' }`; 0 is off. */
	heartbeat?: HeartbeatDeclaration | 0;
}
export interface CommandDeclaration extends ProcessDeclaration {
	kind: 'command';
	run: string[];
}
export interface SupervisorOptions {
	strategy?: Strategy;
	/** Default `{ restarts: 5, within: '30s' }`. */
	intensity?: IntensityDeclaration;
	/** `'ordered'` (default): each child is ready before the next starts. */
	start?: 'ordered' | 'parallel';
	children: ChildDeclaration[];
}
export interface SupervisorDeclaration extends SupervisorOptions {
	kind: 'supervisor';
	id: string;
	restart?: RestartType | RestartDeclaration;
}
export interface TreeDeclaration extends SupervisorOptions {
	kind: 'tree';
	id: string;
	/** For a stop by SIGTERM or `choir stop`, over all: then what is left is killed. Default `'2m'`. */
	stopTimeout?: Duration;
	/** The angel's watch over its master. Default: `every: '1s'`, `timeout: '30s'`, `{ restarts: 5, within: '60s' }`, `'200ms'` to `'5s'`. */
	master?: { heartbeat?: HeartbeatDeclaration; intensity?: IntensityDeclaration; backoff?: BackoffDeclaration };
}
export type ChildDeclaration = NodeDeclaration | CommandDeclaration | SupervisorDeclaration;

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
/** `drainMs` 0: SIGTERM at once. */
export interface StopSpec {
	drainMs: number;
	terminateMs: number;
}
/** A socket that the angel binds. `address` as declared; `fd` order is the order in `listen`. */
export interface ListenSpec {
	name: string;
	host: string | null;
	port: number | null;
	socketPath: string | null;
}
interface ProcessFields {
	/** The id, with `.1`, `.2` … for instances: unique among its siblings. */
	id: string;
	/** The id as declared. */
	declaredId: string;
	/** Ids from the root joined with `/`, without the tree's name. */
	path: string;
	restart: RestartRule;
	ready: ReadySpec;
	live: LiveSpec | null;
	heartbeat: HeartbeatSpec | null;
	stop: StopSpec;
	listen: ListenSpec[];
	env: Record<string, string>;
	envFile: string | null;
	inheritEnv: string[] | true;
	cwd: string | null;
	logs: { rotateBytes: number; keep: number };
}
export interface NodeSpec extends ProcessFields {
	kind: 'node';
	module: string;
	args: string[];
	execArgv: string[];
}
export interface CommandSpec extends ProcessFields {
	kind: 'command';
	run: string[];
}
export interface SupervisorSpec {
	kind: 'supervisor';
	/** `''` for the root. */
	id: string;
	declaredId: string;
	/** `''` for the root. */
	path: string;
	restart: RestartRule;
	strategy: Strategy;
	intensity: Intensity;
	start: 'ordered' | 'parallel';
	children: ChildSpec[];
}
export type ProcessSpec = NodeSpec | CommandSpec;
export type ChildSpec = ProcessSpec | SupervisorSpec;
export interface TreeSpec {
	/** The tree's name. */
	id: string;
	root: SupervisorSpec;
	stopTimeoutMs: number;
	master: { heartbeat: HeartbeatSpec; intensity: Intensity; backoff: Backoff };
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
	logs: { rotateBytes: 10 * 1024 * 1024, keep: 5 },
	stopTimeoutMs: 120_000,
	master: {
		heartbeat: { everyMs: 1_000, timeoutMs: 30_000 },
		intensity: { restarts: 5, withinMs: 60_000 },
		backoff: { fromMs: 200, toMs: 5_000, resetAfterMs: 60_000 },
	},
} as const;

/** Text such as '5s' → milliseconds; undefined if it is no duration. It comes from outside: this folder has no libraries. */
export type ParseDuration = (text: string) => number | undefined;

/** A declaration with all its defaults, durations in ms and instances written out. Only for one that `checkSpec` finds right. */
export function resolveSpec(declaration: TreeDeclaration, parseDuration: ParseDuration): TreeSpec {
	const ms = (duration: Duration | undefined, otherwise: number) =>
		duration === undefined ? otherwise : typeof duration === 'number' ? duration : (parseDuration(duration) ?? otherwise);
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
	): RestartRule => {
		const rule: RestartDeclaration = typeof given === 'object' ? given : given === undefined ? {} : { type: given };
		const whenExhausted = rule.whenExhausted ?? 'escalate';
		return {
			type: rule.type ?? 'permanent',
			strategy: rule.strategy ?? above.strategy,
			// One that does not escalate counts for itself.
			intensity: rule.intensity === undefined && whenExhausted === 'escalate' ? null : intensityOf(rule.intensity, above.intensity),
			whenExhausted,
			backoff: backoffOf(rule.backoff, defaults.backoff),
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
	const processesOf = (child: NodeDeclaration | CommandDeclaration, above: SupervisorSpec): ProcessSpec[] => {
		const { instances, listen = {}, stop } = child;
		const limits = child.kind === 'node' ? defaults.stopNode : defaults.stopCommand;
		const heartbeat = child.kind === 'node' && child.heartbeat !== 0 ? heartbeatOf(child.heartbeat, defaults.heartbeat) : null;
		const ids = instances === undefined ? [child.id] : Array.from({ length: instances }, (_, index) => `${child.id}.${index + 1}`);
		return ids.map((id): ProcessSpec => {
			const common: Omit<NodeSpec, 'kind' | 'module' | 'args' | 'execArgv'> = {
				id,
				declaredId: child.id,
				path: joinPath(above.path, id),
				restart: restartOf(child.restart, above),
				ready: readyOf(child.ready, child.kind === 'node' && Object.keys(listen).length > 0),
				live: child.live === undefined ? null : liveOf(child.live),
				heartbeat,
				stop: { drainMs: ms(stop?.drain, limits.drainMs), terminateMs: ms(stop?.terminate, limits.terminateMs) },
				listen: Object.entries(listen).map(([name, address]) => listenOf(name, address)),
				env: { ...child.env },
				envFile: child.envFile ?? null,
				inheritEnv: child.inheritEnv ?? [],
				cwd: child.cwd ?? null,
				logs: { rotateBytes: child.logs?.rotateBytes ?? defaults.logs.rotateBytes, keep: child.logs?.keep ?? defaults.logs.keep },
			};
			if (child.kind === 'command') return { kind: 'command', ...common, run: [...child.run] };
			return { kind: 'node', ...common, module: child.module, args: [...(child.args ?? [])], execArgv: [...(child.execArgv ?? [])] };
		});
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
			restart: restartOf((given as SupervisorDeclaration).restart, above ?? { strategy: defaults.strategy, intensity: defaults.intensity }),
			strategy: given.strategy ?? defaults.strategy,
			intensity: intensityOf(given.intensity, defaults.intensity),
			start: given.start ?? 'ordered',
			children: [],
		};
		const children = given.children.flatMap((child): ChildSpec[] =>
			child.kind === 'supervisor' ? [supervisorOf(child, child.id, joinPath(path, child.id), supervisor)] : processesOf(child, supervisor),
		);
		return { ...supervisor, children };
	};
	const { master } = declaration;
	return {
		id: declaration.id,
		root: supervisorOf(declaration, '', '', null),
		stopTimeoutMs: ms(declaration.stopTimeout, defaults.stopTimeoutMs),
		master: {
			heartbeat: heartbeatOf(master?.heartbeat, defaults.master.heartbeat),
			intensity: intensityOf(master?.intensity, defaults.master.intensity),
			backoff: backoffOf(master?.backoff, defaults.master.backoff),
		},
	};
}

const joinPath = (path: string, id: string) => (path === '' ? id : `${path}/${id}`);

/** Where a declared address is: a port, `'host:port'`, `'[::1]:port'` or `'unix:/path'`. */
export function addressOf(address: number | string): Omit<ListenSpec, 'name'> {
	if (typeof address === 'number') return { host: null, port: address, socketPath: null };
	if (address.startsWith('unix:')) return { host: null, port: null, socketPath: address.slice('unix:'.length) };
	const colon = address.lastIndexOf(':');
	const host = colon < 0 ? null : address.slice(0, colon).replace(/^\[|\]$/g, '');
	return { host, port: Number(address.slice(colon + 1)), socketPath: null };
}

/** A socket is bound to an address, not to a name: of names only `localhost` is sure everywhere. */
function listenOf(name: string, address: number | string): ListenSpec {
	const { host, port, socketPath } = addressOf(address);
	return { name, host: host === 'localhost' ? '127.0.0.1' : host, port, socketPath };
}

function probeOf(given: Probe): ProbeSpec {
	if ('http' in given) return { kind: 'http', url: given.http, status: given.status ?? null };
	if ('exec' in given) return { kind: 'exec', run: [...given.exec] };
	const { host, port } = addressOf(given.tcp);
	return { kind: 'tcp', host: host ?? '127.0.0.1', port: port as number };
}
