/**
 * The reload of a tree: which effect of the rollout does what. The new ones run beside the old ones as candidates, which report
 * here and not to their supervisors, until the switch; then the old ones report here, until they are gone.
 */
import {
	type Changes,
	changesBetween,
	contentNames,
	countChanges,
	isWork,
	type PlannedChange,
	type Version,
} from '../../machines/changes.ts';
import { declaredCount, hasInstances, withAdded, wordOf } from '../../machines/desired.ts';
import type { MasterContext } from '../../machines/master.ts';
import { type Child, describe, type Replacement, unborn } from '../../machines/operations.ts';
import type { SavedChild } from '../../machines/reconcile.ts';
import { savedChild } from '../../machines/reconcile.ts';
import { mayRestart } from '../../machines/restart.ts';
import {
	type Candidate,
	type Exchange,
	type RolloutContext,
	type RolloutEffects,
	type RolloutEvent,
	type RolloutOutcome,
	rolloutMachine,
} from '../../machines/rollout.ts';
import type { ChildSpec, Exit, StopMode, SupervisorSpec, TreeSpec, WorkSpec } from '../../machines/spec.ts';
import { defaults } from '../../machines/spec.ts';
import type { Effects, Kernel } from '../kernel/kernel.ts';
import type { Run } from './host.ts';
import { childKey } from './mind.ts';
import { joinPath, runId, splitPath, supervisorId } from './paths.ts';
import type { TreeNews } from './tree.ts';

/** A version of the spec, ready to be run. */
export interface Prepared extends Omit<Version, 'root'> {
	spec: TreeSpec;
	/** What a next master loads it from. */
	file: string;
}

/** Why there is none; the exit code is that of the command that asked. */
export interface Unprepared {
	exitCode: number;
	lines: string[];
}

/** Where new versions come from. */
export interface Versions {
	/** Tries the spec as it is now, and loads it; `keep` false: only to be compared with. Answers once; the result of an abandoned one is dropped. */
	prepare(generation: number, keep: boolean, done: (result: Prepared | Unprepared) => void): () => void;
	/** What has come into force. */
	inForce(file: string): void;
	/** What is in force at the beginning. */
	current: Omit<Prepared, 'spec'> & { generation: number };
}

/** What there would be done. */
export type Planned = ({ ok: true } & Changes) | ({ ok: false } & Unprepared);

/** How a reload ended. */
export interface Reloaded extends RolloutOutcome {
	/** Of the version that was tried. */
	generation: number;
	changes: PlannedChange[];
	tookMs: number;
}

/** What is written down of a reload, before it is carried on. */
export interface SavedRollout {
	generation: number;
	state: string;
	/** The switch has been decided: the new version is in force. */
	switched: boolean;
	candidates: Candidate[];
	exchanges: Exchange[];
	outcome: RolloutOutcome;
	/** ISO time. */
	since: string;
}

/** What is written down of the version in force. */
export interface SavedGeneration {
	number: number;
	file: string;
	bundle: string;
	contents: Array<[name: string, digest: string]>;
}

/** Of the last reload: while it goes on, and after it has failed. */
export interface ReloadStatus {
	generation: number;
	/** `validating`, `surging`, `soaking`, `switching`, `retiring`, `rollingBack`; then `rolledBack` or `refused`. */
	state: string;
	reason: string | null;
	/** ISO time. */
	since: string;
}

/** What a reload needs of the tree. */
export interface Ground {
	kernel: Kernel;
	spec(): TreeSpec;
	specOf(path: string): ChildSpec | undefined;
	incarnationOf(path: string): number;
	runOf(machine: string): Run | undefined;
	newId(): string;
	start(run: Run, readyTimeoutMs: number | null): void;
	admit(run: Run): void;
	/** Numbers that are taken: whoever starts a supervisor again must know. */
	give(path: string, incarnation: number): void;
	/** From now on a path is started from this spec, as of that generation. */
	use(spec: ChildSpec, generation: number): void;
	/** Its old one stops, and one of what is in use starts. */
	exchange(path: string, done: (failure: string | null) => void): void;
	restart(path: string, done: (failure: string | null) => void): void;
	add(spec: ChildSpec, done: (failure: string | null) => void): void;
	remove(path: string, done: () => void): void;
	isPaused(spec: ChildSpec): boolean;
	takeOver(spec: TreeSpec, children: readonly ChildSpec[], incarnations: ReadonlyMap<string, number>): void;
	news(level: TreeNews['level'], path: string, event: string, message: string, detail?: Record<string, unknown>): void;
	/** A reload has ended. */
	over(): void;
}

const ROLLOUT = 'rollout';
export const isRollout = (machine: string) => machine === ROLLOUT;

interface Waiting {
	accepted: (planned: Planned) => void;
	ended: (how: Reloaded) => void;
}

export class Reloads {
	readonly #ground: Ground;
	readonly #versions: Versions;
	#generation: number;
	#tried: number;
	/** Of the version in force. */
	#bundle: string;
	#file: string;
	#contents: ReadonlyMap<string, string>;
	#next: Prepared | null = null;
	#nextRoot: SupervisorSpec | null = null;
	#changes: PlannedChange[] = [];
	#candidates = new Map<string, Run>();
	readonly #readyAt = new Map<string, number>();
	/** Old ones that drain, by worker id. */
	readonly #old = new Set<string>();
	#removing = 0;
	#abandon: (() => void) | null = null;
	#waiting: Waiting | null = null;
	#since = '';
	#startedAt = 0;
	#failed: ReloadStatus | null = null;

	constructor(ground: Ground, versions: Versions) {
		this.#ground = ground;
		this.#versions = versions;
		const { generation, bundle, file, contents } = versions.current;
		this.#file = file;
		this.#generation = generation;
		this.#tried = generation;
		this.#bundle = bundle;
		this.#contents = contents;
	}

	get generation(): number {
		return this.#generation;
	}

	/** The last version that was tried. */
	get tried(): number {
		return this.#tried;
	}

	/** Null: none goes on, and the last one did not fail. */
	get status(): ReloadStatus | null {
		const phase = this.#phase;
		if (phase === null) return this.#failed;
		const { outcome } = this.#context;
		return { generation: this.#tried, state: phase, reason: outcome.lines[0] ?? null, since: this.#since };
	}

	/** Whether children are in its hands. */
	get holds(): boolean {
		const phase = this.#phase;
		return phase !== null && phase !== 'retiring';
	}

	get isActive(): boolean {
		return this.#phase !== null;
	}

	/** An earlier master was in the middle of one. */
	resume({ generation, outcome, since, state }: SavedRollout, reason: string | null): void {
		this.#tried = Math.max(this.#tried, generation);
		const why = reason ?? outcome.lines[0] ?? null;
		if (reason !== null || state === 'done')
			this.#failed = { generation, state: outcome.result === 'refused' ? 'refused' : 'rolledBack', reason: why, since };
	}

	/** Only what would be done. */
	plan(done: (planned: Planned) => void): void {
		this.#versions.prepare(this.#tried + 1, false, (result) => {
			if (!('spec' in result)) return done({ ok: false, ...result });
			const { changes } = this.#compare(result);
			done({ ok: true, ...changes });
		});
	}

	/** One at a time: whoever asks sees to that. */
	reload(waiting: Waiting): void {
		this.#tried += 1;
		this.#waiting = waiting;
		this.#changes = [];
		this.#failed = null;
		this.#since = new Date().toISOString();
		this.#startedAt = this.#ground.kernel.clock.now();
		this.#ground.kernel.start(ROLLOUT, rolloutMachine, { generation: this.#tried }, this.#effects());
	}

	stop(mode: StopMode): void {
		if (this.isActive) this.#send({ type: 'stop', mode });
	}

	/** Whether an incarnation is in the hands of a reload and not of its supervisor. */
	owns({ workerId }: Run): boolean {
		return this.#candidates.has(workerId) || this.#old.has(workerId);
	}

	becameReady({ workerId }: Run): void {
		this.#readyAt.set(workerId, this.#ground.kernel.clock.now());
		this.#send({ type: 'candidate.ready', workerId });
	}

	died({ workerId, path }: Run, exit: Exit): void {
		if (this.#old.delete(workerId)) return this.#lookWhetherGone();
		this.#candidates.delete(workerId);
		this.#send({ type: 'candidate.died', workerId, message: describe(path, exit) });
	}

	/** One of the next version that its supervisor has in its hands already. */
	failed({ path, spec }: Run, exit: Exit): void {
		if (spec === null || !mayRestart(spec.restart.type, exit.reason)) return;
		this.#send({ type: 'child.failed', path, message: describe(path, exit) });
	}

	/** What is to be written down before the step is carried out. */
	record(): Record<string, unknown> {
		const { candidates, exchanges, outcome } = this.#context;
		const state = this.#phase ?? 'done';
		if (state === 'done' && (outcome.result === 'done' || outcome.result === 'unchanged')) return { rollout: null };
		const switched = state === 'retiring';
		const saved: SavedRollout = {
			generation: this.#tried,
			state,
			switched,
			candidates: [...candidates],
			exchanges: [...exchanges],
			outcome,
			since: this.#since,
		};
		if (!switched || this.#next === null || this.#generation === this.#tried) return { rollout: saved };
		// All at once: whoever reads this finds the new version in force, and its children in their places.
		const { file, bundle, contents } = this.#next;
		const generation: SavedGeneration = { number: this.#tried, file, bundle, contents: [...contents] };
		const children = candidates.map(({ path, incarnation, workerId }): [string, SavedChild] => {
			const child = this.#childAt(path) ?? { ...unborn, id: splitPath(path)[1], rule: (this.#ground.specOf(path) as ChildSpec)?.restart };
			const readyAt = this.#readyAt.get(workerId) ?? null;
			return [
				childKey(path),
				savedChild({ ...child, incarnation, used: incarnation, phase: 'running', standing: null, failures: 0, readyAt }),
			];
		});
		return { rollout: saved, generation, ...Object.fromEntries(children) };
	}

	/** All that is written down of reloads by now. */
	mind(): Record<string, unknown> {
		const generation: SavedGeneration = {
			number: this.#generation,
			file: this.#file,
			bundle: this.#bundle,
			contents: [...this.#contents],
		};
		if (this.#phase !== null) return { generation, ...this.record() };
		if (this.#failed === null) return { generation };
		const { generation: tried, state, reason, since } = this.#failed;
		const outcome = { result: state as 'rolledBack' | 'refused', lines: reason === null ? [] : [reason], exitCode: 1 };
		const rollout: SavedRollout = { generation: tried, state: 'done', switched: false, candidates: [], exchanges: [], outcome, since };
		return { generation, rollout };
	}

	get #phase(): string | null {
		const { kernel } = this.#ground;
		return kernel.isActive(ROLLOUT) ? ((kernel.state(ROLLOUT) as string).split('.')[0] as string) : null;
	}

	get #context(): RolloutContext {
		return this.#ground.kernel.context(ROLLOUT) as RolloutContext;
	}

	#send(event: RolloutEvent): void {
		this.#ground.kernel.send(ROLLOUT, event);
	}

	#effects(): Effects<RolloutEffects> {
		const { kernel } = this.#ground;
		return {
			prepare: () => this.#prepare(),
			abandon: () => this.#abandon?.(),
			launchCandidate: ({ workerId }) => this.#launch(workerId),
			drainCandidate: ({ workerId, mode }) => {
				const run = this.#candidates.get(workerId);
				if (run !== undefined) kernel.send(runId(run.path, run.incarnation), { type: 'drain', mode });
			},
			exchangeChild: ({ path, what }) => this.#exchange(path, what),
			restoreChild: ({ path, what }) => this.#restore(path, what),
			checkSwitch: () => {
				const stopped = this.#context.candidates.map(({ path }) => splitPath(path)[0]).find((above) => !this.#isRunning(above));
				if (stopped === undefined) this.#send({ type: 'switch.possible' });
				else this.#send({ type: 'switch.refused', message: `supervisor '${stopped}' does not run` });
			},
			switchOver: () => this.#switchOver(),
			retireOld: () => this.#retireOld(),
			hurryOld: ({ mode }) => this.#drainOld(mode),
			reportEnd: ({ outcome }) => this.#end(outcome),
		};
	}

	#prepare(): void {
		const generation = this.#tried;
		this.#abandon = this.#versions.prepare(generation, true, (result) => {
			if (this.#tried !== generation || this.#phase !== 'validating') return;
			this.#abandon = null;
			if (!('spec' in result)) return this.#refuse(result);
			const { changes, root } = this.#compare(result);
			if (changes.refused.length > 0) return this.#refuse({ exitCode: 1, lines: changes.refused });
			this.#next = result;
			this.#nextRoot = root;
			this.#changes = changes.children;
			const { kept, ...counts } = countChanges(changes.children);
			const words = Object.entries(counts).flatMap(([word, count]) => (count > 0 ? [`${count} ${word}`] : []));
			const said = words.length === 0 ? 'nothing has changed' : [...words, `${kept} kept`].join(', ');
			this.#ground.news('info', '', 'reload.planned', `reload to generation ${generation}: ${said}`, { generation, ...counts, kept });
			this.#waiting?.accepted({ ok: true, ...changes });
			this.#accept(changes.children);
		});
	}

	#refuse({ exitCode, lines }: Unprepared): void {
		this.#waiting?.accepted({ ok: false, exitCode, lines });
		this.#send({ type: 'spec.refused', exitCode, lines });
	}

	#accept(changes: readonly PlannedChange[]): void {
		const candidates: Candidate[] = [];
		const exchanges: Exchange[] = [];
		let soakMs = 0;
		let proofMs = 0;
		for (const { path, change, mode } of changes) {
			const [above] = splitPath(path);
			if ((change !== 'replaced' && change !== 'added') || !this.#isRunning(above)) continue;
			const spec = this.#nextSpecOf(path) as ChildSpec;
			const { standing = null } = this.#childAt(path) ?? {};
			// What is at rest stays so; what was given up may be what the new version is for.
			if (standing === 'stopped' || standing === 'finished' || standing === 'ignored' || this.#ground.isPaused(spec)) continue;
			if (mode !== 'surge' || !('reload' in spec)) {
				exchanges.push({ path, what: change === 'added' ? 'add' : 'replace', phase: 'waiting' });
				proofMs = Math.max(proofMs, 'reload' in spec ? spec.reload.soakMs : defaults.reload.soakMs);
				continue;
			}
			const incarnation = Math.max(this.#ground.incarnationOf(path), this.#childAt(path)?.used ?? 0) + 1;
			const group = joinPath(above, spec.declaredId);
			const workerId = this.#ground.newId();
			candidates.push({ path, incarnation, workerId, group, surge: spec.reload.surge, phase: 'waiting' });
			soakMs = Math.max(soakMs, spec.reload.soakMs);
		}
		for (const { path, incarnation } of candidates) this.#ground.give(path, incarnation);
		const touches = changes.some(({ change }) => change !== 'kept');
		this.#send({ type: 'spec.accepted', plan: { candidates, exchanges, soakMs, proofMs, touches } });
	}

	#launch(workerId: string): void {
		const { path, incarnation } = this.#context.candidates.find((candidate) => candidate.workerId === workerId) as Candidate;
		const spec = this.#nextSpecOf(path) as WorkSpec;
		const run: Run = { workerId, path, incarnation, generation: this.#tried, spec, stop: spec.stop, waits: true };
		this.#candidates.set(workerId, run);
		this.#ground.start(run, 'reload' in spec ? spec.reload.timeoutMs : null);
	}

	#exchange(path: string, what: Exchange['what']): void {
		const spec = this.#nextSpecOf(path) as ChildSpec;
		const done = (failure: string | null) =>
			this.#send(failure === null ? { type: 'child.exchanged', path } : { type: 'child.refused', path, message: failure });
		this.#ground.use(spec, this.#tried);
		if (what === 'add') return this.#ground.add(spec, done);
		this.#ground.exchange(path, done);
	}

	#restore(path: string, what: Exchange['what']): void {
		const done = () => this.#send({ type: 'child.exchanged', path });
		if (what === 'add') return this.#ground.remove(path, done);
		const old = this.#declaredAt(this.#ground.spec().root, path) ?? this.#sibling(this.#ground.spec().root, path);
		if (old !== undefined) this.#ground.use(old, this.#generation);
		this.#ground.restart(path, done);
	}

	#switchOver(): void {
		const { kernel } = this.#ground;
		const next = this.#next as Prepared;
		const root = this.#nextRoot as SupervisorSpec;
		const { candidates } = this.#context;
		const incarnations = new Map(candidates.map(({ path, incarnation }) => [path, incarnation]));
		for (const { path } of candidates) {
			const old = this.#ground.runOf(runId(path, this.#ground.incarnationOf(path)));
			if (old !== undefined) this.#old.add(old.workerId);
		}
		const taken = new Map(
			candidates.map(({ path, incarnation, workerId }) => [
				path,
				{ incarnation, readyAt: this.#readyAt.get(workerId) ?? kernel.clock.now() },
			]),
		);
		for (const run of this.#candidates.values()) this.#ground.admit(run);
		this.#candidates.clear();
		this.#readyAt.clear();
		const removed = new Set(this.#changes.filter(({ change }) => change === 'removed').map(({ path }) => path));
		const present = new Map<string, ReadonlySet<string>>();
		for (const { path } of supervisorsOf(root)) {
			const context = this.#masterAt(path);
			if (context !== undefined) present.set(path, new Set(context.children.keys()));
		}
		this.#ground.takeOver(next.spec, allOf(root), incarnations);
		this.#generation = this.#tried;
		this.#bundle = next.bundle;
		this.#file = next.file;
		this.#versions.inForce(next.file);
		this.#contents = next.contents;
		for (const { path, start, intensity, autoShutdown, shutdownMs, children } of supervisorsOf(root)) {
			const here = present.get(path);
			if (here === undefined) continue;
			const replacements = children
				.filter((child) => here.has(child.id) || taken.has(child.path) || this.#ground.isPaused(child))
				.map((child): Replacement => {
					const { id, path: of, restart: rule } = child;
					return { id, rule, taken: taken.get(of) ?? null, paused: this.#ground.isPaused(child) };
				});
			kernel.send(supervisorId(path), {
				type: 'children.replaced',
				spec: { start, intensity, autoShutdown, shutdownMs },
				children: replacements,
			});
		}
		for (const { path, change } of this.#changes) {
			const spec = change === 'changed' ? this.#ground.specOf(path) : undefined;
			if (spec === undefined || !isWork(spec)) continue;
			const machine = runId(path, this.#ground.incarnationOf(path));
			kernel.send(machine, { type: 'limits.changed', stop: spec.stop, okCodes: spec.restart.okCodes });
		}
		this.#ground.news('info', '', 'reload.switched', `generation ${this.#tried} is in force; the old ones drain`, {
			generation: this.#tried,
			draining: this.#old.size,
			removed: [...removed],
		});
	}

	#retireOld(): void {
		this.#drainOld('drain');
		// The last first, as in any stop.
		const removed = this.#changes.filter(({ change }) => change === 'removed').reverse();
		this.#removing = removed.length;
		for (const { path } of removed)
			this.#ground.remove(path, () => {
				this.#removing -= 1;
				this.#lookWhetherGone();
			});
		this.#lookWhetherGone();
	}

	#drainOld(mode: StopMode): void {
		for (const machine of this.#ground.kernel.ids()) {
			const run = machine.startsWith('worker:') ? this.#ground.runOf(machine) : undefined;
			if (run !== undefined && this.#old.has(run.workerId)) this.#ground.kernel.send(machine, { type: 'drain', mode });
		}
	}

	#lookWhetherGone(): void {
		if (this.#old.size === 0 && this.#removing === 0) this.#send({ type: 'old.gone' });
	}

	#end(how: RolloutOutcome): void {
		const { result, lines } = how;
		const reason = lines[0] ?? null;
		this.#next = null;
		this.#nextRoot = null;
		this.#candidates.clear();
		this.#readyAt.clear();
		const generation = this.#tried;
		const tookMs = Math.round(this.#ground.kernel.clock.now() - this.#startedAt);
		if (result === 'done')
			this.#ground.news('info', '', 'reload.done', `reloaded: generation ${generation} runs alone`, { generation, tookMs });
		else if (result === 'rolledBack' || result === 'refused') {
			this.#failed = { generation, state: result, reason, since: this.#since };
			const message = result === 'refused' ? `reload refused: ${lines.join('; ')}` : `reload rolled back: ${lines.join('; ')}`;
			this.#ground.news('error', '', `reload.${result}`, message, { generation, reason });
		}
		const waiting = this.#waiting;
		this.#waiting = null;
		this.#ground.kernel.remove(ROLLOUT);
		this.#ground.over();
		waiting?.accepted({ ok: false, exitCode: how.exitCode, lines });
		waiting?.ended({ ...how, generation, changes: this.#changes, tookMs });
	}

	#isRunning(supervisor: string): boolean {
		return this.#ground.kernel.state(supervisorId(supervisor))?.startsWith('running') === true;
	}

	#masterAt(path: string): MasterContext | undefined {
		const context = this.#ground.kernel.context(supervisorId(path)) as Partial<MasterContext> | undefined;
		return context?.children === undefined ? undefined : (context as MasterContext);
	}

	#childAt(path: string): Child | undefined {
		const [above, id] = splitPath(path);
		return this.#masterAt(above)?.children.get(id);
	}

	#nextSpecOf(path: string): ChildSpec | undefined {
		return this.#declaredAt(this.#nextRoot as SupervisorSpec, path);
	}

	#declaredAt(root: SupervisorSpec, path: string): ChildSpec | undefined {
		return allOf(root).find((spec) => spec.path === path);
	}

	/** As one that came by request is declared: like its siblings. */
	#sibling(root: SupervisorSpec, path: string): ChildSpec | undefined {
		const [above, id] = splitPath(path);
		const supervisor = above === '' ? root : this.#declaredAt(root, above);
		if (supervisor?.kind !== 'supervisor') return undefined;
		const like = supervisor.children.find((child) => child.id !== child.declaredId && child.declaredId === id.replace(/\.\d+$/, ''));
		return like === undefined ? undefined : { ...like, id, path };
	}

	#compare(next: Omit<Prepared, 'file'>): { changes: Changes; root: SupervisorSpec } {
		const declared = this.#ground.spec().root;
		const old = this.#asItIs(declared);
		const root = this.#asItWillBe(next.spec.root, declared, old);
		const before: Version = { root: old, bundle: this.#bundle, contents: this.#contents };
		return { changes: changesBetween(before, { root, bundle: next.bundle, contents: next.contents }), root };
	}

	/** What is declared and is there, and what came by request. */
	#asItIs(spec: SupervisorSpec): SupervisorSpec {
		const ids = this.#masterAt(spec.path)?.children.keys() ?? spec.children.map(({ id }) => id);
		const children = [...ids].flatMap((id) => this.#ground.specOf(joinPath(spec.path, id)) ?? []);
		return { ...spec, children: children.map((child) => (child.kind === 'supervisor' ? this.#asItIs(child) : child)) };
	}

	/** The new version, without what was deleted by request, and with what came by request. */
	#asItWillBe(next: SupervisorSpec, declared: SupervisorSpec, old: SupervisorSpec): SupervisorSpec {
		const has = (spec: SupervisorSpec, id: string) => spec.children.some((child) => child.id === id);
		// Another declared number of instances counts more than the one that was asked for before.
		const isCounted = (child: ChildSpec) => {
			const count = declaredCount(next, wordOf(child));
			return hasInstances(child) && count > 0 && count !== declaredCount(declared, wordOf(child));
		};
		const kept = next.children.filter((child) => !has(declared, child.id) || has(old, child.id) || isCounted(child));
		const added = old.children
			.filter((child) => !has(declared, child.id) && !has(next, child.id) && !isCounted(child))
			.flatMap((child) => {
				if (child.id === child.declaredId || !declared.children.some(({ declaredId }) => declaredId === child.declaredId)) return [child];
				return this.#sibling({ ...next, path: '' }, splitPath(child.path)[1]) === undefined
					? []
					: [{ ...(next.children.find((each) => each.declaredId === child.declaredId) as ChildSpec), id: child.id, path: child.path }];
			});
		const children = kept.map((child) => {
			const was = declared.children.find(({ id }) => id === child.id);
			const is = old.children.find(({ id }) => id === child.id);
			if (child.kind !== 'supervisor' || was?.kind !== 'supervisor' || is?.kind !== 'supervisor') return child;
			return this.#asItWillBe(child, was, is);
		});
		return { ...next, children: withAdded(children, added) };
	}
}

/** A supervisor and those below it. */
function supervisorsOf(root: SupervisorSpec): SupervisorSpec[] {
	return [root, ...root.children.flatMap((child) => (child.kind === 'supervisor' ? supervisorsOf(child) : []))];
}

/** All that is below a supervisor. */
export function allOf({ children }: SupervisorSpec): ChildSpec[] {
	return children.flatMap((child) => [child, ...(child.kind === 'supervisor' ? allOf(child) : [])]);
}

/** All files by whose content the children of a tree are compared. */
export function contentsIn(root: SupervisorSpec): Set<string> {
	const works = allOf(root).flatMap((spec) => (spec.kind === 'dynamic' ? [spec.template] : isWork(spec) ? [spec] : []));
	return new Set(works.flatMap(contentNames));
}
