/** What is known of each child, as its machines have it: for status, and for whoever lists children. */
import type { DynamicContext, Member } from '../../machines/dynamic.ts';
import type { MasterContext } from '../../machines/master.ts';
import { type Child, describe, isGone, type Operation } from '../../machines/operations.ts';
import type { ChildSpec, DynamicSpec, Exit, SupervisorSpec, WorkSpec } from '../../machines/spec.ts';
import type { WorkerContext } from '../../machines/worker.ts';
import type { Kernel } from '../kernel/kernel.ts';
import { joinPath, runId, splitPath, supervisorId } from './paths.ts';
import type { StandbyStatus } from './standbys.ts';

/** Of a dynamic supervisor so many children are shown: there may be a hundred thousand. */
const MAX_SHOWN = 100;

export interface ChildView {
	spec: ChildSpec;
	path: string;
	state: 'starting' | 'running' | 'draining' | 'dead';
	substate: string | null;
	workerId: string | null;
	pid: number | null;
	startTicks: number | null;
	incarnation: number;
	/** Of the spec that this incarnation was started from. */
	generation: number;
	restarts: number;
	standing: string | null;
	note: string | null;
	/** Monotonic ms: since when it runs, if it does, whoever was its master then; else of the last change of state, or null. */
	sinceMs: number | null;
	lastExit: Exit | null;
	/** Spares of its group; null: it is to have none. */
	standby: StandbyStatus | null;
	/** How many there are; `children` may hold fewer. null: it is no supervisor. */
	count: number | null;
	children: ChildView[];
}

/** One child as OTP's `which_children` lists it. `incarnation`: the one that is up, or null. */
export interface Listed {
	id: string;
	path: string;
	type: 'worker' | 'supervisor';
	state: 'up' | 'down' | 'restarting';
	incarnation: number | null;
}

/** OTP's `count_children`. */
export interface Counts {
	specs: number;
	active: number;
	supervisors: number;
	workers: number;
}

/** What the tree knows beside the machines. */
export interface Known {
	kernel: Kernel;
	/** Undefined: it is gone, with the supervisor that it was added to. */
	specOf: (path: string) => ChildSpec | undefined;
	incarnationOf: (path: string) => number;
	/** By its machine; of what does not run, the one in force. */
	generationOf: (machine: string) => number;
	/** How each path last ended, also before its supervisor was restarted. */
	lastExits: ReadonlyMap<string, Exit>;
	/** When each path last changed its state. */
	changes: ReadonlyMap<string, number>;
	standbyOf: (spec: ChildSpec) => StandbyStatus | null;
}

const standings: Record<string, string> = {
	gaveUp: '; given up: it has been restarted too often',
	fatal: '; its exit code says that a restart would not help',
	finished: '; finished',
	stopped: '; stopped by request',
	paused: '; paused by request',
	ignored: '',
};

export function viewOf(known: Known, spec: SupervisorSpec | DynamicSpec): ChildView[] {
	return childPaths(known, spec).flatMap((path) => {
		const view = viewAt(known, path);
		if (view === null) return [];
		const { spec: child } = view;
		return [child.kind === 'supervisor' || child.kind === 'dynamic' ? { ...view, children: viewOf(known, child) } : view];
	});
}

/** The ids of the children of a supervisor in start order: the same array as long as nobody comes, goes or moves. null: that of arrival. */
export function orderOf({ kernel }: Known, { kind, path }: SupervisorSpec | DynamicSpec): readonly string[] | null {
	const context = kernel.context(supervisorId(path)) as MasterContext | undefined;
	return kind === 'dynamic' ? null : (context?.children.keys() ?? null);
}

/** The paths of the children of a supervisor, in start order; of a dynamic one, of the first hundred in the order of arrival. */
export function childPaths(known: Known, spec: SupervisorSpec | DynamicSpec): string[] {
	const { kernel } = known;
	const ids =
		spec.kind === 'dynamic'
			? firstOf((kernel.context(supervisorId(spec.path)) as DynamicContext | undefined)?.members ?? [])
			: (orderOf(known, spec) ?? spec.children.map(({ id }) => id));
	return ids.map((id) => joinPath(spec.path, id));
}

/** The ids of the first that arrived: without sorting a hundred thousand of them. */
function firstOf(members: Iterable<[string, Member]>): string[] {
	const first: Array<{ id: string; order: number }> = [];
	let last = Number.POSITIVE_INFINITY;
	for (const [id, { order }] of members) {
		if (order > last) continue;
		first.push({ id, order });
		if (first.length < 2 * MAX_SHOWN) continue;
		first.sort((a, b) => a.order - b.order).splice(MAX_SHOWN);
		last = first.at(-1)?.order as number;
	}
	first.sort((a, b) => a.order - b.order).splice(MAX_SHOWN);
	return first.map(({ id }) => id);
}

/** One child, without what is below it; costs the same whatever their number. Null: there is none of that path. */
export function viewAt(known: Known, path: string): ChildView | null {
	const [above, id] = splitPath(path);
	const context: unknown = known.kernel.context(supervisorId(above));
	const member = (context as Partial<DynamicContext> | undefined)?.members?.get(id);
	const spec = known.specOf(path);
	if (spec === undefined) return null;
	if (member !== undefined) return memberView(known, path, id, spec as WorkSpec, member);
	if ((context as Partial<DynamicContext> | undefined)?.members !== undefined) return null;
	const supervision = context as MasterContext | undefined;
	const child = supervision?.children.get(id);
	// While its supervisor has not run yet, what is declared is there.
	if (supervision !== undefined && child === undefined) return null;
	return childView(known, path, spec, child, supervision !== undefined && waitingIn(supervision).has(id));
}

/** Who waits for a restart. Operations are values that never change: worked out once for each. */
function waitingIn({ operations }: MasterContext): ReadonlySet<string> {
	const known = waiting.get(operations);
	if (known !== undefined) return known;
	const ids = new Set(operations.flatMap(({ phase, scope }) => (phase === 'waiting' ? scope : [])));
	waiting.set(operations, ids);
	return ids;
}
const waiting = new WeakMap<readonly Operation[], ReadonlySet<string>>();

function childView(known: Known, path: string, spec: ChildSpec, child: Child | undefined, waits: boolean): ChildView {
	const { kernel } = known;
	const incarnation = known.incarnationOf(path);
	const supervises = spec.kind === 'supervisor' || spec.kind === 'dynamic';
	const machine = supervises ? supervisorId(path) : runId(path, incarnation);
	const name = child === undefined || child.phase === 'down' ? null : kernel.state(machine);
	const [state, ...below] = name?.split('.') ?? ['dead'];
	const worker = supervises || name === null ? undefined : (kernel.context(machine) as WorkerContext);
	const lastExit = child?.lastExit ?? known.lastExits.get(path) ?? null;
	const standing = child?.standing ?? null;
	const runs = state === 'running' && child?.phase === 'running';
	return {
		spec,
		path,
		state: state as ChildView['state'],
		substate: below.length > 0 ? below.join('.') : waits ? 'backoff' : null,
		workerId: worker?.workerId ?? null,
		pid: worker?.pid ?? null,
		startTicks: worker?.startTicks ?? null,
		incarnation,
		generation: known.generationOf(machine),
		restarts: child?.restarts ?? 0,
		standing,
		note: standing !== null && lastExit !== null ? `${describe(path, lastExit)}${standings[standing]}` : null,
		sinceMs: (runs ? child.readyAt : known.changes.get(path)) ?? null,
		lastExit,
		standby: known.standbyOf(spec),
		count: countIn(kernel, spec),
		children: [],
	};
}

function countIn(kernel: Kernel, spec: ChildSpec): number | null {
	if (spec.kind !== 'supervisor' && spec.kind !== 'dynamic') return null;
	const context: unknown = kernel.context(supervisorId(spec.path));
	if (spec.kind === 'dynamic') return (context as DynamicContext | undefined)?.members.size ?? 0;
	return (context as MasterContext | undefined)?.children.size ?? spec.children.length;
}

function memberView({ kernel, generationOf }: Known, path: string, id: string, template: WorkSpec, member: Member): ChildView {
	const { incarnation, restarts, phase, readyAt } = member;
	const machine = runId(path, incarnation);
	const name = phase === 'waiting' ? null : kernel.state(machine);
	const [state, ...below] = name?.split('.') ?? ['dead'];
	const worker = kernel.context(machine) as WorkerContext | undefined;
	return {
		spec: { ...template, id, declaredId: id, path },
		path,
		state: state as ChildView['state'],
		substate: below.length > 0 ? below.join('.') : phase === 'waiting' ? 'backoff' : null,
		workerId: worker?.workerId ?? null,
		pid: worker?.pid ?? null,
		startTicks: worker?.startTicks ?? null,
		incarnation,
		generation: generationOf(machine),
		restarts,
		standing: null,
		note: null,
		sinceMs: readyAt,
		lastExit: null,
		standby: null,
		count: null,
		children: [],
	};
}

/** The children of a supervisor, in start order. */
export function listOf({ kernel, specOf }: Known, spec: SupervisorSpec | DynamicSpec): Listed[] {
	const context: unknown = kernel.context(supervisorId(spec.path));
	if (context === undefined) return [];
	if (spec.kind === 'dynamic')
		return [...(context as DynamicContext).members]
			.sort(([, a], [, b]) => a.order - b.order)
			.map(([id, { phase, incarnation }]) => ({
				id,
				path: joinPath(spec.path, id),
				type: 'worker',
				state: phase === 'waiting' ? 'restarting' : 'up',
				incarnation: phase === 'waiting' ? null : incarnation,
			}));
	const { children, operations } = context as MasterContext;
	return [...children.values()]
		.filter((child) => !isGone(child))
		.map(({ id, phase, incarnation }) => {
			const path = joinPath(spec.path, id);
			const kind = specOf(path)?.kind;
			const due = operations.some(({ about, phase: at }) => at === 'waiting' && about === id);
			const state = phase !== 'down' ? 'up' : due ? 'restarting' : 'down';
			const type = kind === 'supervisor' || kind === 'dynamic' ? 'supervisor' : 'worker';
			return { id, path, type, state, incarnation: state === 'up' ? incarnation : null };
		});
}

export function countsOf(spec: SupervisorSpec | DynamicSpec, listed: readonly Listed[]): Counts {
	const supervisors = listed.filter(({ type }) => type === 'supervisor').length;
	return {
		// All children of a dynamic supervisor have one spec.
		specs: spec.kind === 'dynamic' ? 1 : listed.length,
		active: listed.filter(({ state }) => state === 'up').length,
		supervisors,
		workers: listed.length - supervisors,
	};
}
