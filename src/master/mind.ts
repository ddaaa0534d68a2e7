/**
 * What the supervisors have in mind, as the journal holds it: an entry for each, and one for each child. It is written after a step and
 * before anything of it is done, and only what the step has changed.
 */
import type { DynamicContext } from '../../machines/dynamic.ts';
import type { MasterContext } from '../../machines/master.ts';
import type { Death } from '../../machines/operations.ts';
import { type SavedChild, type SavedSupervisor, savedChild } from '../../machines/reconcile.ts';
import { stampsOf } from '../../machines/restart.ts';
import type { SupervisorSpec } from '../../machines/spec.ts';
import type { Asked } from '../kernel/chart.ts';
import type { Kernel } from '../kernel/kernel.ts';
import { joinPath, pathOf, supervisorId } from './paths.ts';

export const childKey = (path: string) => `child:${path}`;
export const supervisorKey = (path: string) => `supervisor:${path}`;
const RESTART_DUE = /^restart\.due\.(\d+)$/;

/** What it needs of the tree. */
export interface Minded {
	kernel: Kernel;
	incarnationOf(path: string): number;
	/** What is declared for a supervisor; undefined: there is none of that path, or it is dynamic. */
	supervisorOf(path: string): SupervisorSpec | undefined;
}

export class Mind {
	readonly #tree: Minded;
	/** What each supervisor had in mind when it was last written down, and until when its operations wait. */
	readonly #written = new Map<string, MasterContext>();
	readonly #due = new Map<string, Map<number, number>>();

	constructor(tree: Minded) {
		this.#tree = tree;
	}

	/** All of one supervisor; nothing if it has no machine. */
	of({ path, children: declared }: SupervisorSpec): Record<string, unknown> {
		const { kernel } = this.#tree;
		const context = kernel.context(supervisorId(path)) as MasterContext | undefined;
		if (context === undefined) return {};
		const due = kernel.timers(supervisorId(path)).flatMap(({ name, at }): Array<[number, number]> => {
			const waiting = RESTART_DUE.exec(name);
			return waiting === null ? [] : [[Number(waiting[1]), at]];
		});
		const set: Record<string, unknown> = { [supervisorKey(path)]: this.#saved(path, context, due) };
		for (const child of context.children.values()) set[childKey(joinPath(path, child.id))] = savedChild(child);
		for (const { id, path: child } of declared) if (!context.children.has(id)) set[childKey(child)] = { deleted: true };
		return set;
	}

	/** What a step has changed in the mind of a supervisor. `machine`: anybody's. */
	changed(machine: string, asked: readonly Asked[]): Record<string, unknown> {
		if (!machine.startsWith('master:')) return {};
		const { kernel } = this.#tree;
		const context = kernel.context(machine) as MasterContext | DynamicContext;
		if ('members' in context) return {};
		const path = pathOf(machine);
		const due = this.#due.get(path) ?? new Map<number, number>();
		for (const { type, params } of asked) {
			const { id, delay } = (params ?? {}) as { id?: string; delay?: number };
			const waiting = type === 'xstate.raise' && delay !== undefined ? RESTART_DUE.exec(id ?? '') : null;
			if (waiting !== null) this.#due.set(path, due.set(Number(waiting[1]), kernel.clock.now() + (delay as number)));
		}
		const before = this.#written.get(path);
		this.#written.set(path, context);
		const set: Record<string, unknown> = {};
		const { log, operations, end, mode, mail, children } = context;
		if (before?.log !== log || before.operations !== operations || before.end !== end || before.mode !== mode || before.mail !== mail) {
			const waiting = operations.filter(({ phase }) => phase === 'waiting').map(({ id }) => id);
			for (const id of due.keys()) if (!waiting.includes(id)) due.delete(id);
			set[supervisorKey(path)] = this.#saved(path, context, [...due]);
		}
		const differing = before === undefined ? children.keys() : children.differing(before.children);
		for (const id of differing) {
			const child = children.get(id);
			set[childKey(joinPath(path, id))] = child === undefined ? this.#tombstone(path, id) : savedChild(child);
		}
		return set;
	}

	#saved(path: string, context: MasterContext, due: Array<[number, number]>): SavedSupervisor {
		const { log, operations, nextOperation, end, mode } = context;
		const mail = context.mail.filter((each): each is Death => !('do' in each));
		const incarnation = this.#tree.incarnationOf(path);
		return { incarnation, log: stampsOf(log), operations: [...operations], nextOperation, due, mail, end, mode };
	}

	/** What is declared comes back when its supervisor starts again, unless it is remembered that it shall not. */
	#tombstone(path: string, id: string): SavedChild | null {
		const declared = this.#tree.supervisorOf(path)?.children.some((child) => child.id === id);
		return declared ? { deleted: true } : null;
	}
}
