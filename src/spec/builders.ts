/** How users write a tree. The builders only name what they are given: what is wrong with it, `checkSpec` says, all at once. */
import type { AnyActorLogic } from 'xstate';
import type {
	ActorDeclaration,
	ChildDeclaration,
	CommandDeclaration,
	DynamicDeclaration,
	NodeDeclaration,
	SupervisorDeclaration,
	ThreadDeclaration,
	TreeDeclaration,
	WorkDeclaration,
} from '../../machines/spec.ts';

type Options<Declaration> = Omit<Declaration, 'kind' | 'id'>;
/** Conditional, so that the place where a child stands does not say that it has instances. */
type Given<Count extends number> = [Count] extends [never] ? never : number;

/**
 * A whole tree: the default export of a spec. Its `id` names its state folder; `children` start in order, each ready before the
 * next, and stop in reverse. `intensity` (default 5 restarts within 30 s) and `strategy` (default one_for_one) are OTP's; when
 * the intensity is exceeded the tree ends with exit code 70. `stopTimeout` (default 2 min) limits a whole stop.
 */
export function tree<const Id extends string, const Children extends readonly ChildDeclaration[]>(
	id: Id,
	options: Options<TreeDeclaration<Id, Children>>,
): TreeDeclaration<Id, Children> {
	return { kind: 'tree', id, ...options };
}

/**
 * A supervisor within a tree, with its own strategy and intensity. One that exceeds its intensity stops its children and ends
 * with reason `shutdown`, as in OTP: as permanent child (the default) it is restarted with an empty budget; as transient or
 * temporary child it is gone. `shutdown` limits its stop (default: no limit, its children have theirs).
 */
export function supervisor<const Id extends string, const Children extends readonly ChildDeclaration[]>(
	id: Id,
	options: Options<SupervisorDeclaration<Id, Children>>,
): SupervisorDeclaration<Id, Children> {
	return { kind: 'supervisor', id, ...options };
}

/**
 * A supervisor of very many like children that are started and stopped at run time, each restarted for itself: OTP's
 * simple_one_for_one, Elixir's DynamicSupervisor and, with `partitions`, PartitionSupervisor. What a child costs does not grow
 * with their number.
 */
export function dynamic<const Id extends string, Child extends WorkDeclaration, Partitions extends number = never>(
	id: Id,
	options: Options<DynamicDeclaration<Id, Child, Partitions>>,
): DynamicDeclaration<Id, Child, Given<Partitions>> {
	return { kind: 'dynamic', id, ...options } as unknown as DynamicDeclaration<Id, Child, Given<Partitions>>;
}

/**
 * A Node program: `module` in TypeScript or JavaScript, relative to the spec. It need not know of choir: it beats
 * (every 1 s, hung after 10 s), says ready when it listens (if `listen` is declared; else it is ready once spawned), and drains when
 * asked (60 s, then SIGTERM, then SIGKILL after 5 s).
 */
export function node<const Id extends string>(id: Id, options: Options<NodeDeclaration<Id>>): NodeDeclaration<Id> {
	return { kind: 'node', id, ...options };
}

/**
 * A program in any language: `run` is the program and its arguments, without a shell. It is ready once spawned unless `ready`
 * says otherwise, and is stopped by SIGTERM, then SIGKILL after 10 s.
 */
export function command<const Id extends string>(id: Id, options: Options<CommandDeclaration<Id>>): CommandDeclaration<Id> {
	return { kind: 'command', id, ...options };
}

/**
 * A thread of the master (`worker_threads`): `module` in TypeScript or JavaScript, relative to the spec, with `choir/worker` as in a
 * process, and `input` as its `workerData`. It is ready once its module has been loaded unless `ready` says otherwise, beats (every
 * 1 s, hung after 10 s), drains when asked (5 s) and is then terminated. `resourceLimits` are MiB; over the limit of its heap it
 * ends with reason crash. A crash of native code, or one allocation far beyond the limit, takes the whole master along.
 */
export function thread<const Id extends string>(id: Id, options: Options<ThreadDeclaration<Id>>): ThreadDeclaration<Id> {
	return { kind: 'thread', id, ...options };
}

/**
 * An XState actor within the master: any logic. Done is a normal end, an error is a crash; asked to stop it gets the event
 * `choir.drain` and 5 s, then it is stopped. It is restarted without a wait, as in OTP, unless `restart.backoff` says otherwise.
 */
export function actor<const Id extends string, Logic extends AnyActorLogic, Instances extends number = never>(
	id: Id,
	options: Options<ActorDeclaration<Id, Logic, Instances>>,
): ActorDeclaration<Id, Logic, Given<Instances>> {
	return { kind: 'actor', id, ...options } as unknown as ActorDeclaration<Id, Logic, Given<Instances>>;
}
