/** How children and their machines are named: a path joins ids with `/`, without the tree's own name. */

export const supervisorId = (path: string) => `master:${path}`;
export const runId = (path: string, incarnation: number) => `worker:${path}#${incarnation}`;
export const joinPath = (path: string, id: string) => (path === '' ? id : `${path}/${id}`);

/** A path as that of its supervisor and the id under it. */
export function splitPath(path: string): [supervisor: string, id: string] {
	const at = path.lastIndexOf('/');
	return at < 0 ? ['', path] : [path.slice(0, at), path.slice(at + 1)];
}

/** The path that a machine is about. */
export function pathOf(machine: string): string {
	const end = machine.startsWith('worker:') ? machine.lastIndexOf('#') : machine.length;
	return machine.slice(7, end);
}
