/**
 * The master's process: it loads the user's spec and runs the tree. It may be killed at any moment; its angel holds the
 * processes, the sockets and the output. Arguments: state folder, bundle of the spec, the spec itself.
 */

import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { nanoid } from 'nanoid';
import type { TreeOperation } from '../../machines/agenda.ts';
import { stopWithoutAngel } from '../../machines/angel.ts';
import type { SupervisorEnd } from '../../machines/master.ts';
import { describe } from '../../machines/operations.ts';
import { type OperationBySignal, requestOf, type Signal } from '../../machines/signals.ts';
import type { TreeSpec } from '../../machines/spec.ts';
import type { WorkerContext } from '../../machines/worker.ts';
import { onSignal } from '../angel/arm.ts';
import { Link, type Origin, type ToAngel, type ToMaster } from '../angel/link.ts';
import { removePidFile } from '../angel/lock.ts';
import { slotsAt } from '../angel/sockets.ts';
import { serveControl } from '../control/server.ts';
import { ActorHost } from '../hosts/actors.ts';
import { startTicks } from '../hosts/proc.ts';
import { ThreadHost } from '../hosts/threads.ts';
import { type Changes, Journal } from '../journal/journal.ts';
import { RealClock } from '../kernel/clock.ts';
import { EventLog } from '../logs/events.ts';
import { resolveSpec } from '../spec/check.ts';
import { loadSpec } from '../spec/load.ts';
import { Door } from '../view/door.ts';
import type { Leftover, Tell } from './host.ts';
import { Hosts } from './hosts.ts';
import { childKey, supervisorKey } from './mind.ts';
import { Operator } from './operator.ts';
import { pathOf } from './paths.ts';
import { ProcessHost } from './processes.ts';
import { isRollout, type SavedGeneration } from './reloads.ts';
import { StandIn } from './stand-in.ts';
import { isSparePath } from './standbys.ts';
import { StatusReader } from './status.ts';
import { isOfTree, Tree, type TreeNews } from './tree.ts';
import { SpecVersions, versionFile } from './versions.ts';
import { Workers } from './workers.ts';

/** What the angel gave us: see its `spawn`. */
const LINK_FD = 3;
const CONTROL_FD = 4;
/** Beyond this a status would not be a line. */
const MAX_CONNECTIONS = 8_192;

const [, , dir, firstBundle, specFile] = process.argv as [string, string, string, string, string];
const clock = new RealClock();
const events = new EventLog(dir);
/** Letters of the token in the address of the live page: 144 bits. */
const TOKEN_LENGTH = 24;
let tree: Tree | null = null;
let operator: Operator | null = null;
let asked: 'drain' | 'fast' | 'kill' | null = null;
let inventory: Extract<ToMaster, { do: 'inventory' }> | null = null;
let host: ProcessHost | null = null;
let door: Door | null = null;
let ended = false;

/** Null as long as there is an angel. */
let standIn: StandIn | null = null;
const toAngel = new Link<ToAngel, ToMaster>(new net.Socket({ fd: LINK_FD }), hear, loseAngel);
const link: Pick<typeof toAngel, 'send' | 'flush'> = {
	send: (message) => (standIn ?? toAngel).send(message),
	flush: (done) => toAngel.flush(done),
};
link.send({ do: 'hello' });

function hear(message: ToMaster): void {
	switch (message.do) {
		case 'inventory':
			inventory = message;
			return startWhenLoaded();
		case 'stop':
			asked = message.mode;
			return tree === null ? end(0, []) : tree.stop(message.mode);
		case 'reopen':
			return events.reopen();
		case 'operate':
			return operateBySignal(message.what, message.signal);
		case 'release':
			return release();
		default:
			return host?.hear(message);
	}
}

/** For another choir. All that the next master must know is in the journal already. */
function release(): void {
	ended = true;
	news('info', 'master.released', 'the master ends, and another one goes on with the tree');
	process.exit(0);
}

/** The link has ended with the angel. What was being stopped already is stopped all the same. */
function loseAngel(): void {
	if (ended) return;
	const mode = loaded === null || tree === null || host === null ? null : stopWithoutAngel(loaded.onAngelLoss, asked);
	const what = mode !== null ? 'the tree is stopped' : 'the workers go on serving, and the next run of the tree takes them over';
	news('error', 'angel.lost', `the angel was killed: ${what}`);
	if (mode === null) return end(1, []);
	standIn = new StandIn({ dir, processes: (host as ProcessHost).processes, hear });
	setTimeout(() => (tree as Tree).stop('kill'), (loaded as TreeSpec).stopTimeoutMs);
	(tree as Tree).stop(mode);
}

/** Says how it ended, and goes as soon as that is on its way. */
function end(exitCode: number, lines: string[]): void {
	if (ended) return;
	ended = true;
	host?.close();
	door?.close();
	if (standIn !== null) {
		standIn.sweep();
		removePidFile(dir, run);
	}
	toAngel.send({ do: 'ended', exitCode, lines });
	toAngel.flush(() => process.exit(exitCode));
}

function news(level: 'info' | 'warn' | 'error', event: string, message: string, detail: Record<string, unknown> = {}): void {
	events.write({ role: 'master', level, event, message, ...detail });
}

function take(signal: Signal): void {
	const request = requestOf('master', signal, false);
	switch (request.do) {
		case 'stop':
		case 'interrupt': {
			news('info', 'stop.asked', `stopping: ${signal} to the master`, { signal });
			asked = request.do === 'interrupt' ? (asked === 'fast' ? 'kill' : 'fast') : request.mode;
			return tree === null ? end(0, []) : tree.stop(asked);
		}
		case 'reopen':
			return events.reopen();
		case 'resume':
			return tree?.resume();
		case 'operate':
			return operateBySignal(request.what, signal);
		case 'later':
			return news('info', 'signal.ignored', `${signal} asks for ${request.what}, which is not available yet`, { signal });
		case 'ignore':
			return news('info', 'signal.ignored', `${signal} is ignored: ${request.why}`, { signal });
	}
}
onSignal(take);

const run = { pid: process.ppid, startTicks: startTicks(process.ppid) ?? 0 };
/** `killed`: there are processes of an earlier run, whose angel was killed; `upgraded`: another angel has handed over this very run. */
const origin = (process.env.CHOIR_ORIGIN ?? 'new') as Origin;
const adopts = origin !== 'new';
const journal = new Journal(dir, {
	resume: adopts || Number(process.env.CHOIR_INCARNATION) > 1,
	failed: (error) =>
		news(
			'error',
			'journal.failed',
			`what the tree has in mind cannot be written down: ${error.message}; after a loss of the master it counts anew`,
		),
	recovered: () => news('info', 'journal.recovered', 'what the tree has in mind is written down again'),
});
const before = journal.values.get('run') as { pid: number; startTicks: number; since: string } | undefined;
const isSame = before?.pid === run.pid && before.startTicks === run.startTicks;
const isOurs = before !== undefined && (isSame || origin === 'upgraded');
const since = isOurs ? before.since : new Date().toISOString();
// That of an earlier run tells of processes that are gone, unless they were taken over.
const left = isOurs || adopts ? new Map(journal.values) : new Map<string, unknown>();
if (isOurs ? !isSame : adopts) journal.write({ run: { ...run, since } });
else if (!isOurs) journal.write({ ...Object.fromEntries([...journal.values.keys()].map((key) => [key, null])), run: { ...run, since } });
let generation = (left.get('generation') as SavedGeneration | undefined) ?? null;
// What is written down counts: the angel is told after the switch, and that may have been too late. What is taken over from an earlier
// run goes on as it was declared there, and is reloaded then.
let bundleFile = generation?.file ?? firstBundle;
const load = async () => resolveSpec(await loadSpec(bundleFile, specFile));
const loading = load().catch((error: Error) => {
	if (!adopts || bundleFile === firstBundle) throw error;
	news('warn', 'spec.lost', `the version of the spec that runs cannot be loaded any more: ${error.message}`);
	generation = null;
	bundleFile = firstBundle;
	return load();
});
let loaded: Awaited<typeof loading> | null = null;
loading.then(
	(spec) => {
		loaded = spec;
		startWhenLoaded();
	},
	(error: Error) => end(78, [error.message]),
);

function startWhenLoaded(): void {
	if (loaded === null || inventory === null || tree !== null || ended) return;
	const spec = loaded;
	const known = inventory;
	if (origin === 'killed' && generation === null) keepSpec(known.leftovers);
	const versions = new SpecVersions({
		dir,
		specFile,
		spec,
		bundleFile,
		saved: generation,
		inForce: (bundle) => link.send({ do: 'version', bundle }),
	});
	// Later the files may be newer than what runs.
	if (generation === null && known.masterIncarnation === 1)
		versions.learnContents().then(
			(learnt) => {
				if (running.generation === learnt.number) journal.write({ generation: learnt });
			},
			() => {},
		);
	setInterval(() => link.send({ do: 'beat' }), spec.master.heartbeat.everyMs);
	const tell: Tell = (workerId, fact) => running.tell(workerId, fact);
	const workers = new Workers(tell, (workerId, text) => news('info', 'signal.ignored', text, { workerId }));
	const unrotated = (childPath: string, why: string) =>
		news('warn', 'log.unrotated', `the output of ${childPath} cannot be rotated while it runs (${why}); it is when it starts again`, {
			path: childPath,
		});
	const muted = (childPath: string, message: string) => news('error', 'output.lost', message, { path: childPath });
	const moduleOf = (of: number, module: string) => versions.moduleOf(of, module);
	const processes = new ProcessHost({
		dir,
		base: path.dirname(specFile),
		link,
		workers,
		slotsAt: (address) => slotsAt(known.slots, address),
		tell,
		offer: (next, told) => running.offer(next, told),
		now: () => clock.now(),
		newToken: () => nanoid(),
		moduleOf,
		unrotated,
	});
	host = processes;
	const threads = new ThreadHost({ dir, base: path.dirname(specFile), tell, now: () => clock.now(), moduleOf, unrotated, muted });
	const say = ({ level, event, message, path: childPath, detail }: TreeNews) => news(level, event, message, { path: childPath, ...detail });
	const running = new Tree({
		spec,
		clock,
		chance: Math.random,
		newId: () => nanoid(),
		host: new Hosts({
			process: processes,
			thread: threads,
			actor: new ActorHost({ tell, now: () => clock.now(), news: say }),
		}),
		news: say,
		running: () => {
			link.send({ do: 'running' });
			if (adopts && !isOurs && generation !== null) catchUp(running);
		},
		ended: ({ why, message }) =>
			end(why === 'asked' || why === 'autoShutdown' ? 0 : why === 'exhausted' ? 70 : 1, why === 'asked' ? [] : [sentences[why](message)]),
		journal: { write },
		versions,
		watch: (step) => {
			const { id, from, to } = step;
			if (isRollout(id)) {
				const phase = to.split('.')[0] as string;
				if (phase !== from.split('.')[0] && phase !== 'done') news('info', 'reload.phase', `reload: ${phase}`, { phase });
			}
			if (isOfTree(id)) return;
			if (!isSparePath(pathOf(id))) door?.recorder?.record(step);
			if (from === to) return;
			const childPath = /^worker:(.*)#(\d+)$/.exec(id);
			if (childPath === null || from.split('.')[0] === to.split('.')[0]) return;
			const [, which, number] = childPath as unknown as [string, string, string];
			const ended = to === 'dead' ? (running.kernel.context(id) as WorkerContext | undefined)?.exit : null;
			const state = to === 'running.healthy' && isSparePath(which) ? 'loaded' : to.split('.')[0];
			const message = ended == null ? `${which} is ${state}` : describe(which, ended);
			news('info', `child.${to.split('.')[0]}`, message, { path: which, incarnation: Number(number), from, to });
		},
	});
	tree = running;
	operator = new Operator({ tree: running, now: () => clock.now(), newId: () => nanoid(), news });
	const status = new StatusReader(() => clock.now(), {
		says: (workerId) => workers.statusText(workerId) ?? threads.statusText(workerId),
		threadUsage: (workerId) => threads.usage(workerId),
		droppedBytes: (childPath) => Math.max(processes.droppedBytes(childPath), threads.droppedBytes(childPath)),
		slotsAt: (address) => slotsAt(known.slots, address),
	});
	door = new Door({
		spec: spec.view,
		dir,
		run,
		before: isOurs ? before : null,
		newToken: () => nanoid(TOKEN_LENGTH),
		news,
		incarnationOf: (childPath) => running.present(childPath).incarnation,
		shown: (recorder) => ({
			id: spec.id,
			dir,
			since,
			angelPid: process.ppid,
			masterIncarnation: known.masterIncarnation,
			tree: running,
			recorder,
			says: (workerId) => status.says(workerId),
			usage: (view) => status.usage(view),
			news,
		}),
	});
	serve(running, operator, workers, status, door, since, known.masterIncarnation);
	if (door.wasOpen || (known.view !== 'never' && (spec.view.on ?? known.view === 'on')))
		door.open().catch((error: Error) => news('warn', 'view.failed', error.message));
	const nothingLeft = !left.has(supervisorKey('')) && known.leftovers.length === 0;
	if (asked !== null) running.stop(asked);
	if (nothingLeft) return running.start();
	// Another angel may have been asked for any of them.
	const ofOthers = origin === 'killed' ? incarnationsIn(left) : [];
	const incarnations = new Map([...ofOthers, ...known.incarnations]);
	running.start({ journal: left, found: known.leftovers, asked: incarnations, isOfEarlierRun: adopts && !isOurs });
	for (const [workerId, sockets] of known.wanted?.asked ?? []) workers.wantSockets(workerId, known.wanted?.to as string, sockets);
}

/**
 * For tests, which kill the master where it is worst: a file with a number, and right after that line of the next operation the master
 * dies. The file is taken once.
 */
const dieFile = process.env.CHOIR_TEST_DIE_AFTER;
let linesLeft: number | null = null;
function write(set: Changes): void {
	journal.write(set);
	if (dieFile === undefined) return;
	const operations = Object.entries(set).filter(([key]) => key.startsWith('operation:'));
	if (linesLeft === null && operations.length > 0) {
		linesLeft = Number(fs.existsSync(dieFile) ? fs.readFileSync(dieFile, 'utf8') : Number.POSITIVE_INFINITY);
		fs.rmSync(dieFile, { force: true });
	}
	if (linesLeft === null) return;
	linesLeft -= 1;
	if (linesLeft === 0) process.kill(process.pid, 'SIGKILL');
	if (operations.some(([, operation]) => (operation as TreeOperation | null)?.phase === 'post')) linesLeft = null;
}

const sentences: Record<Exclude<SupervisorEnd['why'], 'asked'>, (message: string) => string> = {
	autoShutdown: (message: string) => `the tree ended by itself: ${message}`,
	killed: (message: string) => `the tree was killed: ${message}`,
	exhausted: (message: string) => `the tree gave up: ${message}`,
	startFailed: (message: string) => `the tree did not start: ${message}`,
};

function serve(
	running: Tree,
	operations: Operator,
	workers: Workers,
	status: StatusReader,
	view: Door,
	since: string,
	masterIncarnation: number,
): void {
	const control = serveControl({
		maxConnections: MAX_CONNECTIONS,
		answer: (request, connection) => {
			if (workers.understands(request, connection)) return workers.hear(request, connection);
			// Who is told of a state finds in the events how it came about.
			events.flush();
			switch (request.do) {
				case 'status':
					return {
						tree: (loaded as NonNullable<typeof loaded>).id,
						state: running.state,
						generation: running.generation,
						reload: running.reloadStatus,
						since,
						angel: standIn === null ? { pid: process.ppid, state: 'running' } : { pid: null, state: 'dead' },
						master: { pid: process.pid, state: running.state, incarnation: masterIncarnation, epoch: masterIncarnation },
						children: status.read(running.view),
					};
				case 'view':
					return view.open();
				default: {
					const answer = operations.answer(request);
					if (answer === undefined) throw Object.assign(new Error(`there is no request '${request.do}'`), { code: 'UNKNOWN' });
					return answer;
				}
			}
		},
	});
	net.createServer({ allowHalfOpen: true }, (socket) => control.handle(socket)).listen({ fd: CONTROL_FD });
}

/** Nothing is known of the version that is taken over: this one takes its number, and with it the name of its file. */
function keepSpec(leftovers: readonly Leftover[]): void {
	const named = versionFile(dir, Math.max(1, ...leftovers.map((each) => each.generation)));
	if (named === bundleFile) return;
	try {
		fs.renameSync(bundleFile, named);
	} catch {
		// It keeps its name, then.
		return;
	}
	bundleFile = named;
	link.send({ do: 'version', bundle: named });
}

/** Of each child, by path. */
function incarnationsIn(saved: ReadonlyMap<string, unknown>): Array<[path: string, incarnation: number]> {
	return [...saved].flatMap(([key, value]): Array<[string, number]> => {
		const { incarnation } = value as { incarnation?: number };
		const anyChild = childKey('');
		return key.startsWith(anyChild) && incarnation !== undefined ? [[key.slice(anyChild.length), incarnation]] : [];
	});
}

/** What was taken over goes on as it was declared then: it is reloaded if something is different now. */
function catchUp(running: Tree): void {
	running.plan().then(
		(planned) => {
			if (planned.ok && planned.children.every(({ change }) => change === 'kept')) return;
			news('info', 'reload.asked', 'the spec has changed since what was taken over was started');
			operator?.reload('takeover');
		},
		() => {},
	);
}

function operateBySignal(what: OperationBySignal, signal: Signal): void {
	if (operator === null)
		return news('warn', `${what === 'reload' ? 'reload' : 'operation'}.refused`, `${signal}: the tree is starting`, { signal });
	if (what === 'reload') operator.reload(signal);
	else if (what === 'pause') operator.pause(signal);
	else operator.scale(what === 'more' ? '+1' : '-1', signal);
}
