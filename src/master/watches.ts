/** Whether a child is ready, and whether it is still live, for those who cannot say so themselves. Each look has a deadline. */
import type { LiveSpec, ProbeSpec, ReadySpec } from '../../machines/spec.ts';
import { probe } from '../hosts/probes.ts';

export interface Surroundings {
	env: Record<string, string>;
	cwd: string;
}

/** Repeats a probe until it succeeds once. The limit over all is the worker machine's. */
export async function untilPassed(spec: ProbeSpec, everyMs: number, around: Surroundings, signal: AbortSignal): Promise<boolean> {
	while (!signal.aborted) {
		const { ok } = await probe(spec, Math.max(everyMs, 1_000), { ...around, signal });
		if (ok && !signal.aborted) return true;
		await pause(everyMs, signal);
	}
	return false;
}

/** Probes again and again, one at a time, until aborted. */
export async function keepProbing(
	{ probe: spec, everyMs, timeoutMs }: LiveSpec,
	around: Surroundings,
	signal: AbortSignal,
	tell: (result: { ok: true } | { ok: false; why: string }) => void,
): Promise<void> {
	while (!signal.aborted) {
		await pause(everyMs, signal);
		if (signal.aborted) return;
		const result = await probe(spec, timeoutMs, { ...around, signal });
		if (!signal.aborted) tell(result);
	}
}

export function pause(ms: number, signal: AbortSignal): Promise<void> {
	return new Promise((resolve) => {
		if (signal.aborted) return resolve();
		const end = () => {
			clearTimeout(timeout);
			signal.removeEventListener('abort', end);
			resolve();
		};
		const timeout = setTimeout(end, ms);
		signal.addEventListener('abort', end);
	});
}

/** The pattern of an `output` readiness. */
export function patternOf(ready: ReadySpec): RegExp | null {
	return ready.kind === 'output' ? new RegExp(ready.pattern, ready.regexFlags) : null;
}
