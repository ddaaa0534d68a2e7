/** Whether an actor has heard that it is to drain: XState drops an event that nobody handles, and says nothing. */
import { type AnyActorLogic, type AnyActorRef, type AnyMachineSnapshot, fromCallback, type Snapshot } from 'xstate';

/** The request to finish what it does, and then to be done. */
const drain = { type: 'choir.drain' };

/** Those of callback logic that have asked for events. */
const listening = new WeakSet<object>();
const heard = new WeakMap<AnyActorLogic, AnyActorLogic>();

type Callback = Parameters<typeof fromCallback>[0];

/** The same logic; of a callback it can then be told whether it listens. */
export function hearable(logic: AnyActorLogic): AnyActorLogic {
	const known = heard.get(logic);
	if (known !== undefined) return known;
	const callback = callbackOf(logic);
	const wrapped: AnyActorLogic =
		callback === null
			? logic
			: fromCallback((given) =>
					callback({
						...given,
						receive: (listener) => {
							listening.add(given.self);
							given.receive(listener);
						},
					}),
				);
	heard.set(logic, wrapped);
	// Whoever asks with the wrapped one means the same.
	heard.set(wrapped, wrapped);
	return wrapped;
}

/** The function of `fromCallback` logic, by whichever copy of XState: no other start lets its function send to a parent. */
function callbackOf(logic: AnyActorLogic): Callback | null {
	const { start, config } = logic as { start?: unknown; config?: unknown };
	if (typeof start !== 'function' || typeof config !== 'function') return null;
	return Function.prototype.toString.call(start).includes('sendBack') ? (config as Callback) : null;
}

/** Sends the request. False: it cannot take it, and so will not end by it. An actor that it ends has heard it. */
export function askToDrain(actor: AnyActorRef): boolean {
	const before = actor.getSnapshot() as Snapshot<unknown>;
	if (isMachine(before) && !before.can(drain)) return false;
	actor.send(drain);
	if (isMachine(before) || listening.has(actor)) return true;
	return !isSame(before, actor.getSnapshot() as Snapshot<unknown>);
}

function isMachine(snapshot: unknown): snapshot is AnyMachineSnapshot {
	return typeof (snapshot as AnyMachineSnapshot | null)?.can === 'function';
}

/** Transition logic makes a new snapshot of each event, also of one that it does not know. */
function isSame(before: Snapshot<unknown>, after: Snapshot<unknown>): boolean {
	const one = Object.entries(before);
	return one.length === Object.keys(after).length && one.every(([key, value]) => Object.is(value, Reflect.get(after, key)));
}
