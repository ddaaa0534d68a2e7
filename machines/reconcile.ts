/**
 * What a new master makes of what the last one left: what it had in mind, by its journal, and what is there, by the angel's
 * inventory. Facts decide. What lives is adopted, what died meanwhile is told to its supervisor as a death, what lived
 * within the master starts again, and what was begun goes on (Storm's sync of a slot, for a whole supervisor).
 */
import type { SupervisorEnd } from './master.ts';
import { type Child, type Death, fresh, type Operation, unborn } from './operations.ts';
import { noRestarts, type RestartLog, restartLog, stampsOf } from './restart.ts';
import type { ChildSpec, RestartRule, StopMode } from './spec.ts';

/** What a supervisor has in mind, beside its children. Times: monotonic ms since boot. */
export interface SavedSupervisor {
	/** Of the supervisor itself: what it had in mind may be of an earlier life. */
	incarnation: number;
	log: number[];
	operations: Operation[];
	nextOperation: number;
	/** Operations that wait, and until when. */
	due: Array<[operation: number, at: number]>;
	mail: Death[];
	end: SupervisorEnd | null;
	mode: StopMode;
}

/** What it has in mind of one child. `deleted`: it was declared, and is to be forgotten until the supervisor starts again. */
export type SavedChild = (Omit<Child, 'id' | 'rule' | 'log'> & { log: number[] }) | { deleted: true };

/** A process that the angel has, or had: its latest incarnation. */
export interface Found {
	workerId: string;
	incarnation: number;
	pid: number;
	startTicks: number;
	/** How it ended while there was no master to be told; null: it lives. */
	ended: { code: number | null; signal: string | null; at: number } | null;
}

export interface Left<F extends Found> {
	/** null: nothing can be read of it. */
	supervisor: SavedSupervisor | null;
	children: ReadonlyMap<string, SavedChild>;
	/** Who is to be paused, by what was asked: it counts for those of whom nothing else is known. */
	paused?: ReadonlySet<string>;
	/** By child id. */
	found: ReadonlyMap<string, F>;
	/** The latest incarnation of each child that was ever asked of the angel. */
	asked: ReadonlyMap<string, number>;
	/** The tree was stopping, and is wanted again: what it was in the middle of counts for nothing, and what is down starts. */
	anew?: boolean;
}

/** What a master machine begins with in the place of a first start. `waits`: operations, and how long they still wait. */
export interface Resumed {
	children: Array<[string, Child]>;
	log: RestartLog;
	operations: Operation[];
	nextOperation: number;
	waits: Array<[operation: number, delayMs: number]>;
	mail: Death[];
	end: SupervisorEnd | null;
	mode: StopMode;
}

/**
 * What is to be done about a child. `adopt`: it lives, or has just died: then that is told. `lose`: it is gone, and nobody
 * saw how. `launch`: its start was decided and never asked for. `supervise`: a supervisor within this one goes on.
 */
export type Fate<F extends Found = Found> = { id: string; incarnation: number } & (
	| { do: 'adopt'; found: F; ready: boolean; drain: StopMode | null }
	| { do: 'lose'; ready: boolean; asked: boolean }
	| { do: 'launch' }
	| { do: 'supervise' }
);

export interface Reconciled<F extends Found> {
	resumed: Resumed;
	fates: Array<Fate<F>>;
}

type Declared = Pick<ChildSpec, 'id' | 'kind'> & { restart: RestartRule };

/** `declared`: in start order, with those that came by request. What is found and not adopted is to be stopped. `now`: monotonic ms. */
export function reconcile<F extends Found>(declared: readonly Declared[], left: Left<F>, now: number): Reconciled<F> {
	const anew = left.anew === true;
	const saved = anew && left.supervisor !== null ? { ...left.supervisor, ...atRest } : left.supervisor;
	// One who is declared no more is nobody's: what a reload has removed is stopped as a stray.
	const known = new Set(declared.map(({ id }) => id).filter((id) => !isDeleted(left.children.get(id))));
	const operations = (saved?.operations ?? []).flatMap((operation) => among(operation, known) ?? []);
	const children: Array<[string, Child]> = [];
	const fates: Array<Fate<F>> = [];
	/** What is down, and should not be. */
	const down: string[] = [];
	for (const { id, kind, restart: rule } of declared) {
		const was = left.children.get(id);
		const found = left.found.get(id);
		if (was !== undefined && 'deleted' in was) continue;
		const standing = left.paused?.has(id) ? 'paused' : null;
		const child: Child = was === undefined ? { ...unborn, id, rule, standing } : { ...was, id, rule, log: restartLog(was.log) };
		const { incarnation } = child;
		const isUnknown = saved === null && child.standing !== 'paused';
		const isUp = child.phase !== 'down';
		const ready = child.readyAt !== null;
		if (kind === 'supervisor' || kind === 'dynamic') {
			// Nothing is known: it is there, and finds out who lives.
			const isNew = isUnknown && was === undefined;
			const begun: Child = isNew
				? { ...child, phase: 'starting', incarnation: incarnation + 1 }
				: { ...child, phase: anew && child.phase === 'draining' ? 'running' : child.phase };
			if (anew && begun.phase === 'down' && isWanted(begun)) down.push(id);
			if (begun.phase !== 'down') fates.push({ id, incarnation: begun.incarnation, do: 'supervise' });
			children.push([id, begun]);
		} else if (kind === 'actor' || kind === 'thread') {
			// It went with the master: that counts for nothing.
			if (child.phase === 'starting' || child.phase === 'running' || isUnknown || (anew && isWanted(child))) down.push(id);
			children.push([id, { ...child, phase: 'down' }]);
		} else if (found !== undefined && found.incarnation > incarnation) {
			// Begun after the last word that could be read.
			children.push([id, { ...child, phase: 'starting', incarnation: found.incarnation, standing: null, readyAt: null }]);
			fates.push({ id, incarnation: found.incarnation, do: 'adopt', found, ready: false, drain: null });
		} else if (isUp && found?.incarnation === incarnation) {
			const drain =
				child.phase === 'draining'
					? (operations.find(({ scope, phase }) => phase === 'stopping' && scope.includes(id))?.mode ?? 'drain')
					: null;
			if (anew && child.phase === 'draining') down.push(id);
			children.push([id, child]);
			fates.push({ id, incarnation, do: 'adopt', found, ready, drain });
		} else {
			children.push([id, child]);
			if (isUp)
				fates.push(
					(left.asked.get(id) ?? 0) >= incarnation
						? { id, incarnation, do: 'lose', ready, asked: child.phase === 'draining' }
						: { id, incarnation, do: 'launch' },
				);
			if (isUp ? anew && child.phase === 'draining' : isUnknown || (anew && isWanted(child))) down.push(id);
		}
	}
	const nextOperation = saved?.nextOperation ?? 1;
	const revival: Operation = {
		...fresh,
		id: nextOperation,
		kind: 'request',
		strategy: 'one_for_one',
		scope: down,
		phase: 'queued',
		delayMs: null,
		mode: 'drain',
		about: null,
		request: null,
	};
	const due = new Map(saved?.due);
	return {
		resumed: {
			children,
			log: saved === null ? noRestarts : restartLog(saved.log),
			operations: down.length === 0 ? operations : [...operations, revival],
			nextOperation: nextOperation + 1,
			waits: operations
				.filter(({ phase }) => phase === 'waiting')
				.map(({ id, delayMs }) => [id, Math.max(0, (due.get(id) ?? now + (delayMs ?? 0)) - now)]),
			mail: saved?.mail ?? [],
			end: saved?.end ?? null,
			mode: saved?.mode ?? 'drain',
		},
		fates,
	};
}

/**
 * Of the processes of one child the one that its supervisor thinks of, which is that of the `incarnation` if there is one, else the latest; of two
 * of a number, who lives. `next`: it has died and is followed by this one already, which had been ordered in advance; first its end is told.
 */
export function presentOf<F extends Found>(found: readonly [F, ...F[]], incarnation: number): { present: F; next: F | null } {
	const isMeant = (each: F) => Number(each.incarnation === incarnation);
	const lives = ({ ended }: F) => Number(ended === null);
	const [present, ...others] = [...found].sort(
		(a, b) => isMeant(b) - isMeant(a) || b.incarnation - a.incarnation || lives(b) - lives(a),
	) as [F, ...F[]];
	const later = others.find((other) => other.ended === null && other.incarnation > present.incarnation);
	return { present, next: present.ended === null ? null : (later ?? null) };
}

/**
 * Whether a supervisor had begun the life that the one above thinks of, and goes on; else that was only decided, and it begins. Of what has
 * no word of its own the one above is believed, as long as there is one of that one, and nobody is there who would prove it wrong.
 */
export function hasBegun(
	incarnation: number,
	left: { supervisor: Pick<SavedSupervisor, 'incarnation'> | null; isAboveKnown: boolean; isAnybodyThere: boolean },
): boolean {
	if (left.supervisor !== null) return left.supervisor.incarnation >= incarnation;
	return !left.isAboveKnown || left.isAnybodyThere;
}

const isDeleted = (saved: SavedChild | undefined) => saved !== undefined && 'deleted' in saved;

/** An operation without those of its range that are gone; null: none is left. Nobody waits for its answer any more. */
function among(operation: Operation, known: ReadonlySet<string>): Operation | null {
	const scope = operation.scope.filter((id) => known.has(id));
	if (scope.length === 0 && operation.scope.length > 0) return null;
	const kept = (count: number) => operation.scope.slice(0, count).filter((id) => known.has(id)).length;
	const { left, tried, settled } = operation;
	return { ...operation, scope, left: kept(left), tried: kept(tried), settled: kept(settled), request: null };
}

const atRest = { operations: [], due: [], mail: [], end: null, mode: 'drain' } as const satisfies Partial<SavedSupervisor>;
/** What has finished, or was stopped by request, is not wanted again. */
const isWanted = ({ standing }: Child) => standing === null || standing === 'gaveUp' || standing === 'fatal';

/** What is to be kept of a child. */
export function savedChild({ id: _id, rule: _rule, log, ...child }: Child): SavedChild {
	return { ...child, log: stampsOf(log) };
}
