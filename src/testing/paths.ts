/** Model-based tests: the ways through a machine, one to each state and one through each arrow, and a system that is led along them. */
import type { AnyEventObject, AnyMachineSnapshot, AnyStateMachine, EventFromLogic, InputFrom, SnapshotFrom } from 'xstate';
import { failure } from './failure.ts';
import { type Arrow, arrowsOf, eventName, placeOf, Stepper, timersOf } from './stepper.ts';

export interface PathOptions<Machine extends AnyStateMachine> {
	input?: InputFrom<Machine>;
	/** What can happen, or what can happen in a state. Default: every event that the machine knows, without payload. Timers come by themselves. */
	events?: ReadonlyArray<EventFromLogic<Machine>> | ((snapshot: SnapshotFrom<Machine>) => ReadonlyArray<EventFromLogic<Machine>>);
	/** What makes a state another one, as text. Default: the state's name and the whole context. */
	same?: (snapshot: SnapshotFrom<Machine>) => string;
	/** More states than this are an error. Default 1 000. */
	limit?: number;
}

/** One way from the beginning. */
export interface Path {
	/** `reaches running: begin → warm`, or `takes door.closed --knock--> stays: …`. */
	description: string;
	steps: ReadonlyArray<{ event: AnyEventObject; state: AnyMachineSnapshot }>;
	/** Where it begins. */
	start: AnyMachineSnapshot;
}

/** What the paths are tried on, made afresh for each. */
export interface System {
	/** How each event is brought about, by its name; a timer is `after` and the name of its delay. */
	events: Record<string, (event: never) => unknown>;
	/** What must hold in a state, by its name or the name of one that it is in: `running` holds in `running.healthy` as well. */
	states?: Record<string, (snapshot: never) => unknown>;
	/** Is called at the end of each path, also of one that failed. */
	end?: () => unknown;
}

interface Found {
	snapshot: AnyMachineSnapshot;
	steps: Path['steps'];
}

/** The shortest paths through a machine. */
export class Paths {
	/** One to each state that can be reached. */
	readonly states: readonly Path[];
	/** One through each arrow that can be taken. */
	readonly arrows: readonly Path[];
	/** Arrows that none of the given events takes. */
	readonly missing: readonly string[];

	constructor(states: readonly Path[], arrows: readonly Path[], missing: readonly string[]) {
		this.states = states;
		this.arrows = arrows;
		this.missing = missing;
	}

	/** Every path, without those that are the beginning of another. */
	get all(): Path[] {
		const paths = [...this.states, ...this.arrows];
		// A step belongs to every path that goes on from it.
		const beginnings = new Set(paths.flatMap(({ steps }) => steps.slice(0, -1)));
		const ends = new Set<Path['steps'][number]>();
		const longest = paths.filter(({ steps }) => {
			const end = steps[steps.length - 1];
			if (end === undefined || beginnings.has(end) || ends.has(end)) return false;
			ends.add(end);
			return true;
		});
		return longest.length > 0 ? longest : paths.slice(0, 1);
	}

	/**
	 * Leads a system along every path: `make` is called for each. After the start and after each event what must hold in that state is
	 * checked. Rejects with an error that names the path and the place in it. Returns how many paths and events that were.
	 */
	async test(make: () => System | Promise<System>): Promise<{ paths: number; events: number }> {
		const figures = { paths: 0, events: 0 };
		for (const path of this.all) {
			const system = await make();
			try {
				this.#expectWhole(system);
				await checkState(system, path, path.start, 'at the beginning');
				for (const { event, state } of path.steps) {
					const name = eventName(event.type);
					await attempt(`${path.description}\nevent '${name}' failed`, () => (system.events[name] as (event: unknown) => unknown)(event));
					await checkState(system, path, state, `after '${name}'`);
					figures.events += 1;
				}
			} finally {
				await system.end?.();
			}
			figures.paths += 1;
		}
		return figures;
	}

	#expectWhole({ events, states = {} }: System): void {
		const needed = new Set(this.all.flatMap(({ steps }) => steps.map(({ event }) => eventName(event.type))));
		const absent = [...needed].filter((name) => events[name] === undefined);
		if (absent.length > 0) throw failure(`the system does not know how to bring about ${absent.map((name) => `'${name}'`).join(', ')}`);
		const places = new Set(this.states.flatMap(({ steps, start }) => placesOf(steps[steps.length - 1]?.state ?? start)));
		const unknown = Object.keys(states).filter((name) => !places.has(name));
		if (unknown.length > 0)
			throw failure(`no path reaches ${unknown.map((name) => `'${name}'`).join(', ')}; there are ${[...places].join(', ')}`);
	}
}

/** The shortest paths through `machine`: to each state, and through each arrow. Nothing is run: no action, no timer, no invocation. */
export function paths<Machine extends AnyStateMachine>(machine: Machine, options: PathOptions<Machine> = {}): Paths {
	const { input, events, limit = 1_000, same = wholeState } = options;
	const stepper = new Stepper(machine);
	const known = machine.events.filter((type) => !type.startsWith('xstate.') && !type.includes('*')).map((type) => ({ type }));
	const eventsIn = (snapshot: AnyMachineSnapshot): readonly AnyEventObject[] => [
		...(typeof events === 'function' ? events(snapshot as SnapshotFrom<Machine>) : (events ?? known)),
		...timersOf(snapshot),
	];
	const names = arrowsOf(machine);
	const taken = new Map<Arrow, Found>();
	const { snapshot: start, arrows: first } = stepper.start(input);
	const found = new Map<string, Found>([[same(start as SnapshotFrom<Machine>), { snapshot: start, steps: [] }]]);
	for (const arrow of first) taken.set(arrow, { snapshot: start, steps: [] });
	// A map may grow while it is walked: breadth first, so that each path is a shortest one.
	for (const { snapshot, steps } of found.values()) {
		if (snapshot.status !== 'active') continue;
		for (const event of eventsIn(snapshot)) {
			const { snapshot: state, arrows } = stepper.step(snapshot, event);
			const next: Found = { snapshot: state, steps: [...steps, { event, state }] };
			for (const arrow of arrows) if (!taken.has(arrow)) taken.set(arrow, next);
			const key = same(state as SnapshotFrom<Machine>);
			if (found.has(key)) continue;
			if (found.size >= limit)
				throw failure(`'${machine.id}' has more than ${limit} states: give fewer 'events', or say with 'same' which states are one`);
			found.set(key, next);
		}
	}
	const pathOf = (what: string, { steps }: Found): Path => {
		const way = steps.map(({ event }) => eventName(event.type)).join(' → ');
		return { description: `${what}${way === '' ? ' at the beginning' : `: ${way}`}`, steps, start };
	};
	return new Paths(
		[...found.values()].map((each) => pathOf(`reaches ${placeOf(each.snapshot)}`, each)),
		[...taken].map(([arrow, each]) => pathOf(`takes ${names.get(arrow) ?? 'the beginning'}`, each)),
		[...names].filter(([arrow]) => !taken.has(arrow)).map(([, name]) => name),
	);
}

const wholeState = (snapshot: AnyMachineSnapshot): string =>
	`${placeOf(snapshot)} ${JSON.stringify(snapshot.context, (_, value: unknown) => (value instanceof Map || value instanceof Set ? [...value] : value))}`;

/** A state and all that it is in: `running.healthy`, `running`. */
function placesOf(snapshot: AnyMachineSnapshot): string[] {
	const below = snapshot._nodes.map(({ path }) => path.join('.')).filter((name) => name !== '');
	return [...new Set([placeOf(snapshot), ...below])];
}

async function checkState({ states = {} }: System, path: Path, snapshot: AnyMachineSnapshot, when: string): Promise<void> {
	for (const place of placesOf(snapshot)) {
		const check = states[place] as ((snapshot: AnyMachineSnapshot) => unknown) | undefined;
		if (check !== undefined) await attempt(`${path.description}\n${when} the system is not in '${place}'`, () => check(snapshot));
	}
}

/** What a test of somebody's throws keeps what it says, and its two sides. */
async function attempt(about: string, act: () => unknown): Promise<void> {
	try {
		await act();
	} catch (error) {
		const { message, actual, expected } = error as { message?: string; actual?: unknown; expected?: unknown };
		throw Object.assign(new Error(`${about}: ${message ?? String(error)}`, { cause: error }), { actual, expected });
	}
}
