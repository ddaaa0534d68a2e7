/**
 * A sample of OTP's cases over what is real: in each scenario actors, threads and processes stand side by side under the same
 * supervisors, and what happens is compared with the trace that a real OTP supervisor gave.
 */
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { setup } from 'xstate';
import type { ChildDeclaration, Running, TreeDeclaration } from '../src/index.ts';
import type { Transition } from '../src/library/start.ts';
import type { ChildStatus } from '../src/master/status.ts';
import type { Child, Op, Scenario, StepTrace, Trace } from './support/otp.ts';
import { turn, until } from './support/until.ts';

const dist = new URL('../dist/src/index.js', import.meta.url).href;
const choir = (await import(dist)) as typeof import('../src/index.ts');
const module = new URL('support/otp-child.mjs', import.meta.url).pathname;

const sample = [
	'one_for_one',
	'one_for_all',
	'rest_for_one',
	'one_for_one_escalation',
	'one_for_all_escalation',
	'one_for_all_other_child_fails_restart',
	'rest_for_one_other_child_fails_restart',
	'child_adm',
	'order_of_children',
	'permanent_normal',
	'transient_normal',
	'temporary_normal',
	'temporary_bystander',
	'significant_bystander',
	'faulty_application_shutdown',
	'sup_start_child_returns_error',
	'sup_start_restart_child_returns_error',
	'sup_stop_timeout',
	'sup_stop_brutal_kill',
	'tree',
	'which_children',
	'x_intensity_zero',
	'permanent_abnormal',
	'transient_abnormal',
	'temporary_abnormal',
	'x_escalation_resets_budget',
	'nonsignificant_transient',
	'significant_transient',
	'x_group_restart_counts_once',
	'x_manual_restart_not_counted',
	'x_start_child_appends',
	'x_initial_start_no_retry',
	'x_nested_start_failure_on_restart',
];

const cases = fs
	.readFileSync(new URL('otp/cases.jsonl', import.meta.url), 'utf8')
	.trim()
	.split('\n')
	.map((line) => JSON.parse(line) as { name: string; cases: Array<{ scenario: Scenario; trace: Trace }> })
	.filter(({ name }) => sample.includes(name));

const kinds = ['actor', 'thread', 'node'] as const;

class Real {
	readonly #dir = fs.mkdtempSync(path.join(os.tmpdir(), 'choir-otp-'));
	readonly #events: string[] = [];
	readonly #up = new Set<string>();
	readonly #actorAttempts = new Map<string, number>();
	readonly #dead = new Set<string>();
	readonly #killed = new Set<string>();
	readonly seen = new Set<string>();
	#running: Running<TreeDeclaration> | null = null;
	#next: number;
	#alive = false;
	#over = '';

	/** `shift`: which kind is the first. */
	constructor(shift: number) {
		this.#next = shift;
	}

	async run({ root, ops }: Scenario): Promise<Trace> {
		for (const { op, path: where, reason } of ops) if (op === 'exit' && reason === 'kill') this.#killed.add(where);
		try {
			const start = await this.#step(() => this.#start(root));
			const steps: Trace['ops'] = [];
			for (const op of ops) steps.push({ op: op.op, ...(await this.#step(() => this.#perform(op))) });
			const stop = await this.#step(() => this.#stop());
			return { start, ops: steps, stop };
		} finally {
			await this.#running?.stop('kill');
			fs.rmSync(this.#dir, { recursive: true });
		}
	}

	#declaration(child: Child, above: string): ChildDeclaration {
		const {
			id = '',
			restart = 'permanent',
			significant,
			shutdown,
			strategy,
			children,
			intensity = 1,
			period = 5,
			auto_shutdown: autoShutdown,
		} = child;
		const own = above === '' ? id : `${above}/${id}`;
		const common = { id, ...(significant === undefined ? {} : { significant }) } as { id: string; significant?: boolean };
		if (children !== undefined)
			return {
				kind: 'supervisor',
				...common,
				restart: restart as 'permanent',
				strategy: (strategy ?? 'one_for_one') as 'one_for_one',
				intensity: { restarts: intensity as number, within: (period as number) * 1_000 },
				autoShutdown: (autoShutdown ?? 'never') as 'never',
				children: children.map((each) => this.#declaration(each, own)),
			};
		const drain = shutdown === 'brutal_kill' ? 0 : shutdown === 'infinity' || shutdown === undefined ? 5_000 : (shutdown as number);
		const rule = { type: restart as 'permanent', backoff: 0 as const };
		// Only a process can be killed from outside.
		const kind = this.#killed.has(own) ? 'node' : (kinds[this.#next++ % kinds.length] as (typeof kinds)[number]);
		this.seen.add(kind);
		if (kind === 'actor') return { kind, ...common, restart: rule, stop: { drain }, logic: this.#logic(own, child) };
		const words = JSON.stringify({ start: child.start, ignoresDrain: child.on_shutdown === 'ignore' });
		const real = { ...common, module, args: [this.#dir, words], ready: 'signal' as const, restart: rule };
		if (kind === 'thread') return { kind, ...real, stop: { drain } };
		return { kind, ...real, stop: { drain, terminate: 1 } };
	}

	#logic(own: string, { start = {}, on_shutdown: onShutdown }: Child) {
		return setup({
			actions: {
				begin: () => {
					const attempt = (this.#actorAttempts.get(own) ?? 0) + 1;
					this.#actorAttempts.set(own, attempt);
					if ((start[String(attempt)] ?? start.default ?? 'ok') !== 'ok') throw new Error('boom');
				},
				crash: () => {
					throw new Error('crash');
				},
			},
		}).createMachine({
			initial: 'up',
			states: {
				up: {
					entry: 'begin',
					on: { normal: 'over', crash: { actions: 'crash' }, 'choir.drain': onShutdown === 'ignore' ? {} : 'over' },
				},
				over: { type: 'final' },
			},
		});
	}

	async #start(root: Child): Promise<unknown> {
		const declared = this.#declaration({ ...root, id: 'root', restart: 'temporary', children: root.children ?? [] }, '');
		this.#running = await choir.start(choir.tree(`otp-${process.pid}-${path.basename(this.#dir).toLowerCase()}`, { children: [] }));
		void this.#read(this.#running.events());
		try {
			await this.#running.child('').startChild({ ...declared, id: 'root' } as ChildDeclaration);
			this.#alive = true;
			return 'ok:root#1';
		} catch (error) {
			if ((error as { code?: string }).code !== 'start_failed') throw error;
			return 'error:start_failed';
		}
	}

	async #read(events: AsyncIterable<unknown>): Promise<void> {
		for await (const event of events) this.#note(event as Transition);
	}

	#note({ path: where, incarnation, from, to, exit }: Transition): void {
		if (where === '') return;
		const name = incarnation === null ? where : `${where}#${incarnation}`;
		const wasUp = this.#up.has(name);
		if (to.startsWith('running') && !wasUp) {
			this.#up.add(name);
			this.#events.push(`start ${name}`);
		}
		if (to !== 'dead') return;
		this.#dead.add(name);
		if (!this.#up.delete(name)) {
			if (from !== null) this.#events.push(`fail ${name}`);
			return;
		}
		this.#events.push(`exit ${name} ${exit?.reason ?? ''}`.trim());
		if (where === 'root') {
			this.#alive = false;
			this.#over = 'shutdown';
		}
	}

	async #step(act: () => Promise<unknown>): Promise<StepTrace> {
		this.#events.length = 0;
		const result = await act();
		await this.#quiet();
		return { result, events: [...this.#events], tree: await this.#tree(), root: this.#alive ? 'alive' : 'over' };
	}

	/** Nobody starts, drains or waits to be restarted. */
	async #quiet(): Promise<void> {
		const calm = ({ state, substate, children = [] }: ChildStatus): boolean =>
			(state === 'running' || state === 'dead') && substate !== 'restarting' && substate !== 'backoff' && children.every(calm);
		await until('it is quiet', async () => {
			// What has been told of is read a turn later.
			await turn();
			return this.#running?.status().children.every(calm);
		});
	}

	async #tree(): Promise<Record<string, string[]>> {
		const tree: Record<string, string[]> = {};
		const look = async (where: string) => {
			const listed = (await this.#running?.child(where as '').whichChildren()) ?? [];
			tree[where] = listed.map(({ id, state, incarnation, type }) =>
				state === 'up' ? (type === 'supervisor' ? id : `${id}#${incarnation}`) : `${id}-`,
			);
			for (const each of listed) if (each.type === 'supervisor' && each.state === 'up') await look(each.path);
		};
		if (this.#alive) await look('root');
		return tree;
	}

	async #perform(op: Op): Promise<unknown> {
		if (!this.#alive) return 'noproc';
		const supervisor = this.#running?.child(op.path as '');
		const { id = '' } = op;
		try {
			switch (op.op) {
				case 'exit':
					return await this.#exit(op.path, op.reason as string);
				case 'start_child':
					await supervisor?.startChild(this.#declaration(op.child as Child, op.path));
					return 'ok';
				case 'terminate_child':
					await supervisor?.terminateChild(id);
					return 'ok';
				case 'restart_child':
					await supervisor?.restartChild(id);
					return 'ok';
				case 'delete_child':
					await supervisor?.deleteChild(id);
					return 'ok';
				case 'which_children':
					return (await supervisor?.whichChildren())?.length;
				case 'count_children':
					return await supervisor?.countChildren();
				case 'stop':
					return await this.#stop();
				default:
					throw new Error(`op '${op.op}' is not in the sample`);
			}
		} catch (error) {
			const { code } = error as { code?: string };
			if (code === undefined) throw error;
			if (process.env.OTP_DEBUG) console.log((error as Error).message);
			return `error:${code}`;
		}
	}

	async #exit(where: string, reason: string): Promise<string> {
		const found = this.#find(where, this.#running?.status().children ?? []);
		if (found === undefined || found.state !== 'running') return 'noproc';
		const name = `${where}#${found.incarnation}`;
		if (found.kind === 'actor') this.#running?.ref(where).send({ type: reason });
		else if (reason === 'kill') process.kill(found.pid as number, 'SIGKILL');
		else {
			const file = path.join(
				this.#dir,
				`${where.replaceAll('/', '+')}.${fs.statSync(path.join(this.#dir, `${where.replaceAll('/', '+')}.attempts`)).size}`,
			);
			net
				.connect(file)
				.on('error', () => {})
				.end(reason);
		}
		await until(`${name} has ended`, () => this.#dead.has(name));
		return 'ok';
	}

	#find(where: string, children: readonly ChildStatus[]): ChildStatus | undefined {
		for (const child of children) {
			if (child.path === where) return child;
			const below = this.#find(where, child.children ?? []);
			if (below !== undefined) return below;
		}
		return undefined;
	}

	async #stop(): Promise<unknown> {
		if (!this.#alive) return 'noproc';
		await this.#running?.child('').terminateChild('root');
		await until('the root has ended', () => !this.#alive);
		return this.#over;
	}
}

/** What both traces can say: a supervisor has no count of its own here, and a failure no words. */
function comparable({ result, events, tree, root }: StepTrace, supervisors: ReadonlySet<string>): unknown {
	const bare = (text: string) => text.replace(/^(ok|error:start_failed|error:already_started).*$/, '$1');
	const named = (event: string) => {
		const [what, name = '', how] = event.split(' ');
		const own = name.replace(/#\d+$/, '');
		return [what, supervisors.has(own) ? own : name, what === 'exit' && !supervisors.has(own) ? how : ''].join(' ').trim();
	};
	const bySupervisor: Record<string, string[]> = {};
	for (const event of events) {
		const own = (event.split(' ')[1] as string).replace(/#\d+$/, '');
		const above = own.includes('/') ? own.slice(0, own.lastIndexOf('/')) : '';
		bySupervisor[above] = [...(bySupervisor[above] ?? []), named(event)];
	}
	return {
		result: typeof result === 'string' ? bare(result) : Array.isArray(result) ? result.length : result,
		events: bySupervisor,
		tree: Object.fromEntries(
			Object.entries(tree).map(([path, children]) => [
				path,
				children.map((child) => (supervisors.has(`${path}/${child.replace(/#\d+$/, '')}`) ? child.replace(/#\d+$/, '') : child)),
			]),
		),
		root: root === 'alive' ? 'alive' : 'over',
	};
}

/** The paths of supervisors. */
function supervisorsOf({ id = '', children }: Child, above: string): string[] {
	const own = above === '' ? id : `${above}/${id}`;
	return children === undefined ? [] : [own, ...children.flatMap((child) => supervisorsOf(child, own))];
}

/** What the sample's children cannot do: end by a word that no process has, or a start held up. */
const sayable = ({ root, ops }: Scenario) =>
	!/"(shutdown(:x)?|ignore|exit:[^"]*)"/.test(JSON.stringify([root.children, ops]).replaceAll('"on_shutdown":"ignore"', '')) &&
	!JSON.stringify([root, ops]).includes('hold');

const seen = new Set<string>();
let count = 0;
for (const { scenario, trace } of cases.flatMap(({ cases: all }) => all.filter((each) => sayable(each.scenario)).slice(0, 1))) {
	const shift = count++;
	test(`OTP, for real: ${scenario.id}`, async () => {
		const real = new Real(shift);
		const supervisors = new Set(supervisorsOf({ ...scenario.root, id: 'root' }, ''));
		for (const { op, path: above, child } of scenario.ops)
			if (op === 'start_child' && child !== undefined) for (const each of supervisorsOf(child, above)) supervisors.add(each);
		const got = await real.run(scenario);
		for (const kind of real.seen) seen.add(kind);
		const steps: Array<[string, StepTrace, StepTrace]> = [
			['start', got.start, trace.start],
			...trace.ops.map((op, index): [string, StepTrace, StepTrace] => [`${index}: ${op.op}`, got.ops[index] as StepTrace, op]),
			['stop', got.stop, trace.stop],
		];
		for (const [what, step, expected] of steps)
			assert.equal(
				{ what, step: comparable(step, supervisors) },
				{ what, step: comparable(expected, supervisors) },
				`${scenario.id}, ${what}`,
			);
	});
}

test('twenty cases at least, with all kinds of children', () => {
	assert.ok(count >= 20, `${count} cases`);
	assert.equal([...seen].sort(), ['actor', 'node', 'thread']);
});

test.run();
