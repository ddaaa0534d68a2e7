/**
 * The signals of a worker, beside those of its program: nothing here does what the operating system does by default, and what
 * the program listens to itself goes on as if we were not there.
 */
import { type Signal, signals } from '../../machines/signals.ts';

/** `told`: the program listens to this signal itself, and Node has called it or is about to. */
type Take = (signal: Signal, told: boolean) => void;

const armed = new Set<unknown>();

export function armSignals(take: Take): void {
	for (const signal of signals) {
		const listener = () => take(signal, ownListeners(signal).length > 0);
		armed.add(listener);
		process.on(signal, listener);
	}
}

/** The program's own listeners of a signal. */
export function ownListeners(signal: Signal): Array<(signal: Signal) => void> {
	const own = process.rawListeners(signal).filter((listener) => !armed.has(listener));
	return own.length > onlookers() ? (own as Array<(signal: Signal) => void>) : [];
}

/**
 * The package signal-exit, somewhere below half of all programs, listens only to see the end come: it leaves the end to the
 * others, of whom we are one. It counts its own listeners of each signal in public, for such as us.
 */
function onlookers(): number {
	const versions = [
		(globalThis as { [key: symbol]: unknown })[Symbol.for('signal-exit emitter')],
		(process as { __signal_exit_emitter__?: unknown }).__signal_exit_emitter__,
	] as Array<{ count?: unknown } | undefined>;
	return versions.reduce((sum, version) => sum + (typeof version?.count === 'number' ? version.count : 0), 0);
}
