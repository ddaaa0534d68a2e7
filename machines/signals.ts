/**
 * Who does what on which signal (profile "default"). What means nothing for a role is a recorded no-op, never the
 * operating system's default. Signals coalesce, so each is a level ("look again"), and nothing here counts them.
 */
import type { StopMode } from './spec.ts';

export type Role = 'angel' | 'master' | 'worker';

export const signals = [
	'SIGTERM',
	'SIGINT',
	'SIGQUIT',
	'SIGHUP',
	'SIGUSR1',
	'SIGUSR2',
	'SIGWINCH',
	'SIGTTIN',
	'SIGTTOU',
	'SIGCONT',
] as const;
export type Signal = (typeof signals)[number];

/** `more`, `fewer`: instances, one each. */
export type OperationBySignal = 'reload' | 'pause' | 'more' | 'fewer';

/** What a signal asks of the process that got it. */
export type SignalRequest =
	| { do: 'stop'; mode: StopMode; deadline: boolean }
	| { do: 'interrupt' }
	| { do: 'operate'; what: OperationBySignal }
	| { do: 'upgrade' }
	| { do: 'reopen' }
	| { do: 'resume' }
	| { do: 'later'; what: string }
	| { do: 'ignore'; why: string };

const ignore = (why: string): SignalRequest => ({ do: 'ignore', why });

/** The table. `terminal`: the process was started from one, which sends WINCH at each change of its size. */
export function requestOf(role: Role, signal: Signal, terminal: boolean): SignalRequest {
	switch (signal) {
		case 'SIGTERM':
			return { do: 'stop', mode: 'drain', deadline: true };
		case 'SIGQUIT':
			return { do: 'stop', mode: 'drain', deadline: role === 'worker' };
		case 'SIGINT':
			return role === 'worker' ? { do: 'stop', mode: 'fast', deadline: true } : { do: 'interrupt' };
		case 'SIGHUP':
			return role === 'worker' ? ignore('a worker is reloaded by its master') : { do: 'operate', what: 'reload' };
		case 'SIGUSR1':
			return { do: 'reopen' };
		case 'SIGUSR2':
			return role === 'angel' ? { do: 'upgrade' } : ignore('only the angel upgrades');
		case 'SIGWINCH':
			if (role === 'worker') return ignore('a worker is paused by its master');
			return terminal ? ignore('a terminal sends it at each change of its size') : { do: 'operate', what: 'pause' };
		case 'SIGTTIN':
		case 'SIGTTOU':
			return role === 'worker' ? ignore('a worker has nothing to scale') : { do: 'operate', what: signal === 'SIGTTIN' ? 'more' : 'fewer' };
		case 'SIGCONT':
			return role === 'worker' ? ignore('it goes on by itself') : { do: 'resume' };
	}
}
