/** The rules of supervision, each a small pure function. Where a rule has an ancestor, it is named. */
import type { Backoff, ExitReason, Intensity, RestartType, Strategy } from './spec.ts';

/**
 * Restart type × exit reason (OTP's `restart_child/3`). Permanent: always; temporary: never;
 * transient: only after an end that was neither in order (`normal`) nor asked for (`shutdown`). Nobody who did not want to run.
 */
export function mayRestart(type: RestartType, reason: ExitReason): boolean {
	if (reason === 'ignored') return false;
	switch (type) {
		case 'permanent':
			return true;
		case 'temporary':
			return false;
		case 'transient':
			return reason !== 'normal' && reason !== 'shutdown';
	}
}

/** Who goes down with `failed`: ids in start order. OTP's three strategies. */
export function affected(strategy: Strategy, ids: readonly string[], failed: string): string[] {
	switch (strategy) {
		case 'one_for_one':
			return [failed];
		case 'one_for_all':
			return [...ids];
		case 'rest_for_one':
			return ids.slice(ids.indexOf(failed));
	}
}

/**
 * The times of the restarts that still count, oldest first: `stamps` from `from` to before `to`. A log and those made of it
 * share their list, and each sees its own part: so a restart costs the same however many a window holds (OTP 25 walks all).
 */
export interface RestartLog {
	readonly stamps: number[];
	readonly from: number;
	readonly to: number;
}

export const noRestarts: RestartLog = { stamps: [], from: 0, to: 0 };

/** A log of these times, oldest first; and the times of a log. */
export const restartLog = (stamps: readonly number[]): RestartLog => ({ stamps: [...stamps], from: 0, to: stamps.length });
export const stampsOf = ({ stamps, from, to }: RestartLog): number[] => stamps.slice(from, to);

/** Where the restarts begin that still count at `now`. Both ends count, as in OTP. */
function firstWithin({ stamps, from, to }: RestartLog, now: number, { withinMs }: Intensity): number {
	let first = from;
	while (first < to && now - (stamps[first] as number) > withinMs) first += 1;
	return first;
}

/** Whether one more restart, at `now`, would be one too many. */
export function intensityExceeded(log: RestartLog, now: number, intensity: Intensity): boolean {
	return log.to - firstWithin(log, now, intensity) >= intensity.restarts;
}

/** The log with a restart at `now`, and without those that left the window; never more than `restarts + 1`. */
export function logRestart(log: RestartLog, now: number, intensity: Intensity): RestartLog {
	const { stamps, to } = log;
	const from = Math.max(firstWithin(log, now, intensity), to - intensity.restarts);
	// Nobody sees beyond what is theirs; but a list of which most has left the window is begun anew.
	if (to > 0 && stamps.length === to && from < 64 + to / 2) {
		stamps.push(now);
		return { stamps, from, to: to + 1 };
	}
	const kept = [...stamps.slice(from, to), now];
	return { stamps: kept, from: 0, to: kept.length };
}

/**
 * How long to wait before the n-th restart in a row (n from 1): exponential with full jitter.
 * `chance` in [0, 1) comes from outside. https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
 */
export function backoffMs({ fromMs, toMs }: Backoff, failures: number, chance: number): number {
	if (fromMs <= 0) return 0;
	// Beyond 2^30 the cap has long been reached, and the power would overflow.
	const cap = Math.min(toMs, fromMs * 2 ** Math.min(failures - 1, 30));
	return Math.floor(cap * chance);
}

/** Failures in a row, this one included: a child that had been ready for its stable time begins again at 1. */
export function countFailures(before: number, readyAt: number | null, diedAt: number, { resetAfterMs }: Backoff): number {
	const stable = readyAt !== null && diedAt - readyAt >= resetAfterMs;
	return stable ? 1 : before + 1;
}

/** Signals with which somebody ends a process, as opposed to those of a fault in it. */
const endingSignals = new Set(['SIGKILL', 'SIGTERM', 'SIGINT', 'SIGHUP', 'SIGQUIT']);

/** What is known when a process has ended. `doom`: what its supervisor had already found or asked. */
export interface Ending {
	doom: 'shutdown' | 'killed' | 'hung' | 'startFailed' | null;
	wasReady: boolean;
	code: number | null;
	signal: string | null;
	/** What a host that knows it has said. */
	own: ExitReason | null;
}

/**
 * Why a process ended. Intent comes first: one that was asked to go has been shut down whatever its status says,
 * also when it died of the forwarded signal itself.
 */
export function classifyExit({ doom, wasReady, code, signal, own }: Ending, okCodes: readonly number[]): ExitReason {
	if (own === 'ignored') return own;
	if (doom !== null) return doom;
	if (own !== null) return wasReady ? own : 'startFailed';
	if (code === null && signal === null) return 'lost';
	if (!wasReady) return 'startFailed';
	if (signal !== null) return endingSignals.has(signal) ? 'killed' : 'crash';
	return okCodes.includes(code as number) ? 'normal' : 'crash';
}
