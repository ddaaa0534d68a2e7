/** Tables of transitions: one row per arrow, nothing runs, and an arrow that no row takes is a failure. */
import type { AnyEventObject, AnyMachineSnapshot, AnyStateMachine, InputFrom } from 'xstate';
import { failure } from './failure.ts';
import { type Arrow, arrowsOf, eventName, placeOf, Stepper, statesOf, type Taken, timerOf, timersOf } from './stepper.ts';

/** An event, or the name of a delay whose timer fires in the present state. */
export type Happening = AnyEventObject | string;
/** What it promises, what happens, where that leads, and which effects the last happening asked for (if that matters). */
export type Row<Input> = [
	promise: string,
	happenings: readonly Happening[],
	state: string,
	effects?: readonly string[] | undefined,
	input?: Partial<Input>,
];

/** A table for `machine`; each row begins with `input`, in which a row may change some. */
export function table<Machine extends AnyStateMachine>(machine: Machine, input?: InputFrom<Machine>): Table<InputFrom<Machine>> {
	return new Table(machine, input as InputFrom<Machine>);
}

/** Runs rows and remembers which arrows and states they went through. */
export class Table<Input> {
	readonly #stepper: Stepper;
	readonly #input: Input;
	readonly #taken = new Set<Arrow>();
	readonly #reached = new Set<string>();

	constructor(machine: AnyStateMachine, input: Input) {
		this.#stepper = new Stepper(machine);
		this.#input = input;
	}

	/** Throws if a row leads elsewhere, or asks for other effects. Returns where it led, for a closer look. */
	check([promise, happenings, state, effects, input]: Row<Input>): AnyMachineSnapshot {
		let at = this.#note(this.#stepper.start(input === undefined ? this.#input : { ...this.#input, ...input }));
		for (const happening of happenings) {
			const event = typeof happening === 'string' ? this.#timer(at.snapshot, happening) : happening;
			at = this.#note(this.#stepper.step(at.snapshot, event));
		}
		const place = placeOf(at.snapshot);
		const after = happenings.length === 0 ? 'at the beginning' : `after ${happenings.map(nameOf).join(', ')}`;
		const about = promise === '' ? '' : `${promise}: `;
		if (place !== state) throw failure(`${about}${after} it is in ${place}, not in ${state}`, { actual: place, expected: state });
		if (effects !== undefined && at.effects.join() !== effects.join())
			throw failure(`${about}${after} it asks for [${at.effects.join(', ')}], not for [${effects.join(', ')}]`, {
				actual: at.effects,
				expected: effects,
			});
		return at.snapshot;
	}

	/** Throws if there is an arrow of the chart that no row took, or a state that no row reached. */
	assertComplete(): void {
		const missing = [...arrowsOf(this.#stepper.machine)].filter(([arrow]) => !this.#taken.has(arrow)).map(([, name]) => name);
		if (missing.length > 0) throw failure(`arrows that no row takes:\n${missing.join('\n')}`, { actual: missing, expected: [] });
		const unreached = statesOf(this.#stepper.machine).filter((id) => !this.#reached.has(id));
		if (unreached.length > 0) throw failure(`states that no row reaches: ${unreached.join(', ')}`, { actual: unreached, expected: [] });
	}

	#note(taken: Taken): Taken {
		for (const arrow of taken.arrows) this.#taken.add(arrow);
		for (const { id } of taken.snapshot._nodes) this.#reached.add(id);
		return taken;
	}

	#timer(snapshot: AnyMachineSnapshot, delay: string): AnyEventObject {
		const event = timerOf(snapshot, delay);
		if (event !== undefined) return event;
		const running = timersOf(snapshot).map(({ type }) => eventName(type).slice('after '.length));
		throw failure(`no timer '${delay}' runs in ${placeOf(snapshot)}${running.length === 0 ? '' : `; there run ${running.join(', ')}`}`);
	}
}

const nameOf = (happening: Happening) => (typeof happening === 'string' ? happening : happening.type);
