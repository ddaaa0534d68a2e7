/**
 * Runs a scenario of `test/otp/cases.jsonl` through a tree with scripted children on the simulated clock, and says what
 * happened in the words in which a real OTP supervisor's trace is written down. The scenario's root is the only child of the
 * tree, so that paths read alike and the tree outlives it.
 */

import { createMachine, fromCallback } from 'xstate';
import type { MasterContext, SupervisorEnd } from '../../machines/master.ts';
import { isGone } from '../../machines/operations.ts';
import type { ChildDeclaration, SupervisorSpec, TreeSpec } from '../../machines/spec.ts';
import { defaults, NEVER_MS } from '../../machines/spec.ts';
import { SimulatedClock } from '../../src/kernel/clock.ts';
import type { Step } from '../../src/kernel/kernel.ts';
import type { Host, Run } from '../../src/master/host.ts';
import { joinPath, pathOf, runId, splitPath, supervisorId } from '../../src/master/paths.ts';
import { type RequestError, Tree } from '../../src/master/tree.ts';
import type { Listed } from '../../src/master/view.ts';
import { resolveChild, SpecError } from '../../src/spec/check.ts';
import { rule } from './world.ts';

export interface Child {
	id?: string;
	kind: string;
	restart?: string;
	significant?: unknown;
	shutdown?: string | number;
	type?: string;
	no_start?: boolean;
	start?: Record<string, Attempt>;
	on_shutdown?: OnShutdown;
	strategy?: string;
	intensity?: unknown;
	period?: unknown;
	auto_shutdown?: string;
	children?: Child[];
}
type Attempt = string | { do: string; hold: Op[] };
type OnShutdown = string | { first: Array<{ path: string; reason: string }> };
export interface Op {
	op: string;
	path: string;
	id?: string;
	by?: string;
	reason?: string;
	instance?: string;
	child?: Child;
	start?: Record<string, Attempt>;
	on_shutdown?: OnShutdown;
	exits?: Array<{ path: string; reason: string }>;
	ms?: number;
}
export interface StepTrace {
	result: unknown;
	held?: Array<{ op: string; result: unknown }>;
	events: string[];
	tree: Record<string, string[]>;
	root: string;
}
export interface Trace {
	start: StepTrace;
	ops: Array<StepTrace & { op: string }>;
	stop: StepTrace;
}
export interface Scenario {
	id: string;
	root: Child;
	ops: Op[];
}

/** A result that is no subject here: whatever OTP says is right. */
export const ANYTHING = Symbol('anything');

const logic = fromCallback(() => {});

/** A child as users would declare it. What OTP would refuse stays as wrong as it is. */
function declarationOf(child: Child): ChildDeclaration {
	const { id, kind, restart, significant, shutdown, type, no_start: noStart } = child;
	const given = (fields: Record<string, unknown>) =>
		Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as never;
	if (kind === 'supervisor' || child.children !== undefined) return supervisorOf(child, given);
	// What only claims to be a supervisor is one.
	if (type === 'supervisor') return supervisorOf({ ...child, children: [] }, given);
	const drain = shutdown === 'brutal_kill' ? 0 : shutdown;
	return given({
		kind: 'actor',
		id,
		logic: noStart ? undefined : logic,
		restart: restart ?? 'permanent',
		significant,
		stop: drain === undefined ? undefined : { drain },
		type: type === 'worker' ? undefined : type,
	});
}

function supervisorOf(child: Child, given: (fields: Record<string, unknown>) => never): ChildDeclaration {
	const { id, restart, significant, shutdown, strategy, children = [], intensity = 1, period = 5, auto_shutdown: autoShutdown } = child;
	const common = {
		id,
		restart,
		significant,
		shutdown: shutdown === 'brutal_kill' ? 'kill' : shutdown,
		intensity: { restarts: intensity, within: typeof period === 'number' ? period * 1_000 : period },
	};
	if (strategy !== 'simple_one_for_one')
		return given({
			kind: 'supervisor',
			...common,
			strategy: strategy ?? 'one_for_one',
			autoShutdown,
			children: children.map(declarationOf),
		});
	const [template, ...more] = children;
	return given({
		kind: 'dynamic',
		...common,
		child: template === undefined ? undefined : declarationOf(template),
		more: more.length > 0 ? more : undefined,
	});
}

/** The tree around a scenario: it watches its root, and does nothing about it. */
const around: SupervisorSpec = {
	kind: 'supervisor',
	id: '',
	declaredId: '',
	path: '',
	restart: rule(),
	strategy: 'one_for_one',
	intensity: { restarts: 0, withinMs: 1 },
	start: 'ordered',
	autoShutdown: 'never',
	shutdownMs: null,
	children: [],
};

export class OtpDriver implements Host {
	readonly #clock = new SimulatedClock();
	readonly #scenario: Scenario;
	readonly #declared = new Map<string, Child>();
	readonly #scripts = new Map<string, Record<string, Attempt>>();
	readonly #shutdowns = new Map<string, OnShutdown>();
	/** Actors that only claim to be supervisors: they have no list of children. */
	readonly #claims = new Set<string>();
	/** How often each path was started, and which attempt an incarnation is. */
	readonly #attempts = new Map<string, number>();
	readonly #attemptOf = new Map<string, number>();
	readonly #up = new Set<string>();
	readonly #failures = new Map<string, string>();
	readonly #living = new Map<string, Run>();
	readonly #events: string[] = [];
	/** What came while a supervisor was inside a start call: it waits in the mailbox, behind what is there already. */
	readonly #held: Array<() => void> = [];
	#heldResults: Array<{ op: string; result: unknown }> = [];
	#tree: Tree;
	#started = false;
	#over: string | null = null;

	constructor(scenario: Scenario) {
		this.#scenario = scenario;
		this.#tree = this.#treeOf([]);
	}

	async run(): Promise<Trace> {
		const start = await this.#step(() => this.#start());
		const ops: Trace['ops'] = [];
		for (const op of this.#scenario.ops) ops.push({ op: op.op, ...(await this.#step(() => this.#perform(op))) });
		const stop = await this.#step(() => this.#stop());
		return { start, ops, stop };
	}

	#treeOf(children: SupervisorSpec['children']): Tree {
		const spec: TreeSpec = {
			id: 'otp',
			root: { ...around, children },
			stopTimeoutMs: 60_000,
			onAngelLoss: 'keep',
			upgradeTimeoutMs: 1,
			master: defaults.master,
			view: defaults.view,
			operations: defaults.operations,
		};
		let ids = 0;
		return new Tree({
			spec,
			clock: this.#clock,
			chance: () => 0,
			newId: () => `w${++ids}`,
			host: this,
			news: () => {},
			running: () => {},
			ended: () => {},
			watch: (step) => this.#watch(step),
		});
	}

	async #start(): Promise<unknown> {
		const { root } = this.#scenario;
		let spec: SupervisorSpec['children'][number];
		try {
			spec = resolveChild({ ...declarationOf({ ...root, kind: 'supervisor' }), id: 'root', restart: 'temporary' } as never, around);
		} catch (error) {
			if (!(error instanceof SpecError)) throw error;
			this.#events.push('fail root#1 bad_spec');
			return 'error:start_failed(bad_spec';
		}
		this.#learn('root', root);
		this.#tree = this.#treeOf([spec]);
		this.#tree.kernel.start('driver', createMachine({ on: { held: { actions: 'act' } } }), undefined as never, {
			act: () => this.#held.shift()?.(),
		});
		this.#tree.start();
		await this.#settle();
		this.#started = this.#up.has('root');
		return this.#started ? this.#name('root') : `error:start_failed(${this.#failures.get('root')})`;
	}

	#stop(): Promise<unknown> | string {
		if (!this.#isAlive) return 'noproc';
		return this.#ask(async () => {
			await this.#tree.terminateChild('', 'root');
			return this.#over;
		});
	}

	get #isAlive(): boolean {
		return this.#started && this.#over === null;
	}

	#learn(path: string, child: Child): void {
		const { start, on_shutdown: onShutdown, children = [], strategy, kind, type } = child;
		this.#declared.set(path, child);
		if (kind === 'actor' && type === 'supervisor') this.#claims.add(path);
		if (start !== undefined) this.#scripts.set(path, start);
		else this.#scripts.delete(path);
		if (onShutdown !== undefined) this.#shutdowns.set(path, onShutdown);
		else this.#shutdowns.delete(path);
		if (strategy === 'simple_one_for_one') return this.#learn(`${path}/`, { ...(children[0] as Child), children: [] });
		for (const each of children) if (each.id !== undefined) this.#learn(joinPath(path, each.id), each);
	}

	/** What is declared for a path, or for the template that it is made of. */
	#of<Value>(map: ReadonlyMap<string, Value>, path: string): Value | undefined {
		return map.get(path) ?? map.get(`${splitPath(path)[0]}/`);
	}

	async #step(act: () => Promise<unknown> | unknown): Promise<StepTrace> {
		this.#events.length = 0;
		this.#heldResults = [];
		let result: unknown;
		const done = Promise.resolve(act()).then((value) => {
			result = value;
		});
		await this.#settle();
		await done;
		const held = this.#heldResults;
		return {
			result,
			...(held.length > 0 ? { held } : {}),
			events: [...this.#events],
			tree: await this.#treeNow(),
			root: this.#isAlive ? 'alive' : this.#started ? 'exited' : 'never_started',
		};
	}

	/** Until nothing happens any more; time passes only for a shutdown's limit. */
	async #settle(): Promise<void> {
		for (;;) {
			await new Promise((resolve) => setImmediate(resolve));
			const { due } = this.#clock;
			if (due === null || (due > this.#clock.now() && !this.#isStopping)) return;
			if (due - this.#clock.now() > NEVER_MS / 2) return;
			this.#clock.advance(due - this.#clock.now());
		}
	}

	get #isStopping(): boolean {
		return [...this.#living.values()].some((run) => this.#tree.kernel.state(runId(run.path, run.incarnation))?.startsWith('draining'));
	}

	async #treeNow(): Promise<Record<string, string[]>> {
		const tree: Record<string, string[]> = {};
		if (!this.#isAlive) return tree;
		const look = async (path: string) => {
			const listed = await this.#tree.whichChildren(path);
			const words = listed.map((child) => this.#word(child));
			tree[path] = this.#isDynamic(path) ? words.sort() : words;
			for (const child of listed)
				if (child.type === 'supervisor' && child.state === 'up' && !this.#claims.has(child.path)) await look(child.path);
		};
		await look('root');
		return tree;
	}

	#isDynamic(path: string): boolean {
		const [above, id] = splitPath(path);
		return this.#tree.childSpec(above, id).kind === 'dynamic';
	}

	#word({ id, path, state, incarnation }: Listed): string {
		return state === 'up' ? `${id}#${this.#attemptOf.get(`${path}#${incarnation}`)}` : `${id}${state === 'restarting' ? '*' : '-'}`;
	}

	#name(path: string): string {
		return `ok:${path}#${this.#attempts.get(path)}`;
	}

	#perform(op: Op): Promise<unknown> | unknown {
		const { path, id = '' } = op;
		switch (op.op) {
			case 'exit':
				return this.#exit(path, op.reason as string) ? 'ok' : 'noproc';
			case 'burst': {
				const exits = op.exits as Array<{ path: string; reason: string }>;
				// All dead before any supervisor looks: from within a step, so that they are in the mailbox one after the other.
				this.#held.push(() => exits.forEach((exit) => void this.#exit(exit.path, exit.reason)));
				this.#tree.kernel.send('driver', { type: 'held' });
				return exits.map(() => 'ok');
			}
			case 'advance':
				this.#clock.advance(op.ms as number);
				return 'ok';
			case 'stop':
				return this.#stop();
			case 'start_child':
				return this.#startChild(op);
			case 'terminate_child':
				// An id is the handle here: there is no other way to name an instance.
				if (op.by === 'id' && this.#isAlive && this.#isDynamic(path)) return ANYTHING;
				return this.#ask(() =>
					this.#tree.terminateChild(path, id).then(
						() => 'ok',
						(error: RequestError) => {
							// The handle of a dead instance: OTP sees that it is dead. Here its name is free again.
							if (error.code === 'not_found' && this.#attempts.has(joinPath(path, id)) && this.#isDynamic(path)) return 'ok';
							throw error;
						},
					),
				);
			case 'restart_child':
				return this.#ask(
					async () => {
						const { incarnation } = await this.#tree.restartChild(path, id);
						return incarnation === null ? 'ok:undefined' : this.#name(joinPath(path, id));
					},
					joinPath(path, id),
				);
			case 'delete_child':
				return this.#ask(async () => {
					await this.#tree.deleteChild(path, id);
					return 'ok';
				});
			case 'which_children':
				return this.#ask(async () => {
					const listed = await this.#tree.whichChildren(path);
					// In OTP the list is in the reverse order, or none: it is sorted by start there, by name for instances.
					const dynamic = this.#isDynamic(path);
					// OTP lists an instance that waits for its restart without its name.
					const words = listed.map((child) => `${dynamic && child.state === 'restarting' ? '*' : this.#word(child)} ${child.type}`);
					return dynamic ? words.sort() : words;
				});
			case 'count_children':
				return this.#ask(() => this.#tree.countChildren(path));
			case 'get_childspec':
				return this.#ask(async () => {
					const spec = this.#tree.childSpec(path, id);
					const { restart } = spec;
					const drainMs = 'stop' in spec ? spec.stop.drainMs : spec.shutdownMs;
					const type = spec.kind === 'supervisor' || spec.kind === 'dynamic' ? 'supervisor' : 'worker';
					const shutdown = drainMs === 0 ? 'brutal_kill' : drainMs === null || drainMs === NEVER_MS ? 'infinity' : drainMs;
					return { restart: restart.type, significant: restart.significant, shutdown, type };
				});
			default:
				throw new Error(`unknown op '${op.op}'`);
		}
	}

	#startChild({ path, child, instance, start, on_shutdown: onShutdown }: Op): Promise<unknown> {
		if (instance !== undefined) {
			const own = joinPath(path, instance);
			if (!this.#attempts.has(own)) {
				if (start !== undefined) this.#scripts.set(own, start);
				if (onShutdown !== undefined) this.#shutdowns.set(own, onShutdown);
			}
			return this.#ask(async () => {
				const { incarnation } = await this.#tree.startChild(path, { id: instance });
				return incarnation === null ? 'ok:undefined' : this.#name(own);
			}, own);
		}
		const declared = child as Child;
		const own = joinPath(path, declared.id ?? '?');
		// Of a child that is there already, what it would do is no news.
		const known = (this.#tree.kernel.context(supervisorId(path)) as MasterContext | undefined)?.children?.get(declared.id ?? '');
		if (known === undefined || isGone(known)) this.#learn(own, declared);
		return this.#ask(async () => {
			const { incarnation } = await this.#tree.startChild(path, declarationOf(declared));
			return incarnation === null ? 'ok:undefined' : this.#name(own);
		}, own);
	}

	/** A request, with a refusal in OTP's words. */
	async #ask(request: () => Promise<unknown>, path = ''): Promise<unknown> {
		if (!this.#isAlive) return 'noproc';
		try {
			return await request();
		} catch (error) {
			if (error instanceof SpecError) return 'error:bad_spec';
			const { code } = error as RequestError;
			switch (code) {
				case undefined:
					throw error;
				case 'stopping':
					return 'noproc';
				case 'dynamic':
					return 'error:simple_one_for_one';
				case 'already_started':
					return `error:already_started:${path}#${this.#attempts.get(path)}`;
				case 'start_failed':
					return `error:start_failed(${this.#failures.get(path)})`;
				default:
					return `error:${code}`;
			}
		}
	}

	/** A child ends on its own; a supervisor stops itself, in order, with that reason. */
	#exit(path: string, reason: string): boolean {
		const { kernel } = this.#tree;
		if (kernel.isActive(supervisorId(path)) && this.#up.has(path)) {
			const [mode, own] = reason === 'kill' ? (['kill', 'killed'] as const) : (['drain', reasonOf(reason)] as const);
			kernel.send(supervisorId(path), { type: 'stop', mode, reason: own });
			return true;
		}
		const run = [...this.#living.values()].find((each) => each.path === path);
		if (run === undefined) return false;
		this.#end(run, reason);
		return true;
	}

	#end(run: Run, reason: string): void {
		this.#die(run, reason)();
	}

	/** What is to be called for its supervisor to hear of it. */
	#die(run: Run, reason: string): () => void {
		if (!this.#living.delete(run.workerId)) return () => {};
		this.#up.delete(run.path);
		this.#events.push(`exit ${run.path}#${this.#attemptOf.get(run.workerId)} ${reason === 'kill' ? 'killed' : reason}`);
		const detail = reason === reasonOf(reason) || reason === 'kill' ? {} : { detail: reason };
		const fact = { type: 'process.exited', code: null, signal: null, maxRssBytes: null } as const;
		return () => this.#tree.tell(run.workerId, { ...fact, at: this.#clock.now(), reason: reasonOf(reason), ...detail });
	}

	#watch({ id, event }: Step): void {
		if (!id.startsWith('master:')) return;
		const path = pathOf(id);
		// What is declared of its children is true again.
		const declared = event.type === 'xstate.init' && id === supervisorId(path) ? this.#declared.get(path) : undefined;
		if (declared !== undefined) this.#learn(path, declared);
		if (event.type === 'xstate.init' && path !== '') {
			const attempt = (this.#attempts.get(path) ?? 0) + 1;
			this.#attempts.set(path, attempt);
			this.#attemptOf.set(`${path}#${this.#tree.present(path).incarnation}`, attempt);
		}
		if (event.type !== 'child.ready' && event.type !== 'child.died') return;
		const child = joinPath(path, event.id);
		if (!this.#isSupervisor(child)) return;
		const attempt = this.#attempts.get(child);
		if (event.type === 'child.ready') {
			this.#up.add(child);
			this.#events.push(`start ${child}#${attempt}`);
			return;
		}
		const { reason } = event.exit;
		if (this.#up.delete(child)) {
			this.#events.push(`exit ${child}#${attempt} ${reason}`);
			if (child === 'root') this.#over = reason;
		} else {
			this.#failures.set(child, this.#failureOf(child));
			this.#events.push(`fail ${child}#${attempt} ${this.#failures.get(child)}`);
		}
	}

	#isSupervisor(path: string): boolean {
		return this.#tree.kernel.state(supervisorId(path)) !== null;
	}

	#failureOf(path: string): string {
		const { end } = this.#tree.kernel.context(supervisorId(path)) as MasterContext;
		const { child } = end as SupervisorEnd & { child: string };
		return `failed_to_start_child(${child},${this.#failures.get(joinPath(path, child))})`;
	}

	launch(run: Run): void {
		const { path, workerId } = run;
		const attempt = (this.#attempts.get(path) ?? 0) + 1;
		this.#attempts.set(path, attempt);
		this.#attemptOf.set(workerId, attempt);
		this.#attemptOf.set(`${path}#${run.incarnation}`, attempt);
		const script = this.#of(this.#scripts, path) ?? {};
		const asked = script[String(attempt)] ?? script.default ?? 'ok';
		const { do: what, hold } = typeof asked === 'string' ? { do: asked, hold: [] } : asked;
		this.#living.set(workerId, run);
		for (const op of hold) this.#hold(op);
		if (what === 'ok' || what.startsWith('exit:')) {
			this.#up.add(path);
			this.#events.push(`start ${path}#${attempt}`);
			this.#tree.tell(workerId, { type: 'process.ready' });
			if (what !== 'ok') this.#end(run, what.slice('exit:'.length));
			return;
		}
		this.#living.delete(workerId);
		this.#events.push(what === 'ignore' ? `ignore ${path}#${attempt}` : `fail ${path}#${attempt} boom`);
		this.#failures.set(path, 'boom');
		if (what === 'ignore')
			this.#tree.tell(workerId, {
				type: 'process.exited',
				code: null,
				signal: null,
				maxRssBytes: null,
				at: this.#clock.now(),
				reason: 'ignored',
			});
		else this.#tree.tell(workerId, { type: 'process.failed', message: 'boom', at: this.#clock.now() });
	}

	#hold(op: Op): void {
		const entry = { op: op.op, result: undefined as unknown };
		this.#heldResults.push(entry);
		let act = () => {
			// Nobody waits for the end of a stop that is asked from within a start.
			void Promise.resolve(this.#perform(op)).then((value) => {
				entry.result = op.op === 'stop' ? 'ok' : value;
			});
		};
		if (op.op === 'exit') {
			// Dead at once; the notice waits like everything else.
			const run = [...this.#living.values()].find((each) => each.path === op.path);
			entry.result = run === undefined ? 'noproc' : 'ok';
			act = run === undefined ? () => {} : this.#die(run, op.reason as string);
		}
		this.#held.push(act);
		this.#tree.kernel.sendLater('driver', { type: 'held' }, 0);
	}

	askToDrain(run: Run): void {
		const does = this.#of(this.#shutdowns, run.path) ?? 'ok';
		this.#tree.tell(run.workerId, { type: 'drain.acknowledged' });
		if (does === 'ignore') return;
		if (typeof does === 'object') for (const { path, reason } of does.first) this.#exit(path, reason);
		this.#end(run, typeof does === 'string' && does.startsWith('exit:') ? does.slice('exit:'.length) : 'shutdown');
	}

	kill(run: Run): void {
		this.#end(run, 'kill');
	}

	terminate(): void {
		throw new Error('an actor is not terminated');
	}

	watchReadiness(): void {}
	watchLiveness(): void {}
	forget(): void {}
}

function reasonOf(reason: string): 'normal' | 'shutdown' | 'crash' | 'killed' {
	if (reason === 'kill') return 'killed';
	if (reason.startsWith('shutdown')) return 'shutdown';
	return reason === 'normal' ? 'normal' : 'crash';
}
