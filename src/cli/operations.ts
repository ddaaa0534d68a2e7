/** `choir operations`: what was asked of a tree, and what became of it. */

import { request } from '../control/client.ts';
import { socketPath } from '../home.ts';
import { visible, visibleJson } from '../logs/visible.ts';
import type { OperationStatus } from '../master/operator.ts';
import { chooseRunning } from './choose.ts';
import { exitCodes } from './complaint.ts';
import { asDuration } from './duration.ts';

interface Listed {
	waiting: OperationStatus[];
	current: OperationStatus | null;
	ended: OperationStatus[];
}

export async function operations(word: string | undefined, options: { json?: boolean }): Promise<number> {
	const tree = await chooseRunning(word);
	const listed = (await request(socketPath(tree.dir, 'control.sock'), 'operations')) as Listed;
	process.stdout.write(options.json ? `${visibleJson(listed, 2)}\n` : operationsText(listed, Date.now()));
	return exitCodes.ok;
}

/** The oldest first, as a log; the present one with its steps. `now`: ms since the epoch. */
export function operationsText({ waiting, current, ended }: Listed, now: number): string {
	const all = [...ended, ...(current === null ? [] : [current]), ...waiting];
	if (all.length === 0) return 'nothing was asked yet\n';
	const heads = all.map(headOf);
	const width = Math.max(...heads.map((head) => head.length));
	const numbers = Math.max(...all.map(({ number }) => String(number).length));
	const lines = all.flatMap((operation, index) => {
		const { number, phase, steps, end, askedAt } = operation;
		const how = end === null ? phase : end.ok ? 'done' : (end.code ?? 'failed');
		const ago = `${asDuration(now - Date.parse(askedAt))} ago`;
		const line = `#${String(number).padEnd(numbers)}  ${(heads[index] as string).padEnd(width)}  ${how}`;
		const said = end === null ? '' : `: ${visible(end.message)}`;
		const below = phase === 'act' ? steps.map(({ path, what, phase: at, message }) => stepText(path, what, at, message)) : [];
		return [`${line}${said} (by ${visible(operation.by)}, ${ago})`, ...below];
	});
	return `${lines.join('\n')}\n`;
}

function headOf({ kind, target, argument }: OperationStatus): string {
	return [kind, visible(target), argument === null ? '' : String(argument)].filter((part) => part !== '').join(' ');
}

function stepText(path: string, what: string, phase: string, message: string): string {
	const mark = phase === 'done' ? '+' : phase === 'failed' ? '!' : phase === 'waiting' ? ' ' : '>';
	return `    ${mark} ${what}${path === '' ? '' : ` ${visible(path)}`}: ${phase}${message === '' ? '' : ` (${visible(message)})`}`;
}
