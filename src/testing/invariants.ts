/**
 * What must hold in every tree, whatever goes wrong. Judged by what the processes were asked and did: of the machines' own knowledge
 * only the range of the operation that is going on is taken.
 */
import type { MasterContext } from '../../machines/master.ts';
import type { Operation } from '../../machines/operations.ts';
import type { ChildSpec, Exit, Intensity, StopSpec, SupervisorSpec, TreeSpec } from '../../machines/spec.ts';
import type { WorkerContext } from '../../machines/worker.ts';
import type { Step } from '../kernel/kernel.ts';
import { isPool } from '../master/standbys.ts';
import type { TreeNews } from '../master/tree.ts';
import type { Request, SimulatedProcess } from './host.ts';
import { BOOT_MS, type Observer, type World } from './world.ts';

/** A rule of one's own: `check` throws, or returns a text, if it does not hold. It is asked after every step. */
export interface Invariant {
	name: string;
	check: (world: World) => unknown;
}

export interface Violation {
	invariant: string;
	message: string;
}

/** What a process needs beyond what its spec allows it: to be spawned, to hear, to die of SIGKILL. */
const SLACK_MS = 50;
/** A drain request unheard for so long is followed by SIGTERM. */
const ACKNOWLEDGE_MS = 1_000;

/** Watches one world; `violation` is the first thing that did not hold. */
export class Watcher implements Observer {
	violation: Violation | null = null;
	readonly #spec: TreeSpec;
	readonly #supervisors = new Map<string, SupervisorSpec>();
	/** Supervisors that have said, in this life of theirs, that they run. */
	readonly #ready = new Set<string>();
	/** Supervisors that stop. One within them goes on until its turn, as in OTP. */
	readonly #stopping = new Map<string, { launches: number }>();
	/** Restarts that count, by supervisor, and by child for those that have a window of their own. */
	readonly #restarts = new Map<string, number[]>();
	/** When each incarnation that was asked to go must be dead, by machine. */
	readonly #due = new Map<string, { askedAt: number; limitMs: number; path: string }>();
	#world: World | null = null;
	#stoppedAt: number | null = null;
	#deadline = Number.POSITIVE_INFINITY;

	constructor(spec: TreeSpec) {
		this.#spec = spec;
		const learn = (supervisor: SupervisorSpec): void => {
			this.#supervisors.set(supervisor.path, supervisor);
			for (const child of supervisor.children) if (child.kind === 'supervisor') learn(child);
		};
		learn(spec.root);
	}

	/** When the stop must have ended, once one was asked; Infinity before. */
	get deadline(): number {
		return this.#deadline;
	}

	watch(world: World): void {
		this.#world = world;
	}

	stopped(world: World): void {
		this.#stoppedAt ??= world.now;
		this.#deadline = Math.min(this.#deadline, world.now + this.#stopLimit());
	}

	/** The supervisor did not run for so long. */
	delayed(ms: number): void {
		this.#deadline += ms;
		for (const due of this.#due.values()) due.limitMs += ms;
	}

	masterKilled(world: World): void {
		this.#ready.clear();
		this.#due.clear();
		this.#stopping.clear();
		if (this.#stoppedAt !== null) this.#deadline = Math.max(this.#deadline, world.now + BOOT_MS + this.#stopLimit());
	}

	/** After a step: what is no event, but the lack of one. */
	look(world: World): void {
		const left = [...world.processes()].map(({ run }) => `${run.path}#${run.incarnation}`);
		if (world.ended !== null && left.length > 0) this.#violate('an end leaves nobody', `the tree has ended, and ${left.join(', ')} lives`);
		for (const due of this.#due.values()) this.#checkDue(due);
		if (world.ended === null && world.now > this.#deadline) {
			const limit = this.#deadline - (this.#stoppedAt ?? 0);
			const who = left.length > 0 ? `${left.join(', ')} lives` : 'nobody lives, but the tree has not ended';
			this.#violate('every stop ends', `stopped at ${this.#stoppedAt} ms; ${limit} ms later, when all limits are over, ${who}`);
		}
	}

	asked(path: string, what: Request): void {
		const world = this.#world;
		if ((what !== 'launch' && what !== 'activate') || world === null) return;
		const stopping = this.#stopping.get(above(path));
		// Launched, and then, still in the same step, it was decided to stop: that is in order.
		if (stopping !== undefined && stopping.launches > 0) stopping.launches -= 1;
		else if (stopping !== undefined || (this.#stoppedAt !== null && above(path) === ''))
			this.#violate('nothing starts after a stop', `${path} was launched at ${world.now} ms, when its supervisor had been asked to stop`);
		const spec = world.specOf(path);
		for (const { run } of world.processes()) {
			if (run.path === path)
				this.#violate('one incarnation at a time', `${path} was launched at ${world.now} ms while ${path}#${run.incarnation} lives`);
			const other = world.specOf(run.path);
			if (spec === null || other === null || declared(other) === declared(spec)) continue;
			for (const address of addressesOf(spec))
				if (addressesOf(other).includes(address))
					this.#violate('an address has one holder', `${path} was launched at ${world.now} ms while ${run.path} holds ${address}`);
		}
	}

	step({ id, event, from, to, ignored, effects }: Step): void {
		if (isPool(id)) return;
		const isWorker = id.startsWith('worker:');
		const path = isWorker ? id.slice('worker:'.length, id.lastIndexOf('#')) : id.slice('master:'.length);
		if (event.type === 'xstate.init') {
			// Whoever is adopted is not started; the counts of one that goes on go on.
			const goesOn = to === 'starting.adopting' || to === 'starting.resuming';
			if (!isWorker) this.#stopping.delete(path);
			if (!isWorker && !goesOn) {
				this.#ready.delete(path);
				this.#restarts.delete(path);
				for (const { path: child } of this.#supervisors.get(path)?.children ?? []) this.#restarts.delete(`child ${child}`);
			}
			if (path !== '' && !goesOn) this.#checkStart(path);
		} else if ((event.type === 'drain' || event.type === 'stop') && !ignored && path !== '' && !this.#wasAsked(id))
			this.#checkStop(path, String(event.mode), from);
		if (isWorker && event.type === 'drain' && from !== '' && !this.#due.has(id)) {
			const run = this.#processAt(path)?.run;
			if (run !== undefined) this.#due.set(id, { askedAt: this.#world?.now ?? 0, limitMs: ladderMs(run.stop), path });
		}
		if (to === 'dead') {
			const due = this.#due.get(id);
			if (due !== undefined) this.#checkDue(due);
			this.#due.delete(id);
		}
		if (!isWorker && (to === 'draining' || to === 'dead') && !this.#stopping.has(path))
			this.#stopping.set(path, { launches: effects.filter((effect) => effect === 'launchChild').length });
		// One that has run only within this step has run as well: so it was told to its supervisor.
		if (!isWorker && effects.includes('reportReady')) this.#ready.add(path);
	}

	news({ event, path, detail }: TreeNews): void {
		if (event === 'child.gaveUp') this.#restarts.delete(`child ${path}`);
		if (event !== 'child.restart') return;
		const { exit } = detail as { exit: Exit };
		const supervisor = this.#supervisors.get(above(path));
		const rule = supervisor?.children.find((child) => child.path === path)?.restart;
		if (supervisor === undefined || rule === undefined || rule.whenExhausted === 'keepTrying') return;
		if (rule.whenExhausted === 'escalate') this.#count(above(path), exit.at, supervisor.intensity, supervisor.path || this.#spec.id);
		if (rule.intensity !== null) this.#count(`child ${path}`, exit.at, rule.intensity, path);
	}

	#checkDue({ askedAt, limitMs, path }: { askedAt: number; limitMs: number; path: string }): void {
		if ((this.#world?.now ?? 0) - askedAt <= limitMs) return;
		this.#violate(
			'whoever is asked to stop is dead within its limits',
			`${path} was asked at ${askedAt} ms and is not dead ${limitMs} ms later`,
		);
	}

	#count(window: string, at: number, { restarts, withinMs }: Intensity, whose: string): void {
		const times = [...(this.#restarts.get(window) ?? []).filter((then) => at - then <= withinMs), at];
		this.#restarts.set(window, times);
		if (times.length > restarts)
			this.#violate(
				'intensity is never exceeded',
				`${whose}: restarts at ${times.join(', ')} ms; at most ${restarts} within ${withinMs} ms`,
			);
	}

	/** Whoever starts in an ordered operation finds those before it in that operation ready. */
	#checkStart(path: string): void {
		const supervisor = this.#supervisors.get(above(path));
		const operation = this.#operation(path, ({ phase, scope, tried }, id) => phase === 'starting' && scope.slice(0, tried).includes(id));
		if (supervisor?.start !== 'ordered' || operation === undefined) return;
		for (const id of operation.scope.slice(0, operation.scope.indexOf(idOf(path)))) {
			const earlier = supervisor.children.find((child) => child.id === id);
			if (earlier === undefined || this.#isReady(earlier) || !this.#lives(earlier)) continue;
			this.#violate('each is ready before the next', `${path} was started at ${this.#world?.now} ms before ${earlier.path} was ready`);
		}
	}

	/** Whoever is asked to go in an ordered operation finds those after it in that operation dead. */
	#checkStop(path: string, mode: string, from: string): void {
		const supervisor = this.#supervisors.get(above(path));
		const operation = this.#operation(path, ({ phase, scope }, id) => phase === 'stopping' && scope.includes(id));
		if (supervisor?.start !== 'ordered' || operation === undefined) return;
		if (mode === 'kill' || operation.mode === 'kill' || from.startsWith('draining')) return;
		for (const id of operation.scope.slice(operation.scope.indexOf(idOf(path)) + 1)) {
			const later = supervisor.children.find((child) => child.id === id);
			if (later !== undefined && this.#lives(later))
				this.#violate(
					'each is dead before the next is asked',
					`${path} was asked to stop at ${this.#world?.now} ms while ${later.path} lives`,
				);
		}
	}

	#operation(path: string, which: (operation: Operation, id: string) => boolean): Operation | undefined {
		const context = this.#world?.tree.kernel.context(`master:${above(path)}`) as MasterContext | undefined;
		return context?.operations.find((operation) => which(operation, idOf(path)));
	}

	/** By an earlier master: this one only asks again. */
	#wasAsked(id: string): boolean {
		const context = this.#world?.tree.kernel.context(id) as Partial<WorkerContext> | undefined;
		return context?.adopted?.asked === true;
	}

	/** By its own word. */
	#isReady({ kind, path }: ChildSpec): boolean {
		if (kind === 'supervisor') return this.#ready.has(path);
		return this.#processAt(path)?.ready ?? false;
	}

	/** The latest at a path. */
	#processAt(path: string): SimulatedProcess | undefined {
		let found: SimulatedProcess | undefined;
		for (const process of this.#world?.processes() ?? []) if (process.run.path === path) found = process;
		return found;
	}

	#lives(child: ChildSpec): boolean {
		for (const { run } of this.#world?.processes() ?? []) if (run.path === child.path || run.path.startsWith(`${child.path}/`)) return true;
		return false;
	}

	#stopLimit(): number {
		const undeclared = [...(this.#world?.processes() ?? [])].map(({ run }) => run).filter(({ path }) => this.#world?.specOf(path) == null);
		const works = [...worksIn(this.#spec.root), ...undeclared];
		const sum = works.reduce((limit, { stop }) => limit + ladderMs(stop), SLACK_MS);
		return Math.min(sum, this.#spec.stopTimeoutMs + SLACK_MS * (1 + works.length));
	}

	#violate(invariant: string, message: string): void {
		this.violation ??= { invariant, message };
	}
}

/** From the request to the death of one that only SIGKILL ends. */
function ladderMs({ drainMs, terminateMs }: StopSpec): number {
	return Math.min(ACKNOWLEDGE_MS, drainMs) + drainMs + terminateMs + SLACK_MS;
}

function worksIn({ children }: SupervisorSpec): Array<{ stop: StopSpec }> {
	return children.flatMap((child) =>
		child.kind === 'supervisor' ? worksIn(child) : child.kind === 'dynamic' ? [child.template] : [child],
	);
}

const above = (path: string) => path.slice(0, Math.max(0, path.lastIndexOf('/')));
const idOf = (path: string) => path.slice(path.lastIndexOf('/') + 1);
const declared = ({ path, declaredId }: ChildSpec) => `${above(path)}/${declaredId}`;

function addressesOf(spec: ChildSpec): string[] {
	if (spec.kind !== 'node' && spec.kind !== 'command') return [];
	return spec.listen.map(({ host, port, socketPath }) => socketPath ?? `${host ?? '*'}:${port}`);
}
