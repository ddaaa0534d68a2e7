/** Supervision case by case as a real OTP supervisor does it: scenarios, and the traces that OTP 25 gave. */
import fs from 'node:fs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { ANYTHING, type Child, OtpDriver, type Scenario, type StepTrace, type Trace } from './support/otp.ts';

interface Case {
	name: string;
	asserts: string;
	cases: Array<{ scenario: Scenario; trace: Trace }>;
}

const cases = fs
	.readFileSync(new URL('otp/cases.jsonl', import.meta.url), 'utf8')
	.trim()
	.split('\n')
	.map((line) => JSON.parse(line) as Case);

/** What cannot be said here, or is to be otherwise, and why. */
const others: Record<string, string> = {
	sup_start_ignore_init: 'a supervisor is declared, not set up by a function: there is nobody who could answer ignore',
	sup_start_error_return: 'as above; a spec that gives no tree is refused when it is loaded (see the tests of the spec)',
	sup_start_fail: 'as above; a spec that throws is refused when it is loaded (see the tests of the spec)',
	'sup_start_map_faulty_specs/3': 'an unknown key is reported, where OTP ignores it: more often than not it is a typing error',
	'significant_simple/1': 'a dynamic supervisor has no autoShutdown: later versions of OTP refuse it as well',
	'significant_simple/2': 'as above',
	count_children_supervisor: 'the children of a dynamic supervisor are workers',
};

/** Where OTP 25.2.3 has a bug that later versions do not have: what is to be expected instead. */
const corrected: Record<string, (trace: Trace) => void> = {
	'simple_one_for_one_restart_ignore/1': withoutPhantom,
	'simple_one_for_one_restart_ignore/2': withoutPhantom,
	x_count_after_terminating_restarting_instance: ({ ops }) => {
		for (const { held } of ops)
			for (const each of held ?? []) if (each.op.startsWith('count_children')) (each.result as { active: number }).active = 1;
		for (const op of ops) if (op.op.startsWith('count_children')) (op.result as { active: number }).active = (op.tree.root ?? []).length;
	},
};

/** An instance that does not want to run any more is forgotten. */
function withoutPhantom({ ops, stop }: Trace): void {
	for (const step of ops.slice(3)) step.tree = { root: [] };
	const [which, count, stopped] = ops.slice(4) as StepTrace[] as [StepTrace, StepTrace, StepTrace];
	which.result = [];
	count.result = { specs: 1, active: 0, supervisors: 0, workers: 0 };
	Object.assign(stopped, { result: 'shutdown', events: ['exit root#1 shutdown'], tree: {} });
	stop.tree = {};
}

/** What OTP calls a bad specification it calls by names of its own. */
const upToBadSpec = (text: string) => text.replace(/bad_(spec|flags).*$/, 'bad_spec');

/** Events of one supervisor's children are in an exact order; those of different subtrees may be between each other. */
function bySupervisor(events: readonly string[], { root }: Scenario): Record<string, string[]> {
	const sorted: Record<string, string[]> = {};
	for (const event of events.map(upToBadSpec)) {
		const path = (event.split(' ')[1] as string).replace(/#\d+$/, '');
		const above = path.includes('/') ? path.slice(0, path.lastIndexOf('/')) : '';
		sorted[above] = [...(sorted[above] ?? []), event];
	}
	// Those of a dynamic supervisor end side by side.
	for (const path of dynamicPaths(root, 'root')) if (sorted[path]?.every((event) => event.startsWith('exit'))) sorted[path]?.sort();
	return sorted;
}

const dynamicPaths = ({ strategy, children = [] }: Child, path: string): string[] =>
	strategy === 'simple_one_for_one' ? [path] : children.flatMap((child) => dynamicPaths(child, `${path}/${child.id}`));

/** Whoever kills a supervisor outright gets no order of ends from OTP, nor a promise how those far below end. */
const outright = new Set(['x_kill_supervisor', 'x_brutal_kill_supervisor', 'simple_global_supervisor']);
const inNoOrder = (events: readonly string[]) => ({
	ended: events
		.filter((event) => event.startsWith('exit'))
		.map((event) => event.split(' ')[1])
		.sort(),
	started: events.filter((event) => !event.startsWith('exit')),
});

function comparable(step: StepTrace, expected: StepTrace, scenario: Scenario): unknown {
	const { result, held, events, tree, root } = step;
	const words = (value: unknown) => (typeof value === 'string' ? upToBadSpec(value) : value);
	return {
		result: result === ANYTHING ? words(expected.result) : words(result),
		held: held?.map((each) => words(each.result)),
		events: outright.has(scenario.id.replace(/\/\d+$/, '')) ? inNoOrder(events) : bySupervisor(events, scenario),
		tree,
		root,
	};
}

for (const { name, cases: scenarios } of cases) {
	for (const { scenario, trace } of scenarios) {
		if (others[scenario.id] !== undefined) continue;
		test(`OTP: ${scenario.id}`, async () => {
			corrected[scenario.id]?.(trace);
			const seen = await new OtpDriver(scenario).run();
			const steps: Array<[string, StepTrace, StepTrace]> = [
				['start', seen.start, trace.start],
				...trace.ops.map((op, index): [string, StepTrace, StepTrace] => [`${index}: ${op.op}`, seen.ops[index] as StepTrace, op]),
				['stop', seen.stop, trace.stop],
			];
			for (const [what, got, expected] of steps)
				assert.equal(
					{ what, step: comparable(got, expected, scenario) },
					{ what, step: comparable(expected, expected, scenario) },
					`${name} ${scenario.id}, ${what}`,
				);
		});
	}
}

test.run();
