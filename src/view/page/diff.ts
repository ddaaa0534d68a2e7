/** Two values side by side: what is in both, what has gone, and what is new, as lines to be indented. Nothing of the browser. */

export interface Line {
	depth: number;
	/** `-` and `+` come in pairs where a value has changed. */
	mark: ' ' | '-' | '+';
	key: string;
	/** '' for what only holds the lines below it. */
	value: string;
}

type Mark = Line['mark'];
const isTable = (value: unknown): value is object => typeof value === 'object' && value !== null;
const isFull = (value: unknown): value is object => isTable(value) && Object.keys(value).length > 0;

/** All of `after`, marked where it differs from `before`. */
export function compare(before: unknown, after: unknown, depth = 0): Line[] {
	const old = isTable(before) ? new Map(Object.entries(before)) : new Map();
	const now = isTable(after) ? new Map(Object.entries(after)) : new Map();
	return [...new Set([...old.keys(), ...now.keys()])].flatMap((key) => {
		if (!now.has(key)) return all(key, old.get(key), '-', depth);
		if (!old.has(key)) return all(key, now.get(key), '+', depth);
		const [was, is] = [old.get(key), now.get(key)];
		if (isFull(was) && isFull(is)) return [{ depth, mark: ' ' as Mark, key, value: '' }, ...compare(was, is, depth + 1)];
		if (JSON.stringify(was) === JSON.stringify(is)) return all(key, is, ' ', depth);
		return [...all(key, was, '-', depth), ...all(key, is, '+', depth)];
	});
}

/** Those that are marked, and what they are in. */
export function changesOf(lines: readonly Line[]): Line[] {
	const kept: Line[] = [];
	let depth = 0;
	for (const line of [...lines].reverse()) {
		if (line.mark === ' ' && line.depth >= depth) continue;
		kept.push(line);
		depth = line.depth;
	}
	return kept.reverse();
}

function all(key: string, value: unknown, mark: Mark, depth: number): Line[] {
	if (!isFull(value)) return [{ depth, mark, key, value: JSON.stringify(value) ?? '–' }];
	return [{ depth, mark, key, value: '' }, ...Object.entries(value).flatMap(([inner, item]) => all(inner, item, mark, depth + 1))];
}
