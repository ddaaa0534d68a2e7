/** What users import from `choir`: how to declare a tree, to have a declaration checked, and to run one in this process. */
export type { Problem } from '../machines/check.ts';
export type {
	ActorDeclaration,
	AutoShutdown,
	BackoffDeclaration,
	ChildDeclaration,
	CommandDeclaration,
	Duration,
	DynamicDeclaration,
	HeartbeatDeclaration,
	InnerStopDeclaration,
	IntensityDeclaration,
	LiveDeclaration,
	LogsDeclaration,
	NodeDeclaration,
	ReadyDeclaration,
	ReloadDeclaration,
	RestartDeclaration,
	RestartType,
	ShutdownDeclaration,
	StopDeclaration,
	Strategy,
	SupervisorDeclaration,
	ThreadDeclaration,
	TreeDeclaration,
	ViewDeclaration,
	WhenExhausted,
	WorkDeclaration,
} from '../machines/spec.ts';
export type { Gap } from './library/feed.ts';
export {
	type ActorReference,
	type News,
	type Running,
	type RunningChild,
	StartError,
	type StartOptions,
	type Status,
	start,
	type Transition,
} from './library/start.ts';
export type { RequestError } from './master/tree.ts';
export { actor, command, dynamic, node, supervisor, thread, tree } from './spec/builders.ts';
export { checkSpec, SpecError } from './spec/check.ts';
