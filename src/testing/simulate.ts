/** From what `tree(…)` returns to a simulated world. */
import type { TreeDeclaration, TreeSpec } from '../../machines/spec.ts';
import { checkSpec, resolveSpec, SpecError } from '../spec/check.ts';
import { World, type WorldOptions } from './world.ts';

/** A tree in a simulated world, at 0 ms, before anything has happened. Throws `SpecError` with all that is wrong with the spec. */
export function simulate(spec: TreeDeclaration, options: WorldOptions = {}): World {
	return new World(rightSpec(spec), options);
}

/** The spec as the machines read it. */
export function rightSpec(spec: TreeDeclaration): TreeSpec {
	const wrong = checkSpec(spec).filter(({ severity }) => severity === 'error');
	if (wrong.length > 0) throw new SpecError(wrong);
	return resolveSpec(spec);
}
