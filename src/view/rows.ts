/** A child as a row of the page. */
import { hasInstances } from '../../machines/desired.ts';
import { monotonicMs } from '../kernel/clock.ts';
import { splitPath } from '../master/paths.ts';
import type { ChildView } from '../master/view.ts';
import { text } from './moment.ts';
import type { Shown } from './server.ts';
import type { Operation, Row } from './wire.ts';

/** The clock of the kernel starts with the machine; that of people in 1970. */
const epoch = Date.now() - monotonicMs();

/** Ms of the kernel's clock → ms since the epoch. */
export const epochMs = (at: number) => Math.round(epoch + at);

/** Null: there is no such child. The root has the path `''`. */
export function rowAt({ tree, id, says, masterIncarnation }: Shown, path: string, readOnly: boolean): Row | null {
	if (path === '') return rootRow(tree, id, masterIncarnation, readOnly);
	const view = tree.viewAt(path);
	if (view === null) return null;
	const [above, ownId] = splitPath(path);
	const { spec, state, substate, standing, note, workerId, pid, incarnation, restarts, sinceMs, lastExit, count } = view;
	const said = workerId === null ? null : says(workerId);
	const isMember = tree.specOf(above)?.kind === 'dynamic';
	return {
		path,
		above,
		id: ownId,
		kind: spec.kind,
		state,
		substate,
		standing,
		note: note === null ? null : text(note),
		says: said === null ? null : text(said),
		pid: state === 'dead' ? null : pid,
		incarnation,
		restarts,
		since: sinceMs === null ? null : epochMs(sinceMs),
		lastExit:
			lastExit === null
				? null
				: {
						reason: lastExit.reason,
						code: lastExit.code,
						signal: lastExit.signal,
						at: epochMs(lastExit.at),
						...(lastExit.detail === undefined ? {} : { detail: text(lastExit.detail) }),
					},
		memoryBytes: null,
		cpuPercent: null,
		restartType: spec.restart.type,
		strategy: count === null ? spec.restart.strategy : spec.kind === 'supervisor' ? spec.strategy : 'one_for_one',
		count,
		operations: readOnly ? [] : offered(view, isMember),
	};
}

/** A child of a dynamic supervisor is started and stopped, no more. */
function offered({ state, spec, standing }: ChildView, isMember: boolean): Operation[] {
	if (isMember) return ['stop'];
	// What was temporary and has ended is only there to be looked at.
	if (state === 'dead' && standing !== null && spec.restart.type === 'temporary') return [];
	const present: Operation[] = state === 'dead' ? ['start'] : ['restart', 'stop'];
	return hasInstances(spec) ? [...present, 'scale'] : present;
}

function rootRow(tree: Shown['tree'], id: string, incarnation: number, readOnly: boolean): Row {
	const { state, substate, sinceMs, strategy, count } = tree.root;
	const canReload = tree.canReload && state === 'running' && !readOnly;
	return {
		path: '',
		above: null,
		id,
		kind: 'supervisor',
		state,
		substate,
		standing: null,
		note: null,
		says: null,
		pid: process.pid,
		incarnation,
		restarts: 0,
		since: sinceMs === null ? null : epochMs(sinceMs),
		lastExit: null,
		memoryBytes: null,
		cpuPercent: null,
		restartType: null,
		strategy,
		count,
		operations: canReload ? ['reload'] : [],
	};
}
