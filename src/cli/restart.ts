/** `choir restart PATH`: one child, or all instances of one. */

import { request } from '../control/client.ts';
import { socketPath } from '../home.ts';
import { visible } from '../logs/visible.ts';
import { chooseRunning } from './choose.ts';
import { exitCodes } from './complaint.ts';
import { asDuration } from './duration.ts';
import { Progress } from './progress.ts';

interface Restarted {
	path: string;
	ok: boolean;
	pid?: number | null;
	incarnation?: number;
	/** Instances are restarted one after the other. */
	tookMs?: number;
	error?: string;
}

export async function restart(path: string, options: { tree?: string; timeout: number }): Promise<number> {
	const tree = await chooseRunning(options.tree);
	const startedAt = performance.now();
	const progress = new Progress(`restarting ${path}`);
	let results: Restarted[];
	try {
		results = [
			(await request(socketPath(tree.dir, 'control.sock'), 'restart', { path }, { timeoutMs: options.timeout })) as Restarted | Restarted[],
		].flat();
	} finally {
		progress.close();
	}
	const allTookMs = performance.now() - startedAt;
	for (const result of results) {
		if (result.ok) {
			const pid = result.pid ? `, pid ${result.pid}` : '';
			process.stdout.write(
				`${result.path} restarted: incarnation ${result.incarnation ?? '?'}${pid} in ${asDuration(result.tookMs ?? allTookMs)}\n`,
			);
		} else {
			process.stderr.write(`${result.path} was not restarted: ${visible(result.error ?? 'the tree did not say why')}\n`);
		}
	}
	return results.every(({ ok }) => ok) ? exitCodes.ok : exitCodes.failed;
}
