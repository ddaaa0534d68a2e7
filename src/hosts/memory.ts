/**
 * What an actor goes on from after a restart: its last good snapshot and, with their absolute deadlines, the delayed events
 * that it had set. XState restores the former and forgets the latter.
 */
import type { AnyActorLogic, AnyActorRef, AnyEventObject, Snapshot } from 'xstate';

/** What XState holds of an actor, beside what it declares. */
export interface Inner extends AnyActorRef {
	logic: AnyActorLogic & { getPersistedSnapshot(snapshot: unknown, options?: object): Snapshot<unknown> };
	system: AnyActorRef['system'] & {
		_snapshot: { _scheduledEvents: Record<string, Scheduled> };
		scheduler: { schedule(source: Inner, target: Inner, event: AnyEventObject, delayMs: number, id: string): void };
	};
}

interface Scheduled {
	source: Inner;
	target: Inner;
	event: AnyEventObject;
	delay: number;
	id: string;
	/** Wall clock. */
	startedAt: number;
}

/** A living actor as it was at one moment: references only, which cost next to nothing. */
export interface Moment {
	snapshot: Snapshot<unknown>;
	children: Array<[id: string, child: Inner, moment: Moment]>;
	timers: Timer[];
}

interface Timer {
	scheduled: Scheduled;
	/** Monotonic ms. */
	at: number;
}

/** What outlives the incarnation. */
export interface Memory {
	snapshot: Snapshot<unknown>;
	/** `source` and `target` by their ids, from the root on. */
	timers: Array<{ at: number; id: string; event: AnyEventObject; source: string[]; target: string[] }>;
}

/** `before`: an earlier moment of the same actor, which already knows the deadlines of what is still set. */
export function momentOf(actor: Inner, before: Moment | null, now: number): Moment {
	const known = new Map(before?.timers.map(({ scheduled, at }) => [scheduled, at]));
	const timers = Object.values(actor.system._snapshot._scheduledEvents).map((scheduled) => ({
		scheduled,
		at: known.get(scheduled) ?? now + scheduled.delay - (Date.now() - scheduled.startedAt),
	}));
	return { ...withoutTimers(actor), timers };
}

function withoutTimers(actor: Inner): Moment {
	const snapshot = actor.getSnapshot() as Snapshot<unknown>;
	const children = Object.entries(childrenOf(snapshot)).map(([id, child]): Moment['children'][number] => [id, child, withoutTimers(child)]);
	return { snapshot, children, timers: [] };
}

/** It may throw: not everything can be persisted. */
export function remember(actor: Inner, moment: Moment): Memory {
	const timers = moment.timers.flatMap(({ scheduled: { source, target, id, event }, at }) => {
		const [from, to] = [idsOf(source, actor), idsOf(target, actor)];
		return from === null || to === null ? [] : [{ at, id, event, source: from, target: to }];
	});
	return { snapshot: persist(actor, moment), timers };
}

function persist(actor: Inner, { snapshot, children }: Moment): Snapshot<unknown> {
	// Here it stays in memory, and so may hold logic that has no name.
	const persisted = actor.logic.getPersistedSnapshot(snapshot, { __unsafeAllowInlineActors: true });
	const below = (persisted as { children?: Record<string, { snapshot: unknown }> }).children ?? {};
	for (const [id, child, then] of children) {
		const entry = below[id];
		if (entry === undefined) continue;
		// A child may have got further on its own; one that has been stopped meanwhile, or has failed, is as it was.
		const now = withoutTimers(child);
		entry.snapshot = persist(child, now.snapshot.status === 'active' ? now : then);
	}
	return persisted;
}

/** Sets the delayed events again, for what is left of their time. */
export function rearm(actor: Inner, { timers }: Memory, now: number): void {
	for (const { at, id, event, source, target } of timers) {
		const [from, to] = [findBelow(actor, source), findBelow(actor, target)];
		// Of a part of a millisecond Node's timers make nothing: it would be early.
		if (from !== undefined && to !== undefined) actor.system.scheduler.schedule(from, to, event, Math.ceil(Math.max(0, at - now)), id);
	}
}

/** Ids from the root down to an actor; null: it is none of its own. */
function idsOf(actor: Inner, root: Inner): string[] | null {
	const ids: string[] = [];
	for (let at: Inner | undefined = actor; at !== undefined; at = at._parent as Inner | undefined) {
		if (at === root) return ids.reverse();
		ids.push(at.id);
	}
	return null;
}

function findBelow(root: Inner, ids: readonly string[]): Inner | undefined {
	return ids.reduce<Inner | undefined>((at, id) => (at === undefined ? undefined : childrenOf(at.getSnapshot())[id]), root);
}

const childrenOf = (snapshot: unknown) => (snapshot as { children?: Record<string, Inner> } | undefined)?.children ?? {};
