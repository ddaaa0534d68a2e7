/** What a running tree says of itself: the answer to `status`, and what the commands read from it. */

import { request } from '../control/client.ts';
import { ControlError } from '../control/protocol.ts';
import { socketPath } from '../home.ts';
import type { ReloadStatus } from '../master/reloads.ts';

/** The JSON of `choir status --json`. Fields that only some kinds of children have are optional. */
export interface TreeStatus {
	tree: string;
	state: string;
	generation?: number;
	/** Of a reload that goes on, or has failed. */
	reload?: ReloadStatus | null;
	since?: string;
	angel: { pid: number | null; state: string };
	master: { pid: number | null; state: string; incarnation?: number; epoch?: number };
	children: ChildStatus[];
}

export interface ChildStatus {
	path: string;
	id: string;
	kind: string;
	state: string;
	substate?: string | null;
	strategy?: string;
	pid?: number | null;
	incarnation?: number;
	generation?: number;
	restarts?: number;
	since?: string | null;
	lastExit?: { reason: string; code: number | null; signal: string | null; at?: unknown; maxRssBytes?: number | null } | null;
	memoryBytes?: number | null;
	cpuPercent?: number | null;
	/** Of its output: what rotation has dropped so far. */
	droppedOutputBytes?: number;
	accept?: 'shared' | 'slots' | 'token' | null;
	/** Spares of its group of instances; null: it is to have none. */
	standby?: { wanted: number; loaded: number } | null;
	/** Why it is down for good: gaveUp, fatal, finished, stopped or paused. */
	standing?: string | null;
	/** Stopped until it is resumed. */
	paused?: boolean;
	/** One sentence on that. */
	note?: string | null;
	children?: ChildStatus[];
}

const STATUS_TIMEOUT_MS = 2_000;
/** Standings in which nothing is wrong though the child does not run. */
const AT_REST = new Set(['finished', 'stopped', 'paused']);

/** Asks the master; while there is none, or it does not answer, the angel. */
export async function askStatus(dir: string): Promise<TreeStatus> {
	try {
		return (await request(socketPath(dir, 'control.sock'), 'status', {}, { timeoutMs: STATUS_TIMEOUT_MS })) as TreeStatus;
	} catch (error) {
		if (!(error instanceof ControlError)) throw error;
		return (await request(socketPath(dir, 'angel.sock'), 'status', {}, { timeoutMs: STATUS_TIMEOUT_MS })) as TreeStatus;
	}
}

/** All children, a supervisor before its own. */
export function flatten(children: ChildStatus[]): ChildStatus[] {
	return children.flatMap((child) => [child, ...flatten(child.children ?? [])]);
}

/** All that ought to run: nothing below what is at rest. */
function expected(children: ChildStatus[]): ChildStatus[] {
	return children.filter(({ standing }) => !AT_REST.has(standing ?? '')).flatMap((child) => [child, ...expected(child.children ?? [])]);
}

/** `web.1 is starting (launching)`, and the note of a child that is down for good. */
export function describeState({ path, state, substate, note }: ChildStatus): string {
	if (note) return note;
	return `${path} is ${state}${substate ? ` (${substate})` : ''}`;
}

/** What keeps a tree from running, a sentence each; empty when it runs. */
export function missingForRunning(status: TreeStatus): string[] {
	const children = expected(status.children)
		.filter(({ kind, state }) => kind !== 'supervisor' && state !== 'running')
		.map(describeState);
	if (children.length > 0) return children;
	return status.state === 'running' ? [] : [`${status.tree} is ${status.state}`];
}
