// What the live page costs: `node bench/view.js`, with names of parts (recorder idle beats crashes), or --json. By hand, from the
// built package.
// The recorder: time for each step that is kept. The master: its CPU time while a thousand steps a second happen, without a page,
// with one switched on that nobody looks at, and with one open; and with 1 000 children. All in the same run, in turns, because
// other work on the machine changes every number: compare the ratios.
import { spawn } from 'node:child_process';
import { Session } from 'node:inspector/promises';
import { WebSocket } from 'ws';
import { workerMachine } from '../dist/machines/index.js';
import { SimulatedClock } from '../dist/src/kernel/clock.js';
import { Kernel } from '../dist/src/kernel/kernel.js';
import { Recorder } from '../dist/src/view/recorder.js';
import { cleanUp, dir, environment, pause, until, within, write } from './place.js';
import { cpuMs, ownKb } from './usage.js';

const choir = new URL('../bin/choir.js', import.meta.url).pathname;
const MEASURE_MS = 5_000;
const TURNS = 3;
const STEPS = 300_000;

const figures = [];
const note = (name, value) => {
	figures.push([name, value]);
	if (!process.argv.includes('--json')) console.log(`${name.padEnd(78)} ${value}`);
};
const median = (values) => values.toSorted((a, b) => a - b)[values.length >> 1];

/** ns of CPU time of one step of `children` workers: with nobody who watches, with somebody, and with the recorder. */
function kernelStep(children, watch) {
	const clock = new SimulatedClock();
	const kernel = new Kernel({ clock, ...(watch === null ? {} : { watch }) });
	const effects = Object.fromEntries(
		[
			'launch',
			'watchReadiness',
			'watchLiveness',
			'askToDrain',
			'terminate',
			'kill',
			'reportReady',
			'reportSuspect',
			'raiseAlarm',
			'reportDeath',
		].map((name) => [name, () => {}]),
	);
	const ids = Array.from({ length: children }, (_, n) => `worker:c${n}#1`);
	for (const id of ids) {
		const input = {
			workerId: id,
			path: id,
			incarnation: 1,
			heartbeat: { everyMs: 1_000, timeoutMs: 10_000 },
			live: null,
			readyTimeoutMs: 30_000,
			stop: { drainMs: 0, terminateMs: 1_000 },
			okCodes: [0],
			adopted: null,
		};
		kernel.start(id, workerMachine, input, effects);
		kernel.send(id, { type: 'process.spawned', pid: 1, startTicks: 1 });
		kernel.send(id, { type: 'process.ready' });
	}
	const times = [];
	for (let turn = 0; turn < 5; turn++) {
		const from = process.cpuUsage();
		for (let n = 0; n < STEPS; n++) kernel.send(ids[n % children], { type: 'heartbeat' });
		const { user, system } = process.cpuUsage(from);
		times.push(((user + system) * 1_000) / STEPS);
	}
	kernel.close();
	return Math.min(...times.slice(1));
}

function recorderCost() {
	for (const children of [10, 10_000]) {
		const limits = { perChild: 200, inAll: 20_000 };
		const alone = kernelStep(children, null);
		const watched = kernelStep(children, () => {});
		const recorder = new Recorder(limits, () => 1);
		const recorded = kernelStep(children, (step) => recorder.record(step));
		note(
			`a step, ${children} workers: nobody watches → somebody → the recorder keeps it (ns)`,
			[alone, watched, recorded].map(Math.round).join(' → '),
		);
		const steps = Array.from({ length: children }, (_, n) =>
			[0, 1].map((at) => ({
				at: 0,
				id: `worker:c${n}#1`,
				event: { type: String(at) },
				from: 'a',
				to: at === 0 ? 'b' : 'c',
				before: {},
				after: {},
				effects: [],
				ignored: false,
			})),
		);
		const times = [];
		for (let turn = 0; turn < 5; turn++) {
			const from = process.cpuUsage();
			for (let n = 0; n < STEPS; n++) recorder.record({ ...steps[n % children][n & 1] });
			const { user, system } = process.cpuUsage(from);
			times.push(((user + system) * 1_000) / STEPS);
		}
		note(`… the recorder alone, steps that change a state (ns, the making of the step included)`, Math.round(Math.min(...times.slice(1))));
	}
}

async function memoryOfTheRecorder() {
	const session = new Session();
	session.connect();
	const used = async () => {
		await session.post('HeapProfiler.collectGarbage');
		return process.memoryUsage().heapUsed;
	};
	const before = await used();
	const recorder = new Recorder({ perChild: 200, inAll: 20_000 }, () => 1);
	for (let n = 0; n < 1_000_000; n++)
		recorder.record({
			at: n + 0.5,
			id: `worker:c${n % 50_000}#1`,
			event: { type: 'x' },
			from: 'a',
			to: 'b',
			before: { n },
			after: { n },
			effects: [],
			ignored: false,
		});
	note('a full recorder, 20 000 steps of 50 000 paths, contexts not counted (kB)', Math.round(((await used()) - before) / 1024));
	session.disconnect();
	return recorder.size;
}

/** A tree in the background; `look` while it runs. */
async function withTree(name, spec, look) {
	write(`${name}/tree.ts`, spec);
	write(`${name}/flaps.mjs`, flaps);
	write(`${name}/beats.mjs`, 'setInterval(() => {}, 1000);\n');
	const run = (...args) =>
		new Promise((resolve, reject) => {
			const child = spawn(process.execPath, [choir, ...args], {
				env: environment,
				cwd: `${dir}/${name}`,
				stdio: ['ignore', 'pipe', 'inherit'],
			});
			let said = '';
			child.stdout.on('data', (text) => (said += text));
			child.once('close', (code) => (code === 0 ? resolve(said) : reject(new Error(`choir ${args.join(' ')} ended with ${code}`))));
		});
	const from = performance.now();
	await within(120_000, run('start', 'tree.ts'), 'the start');
	const startMs = performance.now() - from;
	try {
		const { master } = JSON.parse(await run('status', name, '--json'));
		return await look({ pid: master.pid, startMs, view: async () => JSON.parse(await run('view', name, '--json')).address });
	} finally {
		await within(60_000, run('stop', name, '--fast'), 'the stop');
	}
}

/** A page that is open: it looks at a child and at the first rows, and counts what it is told. */
async function openPage(address) {
	const socket = new WebSocket(`${address.replace('http', 'ws')}live`);
	const page = { steps: 0, bytes: 0, gaps: 0, rows: [], close: () => socket.terminate() };
	socket.on('message', (content) => {
		page.bytes += content.length;
		const message = JSON.parse(content);
		if (message.say === 'steps') page.steps += message.steps.length;
		if (message.say === 'gap') page.gaps += 1;
		if (message.say === 'tree') page.rows = message.rows;
	});
	await until(() => page.rows.length > 0, 10_000, 'the tree');
	socket.send(JSON.stringify({ do: 'visible', paths: page.rows.slice(0, 50).map(({ path }) => path) }));
	socket.send(JSON.stringify({ do: 'select', path: page.rows.at(-1).path }));
	return page;
}

async function cpuPercent(pid) {
	const [from, cpu] = [performance.now(), cpuMs(pid)];
	await pause(MEASURE_MS);
	return ((cpuMs(pid) - cpu) / (performance.now() - from)) * 100;
}

const importing = "import { actor, command, node, tree } from 'choir';";
const beating = (name, count, every, view) => `${importing}
export default tree('${name}', { view: ${view}, start: 'parallel', children: [
	node('beats', { module: './beats.mjs', instances: ${count}, heartbeat: { every: ${every}, timeout: '10s' } }),
] });`;
/** No import of xstate, which is not there where this runs: logic by hand, of which each crashes after 20 ms. */
const flaps = `
const state = (status, error) => ({ status, error, output: undefined });
export const logic = {
	getInitialSnapshot: () => state('active'),
	start: (snapshot, { self }) => void setTimeout(() => self.send({ type: 'crash' }), 20),
	transition: (snapshot, event) => (event.type === 'crash' ? state('error', new Error('again')) : snapshot),
	getPersistedSnapshot: (snapshot) => snapshot,
};
`;
const flapping = (name, view) => `${importing}
import { logic } from './flaps.mjs';
export default tree('${name}', { view: ${view}, intensity: { restarts: 100_000, within: '1s' }, children: [
	actor('flaps', { logic, instances: 5 }),
] });`;

async function load(what, specOf) {
	const seen = { off: [], unopened: [], open: [] };
	let rate = 0;
	let bytes = 0;
	let gaps = 0;
	for (let turn = 0; turn < TURNS; turn++) {
		await withTree('off', specOf('off', false), async ({ pid }) => {
			await pause(2_000);
			seen.off.push(await cpuPercent(pid));
		});
		await withTree('on', specOf('on', true), async ({ pid, view }) => {
			await pause(2_000);
			seen.unopened.push(await cpuPercent(pid));
			const page = await openPage(await view());
			await pause(1_000);
			const before = { ...page };
			seen.open.push(await cpuPercent(pid));
			rate = ((page.steps - before.steps) * 1_000) / MEASURE_MS;
			bytes = ((page.bytes - before.bytes) * 1_000) / MEASURE_MS;
			gaps += page.gaps;
			page.close();
		});
	}
	const [off, unopened, open] = [seen.off, seen.unopened, seen.open].map(median);
	note(`${what}: steps a second that a page is told`, Math.round(rate));
	note(
		'… master: off, on but not looked at, one page open (% of a core)',
		[off, unopened, open].map((value) => value.toFixed(1)).join(', '),
	);
	note('… ratio to off', [unopened, open].map((value) => (value / off).toFixed(2)).join(', '));
	note('… told (kB a second), gaps', `${Math.round(bytes / 1024)}, ${gaps}`);
}

async function idle() {
	const seen = { off: { kb: [], ms: [] }, on: { kb: [], ms: [] } };
	for (let turn = 0; turn < 5; turn++)
		for (const name of ['off', 'on'])
			await withTree(
				name,
				`${importing}\nexport default tree('${name}', { view: ${name === 'on'}, children: [command('a', { run: ['sleep', '1000'] })] });`,
				async ({ pid, startMs }) => {
					await pause(3_000);
					seen[name].kb.push(ownKb(pid));
					seen[name].ms.push(startMs);
				},
			);
	note(
		'an idle master, off and on but not looked at (MB of its own)',
		[seen.off.kb, seen.on.kb].map((kb) => (median(kb) / 1024).toFixed(1)).join(', '),
	);
	note('`choir start`, off and on (ms)', [seen.off.ms, seen.on.ms].map((ms) => Math.round(median(ms))).join(', '));
}

process.once('exit', cleanUp);
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(1));
const parts = {
	recorder: async () => {
		recorderCost();
		await memoryOfTheRecorder();
	},
	idle,
	beats: () => load('ten workers that beat a hundred times a second', (name, view) => beating(name, 10, 10, view)),
	crashes: () => load('five actors that crash fifty times a second', flapping),
};
const asked = process.argv.slice(2).filter((word) => word !== '--json');
const unknown = asked.find((word) => !Object.hasOwn(parts, word));
if (unknown !== undefined) {
	console.error(`expected ${Object.keys(parts).join(', ')} or --json, got ${unknown}`);
	process.exit(64);
}
for (const [name, measure] of Object.entries(parts)) if (asked.length === 0 || asked.includes(name)) await measure();
if (process.argv.includes('--json')) console.log(JSON.stringify(Object.fromEntries(figures), null, 2));
process.exit(0);
