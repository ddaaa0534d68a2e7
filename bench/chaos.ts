// Chaos for as long as asked: what test/real-chaos.test.ts does for a minute.
// `npx tsx bench/chaos.ts --seconds 600 --seed 7 --rate 500`
import { parseArgs } from 'node:util';
import { chaos } from '../test/support/chaos.ts';

const { values } = parseArgs({
	options: { seconds: { type: 'string', default: '600' }, seed: { type: 'string' }, rate: { type: 'string', default: '500' } },
});
const seed = Number(values.seed ?? Math.floor(Math.random() * 2 ** 31));
console.log(`seed ${seed}`);
const { done, ...figures } = await chaos({
	seed,
	seconds: Number(values.seconds),
	perSecond: Number(values.rate),
	log: (line) => console.log(line),
});
console.log({ seed, done, ...figures });
process.exit(0);
