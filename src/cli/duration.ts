/** Durations of the command line: what the user writes, and what the user reads. */

import { format, parse } from '@lukeed/ms';
import { InvalidArgumentError } from 'commander';

/** For commander: `'10s'` → 10000. A bare number is milliseconds. */
export function parseDuration(text: string): number {
	// The library's 0 looks like its "not understood".
	const ms = /^0+[a-z]*$/i.test(text) ? 0 : parse(text);
	if (ms === undefined || !Number.isFinite(ms) || ms < 0) {
		throw new InvalidArgumentError(`expected a duration such as '500ms', '10s' or '2m', got '${text}'`);
	}
	return ms;
}

/** In one unit, the largest that fits: `310ms`, `12s`, `3h`. */
export function asDuration(ms: number): string {
	return format(Math.max(0, Math.round(ms)));
}
