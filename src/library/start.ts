/** What `start(tree)` takes and gives. The tree itself is loaded when it is first asked for: a spec needs none of it. */
import type { SupervisorEnd } from '../../machines/master.ts';
import type { ChildDeclaration, StopMode, TreeDeclaration } from '../../machines/spec.ts';
import type { ChildStatus, ExitStatus } from '../master/status.ts';
import type { MemberDeclaration, Started } from '../master/tree.ts';
import type { Counts, Listed } from '../master/view.ts';
import type { ActorEvent, ActorPath, SupervisorPath } from '../spec/tree-types.ts';
import type { Gap } from './feed.ts';

export interface StartOptions {
	/** The folder to which modules and the like are relative. Default: the working directory. */
	base?: string;
	/** Told of what people want to know. `event` is its name, `message` one sentence, `detail` depends on the event. */
	news?: (news: News) => void;
}

export interface News {
	level: 'info' | 'warn' | 'error';
	/** '' where it is about no child. */
	path: string;
	event: string;
	message: string;
	detail: Record<string, unknown>;
}

/** A machine of the tree has changed its state, such as `running.healthy`. */
export interface Transition {
	type: 'transition';
	/** ISO time. */
	at: string;
	path: string;
	/** null: it is that of a supervisor. */
	incarnation: number | null;
	/** null: it has begun. */
	from: string | null;
	to: string;
	/** How an incarnation ended that is dead now. */
	exit: ExitStatus | null;
}

export interface Status {
	tree: string;
	state: string;
	/** ISO time. */
	since: string;
	children: ChildStatus[];
}

/** A name for whichever incarnation of an actor there is: it survives restarts. */
export interface ActorReference<Event extends { type: string }> {
	readonly path: string;
	/** While nobody runs there, the event waits or is dropped, as `unheard` of the actor declares. */
	send(event: Event): void;
}

/**
 * A supervisor at run time: OTP's requests. They reject with a `RequestError`, whose `code` says why: not_found, running,
 * restarting, already_present, already_started, start_failed …
 */
export interface RunningChild {
	/** Adds a child and starts it; below a dynamic supervisor one more like its template. */
	startChild(child: ChildDeclaration | MemberDeclaration): Promise<Started>;
	/** Stops a child, and does not restart it. */
	terminateChild(id: string): Promise<void>;
	/** Starts a child that is down. */
	restartChild(id: string): Promise<Started>;
	/** Forgets a child that is down. */
	deleteChild(id: string): Promise<void>;
	whichChildren(): Promise<Listed[]>;
	countChildren(): Promise<Counts>;
}

export interface Running<Tree extends TreeDeclaration> {
	/** As `choir status --json`, without angel and master. */
	status(): Status;
	/** Transitions from now on. A reader that falls behind by 1 000 finds a gap that says how many it missed. */
	events(): AsyncIterableIterator<Transition | Gap>;
	/** Throws if there is no actor at that path. */
	ref<Path extends ActorPath<Tree>>(path: Path): ActorReference<ActorEvent<Tree, Path>>;
	/** A supervisor by its path; `''` is the tree itself. */
	child(path: SupervisorPath<Tree>): RunningChild;
	/** How the tree ended, once everything of it is gone. */
	readonly ended: Promise<SupervisorEnd>;
	/** Stops children in reverse order; a harder mode hastens a stop under way. Resolves when everything is gone. */
	stop(mode?: StopMode): Promise<void>;
}

/** The tree ended before it ran. Nothing of it is left. */
export class StartError extends Error {
	override name = 'StartError';
	readonly code = 'START_FAILED';
}

/**
 * Runs a tree in this process, without an angel: what runs in it ends with it. Resolves when all children are ready. Rejects
 * with a `SpecError`, or with the first failure to start, a `StartError`, when what had started is stopped again. Signals
 * are the caller's. A tree of actors alone touches no disk; with processes or threads it has the folder that `choir run` would use, and
 * is refused (code `ALREADY_RUNNING`) while a tree of that name runs.
 */
export async function start<Tree extends TreeDeclaration>(tree: Tree, options: StartOptions = {}): Promise<Running<Tree>> {
	const { run } = await import('./run.ts');
	return (await run(tree, options)) as unknown as Running<Tree>;
}
