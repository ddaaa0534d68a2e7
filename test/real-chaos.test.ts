/** A minute of chaos, from a seed that is another one each time: a failure says which. */
import assert from 'node:assert/strict';
import { test } from 'uvu';
import { chaos } from './support/chaos.ts';

const SECONDS = 60;

test('a minute of kills, stops and operations at random under load: afterwards all is as it was asked for', async () => {
	const seed = Number(process.env.CHOIR_SEED ?? Math.floor(Math.random() * 2 ** 31));
	const { done, answered } = await chaos({ seed, seconds: SECONDS, perSecond: 60 });
	const count = Object.values(done).reduce((sum, times) => sum + times, 0);
	assert.ok(count > 40, `seed ${seed}: only ${count} things were done`);
	assert.ok(answered > 1_000, `seed ${seed}: only ${answered} requests`);
});

test.run();
