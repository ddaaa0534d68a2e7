/** What is wrong with a declaration: everything at once, each with its place, what was expected and what is there. */
import { addressOf, defaults, type ParseDuration } from './spec.ts';

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
/** Supervisors within supervisors; deeper is a cycle. */
const MAX_DEPTH = 32;
const MAX_INSTANCES = 1_000;
/** Problems until the rest is left out: somebody has declared something else altogether. */
const MAX_PROBLEMS = 200;

type Check = (value: unknown, path: string) => void;
type Fields = Record<string, Check>;

/** Every problem of a declaration, none if it can be run. It never throws, whatever it is given. */
export function checkSpec(declaration: unknown, parseDuration: ParseDuration): Problem[] {
	const checker = new Checker(parseDuration);
	try {
		checker.tree(declaration);
	} catch (error) {
		// A getter or a proxy that throws: the declaration cannot even be read.
		checker.report('tree', 'something that can be read', `an error: ${describe(error instanceof Error ? error.message : error)}`);
	}
	return checker.problems;
}

class Checker {
	readonly problems: Problem[] = [];
	readonly #parse: ParseDuration;
	/** Claimed addresses, and by whom. */
	readonly #claims = new Map<string, string>();
	#depth = 0;

	constructor(parse: ParseDuration) {
		this.#parse = parse;
	}

	report(path: string, expected: string, got: string, severity: Problem['severity'] = 'error'): void {
		if (this.problems.length >= MAX_PROBLEMS) return;
		this.problems.push({ path, expected, got, message: `${path}: expected ${expected}, got ${got}`, severity });
	}

	tree(value: unknown): void {
		const id = isObject(value) && typeof value.id === 'string' && value.id !== '' ? value.id : 'tree';
		if (!isObject(value) || value.kind !== 'tree') return this.report(id, 'tree(…)', describe(value));
		const master: Fields = { heartbeat: this.#heartbeat, intensity: this.#intensity, backoff: this.#backoff };
		this.#object({
			kind: pass,
			id: this.#id,
			stopTimeout: this.#duration('positive'),
			master: this.#object(master),
			...this.#supervision,
		})(value, id);
		this.#require(value, id, ['id', 'children']);
		this.#warnOfWindow(value, id);
	}

	get #supervision(): Fields {
		return { strategy: this.#strategy, intensity: this.#intensity, start: oneOf(this, ['ordered', 'parallel']), children: this.#children };
	}

	#children: Check = (value, path) => {
		if (!Array.isArray(value)) return this.report(path, 'a list of children', describe(value));
		const seen = new Map<string, string>();
		this.#depth += 1;
		for (const [index, child] of value.entries()) {
			const place = `${path}[${index}]`;
			if (this.#depth > MAX_DEPTH) {
				this.report(place, `at most ${MAX_DEPTH} levels of supervisors`, 'more: does a supervisor hold itself?');
				break;
			}
			this.#child(child, place);
			const id = isObject(child) ? child.id : undefined;
			if (typeof id !== 'string') continue;
			const first = seen.get(id);
			if (first !== undefined) this.report(`${place}.id`, 'an id that no sibling has', `'${id}', which ${first} has`);
			else seen.set(id, place);
		}
		this.#depth -= 1;
	};

	#child(value: unknown, path: string): void {
		if (!isObject(value)) return this.report(path, 'node(…), command(…) or supervisor(…)', describe(value));
		switch (value.kind) {
			case 'supervisor':
				this.#object({ kind: pass, id: this.#id, restart: this.#restart, ...this.#supervision })(value, path);
				this.#require(value, path, ['id', 'children']);
				this.#warnOfLoss(value, path);
				return this.#warnOfWindow(value, path);
			case 'node':
				this.#object({
					...this.#process(value),
					module: this.#text,
					args: this.#list(this.#string),
					execArgv: this.#list(this.#string),
					heartbeat: (given, place) => (given === 0 ? undefined : this.#heartbeat(given, place)),
				})(value, path);
				return this.#require(value, path, ['id', 'module']);
			case 'command':
				this.#object({ ...this.#process(value), run: this.#run })(value, path);
				return this.#require(value, path, ['id', 'run']);
			case 'thread':
			case 'actor':
				return this.report(`${path}.kind`, "'node', 'command' or 'supervisor'", `'${value.kind}', which is not available yet`);
			default:
				return this.report(`${path}.kind`, "'node', 'command' or 'supervisor'", describe(value.kind));
		}
	}

	#process(child: Record<string, unknown>): Fields {
		return {
			kind: pass,
			id: this.#id,
			instances: this.#integer(1, MAX_INSTANCES),
			listen: this.#listen,
			ready: (value, path) => this.#ready(value, path, child.kind === 'command'),
			live: this.#live,
			restart: this.#restart,
			stop: this.#object({ drain: this.#duration('zero is off'), terminate: this.#duration('positive') }),
			standby: (value, path) => {
				if (value !== 0) this.report(path, '0 (standbys are not available yet)', describe(value));
			},
			env: this.#strings,
			envFile: this.#text,
			inheritEnv: (value, path) => (value === true ? undefined : this.#list(this.#text, "a list of names, or 'true' for all")(value, path)),
			cwd: this.#text,
			logs: this.#object({ rotateBytes: this.#integer(0, Number.MAX_SAFE_INTEGER), keep: this.#integer(0, 1_000) }),
		};
	}

	#restart: Check = (value, path) => {
		if (typeof value === 'string') return this.#restartType(value, path);
		if (!isObject(value)) return this.report(path, "'permanent', 'transient', 'temporary' or { type, … }", describe(value));
		this.#object({
			type: this.#restartType,
			strategy: this.#strategy,
			intensity: this.#intensity,
			whenExhausted: oneOf(this, ['escalate', 'giveUp', 'keepTrying']),
			backoff: (given, place) => (given === 0 ? undefined : this.#backoff(given, place)),
			okCodes: this.#list(this.#integer(0, 255), 'a list of exit codes'),
			fatalCodes: this.#list(this.#integer(0, 255), 'a list of exit codes'),
		})(value, path);
		if (value.whenExhausted === 'keepTrying' && this.#slowestMs(value.backoff) === 0)
			this.report(`${path}.backoff`, "a longest wait 'to' above 0, at which keepTrying goes on", describe(value.backoff));
	};

	#backoff: Check = (value, path) => {
		this.#object({ from: this.#duration('zero is off'), to: this.#duration('zero is off'), resetAfter: this.#duration('zero is off') })(
			value,
			path,
		);
		if (!isObject(value)) return;
		const [from, to] = [this.#ms(value.from), this.#ms(value.to)];
		if (from !== undefined && to !== undefined && from > to)
			this.report(`${path}.to`, `at least 'from' (${describe(value.from)})`, describe(value.to));
	};

	#intensity: Check = (value, path) => {
		this.#object({ restarts: this.#integer(0, 100_000), within: this.#duration('positive') })(value, path);
		if (isObject(value)) this.#require(value, path, ['restarts', 'within']);
	};

	#heartbeat: Check = (value, path) => {
		this.#object({ every: this.#duration('positive'), timeout: this.#duration('positive') })(value, path);
		if (!isObject(value)) return;
		const every = this.#ms(value.every) ?? defaults.heartbeat.everyMs;
		const timeout = this.#ms(value.timeout) ?? defaults.heartbeat.timeoutMs;
		if (timeout < 2 * every)
			this.report(`${path}.timeout`, `at least twice 'every' (${every} ms), so that one late beat is no death`, `${timeout} ms`);
	};

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
			const [after, timeout] = [this.#ms(value.after), this.#ms(value.timeout) ?? defaults.readyTimeoutMs];
			if (after !== undefined && after >= timeout) this.report(`${path}.after`, `less than its timeout (${timeout} ms)`, `${after} ms`);
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
			this.#address(given, place);
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
			const place = `${path}.${name}`;
			if (!/^[a-z0-9][a-z0-9_-]*$/i.test(name)) this.report(place, 'a name of letters, digits, - and _', describe(name));
			if (!this.#address(address, place)) continue;
			const { host, port, socketPath } = addressOf(address as number | string);
			// A port without a host is claimed on all of them.
			const keys = socketPath !== null ? [socketPath] : [`${host ?? '*'}:${port}`];
			const taken = [...this.#claims].find(([key]) => keys.includes(key) || (socketPath === null && clash(key, host, port)));
			if (taken !== undefined) this.report(place, 'an address that nobody else claims', `${describe(address)}, which ${taken[1]} claims`);
			else for (const key of keys) this.#claims.set(key, place);
		}
	};

	#address(value: unknown, path: string): boolean {
		const expected = "a port from 1 to 65535, 'host:port' or 'unix:/path'";
		const isPort = (port: unknown) => Number.isInteger(port) && (port as number) >= 1 && (port as number) <= 65_535;
		const right =
			typeof value === 'number'
				? isPort(value)
				: typeof value === 'string' &&
					(value.startsWith('unix:')
						? /^unix:\/./.test(value)
						: /^(\[[0-9a-f:.]+\]|[^\s:[\]/]+):\d+$/i.test(value) && isPort(addressOf(value).port));
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
		if (value.global || value.sticky) this.report(path, 'a regular expression without the g and y flags', String(value));
	};

	#url: Check = (value, path) => {
		if (typeof value !== 'string' || !/^https?:\/\/[^\s/]+/.test(value))
			this.report(path, "a URL such as 'http://localhost:8080/health'", describe(value));
	};

	#id: Check = (value, path) => {
		if (typeof value !== 'string' || !/^[a-z0-9][a-z0-9_-]*$/.test(value))
			this.report(path, 'an id of lower-case letters, digits, - and _', describe(value));
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
			if (name === '' || name.includes('=') || name.startsWith('CHOIR_'))
				this.report(`${path}.${name}`, 'a name without = that does not begin with CHOIR_', describe(name));
			this.#string(text, `${path}.${name}`);
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

	/** A duration in ms; undefined if it is none. */
	#ms(value: unknown): number | undefined {
		const ms = typeof value === 'string' ? this.#parse(value) : value;
		return typeof ms === 'number' && Number.isFinite(ms) && ms >= 0 ? ms : undefined;
	}

	/** An object with these fields and no others; each may be left out, or undefined. */
	#object(fields: Fields): Check {
		return (value, path) => {
			if (!isObject(value)) return this.report(path, `{ ${Object.keys(fields).join(', ')} }`, describe(value));
			for (const [key, given] of Object.entries(value)) {
				const check = Object.hasOwn(fields, key) ? fields[key] : undefined;
				if (check !== undefined) {
					if (given !== undefined) check(given, `${path}.${key}`);
					continue;
				}
				const near = nearest(key, Object.keys(fields));
				this.report(
					`${path}.${key}`,
					near === null
						? `one of ${Object.keys(fields)
								.filter((name) => name !== 'kind')
								.join(', ')}`
						: `a known key (did you mean '${near}'?)`,
					`'${key}'`,
				);
			}
		};
	}

	#require(value: Record<string, unknown>, path: string, names: string[]): void {
		for (const name of names) if (value[name] === undefined) this.report(`${path}.${name}`, 'a value', 'nothing');
	}

	#slowestMs(backoff: unknown): number {
		if (backoff === 0) return 0;
		const given = isObject(backoff) ? backoff : {};
		return this.#ms(given.to) ?? Math.max(this.#ms(given.from) ?? 0, defaults.backoff.toMs);
	}

	/** With long waits between restarts a window may be too short to ever hold too many of them. */
	#warnOfWindow(supervisor: Record<string, unknown>, path: string): void {
		if (!Array.isArray(supervisor.children)) return;
		for (const [index, child] of supervisor.children.entries()) {
			if (!isObject(child)) continue;
			const rule = isObject(child.restart) ? child.restart : {};
			if (rule.backoff === 0 || (isObject(rule.backoff) && this.#ms(rule.backoff.from) === 0)) continue;
			const intensity = isObject(rule.intensity) ? rule.intensity : isObject(supervisor.intensity) ? supervisor.intensity : {};
			const restarts = typeof intensity.restarts === 'number' ? intensity.restarts : defaults.intensity.restarts;
			const within = this.#ms(intensity.within) ?? defaults.intensity.withinMs;
			const backoff = isObject(rule.backoff) ? rule.backoff : {};
			const from = this.#ms(backoff.from) ?? defaults.backoff.fromMs;
			const to = this.#slowestMs(rule.backoff);
			let sum = 0;
			for (let n = 0; n < Math.min(restarts, 10_000); n++) sum += Math.min(to, from * 2 ** Math.min(n, 30));
			if (sum < within) continue;
			this.report(
				`${path}.children[${index}].restart`,
				`a window longer than the waits between its restarts (up to ${sum} ms), else the limit may never be reached`,
				`${restarts} restarts within ${within} ms`,
				'warning',
			);
		}
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

function oneOf(checker: Checker, words: readonly string[]): Check {
	return (value, path) => {
		if (typeof value === 'string' && words.includes(value)) return;
		const near = typeof value === 'string' ? nearest(value, words) : null;
		checker.report(
			path,
			`${listOf(words)}${near === null ? '' : ` (did you mean '${near}'?)`}`,
			describe(value),
		);
	};
}

function isObject(value: unknown): value is Record<string, unknown> {
	return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Whether a claimed `host:port` and another are the same place: a port on all hosts clashes with that port on each. */
function clash(claimed: string, host: string | null, port: number | null): boolean {
	const { host: other, port: taken } = addressOf(claimed);
	return taken === port && port !== null && (host === null || other === '*' || other === host);
}

/** A value as people would write it, short. */
function describe(value: unknown): string {
	if (typeof value === 'string') return `'${value.length > 60 ? `${value.slice(0, 57)}…` : value}'`;
	if (Array.isArray(value)) return value.length === 0 ? 'an empty list' : 'a list';
	if (typeof value === 'function') return 'a function';
	if (value === undefined) return 'nothing';
	if (typeof value === 'object' && value !== null) {
		const keys = Object.keys(value).slice(0, 4);
		return keys.length === 0 ? 'an empty object' : `{ ${keys.join(', ')} }`;
	}
	return String(value);
}

/** `'a', 'b' or 'c'`. */
function listOf(words: readonly string[]): string {
	const quoted = words.map((word) => `'${word}'`);
	return `${quoted.slice(0, -1).join(', ')} or ${quoted.at(-1)}`;
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
