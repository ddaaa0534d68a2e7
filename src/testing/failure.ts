/** How a test is told that something does not hold: a plain error, which every test runner shows. */

/** `actual` and `expected` are what runners print side by side. */
export function failure(message: string, sides?: { actual: unknown; expected: unknown }): Error {
	return Object.assign(new Error(message), sides);
}
