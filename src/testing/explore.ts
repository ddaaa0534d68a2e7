/** Random faults, by seeds: a tree is tried in many worlds, and what does not hold is cut down to the few steps that it takes. */
import type { TreeDeclaration, TreeSpec } from '../../machines/spec.ts';
import { countOf } from './behaviour.ts';
import { seeded } from './chance.ts';
import { failure } from './failure.ts';
import { type FaultName, type FaultStep, faults, linesOf, strike, targetOf } from './faults.ts';
import { type Invariant, type Violation, Watcher } from './invariants.ts';
import { rightSpec } from './simulate.ts';
import { World, type WorldOptions } from './world.ts';

export interface ExploreOptions extends Omit<WorldOptions, 'seed'> {
	/** How many, from 1, or which. Default 100. */
	seeds?: number | readonly number[];
	/** Of each scenario, one fault each at most; then the tree is stopped. Default 40. */
	steps?: number;
	/** Beside those that hold for every tree. */
	invariants?: readonly Invariant[];
	/** Only these. Default: all. */
	faults?: readonly Exclude<FaultName, 'stop'>[];
}

/** What was tried. `events`: steps of the machines. */
export interface Explored {
	scenarios: number;
	steps: number;
	events: number;
}

interface Scenario {
	spec: TreeSpec;
	seed: number;
	options: ExploreOptions;
}

interface Outcome {
	steps: FaultStep[];
	world: World;
	violation: Violation | null;
}

/** Replays while cutting. */
const MAX_REPLAYS = 1_000;
const TAIL_MS = 60_000;
const SHOWN_LINES = 30;
/** How long nothing but time passes, in ms: mostly short, now and then long enough for limits and windows. */
const waits = [0, 10, 100, 1_000, 30_000] as const;

/**
 * Throws faults at the tree, and checks after every step what must hold: for every tree (one incarnation of a path at a time, one holder
 * of an address, order of start and stop, intensity, every stop ends within its limits and starts nothing) and by your own invariants.
 * Throws an error that names the invariant and the seed and shows the fewest steps it found for it.
 */
export function explore(declaration: TreeDeclaration, options: ExploreOptions = {}): Explored {
	const { seeds = 100, invariants = [] } = options;
	const steps = countOf('steps', options.steps ?? 40, 1);
	const wanted = typeof seeds === 'object' ? seeds : Array.from({ length: countOf('seeds', seeds, 1) }, (_, index) => index + 1);
	for (const { name, check } of invariants)
		if (typeof name !== 'string' || typeof check !== 'function') throw new TypeError('invariants: expected { name, check }');
	for (const name of options.faults ?? [])
		if (faults[name] === undefined || faults[name].weight === 0)
			throw new TypeError(`faults: there is no fault '${name}'; there are ${choices({}).join(', ')}`);
	const spec = rightSpec(declaration);
	const explored: Explored = { scenarios: 0, steps: 0, events: 0 };
	for (const seed of wanted) {
		const scenario = { spec, seed, options };
		const outcome = play(scenario, chooser(scenario, steps));
		explored.scenarios += 1;
		explored.steps += outcome.steps.length;
		explored.events += outcome.world.steps;
		if (outcome.violation !== null) throw report(scenario, outcome, outcome.violation, steps);
	}
	return explored;
}

/** The faults to choose from. */
function choices({ faults: named }: ExploreOptions): FaultName[] {
	return (Object.keys(faults) as FaultName[]).filter((name) => faults[name].weight > 0 && (named?.includes(name as never) ?? true));
}

/** Chooses the steps of a scenario as it goes; the stop comes late, most of the time. */
function chooser({ seed, options }: Scenario, length: number): (world: World, index: number) => FaultStep | null {
	// Not the numbers that the world itself gets.
	const chance = seeded(Math.imul(seed, 0x9e3779b1) ^ 0x5bd1e995);
	const names = choices(options);
	const total = names.reduce((sum, name) => sum + faults[name].weight, 0);
	const late = chance() < 0.75;
	const stopAt = late ? length - 1 - Math.floor((chance() * length) / 3) : Math.floor(chance() * length);
	return (world, index) => {
		if (index >= length) return null;
		const waitMs = Math.floor(chance() * (waits[Math.floor(chance() * waits.length)] as number));
		let at = chance() * total;
		const drawn = names.find((name) => {
			at -= faults[name].weight;
			return at < 0;
		});
		const fault = index === stopAt ? 'stop' : (drawn ?? null);
		if (fault === null) return { waitMs, fault, path: '', value: 0 };
		const value = faults[fault].value(chance);
		const path = targetOf(fault, world, chance);
		return path === null ? { waitMs, fault: null, path: '', value: 0 } : { waitMs, fault, path, value };
	};
}

/** Plays a scenario to its end, or until something does not hold. At the end the tree is stopped, if it is not yet. */
function play({ spec, seed, options }: Scenario, next: (world: World, index: number) => FaultStep | null): Outcome {
	const { invariants = [] } = options;
	const watcher = new Watcher(spec);
	const world = new World(spec, { ...options, seed }, watcher);
	watcher.watch(world);
	const steps: FaultStep[] = [];
	const take = (step: FaultStep): boolean => {
		steps.push(step);
		world.advance(step.waitMs);
		if (step.fault === 'stop' && world.ended === null) watcher.stopped(world);
		if (step.fault === 'pause') watcher.delayed(step.value);
		strike(world, step);
		watcher.look(world);
		for (const invariant of watcher.violation === null ? invariants : []) {
			const message = broken(invariant, world);
			if (message !== undefined) watcher.violation ??= { invariant: invariant.name, message };
		}
		return watcher.violation === null;
	};
	for (let index = 0; ; index++) {
		const step = next(world, index);
		if (step === null) break;
		if (!take(step)) return { steps, world, violation: watcher.violation };
	}
	if (world.ended === null && watcher.deadline === Number.POSITIVE_INFINITY) take({ waitMs: 0, fault: 'stop', path: '', value: 0 });
	if (watcher.violation === null && world.ended === null)
		take({ waitMs: Math.max(0, watcher.deadline - world.now) + 1, fault: null, path: '', value: 0 });
	return { steps, world, violation: watcher.violation };
}

function broken({ check }: Invariant, world: World): string | undefined {
	try {
		const said = check(world);
		return typeof said === 'string' ? said : undefined;
	} catch (error) {
		return error instanceof Error ? error.message : String(error);
	}
}

function report(scenario: Scenario, { steps }: Outcome, { invariant }: Violation, length: number): Error {
	const fewest = shrink(scenario, steps, invariant);
	const { world, violation, steps: played } = replay(scenario, fewest);
	const lines = world.trace().split('\n');
	const left = lines.length > SHOWN_LINES ? [`… (${lines.length - SHOWN_LINES} lines before)`] : [];
	const { message } = violation as Violation;
	return failure(
		[
			`'${invariant}' does not hold (seed ${scenario.seed}): ${message}`,
			'',
			`${played.length} of ${steps.length} steps are enough:`,
			...linesOf(played).map((line) => `  ${line}`),
			'',
			'what happens then:',
			...[...left, ...lines.slice(-SHOWN_LINES)].map((line) => `  ${line}`),
			'',
			`again: explore(spec, { seeds: [${scenario.seed}], steps: ${length} })`,
		].join('\n'),
	);
}

/** The given steps; the stop at the end comes by itself if it is not among them. */
function replay(scenario: Scenario, steps: readonly FaultStep[]): Outcome {
	return play(scenario, (_, index) => steps[index] ?? null);
}

/**
 * The fewest steps that still break the same invariant, as far as cutting finds them: parts are left out, halves first (delta debugging,
 * Zeller and Hildebrandt 2002), then waits are joined and shortened.
 */
function shrink(scenario: Scenario, steps: readonly FaultStep[], invariant: string): FaultStep[] {
	let replays = 0;
	const breaks = (tried: readonly FaultStep[]): Outcome | null => {
		replays += 1;
		const outcome = replay(scenario, tried);
		return outcome.violation?.invariant === invariant ? outcome : null;
	};
	// With time at the end, so that what is left need not strike in the nick of time.
	let best = [...steps, { waitMs: TAIL_MS, fault: null, path: '', value: 0 }];
	const drop = () => {
		for (let size = Math.ceil(best.length / 2); size >= 1 && replays < MAX_REPLAYS; ) {
			let cut = false;
			for (let from = 0; from < best.length && replays < MAX_REPLAYS; ) {
				const dropped = best.slice(from, from + size);
				const rest = [...best.slice(0, from), ...best.slice(from + size)];
				// What is left out may still be time that has to pass.
				const waitMs = dropped.reduce((sum, step) => sum + step.waitMs, 0);
				const pause: FaultStep = { waitMs, fault: null, path: '', value: 0 };
				const waiting = [...best.slice(0, from), pause, ...best.slice(from + size)];
				const worthwhile = dropped.some(({ fault }) => fault !== null);
				const found = breaks(rest) !== null ? rest : worthwhile && waitMs > 0 && breaks(waiting) !== null ? waiting : null;
				if (found === null) from += size;
				else {
					best = found;
					cut = true;
				}
			}
			if (!cut || size > 1) size = size === 1 ? 0 : Math.floor(size / 2);
		}
	};
	const joinWaits = () => {
		for (let index = best.length - 2; index >= 0; index--) {
			const [first, second] = best.slice(index, index + 2) as [FaultStep, FaultStep];
			if (first.fault !== null) continue;
			const joined = { ...second, waitMs: first.waitMs + second.waitMs };
			const tried = [...best.slice(0, index), joined, ...best.slice(index + 2)];
			if (breaks(tried) !== null) best = tried;
		}
	};
	const shortenWaits = () => {
		for (let index = 0; index < best.length; index++) {
			for (const shorter of [0, 10, 100, 1_000, 10_000]) {
				const step = best[index] as FaultStep;
				if (shorter >= step.waitMs || replays >= MAX_REPLAYS) break;
				const tried = best.map((each, at) => (at === index ? { ...each, waitMs: shorter } : each));
				if (breaks(tried) === null) continue;
				best = tried;
				break;
			}
		}
	};
	// Once waits are short, more may be left out.
	for (let before: FaultStep[] | null = null; before !== best && replays < MAX_REPLAYS; ) {
		before = best;
		drop();
		joinWaits();
		shortenWaits();
	}
	return best;
}
