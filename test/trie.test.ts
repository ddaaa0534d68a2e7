/** The persistent map: it is a map, and the maps before a change stay as they were. */
import * as fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Trie } from '../machines/trie.ts';

const sorted = (entries: Iterable<[string, number]>) => [...entries].sort(([a], [b]) => (a < b ? -1 : 1));

/** Two keys of one FNV-1a hash. */
const collision = ['liquid', 'costarring'];

test('it is a map, whatever is done to it, and what it was before stays', () => {
	const key = fc.oneof(fc.constantFrom(...collision, 'a', 'b'), fc.string({ maxLength: 3 }));
	fc.assert(
		fc.property(fc.array(fc.tuple(key, fc.option(fc.nat()))), (changes) => {
			let trie = new Trie<number>();
			const map = new Map<string, number>();
			const earlier: Array<[Trie<number>, Array<[string, number]>]> = [];
			for (const [name, value] of changes) {
				earlier.push([trie, sorted(map)]);
				trie = value === null ? trie.without(name) : trie.with(name, value);
				if (value === null) map.delete(name);
				else map.set(name, value);
				assert.is(trie.get(name), value ?? undefined);
				assert.is(trie.size, map.size);
			}
			assert.equal(sorted(trie), sorted(map));
			for (const [before, entries] of earlier) {
				assert.equal(sorted(before), entries);
				const old = new Map(entries);
				const differing = [...new Set([...map.keys(), ...old.keys()])].filter((name) => map.get(name) !== old.get(name));
				assert.equal(trie.differing(before).sort(), differing.sort());
			}
		}),
		{ numRuns: 300 },
	);
});

test('keys of one hash are kept apart', () => {
	const [a, b] = collision as [string, string];
	const both = new Trie<number>().with(a, 1).with(b, 2);
	assert.equal([both.get(a), both.get(b), both.size], [1, 2, 2]);
	assert.equal([both.with(a, 3).get(a), both.with(a, 3).size], [3, 2]);
	assert.equal(sorted(both.without(a)), [[b, 2]]);
	assert.is(both.without(b).without(a).size, 0);
});

test('a hundred thousand, and back to none', () => {
	let trie = new Trie<number>();
	for (let n = 0; n < 100_000; n++) trie = trie.with(`x${n}`, n);
	assert.is(trie.size, 100_000);
	assert.is(trie.get('x77777'), 77_777);
	assert.is([...trie].length, 100_000);
	for (let n = 0; n < 100_000; n++) trie = trie.without(`x${n}`);
	assert.equal([trie.size, [...trie]], [0, []]);
});

test.run();
