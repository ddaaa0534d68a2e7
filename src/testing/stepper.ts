/** Steps a machine by hand: no actor runs, no action is carried out, no timer is set; and it is known which arrows were taken. */
import {
	type AnyActorRef,
	type AnyActorScope,
	type AnyEventObject,
	type AnyMachineSnapshot,
	type AnyStateMachine,
	createActor,
	createMachine,
} from 'xstate';
import { stateName } from '../kernel/kernel.ts';

/** One arrow of a chart, as XState keeps it. */
export interface Arrow {
	source: { id: string };
	eventType: string;
	guard?: unknown;
	target?: ReadonlyArray<{ id: string }>;
}

export interface Taken {
	snapshot: AnyMachineSnapshot;
	/** In the order taken, those without an event included. */
	arrows: readonly Arrow[];
	/** Names of the actions that are to be carried out. */
	effects: readonly string[];
}

interface Node {
	id: string;
	type: string;
	transitions: Map<string, Arrow[]>;
	always?: Arrow[];
}

export class Stepper {
	readonly machine: AnyStateMachine;
	readonly #scope: AnyActorScope;
	#arrows: Arrow[] = [];
	#effects: string[] = [];

	constructor(machine: AnyStateMachine) {
		this.machine = machine;
		const blank = createActor(createMachine({}), {
			inspect: (event) => {
				if (event.type === '@xstate.microstep') this.#arrows.push(...(event._transitions as unknown as Arrow[]));
			},
		});
		this.#scope = {
			self: blank as unknown as AnyActorRef,
			id: '',
			sessionId: '',
			logger: () => {},
			defer: () => {},
			emit: () => {},
			stopChild: () => {},
			system: blank.system,
			actionExecutor: ({ type }) => {
				if (!type.startsWith('xstate.')) this.#effects.push(type);
			},
		};
	}

	/** Throws what an action or a guard throws. */
	start(input: unknown): Taken {
		return this.#take(() => this.machine.getInitialSnapshot(this.#scope, input as never));
	}

	step(snapshot: AnyMachineSnapshot, event: AnyEventObject): Taken {
		return this.#take(() => this.machine.transition(snapshot, event, this.#scope));
	}

	#take(step: () => AnyMachineSnapshot): Taken {
		this.#arrows = [];
		this.#effects = [];
		const snapshot = step();
		if (snapshot.status === 'error') throw snapshot.error;
		return { snapshot, arrows: this.#arrows, effects: this.#effects };
	}
}

function nodesOf(machine: AnyStateMachine): Node[] {
	return [...(machine as unknown as { idMap: Map<string, Node> }).idMap.values()];
}

/** All arrows of a machine, each with its name: `#worker.running --drain [isKill]--> worker.draining.killing`. */
export function arrowsOf(machine: AnyStateMachine): Map<Arrow, string> {
	const arrows = new Map<Arrow, string>();
	for (const { transitions, always = [] } of nodesOf(machine)) {
		for (const arrow of [...[...transitions.values()].flat(), ...always]) {
			const { guard } = arrow;
			const name =
				typeof guard === 'string' ? guard : ((guard as { type?: string } | undefined)?.type ?? (guard === undefined ? '' : 'guard'));
			const target = arrow.target?.map(({ id }) => id).join() ?? 'stays';
			arrows.set(arrow, `${arrow.source.id} --${eventName(arrow.eventType) || 'always'}${name === '' ? '' : ` [${name}]`}--> ${target}`);
		}
	}
	return arrows;
}

/** The ids of the states in which a machine can be found. */
export function statesOf(machine: AnyStateMachine): string[] {
	// Nobody ever stays in a state that only decides.
	const decides = (always: Arrow[] = []) => always.some(({ guard }) => guard === undefined);
	return nodesOf(machine)
		.filter(({ type, always }) => (type === 'atomic' || type === 'final') && !decides(always))
		.map(({ id }) => id);
}

/** The event by which a timer that runs in `snapshot` fires, by the name of its delay; undefined if there is none. */
export function timerOf(snapshot: AnyMachineSnapshot, delay: string): AnyEventObject | undefined {
	return timersOf(snapshot).find((event) => eventName(event.type) === `after ${delay}`);
}

/** The events of all timers that run in `snapshot`. */
export function timersOf(snapshot: AnyMachineSnapshot): AnyEventObject[] {
	return snapshot._nodes.flatMap(({ transitions }) =>
		[...transitions.keys()].filter((type) => type.startsWith('xstate.after.')).map((type) => ({ type })),
	);
}

/** As people write it: `xstate.after.drainTimeout.worker.draining.asked` is `after drainTimeout`. */
export function eventName(type: string): string {
	const [, delay] = /^xstate\.after\.([^.]+)\./.exec(type) ?? [];
	return delay === undefined ? type : `after ${delay}`;
}

/** Where a machine is, in one word: `running.healthy`. */
export function placeOf(snapshot: AnyMachineSnapshot): string {
	return stateName(snapshot.value);
}
