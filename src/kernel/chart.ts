/**
 * A machine as tables, made once, and stepped by them: what XState works out at each event (which arrows there are, what they
 * leave and enter, in which order) depends on the chart alone. A step this way costs a tenth. The meaning is XState's, and a
 * test has both go through the same events. For charts of nested states: whatever else a machine may have is refused.
 */
import type { AnyEventObject, AnyStateMachine, AnyStateNode, AnyTransitionDefinition, StateValue } from 'xstate';

/** Something that is to be done outside, or with a timer (`xstate.raise`, `xstate.cancel`). */
export interface Asked {
	type: string;
	params: unknown;
}

/** A machine at rest. */
export interface Moment {
	readonly state: State;
	readonly context: object;
	readonly status: 'active' | 'done';
	readonly output: unknown;
}

type Context = object;
type Args = { context: Context; event: AnyEventObject };
type Expression<T> = T | ((args: Args, params?: unknown) => T);
type Named = string | { type: string; params?: Expression<unknown> };
type Guard = (args: Args, params: unknown) => boolean;

type Action =
	| { do: 'ask'; type: string; params: Expression<unknown> }
	| { do: 'assign'; assignment: Expression<object>; params: Expression<unknown> }
	| { do: 'raise'; event: Expression<AnyEventObject>; id: string | undefined; delay: Expression<number | string> | undefined }
	| { do: 'cancel'; id: Expression<string> }
	| {
			do: 'enqueue';
			collect: (args: Args & { enqueue: object; check: (guard: Named) => boolean }, params: unknown) => void;
			params: Expression<unknown>;
	  };

/** An arrow, seen from the state in which the machine is. */
interface Arrow {
	guard: { test: Guard; params: Expression<unknown> } | null;
	/** What is left, what is done on the way, what is entered. */
	actions: Action[];
	/** null: it stays. */
	to: State | null;
}

/** A state in which a machine can be, with all the arrows that begin in it or around it, the innermost first. */
export class State {
	/** As one word: `running.healthy`. */
	readonly name: string;
	/** As XState has it. */
	readonly value: StateValue;
	readonly isFinal: boolean;
	readonly always: Arrow[];
	readonly arrows = new Map<string, Arrow[]>();
	/** Exit actions of all that is active, for the end. */
	readonly exits: Action[];
	readonly node: AnyStateNode;

	constructor(chart: Chart, node: AnyStateNode) {
		this.node = node;
		const around = outwards(node);
		this.name = around
			.slice(0, -1)
			.map(({ key }) => key)
			.reverse()
			.join('.');
		this.value = around.slice(0, -1).reduce<StateValue>((below, { key }) => (isEmpty(below) ? key : { [key]: below }), {});
		this.isFinal = node.type === 'final';
		this.exits = around.flatMap(({ exit }) => exit).map((action) => chart.action(action as Named));
		// States may point at each other: the tables are filled when all states are there.
		this.always = [];
	}
}

interface Builtin {
	type: string;
	resolve: unknown;
	assignment?: unknown;
	event?: unknown;
	id?: unknown;
	delay?: unknown;
	sendId?: unknown;
	collect?: unknown;
}

export class Chart {
	readonly machine: AnyStateMachine;
	/** Where `enqueue` puts what it is given, while actions are being collected. */
	queue: Action[] = [];
	/** One for all steps: to make it takes longer than most of them. */
	readonly enqueue = Object.assign((next: Named) => void this.queue.push(this.action(next)), {
		assign: (assignment: Expression<object>) => void this.queue.push({ do: 'assign', assignment, params: undefined }),
		raise: (event: Expression<AnyEventObject>, options: { id?: string; delay?: number } = {}) =>
			void this.queue.push({ do: 'raise', event, id: options.id, delay: options.delay }),
		cancel: (id: string) => void this.queue.push({ do: 'cancel', id }),
	});
	readonly #states = new Map<AnyStateNode, State>();
	readonly #initial: { to: State; actions: Action[] };

	constructor(machine: AnyStateMachine) {
		this.machine = machine;
		const all = [...(machine as unknown as { idMap: Map<string, AnyStateNode> }).idMap.values()];
		for (const node of all) {
			const why = unsupported(node);
			if (why !== null) throw new Error(`the kernel cannot step '${machine.id}': ${node.id} has ${why}`);
			if (node.type === 'atomic' || node.type === 'final') this.#states.set(node, new State(this, node));
		}
		for (const [node, state] of this.#states) {
			const around = outwards(node);
			for (const outer of around) {
				state.always.push(...(outer.always ?? []).map((arrow) => this.#arrow(node, arrow)));
				for (const [type, arrows] of outer.transitions as Map<string, AnyTransitionDefinition[]>) {
					const known = state.arrows.get(type) ?? [];
					state.arrows.set(type, [...known, ...arrows.map((arrow) => this.#arrow(node, arrow))]);
				}
			}
		}
		const entered = this.#entered(machine.root, machine.root);
		this.#initial = { to: entered.to, actions: [...machine.root.entry.map((action) => this.action(action as Named)), ...entered.actions] };
	}

	begin(input: unknown, asked: Asked[]): Moment {
		const { context } = this.machine.config as { context?: unknown };
		const made = typeof context === 'function' ? context({ input }) : (context ?? {});
		const frame = new Frame(this, made, { type: 'xstate.init', input }, asked);
		frame.run(this.#initial.actions);
		return frame.settle(this.#initial.to);
	}

	/** Where an event leads; the same moment if nobody takes it. */
	take(moment: Moment, event: AnyEventObject, asked: Asked[]): Moment {
		const { state, context } = moment;
		const frame = new Frame(this, context, event, asked);
		const arrow = frame.choose(state.arrows.get(event.type));
		if (arrow !== null) frame.run(arrow.actions);
		const next = frame.settle(arrow?.to ?? state);
		return next.state === state && next.context === context && next.status === moment.status ? moment : next;
	}

	action(action: Named | Builtin): Action {
		if (typeof action === 'function') return builtin(action as unknown as Builtin, undefined);
		const type = typeof action === 'string' ? action : action.type;
		const params = typeof action === 'string' ? undefined : (action as { params?: Expression<unknown> }).params;
		const implementation = this.machine.implementations.actions[type] as unknown as Builtin | undefined;
		return implementation !== undefined && 'resolve' in implementation ? builtin(implementation, params) : { do: 'ask', type, params };
	}

	guard(guard: Named | Guard): { test: Guard; params: Expression<unknown> } {
		if (typeof guard === 'function') return { test: guard, params: undefined };
		const type = typeof guard === 'string' ? guard : guard.type;
		const test = this.machine.implementations.guards[type] as unknown;
		if (typeof test !== 'function') throw new Error(`the machine '${this.machine.id}' has no guard '${type}'`);
		return { test: test as Guard, params: typeof guard === 'string' ? undefined : guard.params };
	}

	delay(name: string): unknown {
		return this.machine.implementations.delays[name];
	}

	#arrow(from: AnyStateNode, arrow: AnyTransitionDefinition): Arrow {
		const guard = arrow.guard === undefined ? null : this.guard(arrow.guard as Named | Guard);
		const own = arrow.actions.map((action) => this.action(action as Named));
		const [target] = (arrow.target ?? []) as AnyStateNode[];
		if (target === undefined) return { guard, actions: own, to: null };
		const { source, reenter } = arrow as { source: AnyStateNode; reenter: boolean };
		// What is left and entered lies below the domain; a target within its source does not leave it, unless it re-enters.
		const inside = outwards(target).includes(source);
		const domain = !reenter && inside ? source : commonAncestor(source, target);
		const left = outwards(from).filter((node) => node !== domain && outwards(node).includes(domain));
		const again = reenter && source === domain ? [domain] : [];
		const exits = [...left, ...again].flatMap(({ exit }) => exit).map((action) => this.action(action as Named));
		const entered = this.#entered(target, domain, reenter && source === domain);
		return { guard, actions: [...exits, ...own, ...entered.actions], to: entered.to };
	}

	/** From below `domain` down to `target`, and on by the initial states to one in which the machine can be. */
	#entered(target: AnyStateNode, domain: AnyStateNode, domainToo = false): { to: State; actions: Action[] } {
		const path = outwards(target)
			.filter((node) => (domainToo && node === domain) || (node !== domain && outwards(node).includes(domain)))
			.reverse();
		const actions: Action[] = [];
		const enter = (node: AnyStateNode) => void actions.push(...node.entry.map((action) => this.action(action as Named)));
		for (const node of path) enter(node);
		let at = target;
		while (at.type === 'compound') {
			const { target: next, actions: own } = at.initial as unknown as { target: AnyStateNode[]; actions: Named[] };
			actions.push(...own.map((action) => this.action(action)));
			at = next[0] as AnyStateNode;
			enter(at);
		}
		return { to: this.#states.get(at) as State, actions };
	}
}

/** One event on its way through a machine. */
class Frame {
	readonly chart: Chart;
	/** What guards and expressions are given is the frame itself: `{ context, event }`. */
	context: Context;
	event: AnyEventObject;
	readonly #asked: Asked[];
	#raised: AnyEventObject[] | null = null;

	constructor(chart: Chart, context: Context, event: AnyEventObject, asked: Asked[]) {
		this.chart = chart;
		this.context = context;
		this.event = event;
		this.#asked = asked;
	}

	choose(arrows: readonly Arrow[] | undefined): Arrow | null {
		if (arrows === undefined) return null;
		for (const arrow of arrows) {
			const { guard } = arrow;
			if (guard === null || guard.test(this, this.#value(guard.params))) return arrow;
		}
		return null;
	}

	/** Takes what follows by itself, and then what was raised, until the machine rests. */
	settle(from: State): Moment {
		let state = from;
		for (let asks = true; ; ) {
			if (state.isFinal) return this.#end(state);
			let arrow: Arrow | null = asks ? this.choose(state.always) : null;
			const byItself: boolean = arrow !== null;
			if (arrow === null) {
				const raised = this.#raised?.shift();
				if (raised === undefined) return { state, context: this.context, status: 'active', output: undefined };
				this.event = raised;
				arrow = this.choose(state.arrows.get(raised.type));
			}
			const before = this.context;
			const to: State = arrow?.to ?? state;
			if (arrow !== null) this.run(arrow.actions);
			// What happens by itself and changes nothing would do so for ever.
			asks = !byItself || to !== state || this.context !== before;
			state = to;
		}
	}

	run(actions: readonly Action[]): void {
		for (const action of actions) this.#perform(action);
	}

	#end(state: State): Moment {
		this.run(state.exits);
		const output = (this.chart.machine.root as { output?: unknown }).output;
		return {
			state,
			context: this.context,
			status: 'done',
			output: typeof output === 'function' ? output(this) : output,
		};
	}

	#value<T>(expression: Expression<T>, params?: unknown): T {
		return typeof expression === 'function' ? (expression as (args: Args, params?: unknown) => T)(this, params) : expression;
	}

	#perform(action: Action): void {
		switch (action.do) {
			case 'ask':
				this.#asked.push({ type: action.type, params: this.#value(action.params) });
				return;
			case 'assign': {
				const { assignment } = action;
				const params = this.#value(action.params);
				let change: Record<string, unknown>;
				if (typeof assignment === 'function') change = this.#value(assignment, params) as Record<string, unknown>;
				else {
					change = {};
					for (const [key, value] of Object.entries(assignment)) change[key] = this.#value(value as Expression<unknown>, params);
				}
				// One clone and a few stores: two spreads take several times as long.
				const next: Record<string, unknown> = { ...this.context };
				for (const key of Object.keys(change)) next[key] = change[key];
				this.context = next;
				return;
			}
			case 'raise': {
				const event = this.#value(action.event);
				const given = this.#value(action.delay as Expression<number | string | undefined>);
				const delay = typeof given === 'string' ? this.#value(this.chart.delay(given) as Expression<number>) : given;
				if (delay === undefined) this.#raised = [...(this.#raised ?? []), event];
				else this.#asked.push({ type: 'xstate.raise', params: { event, id: action.id, delay } });
				return;
			}
			case 'cancel':
				this.#asked.push({ type: 'xstate.cancel', params: { sendId: this.#value(action.id) } });
				return;
			case 'enqueue': {
				const { chart } = this;
				const outer = chart.queue;
				const queue: Action[] = [];
				chart.queue = queue;
				try {
					const check = (guard: Named) => this.choose([{ guard: chart.guard(guard), actions: [], to: null }]) !== null;
					const { context, event } = this;
					action.collect({ context, event, enqueue: chart.enqueue, check }, this.#value(action.params));
				} finally {
					chart.queue = outer;
				}
				for (const next of queue) this.#perform(next);
			}
		}
	}
}

function builtin(action: Builtin, params: Expression<unknown>): Action {
	switch (action.type) {
		case 'xstate.assign':
			return { do: 'assign', assignment: action.assignment as Expression<object>, params };
		case 'xstate.raise':
			return {
				do: 'raise',
				event: action.event as Expression<AnyEventObject>,
				id: action.id as string | undefined,
				delay: action.delay as Expression<number | string> | undefined,
			};
		case 'xstate.cancel':
			return { do: 'cancel', id: action.sendId as Expression<string> };
		case 'xstate.enqueueActions':
			return { do: 'enqueue', collect: action.collect as Extract<Action, { do: 'enqueue' }>['collect'], params };
		default:
			throw new Error(`the kernel has no '${action.type}': machines spawn nothing and send to nobody`);
	}
}

function unsupported(node: AnyStateNode): string | null {
	if (node.type === 'parallel' || node.type === 'history') return `${node.type} states`;
	if (node.invoke.length > 0) return 'something that it invokes';
	if (node.type === 'final' && node.parent?.parent !== undefined) return 'a final state that is not the end of the machine';
	const wildcard = [...node.transitions.keys()].find((type) => type.endsWith('*'));
	if (wildcard !== undefined) return `a wildcard ('${wildcard}')`;
	const several = [...[...node.transitions.values()].flat(), ...(node.always ?? [])].some(({ target }) => (target?.length ?? 0) > 1);
	return several ? 'an arrow to several states' : null;
}

const isEmpty = (value: StateValue) => typeof value === 'object' && Object.keys(value).length === 0;

/** A node and all around it, the root last. */
function outwards(node: AnyStateNode): AnyStateNode[] {
	const around: AnyStateNode[] = [];
	for (let at: AnyStateNode | undefined = node; at !== undefined; at = at.parent) around.push(at);
	return around;
}

/** The innermost that has both properly within it; the root for arrows of the root itself. */
function commonAncestor(source: AnyStateNode, target: AnyStateNode): AnyStateNode {
	const around = outwards(source).slice(1);
	return around.find((node) => node !== target && outwards(target).includes(node)) ?? (outwards(source).at(-1) as AnyStateNode);
}
