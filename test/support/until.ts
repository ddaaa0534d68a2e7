/** Waits for a fact, with a deadline. */
const LOOK_MS = 2;
const FACT_MS = 10_000;

/** Looks every 2 ms until `fact` gives something true, and gives that; after its deadline it fails. */
export async function until<T>(what: string, fact: () => T | Promise<T>, deadlineMs = FACT_MS): Promise<T> {
	const deadline = performance.now() + deadlineMs;
	for (;;) {
		const seen = await fact();
		if (seen) return seen;
		if (performance.now() > deadline) throw new Error(`not within ${deadlineMs} ms: ${what}`);
		await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
	}
}

/** What a promise gives, which fails if it gives nothing before its deadline; `describe` says then what there is to know. */
export function within<T>(what: string, promise: Promise<T>, deadlineMs = FACT_MS, describe = () => ''): Promise<T> {
	let late: NodeJS.Timeout | undefined;
	const deadline = new Promise<never>((_, reject) => {
		late = setTimeout(() => reject(new Error(`not within ${deadlineMs} ms: ${what} ${describe()}`.trimEnd())), deadlineMs);
	});
	return Promise.race([promise, deadline]).finally(() => clearTimeout(late));
}

/** One turn of everything that waits: timers that are due, sockets, immediates. */
export const turn = () => new Promise<void>((resolve) => setTimeout(() => setImmediate(resolve), 1));
