/** `choir restart PATH`: one child, or all instances of one. */

import { visible } from '../logs/visible.ts';
import type { Restarted } from '../master/operator.ts';
import { chooseRunning } from './choose.ts';
import { exitCodes } from './complaint.ts';
import { asDuration } from './duration.ts';
import { operate } from './operate.ts';
import { Progress } from './progress.ts';

export async function restart(path: string, options: { tree?: string; timeout: number }): Promise<number> {
	const tree = await chooseRunning(options.tree);
	const progress = new Progress(`restarting ${path}`);
	let results: Restarted[];
	try {
		results = (await operate(tree, 'restart', { path }, options.timeout)) as Restarted[];
	} finally {
		progress.close();
	}
	for (const { path: each, ok, pid, incarnation, tookMs, error } of results) {
		const who = pid ? `, pid ${pid}` : '';
		if (ok) process.stdout.write(`${each} restarted: incarnation ${incarnation}${who} in ${asDuration(tookMs)}\n`);
		else process.stderr.write(`${each} was not restarted: ${visible(error ?? 'the tree did not say why')}\n`);
	}
	return results.every(({ ok }) => ok) ? exitCodes.ok : exitCodes.failed;
}
