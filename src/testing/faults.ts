/** What can go wrong in an explored world: each fault is plain text and numbers, so that a scenario can be had again, cut and shown. */
import type { StopMode } from '../../machines/spec.ts';
import type { World } from './world.ts';

export type FaultName =
	| 'crash'
	| 'exit'
	| 'hang'
	| 'slowReady'
	| 'neverReady'
	| 'ignoreTerm'
	| 'slowDrain'
	| 'failToSpawn'
	| 'recover'
	| 'killMaster'
	| 'pause'
	| 'restart'
	| 'stop';

/** One step of a scenario: so much time passes, then a fault. */
export interface FaultStep {
	waitMs: number;
	/** null: nothing but time. */
	fault: FaultName | null;
	path: string;
	value: number;
}

/** Whom a fault can hit: a process that lives, any child that is no supervisor, or the tree. */
type Target = 'living' | 'work' | 'tree';

interface Fault {
	of: Target;
	/** Among the others: how often. */
	weight: number;
	value: (chance: () => number) => number;
	/** As a person would write it in a test. */
	text: (path: string, value: number) => string;
	strike: (world: World, path: string, value: number) => void;
	/** Whether it means anything for this child. Default: for each. */
	fits?: (world: World, path: string) => boolean;
}

const none = () => 0;
const codes = [0, 1, 1, 78] as const;
const modes: readonly StopMode[] = ['drain', 'drain', 'fast', 'kill'];
const pick = <T>(from: readonly T[], chance: () => number): T => from[Math.floor(chance() * from.length)] as T;

export const faults: Record<FaultName, Fault> = {
	crash: {
		of: 'living',
		weight: 8,
		value: none,
		text: (path) => `world.crash('${path}')`,
		strike: (world, path) => world.crash(path),
	},
	exit: {
		of: 'living',
		weight: 3,
		value: (chance) => pick(codes, chance),
		text: (path, code) => `world.exit('${path}', ${code})`,
		strike: (world, path, code) => world.exit(path, code),
	},
	hang: {
		of: 'living',
		weight: 2,
		value: none,
		text: (path) => `world.hang('${path}')`,
		strike: (world, path) => world.hang(path),
	},
	slowReady: {
		of: 'work',
		weight: 2,
		value: (chance) => Math.floor(chance() * 5_000),
		text: (path, ms) => `world.behaviour('${path}', { ready: ${ms} })`,
		strike: (world, path, ms) => world.behaviour(path, { ready: ms }),
		fits: saysReady,
	},
	neverReady: {
		of: 'work',
		weight: 1,
		value: none,
		text: (path) => `world.neverReady('${path}')`,
		strike: (world, path) => world.neverReady(path),
		fits: saysReady,
	},
	ignoreTerm: {
		of: 'work',
		weight: 1,
		value: none,
		text: (path) => `world.ignoreTerm('${path}')`,
		strike: (world, path) => world.ignoreTerm(path),
	},
	slowDrain: {
		of: 'work',
		weight: 1,
		value: (chance) => Math.floor(chance() * 20_000),
		text: (path, ms) => `world.slowDrain('${path}', ${ms})`,
		strike: (world, path, ms) => world.slowDrain(path, ms),
	},
	failToSpawn: {
		of: 'work',
		weight: 1,
		value: (chance) => 1 + Math.floor(chance() * 3),
		text: (path, times) => `world.failToSpawn('${path}', ${times})`,
		strike: (world, path, times) => world.failToSpawn(path, times),
	},
	recover: {
		of: 'work',
		weight: 3,
		value: none,
		text: (path) => `world.behaviour('${path}', {})`,
		strike: (world, path) => world.behaviour(path, {}),
	},
	killMaster: {
		of: 'tree',
		weight: 1,
		value: none,
		text: () => 'world.killMaster()',
		strike: (world) => world.killMaster(),
	},
	pause: {
		of: 'tree',
		weight: 1,
		value: (chance) => Math.floor(chance() * 20_000),
		text: (_, ms) => `world.pause(${ms})`,
		strike: (world, _, ms) => world.pause(ms),
	},
	restart: {
		of: 'work',
		weight: 2,
		value: none,
		text: (path) => `world.restart('${path}')`,
		strike: (world, path) => void world.restart(path),
	},
	stop: {
		of: 'tree',
		// Once a scenario, by itself.
		weight: 0,
		value: (chance) => Math.floor(chance() * modes.length),
		text: (_, mode) => (modes[mode] === 'drain' ? 'world.stop()' : `world.stop('${modes[mode]}')`),
		strike: (world, _, mode) => world.stop(modes[mode]),
	},
};

/** Chooses whom a fault hits; null: nobody is there for it. */
export function targetOf(name: FaultName, world: World, chance: () => number): string | null {
	const { of, fits } = faults[name];
	if (of === 'tree') return '';
	const living = of === 'living';
	const paths = living
		? [...world.processes()].filter(({ phase }) => phase === 'alive').map(({ run }) => run.path)
		: world.paths.filter((path) => isWork(world, path) && (fits === undefined || fits(world, path)));
	return paths.length === 0 ? null : pick(paths, chance);
}

/** Strikes if there is something to be struck: in a scenario that has been cut, what was there may be gone. */
export function strike(world: World, { fault, path, value }: FaultStep): void {
	if (fault === null || world.ended !== null) return;
	if (faults[fault].of === 'living' && ![...world.processes()].some(({ phase, run }) => phase === 'alive' && run.path === path)) return;
	// A spare is known from its first launch on.
	if (faults[fault].of === 'work' && !world.paths.includes(path)) return;
	faults[fault].strike(world, path, value);
}

/** The steps as the lines of a test. */
export function linesOf(steps: readonly FaultStep[]): string[] {
	return steps.flatMap(({ waitMs, fault, path, value }) => [
		...(waitMs > 0 ? [`world.advance(${waitMs});`] : []),
		...(fault === null ? [] : [`${faults[fault].text(path, value)};`]),
	]);
}

function saysReady(world: World, path: string): boolean {
	const spec = world.specOf(path);
	return spec !== null && 'ready' in spec && spec.ready.kind !== 'spawned' && spec.ready.kind !== 'after';
}

function isWork(world: World, path: string): boolean {
	const kind = world.specOf(path)?.kind;
	return kind !== 'supervisor' && kind !== 'dynamic';
}
