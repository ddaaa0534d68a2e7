/** How users write a tree. The builders only name what they are given: what is wrong with it, `checkSpec` says, all at once. */
import type { CommandDeclaration, NodeDeclaration, SupervisorDeclaration, TreeDeclaration } from '../../machines/spec.ts';

type Options<Declaration> = Omit<Declaration, 'kind' | 'id'>;

/**
 * A whole tree: the default export of a spec. Its `id` names its state folder; `children` start in order, each ready before the
 * next, and stop in reverse. `intensity` (default 5 restarts within 30 s) and `strategy` (default one_for_one) are OTP's; when
 * the intensity is exceeded the tree ends with exit code 70. `stopTimeout` (default 2 min) limits a whole stop.
 */
export function tree(id: string, options: Options<TreeDeclaration>): TreeDeclaration {
	return { kind: 'tree', id, ...options };
}

/**
 * A supervisor within a tree, with its own strategy and intensity. One that exceeds its intensity stops its children and ends
 * with reason `shutdown`, as in OTP: as permanent child (the default) it is restarted with an empty budget; as transient or
 * temporary child it is gone.
 */
export function supervisor(id: string, options: Options<SupervisorDeclaration>): SupervisorDeclaration {
	return { kind: 'supervisor', id, ...options };
}

/**
 * A Node program: `module` in TypeScript or JavaScript, relative to the spec. It need not know of choir: it beats
 * (every 1 s, hung after 10 s), says ready when it listens (if `listen` is declared; else it is ready once spawned), and drains when
 * asked (60 s, then SIGTERM, then SIGKILL after 5 s).
 */
export function node(id: string, options: Options<NodeDeclaration>): NodeDeclaration {
	return { kind: 'node', id, ...options };
}

/**
 * A program in any language: `run` is the program and its arguments, without a shell. It is ready once spawned unless `ready`
 * says otherwise, and is stopped by SIGTERM, then SIGKILL after 10 s.
 */
export function command(id: string, options: Options<CommandDeclaration>): CommandDeclaration {
	return { kind: 'command', id, ...options };
}
