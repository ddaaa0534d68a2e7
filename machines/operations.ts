/**
 * What a supervisor is in the middle of. An operation brings a range of children down (in reverse order, each dead
 * before the one before it is asked), waits out a backoff, and brings it up (in order, each ready before the next).
 * The first start, a restart after a death, whatever is done to a child by request, and the stop of all are operations.
 *
 * OTP has one mailbox and works off one message after the other. So what is asked at run time (start, terminate, restart,
 * delete, list) waits until nobody has a hand in any child, and finds a finished state; a backoff holds up nothing.
 * Operations whose ranges overlap run one after the other, as they arrived; the others run side by side, so that a
 * child that takes long to start holds up nobody else's restart. A waiting operation holds nothing.
 */
import { placeAmong } from './desired.ts';
import { affected, backoffMs, countFailures, intensityExceeded, logRestart, mayRestart, noRestarts, type RestartLog } from './restart.ts';
import type { AutoShutdown, Exit, Intensity, RestartRule, StopMode, Strategy } from './spec.ts';
import { OrderedTrie } from './trie.ts';

/** What a supervisor knows of one child. */
export interface Child {
	id: string;
	rule: RestartRule;
	/** The latest run, from 1; 0 before the first. Only grows. */
	incarnation: number;
	/** The highest number that was given away for its place, to it or to one that a reload had started beside it. */
	used: number;
	phase: 'down' | 'starting' | 'running' | 'draining';
	/** Why it is down for good, until somebody asks for it. `paused`: nothing but a resume or a request for it starts it. */
	standing: 'gaveUp' | 'fatal' | 'finished' | 'stopped' | 'ignored' | 'paused' | null;
	/** Failures in a row, for the backoff. */
	failures: number;
	/** Automatic restarts so far. */
	restarts: number;
	/** Its own window, where it has one. */
	log: RestartLog;
	readyAt: number | null;
	lastExit: Exit | null;
	/** Came by request: what was declared is remembered when it has ended, this is not if it is temporary. */
	added: boolean;
}

/** A child that has not run yet. */
export const unborn: Omit<Child, 'id' | 'rule'> = {
	incarnation: 0,
	used: 0,
	phase: 'down',
	standing: null,
	failures: 0,
	restarts: 0,
	log: noRestarts,
	readyAt: null,
	lastExit: null,
	added: false,
};

export interface Operation {
	id: number;
	/** `exchange`: as `request`, but a start that fails is not tried again: whoever asked has something else in mind then. */
	kind: 'start' | 'restart' | 'request' | 'exchange' | 'add' | 'revive' | 'terminate' | 'pause' | 'resume' | 'stop';
	/** The strategy that gave the range: a retry keeps it, whatever the child that failed has for its own. */
	strategy: Strategy;
	/** Ids in start order. */
	scope: string[];
	phase: 'queued' | 'stopping' | 'waiting' | 'starting';
	/** While it stops: those from here on are down. Whether all have been asked to go already. */
	left: number;
	allAsked: boolean;
	/** While it starts: those before have been launched, or passed over; and those before have come up, or are down. */
	tried: number;
	settled: number;
	/**
	 * Between stop and start. null: none. 0: the retry of a start that failed, which goes behind what already waits, and only
	 * then stops what is left of the attempt (OTP mails it to itself).
	 */
	delayMs: number | null;
	mode: StopMode;
	/** The child whose death it answers: the one that is "restarting" while it waits. */
	about: string | null;
	/** Who wants to know how it ended. */
	request: string | null;
}

/** The death of a child, as its supervisor is told. `chance` in [0, 1) decides the jitter. */
export interface Death {
	id: string;
	incarnation: number;
	exit: Exit;
	chance: number;
}

/** What is asked of a supervisor at run time (OTP's `start_child` and its kin). `look`: its children are to be listed. */
export type Asked = { request: string } & (
	| { do: 'startChild'; id: string; rule: RestartRule; incarnation: number }
	/** `alone`: it goes for good, and who is down with it while it waits for its restart is restarted without it. OTP leaves those down. */
	| { do: 'terminateChild'; id: string; alone?: boolean }
	| { do: 'restartChild' | 'deleteChild'; id: string }
	| { do: 'look' }
);

/** Why something asked was not done. The first six are OTP's words. */
export type Refusal =
	| 'not_found'
	| 'running'
	| 'restarting'
	| 'already_present'
	| 'already_started'
	| 'start_failed'
	| 'failed'
	| 'stopping'
	| 'busy'
	| 'dynamic'
	| 'full';

/** `incarnation`: the one that is up; null if it did not want to run, or none is meant. */
export type Answer = { ok: true; incarnation: number | null } | { ok: false; code: Refusal; message: string };

export interface Supervision {
	/** In start order. */
	children: OrderedTrie<Child>;
	start: 'ordered' | 'parallel';
	intensity: Intensity;
	log: RestartLog;
	operations: readonly Operation[];
	nextOperation: number;
	autoShutdown: AutoShutdown;
	/** What waits for its turn, in order of arrival: deaths in the middle of an operation on that child, and requests. */
	mail: ReadonlyArray<Death | Asked>;
}

/** What is to be done outside, in this order. */
export type Ask =
	| { do: 'launch'; id: string; incarnation: number }
	| { do: 'drain'; id: string; incarnation: number; mode: StopMode }
	| { do: 'schedule'; operation: number; delayMs: number }
	| { do: 'unschedule'; operation: number }
	| { do: 'answer'; request: string; answer: Answer }
	| { do: 'add'; id: string; request: string }
	| { do: 'forget'; id: string }
	| { do: 'notice'; death: Death }
	| { do: 'take'; asked: Asked };

/** Requests that wait; beyond, they are refused. */
export const MAX_MAIL = 10_000;

const overlap = (a: Operation, b: Operation) => a.scope.some((id) => b.scope.includes(id));

export function withChild(state: Supervision, id: string, change: Partial<Child>): Supervision {
	const child = state.children.get(id);
	if (child === undefined) return state;
	return { ...state, children: state.children.with(id, { ...child, ...change }) };
}

export function withoutChild(state: Supervision, id: string): Supervision {
	return { ...state, children: state.children.without(id) };
}

/** OTP keeps no trace of a temporary child that has ended. A declared one stays in the list here, but only to be looked at. */
export function isGone({ rule, phase, standing }: Child): boolean {
	return rule.type === 'temporary' && phase === 'down' && standing !== null && standing !== 'paused';
}

/** A child that is down for good, as its death has left it. */
export function retire(state: Supervision, child: Child, standing: Child['standing']): { state: Supervision; asks: Ask[] } {
	if (child.added && child.rule.type === 'temporary')
		return { state: withoutChild(state, child.id), asks: [{ do: 'forget', id: child.id }] };
	return { state: withChild(state, child.id, { standing }), asks: [] };
}

const isWorking = ({ phase }: Operation) => phase === 'queued' || phase === 'stopping' || phase === 'starting';
const isRestarting = ({ operations }: Supervision, id: string) =>
	operations.some(({ phase, about }) => phase === 'waiting' && about === id);

/** Whether the end in order of a significant child ends its supervisor. */
export function shutsDown(state: Supervision, ended: Child): boolean {
	if (!ended.rule.significant || state.autoShutdown === 'never') return false;
	if (state.autoShutdown === 'any_significant') return true;
	// Only what is up, or will be, holds it: not what was terminated by request.
	return !state.children
		.values()
		.some(
			({ id, rule, phase, standing }) =>
				id !== ended.id && rule.significant && (phase !== 'down' || standing === 'paused' || isRestarting(state, id)),
		);
}

/** One whose time has come gets in line: others may have their hands on its children by now. */
export function wake({ operations }: Supervision, id: number): readonly Operation[] {
	const woken = operations.find((operation) => operation.id === id && operation.phase === 'waiting');
	if (woken === undefined) return operations;
	return [...operations.filter((operation) => operation !== woken), { ...woken, phase: 'queued', delayMs: null }];
}

/** The operation that has its hands on a child now, if any. */
export function operationOn(state: Supervision, id: string): Operation | undefined {
	return state.operations.find(({ scope, phase }) => (phase === 'stopping' || phase === 'starting') && scope.includes(id));
}

/**
 * Adds an operation behind the others. One that only waits, for its time or for its turn, and for nothing but what the new one
 * covers, is absorbed.
 */
export function plan(
	state: Supervision,
	operation: Omit<Operation, 'id' | 'phase' | keyof typeof fresh>,
): { state: Supervision; asks: Ask[] } {
	const absorbed = state.operations.filter(
		({ phase, kind, scope }) =>
			(phase === 'waiting' || (phase === 'queued' && kind === 'restart')) && scope.every((id) => operation.scope.includes(id)),
	);
	const mailed = operation.delayMs === 0;
	const added: Operation = { ...operation, id: state.nextOperation, phase: mailed ? 'waiting' : 'queued', ...fresh };
	return {
		state: {
			...state,
			nextOperation: state.nextOperation + 1,
			operations: [...state.operations.filter((other) => !absorbed.includes(other)), added],
		},
		asks: [
			...absorbed.flatMap(({ id, request }): Ask[] => [
				{ do: 'unschedule', operation: id },
				...(request === null ? [] : [refuse(request, 'failed', 'overtaken by another operation')]),
			]),
			...(mailed ? [{ do: 'schedule' as const, operation: added.id, delayMs: 0 }] : []),
		],
	};
}

/** Whether a restart of `child` would be one too many, in its own window or in that of its supervisor. */
export function isExhausted(state: Supervision, { rule, log }: Child, now: number): boolean {
	// A child that does not escalate must not use up the budget of its siblings.
	const inCommon = rule.whenExhausted === 'escalate' && intensityExceeded(state.log, now, state.intensity);
	return inCommon || (rule.intensity !== null && intensityExceeded(log, now, rule.intensity));
}

/** Plans what follows a death that calls for a restart. `slow`: exhausted, but tried on at the slowest backoff. */
export function planRestart(
	state: Supervision,
	{ id, exit, chance }: Death,
	slow: boolean,
): { state: Supervision; asks: Ask[]; delayMs: number } {
	const child = state.children.get(id) as Child;
	const { rule } = child;
	const own = rule.intensity === null ? child.log : logRestart(child.log, exit.at, rule.intensity);
	const supervisor = rule.whenExhausted === 'escalate' ? logRestart(state.log, exit.at, state.intensity) : state.log;
	const failures = countFailures(child.failures, child.readyAt, exit.at, child.rule.backoff);
	const delayMs = slow ? child.rule.backoff.toMs : backoffMs(child.rule.backoff, failures, chance);
	const failed = operationOn(state, id);
	const ids = state.children.keys();
	// A failed attempt goes on with the range it was part of: everything again under one_for_all, from the one that
	// failed under rest_for_one. The initial start is nobody's restart: there a child stands for itself.
	const partOf = failed !== undefined && failed.kind !== 'start' ? failed : undefined;
	const strategy = partOf?.strategy ?? child.rule.strategy;
	const scope = partOf === undefined ? affected(strategy, ids, id) : affected(strategy, partOf.scope, id);
	const counted: Supervision = {
		...withChild(state, id, { failures, log: own }),
		log: supervisor,
		operations: partOf === undefined ? state.operations : state.operations.filter((other) => other !== partOf),
	};
	const planned = plan(counted, {
		kind: 'restart',
		strategy,
		scope,
		delayMs: delayMs > 0 || partOf !== undefined ? delayMs : null,
		mode: 'drain',
		about: id,
		request: null,
	});
	const answers: Ask[] = partOf?.request == null ? [] : [refuse(partOf.request, 'start_failed', describe(id, exit))];
	return { ...planned, asks: [...answers, ...planned.asks], delayMs };
}

/**
 * The incarnation that would follow at once, and nothing else, if a child crashed now; null: something else would. It is what the crash itself
 * would lead to, asked ahead of it, so that the start can be ordered in advance. A code of `okCodes` or `fatalCodes` is no crash.
 */
export function nextAfterCrash(state: Supervision, id: string, now: number): number | null {
	const child = state.children.get(id);
	if (child?.phase !== 'running' || !mayRestart(child.rule.type, 'crash')) return null;
	if (state.operations.length > 0 || isExhausted(state, child, now)) return null;
	const exit: Exit = { reason: 'crash', code: null, signal: null, at: now, maxRssBytes: null };
	const down = withChild(state, id, { phase: 'down', lastExit: exit });
	// With the longest wait that chance may bring.
	const planned = planRestart(down, { id, incarnation: child.incarnation, exit, chance: 1 }, false);
	const [first, ...others] = [...planned.asks, ...proceed(planned.state).asks];
	return first?.do === 'launch' && first.id === id && others.length === 0 ? first.incarnation : null;
}

/** One sentence on how a child ended. */
export function describe(id: string, { reason, code, signal, detail }: Exit): string {
	const how = signal !== null ? `by ${signal}` : code !== null ? `with code ${code}` : '';
	const words: Record<Exit['reason'], string> = {
		normal: `ended normally ${how}`,
		shutdown: `was stopped`,
		crash: `crashed ${how}`,
		killed: `was killed ${how}`,
		startFailed: how === '' ? 'did not start' : `ended ${how} before it was ready`,
		hung: 'hung and was killed',
		lost: 'was lost: nobody saw how it ended',
		ignored: 'did not want to run',
	};
	return `${id} ${words[reason].trim()}${detail === undefined ? '' : ` (${detail})`}`;
}

/** Whether an operation may bring a child up: not what is down for good, and a temporary only at the first start or when asked for. */
function mayLaunch({ kind }: Operation, { rule, standing }: Child): boolean {
	if (kind === 'request' || kind === 'exchange' || kind === 'add' || kind === 'revive') return true;
	if (kind === 'resume') return standing === 'paused';
	if (standing === 'gaveUp' || standing === 'fatal' || standing === 'paused') return false;
	return kind === 'start' || rule.type !== 'temporary';
}

/** Takes every operation as far as the facts allow. */
export function proceed(before: Supervision): { state: Supervision; asks: Ask[] } {
	let state = before;
	const asks: Ask[] = [];
	const ahead: Operation[] = [];
	for (const { id } of before.operations) {
		const operation = state.operations.find((other) => other.id === id) as Operation;
		if (operation.phase === 'waiting') continue;
		if (ahead.some((other) => overlap(other, operation))) {
			ahead.push(operation);
			continue;
		}
		const taken = advance(state, operation, asks);
		state = taken.state;
		if (taken.operation === null) {
			state = { ...state, operations: state.operations.filter((other) => other.id !== id) };
			if (operation.request !== null) asks.push(outcome(state, operation, operation.request));
			continue;
		}
		const { operation: next } = taken;
		state = { ...state, operations: state.operations.map((other) => (other.id === id ? next : other)) };
		if (next.phase !== 'waiting') ahead.push(next);
	}
	// One at a time: what it does may hold up the next.
	const due = state.mail.find((mail) => ('do' in mail ? !state.operations.some(isWorking) : operationOn(state, mail.id) === undefined));
	if (due !== undefined) {
		state = { ...state, mail: state.mail.filter((mail) => mail !== due) };
		asks.push('do' in due ? { do: 'take', asked: due } : { do: 'notice', death: due });
	}
	return { state, asks };
}

/** How an operation that somebody asked for has ended: with everybody up, or with the first who is not. */
function outcome(state: Supervision, { kind, scope }: Operation, request: string): Ask {
	if (kind === 'terminate' || kind === 'pause') return accept(request);
	const [first, ...more] = scope.map((id) => state.children.get(id));
	if (kind === 'add' || kind === 'revive') return accept(request, first?.phase === 'running' ? first.incarnation : null);
	const down = [first, ...more].find((child) => child?.phase !== 'running');
	if (down === undefined) return accept(request);
	return refuse(request, 'failed', down.lastExit === null ? `${down.id} is down` : describe(down.id, down.lastExit));
}

const accept = (request: string, incarnation: number | null = null): Ask => ({ do: 'answer', request, answer: { ok: true, incarnation } });
export const refuse = (request: string, code: Refusal, message: string): Ask => ({
	do: 'answer',
	request,
	answer: { ok: false, code, message },
});

/** Does what is asked, or plans it, or refuses it: OTP's answers to its requests. */
export function take(state: Supervision, asked: Asked): { state: Supervision; asks: Ask[] } {
	const { request } = asked;
	const no = (code: Refusal, message: string) => ({ state, asks: [refuse(request, code, message)] });
	const plans = (kind: Operation['kind'], from: Supervision, id: string) =>
		plan(from, { kind, strategy: 'one_for_one', scope: [id], delayMs: null, mode: 'drain', about: null, request });
	if (asked.do === 'look') return { state, asks: [accept(request)] };
	const { id } = asked;
	const known = state.children.get(id);
	const child = known === undefined || isGone(known) ? undefined : known;
	if (asked.do === 'startChild') {
		if (child?.phase === 'down') return no('already_present', `there is a child '${id}' already: it is down`);
		if (child !== undefined) return no('already_started', `there is a child '${id}' already: it runs as incarnation ${child.incarnation}`);
		const { rule, incarnation } = asked;
		const others = state.children.without(id);
		const children = others.with(id, { ...unborn, id, rule, incarnation, added: true }, placeAmong(others.keys(), id));
		const planned = plans('add', { ...state, children }, id);
		return { state: planned.state, asks: [{ do: 'add', id, request }, ...planned.asks] };
	}
	if (child === undefined) return no('not_found', `there is no child '${id}'`);
	const restarting = isRestarting(state, id);
	if (asked.do === 'terminateChild') {
		if (child.phase !== 'down') return plans('terminate', state, id);
		// Whoever waits only for its retry waits for nothing more; the others of its group stay down, unless it goes alone.
		const operations = state.operations.flatMap((operation) => {
			if (operation.phase !== 'waiting' || operation.about !== id) return [operation];
			const scope = asked.alone === true ? operation.scope.filter((other) => other !== id) : [];
			return scope.length === 0 ? [] : [{ ...operation, scope, about: null }];
		});
		const ended = state.operations.filter((operation) => !operations.some((other) => other.id === operation.id));
		const retired = retire({ ...state, operations }, child, 'stopped');
		return {
			state: retired.state,
			asks: [...ended.map((operation): Ask => ({ do: 'unschedule', operation: operation.id })), ...retired.asks, accept(request)],
		};
	}
	if (child.phase !== 'down') return no('running', `'${id}' is running`);
	if (asked.do === 'restartChild' && child.standing === 'paused') return no('failed', `'${id}' is paused: resume it`);
	if (restarting) return no('restarting', `'${id}' is about to be restarted`);
	if (asked.do === 'restartChild') return plans('revive', state, id);
	return { state: withoutChild(state, id), asks: [...(child.added ? [{ do: 'forget' as const, id }] : []), accept(request)] };
}

/** A start by request that failed: OTP keeps no child that was never up, does not try again, and counts nothing. */
export function failRequest(state: Supervision, { id, exit }: Death): { state: Supervision; asks: Ask[] } {
	const { kind, request, id: operation } = operationOn(state, id) as Operation;
	const left: Supervision = { ...state, operations: state.operations.filter((other) => other.id !== operation) };
	const asks: Ask[] = [];
	if (kind === 'add') asks.push({ do: 'forget', id });
	if (request !== null) asks.push(refuse(request, 'start_failed', describe(id, exit)));
	return { state: kind === 'add' ? withoutChild(left, id) : withChild(left, id, { standing: 'stopped' }), asks };
}

/** A child as it is declared from now on. `taken`: the incarnation that a reload has brought up for it. */
export interface Replacement {
	id: string;
	rule: RestartRule;
	taken: { incarnation: number; readyAt: number } | null;
	/** A new one begins so. */
	paused: boolean;
}

/**
 * The children as a new version of the spec has them, in its order; whoever is not among them stays, at the end. What was brought up
 * beside a child takes its place, and nothing waits for that child any more.
 */
export function replaceChildren(state: Supervision, replacements: readonly Replacement[]): { state: Supervision; asks: Ask[] } {
	const ids = new Set(replacements.map(({ id }) => id));
	const replaced = replacements.map(({ id, rule, taken, paused }): [string, Child] => {
		const born: Omit<Child, 'rule'> = { ...unborn, id, standing: paused ? 'paused' : null };
		const child = { ...(state.children.get(id) ?? born), rule, added: false };
		if (taken === null) return [id, child];
		const used = Math.max(child.used, child.incarnation, taken.incarnation);
		return [id, { ...child, ...taken, used, phase: 'running', standing: null, failures: 0 }];
	});
	const others = [...state.children.values()].filter(({ id }) => !ids.has(id)).map((child): [string, Child] => [child.id, child]);
	const up = new Set(replacements.filter(({ taken }) => taken !== null).map(({ id }) => id));
	const operations = state.operations
		.map((operation) => (operation.phase === 'waiting' ? { ...operation, scope: operation.scope.filter((id) => !up.has(id)) } : operation))
		.filter(({ scope, kind }) => scope.length > 0 || kind !== 'restart');
	const ended = state.operations.filter(({ id }) => !operations.some((operation) => operation.id === id));
	return {
		state: { ...state, children: OrderedTrie.of([...replaced, ...others]), operations },
		asks: ended.map(({ id }): Ask => ({ do: 'unschedule', operation: id })),
	};
}

/** One operation, as far as it goes. null: it is complete. */
function advance(before: Supervision, given: Operation, asks: Ask[]): { state: Supervision; operation: Operation | null } {
	let state = before;
	let operation = given;
	const { scope, kind } = operation;
	const childAt = (index: number) => state.children.get(scope[index] as string);
	const retireChild = (child: Child, standing: Child['standing']) => {
		const retired = retire(state, child, standing);
		state = retired.state;
		asks.push(...retired.asks);
	};
	if (operation.phase === 'queued')
		operation =
			kind === 'resume' ? { ...operation, phase: 'starting', ...fresh } : { ...operation, phase: 'stopping', ...fresh, left: scope.length };
	if (operation.phase === 'stopping') {
		let { left, allAsked } = operation;
		const drain = (index: number) => {
			const child = childAt(index);
			if (child === undefined || child.phase === 'down' || child.phase === 'draining') return;
			state = withChild(state, child.id, { phase: 'draining' });
			asks.push({ do: 'drain', id: child.id, incarnation: child.incarnation, mode: operation.mode });
		};
		// Children that start side by side do not depend on each other, so they may go side by side; a kill waits for nobody.
		if (!allAsked && (state.start === 'parallel' || operation.mode === 'kill')) {
			for (let index = left - 1; index >= 0; index--) drain(index);
			allAsked = true;
		}
		while (left > 0 && (childAt(left - 1)?.phase ?? 'down') === 'down') left -= 1;
		if (left > 0) {
			drain(left - 1);
			return { state, operation: { ...operation, left, allAsked } };
		}
		if (kind === 'stop') return { state, operation: null };
		if (kind === 'terminate') {
			for (const id of scope) retireChild(state.children.get(id) as Child, 'stopped');
			return { state, operation: null };
		}
		if (kind === 'pause') {
			// What is at rest already is not paused: nobody waits for it to go on.
			for (const id of scope) if (state.children.get(id)?.standing === null) state = withChild(state, id, { standing: 'paused' });
			return { state, operation: null };
		}
		if (operation.delayMs !== null) {
			asks.push({ do: 'schedule', operation: operation.id, delayMs: operation.delayMs });
			return { state, operation: { ...operation, phase: 'waiting' } };
		}
		operation = { ...operation, phase: 'starting' };
	}
	let { tried, settled } = operation;
	for (;;) {
		// Of those that it has launched, each has come up, or has not and is down.
		while (settled < tried && childAt(settled)?.phase !== 'starting') settled += 1;
		if (tried === scope.length || (settled < tried && state.start === 'ordered')) break;
		const child = childAt(tried);
		tried += 1;
		if (child?.phase !== 'down') continue;
		if (mayLaunch(operation, child)) {
			const { id } = child;
			const incarnation = Math.max(child.incarnation, child.used) + 1;
			const restarts = child.restarts + (kind === 'restart' ? 1 : 0);
			const failures = kind === 'request' ? 0 : child.failures;
			state = withChild(state, id, { phase: 'starting', incarnation, restarts, failures, standing: null, readyAt: null });
			asks.push({ do: 'launch', id, incarnation });
		} else if (kind === 'restart' && child.rule.type === 'temporary' && child.standing === null) retireChild(child, 'finished');
	}
	return { state, operation: settled < scope.length ? { ...operation, tried, settled } : null };
}

/** Where an operation is in its range, as it begins. */
export const fresh = { left: 0, allAsked: false, tried: 0, settled: 0 };
