/**
 * The spares of a tree: which effect of the pools does what. A spare is an incarnation of its own, at `web.standby-1`, with a machine like
 * any other; it reports here and not to a supervisor. When one takes the place of a child, its process goes on under the child's
 * path, as the same worker, and its own machine is over.
 */
import type { MasterContext } from '../../machines/master.ts';
import { type Child, describe } from '../../machines/operations.ts';
import type { ChildSpec, Exit, NodeSpec, StopMode } from '../../machines/spec.ts';
import { type StandbyContext, type StandbyEffects, type StandbyEvent, spareOf, standbyMachine } from '../../machines/standby.ts';
import type { Effects, Kernel } from '../kernel/kernel.ts';
import type { Leftover, Run } from './host.ts';
import { joinPath, pathOf, runId, splitPath, supervisorId } from './paths.ts';
import type { TreeNews } from './tree.ts';

/** What the pools need of the tree. */
export interface Shelter {
	kernel: Kernel;
	specOf(path: string): ChildSpec | undefined;
	generation(): number;
	newId(): string;
	chance(): number;
	start(run: Run): void;
	adopt(run: Run, left: Leftover): void;
	/** From now on that run is no machine's. */
	release(run: Run): void;
	/** Whether children are being replaced. */
	isReloading(): boolean;
	/** Nobody is left here. */
	gone(): void;
	news(level: TreeNews['level'], path: string, event: string, message: string, detail?: Record<string, unknown>): void;
}

/** How many spares a group is to have, and has. */
export interface StandbyStatus {
	wanted: number;
	loaded: number;
}

interface Held {
	run: Run;
	group: string;
	place: number;
	loaded: boolean;
}

const machineOf = (group: string) => `standby:${group}`;
export const isPool = (machine: string) => machine.startsWith('standby:');
/** The place of a spare that no pool counts. */
const NOWHERE = 0;
/** `web.standby-1`, of the group `web`. */
const SPARE = /^(.+)\.standby-(\d+)$/;
export const isSparePath = (path: string) => SPARE.test(path);

export class Standbys {
	readonly #shelter: Shelter;
	/** By worker id. */
	readonly #held = new Map<string, Held>();
	/** By group: an instance as it was last declared. */
	readonly #groups = new Map<string, NodeSpec>();
	readonly #started = new Set<string>();
	readonly #incarnations = new Map<string, number>();
	readonly #effects: Effects<StandbyEffects>;
	#stopped: StopMode | null = null;

	constructor(shelter: Shelter) {
		this.#shelter = shelter;
		this.#effects = this.#makeEffects();
	}

	/** Whether an incarnation is a spare. */
	owns({ workerId }: Run): boolean {
		return this.#held.has(workerId);
	}

	get isEmpty(): boolean {
		return this.#held.size === 0;
	}

	/** Of the group of a child; null: it has none. */
	statusOf(spec: ChildSpec): StandbyStatus | null {
		if (spec.kind !== 'node' || spec.standby === 0) return null;
		const context = this.#contextOf(groupOf(spec));
		return { wanted: spec.standby, loaded: context?.spares.filter(({ phase }) => phase === 'loaded').length ?? 0 };
	}

	/** A machine has come into another state. */
	changed(machine: string): void {
		if (machine.startsWith('worker:')) return this.look(pathOf(machine));
		if (!machine.startsWith('master:')) return;
		const path = pathOf(machine);
		for (const group of this.#groups.keys()) if (splitPath(group)[0] === path) this.#send(group, { type: 'group.changed' });
	}

	/** Something has happened to a child. */
	look(path: string): void {
		const spec = this.#shelter.specOf(path);
		if (spec?.kind !== 'node') return;
		const group = groupOf(spec);
		if (spec.standby > 0) this.#groups.set(group, spec);
		if (this.#groups.has(group)) this.#send(group, { type: 'group.changed' });
	}

	/** The version in force is another one: spares of what it has replaced are out of date. */
	switched(replaced: ReadonlySet<string>): void {
		for (const path of replaced) this.renew(path);
		this.lookAtAll();
	}

	lookAtAll(): void {
		for (const group of this.#groups.keys()) this.#send(group, { type: 'group.changed' });
	}

	/** What its group has loaded may be out of date. */
	renew(path: string): void {
		const spec = this.#shelter.specOf(path);
		const group = spec === undefined ? '' : groupOf(spec);
		if (this.#groups.has(group)) this.#send(group, { type: 'renew' });
	}

	/** A spare for a child, which is then nobody's but its own; null: none is loaded. */
	take(path: string): Run | null {
		const spec = this.#shelter.specOf(path);
		if (spec?.kind !== 'node' || spec.standby === 0 || this.#stopped !== null) return null;
		const group = groupOf(spec);
		for (const [workerId, held] of this.#held) {
			if (held.group !== group || !held.loaded) continue;
			this.#held.delete(workerId);
			this.#shelter.release(held.run);
			this.#send(group, { type: 'spare.taken', place: held.place });
			this.#shelter.news('info', path, 'standby.activated', `${path} is taken over by the standby ${held.run.path}`, {
				standby: held.run.path,
			});
			return held.run;
		}
		return null;
	}

	loaded({ workerId }: Run): void {
		const held = this.#held.get(workerId);
		if (held === undefined) return;
		const { group, place } = held;
		const isKept = this.#contextOf(group)?.spares.some((spare) => spare.place === place && spare.phase === 'loading');
		held.loaded = isKept === true;
		this.#send(group, { type: 'spare.loaded', place, at: this.#shelter.kernel.clock.now() });
	}

	died({ workerId }: Run, exit: Exit): void {
		const held = this.#held.get(workerId);
		if (held === undefined) return;
		this.#held.delete(workerId);
		const why = describe(held.run.path, exit);
		this.#send(held.group, { type: 'spare.died', place: held.place, why, at: exit.at, chance: this.#shelter.chance() });
		if (this.isEmpty) this.#shelter.gone();
	}

	/** What an earlier master has left of its spares. Those of another version go; those of what is there no more are left to whoever asks next. */
	adopt(found: readonly Leftover[]): void {
		for (const left of found) {
			const [, group = '', number] = SPARE.exec(left.path) ?? [];
			const spec = this.#anInstanceOf(group) ?? this.#groups.get(group);
			if (spec === undefined || left.ended !== null) continue;
			this.#groups.set(group, spec);
			const isKept = left.generation === this.#shelter.generation() && this.#stopped === null;
			const place = isKept ? Number(number) : NOWHERE;
			const run = { ...this.#runOf(spec, left.path, left.workerId, left.incarnation), generation: left.generation };
			this.#held.set(left.workerId, { run, group, place, loaded: false });
			if (isKept) this.#send(group, { type: 'spare.found', place });
			this.#shelter.adopt(run, left);
			if (!isKept) this.#drain(run);
		}
	}

	/** All of them go, and no other comes. */
	stop(mode: StopMode): void {
		const again = this.#stopped !== null;
		this.#stopped = mode;
		this.lookAtAll();
		if (again) for (const { run } of this.#held.values()) this.#drain(run);
	}

	/** Numbers that an earlier master has given. */
	know(path: string, incarnation: number): void {
		if (isSparePath(path)) this.#incarnations.set(path, Math.max(incarnation, this.#incarnations.get(path) ?? 0));
	}

	#makeEffects(): Effects<StandbyEffects> {
		return {
			lookAtGroup: (_, machine) => this.#lookAt(pathIn(machine)),
			launchSpare: ({ place }, machine) => {
				const group = pathIn(machine);
				const path = sparePath(group, place);
				const spec = this.#anInstanceOf(group) ?? (this.#groups.get(group) as NodeSpec);
				const run = this.#runOf(spec, path, this.#shelter.newId(), (this.#incarnations.get(path) ?? 0) + 1);
				this.#incarnations.set(path, run.incarnation);
				this.#held.set(run.workerId, { run, group, place, loaded: false });
				this.#shelter.start(run);
			},
			releaseSpare: ({ place }, machine) => {
				const group = pathIn(machine);
				for (const held of this.#held.values()) {
					if (held.group !== group || held.place !== place) continue;
					held.loaded = false;
					this.#drain(held.run);
				}
			},
			reportFailure: ({ why, delayMs }, machine) => {
				const group = pathIn(machine);
				const next = delayMs > 0 ? `the next one starts in ${delayMs} ms` : 'the next one starts';
				this.#shelter.news('warn', group, 'standby.failed', `${group} has a standby less: ${why}; ${next}`, { delayMs });
			},
		};
	}

	/** It serves nobody: it has nothing to finish. */
	#drain({ path, incarnation }: Run): void {
		this.#shelter.kernel.send(runId(path, incarnation), { type: 'drain', mode: this.#stopped === 'kill' ? 'kill' : 'fast' });
	}

	#lookAt(group: string): void {
		const { kernel, isReloading } = this.#shelter;
		const spec = this.#anInstanceOf(group);
		if (spec === undefined) return this.#send(group, { type: 'group.seen', wanted: 0, settled: false });
		const [above] = splitPath(group);
		const supervisor = kernel.state(supervisorId(above)) ?? '';
		const isUp = this.#stopped === null && /^(starting|running)/.test(supervisor);
		const children = this.#instancesOf(group);
		const wanted = isUp && children.some(({ standing }) => standing === null) ? spec.standby : 0;
		const isBusy = children.some(({ phase }) => phase === 'starting' || phase === 'draining');
		const settled = supervisor.startsWith('running') && !isReloading() && !isBusy && children.some(({ phase }) => phase === 'running');
		this.#send(group, { type: 'group.seen', wanted, settled });
	}

	#instancesOf(group: string): Child[] {
		const [above, declaredId] = splitPath(group);
		const context = this.#shelter.kernel.context(supervisorId(above)) as Partial<MasterContext> | undefined;
		return [...(context?.children?.values() ?? [])].filter(({ id }) => id.replace(/\.\d+$/, '') === declaredId);
	}

	/** As it is declared by now. */
	#anInstanceOf(group: string): NodeSpec | undefined {
		const [above] = splitPath(group);
		for (const { id } of this.#instancesOf(group)) {
			const spec = this.#shelter.specOf(joinPath(above, id));
			if (spec?.kind === 'node' && (spec.standby > 0 || this.#groups.has(group))) return spec;
		}
		return undefined;
	}

	#runOf(spec: NodeSpec, path: string, workerId: string, incarnation: number): Run {
		const [, id] = splitPath(path);
		const generation = this.#shelter.generation();
		return { workerId, path, incarnation, generation, spec: spareOf(spec, id, path), stop: spec.stop, standby: 'spare' };
	}

	#contextOf(group: string): StandbyContext | undefined {
		return this.#shelter.kernel.context(machineOf(group)) as StandbyContext | undefined;
	}

	#send(group: string, event: StandbyEvent): void {
		const machine = machineOf(group);
		if (!this.#started.has(group)) {
			this.#started.add(group);
			this.#shelter.kernel.start(machine, standbyMachine, undefined, this.#effects);
		}
		this.#shelter.kernel.send(machine, event);
	}
}

const groupOf = ({ path, declaredId }: ChildSpec) => joinPath(splitPath(path)[0], declaredId);
const sparePath = (group: string, place: number) => `${group}.standby-${place}`;
const pathIn = (machine: string) => machine.slice('standby:'.length);
