/** A tree as a plain structure: what a picture of it shows, in words. `choir diagram --format json` prints it. */

import type { ChildSpec, DynamicSpec, RestartType, Strategy, SupervisorSpec, TreeSpec } from '../../machines/spec.ts';
import { intensityText, listenText, readyText, whatText } from '../cli/outline.ts';

export interface DrawnTree {
	/** Its name. */
	tree: string;
	supervises: DrawnGroup;
}

export interface DrawnChild {
	/** Ids from the root, joined by `/`; of instances, the one that was declared. */
	path: string;
	id: string;
	kind: ChildSpec['kind'];
	/** How many like it there are, side by side. 1: it was declared alone. */
	instances: number;
	/** Its place in the start order of its siblings, from 1; instances have one place together. */
	order: number;
	/** The module, relative to the spec, or the command line. Null for supervisors, and for actors that are no machine. */
	runs: string | null;
	restart: RestartType;
	strategy: Strategy;
	/** Who goes down with it when it fails. */
	takesDown: TakesDown;
	/** What else is to be known: sockets, readiness. One sentence each. */
	remarks: string[];
	/** Null for what is no supervisor. */
	supervises: DrawnGroup | null;
}

export interface DrawnGroup {
	/** For those children that declare none of their own. */
	strategy: Strategy;
	/** When it is exceeded, this supervisor ends. */
	intensity: { restarts: number; withinMs: number };
	start: 'ordered' | 'parallel';
	/** Of a dynamic supervisor, whose children come at run time; else null. */
	maxChildren: number | null;
	/** In start order. */
	children: DrawnChild[];
}

export type TakesDown = 'nobody' | 'all its siblings' | 'those after it';

export const takesDown: Readonly<Record<Strategy, TakesDown>> = {
	one_for_one: 'nobody',
	one_for_all: 'all its siblings',
	rest_for_one: 'those after it',
};

/** Modules are shown relative to the spec's `folder`. `machines`: by declared path, the ids of the machines that actors are. */
export function drawnTree({ id, root }: TreeSpec, folder: string, machines: ReadonlyMap<string, string>): DrawnTree {
	const groupOf = (supervisor: SupervisorSpec, path: string): DrawnGroup => {
		const { strategy, intensity, start } = supervisor;
		const byId = new Map<string, ChildSpec[]>();
		for (const child of supervisor.children) {
			const like = byId.get(child.declaredId);
			if (like === undefined) byId.set(child.declaredId, [child]);
			else like.push(child);
		}
		const children = [...byId.values()].map(([first, ...others], index) =>
			childOf(first as ChildSpec, others.length + 1, index + 1, joinPath(path, (first as ChildSpec).declaredId)),
		);
		return { strategy, intensity, start, maxChildren: null, children };
	};
	const ofDynamic = ({ intensity, maxChildren, template }: DynamicSpec, path: string): DrawnGroup => {
		const { strategy } = template.restart;
		const child = childOf(template, 1, 1, joinPath(path, template.declaredId));
		const machine = machines.get(path);
		const children = [machine === undefined ? child : { ...child, runs: `machine ${machine}` }];
		return { strategy, intensity, start: 'parallel', maxChildren, children };
	};
	const childOf = (child: ChildSpec, instances: number, order: number, path: string): DrawnChild => {
		const { kind, declaredId, restart } = child;
		const machine = machines.get(path);
		const runs =
			kind === 'supervisor' || kind === 'dynamic' ? null : (whatText(child, folder)[0] ?? (machine && `machine ${machine}`) ?? null);
		const listens = kind === 'node' || kind === 'command' ? child.listen.map(listenText) : [];
		return {
			...{ path, id: declaredId, kind, instances, order, runs },
			...{ restart: restart.type, strategy: restart.strategy, takesDown: takesDown[restart.strategy] },
			remarks: [...listens, ...(kind === 'supervisor' || kind === 'dynamic' ? [] : [readyText(child.ready)])],
			supervises: kind === 'supervisor' ? groupOf(child, path) : kind === 'dynamic' ? ofDynamic(child, path) : null,
		};
	};
	return { tree: id, supervises: groupOf(root, '') };
}

/** What is said of a supervisor, a sentence a line. */
export function groupLines({ strategy, intensity, start, maxChildren, children }: DrawnGroup): string[] {
	const order =
		maxChildren !== null
			? `children come at run time, at most ${maxChildren}`
			: start === 'parallel'
				? 'they start side by side'
				: 'they start in order';
	return [`${strategy}, ${intensityText(intensity)}`, ...(children.length > 1 || maxChildren !== null ? [order] : [])];
}

/** What the strategy of a supervisor means for its children; null where it means nothing. */
export function fateOf({ strategy, maxChildren, children }: DrawnGroup): string | null {
	const shared = maxChildren === null && (children.length > 1 || children.some(({ instances }) => instances > 1));
	if (!shared || !children.some((child) => child.strategy === strategy)) return null;
	if (strategy === 'one_for_all') return 'one goes down: all go down';
	return strategy === 'rest_for_one' ? 'one goes down: those after it go down' : null;
}

/** What is said of a child that does not supervise, or of a supervisor as a child. */
export function childLines({ kind, restart, runs, remarks }: DrawnChild): string[] {
	return [...(runs === null ? [kind] : [`${kind}: ${runs}`]), restart, ...remarks];
}

/** Of a child whose strategy is not its supervisor's. */
export function ownFate({ strategy, takesDown }: DrawnChild, above: DrawnGroup): string | null {
	return strategy === above.strategy || above.maxChildren !== null ? null : `${strategy}: it takes ${takesDown} down`;
}

export const nameOfChild = ({ id, instances }: DrawnChild): string => (instances > 1 ? `${id} × ${instances}` : id);

const joinPath = (path: string, id: string) => (path === '' ? id : `${path}/${id}`);
