/** `choir logs`: captured output, from the files; the tree need not run. */

import fs from 'node:fs';
import { childOfLogFile, logFile, logsDir } from '../home.ts';
import { Follower } from '../logs/follow.ts';
import { tail } from '../logs/tail.ts';
import { visible, visibleJson } from '../logs/visible.ts';
import { FolderWatch } from '../logs/watch.ts';
import { chooseFolder } from './choose.ts';
import { Complaint, exitCodes } from './complaint.ts';
import { terminalLines } from './lines.ts';

/** The roles' own output: shown when asked for by name. */
const ROLES = new Set(['angel', 'master']);

export interface LogsOptions {
	tree?: string;
	follow?: boolean;
	lines: number;
	json?: boolean;
	/** Also to a terminal as the child wrote it. */
	raw?: boolean;
}

export async function logs(childPath: string | undefined, options: LogsOptions): Promise<number> {
	const { id, dir } = await chooseFolder(options.tree);
	const known = childrenWithOutput(dir);
	const chosen = known.filter((child) => isMeant(child, childPath));
	if (chosen.length === 0 && childPath !== undefined && !options.follow) {
		throw new Complaint(`${id}: there is no output of '${childPath}'${known.length > 0 ? `; there is of ${known.join(', ')}` : ''}`);
	}
	// One child asked for by its name needs no prefix; with -f more may come.
	const alone = chosen.length === 1 && chosen[0] === childPath;
	const format = formatOf(options, alone);
	const followers = new Map<string, Follower>();
	for (const child of chosen) {
		const { lines, unfinished, next } = await tail(dir, child, options.lines);
		const shown = !options.follow && unfinished !== '' && options.lines > 0 ? [...lines, unfinished].slice(-options.lines) : lines;
		await write(shown.map((line) => format(child, line)).join(''));
		followers.set(child, new Follower(logFile(dir, child), { from: next }));
	}
	if (options.follow) await followAll(dir, childPath, followers, format);
	return exitCodes.ok;
}

/** Until it is interrupted. A chunk of each file in turn; files that come later from their start. */
async function followAll(
	dir: string,
	childPath: string | undefined,
	followers: Map<string, Follower>,
	format: (child: string, line: string) => string,
): Promise<never> {
	const watch = new FolderWatch(logsDir(dir));
	for (;;) {
		for (const child of childrenWithOutput(dir)) {
			if (isMeant(child, childPath) && !followers.has(child)) followers.set(child, new Follower(logFile(dir, child)));
		}
		let more = false;
		for (const [child, follower] of followers) {
			const batch = await follower.next();
			more ||= batch.more;
			if (batch.skippedBytes > 0)
				process.stderr.write(`${batch.skippedBytes} bytes of output of ${child} were rotated away before they could be read\n`);
			await write(batch.lines.map((line) => format(child, line)).join(''));
		}
		if (!more) await watch.wait();
	}
}

function formatOf({ json, raw }: LogsOptions, alone: boolean): (child: string, line: string) => string {
	if (json) return (child, msg) => visibleJson({ child, msg }) + '\n';
	const { isTTY } = process.stdout;
	// A file or another program gets what the child wrote.
	const asWritten = raw || !isTTY;
	if (alone) return (_, line) => `${asWritten ? line : visible(line)}\n`;
	return terminalLines({ colour: isTTY && !process.env.NO_COLOR, raw: asWritten }).output;
}

/** The child itself, an instance or a spare of it, or something below it. */
function isMeant(child: string, childPath: string | undefined): boolean {
	if (childPath === undefined) return !ROLES.has(child);
	return child === childPath || child.replace(/\.(standby-)?\d+$/, '') === childPath || child.startsWith(`${childPath}/`);
}

function childrenWithOutput(dir: string): string[] {
	try {
		return fs
			.readdirSync(logsDir(dir))
			.map(childOfLogFile)
			.filter((child) => child !== null)
			.sort();
	} catch {
		return [];
	}
}

function write(text: string): Promise<void> {
	return new Promise((resolve) => {
		if (text === '' || process.stdout.write(text)) resolve();
		else process.stdout.once('drain', resolve);
	});
}
