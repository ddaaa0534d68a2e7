/** `choir stop`: asks the angel, and waits until it is gone; its end is the end of all that was below it. */

import { request } from '../control/client.ts';
import { angelLives, socketPath } from '../home.ts';
import { chooseRunning, findRunning } from './choose.ts';
import { Complaint, exitCodes } from './complaint.ts';
import { asDuration } from './duration.ts';
import { findOrphans, stopOrphans } from './orphans.ts';
import { Progress } from './progress.ts';

const LOOK_EVERY_MS = 20;

export interface StopOptions {
	fast?: boolean;
	kill?: boolean;
	/** 0: as long as it takes; the tree has its own limit. */
	timeout: number;
}

export async function stop(word: string | undefined, { fast, kill, timeout }: StopOptions): Promise<number> {
	const mode = kill ? 'kill' : fast ? 'fast' : 'drain';
	const startedAt = performance.now();
	const orphans = (await findRunning(word)) === null ? await findOrphans(word) : null;
	if (orphans !== null) {
		await stopOrphans(orphans, mode);
		process.stdout.write(`${orphans.id} stopped in ${asDuration(performance.now() - startedAt)}, without its angel, which was killed\n`);
		return exitCodes.ok;
	}
	const tree = await chooseRunning(word);
	const progress = new Progress(`stopping ${tree.id}`);
	try {
		await request(socketPath(tree.dir, 'angel.sock'), 'stop', { mode }).catch((error: Error) => {
			// It may have ended in this very moment, which is what was wanted.
			if (angelLives(tree.angel))
				throw new Complaint(`${tree.id} could not be asked to stop: ${error.message}; its angel is pid ${tree.angel.pid}`);
		});
		while (angelLives(tree.angel)) {
			if (timeout > 0 && performance.now() - startedAt > timeout) {
				throw new Complaint(
					`${tree.id} is still stopping after ${asDuration(timeout)}: ask \`choir status\`, or use \`choir stop --fast\` or \`--kill\``,
				);
			}
			await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
		}
	} finally {
		progress.close();
	}
	process.stdout.write(`${tree.id} stopped in ${asDuration(performance.now() - startedAt)}\n`);
	return exitCodes.ok;
}
