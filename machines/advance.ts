/**
 * Which starts are ordered in advance: what would follow on a crash is known while a child runs (`nextAfterCrash`), so its angel can have the
 * order before. Whatever is asked here is asked again when the crash comes; then what has begun is taken, or has to go.
 */
import { NEVER_MS, type NodeSpec, type ReadySpec, type RestartRule, type WorkSpec } from './spec.ts';

/**
 * Only Node children: their program begins some time after their process, so one that is not wanted after all has done nothing. And only
 * those of which a start is the same now as later: `envFile` is read and an output's end looked for at each, and a spare goes first.
 */
export function mayBeOrdered(spec: WorkSpec): spec is NodeSpec {
	return (
		spec.kind === 'node' && spec.standby === 0 && spec.envFile === null && spec.ready.kind !== 'output' && spec.restart.backoff.fromMs <= 0
	);
}

/** Exit codes after which something else may follow than after a crash. */
export const noCrash = ({ okCodes, fatalCodes }: RestartRule): number[] => [...okCodes, ...fatalCodes];

/** Whether an end is a crash; of one that nobody saw, nobody can say. */
export const isCrash = (code: number | null, signal: string | null, except: readonly number[]): boolean =>
	signal !== null || (code !== null && !except.includes(code));

/** How long what has begun and is not wanted may take to end, as any that is stopped. In ms. */
export const mayLingerMs = ({ drainMs, terminateMs }: { drainMs: number; terminateMs: number }): number =>
	Math.min(drainMs + terminateMs, NEVER_MS);

/** And how long once the one that follows waits for its end: that one has to be ready in time. */
export const mayHoldUpMs = ({ timeoutMs }: Pick<ReadySpec, 'timeoutMs'>): number => Math.min(timeoutMs / 2, NEVER_MS);
