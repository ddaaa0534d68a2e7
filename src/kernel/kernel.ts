/**
 * The kernel steps machines: one mailbox, timers as data, effects carried out after each step. What follows from an event
 * comes before whatever else waits, as if each event were the only one: a child that starts at once is up before its
 * supervisor looks at the next death, as in OTP, where a start is a call.
 * The machines only say what is to be done; who starts a kernel says, by name, how it is done.
 */
import type { AnyEventObject, AnyMachineSnapshot, AnyStateMachine, InputFrom, InspectionEvent } from 'xstate';
import { NEVER_MS } from '../../machines/spec.ts';
import { type Asked, Chart, type Moment } from './chart.ts';
import { type Clock, PAUSED_MS } from './clock.ts';
import { type Timer, Timers } from './timers.ts';

/** How each effect of a machine is carried out; `E` maps names to params. `id` is the machine that asks. */
export type Effects<E> = { [K in keyof E]: (params: E[K], id: string) => void };

/** What one step did, for traces and logs. A step that changed nothing and asked for nothing was ignored. */
export interface Step {
	at: number;
	id: string;
	event: AnyEventObject;
	from: string;
	to: string;
	/** What the machine knew before and after: values that never change. Undefined where there was none. */
	before: unknown;
	after: unknown;
	effects: readonly string[];
	ignored: boolean;
}

/** A timer that runs. `name` as the chart has it, such as `drainTimeout`; times in ms of the kernel's clock. */
export interface RunningTimer {
	name: string;
	/** Due. */
	at: number;
	/** Set. */
	from: number;
}

export interface KernelOptions {
	clock: Clock;
	/** Told of every step. */
	watch?: ((step: Step) => void) | undefined;
	/** Told of every step before anything is carried out that it asked for. */
	intend?: ((id: string, asked: readonly Asked[]) => void) | undefined;
	/** Told of every machine whose state has another name now. */
	changed?: (id: string, at: number) => void;
	/** XState's own inspection protocol, for the ecosystem's inspectors. */
	inspect?: (event: InspectionEvent) => void;
	/** Told of what should not happen: an effect or a step that threw. */
	fault?: (id: string, what: string, error: unknown) => void;
	/** Told that this process was paused; `events` are then sent before any timer that came due meanwhile. */
	paused?: (lateMs: number) => void;
	/** The next to be served after so many steps is the world. Default 2 000. */
	burst?: number;
}

interface Cell {
	chart: Chart;
	moment: Moment;
	effects: Record<string, (params: unknown, id: string) => void>;
	/** null: none runs. There may be very many cells. */
	timers: Map<string, Timer> | null;
}

interface Letter {
	to: string;
	event: AnyEventObject;
	/** A letter without a cell's snapshot: the first step of a new machine. */
	birth: { machine: AnyStateMachine; input: unknown; effects: Cell['effects'] } | null;
}

const nothing: readonly Asked[] = [];
const noEffects: readonly string[] = [];

/** XState names the timer of an `after` by the delay and the state: `xstate.after.drainTimeout.worker.draining.asked`. */
const AFTER = /^xstate\.after\.([^.]+)\./;

const charts = new WeakMap<AnyStateMachine, Chart>();

function chartOf(machine: AnyStateMachine): Chart {
	const known = charts.get(machine) ?? new Chart(machine);
	charts.set(machine, known);
	return known;
}

function snapshotOf(machine: AnyStateMachine, { state, context, status, output }: Moment): AnyMachineSnapshot {
	return machine.resolveState({ value: state.value, context, status, output } as Parameters<typeof machine.resolveState>[0]);
}

/** What is to be done outside, by name. */
function effectsIn(asked: readonly Asked[]): readonly string[] {
	let effects: string[] | null = null;
	for (const { type } of asked) {
		if (type.startsWith('xstate.')) continue;
		effects ??= [];
		effects.push(type);
	}
	return effects ?? noEffects;
}

/** A state as one word: `running.healthy`. */
export function stateName(value: unknown): string {
	if (typeof value === 'string') return value;
	return Object.entries(value as Record<string, unknown>)
		.map(([key, below]) => {
			const name = stateName(below);
			return name === '' ? key : `${key}.${name}`;
		})
		.join('+');
}

export class Kernel {
	readonly clock: Clock;
	readonly #options: KernelOptions;
	readonly #cells = new Map<string, Cell>();
	readonly #timers = new Timers();
	/** What comes from outside, read from `#next` on; cut when it has been read to the end, so that a long chain costs no shifting. */
	#mailbox: Letter[] = [];
	#next = 0;
	/** What follows from the event in hand: the last is the next. And what the present step has sent, in its order. */
	readonly #following: Letter[] = [];
	readonly #sent: Letter[] = [];
	#stepping = false;
	#yielded = false;
	#alarmAt = Number.POSITIVE_INFINITY;

	constructor(options: KernelOptions) {
		this.clock = options.clock;
		this.#options = options;
	}

	/** Starts a machine under `id`; its first step is taken in its turn, like any other. */
	start<M extends AnyStateMachine, E>(id: string, machine: M, input: InputFrom<M>, effects: Effects<E>): void {
		this.#post({ to: id, event: { type: 'xstate.init' }, birth: { machine, input, effects: effects as Cell['effects'] } });
	}

	/** Puts an event into the mailbox. To an id that is not there it is a recorded no-op. */
	send(id: string, event: AnyEventObject): void {
		this.#post({ to: id, event, birth: null });
	}

	/** Sends after everything that already waits, and after `delayMs`. */
	sendLater(id: string, event: AnyEventObject, delayMs: number): void {
		this.#timers.add(this.clock.now() + delayMs, id, '', event);
		this.#setAlarm();
	}

	/** What a machine knows, or undefined if there is none of that id. */
	context(id: string): unknown {
		return this.#cells.get(id)?.moment.context;
	}

	/** Whether there is a machine of that id that has not ended. */
	isActive(id: string): boolean {
		return this.#cells.get(id)?.moment.status === 'active';
	}

	/** As XState would give it, made when it is asked for: for viewers. */
	snapshot(id: string): AnyMachineSnapshot | undefined {
		const cell = this.#cells.get(id);
		return cell === undefined ? undefined : snapshotOf(cell.chart.machine, cell.moment);
	}

	/** The state of a machine as one word, or null if there is none of that id. */
	state(id: string): string | null {
		return this.#cells.get(id)?.moment.state.name ?? null;
	}

	/** How many machines there are. */
	get size(): number {
		return this.#cells.size;
	}

	ids(): IterableIterator<string> {
		return this.#cells.keys();
	}

	/** The timers of a machine that run, those that are due first first. */
	timers(id: string): RunningTimer[] {
		return [...(this.#cells.get(id)?.timers?.values() ?? [])]
			.map(({ name, at, from }) => ({ name: AFTER.exec(name)?.[1] ?? name, at, from }))
			.sort((a, b) => a.at - b.at);
	}

	get pendingTimers(): number {
		return this.#timers.size;
	}

	/** Forgets a machine and its timers. */
	remove(id: string): void {
		const cell = this.#cells.get(id);
		if (cell === undefined) return;
		this.#cancelTimers(cell);
		this.#cells.delete(id);
	}

	/** Forgets everything and sets no more alarms. */
	close(): void {
		for (const id of [...this.#cells.keys()]) this.remove(id);
		this.#mailbox = [];
		this.#next = 0;
		this.#following.length = 0;
		this.#sent.length = 0;
		this.clock.clearAlarm();
	}

	#post(letter: Letter): void {
		if (this.#stepping) return void this.#sent.push(letter);
		this.#mailbox.push(letter);
		if (!this.#yielded) this.#work();
	}

	#work(): void {
		this.#stepping = true;
		const burst = this.#options.burst ?? 2_000;
		try {
			for (let steps = 0; ; steps++) {
				for (let letter = this.#sent.pop(); letter !== undefined; letter = this.#sent.pop()) this.#following.push(letter);
				if (this.#following.length === 0 && this.#next === this.#mailbox.length) return;
				if (steps >= burst) {
					this.#yielded = true;
					this.clock.yield(() => {
						this.#yielded = false;
						this.#work();
					});
					return;
				}
				this.#step(this.#following.pop() ?? this.#taken());
			}
		} finally {
			this.#stepping = false;
			this.#setAlarm();
		}
	}

	#taken(): Letter {
		const letter = this.#mailbox[this.#next++] as Letter;
		if (this.#next === this.#mailbox.length) {
			this.#mailbox = [];
			this.#next = 0;
		}
		return letter;
	}

	#step(letter: Letter): void {
		const { to: id, event, birth } = letter;
		const cell = this.#cells.get(id);
		const before = cell?.moment;
		const from = before?.state.name ?? '';
		if (birth === null && before?.status !== 'active') {
			// It has been started, and only its first step is to come: what it is sent until then waits for that, as in Erlang.
			let place = this.#following.findLastIndex((other) => other.to === id && other.birth !== null);
			if (place < 0) return this.#tell(id, event, before, before, null, nothing);
			// Behind what waits for it already.
			while (place > 0 && this.#following[place - 1]?.to === id) place -= 1;
			this.#following.splice(place, 0, letter);
			return;
		}
		const asked: Asked[] = [];
		let stepped: Cell;
		try {
			if (birth === null) {
				stepped = cell as Cell;
				stepped.moment = stepped.chart.take(stepped.moment, event, asked);
			} else {
				const chart = chartOf(birth.machine);
				stepped = { chart, moment: chart.begin(birth.input, asked), effects: birth.effects, timers: null };
			}
		} catch (error) {
			// The machine stays where it was: one broken machine must not take the others along.
			this.#options.fault?.(id, `step ${event.type}`, error);
			return;
		}
		if (birth !== null) {
			this.remove(id);
			this.#cells.set(id, stepped);
			this.#inspect({ type: '@xstate.actor' }, id);
		}
		const to = stepped.moment.state.name;
		if (from !== to || birth !== null) this.#options.changed?.(id, this.clock.now());
		this.#options.intend?.(id, asked);
		this.#tell(id, event, before, stepped.moment, stepped, asked);
		for (const action of asked) this.#carryOut(id, stepped, action);
		if (stepped.moment.status !== 'active') this.#cancelTimers(stepped);
	}

	#cancelTimers(cell: Cell): void {
		if (cell.timers !== null) for (const timer of cell.timers.values()) this.#timers.cancel(timer);
		cell.timers = null;
	}

	#carryOut(id: string, cell: Cell, { type, params }: Asked): void {
		if (type === 'xstate.raise') return this.#setTimer(id, cell, params as { id?: string; delay?: number; event: AnyEventObject });
		if (type === 'xstate.cancel') return this.#cancelTimer(cell, params);
		const effect = cell.effects[type];
		try {
			if (effect === undefined) throw new Error(`nobody carries out '${type}'`);
			effect(params, id);
		} catch (error) {
			this.#options.fault?.(id, type, error);
			const message = error instanceof Error ? error.message : String(error);
			this.send(id, { type: 'effect.failed', effect: type, message, at: this.clock.now() });
		}
	}

	#setTimer(id: string, cell: Cell, { id: given, delay, event }: { id?: string; delay?: number; event: AnyEventObject }): void {
		// Raised without a delay: XState has already taken it in the same step.
		if (delay === undefined) return;
		const name = given ?? event.type;
		const earlier = cell.timers?.get(name);
		if (earlier !== undefined) this.#timers.cancel(earlier);
		// Whoever says never means it, and need not be kept in mind for it.
		if (delay >= NEVER_MS) return void cell.timers?.delete(name);
		cell.timers ??= new Map();
		const now = this.clock.now();
		cell.timers.set(name, this.#timers.add(now + delay, id, name, event, now));
	}

	#cancelTimer(cell: Cell, params: unknown): void {
		const name = (params as { sendId: string }).sendId;
		const timer = cell.timers?.get(name);
		if (timer === undefined) return;
		this.#timers.cancel(timer);
		cell.timers?.delete(name);
		if (cell.timers?.size === 0) cell.timers = null;
	}

	#setAlarm(): void {
		const next = this.#timers.peek();
		const at = next?.at ?? Number.POSITIVE_INFINITY;
		if (at === this.#alarmAt) return;
		this.#alarmAt = at;
		if (next === null) this.clock.clearAlarm();
		else this.clock.setAlarm(at, (lateMs) => this.#ring(lateMs));
	}

	#ring(lateMs: number): void {
		this.#alarmAt = Number.POSITIVE_INFINITY;
		// What the paused hook sends is stepped at once, so that it can still cancel what only seems overdue.
		if (lateMs > PAUSED_MS) this.#options.paused?.(lateMs);
		const now = this.clock.now();
		for (let timer = this.#timers.take(now); timer !== null; timer = this.#timers.take(now)) {
			const owner = this.#cells.get(timer.owner);
			if (owner?.timers?.get(timer.name) === timer) owner.timers.delete(timer.name);
			if (owner?.timers?.size === 0) owner.timers = null;
			this.#post({ to: timer.owner, event: timer.event, birth: null });
			if (this.#yielded) break;
		}
		this.#setAlarm();
	}

	#tell(
		id: string,
		event: AnyEventObject,
		before: Moment | undefined,
		after: Moment | undefined,
		stepped: Cell | null,
		asked: readonly Asked[],
	): void {
		if (this.#options.inspect !== undefined) {
			this.#inspect({ type: '@xstate.event', event, sourceRef: undefined }, id);
			if (stepped !== null) this.#inspect({ type: '@xstate.snapshot', event, snapshot: this.snapshot(id) }, id);
			for (const { type, params } of asked) this.#inspect({ type: '@xstate.action', action: { type, params } }, id);
		}
		const { watch } = this.#options;
		if (watch === undefined) return;
		const from = before?.state.name ?? '';
		const to = after?.state.name ?? '';
		watch({
			at: this.clock.now(),
			id,
			event,
			from,
			to,
			before: before?.context,
			after: after?.context,
			effects: effectsIn(asked),
			ignored: stepped === null || (from === to && asked.length === 0),
		});
	}

	#inspect(event: Record<string, unknown>, id: string): void {
		if (this.#options.inspect === undefined) return;
		const cell = this.#cells.get(id);
		const actorRef = { id, sessionId: id, logic: cell?.chart.machine, getSnapshot: () => this.snapshot(id) };
		this.#options.inspect({ ...event, rootId: 'choir', actorRef } as unknown as InspectionEvent);
	}
}
