/** What users import from `choir`: how to declare a tree, and how to have a declaration checked. */
export type { Problem } from '../machines/check.ts';
export type {
	BackoffDeclaration,
	ChildDeclaration,
	CommandDeclaration,
	Duration,
	HeartbeatDeclaration,
	IntensityDeclaration,
	LiveDeclaration,
	LogsDeclaration,
	NodeDeclaration,
	ReadyDeclaration,
	RestartDeclaration,
	RestartType,
	StopDeclaration,
	Strategy,
	SupervisorDeclaration,
	TreeDeclaration,
	WhenExhausted,
} from '../machines/spec.ts';
export { command, node, supervisor, tree } from './spec/builders.ts';
export { checkSpec, SpecError } from './spec/check.ts';
