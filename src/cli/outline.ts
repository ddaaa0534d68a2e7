/** A tree as an outline: what `choir check` prints. */

import path from 'node:path';
import type { ChildSpec, Intensity, ListenSpec, ReadySpec, SupervisorSpec, TreeSpec, WorkSpec } from '../../machines/spec.ts';
import { visible } from '../logs/visible.ts';
import { asDuration } from './duration.ts';

/** One line a child, instances of one child together, indented by depth and aligned. Modules are shown relative to the spec's `folder`. */
export function outline({ id, root }: TreeSpec, folder: string): string {
	const rows: Array<[name: string, text: string]> = [[id, supervisorText('tree', root)]];
	addChildren(root.children, 1, folder, rows);
	const width = Math.max(...rows.map(([name]) => name.length));
	return rows.map(([name, text]) => `${name.padEnd(width)}  ${visible(text)}\n`).join('');
}

function addChildren(children: ChildSpec[], depth: number, folder: string, rows: Array<[string, string]>): void {
	const seen = new Set<string>();
	for (const child of children) {
		if (seen.has(child.declaredId)) continue;
		seen.add(child.declaredId);
		const instances = children.filter(({ declaredId }) => declaredId === child.declaredId).length;
		rows.push(['  '.repeat(depth) + child.declaredId, childText(child, instances, folder)]);
		if (child.kind === 'supervisor') addChildren(child.children, depth + 1, folder, rows);
	}
}

function childText(child: ChildSpec, instances: number, folder: string): string {
	if (child.kind === 'supervisor') return `${supervisorText('supervisor', child)}, ${child.restart.type}`;
	const kind = instances > 1 ? `${child.kind} × ${instances}` : child.kind;
	if (child.kind === 'dynamic')
		return [kind, ...whatText(child.template, folder), `at most ${child.maxChildren}`, child.template.restart.type].join(', ');
	return [
		kind,
		...whatText(child, folder),
		child.restart.type,
		child.restart.strategy,
		...(child.kind === 'node' || child.kind === 'command' ? child.listen.map(listenText) : []),
		readyText(child.ready),
	].join(', ');
}

/** What a child runs; nothing for an actor. */
export function whatText(child: WorkSpec, folder: string): string[] {
	if (child.kind === 'actor') return [];
	return [child.kind === 'command' ? child.run.join(' ') : path.relative(folder, path.resolve(folder, child.module))];
}

function supervisorText(kind: string, { strategy, intensity, start }: SupervisorSpec): string {
	return `${kind}, ${strategy}, ${intensityText(intensity)}${start === 'parallel' ? ', starts in parallel' : ''}`;
}

export function listenText({ name, host, port, socketPath }: ListenSpec): string {
	if (socketPath !== null) return `${name} on unix:${socketPath}`;
	return `${name} on ${host === null ? '' : `${host}:`}${port}`;
}

export function readyText(ready: ReadySpec): string {
	switch (ready.kind) {
		case 'spawned':
			return 'ready when spawned';
		case 'signal':
			return 'ready by its own word';
		case 'output':
			return `ready at output /${ready.pattern}/${ready.regexFlags}`;
		case 'after':
			return `ready after ${asDuration(ready.afterMs)}`;
		case 'probe':
			return `ready by ${ready.probe.kind} probe`;
	}
}

export function intensityText({ restarts, withinMs }: Intensity): string {
	return `${restarts} restarts within ${asDuration(withinMs)}`;
}
