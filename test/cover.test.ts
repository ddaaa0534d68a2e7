/** Who covers for whom. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { coverage } from '../machines/cover.ts';

const rows: Array<[name: string, slots: number, instances: string, covers: number[][]]> = [
	['nobody covers while all serve', 2, '0+ 1+', [[], []]],
	['a sibling covers for one that is down', 2, '0+ 1-', [[1], []]],
	['so does it for one that is gone', 2, '0+', [[1]]],
	['nobody covers when nobody serves', 2, '0- 1-', [[], []]],
	['one serves for all', 4, '2+', [[0, 1, 3]]],
	['who has least to do covers', 4, '0+ 1-  2+ 3-', [[1], [], [3], []]],
	['of equals the first', 3, '0- 1+ 2+', [[], [0], []]],
	['one more instance than slots shares: its slot needs no cover', 2, '0+ 1- 1+', [[], [], []]],
	['until both are down', 2, '0+ 1- 1-', [[1], [], []]],
	['without slots there is nothing to cover', 0, '0+', [[]]],
];
for (const [name, slots, instances, covers] of rows) {
	test(name, () => {
		const present = instances.split(/\s+/).map((text) => ({ slot: Number.parseInt(text, 10), serves: text.endsWith('+') }));
		assert.equal(coverage(slots, present), covers);
	});
}

test('whoever is up: each slot is accepted on if anybody serves, and by no more than needed', () => {
	for (let slots = 1; slots <= 4; slots++) {
		for (let bits = 0; bits < 4 ** slots; bits++) {
			// 0: gone, 1: not serving, 2 and 3: serving.
			const present = Array.from({ length: slots }, (_, slot) => ({ slot, how: Math.floor(bits / 4 ** slot) % 4 }))
				.filter(({ how }) => how > 0)
				.map(({ slot, how }) => ({ slot, serves: how > 1 }));
			const covers = coverage(slots, present);
			const accepted = present.flatMap(({ slot, serves }, index) => (serves ? [slot, ...(covers[index] as number[])] : []));
			const expected = present.some(({ serves }) => serves) ? Array.from({ length: slots }, (_, slot) => slot) : [];
			assert.equal(accepted.sort(), expected);
			assert.ok(present.every(({ serves }, index) => serves || (covers[index] as number[]).length === 0));
		}
	}
});

test.run();
