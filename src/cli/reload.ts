/** `choir reload`: a new version of the spec and of what it runs, beside the old one until it is known to work. */

import type { Change, PlannedChange } from '../../machines/changes.ts';
import { visible } from '../logs/visible.ts';
import type { Planned, Reloaded } from '../master/reloads.ts';
import { chooseRunning } from './choose.ts';
import { Complaint, exitCodes } from './complaint.ts';
import { asDuration } from './duration.ts';
import { askStatus } from './facts.ts';
import { operate } from './operate.ts';
import { Progress } from './progress.ts';

export interface ReloadOptions {
	plan?: boolean;
	wait?: boolean;
	json?: boolean;
	timeout: number;
}

/** Between two looks at how far it is. */
const LOOK_MS = 200;

export async function reload(word: string | undefined, options: ReloadOptions): Promise<number> {
	const tree = await chooseRunning(word);
	const ask = (params: Record<string, unknown>) => operate(tree, 'reload', params, options.timeout);
	const progress = new Progress(`reloading ${tree.id}`);
	const looking = process.stderr.isTTY
		? setInterval(() => {
				askStatus(tree.dir).then(
					({ reload: going }) => going != null && progress.say(`reloading ${tree.id}: ${going.state}`),
					() => {},
				);
			}, LOOK_MS)
		: undefined;
	try {
		if (options.wait && !options.plan) return told((await ask({ wait: true })) as Reloaded, tree.id, options.json === true);
		const planned = (await ask({ plan: options.plan === true })) as Planned;
		if (!planned.ok) throw refusal(planned, options);
		if (planned.refused.length > 0) throw refusal({ exitCode: exitCodes.failed, lines: planned.refused }, options);
		clearInterval(looking);
		progress.close();
		const { children } = planned;
		if (options.json) process.stdout.write(`${JSON.stringify({ tree: tree.id, planned: options.plan === true, changes: children })}\n`);
		else
			process.stdout.write(
				planText(children) +
					(options.plan || !changes(children) ? '' : `${tree.id} reloads: \`choir reload --wait\` or \`choir status\` says how it ends\n`),
			);
		return exitCodes.ok;
	} finally {
		clearInterval(looking);
		progress.close();
	}
}

function told({ result, generation, lines, exitCode, changes: children, tookMs }: Reloaded, tree: string, json: boolean): number {
	if (json)
		process.stdout.write(`${JSON.stringify({ tree, result, generation, reason: lines[0] ?? null, lines, changes: children, tookMs })}\n`);
	switch (result) {
		case 'done':
			if (!json) process.stdout.write(`${planText(children)}${tree} reloaded: generation ${generation} in ${asDuration(tookMs)}\n`);
			return exitCodes.ok;
		case 'unchanged':
			if (!json) process.stdout.write(planText(children));
			return exitCodes.ok;
		case 'rolledBack':
			if (!json) process.stderr.write(`${tree} was not reloaded, and runs as before: ${lines.map(visible).join('; ')}\n`);
			return exitCode;
		case 'refused':
			if (!json) for (const line of lines) process.stderr.write(`${visible(line)}\n`);
			return exitCode;
	}
}

function refusal({ exitCode, lines }: { exitCode: number; lines: string[] }, { json }: ReloadOptions): Complaint {
	if (json) process.stdout.write(`${JSON.stringify({ result: 'refused', lines })}\n`);
	return new Complaint(lines, exitCode);
}

const changes = (children: readonly PlannedChange[]) => children.some(({ change }) => change !== 'kept');
const marks: Record<Change, string> = { kept: ' ', changed: '~', replaced: '±', added: '+', removed: '-' };

/** What is touched, a line each, and how many are not. */
function planText(children: readonly PlannedChange[]): string {
	if (!changes(children)) return 'nothing has changed\n';
	const touched = children.filter(({ change }) => change !== 'kept');
	const width = Math.max(...touched.map(({ path }) => path.length));
	const lines = touched.map(({ path, change, mode, differing }) => {
		const how = change === 'replaced' ? (mode === 'surge' ? ', beside the old one' : ', after the old one') : '';
		const why = differing.length > 0 ? ` (${differing.join(', ')})` : '';
		return `${marks[change]} ${(path === '' ? '(tree)' : path).padEnd(width)}  ${change}${how}${why}`;
	});
	const kept = children.length - touched.length;
	return `${[...lines, ...(kept > 0 ? [`  ${kept} kept`] : [])].join('\n')}\n`;
}
