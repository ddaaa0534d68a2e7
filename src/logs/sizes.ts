/** How long the output files of a tree are now: where somebody who follows them from now on has to begin. */

import fs from 'node:fs';
import path from 'node:path';
import { childOfLogFile, eventsFile, logsDir } from '../home.ts';
import { statOf } from './open.ts';

/** Name → size, of `events.jsonl` and of the output files. No archives: they are not followed. */
export function followedSizes(dir: string): Record<string, number> {
	const sizes: Record<string, number> = {};
	for (const file of followedFiles(dir)) {
		const stat = statOf(file);
		if (stat !== undefined) sizes[path.basename(file)] = stat.size;
	}
	return sizes;
}

/** The paths of `events.jsonl` and of `logs/*.log`. */
export function followedFiles(dir: string): string[] {
	let names: string[] = [];
	try {
		names = fs.readdirSync(logsDir(dir)).filter((name) => childOfLogFile(name) !== null);
	} catch {
		// No output yet.
	}
	return [eventsFile(dir), ...names.sort().map((name) => path.join(logsDir(dir), name))];
}
