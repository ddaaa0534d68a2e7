/** What happened in a simulated world, as records, and as lines for people and for comparing. */
import type { ExitReason } from '../../machines/spec.ts';

/**
 * One thing that happened. `kind`: `asked`: what a process was asked (`launch`, `activate`, `drain`, `terminate`, `kill`); `state`: a child or a
 * supervisor is in it now; `fault`: what the test did; `news`: what the tree says of itself.
 */
export interface WorldEvent {
	/** Simulated ms. */
	at: number;
	kind: 'asked' | 'state' | 'fault' | 'news';
	/** `''` is the tree itself. */
	path: string;
	/** Which incarnation, or 0 where it is about none. */
	incarnation: number;
	what: string;
	/** With `dead`: why. */
	reason: ExitReason | string | null;
}

const signs = { asked: '<', state: '=', fault: '!', news: '~' } as const;

/** `6000  web.1 = dead (killed)`. The tree itself goes by its name. */
export function lineOf({ at, kind, path, incarnation, what, reason }: WorldEvent, tree: string): string {
	const subject = path === '' ? tree : path;
	const number = (what === 'launch' || what === 'activate') && incarnation > 1 ? ` #${incarnation}` : '';
	// Sentences begin with their subject, which is there already.
	const said = kind === 'news' && what.startsWith(`${subject} `) ? what.slice(subject.length + 1) : what;
	return `${at}  ${subject} ${signs[kind]} ${said}${number}${reason === null ? '' : ` (${reason})`}`;
}
