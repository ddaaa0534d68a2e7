/**
 * The master's process: it loads the user's spec and runs the tree. It may be killed at any moment; its angel holds the
 * processes, the sockets and the output. Arguments: state folder, bundle of the spec, the spec itself.
 */

import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { nanoid } from 'nanoid';
import type { TreeOperation } from '../../machines/agenda.ts';
import type { SupervisorEnd } from '../../machines/master.ts';
import { describe } from '../../machines/operations.ts';
import { type OperationBySignal, requestOf, type Signal } from '../../machines/signals.ts';
import type { WorkerContext } from '../../machines/worker.ts';
import { onSignal } from '../angel/arm.ts';
import { Link, type ToAngel, type ToMaster } from '../angel/link.ts';
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
import type { Tell } from './host.ts';
import { Hosts } from './hosts.ts';
import { Operator } from './operator.ts';
import { ProcessHost } from './processes.ts';
import { isRollout, type SavedGeneration } from './reloads.ts';
import { StatusReader } from './status.ts';
import { isOfTree, Tree, type TreeNews } from './tree.ts';
import { SpecVersions } from './versions.ts';
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

const link = new Link<ToAngel, ToMaster>(new net.Socket({ fd: LINK_FD }), hear, () => {
	// Without its angel a master can do nothing. The workers go on serving until the next run finds and stops them.
	if (!ended) process.exit(1);
});
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
		default:
			return host?.hear(message);
	}
}

/** Says how it ended, and goes as soon as that is on its way. */
function end(exitCode: number, lines: string[]): void {
	if (ended) return;
	ended = true;
	host?.close();
	door?.close();
	link.send({ do: 'ended', exitCode, lines });
	link.flush(() => process.exit(exitCode));
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

/** One of an earlier run would tell of processes that are gone. */
const run = { pid: process.ppid, startTicks: startTicks(process.ppid) ?? 0 };
const journal = new Journal(dir, {
	resume: Number(process.env.CHOIR_INCARNATION) > 1,
	failed: (error) =>
		news(
			'error',
			'journal.failed',
			`what the tree has in mind cannot be written down: ${error.message}; after a loss of the master it counts anew`,
		),
});
const before = journal.values.get('run') as { pid: number; startTicks: number; since: string } | undefined;
const isOurs = before?.pid === run.pid && before.startTicks === run.startTicks;
const since = isOurs ? before.since : new Date().toISOString();
const left = isOurs ? new Map(journal.values) : new Map<string, unknown>();
if (!isOurs) journal.write({ ...Object.fromEntries([...journal.values.keys()].map((key) => [key, null])), run: { ...run, since } });
const generation = (left.get('generation') as SavedGeneration | undefined) ?? null;
// What is written down counts: the angel is told after the switch, and that may have been too late.
const bundleFile = generation?.file ?? firstBundle;
const loading = loadSpec(bundleFile, specFile).then((declaration) => resolveSpec(declaration));
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
	host = new ProcessHost({
		dir,
		base: path.dirname(specFile),
		link,
		workers,
		slotsAt: (address) => slotsAt(known.slots, address),
		tell,
		now: () => clock.now(),
		newToken: () => nanoid(),
		unrotated,
	});
	const threads = new ThreadHost({ dir, base: path.dirname(specFile), tell, now: () => clock.now(), unrotated });
	const say = ({ level, event, message, path: childPath, detail }: TreeNews) => news(level, event, message, { path: childPath, ...detail });
	const running = new Tree({
		spec,
		clock,
		chance: Math.random,
		newId: () => nanoid(),
		host: new Hosts({
			process: host,
			thread: threads,
			actor: new ActorHost({ tell, now: () => clock.now(), news: say }),
		}),
		news: say,
		running: () => link.send({ do: 'running' }),
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
			door?.recorder?.record(step);
			if (from === to) return;
			const childPath = /^worker:(.*)#(\d+)$/.exec(id);
			if (childPath === null || from.split('.')[0] === to.split('.')[0]) return;
			const [, which, number] = childPath as unknown as [string, string, string];
			const ended = to === 'dead' ? (running.kernel.context(id) as WorkerContext | undefined)?.exit : null;
			const message = ended == null ? `${which} is ${to.split('.')[0]}` : describe(which, ended);
			news('info', `child.${to.split('.')[0]}`, message, { path: which, incarnation: Number(number), from, to });
		},
	});
	tree = running;
	operator = new Operator({ tree: running, now: () => clock.now(), newId: () => nanoid(), news });
	const status = new StatusReader(() => clock.now(), {
		says: (workerId) => workers.statusText(workerId) ?? threads.statusText(workerId),
		threadUsage: (workerId) => threads.usage(workerId),
		slotsAt: (address) => slotsAt(known.slots, address),
	});
	door = new Door({
		spec: spec.view,
		dir,
		run,
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
	const nothingLeft = !left.has('supervisor:') && known.leftovers.length === 0;
	if (asked !== null) running.stop(asked);
	running.start(nothingLeft ? null : { journal: left, found: known.leftovers, asked: new Map(known.incarnations) });
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
						angel: { pid: process.ppid, state: 'running' },
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

function operateBySignal(what: OperationBySignal, signal: Signal): void {
	if (operator === null)
		return news('warn', `${what === 'reload' ? 'reload' : 'operation'}.refused`, `${signal}: the tree is starting`, { signal });
	if (what === 'reload') operator.reload(signal);
	else if (what === 'pause') operator.pause(signal);
	else operator.scale(what === 'more' ? '+1' : '-1', signal);
}
