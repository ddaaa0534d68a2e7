/** Asking a tree for an operation: under an id of its own, so that a master that dies meanwhile is no reason to ask twice. */

import { nanoid } from 'nanoid';
import { request } from '../control/client.ts';
import { ControlError } from '../control/protocol.ts';
import { angelLives, type RunningTree, readAngelPid, socketPath } from '../home.ts';
import { Complaint } from './complaint.ts';

/** Between two tries while a master comes. */
const AGAIN_MS = 50;
/** How long there may be no angel: while one hands over to the next. */
const ALONE_MS = 1_000;

/**
 * Asks until there is an answer, over the deaths of masters, or until the deadline (0: none). The angel holds the socket: what is asked
 * between two masters waits for the next one.
 */
export async function operate(tree: RunningTree, name: string, params: Record<string, unknown>, timeoutMs: number): Promise<unknown> {
	const operation = nanoid();
	const deadline = timeoutMs === 0 ? Number.POSITIVE_INFINITY : performance.now() + timeoutMs;
	let aloneSince: number | null = null;
	for (;;) {
		const left = deadline - performance.now();
		try {
			const limit = left === Number.POSITIVE_INFINITY ? 0 : Math.max(1, left);
			return await request(socketPath(tree.dir, 'control.sock'), name, { ...params, operation }, { timeoutMs: limit });
		} catch (error) {
			const code = error instanceof ControlError ? error.code : null;
			if (code !== 'NO_ANSWER' && code !== 'NOT_RUNNING') throw error;
			const angel = readAngelPid(tree.dir);
			// It may be another one: after an upgrade, or when the tree was taken over.
			if (angel !== null && angelLives(angel)) aloneSince = null;
			else aloneSince ??= performance.now();
			if (aloneSince !== null && performance.now() - aloneSince > ALONE_MS)
				throw new Complaint(`${tree.id} has ended before the ${name} was over`);
			if (performance.now() + AGAIN_MS > deadline)
				throw new Complaint(`the ${name} is not over yet, and goes on: \`choir operations ${tree.id}\` tells how it ends`);
			await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
		}
	}
}
