/** The rules of `machines/` on specs, with the durations that people write: `'250ms'`, `'5s'`, `'2m'`. */
import { parse } from '@lukeed/ms';
import { checkSpec as check, type Problem } from '../../machines/check.ts';
import { resolveSpec as resolve, type TreeDeclaration, type TreeSpec } from '../../machines/spec.ts';

/** A number and its unit; a bare number as text is more often a forgotten unit than milliseconds. */
export function parseDuration(text: string): number | undefined {
	return /^\s*\d+(\.\d+)?\s*[a-z]+\s*$/i.test(text) ? parse(text) : undefined;
}

/** All that is wrong with a declaration, at once, each with its place; never throws, whatever it is given. */
export function checkSpec(declaration: unknown): Problem[] {
	return check(declaration, parseDuration);
}

export function resolveSpec(declaration: TreeDeclaration): TreeSpec {
	return resolve(declaration, parseDuration);
}

/** A spec that cannot be run, with everything that is wrong with it. */
export class SpecError extends Error {
	override name = 'SpecError';
	readonly code = 'SPEC_INVALID';
	readonly problems: readonly Problem[];

	constructor(problems: readonly Problem[]) {
		super(problems.map(({ message }) => message).join('\n'));
		this.problems = problems;
	}
}
