/** One incarnation of an actor: an ordinary XState actor, a root of its own, observed; whatever it does, it stays in here. */
import { type AnyActor, type AnyActorLogic, type AnyActorRef, createActor } from 'xstate';
import type { ActorSpec, ExitReason } from '../../machines/spec.ts';
import type { WorkerEvent } from '../../machines/worker.ts';
import type { Run, Tell } from '../master/host.ts';
import type { TreeNews } from '../master/tree.ts';
import { asNobody, asOwner, messageOf, type Owner, stackOf } from './containment.ts';
import { askToDrain, hearable } from './hearing.ts';
import { type Inner, type Memory, type Moment, momentOf, rearm, remember } from './memory.ts';

/** What all incarnations share. */
export interface Surroundings {
	tell: Tell;
	/** Monotonic ms. */
	now: () => number;
	/** null: nobody wants to know. */
	news: ((news: TreeNews) => void) | null;
}

/** What one went on from, and what it leaves. */
export interface Legacy {
	memory: Memory;
	/** What the incarnation died of that left it; null: it was stopped. */
	error: string | null;
	/** Incarnations in a row that went on from a snapshot and crashed before they were stable. */
	crashes: number;
}

/** One that went on from a snapshot and lived so long has not died of the snapshot. */
const STABLE_MS = 1_000;
/** Crashes in a row until a snapshot counts as poisoned; the same error twice is enough. */
const MAX_CRASHES = 2;

interface Resumption {
	/** What it went on from, if it did. */
	from: Legacy | null;
	startedAt: number;
	latest: Moment | null;
	/** Asked to go: what follows is nothing to go on from. */
	closed: boolean;
	/** What the next one may go on from. */
	legacy: Legacy | null;
}

export class Incarnation implements Owner {
	readonly run: Run;
	readonly #around: Surroundings;
	#phase: 'starting' | 'alive' | 'ended' = 'starting';
	#actor: AnyActor | null = null;
	#stopping = false;
	/** An error after its end has been told: one is enough, a timer that it left may throw for ever. */
	#noted = false;
	#failure: { error: unknown } | null = null;
	/** Only where a restart goes on from a snapshot. */
	readonly #resumption: Resumption | null;

	constructor(run: Run, around: Surroundings, legacy: Legacy | null) {
		this.run = run;
		this.#around = around;
		this.#resumption =
			(run.spec as ActorSpec).resume === 'snapshot'
				? { from: legacy, startedAt: around.now(), latest: null, closed: false, legacy: null }
				: null;
	}

	/** Whether there is an actor that takes events. */
	get hears(): boolean {
		return this.#phase !== 'ended' && this.#actor !== null;
	}

	/** What the next one may go on from, once this one has ended. */
	get legacy(): Legacy | null {
		return this.#resumption?.legacy ?? null;
	}

	start(): void {
		asOwner(this, start, this);
	}

	/** Called as its owner. */
	startInside(): void {
		const { logic: given } = this.run.spec as ActorSpec;
		let logic: AnyActorLogic | null;
		try {
			logic = typeof given === 'function' ? given() : given;
			if (logic !== null && typeof logic?.transition !== 'function')
				throw new TypeError(`the function that is its logic gave ${logic === undefined ? 'nothing' : 'something else than actor logic'}`);
		} catch (error) {
			return this.#fail(error);
		}
		if (logic === null) return this.#end(this.#exit('ignored'));
		const legacy = this.#resumption?.from ?? null;
		if (legacy !== null) {
			this.#attempt(logic, legacy.memory);
			if (this.#failure === null) return this.#begin();
			this.#news('warn', 'snapshot.dropped', `it cannot go on from its snapshot (${messageOf(this.#failure.error)}) and starts afresh`);
			(this.#resumption as Resumption).from = null;
			this.#clear();
			this.#failure = null;
		}
		this.#attempt(logic, null);
		if (this.#failure !== null) return this.#fail(this.#failure.error);
		this.#begin();
	}

	#attempt(logic: AnyActorLogic, memory: Memory | null): void {
		try {
			const { spec, path } = this.run;
			const input = 'input' in this.run ? this.run.input : (spec as ActorSpec).input;
			const actor = createActor(hearable(logic), memory === null ? { id: path, input } : { id: path, input, snapshot: memory.snapshot });
			this.#actor = actor;
			(actor.system as unknown as Registry)._register = register;
			actor.subscribe(this as unknown as Parameters<AnyActor['subscribe']>[0]);
			const resumption = this.#resumption;
			if (resumption !== null) actor.subscribe({ next: () => this.#note(resumption), error: nothing });
			actor.start();
			if (memory !== null && this.#failure === null && this.#phase === 'starting') {
				rearm(actor as unknown as Inner, memory, this.#around.now());
				this.#note(resumption as Resumption);
			}
		} catch (error) {
			this.#failure ??= { error };
		}
	}

	/** It may have ended in its first step. */
	#begin(): void {
		if (this.#phase === 'ended') return;
		this.#phase = 'alive';
		this.#tell({ type: 'process.ready' });
	}

	/** XState's observer: its end by an error. */
	error(error: unknown): void {
		if (this.#phase === 'starting') this.#failure ??= { error };
		else this.#crash(error);
	}

	/** XState's observer: it is done, or has been stopped. */
	complete(): void {
		if (this.#phase === 'ended' || this.#failure !== null) return;
		// Done in its first step: it did start.
		if (this.#phase === 'starting') this.#tell({ type: 'process.ready' });
		this.#end(this.#exit('normal'));
	}

	/** An error in what it has started, which nobody has caught. */
	blame(error: unknown): void {
		if (this.#phase === 'ended') {
			if (this.#noted) return;
			this.#noted = true;
			this.#news('warn', 'actor.late', `it had ended when something that it left threw: ${messageOf(error)}`, error);
		} else {
			this.#crash(error);
		}
	}

	hear(event: { type: string }): void {
		try {
			asOwner(this, deliver, this.#actor as AnyActor, event);
		} catch (error) {
			this.blame(error);
		}
	}

	drain(): void {
		if (this.#phase !== 'alive') return;
		if (this.#resumption !== null) this.#resumption.closed = true;
		let heard = false;
		try {
			heard = asOwner(this, askToDrain, this.#actor as AnyActorRef);
		} catch {
			// A guard of its own: then it has not.
		}
		this.#tell({ type: heard ? 'drain.acknowledged' : 'drain.undeliverable' });
	}

	stop(): void {
		if (this.#phase === 'ended') return;
		const again = this.#stopping;
		this.#stopping = true;
		if (this.#resumption !== null) this.#resumption.closed = true;
		this.#halt();
		// In the middle of a step of its own it stops when that is over; asked twice, it is not waited for.
		if (again) this.#end(this.#exit('shutdown'));
	}

	#crash(error: unknown): void {
		if (this.#phase === 'ended') return;
		const message = messageOf(error);
		this.#news('error', 'actor.crashed', message, error);
		this.#end(this.#exit('crash', message));
	}

	#fail(error: unknown): void {
		this.#end({ type: 'process.failed', message: messageOf(error), at: this.#around.now() });
	}

	#exit(reason: ExitReason, detail?: string): WorkerEvent {
		const { now } = this.#around;
		const exit = { type: 'process.exited', code: null, signal: null, maxRssBytes: null, at: now(), reason } as const;
		return detail === undefined ? exit : { ...exit, detail };
	}

	#end(fact: WorkerEvent): void {
		if (this.#phase === 'ended') return;
		this.#phase = 'ended';
		if (this.#resumption !== null) this.#leave(this.#resumption, fact);
		this.#clear();
		this.#tell(fact);
	}

	/** Stops whatever is left of it. A machine whose action throws leaves what it invoked running. */
	#clear(): void {
		const actor = this.#actor;
		if (actor === null) return;
		this.#halt();
		const left = descendants.get(actor.system);
		if (left === undefined) return;
		descendants.delete(actor.system);
		for (const child of left) {
			try {
				asOwner(this, halt, child);
			} catch (error) {
				this.blame(error);
			}
		}
	}

	#halt(): void {
		try {
			if (this.#actor !== null) asOwner(this, halt, this.#actor as unknown as Stoppable);
		} catch (error) {
			this.#crash(error);
		}
	}

	#tell(fact: WorkerEvent): void {
		asNobody(this.#around.tell, this.run.workerId, fact);
	}

	#news(level: TreeNews['level'], event: string, what: string, error?: unknown): void {
		const { news: say } = this.#around;
		if (say === null) return;
		const { path } = this.run;
		const stack = stackOf(error);
		const news: TreeNews = { level, path, event, message: `${path}: ${what}` };
		asNobody(say, stack === undefined ? news : { ...news, detail: { stack } });
	}

	#note(resumption: Resumption): void {
		const actor = this.#actor as unknown as Inner;
		if (resumption.closed || this.#phase === 'ended' || actor.getSnapshot().status !== 'active') return;
		resumption.latest = momentOf(actor, resumption.latest, this.#around.now());
	}

	#leave(resumption: Resumption, fact: WorkerEvent): void {
		const { from, latest, startedAt } = resumption;
		if (latest === null || fact.type !== 'process.exited' || fact.reason === 'ignored') return;
		if (fact.reason === 'normal' && !resumption.closed) return;
		const error = fact.reason === 'crash' ? (fact.detail ?? '') : null;
		let crashes = 0;
		if (from !== null && error !== null && this.#around.now() - startedAt < STABLE_MS) {
			crashes = from.crashes + 1;
			if (crashes >= MAX_CRASHES || from.error === error)
				return this.#news('warn', 'snapshot.dropped', 'it crashes as soon as it goes on from its snapshot, and so starts afresh');
		}
		try {
			resumption.legacy = { memory: remember(this.#actor as unknown as Inner, latest), error, crashes };
		} catch (trouble) {
			this.#news('warn', 'snapshot.dropped', `its snapshot cannot be kept (${messageOf(trouble)}), and so it starts afresh`);
		}
	}
}

interface Stoppable {
	_stop(): unknown;
	_parent?: unknown;
	_processingStatus: number;
}

interface Registry {
	_register(sessionId: string, actor: Stoppable): string;
}

/** Of the actors that have any: all that they have started, at whatever depth. */
const descendants = new WeakMap<object, Set<Stoppable>>();
/** Beyond so many, and twice what lived at the last look, the dead among them are forgotten. */
const LOOK_AT = 32;
const looks = new WeakMap<Set<Stoppable>, number>();
const RUNNING = 1;

/** In place of XState's own, which notes an actor where nobody looks. One for all systems, called as a method. */
function register(this: Registry, sessionId: string, actor: Stoppable): string {
	if (actor._parent === undefined) return sessionId;
	let known = descendants.get(this);
	if (known === undefined) {
		known = new Set();
		descendants.set(this, known);
	}
	if (known.size >= (looks.get(known) ?? LOOK_AT)) {
		for (const other of known) if (other._processingStatus !== RUNNING) known.delete(other);
		looks.set(known, Math.max(LOOK_AT, 2 * known.size));
	}
	known.add(actor);
	return sessionId;
}

const start = (incarnation: Incarnation) => incarnation.startInside();
const deliver = (actor: AnyActor, event: { type: string }) => actor.send(event);
const nothing = () => {};
const halt = (actor: Stoppable) => void actor._stop();
