/** How things are said on the page: durations, sizes, times, and how much a state matters. Nothing of the browser. */
import type { Row, StepEntry } from '../wire.ts';

/** What the colour of a state says; the word beside it says the same. */
export type Tone = 'good' | 'busy' | 'warn' | 'bad' | 'off';

export function toneOf({ state, substate, standing }: Pick<Row, 'state' | 'substate' | 'standing'>): Tone {
	if (substate === 'stuck' || standing === 'gaveUp' || standing === 'fatal') return 'bad';
	if (state === 'dead') return substate === 'backoff' ? 'warn' : 'off';
	if (substate === 'suspect' || substate === 'killing') return 'warn';
	return state === 'running' && substate !== 'restarting' ? 'good' : 'busy';
}

const standings: Record<string, string> = { gaveUp: 'gave up', fatal: 'fatal', finished: 'finished', stopped: 'stopped', paused: 'paused' };
/** They say no more than the state does. */
const ordinary = new Set(['healthy', 'steady', 'watching']);

/** The state in one word, or two where the second adds something. */
export function stateWord({ state, substate, standing }: Pick<Row, 'state' | 'substate' | 'standing'>): string {
	if (state === 'dead' && standing !== null && standings[standing] !== undefined) return standings[standing];
	return substate === null || ordinary.has(substate) ? state : `${state} · ${substate}`;
}

export const nameOf = (path: string, tree: string) => (path === '' ? tree : path);

/** In its two largest units: `4 s`, `3 min 20 s`, `5 d 2 h`. */
export function duration(ms: number): string {
	const seconds = Math.max(0, Math.floor(ms / 1_000));
	const units: Array<[number, string]> = [
		[Math.floor(seconds / 86_400), 'd'],
		[Math.floor(seconds / 3_600) % 24, 'h'],
		[Math.floor(seconds / 60) % 60, 'm'],
		[seconds % 60, 's'],
	];
	const first = units.findIndex(([count]) => count > 0);
	if (first === -1) return '0s';
	return units
		.slice(first, first + 2)
		.filter(([count], index) => index === 0 || count > 0)
		.map(([count, unit]) => `${count}${unit}`)
		.join(' ');
}

export function bytes(count: number | null): string {
	if (count === null) return '–';
	if (count < 1_000_000) return `${Math.ceil(count / 1_000)} kB`;
	return count < 1_000_000_000 ? `${Math.round(count / 1_000_000)} MB` : `${(count / 1_000_000_000).toFixed(1)} GB`;
}

/** The time of day, to the millisecond. */
export function clock(time: number): string {
	const at = new Date(time);
	const two = (value: number) => String(value).padStart(2, '0');
	return `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}.${String(at.getMilliseconds()).padStart(3, '0')}`;
}

/** An event as the chart names it: XState's `xstate.after.drainTimeout.…` is `after drainTimeout`. */
export function eventName(event: string): string {
	if (event === 'xstate.init') return 'init';
	const [, after] = /^xstate\.after\.([^.]+)/.exec(event) ?? [];
	return after === undefined ? event : `after ${after}`;
}

export type Kind = 'changes' | 'all' | 'exits' | 'timers' | 'requests' | 'signs';
export const kinds: Record<Kind, string> = {
	changes: 'What changed',
	exits: 'Exits and failures',
	timers: 'Timers',
	requests: 'Requests',
	signs: 'Signs of life',
	all: 'Everything',
};

/** It changed no state and asked for nothing. */
export const isQuiet = ({ from, to, effects, ignored }: StepEntry) => ignored || (from === to && effects.length === 0);

export function isOfKind(step: StepEntry, kind: Kind): boolean {
	switch (kind) {
		case 'all':
			return true;
		case 'changes':
			return !isQuiet(step);
		case 'exits':
			return /exited|failed|died|down|lost|dead$/.test(step.event);
		case 'timers':
			return step.event.startsWith('xstate.after.') || /\.(due|elapsed|timeout)$/.test(step.event);
		case 'requests':
			return /^[a-z]+$/i.test(step.event) && step.event !== 'heartbeat';
		case 'signs':
			return /^(heartbeat|probe\.)/.test(step.event);
	}
}

/** A step in one line of plain text. */
export function lineOf(step: StepEntry, tree: string): string {
	const change = step.from === step.to ? step.to : `${step.from || '(new)'} → ${step.to}`;
	const asked = step.effects.length === 0 ? '' : `  [${step.effects.join(', ')}]`;
	return `${new Date(step.time).toISOString()}  ${nameOf(step.path, tree)}  ${eventName(step.event)}  ${change}${asked}`;
}
