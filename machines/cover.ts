/** An instance of a child whose instances have a socket each. */
export interface Slotted {
	/** The one that is its own. More instances than slots share them. */
	slot: number;
	/** It accepts connections, as far as is known: it is ready, beats, and is not draining. */
	serves: boolean;
}

/**
 * Which slots each instance has to accept on beside its own, so that no connection waits while anybody serves: whoever has
 * least to do covers for a slot of which nobody serves. In the order of the instances; the same facts give the same answer.
 */
export function coverage(slots: number, instances: readonly Slotted[]): number[][] {
	const covers = instances.map((): number[] => []);
	for (let slot = 0; slot < slots; slot++) {
		if (instances.some((each) => each.serves && each.slot === slot)) continue;
		let least: number[] | null = null;
		for (const [index, { serves }] of instances.entries()) {
			const own = covers[index] as number[];
			if (serves && (least === null || own.length < least.length)) least = own;
		}
		least?.push(slot);
	}
	return covers;
}
