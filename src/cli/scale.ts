/** `choir scale PATH N`: more instances of a child, or fewer. */

import { chooseRunning } from './choose.ts';
import { exitCodes } from './complaint.ts';
import { asDuration } from './duration.ts';
import { operate } from './operate.ts';
import { Progress } from './progress.ts';

interface Scaled {
	path: string;
	from: number;
	to: number;
	started: string[];
	stopped: string[];
	tookMs: number;
}

export async function scale(path: string, count: number, options: { tree?: string; timeout: number; json?: boolean }): Promise<number> {
	const tree = await chooseRunning(options.tree);
	const progress = new Progress(`scaling ${path} to ${count}`);
	try {
		const scaled = (await operate(tree, 'scale', { path, count }, options.timeout)) as Scaled;
		progress.close();
		process.stdout.write(options.json ? `${JSON.stringify(scaled)}\n` : sentence(scaled));
		return exitCodes.ok;
	} finally {
		progress.close();
	}
}

function sentence({ path, from, to, started, stopped, tookMs }: Scaled): string {
	if (from === to) return `${path} has ${to} ${to === 1 ? 'instance' : 'instances'} already\n`;
	const what = [started.length > 0 ? `started ${started.join(', ')}` : '', stopped.length > 0 ? `stopped ${stopped.join(', ')}` : ''];
	return `${path} scaled from ${from} to ${to}: ${what.filter((part) => part !== '').join('; ')} in ${asDuration(tookMs)}\n`;
}
