/** What the simulated processes of one path do. */
import type { Duration } from '../../machines/spec.ts';
import { parseDuration } from '../spec/check.ts';

/** Durations are of simulated time. What is left out is the default. */
export interface Behaviour {
	/** From the launch to a process. Default 1 ms. */
	spawn?: Duration;
	/** So many launches in a row give no process; `'always'`. Default 0. */
	failToSpawn?: number | 'always';
	/** From the launch to ready, for a child that says so itself or is probed. Default 10 ms. */
	ready?: Duration | 'never';
	/**
	 * From the drain request to an exit with code 0. `'never'`: says that it drains and goes on for ever; `'unheard'`: nobody hears the
	 * request, which is the default of a command. Default of others 5 ms, of an actor 0.
	 */
	drain?: Duration | 'never' | 'unheard';
	/** From SIGTERM to its end by it. Default 5 ms. */
	terminate?: Duration | 'ignored';
	/** From SIGKILL to its end: `'ignored'` is what hangs in the kernel. Default 1 ms. */
	kill?: Duration | 'ignored';
	/** Ends by itself so long after its launch, with `code`. Default: never. */
	exit?: Duration;
	/** For `exit`. Default 1. */
	code?: number;
	/** Whether it beats, if its spec asks for a heartbeat. Default true. */
	beats?: boolean;
	/** Whether its liveness probes pass. Default true. */
	live?: boolean;
}

/** The same in ms. */
export interface Conduct {
	spawnMs: number;
	failToSpawn: number;
	readyMs: number | 'never';
	/** null: as its kind does. */
	drainMs: number | 'never' | 'unheard' | null;
	terminateMs: number | 'ignored';
	killMs: number | 'ignored';
	exitMs: number | null;
	code: number;
	beats: boolean;
	live: boolean;
}

export const usual: Conduct = {
	spawnMs: 1,
	failToSpawn: 0,
	readyMs: 10,
	drainMs: null,
	terminateMs: 5,
	killMs: 1,
	exitMs: null,
	code: 1,
	beats: true,
	live: true,
};

/** A duration in ms; `place` names it in the error. */
export function msOf(place: string, duration: unknown): number {
	const ms = typeof duration === 'string' ? parseDuration(duration) : duration;
	if (typeof ms === 'number' && Number.isInteger(ms) && ms >= 0) return ms;
	throw new TypeError(`${place}: expected a duration such as '5s' or milliseconds, got ${shown(duration)}`);
}

/** A whole number from `least` on. */
export function countOf(place: string, count: unknown, least = 0): number {
	if (typeof count === 'number' && Number.isSafeInteger(count) && count >= least) return count;
	throw new TypeError(`${place}: expected a whole number from ${least} on, got ${shown(count)}`);
}

/** A behaviour in ms. Throws if a word or a value of it means nothing. */
export function conductOf(place: string, behaviour: Behaviour): Conduct {
	if (typeof behaviour !== 'object' || behaviour === null) throw new TypeError(`${place}: expected an object, got ${shown(behaviour)}`);
	const conduct = { ...usual };
	for (const [key, value] of Object.entries(behaviour)) {
		const here = `${place}.${key}`;
		if (value === undefined) continue;
		switch (key) {
			case 'spawn':
				conduct.spawnMs = msOf(here, value);
				break;
			case 'failToSpawn':
				conduct.failToSpawn = value === 'always' ? Number.POSITIVE_INFINITY : countOf(here, value);
				break;
			case 'ready':
				conduct.readyMs = value === 'never' ? value : msOf(here, value);
				break;
			case 'drain':
				conduct.drainMs = value === 'never' || value === 'unheard' ? value : msOf(here, value);
				break;
			case 'terminate':
				conduct.terminateMs = value === 'ignored' ? value : msOf(here, value);
				break;
			case 'kill':
				conduct.killMs = value === 'ignored' ? value : msOf(here, value);
				break;
			case 'exit':
				conduct.exitMs = msOf(here, value);
				break;
			case 'code':
				conduct.code = countOf(here, value);
				break;
			case 'beats':
			case 'live':
				if (typeof value !== 'boolean') throw new TypeError(`${here}: expected true or false, got ${shown(value)}`);
				conduct[key] = value;
				break;
			default:
				throw new TypeError(`${here}: there is no such behaviour; there are ${words.join(', ')}`);
		}
	}
	return conduct;
}

const words = ['spawn', 'failToSpawn', 'ready', 'drain', 'terminate', 'kill', 'exit', 'code', 'beats', 'live'];

function shown(value: unknown): string {
	return typeof value === 'string' ? `'${value}'` : typeof value === 'object' && value !== null ? 'an object' : String(value);
}
