/** How a line of output and an event of choir's own look: on a terminal, and as JSON. */

import pc from 'picocolors';
import { pino } from 'pino';
import { visible } from '../logs/visible.ts';

/** One line of `events.jsonl`. */
export interface TreeEvent {
	time?: string;
	at?: number;
	role?: string;
	level?: string;
	path?: string;
	event?: string;
	message?: string;
	[field: string]: unknown;
}

/** Each gives one piece of text, its newline included. */
export interface LineFormat {
	output(child: string, line: string): string;
	event(event: TreeEvent): string;
}

/** Names longer than this are not aligned: one long name shall not push all output off the screen. */
const MAX_PREFIX_WIDTH = 24;
const RESET = '\x1b[0m';
const LEVELS = new Set(['info', 'warn', 'error']);

/** `web.1 | line`, one colour per child, aligned on the longest name so far. `raw`: what children print goes through as it is. */
export function terminalLines({ colour, raw = false }: { colour: boolean; raw?: boolean }): LineFormat {
	const paint = pc.createColors(colour);
	const palette = [paint.cyan, paint.yellow, paint.green, paint.magenta, paint.blue, paint.red];
	const colours = new Map<string, (text: string) => string>();
	let width = 0;
	const prefix = (child: string): string => {
		let tint = colours.get(child);
		if (tint === undefined) {
			tint = palette[colours.size % palette.length]!;
			colours.set(child, tint);
		}
		width = Math.max(width, Math.min(child.length, MAX_PREFIX_WIDTH));
		return tint(`${child.padEnd(width)} |`);
	};
	return {
		output: (child, line) => `${prefix(child)} ${raw ? contained(line) : visible(line)}\n`,
		event(event) {
			const text = `choir ─ ${visible(eventText(event))}`;
			const tint =
				event.level === 'error' ? (said: string) => paint.bold(paint.red(said)) : event.level === 'warn' ? paint.bold : paint.dim;
			return `${tint(text)}\n`;
		},
	};
}

/** A child that leaves a colour switched on shall not colour the lines of others. */
const contained = (line: string) => (line.includes('\x1b') ? `${line}${RESET}` : line);

/** Lines as pino writes them: `{level,time,child,msg}` for output, with `event` and its fields for choir's own. */
export function jsonLines(now: () => number = Date.now): LineFormat {
	let written = '';
	let time = 0;
	const log = pino({ base: null, timestamp: () => `,"time":${time}` }, { write: (line: string) => (written = line) });
	return {
		output(child, line) {
			time = now();
			log.info({ child }, line);
			return written;
		},
		event({ time: at, level, path, message, event, ...fields }) {
			time = (at !== undefined && Date.parse(at)) || now();
			const known = LEVELS.has(level ?? '') ? (level as 'info' | 'warn' | 'error') : 'info';
			log[known]({ ...fields, event: event ?? 'note', ...(path === undefined ? {} : { child: path }) }, message ?? '');
			return written;
		},
	};
}

/** The sentence of an event; it names the child it is about, even if the one who wrote it forgot to. */
function eventText({ message, path, event }: TreeEvent): string {
	const said = message ?? event ?? '';
	return path === undefined || path === '' || said.includes(path) ? said : `${path}: ${said}`;
}

/** A line of `events.jsonl`; null for one that is torn or not JSON. */
export function parseEvent(line: string): TreeEvent | null {
	try {
		const read = JSON.parse(line) as unknown;
		return read !== null && typeof read === 'object' && !Array.isArray(read) ? (read as TreeEvent) : null;
	} catch {
		return null;
	}
}
