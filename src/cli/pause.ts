/** `choir pause [PATH]` and `choir resume [PATH]`. */

import { visible } from '../logs/visible.ts';
import type { Done } from '../master/operator.ts';
import { chooseRunning } from './choose.ts';
import { exitCodes } from './complaint.ts';
import { asDuration } from './duration.ts';
import { operate } from './operate.ts';
import { Progress } from './progress.ts';

export async function pause(
	what: 'pause' | 'resume',
	path: string | undefined,
	options: { tree?: string; timeout: number; json?: boolean },
): Promise<number> {
	const tree = await chooseRunning(options.tree);
	const progress = new Progress(`${what === 'pause' ? 'pausing' : 'resuming'} ${path ?? tree.id}`);
	let done: Done;
	try {
		done = (await operate(tree, what, { path: path ?? '' }, options.timeout)) as Done;
	} finally {
		progress.close();
	}
	const { ok, message, paths, tookMs } = done;
	if (options.json) process.stdout.write(`${JSON.stringify(done)}\n`);
	else if (ok) process.stdout.write(`${message}${paths.length > 0 ? ` in ${asDuration(tookMs)}` : ''}\n`);
	else process.stderr.write(`${visible(message)}\n`);
	return ok ? exitCodes.ok : exitCodes.failed;
}
