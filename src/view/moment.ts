/** What a machine knew, as JSON that a page can show: bounded in depth and size, and it says where it was cut. */
import { visible } from '../logs/visible.ts';
import type { Moment } from './wire.ts';

const MAX_DEPTH = 8;
/** Of one list or table. */
const MAX_ENTRIES = 50;
/** Values in all. */
const MAX_PARTS = 2_000;
const MAX_CHARACTERS = 500;
/** Marks begin with this sign. */
const CUT = '…';

export function momentOf(state: string, context: unknown): Moment | null {
	return context === undefined ? null : { state, context: shown(context) };
}

/** Never throws, whatever it is given. */
export function shown(value: unknown): unknown {
	let parts = 0;
	const around: object[] = [];

	const show = (given: unknown): unknown => {
		parts += 1;
		if (typeof given === 'string') return text(given);
		if (typeof given === 'number') return Number.isFinite(given) ? given : String(given);
		if (typeof given === 'boolean' || given === null) return given;
		if (typeof given === 'function') return `[function ${text(given.name)}]`;
		if (typeof given !== 'object') return `[${typeof given} ${text(String(given))}]`;
		if (around.includes(given)) return '[itself]';
		if (parts > MAX_PARTS || around.length === MAX_DEPTH) return CUT;
		around.push(given);
		try {
			return inside(given);
		} catch {
			return '[cannot be read]';
		} finally {
			around.pop();
		}
	};

	const inside = (given: object): unknown => {
		if (Array.isArray(given) || given instanceof Set) {
			const size = Array.isArray(given) ? given.length : given.size;
			return list(given as Iterable<unknown>, size);
		}
		if (isTable(given)) return table(entriesOf(given), given.size);
		if (given instanceof Date || given instanceof RegExp) return text(String(given));
		if (given instanceof Error) return `[${text(given.name)}: ${text(given.message)}]`;
		if (ArrayBuffer.isView(given)) return `[${given.byteLength} bytes]`;
		const keys = Object.keys(given);
		return table(
			(function* () {
				for (const key of keys) yield [key, Reflect.get(given, key)] as const;
			})(),
			keys.length,
		);
	};

	const list = (items: Iterable<unknown>, size: number): unknown[] => {
		const all: unknown[] = [];
		for (const item of items) {
			if (all.length === MAX_ENTRIES || parts > MAX_PARTS) return [...all, `${CUT} ${size - all.length} more`];
			all.push(show(item));
		}
		return all;
	};

	const table = (entries: Iterable<readonly [unknown, unknown]>, size: number): Record<string, unknown> => {
		// Without a prototype, so that a key such as `__proto__` is a key like any other.
		const all: Record<string, unknown> = Object.create(null);
		let count = 0;
		for (const [key, item] of entries) {
			if (count === MAX_ENTRIES || parts > MAX_PARTS) {
				all[CUT] = `${size - count} more`;
				break;
			}
			if (item !== undefined) all[text(String(key))] = show(item);
			count += 1;
		}
		return all;
	};

	return show(value);
}

/** Text that is not ours: without what steers a terminal, and cut. */
export function text(given: string): string {
	return visible(given.length > MAX_CHARACTERS ? `${given.slice(0, MAX_CHARACTERS)}${CUT}` : given);
}

/** A map, or one of ours that shares what it holds with earlier ones. */
interface Table {
	size: number;
	get(key: unknown): unknown;
	keys?(): Iterable<unknown>;
	[Symbol.iterator]?(): Iterator<[unknown, unknown]>;
}

function isTable(given: object): given is Table {
	const { size, get } = given as Partial<Table>;
	return typeof size === 'number' && typeof get === 'function' && ('keys' in given || Symbol.iterator in given);
}

function* entriesOf(given: Table): Generator<readonly [unknown, unknown]> {
	if (given.keys === undefined) yield* given as Iterable<[unknown, unknown]>;
	else for (const key of given.keys()) yield [key, given.get(key)];
}
