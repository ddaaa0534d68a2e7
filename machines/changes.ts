/**
 * What a new version of a spec changes in a tree that runs: only what differs is touched. Declarations are compared by their
 * values, and what they run by its content; what lives within the master comes out of the spec's own bundle.
 */
import type { ChildSpec, DynamicSpec, ReloadMode, SupervisorSpec, WorkSpec } from './spec.ts';

/**
 * What becomes of a child. `changed`: only what its supervisor goes by is different (restart rule, limits, order): that is taken
 * over, and no process is touched.
 */
export type Change = 'kept' | 'changed' | 'replaced' | 'added' | 'removed';

export interface PlannedChange {
	path: string;
	change: Change;
	/** How the new one comes; null where none does. */
	mode: ReloadMode | null;
	/** What differs: fields of the declaration, or `code`. */
	differing: string[];
}

export interface Version {
	root: SupervisorSpec;
	/** Of the bundle of the spec. */
	bundle: string;
	/** Digests of what its children run, by `contentNames`. What is missing is not known. */
	contents: ReadonlyMap<string, string>;
}

export interface Changes {
	/** In start order; those that are removed behind their siblings. */
	children: PlannedChange[];
	/** What cannot be done, a sentence each. */
	refused: string[];
}

/** What a supervisor goes by, and no process notices. */
const rules = ['restart', 'stop', 'ready', 'reload', 'logs', 'kept', 'standby', 'declaredId'];
/** What no text can be made of: it comes out of the spec's bundle. */
const opaque = ['logic', 'input', 'children', 'template'];

export function changesBetween(before: Version, after: Version): Changes {
	const children: PlannedChange[] = [];
	const refused: string[] = [];

	const supervisor = (old: SupervisorSpec, next: SupervisorSpec): void => {
		const differing = differences(old, next);
		const stay = next.children.filter(({ id }) => old.children.some((child) => child.id === id)).map(({ id }) => id);
		const stayed = old.children.filter(({ id }) => stay.includes(id)).map(({ id }) => id);
		if (stay.join() !== stayed.join()) differing.push('order');
		// The root is the tree itself, which a plan lists only if it changes.
		if (next.path !== '' || differing.length > 0)
			children.push({ path: next.path, change: differing.length > 0 ? 'changed' : 'kept', mode: null, differing });
		for (const child of next.children)
			one(
				old.children.find(({ id }) => id === child.id),
				child,
			);
		for (const gone of old.children)
			if (!next.children.some(({ id }) => id === gone.id)) children.push({ path: gone.path, change: 'removed', mode: null, differing: [] });
	};

	const one = (old: ChildSpec | undefined, next: ChildSpec): void => {
		const { path } = next;
		if (old === undefined) return void children.push({ path, change: 'added', mode: modeOf(next), differing: [] });
		if (old.kind === 'supervisor' && next.kind === 'supervisor') return supervisor(old, next);
		if (old.kind === 'dynamic' && next.kind === 'dynamic') return dynamic(old, next);
		if (!isWork(old) || !isWork(next))
			return void refused.push(`${path} is a ${old.kind} and cannot become a ${next.kind}: give the new one another id`);
		work(old, next);
	};

	/** Those that run stay as they are; those that are started from now on are of the new make. */
	const dynamic = (old: DynamicSpec, next: DynamicSpec): void => {
		const differing = [...differences(old, next), ...differences(old.template, next.template), ...code(old.template, next.template)];
		children.push({ path: next.path, change: differing.length > 0 ? 'changed' : 'kept', mode: null, differing });
	};

	const work = (old: WorkSpec, next: WorkSpec): void => {
		const { path } = next;
		const differing = [...differences(old, next), ...code(old, next)];
		const touches = differing.filter((name) => !rules.includes(name));
		if (touches.length > 0) children.push({ path, change: 'replaced', mode: modeOf(next), differing: touches });
		else children.push({ path, change: differing.length > 0 ? 'changed' : 'kept', mode: null, differing });
	};

	const code = (old: WorkSpec, next: WorkSpec): string[] => {
		if (isInner(next) && before.bundle !== after.bundle) return ['spec'];
		const names = new Set([...contentNames(old), ...contentNames(next)]);
		return [...names].every((name) => before.contents.get(name) === after.contents.get(name)) ? [] : ['code'];
	};

	supervisor(before.root, after.root);
	return { children, refused };
}

/** What a child is made of beside its declaration: names of files, relative to the spec, each with what it is. */
export function contentNames(spec: WorkSpec): string[] {
	const module = spec.kind === 'node' || spec.kind === 'thread' ? [`module ${spec.module}`] : [];
	return 'envFile' in spec && spec.envFile !== null ? [...module, `env ${spec.envFile}`] : module;
}

export const isWork = (spec: ChildSpec): spec is WorkSpec => spec.kind !== 'supervisor' && spec.kind !== 'dynamic';
const isInner = ({ kind }: WorkSpec) => kind === 'actor' || kind === 'thread';
const modeOf = (spec: ChildSpec): ReloadMode => ('reload' in spec ? spec.reload.mode : 'restart');

/** The fields that are not the same. */
function differences(old: ChildSpec, next: ChildSpec): string[] {
	const names = new Set([...Object.keys(old), ...Object.keys(next)]);
	// How many sockets there are of an address was decided when it was bound: that is no change of its child.
	const value = (spec: ChildSpec, name: string) =>
		JSON.stringify((spec as unknown as Record<string, unknown>)[name], (key, field) => (key === 'slots' ? undefined : field));
	return [...names].filter((name) => !opaque.includes(name) && value(old, name) !== value(next, name));
}

/** How many of each. */
export function countChanges(children: readonly PlannedChange[]): Record<Change, number> {
	const counts: Record<Change, number> = { kept: 0, changed: 0, replaced: 0, added: 0, removed: 0 };
	for (const { change } of children) counts[change] += 1;
	return counts;
}
