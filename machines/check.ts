/** What is wrong with a declaration: everything at once, each with its place, what was expected and what is there. */
import { ACTOR_LOGIC, describe, isObject, keyed, Odd, plain, quote } from './plain.ts';
import { addressOf, type Backoff, defaults, type HeartbeatSpec, type Intensity, type ParseDuration, type SupervisorSpec } from './spec.ts';

export interface Problem {
	/** Such as `shop.children[2].stop.drain`. */
	path: string;
	expected: string;
	got: string;
	/** All of it, as one line for people. */
	message: string;
	/** A warning keeps nothing from starting. */
	severity: 'error' | 'warning';
}

/** Timers cannot wait longer: about 24 days. */
const MAX_MS = 2 ** 31 - 1;
/** Of one child. */
export const MAX_INSTANCES = 1_000;
/** Each turn costs some messages. */
const MIN_QUANTUM_MS = 5;
/** Each is a process that only waits. */
const MAX_STANDBYS = 100;
/** Events that wait for an actor: each is held in memory. */
const MAX_KEPT = 1_000_000;
/** MiB. With less a thread cannot begin on Node 22 and 24; and with 1 or 2, V8 ends the whole process while it makes the thread. */
const MIN_OLD_GENERATION_MB = 8;
/** Of a child's path with its instance: it names an output file, and 255 bytes are the longest name of a file. */
const MAX_PATH = 200;
/** The longest path of a unix socket that every platform takes. */
const MAX_SOCKET_PATH_BYTES = 103;
/** Errors, and warnings, until the rest is left out: somebody has declared something else altogether. */
const MAX_PROBLEMS = 200;
/** Names of output files that are choir's own. */
const reserved = new Set(['angel', 'master']);

type Check = (value: unknown, path: string) => void;
type Fields = Record<string, Check>;

/** Every problem of a declaration, none if it can be run. It never throws, whatever it is given. */
export function checkSpec(declaration: unknown, parseDuration: ParseDuration): Problem[] {
	const checker = new Checker(parseDuration);
	checker.tree(plain(declaration));
	return checker.problems;
}

/** The same for a child that is to be added to `supervisor` at run time; `child` is its place. */
export function checkChild(declaration: unknown, { path, autoShutdown }: SupervisorSpec, parseDuration: ParseDuration): Problem[] {
	const checker = new Checker(parseDuration);
	checker.added(plain(declaration), path, autoShutdown);
	return checker.problems;
}

class Checker {
	readonly problems: Problem[] = [];
	readonly #parse: ParseDuration;
	/** Claimed sockets, by port or path: on which host, and by whom. */
	readonly #claims = new Map<number | string, Array<{ host: string | null; place: string }>>();

	constructor(parse: ParseDuration) {
		this.#parse = parse;
	}

	report(path: string, expected: string, got: string, severity: Problem['severity'] = 'error'): void {
		if (this.problems.filter((problem) => problem.severity === severity).length >= MAX_PROBLEMS) return;
		this.problems.push({ path, expected, got, message: `${path}: expected ${expected}, got ${got}`, severity });
	}

	tree(value: unknown): void {
		const id = isObject(value) && isId(value.id) ? value.id : 'tree';
		if (!isObject(value) || value.kind !== 'tree') return this.report(id, 'tree(…)', describe(value));
		const master: Fields = { heartbeat: this.#heartbeat(defaults.master.heartbeat), intensity: this.#intensity, backoff: this.#backoff };
		this.#object({
			kind: pass,
			id: this.#id,
			stopTimeout: this.#duration('positive'),
			onAngelLoss: oneOf(this, ['keep', 'stop']),
			upgradeTimeout: this.#duration('positive'),
			master: this.#object(master),
			view: this.#view,
			operations: this.#object({ waiting: this.#integer(1, 10_000), kept: this.#integer(1, 10_000) }),
			...this.#supervision(''),
		})(value, id);
		this.#needs(value, id, ['id', 'children']);
		this.#significance(value, id);
		this.#warnOfWindows(value, id);
		if (isObject(value.master)) this.#warnOfWindow(value.master.backoff, value.master.intensity, defaults.master, `${id}.master`);
	}

	#view: Check = (value, path) => {
		if (typeof value === 'boolean') return;
		if (isObject(value)) {
			const history: Fields = { perChild: this.#integer(1, 100_000), inAll: this.#integer(1, 1_000_000) };
			return this.#object({
				host: this.#viewHost,
				port: this.#integer(0, 65_535),
				readOnly: this.#boolean(),
				hosts: this.#list(this.#viewName, "a list of names such as 'choir.example.com'"),
				history: this.#object(history),
			})(value, path);
		}
		const isAddress = typeof value === 'number' || (typeof value === 'string' && !value.startsWith('unix:'));
		const forms = "true, false, a port from 1 to 65535, 'host:port' or { host, port, readOnly, hosts, history }";
		if (!isAddress) return this.report(path, forms, describe(value));
		if (!this.#address(value, path, forms)) return;
		const { host } = addressOf(value);
		if (host !== null) this.#viewHost(host, path);
	};

	#viewHost: Check = (value, path) => {
		if (value !== 'localhost' && !(typeof value === 'string' && isIp(value.replace(/^\[|\]$/g, ''))))
			this.report(path, "an IP address or 'localhost'", describe(value));
	};

	#viewName: Check = (value, path) => {
		if (typeof value !== 'string' || !/^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?(:\d{1,5})?$/i.test(value))
			this.report(path, "the name of a host, such as 'choir.example.com'", describe(value));
	};

	added(value: unknown, above: string, autoShutdown: string): void {
		const id = isObject(value) && isId(value.id) ? value.id : '?';
		this.#child(value, 'child', above === '' ? id : `${above}/${id}`);
		if (!isObject(value)) return;
		for (const key of ['instances', 'partitions'])
			if (value[key] !== undefined) this.report(`child.${key}`, 'nothing: one child is added at a time', describe(value[key]));
		this.#significance({ autoShutdown, children: [value] }, '');
	}

	/** `above`: the path, in the running tree, of the supervisor that is declared. */
	#supervision(above: string): Fields {
		return {
			strategy: this.#strategy,
			intensity: this.#intensity,
			start: oneOf(this, ['ordered', 'parallel']),
			autoShutdown: oneOf(this, ['never', 'any_significant', 'all_significant']),
			children: (value, path) => this.#children(value, path, above),
		};
	}

	/** What every child has, whatever it is. */
	#common: Fields = {
		kind: pass,
		id: (value, path) => this.#id(value, path),
		restart: (value, path) => this.#restart(value, path),
		significant: this.#boolean(),
	};

	#children(value: unknown, path: string, above: string): void {
		if (!Array.isArray(value)) return this.report(path, 'a list of children', describe(value));
		const seen = new Map<string, string>();
		for (const [index, child] of value.entries()) {
			const place = `${path}[${index}]`;
			const id = isObject(child) ? child.id : undefined;
			const name = isId(id) ? id : '?';
			const childPath = above === '' ? name : `${above}/${name}`;
			this.#child(child, place, childPath);
			if (!isId(id)) continue;
			const first = seen.get(id);
			if (first !== undefined) this.report(`${place}.id`, 'an id that no sibling has', `'${id}', which ${first} has`);
			else seen.set(id, place);
			if (reserved.has(childPath))
				this.report(`${place}.id`, "an id other than 'angel' and 'master', whose output is choir's own", `'${id}'`);
			if (childPath.length > MAX_PATH)
				this.report(`${place}.id`, `at most ${MAX_PATH} characters in the path of a child`, `${childPath.length}`);
		}
	}

	#child(value: unknown, path: string, childPath: string): void {
		if (!isObject(value)) return this.report(path, builders, describe(value));
		switch (value.kind) {
			case 'supervisor':
				this.#object({ ...this.#common, shutdown: this.#shutdown, ...this.#supervision(childPath) })(value, path);
				this.#needs(value, path, ['id', 'children']);
				this.#significance(value, path);
				this.#warnOfLoss(value, path);
				return this.#warnOfWindows(value, path);
			case 'dynamic':
				this.#object({
					...this.#common,
					child: (given, place) => this.#template(given, place),
					intensity: this.#intensity,
					maxChildren: this.#integer(1, 10_000_000),
					partitions: this.#integer(1, MAX_INSTANCES),
					shutdown: this.#shutdown,
				})(value, path);
				this.#needs(value, path, ['id', 'child']);
				return this.#warnOfLoss(value, path);
			case 'thread':
				this.#object({
					...this.#common,
					instances: this.#integer(1, MAX_INSTANCES),
					standby: (given, place) => this.#standby(given, place, value),
					module: this.#text,
					args: this.#list(this.#string),
					input: pass,
					resourceLimits: this.#object({
						maxOldGenerationSizeMb: this.#integer(MIN_OLD_GENERATION_MB, 1_000_000),
						maxYoungGenerationSizeMb: this.#integer(1, 1_000_000),
						codeRangeSizeMb: this.#integer(1, 1_000_000),
						stackSizeMb: this.#integer(1, 1_000),
					}),
					ready: this.#threadReady,
					heartbeat: this.#or(0, '{ every, timeout }', this.#heartbeat(defaults.heartbeat)),
					stop: this.#object({ drain: this.#drain }),
					env: this.#strings,
					inheritEnv: this.#inheritEnv,
					logs: this.#logs,
				})(value, path);
				return this.#needs(value, path, ['id', 'module']);
			case 'actor':
				this.#object({
					...this.#common,
					instances: this.#integer(1, MAX_INSTANCES),
					standby: (given, place) => this.#standby(given, place, value),
					logic: this.#logic,
					input: pass,
					stop: this.#object({ drain: this.#drain }),
					unheard: this.#or('dropped', '{ kept }', this.#object({ kept: this.#integer(1, MAX_KEPT) })),
					resume: oneOf(this, ['fresh', 'snapshot']),
				})(value, path);
				return this.#needs(value, path, ['id', 'logic']);
			case 'node':
				this.#object({
					...this.#process(value),
					module: this.#text,
					args: this.#list(this.#string),
					execArgv: this.#list(this.#string),
					heartbeat: this.#or(0, '{ every, timeout }', this.#heartbeat(defaults.heartbeat)),
				})(value, path);
				return this.#needs(value, path, ['id', 'module']);
			case 'command':
				this.#object({ ...this.#process(value), run: this.#run })(value, path);
				return this.#needs(value, path, ['id', 'run']);
			default:
				return this.report(`${path}.kind`, builders, describe(value.kind));
		}
	}

	/** What a dynamic supervisor starts: one thing that runs, no supervisor, and nothing that would be claimed twice. */
	#template(value: unknown, path: string): void {
		if (isObject(value) && (value.kind === 'supervisor' || value.kind === 'dynamic'))
			return this.report(path, 'node(…), command(…), thread(…) or actor(…)', `${value.kind}(…)`);
		if (isObject(value)) {
			for (const key of ['instances', 'listen', 'accept', 'standby', 'significant'])
				if (value[key] !== undefined && value[key] !== false)
					this.report(`${path}.${key}`, 'nothing in the child of a dynamic supervisor', describe(value[key]));
		}
		this.#child(value, path, '?');
	}

	/** OTP's rules for significant children. */
	#significance(supervisor: Record<string, unknown>, path: string): void {
		if (!Array.isArray(supervisor.children)) return;
		const never = supervisor.autoShutdown === undefined || supervisor.autoShutdown === 'never';
		for (const [index, child] of supervisor.children.entries()) {
			if (!isObject(child) || child.significant !== true) continue;
			const place = path === '' ? 'child.significant' : `${path}.children[${index}].significant`;
			const type = isObject(child.restart) ? child.restart.type : child.restart;
			if (never) this.report(place, "false: its supervisor's autoShutdown is 'never'", 'true');
			else if (type !== 'transient' && type !== 'temporary')
				this.report(place, 'false for a permanent child, which never ends for good', 'true');
		}
	}

	#boolean(): Check {
		return (value, path) => {
			if (typeof value !== 'boolean') this.report(path, 'true or false', describe(value));
		};
	}

	#logic: Check = (value, path) => {
		if (!(value instanceof Odd) || (value.what !== ACTOR_LOGIC && value.what !== 'a function'))
			this.report(path, 'XState actor logic, such as a machine or fromPromise(…), or a function that gives it', describe(value));
	};

	#threadReady: Check = (value, path) => {
		const forms = "'spawned', 'signal', { signal: true } or { after }";
		if (value === 'spawned' || value === 'signal') return;
		if (!isObject(value) || !('signal' in value || 'after' in value)) return this.report(path, forms, describe(value));
		this.#ready(value, path, false);
	};

	#drain: Check = (value, path) => (value === 'infinity' ? undefined : this.#duration('zero is off')(value, path));
	#shutdown: Check = (value, path) => (value === 'infinity' || value === 'kill' ? undefined : this.#duration('positive')(value, path));
	#inheritEnv: Check = (value, path) =>
		value === true ? undefined : this.#list(this.#text, "a list of names, or 'true' for all")(value, path);
	#logs: Check = (value, path) =>
		this.#object({ rotateBytes: this.#integer(0, Number.MAX_SAFE_INTEGER), keep: this.#integer(0, 1_000) })(value, path);

	#process(child: Record<string, unknown>): Fields {
		return {
			...this.#common,
			instances: this.#integer(1, MAX_INSTANCES),
			listen: this.#listen,
			accept: (value, path) => this.#accept(value, path, child),
			ready: (value, path) => this.#ready(value, path, child.kind === 'command'),
			live: this.#live,
			stop: this.#object({ drain: this.#drain, terminate: this.#duration('positive') }),
			standby: (value, path) => this.#standby(value, path, child),
			env: this.#strings,
			envFile: this.#text,
			inheritEnv: this.#inheritEnv,
			cwd: this.#text,
			logs: this.#logs,
			reload: this.#reload,
		};
	}

	#accept(value: unknown, path: string, { kind, listen }: Record<string, unknown>): void {
		const mode = isObject(value) ? value.mode : value;
		const modes = oneOf(this, kind === 'node' ? ['shared', 'slots', 'token'] : ['shared', 'slots']);
		if (mode === 'token' && kind !== 'node')
			this.report(path, `'shared' or 'slots' for a ${kind}: only a node worker can be told when it is its turn`, "'token'");
		else if (isObject(value)) {
			this.#object({ mode: modes, quantum: this.#quantum })(value, path);
			if (mode === undefined) this.report(`${path}.mode`, "'shared', 'slots' or 'token'", 'nothing');
			else if (mode !== 'token' && value.quantum !== undefined)
				this.report(`${path}.quantum`, "nothing without mode: 'token'", describe(value.quantum));
		} else modes(value, path);
		if (listen === undefined) this.report(path, "nothing without 'listen'", describe(value));
	}

	#quantum: Check = (value, path) => {
		this.#duration('positive')(value, path);
		const ms = this.#ms(value);
		if (ms !== undefined && ms > 0 && ms < MIN_QUANTUM_MS) this.report(path, `at least ${MIN_QUANTUM_MS} ms`, `${ms} ms`);
	};

	#standby(value: unknown, path: string, { kind, listen, ready }: Record<string, unknown>): void {
		if (value === 0) return;
		if (kind !== 'node')
			return this.report(path, `0 for a ${kind}: only a node worker can be loaded ahead of its work and told to begin`, describe(value));
		this.#integer(0, MAX_STANDBYS)(value, path);
		const says = ready === 'signal' || (isObject(ready) && 'signal' in ready);
		if ((!isObject(listen) || Object.keys(listen).length === 0) && !says)
			this.report(path, "0 without 'listen' or ready: 'signal': a spare would do its work at once", describe(value));
	}

	#reload: Check = (value, path) => {
		const mode = oneOf(this, ['surge', 'restart']);
		if (typeof value === 'string') return mode(value, path);
		if (!isObject(value)) return this.report(path, "'surge', 'restart' or { mode, surge, soak, timeout }", describe(value));
		this.#object({
			mode,
			surge: this.#integer(1, MAX_INSTANCES),
			soak: this.#duration('zero is off'),
			timeout: this.#duration('positive'),
		})(value, path);
	};

	#restart: Check = (value, path) => {
		if (typeof value === 'string') return this.#restartType(value, path);
		if (!isObject(value)) return this.report(path, "'permanent', 'transient', 'temporary' or { type, … }", describe(value));
		this.#object({
			type: this.#restartType,
			strategy: this.#strategy,
			intensity: this.#intensity,
			whenExhausted: oneOf(this, ['escalate', 'giveUp', 'keepTrying']),
			backoff: this.#or(0, '{ from, to, resetAfter }', this.#backoff),
			okCodes: this.#list(this.#integer(0, 255), 'a list of exit codes'),
			fatalCodes: this.#list(this.#integer(0, 255), 'a list of exit codes'),
		})(value, path);
		if (value.whenExhausted === 'keepTrying' && this.#slowestMs(value.backoff) === 0)
			this.report(`${path}.backoff`, "a longest wait 'to' above 0, at which keepTrying goes on", describe(value.backoff));
	};

	#backoff: Check = (value, path) => {
		this.#object({ from: this.#duration('zero is off'), to: this.#duration('zero is off'), resetAfter: this.#duration('positive') })(
			value,
			path,
		);
		if (!isObject(value)) return;
		const [from, to] = [this.#ms(value.from), this.#ms(value.to)];
		if (from !== undefined && to !== undefined && from > to)
			this.report(`${path}.to`, `at least the first wait (${describe(value.from)})`, describe(value.to));
	};

	#intensity: Check = (value, path) => {
		this.#object({ restarts: this.#integer(0, 100_000), within: this.#duration('positive') })(value, path);
		if (isObject(value)) this.#needs(value, path, ['restarts', 'within']);
	};

	#heartbeat(otherwise: HeartbeatSpec): Check {
		return (value, path) => {
			this.#object({ every: this.#duration('positive'), timeout: this.#duration('positive') })(value, path);
			if (!isObject(value)) return;
			const every = this.#msOr(value.every, otherwise.everyMs);
			const timeout = this.#msOr(value.timeout, otherwise.timeoutMs);
			if (every !== undefined && timeout !== undefined && timeout < 2 * every)
				this.report(`${path}.timeout`, `at least twice 'every' (${every} ms), so that one late beat is no death`, `${timeout} ms`);
		};
	}

	#ready(value: unknown, path: string, isCommand: boolean): void {
		const forms = "'spawned', 'signal', { tcp }, { http }, { output }, { exec } or { after }";
		const isSignal = value === 'signal' || (isObject(value) && 'signal' in value);
		if (isSignal && isCommand)
			return this.report(
				path,
				"'spawned', { tcp }, { http }, { output }, { exec } or { after } for a command",
				"'signal', which only a node worker can give",
			);
		if (value === 'spawned' || value === 'signal') return;
		if (!isObject(value)) return this.report(path, forms, describe(value));
		const limits: Fields = { timeout: this.#duration('positive') };
		if ('signal' in value) {
			this.#object({ ...limits, signal: (given, place) => given === true || this.report(place, 'true', describe(given)) })(value, path);
		} else if ('output' in value) {
			this.#object({ ...limits, output: this.#pattern })(value, path);
		} else if ('after' in value) {
			this.#object({ ...limits, after: this.#duration('zero is off') })(value, path);
			const [after, timeout] = [this.#ms(value.after), this.#msOr(value.timeout, defaults.readyTimeoutMs)];
			if (after !== undefined && timeout !== undefined && after >= timeout)
				this.report(`${path}.after`, `less than its timeout (${timeout} ms)`, `${after} ms`);
		} else {
			this.#probe(value, path, { ...limits, every: this.#duration('positive') }, forms);
		}
	}

	#live: Check = (value, path) => {
		if (!isObject(value)) return this.report(path, '{ tcp }, { http } or { exec }', describe(value));
		const limits: Fields = { every: this.#duration('positive'), timeout: this.#duration('positive'), failures: this.#integer(1, 1_000) };
		this.#probe(value, path, limits, '{ tcp }, { http } or { exec }');
	};

	#probe(value: Record<string, unknown>, path: string, limits: Fields, forms: string): void {
		const tcp: Check = (given, place) => {
			if (typeof given === 'string' && given.startsWith('unix:')) return this.report(place, "a port or 'host:port'", describe(given));
			this.#address(given, place, "a port from 1 to 65535 or 'host:port'");
		};
		const kinds: Record<string, Fields> = {
			tcp: { tcp },
			http: { http: this.#url, status: this.#integer(100, 599) },
			exec: { exec: this.#run },
		};
		const [kind, another] = Object.keys(kinds).filter((name) => name in value);
		if (kind === undefined) return this.report(path, forms, describe(value));
		if (another !== undefined) return this.report(path, 'one kind of probe', `${kind} and ${another}`);
		this.#object({ ...limits, ...kinds[kind] })(value, path);
	}

	#listen: Check = (value, path) => {
		if (!isObject(value)) return this.report(path, "{ name: port, 'host:port' or 'unix:/path' }", describe(value));
		for (const [name, address] of Object.entries(value)) {
			const place = keyed(path, name);
			if (!/^[a-z0-9][a-z0-9_-]*$/i.test(name)) this.report(place, 'a name of letters, digits, - and _', quote(name));
			if (!this.#address(address, place, "a port from 1 to 65535, 'host:port' or 'unix:/path'")) continue;
			const { host, port, socketPath } = addressOf(address as number | string);
			if (socketPath !== null && new TextEncoder().encode(socketPath).length > MAX_SOCKET_PATH_BYTES) {
				this.report(place, `a path of at most ${MAX_SOCKET_PATH_BYTES} bytes`, describe(address));
				continue;
			}
			if (host !== null && host !== 'localhost' && !isIp(host)) {
				this.report(place, "an IP address or 'localhost' before the port, or the port alone for all addresses", describe(address));
				continue;
			}
			this.#claim(port ?? (socketPath as string), host === 'localhost' ? '127.0.0.1' : host, place, describe(address));
		}
	};

	/** A port on all hosts is that port on each. */
	#claim(what: number | string, host: string | null, place: string, got: string): void {
		const claims = this.#claims.get(what) ?? [];
		const all = (one: string | null) => one === null || one === '0.0.0.0' || one === '::';
		const other = claims.find((claim) => all(host) || all(claim.host) || claim.host === host);
		if (other !== undefined) this.report(place, 'an address that nobody else claims', `${got}, which ${other.place} claims`);
		else this.#claims.set(what, [...claims, { host, place }]);
	}

	#address(value: unknown, path: string, expected: string): boolean {
		const isPort = (port: unknown) => Number.isInteger(port) && (port as number) >= 1 && (port as number) <= 65_535;
		const right =
			typeof value === 'number'
				? isPort(value)
				: typeof value === 'string' &&
					(value.startsWith('unix:')
						? /^unix:\/[^\0]+$/.test(value)
						: /^(\[[0-9a-f:.]+\]|[^\s:[\]/]+):\d{1,5}$/i.test(value) && isPort(addressOf(value).port));
		if (!right) this.report(path, expected, describe(value));
		return right;
	}

	#run: Check = (value, path) => {
		if (!Array.isArray(value) || value.length === 0)
			return this.report(path, "a program and its arguments, such as ['redis-server', '--port', '6390']", describe(value));
		this.#text(value[0], `${path}[0]`);
		for (const [index, argument] of value.slice(1).entries()) this.#string(argument, `${path}[${index + 1}]`);
	};

	#pattern: Check = (value, path) => {
		if (!(value instanceof RegExp)) return this.report(path, 'a regular expression', describe(value));
		if (value.global || value.sticky) this.report(path, 'a regular expression without the g and y flags', describe(value));
	};

	#url: Check = (value, path) => {
		if (typeof value !== 'string' || !/^https?:\/\//i.test(value) || !URL.canParse(value))
			this.report(path, "a URL such as 'http://localhost:8080/health'", describe(value));
	};

	#id: Check = (value, path) => {
		if (!isId(value)) this.report(path, 'an id of lower-case letters, digits, - and _', describe(value));
	};

	#text: Check = (value, path) => {
		if (typeof value !== 'string' || value === '' || value.includes('\0')) this.report(path, 'a text that is not empty', describe(value));
	};

	#string: Check = (value, path) => {
		if (typeof value !== 'string' || value.includes('\0')) this.report(path, 'a text', describe(value));
	};

	#strings: Check = (value, path) => {
		if (!isObject(value)) return this.report(path, '{ NAME: text }', describe(value));
		for (const [name, text] of Object.entries(value)) {
			if (name === '' || /[=\0]/.test(name) || name.startsWith('CHOIR_'))
				this.report(keyed(path, name), 'a name without = that does not begin with CHOIR_', quote(name));
			this.#string(text, keyed(path, name));
		}
	};

	#strategy: Check = (value, path) => oneOf(this, ['one_for_one', 'one_for_all', 'rest_for_one'])(value, path);
	#restartType: Check = (value, path) => oneOf(this, ['permanent', 'transient', 'temporary'])(value, path);

	#integer(least: number, most: number): Check {
		return (value, path) => {
			if (!Number.isInteger(value) || (value as number) < least || (value as number) > most)
				this.report(
					path,
					most === Number.MAX_SAFE_INTEGER ? `a whole number from ${least}` : `a whole number from ${least} to ${most}`,
					describe(value),
				);
		};
	}

	#list(each: Check, expected = 'a list'): Check {
		return (value, path) => {
			if (!Array.isArray(value)) return this.report(path, expected, describe(value));
			for (const [index, item] of value.entries()) each(item, `${path}[${index}]`);
		};
	}

	#duration(zero: 'positive' | 'zero is off'): Check {
		return (value, path) => {
			const ms = this.#ms(value);
			if (ms === undefined) return this.report(path, "a duration such as '5s' or milliseconds", describe(value));
			if (ms > MAX_MS) return this.report(path, 'a duration of at most 24 days', describe(value));
			if (ms === 0 && zero === 'positive') this.report(path, "a duration above 0, such as '5s' (each wait needs a limit)", describe(value));
		};
	}

	/** A duration in whole ms; undefined if it is none. */
	#ms(value: unknown): number | undefined {
		const ms = typeof value === 'string' ? this.#parse(value) : value;
		return Number.isInteger(ms) && (ms as number) >= 0 ? (ms as number) : undefined;
	}

	/** As above; what is not declared has its default. What is wrong is undefined: it has been reported. */
	#msOr(value: unknown, otherwise: number): number | undefined {
		return value === undefined ? otherwise : this.#ms(value);
	}

	/** An object with these fields and no others; each may be left out, or undefined. */
	#object(fields: Fields): Check {
		return (value, path) => {
			if (!isObject(value)) return this.report(path, `{ ${Object.keys(fields).join(', ')} }`, describe(value));
			for (const [key, given] of Object.entries(value)) {
				const check = Object.hasOwn(fields, key) ? fields[key] : undefined;
				if (check !== undefined) {
					if (given !== undefined) check(given, keyed(path, key));
					continue;
				}
				const near = nearest(key, Object.keys(fields));
				this.report(
					keyed(path, key),
					near === null
						? `one of ${Object.keys(fields)
								.filter((name) => name !== 'kind')
								.join(', ')}`
						: `a known key (did you mean '${near}'?)`,
					quote(key),
				);
			}
		};
	}

	/** An object of this form, or one word in its place. */
	#or(plain: 0 | 'dropped', form: string, check: Check): Check {
		return (value, path) => {
			if (value === plain) return;
			if (!isObject(value)) return this.report(path, `${describe(plain)} or ${form}`, describe(value));
			check(value, path);
		};
	}

	#needs(value: Record<string, unknown>, path: string, names: Array<keyof typeof needed>): void {
		for (const name of names) if (value[name] === undefined) this.report(`${path}.${name}`, needed[name], 'nothing');
	}

	#slowestMs(backoff: unknown): number {
		if (backoff === 0) return 0;
		const given = isObject(backoff) ? backoff : {};
		return this.#ms(given.to) ?? Math.max(this.#ms(given.from) ?? 0, defaults.backoff.toMs);
	}

	#warnOfWindows(supervisor: Record<string, unknown>, path: string): void {
		if (!Array.isArray(supervisor.children)) return;
		for (const [index, child] of supervisor.children.entries()) {
			if (!isObject(child)) continue;
			const rule = isObject(child.restart) ? child.restart : { type: child.restart };
			// What has spares waits for nothing unless it is said.
			const isAtOnce = typeof child.standby === 'number' && child.standby > 0 && rule.backoff === undefined;
			if (rule.type === 'temporary' || isAtOnce) continue;
			const place = `${path}.children[${index}].restart`;
			if (rule.intensity !== undefined) this.#warnOfWindow(rule.backoff, rule.intensity, defaults, place);
			else this.#warnOfWindow(rule.backoff, supervisor.intensity, defaults, place);
		}
	}

	/** With long waits between restarts a window may be too short to ever hold too many of them. */
	#warnOfWindow(backoff: unknown, intensity: unknown, otherwise: { backoff: Backoff; intensity: Intensity }, path: string): void {
		if (backoff === 0) return;
		const { from, to } = isObject(backoff) ? backoff : {};
		const { restarts = otherwise.intensity.restarts, within } = isObject(intensity) ? intensity : {};
		const fromMs = this.#msOr(from, otherwise.backoff.fromMs);
		const withinMs = this.#msOr(within, otherwise.intensity.withinMs);
		if (fromMs === undefined || withinMs === undefined || typeof restarts !== 'number') return;
		const toMs = this.#msOr(to, Math.max(fromMs, otherwise.backoff.toMs));
		if (toMs === undefined || fromMs === 0 || toMs === 0) return;
		let sum = 0;
		for (let n = 0; n < Math.min(restarts, 10_000); n++) sum += Math.min(toMs, fromMs * 2 ** Math.min(n, 30));
		if (sum < withinMs) return;
		this.report(
			path,
			`a window longer than the waits between its restarts (up to ${sum} ms), else the limit may never be reached`,
			`${restarts} restarts within ${withinMs} ms`,
			'warning',
		);
	}

	/** OTP's surprise: a supervisor that gives up ends with `shutdown`, which is no reason to restart a transient child. */
	#warnOfLoss(supervisor: Record<string, unknown>, path: string): void {
		const type = isObject(supervisor.restart) ? supervisor.restart.type : supervisor.restart;
		if (type === 'transient' || type === 'temporary')
			this.report(
				`${path}.restart`,
				'a permanent supervisor: one that gives up is otherwise gone for good, with its children',
				`'${type}'`,
				'warning',
			);
	}
}

const pass: Check = () => {};
const builders = 'node(…), command(…), thread(…), actor(…), supervisor(…) or dynamic(…)';

/** What has to be there, in words. */
const needed = {
	id: 'an id of lower-case letters, digits, - and _',
	children: 'a list of children',
	child: 'what its children are, such as actor(…)',
	logic: 'XState actor logic, such as a machine',
	module: "the file of a module, such as './web.ts'",
	run: "a program and its arguments, such as ['redis-server', '--port', '6390']",
	restarts: 'a whole number of restarts',
	within: "a duration such as '30s'",
};

function oneOf(checker: Checker, words: readonly string[]): Check {
	return (value, path) => {
		if (typeof value === 'string' && words.includes(value)) return;
		const near = typeof value === 'string' ? nearest(value, words) : null;
		checker.report(path, `${listOf(words)}${near === null ? '' : ` (did you mean '${near}'?)`}`, describe(value));
	};
}

/** `'a', 'b' or 'c'`. */
function listOf(words: readonly string[]): string {
	const quoted = words.map((word) => `'${word}'`);
	return `${quoted.slice(0, -1).join(', ')} or ${quoted.at(-1)}`;
}

export function isId(value: unknown): value is string {
	return typeof value === 'string' && /^[a-z0-9][a-z0-9_-]*$/.test(value);
}

function isIp(host: string): boolean {
	const parts = host.split('.');
	if (parts.length === 4) return parts.every((part) => /^\d{1,3}$/.test(part) && Number(part) <= 255);
	return URL.canParse(`http://[${host}]/`);
}

/** The word that is most like this one, if it is close enough to be meant. */
function nearest(word: string, words: readonly string[]): string | null {
	let best: string | null = null;
	let least = Math.max(2, Math.floor(word.length / 3)) + 1;
	for (const other of words) {
		const away = distance(word.toLowerCase().slice(0, 40), other.toLowerCase());
		if (away < least) {
			least = away;
			best = other;
		}
	}
	return best;
}

/** Levenshtein's distance. */
function distance(a: string, b: string): number {
	let row = Array.from({ length: b.length + 1 }, (_, index) => index);
	for (let i = 1; i <= a.length; i++) {
		const next = [i];
		for (let j = 1; j <= b.length; j++) {
			const same = a[i - 1] === b[j - 1] ? 0 : 1;
			next.push(Math.min((row[j] as number) + 1, (next[j - 1] as number) + 1, (row[j - 1] as number) + same));
		}
		row = next;
	}
	return row[b.length] as number;
}
