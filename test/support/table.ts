/** Tables of transitions: one row per arrow, nothing runs, and an arrow that no row takes is a failure. */
import * as assert from 'uvu/assert';
import { type AnyEventObject, type AnyMachineSnapshot, type AnyStateMachine, createActor, type InspectionEvent } from 'xstate';
import { stateName } from '../../src/kernel/kernel.ts';

/** An event, or the name of a delay whose timer fires in the present state. */
export type Happening = AnyEventObject | string;
/** What it promises, what happens, where that leads, and which effects the last happening asked for (if that matters). */
export type Row<Input> = [promise: string, happenings: Happening[], state: string, effects?: string[] | undefined, input?: Partial<Input>];

interface Arrow {
	source: { id: string };
	eventType: string;
	guard?: unknown;
	target?: ReadonlyArray<{ id: string }>;
}

function arrowsOf(machine: AnyStateMachine): Map<Arrow, string> {
	const arrows = new Map<Arrow, string>();
	const nodes = [...(machine as unknown as { idMap: Map<string, { transitions: Map<string, Arrow[]>; always?: Arrow[] }> }).idMap.values()];
	for (const node of nodes) {
		for (const arrow of [...[...node.transitions.values()].flat(), ...(node.always ?? [])]) {
			const guard = typeof arrow.guard === 'string' ? ` [${arrow.guard}]` : '';
			const target = arrow.target?.map(({ id }) => id).join() ?? 'stays';
			arrows.set(arrow, `${arrow.source.id} --${arrow.eventType || 'always'}${guard}--> ${target}`);
		}
	}
	return arrows;
}

function statesOf(machine: AnyStateMachine): string[] {
	const { idMap } = machine as unknown as { idMap: Map<string, { type: string; always?: Arrow[] }> };
	// Nobody ever stays in a state that only decides.
	const decides = (always: Arrow[] = []) => always.some(({ guard }) => guard === undefined);
	return [...idMap].filter(([, { type, always }]) => (type === 'atomic' || type === 'final') && !decides(always)).map(([id]) => id);
}

/** Runs rows and remembers which arrows and states they went through. */
export class Table<Input> {
	readonly #machine: AnyStateMachine;
	readonly #input: Input;
	readonly #taken = new Set<unknown>();
	readonly #reached = new Set<string>();

	constructor(machine: AnyStateMachine, input: Input) {
		this.#machine = machine;
		this.#input = input;
	}

	check([, happenings, state, effects, input]: Row<Input>): AnyMachineSnapshot {
		let asked: string[] = [];
		const actor = createActor(this.#machine, {
			input: { ...this.#input, ...input },
			// No timer fires by itself.
			clock: { setTimeout: () => 0, clearTimeout: () => {} },
			inspect: (event: InspectionEvent) => {
				if (event.type === '@xstate.microstep') for (const arrow of event._transitions) this.#taken.add(arrow);
				if (event.type === '@xstate.action' && !event.action.type.startsWith('xstate.')) asked.push(event.action.type);
			},
		});
		actor.start();
		this.#note(actor.getSnapshot());
		for (const happening of happenings) {
			asked = [];
			actor.send(typeof happening === 'string' ? this.#timer(actor.getSnapshot(), happening) : happening);
			this.#note(actor.getSnapshot());
		}
		const snapshot = actor.getSnapshot() as AnyMachineSnapshot;
		assert.is(stateName(snapshot.value), state);
		if (effects !== undefined) assert.equal(asked, effects);
		return snapshot;
	}

	/** Every arrow of the diagram has been taken by some row, and every state reached. */
	assertComplete(): void {
		const missing = [...arrowsOf(this.#machine)].filter(([arrow]) => !this.#taken.has(arrow)).map(([, name]) => name);
		assert.equal(missing, [], `arrows that no row takes:\n${missing.join('\n')}`);
		const unreached = statesOf(this.#machine).filter((id) => !this.#reached.has(id));
		assert.equal(unreached, [], `states that no row reaches: ${unreached.join(', ')}`);
	}

	#note(snapshot: AnyMachineSnapshot): void {
		for (const { id } of snapshot._nodes) this.#reached.add(id);
	}

	#timer(snapshot: AnyMachineSnapshot, delay: string): AnyEventObject {
		for (const node of snapshot._nodes) {
			const type = `xstate.after.${delay}.${node.id}`;
			if ([...node.transitions.keys()].includes(type)) return { type };
		}
		throw new Error(`no timer '${delay}' runs in ${stateName(snapshot.value)}`);
	}
}
