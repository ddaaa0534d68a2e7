/** Who covers for whom, among the instances that have a socket each: told to the workers whenever somebody comes, goes or hangs. */
import { coverage } from '../../machines/cover.ts';
import type { ListenSpec, ProcessSpec } from '../../machines/spec.ts';
import type { Run } from './host.ts';
import { splitPath } from './paths.ts';

/** A socket to hand down: which of those at its address. */
export interface Handed {
	address: ListenSpec;
	slot: number;
}

/** To be covered another time a worker needs another descriptor: to stop listening on one is to close it. */
const MAX_COPIES = 4;
/** The copies of all slots that one worker gets, if there are few enough slots. */
const MAX_DESCRIPTORS = 32;

interface Group {
	slots: number;
	/** By path. */
	instances: Map<string, { workerId: string; incarnation: number; slot: number; serves: boolean }>;
}

export class Slots {
	readonly #slotsAt: (address: ListenSpec) => number;
	readonly #cover: (workerId: string, slots: readonly number[]) => void;
	readonly #groups = new Map<string, Group>();
	/** Those in which something has changed in this turn. */
	readonly #changed = new Set<Group>();

	constructor(slotsAt: (address: ListenSpec) => number, cover: (workerId: string, slots: readonly number[]) => void) {
		this.#slotsAt = slotsAt;
		this.#cover = cover;
	}

	/** The sockets of a child's own. */
	ownOf(spec: ProcessSpec): Handed[] {
		return spec.listen.map((address) => ({ address, slot: instanceOf(spec) % this.#slotsAt(address) }));
	}

	/** Those of its siblings, for which it can cover, each several times. Only the preload knows how to. */
	sparesOf(spec: ProcessSpec): Handed[] {
		if (spec.kind !== 'node') return [];
		return this.ownOf(spec).flatMap(({ address, slot: own }) => {
			const count = this.#slotsAt(address);
			const copies = Math.max(1, Math.min(MAX_COPIES, Math.floor(MAX_DESCRIPTORS / count)));
			const others = Array.from({ length: count }, (_, slot) => slot).filter((slot) => slot !== own);
			return others.flatMap((slot) => Array.from({ length: copies }, () => ({ address, slot })));
		});
	}

	/** For a spare, which does not know yet whose place it takes: one of each address in the order of these, then all of them. */
	everyOf(spec: ProcessSpec): { own: Handed[]; spares: Handed[] } {
		const own = spec.listen.map((address) => ({ address, slot: 0 }));
		const spares = own.flatMap(({ address }) => {
			const count = this.#slotsAt(address);
			if (count === 1) return [];
			const copies = Math.max(1, Math.min(MAX_COPIES, Math.floor(MAX_DESCRIPTORS / count)));
			return Array.from({ length: count * copies }, (_, index) => ({ address, slot: index % count }));
		});
		return { own, spares };
	}

	/** The state of an incarnation has changed. */
	changed({ path, workerId, incarnation, spec, standby }: Run, state: string): void {
		if (standby === 'spare' || spec?.kind !== 'node' || spec.listen.length === 0) return;
		const slots = Math.max(...spec.listen.map((address) => this.#slotsAt(address)));
		if (slots === 1) return;
		const [above] = splitPath(path);
		const key = `${above}/${spec.declaredId}`;
		const group = this.#groups.get(key) ?? { slots, instances: new Map() };
		this.#groups.set(key, group);
		// In a reload there are two of a path: the later one counts.
		if ((group.instances.get(path)?.incarnation ?? 0) > incarnation) return;
		if (state === 'dead') {
			group.instances.delete(path);
		} else {
			const serves = state.startsWith('running') && state !== 'running.suspect';
			group.instances.set(path, { workerId, incarnation, slot: instanceOf(spec) % slots, serves });
		}
		// All that happens in one turn counts as one change: each cover costs a descriptor.
		if (this.#changed.size === 0) process.nextTick(() => this.#tellChanged());
		this.#changed.add(group);
	}

	#tellChanged(): void {
		for (const { slots, instances } of this.#changed) {
			const present = [...instances.values()];
			const covers = coverage(slots, present);
			for (const [index, { workerId, serves }] of present.entries()) if (serves) this.#cover(workerId, covers[index] as number[]);
		}
		this.#changed.clear();
	}
}

/** The number of an instance, from 0. */
export function instanceOf({ id, declaredId }: ProcessSpec): number {
	return id === declaredId ? 0 : Number(id.slice(declaredId.length + 1)) - 1;
}
