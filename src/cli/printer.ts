/**
 * The process that prints for `choir run`: `node printer.js <tree folder>`, with the offsets at which to begin in
 * CHOIR_PRINT_FROM, as JSON of what `followedSizes` gave. Files that come later are printed from their start.
 *
 * It follows the output files and choir's own events, so that a terminal that stands still or a slow reader delays this process and nobody else.
 * It runs until its stdin ends, which is a pipe from the angel; then it prints what the files hold and goes.
 */

import path from 'node:path';
import { childOfLogFile, eventsFile, logsDir } from '../home.ts';
import { Follower } from '../logs/follow.ts';
import { statOf } from '../logs/open.ts';
import { followedFiles } from '../logs/sizes.ts';
import { FolderWatch } from '../logs/watch.ts';
import { jsonLines, type LineFormat, parseEvent, terminalLines } from './lines.ts';

/** The watches say when to look; this is only the net below them, and with many children each look costs. */
const POLL_MS = 1_000;
/** For what is left when the tree has ended and nobody reads. */
const REST_TIMEOUT_MS = 5_000;

const dir = process.argv[2];
if (dir === undefined) {
	process.stderr.write('printer: expected the folder of a tree\n');
	process.exit(64);
}
// The angel answers these and ends our stdin when the last line is written; until then there is something to print.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGQUIT', 'SIGHUP'] as const) process.on(signal, () => {});
// The reader has gone. The tree runs on; it is the angel's to know.
process.stdout.on('error', () => process.exit(0));

await printTree(dir, JSON.parse(process.env.CHOIR_PRINT_FROM || '{}') as Record<string, number>);
process.exit(0);

interface Source {
	file: string;
	/** Null for choir's own events. */
	child: string | null;
	follower: Follower;
}

async function printTree(treeFolder: string, from: Record<string, number>): Promise<void> {
	const format = process.stdout.isTTY ? terminalLines({ colour: !process.env.NO_COLOR }) : jsonLines();
	const sources = new Map<string, Source>();
	// The folder of the tree shows changes of the events, the one of the output all others.
	const watches = [new FolderWatch(treeFolder, POLL_MS), new FolderWatch(logsDir(treeFolder), POLL_MS)];
	let ending = false;
	const end = (): void => {
		if (ending) return;
		ending = true;
		setTimeout(() => process.exit(0), REST_TIMEOUT_MS);
		for (const watch of watches) watch.wake();
	};
	process.stdin.on('end', end).on('close', end).on('error', end).resume();

	while (!ending) {
		findSources(treeFolder, from, sources);
		await printRound(sources, format, () => ending);
		if (!ending) await Promise.race(watches.map((watch) => watch.wait()));
	}
	findSources(treeFolder, from, sources);
	await printRest(sources, format);
}

function findSources(treeFolder: string, from: Record<string, number>, sources: Map<string, Source>): void {
	for (const file of followedFiles(treeFolder)) {
		if (sources.has(file)) continue;
		const child = file === eventsFile(treeFolder) ? null : childOfLogFile(path.basename(file));
		sources.set(file, { file, child, follower: new Follower(file, { from: from[path.basename(file)] ?? 0 }) });
	}
}

/** Until no file has more: a chunk of each in turn, so that a loud child does not silence the others. */
async function printRound(sources: Map<string, Source>, format: LineFormat, enough: () => boolean): Promise<void> {
	let loud = [...sources.values()];
	while (loud.length > 0 && !enough()) {
		const stillLoud: Source[] = [];
		for (const source of loud) if (await printChunk(source, format)) stillLoud.push(source);
		loud = stillLoud;
	}
}

/** Up to the sizes of this moment: a file that somebody still writes to shall not keep this process. */
async function printRest(sources: Map<string, Source>, format: LineFormat): Promise<void> {
	for (const source of sources.values()) {
		const size = statOf(source.file)?.size ?? 0;
		while ((await printChunk(source, format)) && source.follower.offset < size);
		const unfinished = source.follower.takeUnfinished();
		if (unfinished !== null) await write(asText(source, unfinished, format));
		await source.follower.close();
	}
}

async function printChunk(source: Source, format: LineFormat): Promise<boolean> {
	const { child, follower } = source;
	const batch = await follower.next();
	let text = '';
	if (batch.skippedBytes > 0) {
		const message = `${batch.skippedBytes} bytes of output of ${child ?? 'choir'} were rotated away before they could be printed`;
		text += format.event({ level: 'warn', event: 'output.skipped', message, ...(child === null ? {} : { path: child }) });
	}
	for (const line of batch.lines) text += asText(source, line, format);
	if (text !== '') await write(text);
	return batch.more;
}

function asText({ child }: Source, line: string, format: LineFormat): string {
	if (child !== null) return format.output(child, line);
	const event = parseEvent(line);
	return event === null ? '' : format.event(event);
}

/** Waits for a reader who is slow: this is what keeps memory flat. */
function write(text: string): Promise<void> {
	return new Promise((resolve) => {
		if (process.stdout.write(text)) resolve();
		else process.stdout.once('drain', resolve);
	});
}
