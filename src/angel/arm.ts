/**
 * Arms the signals, before anything else of choir is loaded: until then TERM, HUP, USR2 and QUIT would kill this process,
 * TTIN and TTOU would stop it for good, and USR1 would open the inspector. What comes before somebody listens is kept.
 */
import { type Signal, signals } from '../../machines/signals.ts';

let listener: ((signal: Signal) => void) | null = null;
/** Signals are levels: one of each kind is enough to keep. */
const kept = new Set<Signal>();

for (const signal of signals) {
	process.on(signal, () => {
		if (listener === null) kept.add(signal);
		else listener(signal);
	});
}

/** From now on signals go to `listen`, beginning with those that came already. */
export function onSignal(listen: (signal: Signal) => void): void {
	listener = listen;
	for (const signal of kept) listen(signal);
	kept.clear();
}
