/** `choir start`: an angel in the background, in a session of its own; returns once the tree runs, or with the reason why not. */

import { type ChildProcess, spawn } from 'node:child_process';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { angelFlags } from '../angel/succession.ts';
import { LineSplitter } from '../control/lines.ts';
import { choirHome, listTrees, logFile, treeDir } from '../home.ts';
import { tail } from '../logs/tail.ts';
import { specPath } from './choose.ts';
import { Complaint, exitCodes } from './complaint.ts';
import { asDuration } from './duration.ts';
import { askStatus, missingForRunning } from './facts.ts';
import { Progress } from './progress.ts';

/** Lines of the angel's own output that are shown when it died without a word. */
const LAST_LINES = 10;
/** For an interrupted start to take its tree back. */
const TAKE_BACK_MS = 130_000;

/** The one line that the angel writes on the descriptor it was given. */
type Report = { ok: true; tree: string; pid: number | null } | { ok: false; exitCode: number; lines: string[] };

export async function start(file: string, { timeout }: { timeout: number }): Promise<number> {
	const spec = specPath(file);
	const angel = spawn(process.execPath, [...angelFlags, fileURLToPath(new URL('../angel/main.js', import.meta.url)), spec, '3'], {
		detached: true,
		stdio: ['ignore', 'ignore', 'ignore', 'pipe'],
	});
	const progress = new Progress(`starting ${file}`);
	const interrupted = new AbortController();
	const interrupt = (): void => interrupted.abort();
	process.once('SIGINT', interrupt);
	process.once('SIGTERM', interrupt);
	const outcome = await firstOf(angel, timeout, interrupted.signal);
	progress.close();
	process.removeListener('SIGINT', interrupt);
	process.removeListener('SIGTERM', interrupt);
	if (outcome === 'interrupted') return takeBack(angel, file);
	release(angel);
	if (outcome === 'late') throw new Complaint(await describeLate(spec, timeout));
	if (outcome === 'ended') throw new Complaint(await describeEnd(spec, file));
	if (!outcome.ok) throw new Complaint(outcome.lines, outcome.exitCode);
	if (outcome.pid === null) throw new Complaint(`${outcome.tree} was asked to stop before it was up`);
	process.stdout.write(
		`${outcome.tree} is running (angel ${outcome.pid}): \`choir status ${outcome.tree}\`, \`choir logs --tree ${outcome.tree} -f\`\n`,
	);
	return exitCodes.ok;
}

function firstOf(angel: ChildProcess, timeoutMs: number, interrupted: AbortSignal): Promise<Report | 'late' | 'ended' | 'interrupted'> {
	return new Promise((resolve, reject) => {
		const report = angel.stdio[3] as Readable;
		const lines = new LineSplitter();
		const late = timeoutMs > 0 ? setTimeout(() => resolve('late'), timeoutMs) : undefined;
		const done = (outcome: Report | 'ended' | 'interrupted'): void => {
			clearTimeout(late);
			resolve(outcome);
		};
		report.on('data', (chunk: Buffer) => {
			const line = lines.push(chunk)[0];
			if (line !== undefined) done(JSON.parse(line) as Report);
		});
		report.on('close', () => done('ended'));
		report.on('error', () => done('ended'));
		angel.on('error', (error) => reject(new Complaint(`the angel could not be started: ${error.message}`)));
		interrupted.addEventListener('abort', () => done('interrupted'));
	});
}

/** From here on it is on its own. */
function release(angel: ChildProcess): void {
	angel.unref();
	(angel.stdio[3] as Readable | null)?.destroy();
}

/** Who interrupts a start does not want half a tree. */
async function takeBack(angel: ChildProcess, file: string): Promise<number> {
	const progress = new Progress(`interrupted: stopping what ${file} has started`);
	const ended = new Promise<boolean>((resolve) => {
		const late = setTimeout(() => resolve(false), TAKE_BACK_MS);
		angel.once('exit', () => {
			clearTimeout(late);
			resolve(true);
		});
		if (angel.exitCode !== null || angel.signalCode !== null) angel.emit('exit');
	});
	const stop = (): void => void angel.kill('SIGINT');
	// A second Ctrl-C reaches the angel as one: it then kills.
	process.on('SIGINT', stop);
	stop();
	const gone = await ended;
	progress.close();
	process.removeListener('SIGINT', stop);
	release(angel);
	throw new Complaint(gone ? 'interrupted: the tree was stopped' : `interrupted, but the angel (pid ${angel.pid}) has not ended yet`);
}

async function describeLate(spec: string, timeoutMs: number): Promise<string[]> {
	const said = `not running within ${asDuration(timeoutMs)}; it goes on starting`;
	const tree = listTrees(choirHome()).find(({ angel }) => angel.spec === spec);
	if (tree === undefined) return [said];
	const missing = await askStatus(tree.dir).then(missingForRunning, () => []);
	return [`${tree.id}: ${said}${missing.length > 0 ? ':' : ''}`, ...missing.map((line) => `  ${line}`)];
}

async function describeEnd(spec: string, file: string): Promise<string[]> {
	const said = `${file}: the angel ended before the tree was up`;
	const { inspectSpec } = await import('../spec/inspection.ts');
	const inspected = await inspectSpec(spec, { cacheDir: `${choirHome()}/.cache` }).catch(() => null);
	if (!inspected?.ok) return [said];
	const dir = treeDir(choirHome(), inspected.tree);
	const { lines } = await tail(dir, 'angel', LAST_LINES);
	return lines.length === 0 ? [said] : [`${said}; the last lines of ${logFile(dir, 'angel')}:`, ...lines.map((line) => `  ${line}`)];
}
