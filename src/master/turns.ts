/** The tokens of the children whose instances take turns to accept, and which effect of their machine does what. */
import { type TokenEffects, tokenMachine } from '../../machines/token.ts';
import { RealClock } from '../kernel/clock.ts';
import { type Effects, Kernel } from '../kernel/kernel.ts';
import type { Run } from './host.ts';
import { joinPath, splitPath } from './paths.ts';
import { instanceOf } from './slots.ts';

interface Instance {
	workerId: string;
	incarnation: number;
	number: number;
	serves: boolean;
}

export class Turns {
	readonly #kernel = new Kernel({ clock: new RealClock() });
	/** By group, and by path. */
	readonly #groups = new Map<string, Map<string, Instance>>();
	readonly #effects: Effects<TokenEffects>;

	/** `give`: whether a worker has the token now. */
	constructor(give: (workerId: string, has: boolean) => void) {
		this.#effects = {
			offerToken: ({ to }) => give(to, true),
			revokeToken: ({ from }) => {
				for (const workerId of from) give(workerId, false);
			},
		};
	}

	close(): void {
		this.#kernel.close();
	}

	/** The state of an incarnation has changed. */
	changed({ path, workerId, incarnation, spec, standby }: Run, state: string): void {
		if (standby === 'spare' || spec?.kind !== 'node' || spec.quantumMs === null) return;
		const key = joinPath(splitPath(path)[0], spec.declaredId);
		let group = this.#groups.get(key);
		if (group === undefined) {
			group = new Map();
			this.#groups.set(key, group);
			this.#kernel.start(key, tokenMachine, { quantumMs: spec.quantumMs }, this.#effects);
		}
		// In a reload there are two of a path: the later one counts.
		if ((group.get(path)?.incarnation ?? 0) > incarnation) return;
		const serves = state.startsWith('running') && state !== 'running.suspect';
		if (state === 'dead') group.delete(path);
		else group.set(path, { workerId, incarnation, number: instanceOf(spec), serves });
		const serving = [...group.values()]
			.filter((each) => each.serves)
			.sort((a, b) => a.number - b.number)
			.map((each) => each.workerId);
		this.#kernel.send(key, { type: 'serving.changed', serving });
	}

	/** A worker says that it accepts. */
	taken(workerId: string): void {
		for (const [key, group] of this.#groups)
			for (const each of group.values()) if (each.workerId === workerId) this.#kernel.send(key, { type: 'token.taken', by: workerId });
	}
}
