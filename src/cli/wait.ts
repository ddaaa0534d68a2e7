/** `choir wait`: until the tree, or one child of it, is in a state. */

import { findRunning } from './choose.ts';
import { Complaint, exitCodes } from './complaint.ts';
import { asDuration } from './duration.ts';
import { askStatus, type ChildStatus, describeState, flatten, missingForRunning, type TreeStatus } from './facts.ts';
import { Progress } from './progress.ts';

const LOOK_EVERY_MS = 50;
const CHILD_STATES = new Set(['starting', 'running', 'draining', 'dead']);

/** The tree with all its children, or one child (`web`: all its instances). */
interface Wanted {
	path: string | null;
	state: string;
}

export async function wait(word: string | undefined, options: { for: string; timeout: number }): Promise<number> {
	const wanted = parseWanted(options.for);
	const deadline = options.timeout === 0 ? Number.POSITIVE_INFINITY : performance.now() + options.timeout;
	const progress = new Progress(`waiting for ${options.for}`);
	try {
		for (;;) {
			const missing = await look(word, wanted);
			if (missing.length === 0) return exitCodes.ok;
			if (performance.now() >= deadline) {
				throw new Complaint([`not ${options.for} within ${asDuration(options.timeout)}:`, ...missing.map((line) => `  ${line}`)]);
			}
			await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
		}
	} finally {
		progress.close();
	}
}

function parseWanted(text: string): Wanted {
	const at = text.lastIndexOf('=');
	if (at > 0 && CHILD_STATES.has(text.slice(at + 1))) return { path: text.slice(0, at), state: text.slice(at + 1) };
	if (text === 'running' || text === 'dead') return { path: null, state: text };
	// Running is: each child was ready.
	if (text === 'ready') return { path: null, state: 'running' };
	throw new Complaint(`--for: expected running, ready, dead or PATH=STATE such as web.1=running, got '${text}'`, exitCodes.usage);
}

/** What is missing, a sentence each. */
async function look(word: string | undefined, { path, state }: Wanted): Promise<string[]> {
	const tree = await findRunning(word);
	if (tree === null) return state === 'dead' ? [] : [`no tree${word === undefined ? '' : ` '${word}'`} is running`];
	let facts: TreeStatus;
	try {
		facts = await askStatus(tree.dir);
	} catch (error) {
		return [`${tree.id} (angel ${tree.angel.pid}) does not answer: ${(error as Error).message}`];
	}
	if (path !== null) return missingOf(facts, path, state);
	return state === 'dead' ? [`${facts.tree} is ${facts.state} (angel ${tree.angel.pid})`] : missingForRunning(facts);
}

function missingOf(facts: TreeStatus, path: string, state: string): string[] {
	const children = matching(flatten(facts.children), path);
	if (children.length === 0) return [`${facts.tree} shows no child '${path}'`];
	return children.filter((child) => child.state !== state).map(describeState);
}

/** The child with this path, else the instances of the child with this path. */
function matching(children: ChildStatus[], path: string): ChildStatus[] {
	const exact = children.filter((child) => child.path === path);
	return exact.length > 0 ? exact : children.filter((child) => child.path.replace(/\.\d+$/, '') === path);
}
