/**
 * What the live page and its server say to each other: JSON messages, one a frame, on one WebSocket. Both sides import this
 * file, the page for its types only. All text that comes from children has lost its control characters before it is sent.
 */

export const WIRE_VERSION = 1;

/** A child as the tree of the page shows it; the root has the path `''`. Times in ms since the epoch. */
export interface Row {
	path: string;
	/** The path of its supervisor; null for the root. */
	above: string | null;
	id: string;
	kind: string;
	state: string;
	substate: string | null;
	standing: string | null;
	note: string | null;
	says: string | null;
	pid: number | null;
	incarnation: number;
	restarts: number;
	/** Its last change of state. */
	since: number | null;
	lastExit: { reason: string; code: number | null; signal: string | null; at: number; detail?: string } | null;
	/** Measured for rows on screen only: see `visible`. */
	memoryBytes: number | null;
	cpuPercent: number | null;
	restartType: string | null;
	strategy: string | null;
	/** Of a supervisor: how many children there are; not all need have rows. */
	count: number | null;
	/** What may be asked for this one now. */
	operations: Operation[];
}

export type Operation = 'restart' | 'stop' | 'start' | 'reload' | 'scale';
/** One of `diagrams/`. */
export type ChartName = 'angel' | 'master' | 'dynamic' | 'worker';

/** One step of one machine. `seq` grows by one a step while this master lives. */
export interface StepEntry {
	seq: number;
	/** Ms since the epoch. */
	time: number;
	/** Whose machine it is. */
	path: string;
	chart: ChartName;
	incarnation: number;
	event: string;
	/** States as words, such as `running.healthy`; `''` before the first step. */
	from: string;
	to: string;
	effects: readonly string[];
	/** It changed nothing and asked for nothing. */
	ignored: boolean;
}

/** A state with what the machine knew in it; `context` is bounded in depth and size, and says where it was cut. */
export interface Moment {
	state: string;
	context: unknown;
}

/** A timer that runs. */
export interface RunningTimer {
	/** As the chart has it: `drainTimeout`. */
	name: string;
	/** Due, and set, in ms since the epoch. */
	at: number;
	from: number;
}

export type ToPage =
	| {
			say: 'hello';
			v: typeof WIRE_VERSION;
			tree: string;
			/** ISO time. */
			since: string;
			/** The clock of the server, in ms since the epoch. */
			now: number;
			angel: { pid: number };
			master: { pid: number; incarnation: number };
			readOnly: boolean;
	  }
	/** The whole tree, parents before children, in start order: first, and after each gap. */
	| { say: 'tree'; rows: Row[] }
	/** What has changed. `orders`: of supervisors among whose children somebody has come, gone or moved: the ids that remain, in start order. */
	| { say: 'rows'; rows: Row[]; gone: string[]; orders: Array<{ above: string; ids: readonly string[] }> }
	| { say: 'measured'; rows: Array<Pick<Row, 'path' | 'memoryBytes' | 'cpuPercent'>> }
	/** As they come; and first, after the tree, the last ones from before. */
	| { say: 'steps'; steps: StepEntry[] }
	/** This page was too slow: so many messages were left out. */
	| { say: 'gap'; dropped: number }
	/** The selected machine: at its selection, and whenever it changes. Null: there is no machine now. */
	| { say: 'machine'; path: string; chart: ChartName; incarnation: number; now: Moment | null; timers: RunningTimer[] }
	/** The last steps of the selected path, oldest first; `more`: some older ones are no longer kept. */
	| { say: 'history'; path: string; steps: StepEntry[]; more: boolean }
	/** Before and after a step; null: no longer kept. */
	| { say: 'moment'; seq: number; before: Moment | null; after: Moment | null }
	| { say: 'output'; path: string; lines: string[]; skippedBytes: number }
	/** How an operation ended. */
	| { say: 'done'; id: number; ok: boolean; message: string };

export type FromPage =
	/** Which machine and which output is looked at; null: none. */
	| { do: 'select'; path: string | null }
	/** Rows on screen, at most 200. */
	| { do: 'visible'; paths: string[] }
	| { do: 'moment'; seq: number }
	| { do: 'operate'; id: number; what: Operation; path: string; count?: number };
