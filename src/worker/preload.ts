/**
 * Loaded before a user's module: `node --require preload.cjs module`. It arms the signals first, then speaks to the master for
 * programs that know nothing of choir: it beats, says ready when they listen, hands them the held sockets and drains them.
 * Each start waits for it. So what it needs of Node is imported by name: built as CommonJS, a whole module would be copied.
 */
import { requestOf, type Signal } from '../../machines/signals.ts';
import { Accepting } from './accepting.ts';
import { armSignals } from './armed.ts';
import { Channel, type Word } from './channel.ts';
import { Cover, type Spare } from './cover.ts';
import { drain, isDraining } from './drain.ts';
import { giveBack } from './give-back.ts';
import { patchListen } from './listen.ts';
import { type Assignment, Standby } from './standby.ts';
import { type Listening, shareState, type WorkerState, workerState } from './state.ts';

if (process.env.CHOIR_WORKER !== undefined && process.env.CHOIR_TOKEN !== undefined && workerState() === null) {
	armSignals(take);
	join(process.env.CHOIR_WORKER, process.env.CHOIR_TOKEN);
}

function take(signal: Signal, told: boolean): void {
	const request = requestOf('worker', signal, false);
	if (request.do !== 'stop') {
		// To go on after a stop is nothing to speak of; and what the program takes itself is not ignored.
		if (!told && signal !== 'SIGCONT') workerState()?.channel?.say({ do: 'signal.ignored', signal });
		return;
	}
	if (signal !== 'SIGTERM' && told) return;
	if (request.mode === 'fast') process.exit();
	// Asked a second time: its time is over, unless the program wants to see to that itself.
	if (isDraining() && !told) process.exit();
	void drain({ told });
}

function join(workerId: string, token: string): void {
	const {
		CHOIR_CONTROL = '',
		CHOIR_PATH = '',
		CHOIR_HEARTBEAT_MS = '0',
		CHOIR_READY = '',
		CHOIR_LISTEN = '[]',
		CHOIR_SPARES = '[]',
		CHOIR_ACCEPT = '',
		CHOIR_DRAIN_MS = '',
	} = process.env;
	const spares = JSON.parse(CHOIR_SPARES) as Spare[];
	const standby = process.env.CHOIR_STANDBY === undefined ? null : new Standby(spares);
	const [isAdmitted, hasTurn] = [CHOIR_ACCEPT !== 'later', process.env.CHOIR_TURNS === undefined];
	const state: WorkerState = {
		path: CHOIR_PATH,
		workerId,
		listen: JSON.parse(CHOIR_LISTEN) as Listening[],
		servers: new Map(),
		cover: standby === null && spares.length > 0 ? new Cover(spares) : null,
		accepting: isAdmitted && hasTurn ? null : new Accepting({ isAdmitted, hasTurn }),
		standby,
		channel: null,
		readyBySignal: CHOIR_READY === 'signal',
		libraryLoaded: false,
		inThread: false,
		drainMs: CHOIR_DRAIN_MS === '' ? null : Number(CHOIR_DRAIN_MS),
		drains: [],
	};
	shareState(state);
	// Only this process is the worker: what it starts may not speak in its name. (All else stays: strays are found by it.)
	delete process.env.CHOIR_TOKEN;
	patchListen(state);
	const channel = new Channel({
		path: CHOIR_CONTROL,
		workerId,
		token,
		heartbeatMs: Number(CHOIR_HEARTBEAT_MS),
		hear: (word) => {
			if (word.do === 'drain') void drain({ told: false });
			else if (word.do === 'accept') state.accepting?.admit();
			else if (word.do === 'cover' && Array.isArray(word.slots)) state.cover?.want(word.slots);
			else if (word.do === 'token') takeTurn(state, word.has === true);
			else if (word.do === 'activate') state.standby?.activate(state, word as Word & Assignment);
			else if (word.do === 'sockets.wanted') giveBack(state, token, word.to, word.sockets);
		},
	});
	state.channel = channel;
	// A write to a local socket is done when it returns, as long as the master reads.
	process.once('exit', () => channel.sayPeak());
}

/** Who takes the token says so; who loses it has only to stop. */
function takeTurn({ accepting, channel }: WorkerState, has: boolean): void {
	accepting?.give(has);
	if (has) channel?.say({ do: 'token.taken' });
}
