/**
 * A machine as Mermaid text. It walks the machine's own state nodes, because `xstate/graph` leaves `always` arrows out, and
 * writes what follows from the chart alone: the same text everywhere.
 */
import type { AnyStateMachine, AnyStateNode, AnyTransitionDefinition } from 'xstate';

/** States as nested boxes, arrows merged per source and target; what a state hears without leaving it is written inside it. */
export function mermaidOf(machine: AnyStateMachine): string {
	return new Drawing(machine).text();
}

/** An arrow as it is written beside a line: `drain [isKill]`, `after drainTimeout`, `always [isIdle]`. */
export function labelOf({ eventType, guard, source }: AnyTransitionDefinition): string {
	const name = guard === undefined ? '' : ` [${typeof guard === 'string' ? guard : (guard as { type: string }).type}]`;
	const timer = /^xstate\.after\.(.+)$/.exec(eventType)?.[1];
	if (timer !== undefined) return `after ${timer.slice(0, -`.${source.id}`.length)}${name}`;
	return `${eventType || 'always'}${name}`;
}

/** The arrows that begin at a node, those that happen by themselves first. */
export const arrowsOf = (node: AnyStateNode): AnyTransitionDefinition[] => [
	...(node.always ?? []),
	...[...node.transitions.values()].flat(),
];

/** A node and all within it, in the order of the chart. */
export const nodesOf = (node: AnyStateNode): AnyStateNode[] => [node, ...childrenOf(node).flatMap(nodesOf)];

const childrenOf = (node: AnyStateNode): AnyStateNode[] => Object.values(node.states);

class Drawing {
	readonly #machine: AnyStateMachine;
	readonly #names: ReadonlyMap<string, string>;
	/** Source and target → labels, in the order in which they are met. */
	readonly #edges = new Map<AnyStateNode, Map<AnyStateNode, Set<string>>>();
	/** What is written inside a state: what happens without leaving it. */
	readonly #lines: ReadonlyMap<AnyStateNode, string[]>;
	readonly #nodes: AnyStateNode[];

	constructor(machine: AnyStateMachine) {
		this.#machine = machine;
		this.#nodes = nodesOf(machine.root);
		const keys = this.#nodes.map(({ key }) => key);
		// Mermaid knows one name a box in the whole diagram.
		this.#names = new Map(
			this.#nodes.map(({ id, key, path }) => [id, keys.filter((other) => other === key).length === 1 ? key : path.join('_')]),
		);
		this.#lines = new Map(this.#nodes.map((node) => [node, momentsOf(node)]));
		for (const arrow of this.#nodes.flatMap(arrowsOf)) {
			if (arrow.target === undefined) this.#lines.get(arrow.source)?.push(stayOf(arrow));
			for (const target of arrow.target ?? []) for (const source of sourcesOf(arrow)) this.#draw(source, target, labelOf(arrow));
		}
	}

	text(): string {
		return ['stateDiagram-v2', ...this.#inside(this.#machine.root, '\t'), ''].join('\n');
	}

	#draw(source: AnyStateNode, target: AnyStateNode, label: string): void {
		// Mermaid leaves out what leads from a box to its own inside.
		if (childrenOf(source).length > 0 && `${target.id}.`.startsWith(`${source.id}.`)) {
			this.#lines.get(source)?.push(`${label} → ${target.key}`);
			return;
		}
		const targets = this.#edges.get(source) ?? new Map<AnyStateNode, Set<string>>();
		this.#edges.set(source, targets.set(target, (targets.get(target) ?? new Set()).add(label)));
	}

	#inside(parent: AnyStateNode, indent: string): string[] {
		const lines: string[] = [];
		const isRoot = parent === this.#machine.root;
		const { target: [initial] = [] } = parent.initial;
		if (initial !== undefined) lines.push(`${indent}[*] --> ${this.#name(initial)}`);
		const heard = this.#lines.get(parent) ?? [];
		if (heard.length > 0) {
			const box = isRoot ? 'anywhere' : `anywhere_in_${this.#name(parent)}`;
			lines.push(`${indent}state "anywhere in ${parent.key}" as ${box}`, ...heard.map((line) => `${indent}${box} : ${line}`));
		}
		for (const node of childrenOf(parent)) {
			// Without its name in quotes, the first line that is written inside would take its place.
			const name = this.#name(node);
			const head = `${indent}state "${node.key}" as ${name}`;
			if (childrenOf(node).length > 0) lines.push(`${head} {`, ...this.#inside(node, `${indent}\t`), `${indent}}`);
			else lines.push(head, ...(this.#lines.get(node) ?? []).map((line) => `${indent}${name} : ${line}`));
		}
		for (const source of this.#nodes)
			for (const [target, labels] of this.#edges.get(source) ?? [])
				if (this.#scopeOf(source, target) === parent)
					lines.push(`${indent}${this.#name(source)} --> ${this.#name(target)} : ${[...labels].join(', ')}`);
		for (const node of childrenOf(parent)) if (node.type === 'final') lines.push(`${indent}${this.#name(node)} --> [*]`);
		return lines;
	}

	/** Between siblings an arrow is written beside them. Named in any other box, one of its ends would move there. */
	#scopeOf(source: AnyStateNode, target: AnyStateNode): AnyStateNode {
		return source.parent !== undefined && source.parent === target.parent ? source.parent : this.#machine.root;
	}

	#name(node: AnyStateNode): string {
		return this.#names.get(node.id) as string;
	}
}

/** The machine itself is no box: its arrows begin at the outermost states, except where these answer the event themselves. */
function sourcesOf({ source, eventType }: AnyTransitionDefinition): AnyStateNode[] {
	return source.parent === undefined ? childrenOf(source).filter((node) => !answers(node, eventType)) : [source];
}

/** Whether an event never gets beyond this node, or finds it only on its way to another. */
function answers(node: AnyStateNode, eventType: string): boolean {
	const always = ({ guard }: AnyTransitionDefinition) => guard === undefined;
	if (node.type === 'final' || node.always?.some(always) || node.transitions.get(eventType)?.some(always)) return true;
	const children = childrenOf(node);
	return children.length > 0 && children.every((child) => answers(child, eventType));
}

/** What happens whenever a state is entered or left. */
function momentsOf({ entry, exit }: AnyStateNode): string[] {
	return Object.entries({ entry, exit }).flatMap(([moment, actions]) => {
		const names = namesOf(actions);
		return names === '' ? [] : [`${moment} / ${names}`];
	});
}

/** An arrow that leaves its state as it is. */
function stayOf(arrow: AnyTransitionDefinition): string {
	const names = namesOf(arrow.actions);
	return names === '' ? `${labelOf(arrow)} is ignored` : `${labelOf(arrow)} / ${names}`;
}

const namesOf = (actions: readonly unknown[]) =>
	actions
		.map(nameOf)
		.filter((name) => name !== null)
		.join(', ');

/** Null for what XState itself puts in for `after`. */
function nameOf(action: unknown): string | null {
	if (typeof action === 'string') return action;
	return typeof action === 'function' ? null : (action as { type: string }).type;
}
