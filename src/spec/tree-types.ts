/** What the type of a declaration tells of its tree: which paths there are, and what the actors at them hear. */
import type { AnyActorLogic, EventFromLogic } from 'xstate';
import type { ActorDeclaration, DynamicDeclaration, SupervisorDeclaration, TreeDeclaration } from '../../machines/spec.ts';

type Join<Above extends string, Id extends string> = Above extends '' ? Id : `${Above}/${Id}`;
/** Of a declared id, with instances or without. */
type Name<Id extends string, Instances extends number> = [Instances] extends [never] ? Id : `${Id}.${number}`;

interface Place {
	path: string;
	logic: AnyActorLogic;
}
type Anywhere = { path: string; logic: AnyActorLogic };

/** Each actor of a list of children, at whatever depth. Of children whose ids are not known: any path, any logic. */
type Actors<Child, Above extends string> = Child extends { id: infer Id extends string }
	? string extends Id
		? Anywhere
		: Child extends ActorDeclaration<string, infer Logic, infer Instances>
			? { path: Join<Above, Name<Id, Instances>>; logic: Logic }
			: Child extends DynamicDeclaration<string, infer Member, infer Partitions>
				? Member extends ActorDeclaration<string, infer Logic, infer _Instances>
					? { path: `${Join<Above, Name<Id, Partitions>>}/${string}`; logic: Logic }
					: never
				: Child extends SupervisorDeclaration<string, infer Children>
					? Actors<Children[number], Join<Above, Id>>
					: never
	: never;

/** All partitions together are one supervisor as well. */
type Supervisors<Child, Above extends string> = Child extends { id: infer Id extends string }
	? string extends Id
		? string
		: Child extends DynamicDeclaration<string, infer _Member, infer Partitions>
			? Join<Above, Id> | Join<Above, Name<Id, Partitions>>
			: Child extends SupervisorDeclaration<string, infer Children>
				? Join<Above, Id> | Supervisors<Children[number], Join<Above, Id>>
				: never
	: never;

type ActorsOf<Tree extends TreeDeclaration> = Actors<Tree['children'][number], ''>;
type LogicAt<Place_ extends Place, Path extends string> = Place_ extends Place
	? Path extends Place_['path']
		? Place_['logic']
		: never
	: never;

/** The paths of a tree's actors: `'jobs/ledger'`, `'cart.1'` with instances, any id below a dynamic supervisor. */
export type ActorPath<Tree extends TreeDeclaration> = ActorsOf<Tree>['path'];
/** The paths of a tree's supervisors; `''` is the tree itself. */
export type SupervisorPath<Tree extends TreeDeclaration> = '' | Supervisors<Tree['children'][number], ''>;
/** What the actor at a path hears. */
export type ActorEvent<Tree extends TreeDeclaration, Path extends string> = EventFromLogic<LogicAt<ActorsOf<Tree>, Path>>;
