/** Waits for a fact, with a deadline. */
const LOOK_MS = 2;
const FACT_MS = 10_000;

/** Looks every 2 ms until `fact` gives something true, and gives that; fails after 10 s. */
export async function until<T>(what: string, fact: () => T | Promise<T>): Promise<T> {
	const deadline = performance.now() + FACT_MS;
	for (;;) {
		const seen = await fact();
		if (seen) return seen;
		if (performance.now() > deadline) throw new Error(`not within ${FACT_MS} ms: ${what}`);
		await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
	}
}

/** One turn of everything that waits: timers that are due, sockets, immediates. */
export const turn = () => new Promise<void>((resolve) => setTimeout(() => setImmediate(resolve), 1));
