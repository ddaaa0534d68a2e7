/** What users import from `choir`: how to declare a tree, and how to have a declaration checked. */
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
	RestartDeclaration,
	RestartType,
	ShutdownDeclaration,
	StopDeclaration,
	Strategy,
	SupervisorDeclaration,
	ThreadDeclaration,
	TreeDeclaration,
	WhenExhausted,
	WorkDeclaration,
} from '../machines/spec.ts';
export { actor, command, dynamic, node, supervisor, thread, tree } from './spec/builders.ts';
export { checkSpec, SpecError } from './spec/check.ts';
