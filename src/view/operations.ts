/** What a page may ask for: how each is carried out, and how its end is said. Each is an event. */
import { hasInstances } from '../../machines/desired.ts';
import { joinPath, splitPath } from '../master/paths.ts';
import type { Outcome } from '../master/tree.ts';
import type { Shown } from './server.ts';
import type { FromPage, Operation } from './wire.ts';

type Asked = Extract<FromPage, { do: 'operate' }>;

/** Of one page within a second: a person asks for less. */
const MAX_EACH_SECOND = 20;

/** Carries out what one page asks for. */
export function asker(shown: Shown, readOnly: boolean): (asked: Asked) => Promise<Outcome> {
	let secondFrom = 0;
	let asks = 0;
	return async (asked) => {
		if (performance.now() - secondFrom > 1_000) {
			secondFrom = performance.now();
			asks = 0;
		}
		asks += 1;
		if (readOnly) return no('this page is read-only: `view: { readOnly: false }` in the spec would let it operate');
		if (asks > MAX_EACH_SECOND) return no(`more than ${MAX_EACH_SECOND} operations within a second: that is no person, and is refused`);
		const { what, path, count } = asked;
		const why = refusal(shown, asked);
		const detail = { what, path, ...(count === undefined ? {} : { count }), by: 'page' };
		if (why !== null) return no(why);
		shown.news('info', 'operation.asked', `the page asks to ${what} ${path}${count === undefined ? '' : ` to ${count}`}`, detail);
		const outcome = await perform(shown, what, path, count as number).catch((error: Error) => no(error.message));
		if (!outcome.ok) shown.news('warn', 'operation.failed', `${what} of ${path} by the page: ${outcome.message}`, detail);
		return outcome.ok ? { ok: true, message: outcome.message || `${path} ${done[what]}` } : outcome;
	};
}

/** Why it is not even tried, or null. */
function refusal({ tree }: Shown, { what, path, count }: Asked): string | null {
	if (what === 'reload') {
		if (path !== '') return 'the tree is reloaded as a whole';
		return tree.canReload ? null : 'this tree cannot be reloaded';
	}
	if (path === '') return 'of the whole tree this can only be asked on the command line: `choir stop`, `choir start`';
	const view = tree.viewAt(path);
	if (view === null) return `there is no child '${path}'`;
	const isMember = tree.specOf(splitPath(path)[0])?.kind === 'dynamic';
	if (isMember && what !== 'stop') return 'the children of a dynamic supervisor are started and terminated, no more';
	if (what !== 'scale') return null;
	if (!hasInstances(view.spec)) return `'${path}' is not declared with instances`;
	return count === undefined ? 'expected a number of instances' : null;
}

async function perform({ tree }: Shown, what: Operation, path: string, count: number): Promise<Outcome> {
	const [above, id] = splitPath(path);
	switch (what) {
		case 'restart':
			return tree.restart(path);
		case 'stop':
			await tree.terminateChild(above, id);
			return { ok: true, message: '' };
		case 'start':
			if (tree.viewAt(path)?.standing === 'paused') return tree.unpause(path);
			await tree.restartChild(above, id);
			return { ok: true, message: '' };
		case 'scale': {
			const word = joinPath(above, tree.specOf(path)?.declaredId ?? id);
			const { from, to } = await tree.scale(word, count);
			return { ok: true, message: `${word} has ${to} instances, after ${from}` };
		}
		case 'reload': {
			const { result, generation, lines } = await tree.reload().ended;
			if (result === 'unchanged') return { ok: true, message: 'nothing has changed' };
			return result === 'done' ? { ok: true, message: `generation ${generation} runs` } : no(lines.join('; '));
		}
	}
}

const no = (message: string): Outcome => ({ ok: false, message });
const done: Record<Operation, string> = {
	restart: 'was restarted',
	stop: 'is stopped',
	start: 'runs',
	reload: 'was reloaded',
	scale: 'was scaled',
};
