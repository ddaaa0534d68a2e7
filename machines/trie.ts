/**
 * A map whose changes give a new map that shares all the rest with the old one, so that a supervisor of very many children
 * stays a pure value and a change costs the same whatever their number: a hash trie (Bagwell, "Ideal Hash Trees", 2001).
 */

interface Leaf<V> {
	hash: number;
	key: string;
	value: V;
	/** Others of the same hash. */
	next: Leaf<V> | null;
}

interface Node<V> {
	/** Bit n: there is a slot for the n-th of 32 parts of the hashes. */
	bitmap: number;
	slots: ReadonlyArray<Node<V> | Leaf<V>>;
}

const BITS = 5;
const empty: Node<never> = { bitmap: 0, slots: [] };

const isLeaf = <V>(slot: Node<V> | Leaf<V>): slot is Leaf<V> => 'key' in slot;
const bitOf = (hash: number, shift: number) => 1 << ((hash >>> shift) & 31);

/** FNV-1a. */
function hashOf(key: string): number {
	let hash = 0x811c9dc5;
	for (let index = 0; index < key.length; index++) hash = Math.imul(hash ^ key.charCodeAt(index), 0x01000193);
	return hash >>> 0;
}

/** Bits that are set below `bit`: the place of its slot. */
function placeOf(bitmap: number, bit: number): number {
	let below = bitmap & (bit - 1);
	below -= (below >>> 1) & 0x55555555;
	below = (below & 0x33333333) + ((below >>> 2) & 0x33333333);
	return Math.imul((below + (below >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}

/** Keys in an order that depends on nothing but the keys. */
export class Trie<V> {
	readonly size: number;
	readonly #root: Node<V>;

	constructor(root: Node<V> = empty, size = 0) {
		this.#root = root;
		this.size = size;
	}

	get(key: string): V | undefined {
		const hash = hashOf(key);
		let slot: Node<V> | Leaf<V> = this.#root;
		for (let shift = 0; !isLeaf(slot); shift += BITS) {
			const bit = bitOf(hash, shift);
			const below: Node<V> | Leaf<V> | undefined = (slot.bitmap & bit) === 0 ? undefined : slot.slots[placeOf(slot.bitmap, bit)];
			if (below === undefined) return undefined;
			slot = below;
		}
		for (let leaf: Leaf<V> | null = slot; leaf !== null; leaf = leaf.next) if (leaf.key === key) return leaf.value;
		return undefined;
	}

	with(key: string, value: V): Trie<V> {
		const grown = this.get(key) === undefined ? 1 : 0;
		return new Trie(insert(this.#root, 0, { hash: hashOf(key), key, value, next: null }), this.size + grown);
	}

	without(key: string): Trie<V> {
		if (this.get(key) === undefined) return this;
		return new Trie((remove(this.#root, 0, hashOf(key), key) as Node<V> | null) ?? empty, this.size - 1);
	}

	/** The keys whose values are not the same ones in `before`, among them those that only one of both has. What both share is not looked at. */
	differing(before: Trie<V>): string[] {
		return differing(this.#root, before.#root, 0);
	}

	*[Symbol.iterator](): IterableIterator<[string, V]> {
		const left: Array<Node<V> | Leaf<V>> = [this.#root];
		for (let slot = left.pop(); slot !== undefined; slot = left.pop()) {
			if (!isLeaf(slot)) left.push(...slot.slots);
			else for (let leaf: Leaf<V> | null = slot; leaf !== null; leaf = leaf.next) yield [leaf.key, leaf.value];
		}
	}
}

/** The same with an order: that of arrival, unless a place is given. To add or remove a key costs as much as there are keys, to change one does not. */
export class OrderedTrie<V> {
	readonly #order: readonly string[];
	readonly #values: Trie<V>;

	constructor(order: readonly string[] = [], values: Trie<V> = new Trie()) {
		this.#order = order;
		this.#values = values;
	}

	static of<V>(entries: Iterable<readonly [string, V]>): OrderedTrie<V> {
		const all = [...entries];
		return new OrderedTrie(
			all.map(([key]) => key),
			all.reduce((values, [key, value]) => values.with(key, value), new Trie<V>()),
		);
	}

	get size(): number {
		return this.#order.length;
	}

	has(key: string): boolean {
		return this.#values.get(key) !== undefined;
	}

	get(key: string): V | undefined {
		return this.#values.get(key);
	}

	keys(): readonly string[] {
		return this.#order;
	}

	/** As that of a trie without order. */
	differing(before: OrderedTrie<V>): string[] {
		return this.#values.differing(before.#values);
	}

	values(): V[] {
		return this.#order.map((key) => this.#values.get(key) as V);
	}

	/** A new key goes to `place` in the order: the last, unless told. */
	with(key: string, value: V, place = this.size): OrderedTrie<V> {
		const order = this.has(key) ? this.#order : [...this.#order.slice(0, place), key, ...this.#order.slice(place)];
		return new OrderedTrie(order, this.#values.with(key, value));
	}

	without(key: string): OrderedTrie<V> {
		return new OrderedTrie(
			this.#order.filter((other) => other !== key),
			this.#values.without(key),
		);
	}
}

function insert<V>(node: Node<V>, shift: number, leaf: Leaf<V>): Node<V> {
	const bit = bitOf(leaf.hash, shift);
	const place = placeOf(node.bitmap, bit);
	if ((node.bitmap & bit) === 0)
		return { bitmap: node.bitmap | bit, slots: [...node.slots.slice(0, place), leaf, ...node.slots.slice(place)] };
	const slot = node.slots[place] as Node<V> | Leaf<V>;
	const slots = node.slots.slice();
	slots[place] = isLeaf(slot) ? pair(slot, leaf, shift + BITS) : insert(slot, shift + BITS, leaf);
	return { bitmap: node.bitmap, slots };
}

function differing<V>(now: Node<V> | Leaf<V> | null, before: Node<V> | Leaf<V> | null, shift: number): string[] {
	if (now === before) return [];
	if (now !== null && before !== null && !isLeaf(now) && !isLeaf(before)) {
		const keys: string[] = [];
		for (let bits = now.bitmap | before.bitmap; bits !== 0; bits &= bits - 1) {
			const bit = bits & -bits;
			keys.push(...differing(slotAt(now, bit), slotAt(before, bit), shift + BITS));
		}
		return keys;
	}
	const [all, old] = [new Map(leavesOf(now)), new Map(leavesOf(before))];
	for (const [key, value] of old) {
		if (all.get(key) === value) all.delete(key);
		else all.set(key, value);
	}
	return [...all.keys()];
}

const slotAt = <V>({ bitmap, slots }: Node<V>, bit: number) =>
	(bitmap & bit) === 0 ? null : (slots[placeOf(bitmap, bit)] as Node<V> | Leaf<V>);

function leavesOf<V>(slot: Node<V> | Leaf<V> | null): Array<[string, V]> {
	if (slot === null) return [];
	if (!isLeaf(slot)) return slot.slots.flatMap(leavesOf);
	return [[slot.key, slot.value], ...leavesOf(slot.next)];
}

/** What stands where there was one leaf and comes another. */
function pair<V>(there: Leaf<V>, leaf: Leaf<V>, shift: number): Node<V> | Leaf<V> {
	if (there.hash === leaf.hash) return { ...leaf, next: dropped(there, leaf.key) };
	return insert(insert(empty, shift, there), shift, leaf);
}

/** A list of leaves without the one of that key. */
function dropped<V>(leaf: Leaf<V> | null, key: string): Leaf<V> | null {
	if (leaf === null) return null;
	return leaf.key === key ? leaf.next : { ...leaf, next: dropped(leaf.next, key) };
}

/** null: nothing is left of it. */
function remove<V>(slot: Node<V> | Leaf<V>, shift: number, hash: number, key: string): Node<V> | Leaf<V> | null {
	if (isLeaf(slot)) return dropped(slot, key);
	const bit = bitOf(hash, shift);
	const place = placeOf(slot.bitmap, bit);
	const left = remove(slot.slots[place] as Node<V> | Leaf<V>, shift + BITS, hash, key);
	if (left === null) {
		const slots = slot.slots.filter((_, index) => index !== place);
		// One leaf needs no node around it, but the root stays a node.
		if (slots.length === 1 && shift > 0 && isLeaf(slots[0] as Node<V> | Leaf<V>)) return slots[0] as Leaf<V>;
		return slots.length === 0 && shift > 0 ? null : { bitmap: slot.bitmap & ~bit, slots };
	}
	if (isLeaf(left) && slot.slots.length === 1 && shift > 0) return left;
	const slots = slot.slots.slice();
	slots[place] = left;
	return { bitmap: slot.bitmap, slots };
}
