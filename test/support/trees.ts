/** Trees of any make, by seeds. */
import { createMachine } from 'xstate';
import type { RestartDeclaration } from '../../src/index.ts';
import { actor, command, node, supervisor, thread, tree } from '../../src/index.ts';
import { seeded } from '../../src/testing/chance.ts';

const logic = createMachine({});
const strategies = ['one_for_one', 'one_for_all', 'rest_for_one'] as const;
const MAX_DEPTH = 2;

/** A tree with up to three children in each supervisor, and up to three supervisors within each other. */
export function anyTree(seed: number): ReturnType<typeof tree> {
	const chance = seeded(seed);
	const pick = <T>(from: readonly T[]): T => from[Math.floor(chance() * from.length)] as T;
	const maybe = <T extends object>(likely: number, make: () => T): T | object => (chance() < likely ? make() : {});
	let ids = 0;
	const restart = (): RestartDeclaration => ({
		type: pick(['permanent', 'permanent', 'transient', 'temporary']),
		whenExhausted: pick(['escalate', 'escalate', 'giveUp', 'keepTrying']),
		...maybe(0.5, () => ({ strategy: pick(strategies) })),
		...maybe(0.5, () => ({ backoff: { from: pick([1, 100, 2_000]), to: 3_000 } })),
		...maybe(0.3, () => ({ intensity: { restarts: pick([0, 1, 3]), within: '5s' } })),
	});
	const rules = () => ({
		strategy: pick(strategies),
		start: pick(['ordered', 'ordered', 'parallel'] as const),
		intensity: { restarts: pick([1, 3, 10]), within: pick(['1s', '10s']) },
	});
	const work = () => {
		const id = `c${ids++}`;
		const common = { restart: restart() };
		const live = { tcp: 5_000, every: '1s' };
		const stop = { drain: pick([0, '2s', '60s']), terminate: pick(['1s', '5s']) };
		const instances = maybe(0.3, () => ({ instances: 2 }));
		const kinds = [
			() => node(id, { module: './w.js', ...common, ...instances, stop, ...maybe(0.5, () => ({ listen: { http: 8_000 + ids } })) }),
			() =>
				command(id, { run: ['x'], ...common, ready: pick(['spawned', { output: /x/ }, { tcp: 5_000 }]), ...maybe(0.3, () => ({ live })) }),
			() => actor(id, { logic, ...common }),
			() => thread(id, { module: './t.js', ...common, ready: pick(['spawned', 'signal']) }),
		];
		return pick(kinds)();
	};
	const children = (depth: number): Array<ReturnType<typeof work> | ReturnType<typeof nested>> =>
		Array.from({ length: 1 + Math.floor(chance() * 3) }, () => (depth < MAX_DEPTH && chance() < 0.3 ? nested(depth + 1) : work()));
	function nested(depth: number): ReturnType<typeof supervisor> {
		return supervisor(`s${ids++}`, { ...rules(), restart: pick(['permanent', 'transient']), children: children(depth) as never });
	}
	return tree('any', { ...rules(), children: children(0) });
}
