/**
 * A machine as a plain structure: what a picture of it shows, and nothing else. It is read from the machine's own state nodes,
 * because `xstate/graph` leaves `always` arrows out, and follows from the chart alone: the same everywhere. It may be sent as JSON.
 */
import type { AnyStateMachine, AnyStateNode, AnyTransitionDefinition } from 'xstate';

export interface Chart {
	/** Of the machine. */
	id: string;
	/** The machine itself: it is no state, but has some, and may hear things in all of them. */
	root: ChartState;
	/** At most one from one state to another, in the order of the states in which they begin. */
	edges: ChartEdge[];
}

export interface ChartState {
	/** Keys from the root, joined by dots: `running.healthy`; `''` for the root. */
	name: string;
	key: string;
	kind: 'atomic' | 'compound' | 'parallel' | 'final' | 'history';
	/** The name of the state that is entered first; null where there is none. */
	initial: string | null;
	/** What happens in it without leaving it. */
	lines: ChartLine[];
	states: ChartState[];
}

/** `entry / launch`, `drain is ignored`, `drain [isKill] → killing`: the last for an arrow from a box to its own inside. */
export interface ChartLine {
	text: string;
	/** The label of the arrow; null for what is done on the way in or out. */
	label: string | null;
	/** Where it leads, if it leads anywhere. */
	to: string | null;
}

export interface ChartEdge {
	from: string;
	to: string;
	labels: string[];
}

export function chartOf(machine: AnyStateMachine): Chart {
	const nodes = nodesOf(machine.root);
	const lines = new Map(nodes.map((node) => [node, momentsOf(node)]));
	const edges = new Map<string, ChartEdge>();
	const draw = (source: AnyStateNode, target: AnyStateNode, label: string): void => {
		// Nothing can be drawn from a box to its own inside, or to what is all around.
		if (target === machine.root || (childrenOf(source).length > 0 && isWithin(target, source))) {
			lines.get(source)?.push({ text: `${label} → ${target.key}`, label, to: nameOf(target) });
			return;
		}
		const [from, to] = [nameOf(source), nameOf(target)];
		const between = JSON.stringify([from, to]);
		const edge = edges.get(between) ?? { from, to, labels: [] };
		if (!edge.labels.includes(label)) edge.labels.push(label);
		edges.set(between, edge);
	};
	for (const arrow of nodes.flatMap(arrowsOf)) {
		const label = labelOf(arrow);
		if (arrow.target === undefined) lines.get(arrow.source)?.push({ text: stayOf(arrow), label, to: null });
		for (const target of arrow.target ?? []) for (const source of sourcesOf(arrow)) draw(source, target, label);
	}
	const stateOf = (node: AnyStateNode): ChartState => ({
		name: nameOf(node),
		key: node.key,
		kind: node.type,
		initial: firstOf(node),
		lines: lines.get(node) ?? [],
		states: childrenOf(node).map(stateOf),
	});
	const order = new Map(nodes.map((node, index) => [nameOf(node), index]));
	const inOrder = [...edges.values()].sort((a, b) => (order.get(a.from) as number) - (order.get(b.from) as number));
	return { id: machine.id, root: stateOf(machine.root), edges: inOrder };
}

/** A state and all within it, in the order of the chart. */
export const statesOf = (state: ChartState): ChartState[] => [state, ...state.states.flatMap(statesOf)];

/** An arrow as it is written beside a line: `drain [isKill]`, `after drainTimeout`, `always [isIdle]`. */
export function labelOf({ eventType, guard, source }: AnyTransitionDefinition): string {
	const name = guard === undefined ? '' : ` [${wordOf(guard)}]`;
	return `${eventOf(eventType, source)}${name}`;
}

/** What XState puts in by itself, in words. */
function eventOf(eventType: string, { id }: AnyStateNode): string {
	const timer = /^xstate\.after\.([\s\S]+)$/.exec(eventType)?.[1];
	if (timer !== undefined) {
		const delay = timer.slice(0, -`.${id}`.length);
		return `after ${/^\d+$/.test(delay) ? `${delay} ms` : delay}`;
	}
	if (eventType.startsWith('xstate.done.state.')) return 'done';
	const [, what, actor] = /^xstate\.(done|error|snapshot)\.actor\.([\s\S]+)$/.exec(eventType) ?? [];
	if (what !== undefined && actor !== undefined) return actor.endsWith(`.${id}`) ? `${what} of what it invokes` : `${what} of ${actor}`;
	return eventType === '' ? 'always' : eventType;
}

/** The arrows that begin at a node, those that happen by themselves first. */
export const arrowsOf = (node: AnyStateNode): AnyTransitionDefinition[] => [
	...(node.always ?? []),
	...[...node.transitions.values()].flat(),
];

/** A node and all within it, in the order of the chart. */
export const nodesOf = (node: AnyStateNode): AnyStateNode[] => [node, ...childrenOf(node).flatMap(nodesOf)];

const childrenOf = (node: AnyStateNode): AnyStateNode[] => Object.values(node.states);
const nameOf = ({ path }: AnyStateNode): string => path.join('.');
const isWithin = (node: AnyStateNode, around: AnyStateNode): boolean =>
	node === around || (node.parent !== undefined && isWithin(node.parent, around));

function firstOf(node: AnyStateNode): string | null {
	const target = node.type === 'compound' ? node.initial?.target?.[0] : undefined;
	return target === undefined ? null : nameOf(target);
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

/** What happens whenever a state is entered or left, and what it has running. */
function momentsOf({ entry, exit, invoke }: AnyStateNode): ChartLine[] {
	const running = invoke.map(({ src }) => (typeof src === 'string' && !src.startsWith('xstate.invoke.') ? src : 'an actor'));
	return Object.entries({ entry: wordsOf(entry), exit: wordsOf(exit), invoke: running.join(', ') }).flatMap(([moment, words]) =>
		words === '' ? [] : [{ text: `${moment} / ${words}`, label: null, to: null }],
	);
}

/** An arrow that leaves its state as it is. */
function stayOf(arrow: AnyTransitionDefinition): string {
	const words = wordsOf(arrow.actions);
	return words === '' ? `${labelOf(arrow)} is ignored` : `${labelOf(arrow)} / ${words}`;
}

const wordsOf = (actions: readonly unknown[]) =>
	actions
		.filter((action) => !isOfTimer(action))
		.map(wordOf)
		.join(', ');

/** What a guard or an action is called. One that was written in place has the name of its function, or of XState's maker of it. */
function wordOf(named: unknown): string {
	if (typeof named === 'string') return named;
	const { type, name } = named as { type?: unknown; name?: unknown };
	if (typeof named !== 'function') return String(type);
	if (typeof type === 'string') return type.replace(/^xstate\./, '');
	return typeof name === 'string' && name !== '' && !/^(guard|actions|entry|exit)$/.test(name) ? name : '…';
}

/** What XState itself puts in for `after`. */
function isOfTimer(action: unknown): boolean {
	if (typeof action !== 'function') return false;
	const { event, sendId } = action as { event?: { type?: unknown } | undefined; sendId?: unknown };
	return [event?.type, sendId].some((id) => typeof id === 'string' && id.startsWith('xstate.after.'));
}
