/** The rules of `machines/` on specs, with the durations that people write: `'250ms'`, `'5s'`, `'2m'`. */
import { parse } from '@lukeed/ms';
import { checkSpec as check, checkChild as checkAdded, type Problem } from '../../machines/check.ts';
import {
	type ChildDeclaration,
	type ChildSpec,
	resolveSpec as resolve,
	resolveChild as resolveAdded,
	type SupervisorSpec,
	type TreeDeclaration,
	type TreeSpec,
} from '../../machines/spec.ts';

/** What is longer is no duration; the library's pattern takes quadratic time. */
const MAX_CHARACTERS = 40;

/**
 * A number and its unit, in ms; undefined if it is none, or no whole number of ms. A bare number as text is more often a
 * forgotten unit than milliseconds.
 */
export function parseDuration(text: string): number | undefined {
	const [, number, unit] = (text.length <= MAX_CHARACTERS ? /^(\d+(?:\.\d+)?) ?([a-z]+)$/i.exec(text) : null) ?? [];
	// One of the unit: the library cannot tell 0 from "not understood".
	const unitMs = unit === undefined ? undefined : parse(`1${unit}`);
	if (unitMs === undefined) return undefined;
	const ms = Number(number) * unitMs;
	return Math.abs(ms - Math.round(ms)) < 1e-6 ? Math.round(ms) : undefined;
}

/** All that is wrong with a declaration, at once, each with its place; never throws, whatever it is given. */
export function checkSpec(declaration: unknown): Problem[] {
	return check(declaration, parseDuration);
}

/** A declaration with its defaults and instances written out. Only for one in which `checkSpec` finds no error. */
export function resolveSpec(declaration: TreeDeclaration): TreeSpec {
	return resolve(declaration, parseDuration);
}

/** A child that is to be added to a running supervisor, with its defaults. Throws a `SpecError` if it is not right. */
export function resolveChild(declaration: ChildDeclaration, supervisor: SupervisorSpec): ChildSpec {
	const problems = checkAdded(declaration, supervisor, parseDuration).filter(({ severity }) => severity === 'error');
	if (problems.length > 0) throw new SpecError(problems);
	return resolveAdded(declaration, supervisor, parseDuration)[0] as ChildSpec;
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
