/**
 * The way from a death to the next start, gone many times before it matters: V8 only compiles what has run often, and the
 * first real crash would otherwise take several times as long as the hundredth.
 */
import type { ToAngel } from '../angel/link.ts';
import { RealClock } from '../kernel/clock.ts';
import { resolveSpec } from '../spec/check.ts';
import { ProcessHost, type ProcessHostOptions } from './processes.ts';
import { Tree } from './tree.ts';
import { Workers } from './workers.ts';

/** Deaths: then nearly all of it is compiled. */
const DEATHS = 300;

/** A child that dies all the time, before an angel that only pretends: one death a turn, so that whatever is real goes ahead. */
export function rehearse({ dir, base }: Pick<ProcessHostOptions, 'dir' | 'base'>): void {
	const clock = new RealClock();
	const spec = resolveSpec({
		kind: 'tree',
		id: 'rehearsal',
		intensity: { restarts: DEATHS, within: 1 },
		children: [{ kind: 'command', id: 'child', run: ['true'], restart: { backoff: 0 } }],
	});
	let deaths = 0;
	const answer = (asked: ToAngel) => {
		if (asked.do !== 'spawn') return;
		const { workerId } = asked.order;
		setImmediate(() => {
			if (++deaths > DEATHS) return end();
			host.hear({ do: 'spawned', workerId, pid: 0, startTicks: 0 });
			host.hear({ do: 'exited', workerId, code: null, signal: 'SIGKILL' });
		});
	};
	const host: ProcessHost = new ProcessHost({
		dir,
		base,
		link: { send: answer },
		workers: new Workers(
			() => {},
			() => {},
		),
		tell: (workerId, fact) => tree.tell(workerId, fact),
		now: () => clock.now(),
		newToken: () => '',
		unrotated: () => {},
	});
	const tree = new Tree({
		spec,
		clock,
		chance: Math.random,
		newId: () => String(deaths),
		host,
		news: () => {},
		running: () => {},
		ended: () => {},
	});
	const end = () => {
		tree.kernel.close();
		host.close();
	};
	tree.start();
}
