// How the programs of this folder measure, and answer. They want `node --expose-gc`.

/** µs a piece. */
export async function each(pieces, act) {
	const from = performance.now();
	await act();
	return ((performance.now() - from) * 1_000) / pieces;
}

/** What is in the heap once everything that nobody holds is gone. */
export function bytes() {
	for (let n = 0; n < 3; n++) globalThis.gc();
	return process.memoryUsage().heapUsed;
}

export function say(figures) {
	console.log(JSON.stringify(figures));
}
