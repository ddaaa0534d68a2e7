/** `choir upgrade`: this installation takes a running tree over from the one that runs it. */

import { fileURLToPath } from 'node:url';
import { request } from '../control/client.ts';
import { readAngelPid, socketPath } from '../home.ts';
import { visible } from '../logs/visible.ts';
import { chooseRunning } from './choose.ts';
import { Complaint, exitCodes } from './complaint.ts';
import { asDuration } from './duration.ts';
import { Progress } from './progress.ts';

export async function upgrade(word: string | undefined, { json }: { json?: boolean }): Promise<number> {
	const tree = await chooseRunning(word);
	const startedAt = performance.now();
	const progress = new Progress(`upgrading ${tree.id}`);
	const to = { main: fileURLToPath(new URL('../angel/main.js', import.meta.url)), execPath: process.execPath };
	let lines: string[];
	try {
		// As long as it takes: the angel has its own limit.
		({ lines } = (await request(socketPath(tree.dir, 'angel.sock'), 'upgrade', to, { timeoutMs: 0 })) as { lines: string[] });
	} finally {
		progress.close();
	}
	const tookMs = Math.round(performance.now() - startedAt);
	const isDone = lines.length === 0;
	const from = tree.angel.pid;
	const pid = isDone ? (readAngelPid(tree.dir)?.pid ?? null) : from;
	if (json)
		process.stdout.write(`${JSON.stringify({ tree: tree.id, result: isDone ? 'done' : 'rolledBack', from, pid, lines, tookMs })}\n`);
	if (!isDone) throw new Complaint(`${tree.id} was not upgraded, and runs as before (angel ${from}): ${lines.map(visible).join('; ')}`);
	if (!json) process.stdout.write(`${tree.id} upgraded in ${asDuration(tookMs)}: angel ${pid}, after ${from}\n`);
	return exitCodes.ok;
}
