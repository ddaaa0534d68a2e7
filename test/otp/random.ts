/**
 * Random scenarios, told to a real OTP supervisor and to ours: `node --import tsx test/otp/random.ts [first seed] [how many]`.
 * Wants `erl`. Prints what differs, and ends with 1 if anything does.
 */
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { seeded } from '../../src/testing/chance.ts';
import { type Child, type Op, OtpDriver, type Scenario, type StepTrace } from '../support/otp.ts';

const LIMIT_MS = 600_000;
/** Differences that are shown in full. */
const SHOWN = 5;

/** A tree of up to three levels and up to fourteen things done to it. */
function scenarioOf(seed: number): Scenario {
	const chance = seeded(seed * 7_919);
	const below = (limit: number) => Math.floor(chance() * limit);
	const pick = <T>(from: readonly T[]): T => from[below(from.length)] as T;
	let names = 0;
	/** How its first starts go. */
	const script = (): Record<string, string> | undefined => {
		if (chance() < 0.6) return undefined;
		const attempts: Record<string, string> = {};
		for (const attempt of [1, 2, 3, 4]) {
			const drawn = chance();
			if (drawn < (attempt === 1 ? 0.04 : 0.35)) attempts[attempt] = 'error';
			else if (drawn >= 0.35 && drawn < 0.42) attempts[attempt] = 'ignore';
		}
		return Object.keys(attempts).length > 0 ? attempts : undefined;
	};
	const childOf = (above: string, depth: number): Child => {
		const id = `c${names++}`;
		if (depth < 2 && chance() < 0.25) return supervisorOf(id, depth + 1, above);
		const restart = pick(['permanent', 'permanent', 'transient', 'temporary']);
		const significant = above !== 'never' && restart !== 'permanent' && chance() < 0.5;
		const start = script();
		return { id, kind: 'actor', restart, ...(significant ? { significant } : {}), ...(start ? { start } : {}) };
	};
	const supervisorOf = (id: string, depth: number, above: string): Child => {
		const autoShutdown = pick(['never', 'never', 'never', 'any_significant', 'all_significant']);
		const restart = pick(['permanent', 'permanent', 'permanent', 'transient', 'temporary']);
		const significant = depth > 0 && above !== 'never' && restart !== 'permanent' && chance() < 0.4;
		return {
			id,
			kind: 'supervisor',
			strategy: pick(['one_for_one', 'one_for_all', 'rest_for_one']),
			intensity: below(5),
			period: 3_600,
			auto_shutdown: autoShutdown,
			...(depth > 0 ? { restart } : {}),
			...(significant ? { significant } : {}),
			children: Array.from({ length: 1 + below(4) }, () => childOf(autoShutdown, depth)),
		};
	};
	const root = supervisorOf('root', 0, 'never');
	const supervisors = new Map<string, Child>();
	const actors: string[] = [];
	const walk = (child: Child, at: string): void => {
		if (child.children === undefined) actors.push(at);
		else supervisors.set(at, child);
		for (const each of child.children ?? []) walk(each, `${at}/${each.id}`);
	};
	walk(root, 'root');
	const all = [...actors, ...supervisors.keys()].filter((at) => at !== 'root');
	const ops = Array.from({ length: 3 + below(12) }, (): Op => {
		const drawn = chance();
		if (drawn < 0.5 && actors.length > 0)
			return { op: 'exit', path: pick(actors), reason: pick(['crash', 'crash', 'crash', 'normal', 'shutdown', 'kill']) };
		if (drawn < 0.84 && all.length > 0) {
			const [above, id] = split(pick(all));
			return { op: drawn < 0.62 ? 'terminate_child' : drawn < 0.74 ? 'restart_child' : 'delete_child', path: above, id };
		}
		const again = chance() < 0.4 && actors.length > 0 ? pick(actors) : null;
		const [above, id] = again === null ? [pick([...supervisors.keys()]), `n${names++}`] : split(again);
		const { start, ...child } = childOf(supervisors.get(above)?.auto_shutdown ?? 'never', 2);
		if (again === null) {
			actors.push(`${above}/${id}`);
			all.push(`${above}/${id}`);
		}
		return { op: 'start_child', path: above, child: { ...child, ...(again === null && start !== undefined ? { start } : {}), id } };
	});
	return { id: `random/${seed}`, root, ops };
}

const split = (at: string): [above: string, id: string] => [at.slice(0, at.lastIndexOf('/')), at.slice(at.lastIndexOf('/') + 1)];

/** As Erlang reads it. */
function termOf(child: Child, at: string): string {
	const { id, restart = 'permanent', significant = false, children, strategy, intensity, auto_shutdown: auto, start = {} } = child;
	if (children === undefined) {
		const attempts = Object.entries(start).map(([attempt, what]) => `{${attempt},${what}}`);
		return `{actor,"${id}","${at}",${restart},${significant},[${attempts}]}`;
	}
	const below = children.map((each) => termOf(each, `${at}/${each.id}`));
	return `{sup,"${id}","${at}",${strategy},${intensity},${auto},[${below}],${restart},${significant}}`;
}

function opTermOf({ op, path: at, reason, child, id }: Op): string {
	if (op === 'exit') return `{exit,"${at}",${reason}}`;
	if (op === 'start_child') return `{start,"${at}",${termOf(child as Child, `${at}/${child?.id}`)}}`;
	return `{${op.replace('_child', '')},"${at}","${id}"}`;
}

/** One step, so that it can be compared. Between different supervisors there is no order. */
interface Seen {
	result: string;
	/** By supervisor. */
	events: Array<[string, string[]]>;
	tree: Array<[string, string]>;
	root: string;
}

function seen(
	result: string,
	events: readonly string[],
	tree: Array<[string, string]>,
	root: string,
	supervisors: ReadonlySet<string>,
): Seen {
	const groups = new Map<string, string[]>();
	for (const event of events) {
		const plain = event.replace(/^fail (\S+).*$/, 'fail $1');
		const at = (plain.split(' ')[1] as string).replace(/#\d+$/, '');
		// When a supervisor has ended is seen by its children.
		if (supervisors.has(at) && plain.startsWith('exit')) continue;
		const [above] = split(at);
		groups.set(above, [...(groups.get(above) ?? []), plain]);
	}
	return { result: result.replace(/start_failed.*/, 'start_failed'), events: [...groups].sort(), tree: tree.sort(), root };
}

function theirs(line: string, supervisors: ReadonlySet<string>): Seen[] {
	return line.split('@@').map((step) => {
		const [result = '', events = '', tree = '', root = ''] = step.split('||');
		const words = tree === '' ? [] : tree.split(';').map((each) => each.split('=') as [string, string]);
		return seen(result, events === '' ? [] : events.split(','), words, root, supervisors);
	});
}

async function ours(scenario: Scenario, supervisors: ReadonlySet<string>): Promise<Seen[]> {
	const { start, ops, stop } = await new OtpDriver(scenario).run();
	return [start, ...ops, stop].map(({ result, events, tree, root }: StepTrace) => {
		const words = Object.entries(tree).map(([at, children]): [string, string] => [at, children.join(' ')]);
		return seen(String(result), events, words, root === 'alive' ? 'alive' : 'over', supervisors);
	});
}

const supervisorsOf = (child: Child, at: string): string[] =>
	child.children === undefined ? [] : [at, ...child.children.flatMap((each) => supervisorsOf(each, `${at}/${each.id}`))];

function tellErlang(scenarios: readonly Scenario[]): string[] {
	const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'choir-otp-'));
	try {
		const [asked, told] = [path.join(dir, 'asked'), path.join(dir, 'told')];
		fs.writeFileSync(asked, scenarios.map(({ root, ops }) => `{${termOf(root, 'root')},[${ops.map(opTermOf)}]}.\n`).join(''));
		execFileSync('erlc', ['-o', dir, path.join(import.meta.dirname, 'scenarios.erl')]);
		execFileSync('erl', ['+S', '1', '-noshell', '-pa', dir, '-run', 'scenarios', 'main', asked, told], { timeout: LIMIT_MS });
		return fs.readFileSync(told, 'utf8').trim().split('\n');
	} finally {
		fs.rmSync(dir, { recursive: true });
	}
}

const { positionals } = parseArgs({ allowPositionals: true });
const [first, count] = [Number(positionals[0] ?? 1), Number(positionals[1] ?? 200)];
const scenarios = Array.from({ length: count }, (_, index) => scenarioOf(first + index));
const told = tellErlang(scenarios);
let differing = 0;
for (const [index, scenario] of scenarios.entries()) {
	const supervisors = new Set(supervisorsOf(scenario.root, 'root'));
	const [here, there] = [await ours(scenario, supervisors), theirs(told[index] ?? '', supervisors)];
	const step = here.findIndex((each, n) => JSON.stringify(each) !== JSON.stringify(there[n]));
	if (step < 0) continue;
	differing += 1;
	if (differing > SHOWN) continue;
	const what = step === 0 ? 'start' : JSON.stringify(scenario.ops[step - 1] ?? 'stop');
	console.log(`seed ${first + index}, step ${step}, ${what}\n  of   ${termOf(scenario.root, 'root')}`);
	console.log(`  here  ${JSON.stringify(here[step])}\n  there ${JSON.stringify(there[step])}`);
}
console.log(`${count} scenarios, ${differing} differ`);
process.exit(differing === 0 ? 0 : 1);
