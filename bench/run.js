// Measures choir against a bare supervisor in the same run, and prints each figure beside its goal and the peers' figures.
// `node bench/run.js [crash|memory|idle|many|output …] [--json]`; without a name all of them, which takes four to five minutes.
import net from 'node:net';
import os from 'node:os';
import { makeReady } from '../.ci/ready.js';
import { loud, native, server } from './children.js';
import { bare, choir, peers, processesOf, spec } from './contenders.js';
import { cleanUp, openPipe, pause, within } from './place.js';
import { aloneKb, childrenOf, commandLine, cpuMs, median, ownKb, pssKb } from './usage.js';

const CRASHES = { native: 40, node: 20, slow: 4 };
/** Between two crashes of one child: runit makes one wait that died within a second of its start. */
const REST_MS = { quick: 50, slow: 1_200 };
/** Node gives back what starting has used some ten seconds later. */
const SETTLE_MS = 12_000;
/** … and tidies up once more after that, which belongs to starting as well. */
const IDLE_SETTLE_MS = 25_000;
const IDLE_MS = 30_000;
const ROUNDS = 4;
const LOUD = { settleMs: 2_000, forMs: 10_000, bytesPerSecond: 100_000_000 };
const READER_BYTES_PER_SECOND = 5_000_000;

const installed = peers.filter((peer) => peer.installed());
const everybody = [bare, choir, ...installed];
/** One row: values by contender, and what the goal says of choir's. */
const rows = [];

function note(name, values, goal = null) {
	rows.push({
		name,
		values,
		ratio: values.bare > 0 ? values.choir / values.bare : null,
		goal: goal?.text ?? null,
		met: goal?.met(values) ?? null,
	});
	console.error(
		`${name}: ${Object.entries(values)
			.map(([who, value]) => `${who} ${round(value)}`)
			.join(', ')}`,
	);
}

const round = (value) => (Math.abs(value) >= 100 ? Math.round(value) : Number(value.toPrecision(3)));
const atMost = (limit, text) => ({ text, met: ({ choir: value }) => value <= limit });
const timesBare = (factor, text = `≤ ${factor} × bare`) => ({
	text,
	met: ({ choir: value, bare: yardstick }) => value <= factor * yardstick,
});

function freePort() {
	return new Promise((resolve) => {
		const probe = net.createServer().listen(0, '127.0.0.1', () => {
			const { port } = probe.address();
			probe.close(() => resolve(port));
		});
	});
}

async function stop(contender) {
	contender.ask();
	await contender.gone();
}

/** From SIGKILL to the word of the replacement. The contenders take turns, so that all see the same machine. */
async function crash() {
	await crashes(
		'SIGKILL → first instruction, native child (ms)',
		async (file) => native(file),
		CRASHES.native,
		timesBare(1.5, '≤ 1.5 × bare, about 4 ms'),
	);
	await crashes('SIGKILL → ready, Node child (ms)', async (file) => server(file, await freePort()), CRASHES.node, timesBare(1.1));
}

async function crashes(name, programOf, count, goal) {
	const values = {};
	for (const group of [everybody.filter(({ slow }) => !slow), everybody.filter(({ slow }) => slow)]) {
		const slow = group[0]?.slow ?? false;
		const sides = [];
		for (const contender of group) {
			const pipe = openPipe();
			const live = await contender.start(await programOf(pipe.file), 1);
			const [{ line }] = await pipe.take(1);
			sides.push({ name: contender.name, pipe, live, pid: Number(line), times: [] });
		}
		for (let n = 0; n < (slow ? CRASHES.slow : count); n++) {
			await pause(slow ? REST_MS.slow : 0);
			for (const side of sides) {
				await pause(REST_MS.quick);
				const from = performance.now();
				process.kill(side.pid, 'SIGKILL');
				const [{ line, at }] = await side.pipe.take(1);
				side.pid = Number(line);
				side.times.push(at - from);
			}
		}
		for (const { name: who, pipe, live, times } of sides) {
			values[who] = median(times);
			await stop(live);
			pipe.close();
		}
	}
	note(name, values, goal);
}

async function withChildren(contender, count, look) {
	const pipe = openPipe();
	const live = await contender.start(native(pipe.file), count);
	await pipe.take(count);
	const seen = await look(live);
	await stop(live);
	pipe.close();
	return seen;
}

async function memory() {
	const sizes = { 10: {}, 100: {} };
	const own = { 10: {}, 100: {} };
	const alone = {};
	for (const contender of everybody) {
		for (const count of [10, 100]) {
			await withChildren(contender, count, async (live) => {
				await pause(contender.slow ? 0 : SETTLE_MS);
				const pids = live.pids();
				sizes[count][contender.name] = pids.reduce((sum, pid) => sum + pssKb(pid), 0) / 1024;
				own[count][contender.name] = pids.reduce((sum, pid) => sum + ownKb(pid), 0) / 1024;
				if (count === 10) alone[contender.name] = aloneKb(pids) / 1024;
			});
		}
	}
	const more = (values) => Object.fromEntries(Object.keys(alone).map((who) => [who, ((values[100][who] - values[10][who]) / 90) * 1024]));
	note('PSS with 10 children (MB)', sizes[10], atMost(45, '≤ 45 MB'));
	note('… of it anonymous, shared with nobody (MB)', own[10]);
	note('… as if alone on the machine: shared pages count once (MB)', alone);
	note('PSS with 100 children (MB)', sizes[100]);
	note('PSS for each child more (kB)', more(sizes), atMost(60, '≤ 60 kB'));
	note('… of it anonymous (kB)', more(own));
}

/** All at the same time: they do nothing, which is what is measured. */
async function idle() {
	const sides = [];
	for (const contender of everybody) {
		const pipe = openPipe();
		sides.push({ name: contender.name, pipe, live: await contender.start(native(pipe.file), 100) });
		await pipe.take(100);
	}
	await pause(IDLE_SETTLE_MS);
	const used = () => sides.map(({ live }) => live.pids().reduce((sum, pid) => sum + cpuMs(pid), 0));
	const before = used();
	await pause(IDLE_MS);
	const after = used();
	for (const { live, pipe } of sides) {
		await stop(live);
		pipe.close();
	}
	const percent = sides.map(({ name }, n) => [name, ((after[n] - before[n]) / IDLE_MS) * 100]);
	note('idle CPU with 100 children (% of a core)', Object.fromEntries(percent), atMost(0.2, '≤ 0.2 %'));
}

async function many() {
	const times = { up: {}, launch: {}, gone: {} };
	const keep = (what, { name }, ms) => {
		times[what][name] = [...(times[what][name] ?? []), ms];
	};
	for (let n = 0; n < ROUNDS; n++) {
		for (const contender of n === 0 ? everybody : [bare, choir]) {
			const pipe = openPipe();
			const launchedAt = performance.now();
			const live = await contender.start(native(pipe.file), 100);
			const said = await pipe.take(100);
			keep('up', contender, said[99].at - said[0].at);
			keep('launch', contender, said[99].at - launchedAt);
			await pause(500);
			const askedAt = performance.now();
			const ended = pipe.end();
			live.ask();
			keep('gone', contender, (await ended) - askedAt);
			await live.gone();
			pipe.close();
		}
	}
	const medians = (what) => Object.fromEntries(Object.entries(times[what]).map(([who, each]) => [who, median(each)]));
	note('100 native children: first → last one runs (ms)', medians('up'), timesBare(1.5, '≤ 1.5 × bare, about 150 ms'));
	note('… from the launch of the supervisor (ms)', medians('launch'));
	note('100 native children: stop → last one dead (ms)', medians('gone'), atMost(50, '≤ 50 ms'));
}

/** Takes so much of a stream and no more. */
function readSlowly(stream) {
	let budget = 0;
	const filling = setInterval(() => {
		budget = Math.min(budget, 0) + READER_BYTES_PER_SECOND / 10;
		if (budget > 0) stream.resume();
	}, 100);
	stream.on('data', (chunk) => {
		budget -= chunk.length;
		if (budget <= 0) stream.pause();
	});
	return () => {
		clearInterval(filling);
		stream.resume();
	};
}

async function output() {
	const growth = {};
	const most = {};
	const printed = {};
	const parts = { angel: {}, master: {}, printer: {} };
	for (const who of ['bare', 'choir']) {
		const pipe = openPipe();
		const program = loud(pipe.file, LOUD);
		const name = 'loud-tree';
		const child = who === 'bare' ? bare.run(program) : choir.run(spec(name, program, 1));
		const readOn = readSlowly(child.stdout);
		await pipe.take(1);
		const pids = who === 'bare' ? { supervisor: child.pid } : await rolesOf(name);
		const samples = [];
		const look = () => Object.fromEntries(Object.entries(pids).map(([role, pid]) => [role, pssKb(pid) / 1024]));
		const sampling = setInterval(() => samples.push(look()), 200);
		const [{ line }] = await pipe.take(1, LOUD.forMs + 30_000);
		clearInterval(sampling);
		readOn();
		child.kill('SIGTERM');
		await within(
			30_000,
			new Promise((resolve) => ((child.exitCode ?? child.signalCode) === null ? child.once('exit', resolve) : resolve())),
			`the end of ${who}`,
		);
		pipe.close();
		const totals = samples.map((sample) => Object.values(sample).reduce((sum, mb) => sum + mb, 0));
		const fifth = Math.floor(samples.length / 5);
		// Not from the first fifth: there the heaps fill for the first time, whatever is printed.
		growth[who] = median(totals.slice(-fifth)) - median(totals.slice(fifth, 2 * fifth));
		most[who] = Math.max(...totals);
		printed[who] = Number(line.split(' ')[1]) / LOUD.forMs / 1_000;
		if (who === 'choir') for (const role of Object.keys(pids)) parts[role][who] = Math.max(...samples.map((sample) => sample[role]));
	}
	note('child prints 100 MB/s, reader takes 5 MB/s: growth of PSS, from seconds 3–4 to 9–10 (MB)', growth, atMost(10, 'flat: ≤ 10 MB'));
	note('… most at any time (MB)', most);
	for (const [role, values] of Object.entries(parts)) note(`… the ${role} (MB)`, values);
	note('… what the child could print (MB/s)', printed);
}

async function rolesOf(name) {
	const [angel, master] = await processesOf(name);
	const printer = childrenOf(angel).find((pid) => commandLine(pid).some((word) => word.includes('printer')));
	return printer === undefined ? { angel, master } : { angel, master, printer };
}

function print() {
	const names = ['bare', 'choir', ...peers.map(({ name }) => name)];
	const cell = (values, who) => {
		if (values[who] !== undefined) return String(round(values[who]));
		return peers.some((peer) => peer.name === who && !installed.includes(peer)) ? 'not installed' : '–';
	};
	const head = ['', 'bare', 'choir', 'ratio', 'goal', 'met', ...names.slice(2)];
	const lines = rows.map(({ name, values, ratio, goal, met }) => [
		name,
		cell(values, 'bare'),
		cell(values, 'choir'),
		ratio === null ? '–' : ratio.toFixed(2),
		goal ?? '–',
		met === null ? '–' : met ? 'yes' : 'NO',
		...names.slice(2).map((who) => cell(values, who)),
	]);
	for (const line of [head, head.map((_, n) => (n === 0 ? '---' : '---:')), ...lines]) console.log(`| ${line.join(' | ')} |`);
}

const measurements = { crash, memory, idle, many, output };
const words = process.argv.slice(2);
const asked = words.filter((word) => !word.startsWith('-'));
const unknown = [...asked.filter((word) => !(word in measurements)), ...words.filter((word) => word.startsWith('-') && word !== '--json')];
if (unknown.length > 0) {
	console.error(`expected ${Object.keys(measurements).join(', ')} or --json, got ${unknown.join(' ')}`);
	cleanUp();
	process.exit(64);
}
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
	process.once(signal, () => {
		cleanUp();
		process.exit(130);
	});
}
makeReady();
let failed = false;
for (const [name, measure] of Object.entries(measurements)) {
	if (asked.length > 0 && !asked.includes(name)) continue;
	try {
		await measure();
	} catch (error) {
		failed = true;
		console.error(`${name}: ${error.message}`);
	}
}
cleanUp();
if (words.includes('--json'))
	console.log(JSON.stringify({ node: process.version, kernel: os.release(), cores: os.availableParallelism(), rows }, null, '\t'));
else print();
process.exit(failed ? 1 : 0);
