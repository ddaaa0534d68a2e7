// Prints what a few simulated worlds go through, from the built package, so that any Node can be asked.
// `node test/support/seeds.js > test/golden/seeds.txt` renews what test/testing-seeds.test.ts compares with.
import { actor, command, node, supervisor, thread, tree } from '../../dist/src/index.js';
import { explore, simulate } from '../../dist/src/testing/index.js';

const logic = { transition: (state) => state, getInitialSnapshot: () => ({ status: 'active' }), getPersistedSnapshot: (state) => state };
const spec = tree('shop', {
	intensity: { restarts: 20, within: '10s' },
	children: [
		node('web', { module: './web.ts', instances: 2, listen: { http: 8080 } }),
		supervisor('jobs', {
			strategy: 'rest_for_one',
			children: [
				command('queue', { run: ['queue'], ready: { output: /ready/ }, live: { tcp: 6390 } }),
				node('sweep', { module: './sweep.ts', restart: 'transient' }),
			],
		}),
		actor('ledger', { logic, restart: { strategy: 'one_for_all' } }),
		thread('hash', { module: './hash.ts' }),
	],
});

for (const seed of [1, 7, 42, 2 ** 31, 4_294_967_295]) {
	const world = simulate(spec, { seed, behaviours: { 'web.2': { ready: '1s', exit: '2500ms' } } });
	world.settled();
	world.crash('jobs/queue').advance('5s');
	world.hang('web.1').advance('20s');
	world.crash('ledger', { signal: 'SIGSEGV' }).advance('2s');
	world.killMaster().advance('15s');
	world.pause('12s').advance('10s');
	world.stop().advance('2m');
	console.log(`seed ${seed}\n${world.trace()}\n`);
}
console.log(JSON.stringify(explore(spec, { seeds: 25 })));
try {
	explore(spec, {
		seeds: 5,
		invariants: [{ name: 'web.1 is never restarted', check: (world) => (world.incarnation('web.1') > 1 ? 'it was' : null) }],
	});
} catch (error) {
	console.log(`\n${error.message}`);
}
