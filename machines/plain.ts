/**
 * A value of unknown make as plain text, numbers, lists and objects, so that whoever reads it need not fear getters that
 * throw, proxies, cycles or sizes; and a few words for any value.
 */

/** What a declaration cannot hold, in words. */
export class Odd {
	readonly what: string;

	constructor(what: string) {
		this.what = what;
	}
}

/** What XState calls actor logic is opaque here. */
export const ACTOR_LOGIC = 'actor logic';

/** Lists and objects within each other. */
const MAX_DEPTH = 80;
/** Values in all: beyond, the same part is held again and again. */
const MAX_PARTS = 200_000;
/** Characters of a text that are shown. */
const SHOWN = 60;

/** A copy that is safe to read; what has no place in it is an `Odd`. It never throws. */
export function plain(value: unknown): unknown {
	let parts = 0;
	const above: object[] = [];

	const copy = (given: unknown): unknown => {
		parts += 1;
		if (parts > MAX_PARTS) return new Odd('more than a declaration can hold');
		if (typeof given === 'function') return new Odd('a function');
		if (typeof given === 'symbol') return new Odd('a symbol');
		if (typeof given !== 'object' || given === null) return given;
		if (above.includes(given)) return new Odd('something that holds itself');
		if (above.length === MAX_DEPTH) return new Odd(`more than ${MAX_DEPTH} levels`);
		above.push(given);
		try {
			return inside(given);
		} catch {
			return new Odd('something that cannot be read');
		} finally {
			above.pop();
		}
	};

	const inside = (given: object): unknown => {
		if (Array.isArray(given)) {
			if (given.length > MAX_PARTS - parts) return new Odd(`a list of ${given.length}`);
			return Array.from({ length: given.length }, (_, index) => copyOf(given, index));
		}
		if (isLogic(given)) return new Odd(ACTOR_LOGIC);
		if (given instanceof RegExp) return new RegExp(given.source, given.flags);
		const prototype: unknown = Object.getPrototypeOf(given);
		if (prototype !== null && Object.getPrototypeOf(prototype) !== null) return new Odd(`a ${nameOf(given)}`);
		// Without a prototype, so that a key such as `__proto__` is a key like any other.
		const copied: Record<string, unknown> = Object.create(null);
		for (const key of Object.keys(given)) if (key !== 'input' || !hasInput(given)) copied[key] = copyOf(given, key);
		return copied;
	};

	/** A getter that throws spoils its own place only. */
	const copyOf = (holder: object, key: string | number): unknown => {
		let part: unknown;
		try {
			part = Reflect.get(holder, key);
		} catch {
			return new Odd('something that cannot be read');
		}
		return copy(part);
	};

	return copy(value);
}

/** What an actor or a thread begins with is anybody's, of any size. */
function hasInput({ kind }: { kind?: unknown }): boolean {
	return kind === 'actor' || kind === 'thread';
}

function isLogic(value: object): boolean {
	const { transition, getInitialSnapshot }: { transition?: unknown; getInitialSnapshot?: unknown } = value;
	return typeof transition === 'function' && typeof getInitialSnapshot === 'function';
}

function nameOf(value: object): string {
	const { name }: { name?: unknown } = value.constructor ?? {};
	return typeof name === 'string' && /^\w{1,60}$/.test(name) ? name : 'class of its own';
}

/** A text as it could stand in a source: on one line, and cut short. */
export function quote(text: string): string {
	const shown = text.length > SHOWN ? `${text.slice(0, SHOWN - 1)}…` : text;
	return `'${JSON.stringify(shown).slice(1, -1).replaceAll('\\"', '"')}'`;
}

/** A plain value in a few words, as people would write it. */
export function describe(value: unknown): string {
	if (value === undefined) return 'nothing';
	if (value instanceof Odd) return value.what;
	if (typeof value === 'string') return quote(value);
	if (Array.isArray(value)) return value.length === 0 ? 'an empty list' : 'a list';
	if (value instanceof RegExp) return String(value);
	if (typeof value !== 'object' || value === null) return String(value);
	const keys = Object.keys(value).slice(0, 4);
	return keys.length === 0 ? 'an empty object' : `{ ${keys.map((key) => (isWord(key) ? key : quote(key))).join(', ')} }`;
}

/** The place of a key: `path.key`, or `path['key']` where it is no word. */
export function keyed(path: string, key: string): string {
	return isWord(key) ? `${path}.${key}` : `${path}[${quote(key)}]`;
}

const isWord = (key: string): boolean => /^[a-z_$][\w$]{0,59}$/i.test(key);

export function isObject(value: unknown): value is Record<string, unknown> {
	return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Odd) && !(value instanceof RegExp);
}
