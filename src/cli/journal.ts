/** `choir journal`: what the master of a tree has in mind, as it is written down; the tree need not run. */

import type { TreeOperation } from '../../machines/agenda.ts';
import { readJournal } from '../journal/journal.ts';
import { visible, visibleJson } from '../logs/visible.ts';
import { chooseFolder } from './choose.ts';
import { exitCodes } from './complaint.ts';

/** Of a value on one line. */
const MAX_SHOWN = 160;

export async function journal(word: string | undefined, options: { json?: boolean; lines: number }): Promise<number> {
	const { id, dir } = await chooseFolder(word);
	const { lines, damaged } = readJournal(dir);
	const shown = options.lines === 0 ? [] : lines.slice(-options.lines);
	for (const { time, set } of shown) {
		if (options.json) process.stdout.write(`${visibleJson({ time, set })}\n`);
		else for (const [key, value] of Object.entries(set)) process.stdout.write(`${time}  ${visible(key)}  ${briefly(key, value)}\n`);
	}
	if (damaged > 0) process.stderr.write(`${damaged} bytes at the end are damaged: a next master does without them\n`);
	if (lines.length === 0) process.stderr.write(`the journal of ${id} is empty\n`);
	return exitCodes.ok;
}

function briefly(key: string, value: unknown): string {
	if (value === null) return 'forgotten';
	if (key.startsWith('operation:')) return operationText(value as TreeOperation);
	const text = visible(JSON.stringify(value));
	return text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}… (--json shows all)` : text;
}

/** `#3 scale web 4: act; start web.3 done, start web.4 asked`. */
function operationText({ number, kind, target, argument, phase, steps, end, joins }: TreeOperation): string {
	const what = [`#${number}`, kind, target, argument === null ? '' : String(argument)].filter((part) => part !== '').join(' ');
	if (end !== null) return visible(`${what}: post; ${end.ok ? 'done' : (end.code ?? 'failed')}, ${end.message}`);
	const how =
		joins === null ? steps.map((step) => [step.what, step.path, step.phase].filter((part) => part !== '').join(' ')) : [`part of ${joins}`];
	return visible([`${what}: ${phase}`, how.join(', ')].filter((part) => part !== '').join('; '));
}
