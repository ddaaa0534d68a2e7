/** What is known of each child, as its machines have it: for status, and for whoever lists children. */
import type { DynamicContext } from '../../machines/dynamic.ts';
import type { MasterContext } from '../../machines/master.ts';
import { type Child, describe, isGone } from '../../machines/operations.ts';
import type { ChildSpec, DynamicSpec, Exit, SupervisorSpec } from '../../machines/spec.ts';
import type { WorkerContext } from '../../machines/worker.ts';
import type { Kernel } from '../kernel/kernel.ts';
import { joinPath, runId, supervisorId } from './paths.ts';

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
	restarts: number;
	standing: string | null;
	note: string | null;
	/** Monotonic ms of the last change of state, or null. */
	sinceMs: number | null;
	lastExit: Exit | null;
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
	/** How each path last ended, also before its supervisor was restarted. */
	lastExits: ReadonlyMap<string, Exit>;
	/** When each path last changed its state. */
	changes: ReadonlyMap<string, number>;
}

const standings: Record<string, string> = {
	gaveUp: '; given up: it has been restarted too often',
	fatal: '; its exit code says that a restart would not help',
	finished: '; finished',
	stopped: '; stopped by request',
	ignored: '',
};

export function viewOf(known: Known, spec: SupervisorSpec | DynamicSpec): ChildView[] {
	return spec.kind === 'dynamic' ? membersOf(known, spec) : childrenOf(known, spec);
}

function childrenOf(known: Known, spec: SupervisorSpec): ChildView[] {
	const context = known.kernel.context(supervisorId(spec.path)) as MasterContext | undefined;
	const ids = context === undefined ? spec.children.map(({ id }) => id) : [...context.children.keys()];
	return ids.flatMap((id) => {
		const path = joinPath(spec.path, id);
		const declared = known.specOf(path);
		if (declared === undefined) return [];
		const child = context?.children.get(id);
		const waits = context?.operations.some(({ phase, scope }) => phase === 'waiting' && scope.includes(id)) ?? false;
		return [childView(known, path, declared, child, waits)];
	});
}

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
	const children = supervises ? viewOf(known, spec) : [];
	const members = spec.kind === 'dynamic' ? (kernel.context(machine) as DynamicContext | undefined)?.members.size : undefined;
	return {
		spec,
		path,
		state: state as ChildView['state'],
		substate: below.length > 0 ? below.join('.') : waits ? 'backoff' : null,
		workerId: worker?.workerId ?? null,
		pid: worker?.pid ?? null,
		startTicks: worker?.startTicks ?? null,
		incarnation,
		restarts: child?.restarts ?? 0,
		standing,
		note: standing !== null && lastExit !== null ? `${describe(path, lastExit)}${standings[standing]}` : null,
		sinceMs: known.changes.get(path) ?? null,
		lastExit,
		count: supervises ? (members ?? children.length) : null,
		children,
	};
}

function membersOf({ kernel }: Known, spec: DynamicSpec): ChildView[] {
	const context = kernel.context(supervisorId(spec.path)) as DynamicContext | undefined;
	if (context === undefined) return [];
	const first = [...context.members].sort(([, a], [, b]) => a.order - b.order).slice(0, MAX_SHOWN);
	return first.map(([id, { incarnation, restarts, phase, readyAt }]) => {
		const path = joinPath(spec.path, id);
		const machine = runId(path, incarnation);
		const name = phase === 'waiting' ? null : kernel.state(machine);
		const [state, ...below] = name?.split('.') ?? ['dead'];
		const worker = kernel.context(machine) as WorkerContext | undefined;
		return {
			spec: { ...spec.template, id, declaredId: id, path },
			path,
			state: state as ChildView['state'],
			substate: below.length > 0 ? below.join('.') : phase === 'waiting' ? 'backoff' : null,
			workerId: worker?.workerId ?? null,
			pid: worker?.pid ?? null,
			startTicks: worker?.startTicks ?? null,
			incarnation,
			restarts,
			standing: null,
			note: null,
			sinceMs: readyAt,
			lastExit: null,
			count: null,
			children: [],
		};
	});
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
