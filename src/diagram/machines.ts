/** The machines of a user's own tree, as they can be sent from the process in which the spec was loaded. */
import type { AnyStateMachine } from 'xstate';
import type { ChildSpec, TreeSpec } from '../../machines/spec.ts';
import { type Chart, chartOf } from './chart.ts';

export interface DrawnMachine {
	/** Of the actor, as declared: without the number of an instance. Of the children of a dynamic supervisor, that supervisor's. */
	path: string;
	chart: Chart;
	/** Its config as JSON; null where JSON cannot say it. */
	config: string | null;
}

/** Of every actor that is a machine, once each. */
export function machinesOf({ root }: TreeSpec): DrawnMachine[] {
	const found = new Map<string, DrawnMachine>();
	const walk = (child: ChildSpec, above: string): void => {
		const path = above === '' ? child.declaredId : `${above}/${child.declaredId}`;
		if (child.kind === 'supervisor') for (const inner of child.children) walk(inner, path);
		const work = child.kind === 'dynamic' ? child.template : child;
		if (work.kind !== 'actor' || found.has(path)) return;
		const machine = machineOf(work.logic);
		if (machine !== null) found.set(path, { path, chart: chartOf(machine), config: configOf(machine) });
	};
	walk(root, '');
	return [...found.values()];
}

/** By its looks: the spec may have an XState of its own. */
function machineOf(logic: unknown): AnyStateMachine | null {
	try {
		const made: unknown = typeof logic === 'function' ? logic() : logic;
		const machine = made as Partial<AnyStateMachine> | null;
		return typeof machine?.id === 'string' && typeof machine.root?.states === 'object' ? (machine as AnyStateMachine) : null;
	} catch {
		// It is asked at each start, and may refuse: then there is nothing to draw now.
		return null;
	}
}

/** For viewers that know only xstate. What is code has the name of its function, where a name can stand. */
export function configOf({ config }: AnyStateMachine): string | null {
	try {
		const text = JSON.stringify(
			config,
			(key, value: unknown) => {
				if (typeof value !== 'function') return value;
				if (/^(?:context|input|output|params)$/.test(key)) return undefined;
				const { type, name } = value as { type?: unknown; name: string };
				return typeof type === 'string' ? type.replace(/^xstate\./, '') : name || 'inline';
			},
			'\t',
		);
		return `${text}\n`;
	} catch {
		return null;
	}
}
