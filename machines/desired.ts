/**
 * What is desired of a tree beyond what its spec declares: numbers of instances and pauses that were asked for. It lasts as
 * long as the tree runs, also when a supervisor starts again or a reload brings a new version.
 */
import { MAX_INSTANCES } from './check.ts';
import type { ChildSpec, SupervisorSpec } from './spec.ts';

export interface Desired {
	/**
	 * By the path of a child without the number of an instance. `declared`: the declared number for which it was asked; if a new version
	 * declares another one, that counts.
	 */
	scaled: Readonly<Record<string, { count: number; declared: number }>>;
	/** Paths, paths without the number of an instance (all of them), or `''`: the whole tree. */
	paused: readonly string[];
}

export const asDeclared: Desired = { scaled: {}, paused: [] };

/** What of a child its place in the tree depends on. */
type Placed = Pick<ChildSpec, 'id' | 'declaredId' | 'path' | 'kind'>;

const aboveOf = (path: string) => path.slice(0, Math.max(0, path.lastIndexOf('/')));
const below = (path: string, id: string) => (path === '' ? id : `${path}/${id}`);

/** By which all instances of a child are meant. */
export const wordOf = ({ path, declaredId }: Pick<Placed, 'path' | 'declaredId'>) => below(aboveOf(path), declaredId);

/** Whether there may be more of it, or fewer. */
export const hasInstances = ({ id, declaredId, kind }: Placed) =>
	id.startsWith(`${declaredId}.`) && kind !== 'dynamic' && kind !== 'supervisor';

/** Whether it was paused, by itself or with all of its kind; what is below a paused supervisor is not, it is only down. */
export function isPaused({ paused }: Desired, child: Placed): boolean {
	return paused.includes(child.path) || paused.includes(wordOf(child)) || (aboveOf(child.path) === '' && paused.includes(''));
}

export function withPaused(desired: Desired, word: string): Desired {
	const covered = (each: string) => each === word || (word === '' && aboveOf(each) === '');
	return { ...desired, paused: [...desired.paused.filter((each) => !covered(each)), word] };
}

/** `siblings`: all children of the supervisor that `word` is under, for what was paused together and is resumed in parts. */
export function withoutPaused(desired: Desired, word: string, siblings: readonly Placed[]): Desired {
	if (word === '') return { ...desired, paused: [] };
	const meant = siblings.filter((child) => child.path === word || wordOf(child) === word);
	const others = siblings.filter((child) => !meant.includes(child));
	let paused = desired.paused.filter((each) => each !== word && !meant.some(({ path }) => path === each));
	if (aboveOf(word) === '' && paused.includes(''))
		paused = [
			...paused.filter((each) => each !== ''),
			...new Set(others.map((child) => (isSibling(child, meant) ? child.path : wordOf(child)))),
		];
	// One instance of several: the others stay as they are.
	for (const whole of new Set(meant.map(wordOf)))
		if (paused.includes(whole))
			paused = [...paused.filter((each) => each !== whole), ...others.filter((child) => wordOf(child) === whole).map(({ path }) => path)];
	return { ...desired, paused: [...new Set(paused)] };
}

const isSibling = (child: Placed, meant: readonly Placed[]) => meant.some((one) => wordOf(one) === wordOf(child));

export function withInstances(desired: Desired, word: string, count: number, declared: number): Desired {
	const { [word]: _, ...others } = desired.scaled;
	return { ...desired, scaled: count === declared ? others : { ...others, [word]: { count, declared } } };
}

/**
 * Which instances have to start and to stop, by their numbers and in this order, for a number of them or for so many more or fewer (never below
 * one, bounded by `MAX_INSTANCES`). Gaps are filled first, and the highest number goes first.
 */
export function changeOfInstances(
	numbers: readonly number[],
	wanted: number | '+1' | '-1',
): { from: number; to: number; start: number[]; stop: number[] } {
	const from = numbers.length;
	const to = typeof wanted === 'string' ? Math.min(MAX_INSTANCES, Math.max(1, from + Number(wanted))) : wanted;
	const inOrder = [...numbers].sort((a, b) => a - b);
	const missing = Array.from({ length: to }, (_, index) => index + 1).filter((number) => !inOrder.includes(number));
	return { from, to, start: missing.slice(0, Math.max(0, to - from)), stop: inOrder.slice(to).reverse() };
}

/** How many instances of a child are declared. */
export function declaredCount({ path, children }: SupervisorSpec, word: string): number {
	return children.filter((child) => below(path, child.declaredId) === word && hasInstances(child)).length;
}

/** Without what a new version of the spec has made void. */
export function stillMeant(desired: Desired, root: SupervisorSpec): Desired {
	const supervisors = supervisorsIn(root);
	const children = supervisors.flatMap((supervisor) => supervisor.children);
	const isDeclared = (word: string) => word === '' || children.some((child) => child.path === word || wordOf(child) === word);
	const counts = Object.entries(desired.scaled).filter(([word, { declared }]) =>
		supervisors.some((supervisor) => supervisor.path === aboveOf(word) && declaredCount(supervisor, word) === declared),
	);
	// One more than are declared is a child as well.
	const paused = desired.paused.filter((word) => isDeclared(word) || isDeclared(word.replace(/\.\d+$/, '')));
	const isSame = counts.length === Object.keys(desired.scaled).length && paused.length === desired.paused.length;
	return isSame ? desired : { scaled: Object.fromEntries(counts), paused };
}

function supervisorsIn(root: SupervisorSpec): SupervisorSpec[] {
	return [root, ...root.children.flatMap((child) => (child.kind === 'supervisor' ? supervisorsIn(child) : []))];
}

/** The children of a supervisor as they shall be when it starts: so many instances of each as were asked for, beside each other. */
export function childrenAsDesired(spec: SupervisorSpec, { scaled }: Desired): ChildSpec[] {
	const counts = new Map<string, number>();
	for (const [word, { count, declared }] of Object.entries(scaled))
		if (aboveOf(word) === spec.path && declaredCount(spec, word) === declared) counts.set(word, count);
	const there = spec.children.filter((child) => !hasInstances(child) || numberOf(child.id) <= (counts.get(wordOf(child)) ?? MAX_INSTANCES));
	const more = [...counts].flatMap(([word, count]) => {
		const like = spec.children.find((child) => wordOf(child) === word) as ChildSpec;
		const declared = declaredCount(spec, word);
		return Array.from({ length: Math.max(0, count - declared) }, (_, index) => instanceOf(like, declared + index + 1));
	});
	return withAdded(there, more);
}

const numberOf = (id: string) => Number(id.slice(id.indexOf('.') + 1));

/**
 * Which place in the start order one gets that comes while its supervisor runs: an instance is beside its siblings, by its number, so
 * that it has one place, whoever started it and whenever; anyone else is the last (OTP's `start_child`).
 */
export function placeAmong(ids: readonly string[], id: string): number {
	if (!id.includes('.')) return ids.length;
	const sibling = id.slice(0, id.indexOf('.') + 1);
	const before = ids.findLastIndex((other) => other.startsWith(sibling) && numberOf(other) < numberOf(id));
	if (before >= 0) return before + 1;
	const after = ids.findIndex((other) => other.startsWith(sibling));
	return after < 0 ? ids.length : after;
}

/** The children of a supervisor in start order, once others have come. */
export function withAdded<One extends Pick<ChildSpec, 'id'>>(children: readonly One[], added: readonly One[]): One[] {
	const ids = children.map(({ id }) => id);
	const all = [...children];
	for (const one of added) {
		const place = placeAmong(ids, one.id);
		ids.splice(place, 0, one.id);
		all.splice(place, 0, one);
	}
	return all;
}

/** One more, like its siblings. */
export function instanceOf<One extends Pick<ChildSpec, 'id' | 'path' | 'declaredId'>>(like: One, number: number): One {
	const id = `${like.declaredId}.${number}`;
	return { ...like, id, path: below(aboveOf(like.path), id) };
}
