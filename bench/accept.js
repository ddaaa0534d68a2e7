// How two workers come to their connections: held sockets beside node:cluster and a single process, and what a crash costs with
// and without a sibling that covers. By hand, on a machine with nothing else to do: `node bench/accept.js` (needs wrk). With a
// Node that has SO_REUSEPORT (22.12 and later) there is a socket for each worker, else they share one.
import { execFileSync, spawn } from 'node:child_process';
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { cleanUp, dir, environment, pause, until, write } from './place.js';

const SECONDS = 2;
const TURNS = 9;
const CONNECTIONS = 64;
const ROUNDS = 10;
const PORT = 18_080;
const choir = fileURLToPath(new URL('../bin/choir.js', import.meta.url));

/** Answers, and writes down now and then how often it has. */
const serve = `
	const http = require('node:http');
	const fs = require('node:fs');
	let count = 0;
	let written = 0;
	const server = http.createServer((_, response) => { count += 1; response.end('ok'); });
	setInterval(() => { if (count > written) fs.writeFileSync(process.env.COUNTS + '/' + process.pid, String((written = count))); }, 100).unref();
`;
const counts = path.join(dir, 'counts');
fs.mkdirSync(counts);
write('held.cjs', `${serve} server.listen(${PORT}, '127.0.0.1');`);
write('bare.cjs', `${serve} server.listen({ fd: 3 }, () => console.log('up'));`);
write(
	'cluster.cjs',
	`const cluster = require('node:cluster');
	if (cluster.isPrimary) { cluster.fork(); cluster.fork(); } else { ${serve} server.listen(${PORT}, '127.0.0.1'); }`,
);
write('single.cjs', `${serve} server.listen(${PORT}, '127.0.0.1');`);

const env = { ...environment, COUNTS: counts };
const listen = `listen: { http: '127.0.0.1:${PORT}' }, instances: 2, env: { COUNTS: '${counts}' }, restart: { backoff: 0 }`;
const specs = {
	slots: `node('web', { module: './held.cjs', ${listen} })`,
	shared: `node('web', { module: './held.cjs', accept: 'shared', ${listen} })`,
	uncovered: `command('web', { run: [process.execPath, 'bare.cjs'], accept: 'slots', ready: { output: /up/ }, ${listen} })`,
};
for (const [name, child] of Object.entries(specs))
	write(
		`${name}.ts`,
		`import { command, node, tree } from 'choir';
		export default tree('${name}', { view: false, intensity: { restarts: 1000, within: '1m' }, children: [${child}] });`,
	);

function get(agent) {
	return new Promise((resolve) => {
		const from = performance.now();
		const end = (ok) => resolve({ ok, ms: performance.now() - from });
		http
			.get({ host: '127.0.0.1', port: PORT, agent }, (response) => response.resume().once('end', () => end(true)))
			.once('error', () => end(false));
	});
}

/** Runs a contender, and ends it. */
async function during(args, body) {
	for (const file of fs.readdirSync(counts)) fs.rmSync(path.join(counts, file));
	const child = spawn(process.execPath, args, { cwd: dir, env, stdio: ['ignore', 'ignore', 'inherit'] });
	const ended = new Promise((resolve) => child.once('exit', resolve));
	try {
		await until(async () => (await get(false)).ok, 20_000, `an answer of ${args.at(-1)}`);
		// All of it is up.
		await pause(1_000);
		return await body(child);
	} finally {
		child.kill('SIGTERM');
		await ended;
	}
}

function wrk(headers) {
	const text = execFileSync('wrk', ['-t1', `-c${CONNECTIONS}`, `-d${SECONDS}s`, ...headers, `http://127.0.0.1:${PORT}/`], {
		encoding: 'utf8',
	});
	return Number(/Requests\/sec:\s+([\d.]+)/.exec(text)?.[1]);
}

const countsNow = () => new Map(fs.readdirSync(counts).map((pid) => [pid, Number(fs.readFileSync(path.join(counts, pid), 'utf8'))]));

/** Requests per second, and how they were spread, in percent of all. */
async function rate(headers) {
	await pause(300);
	const before = countsNow();
	const perSecond = wrk(headers);
	await pause(300);
	const shares = [...countsNow()].map(([pid, count]) => count - (before.get(pid) ?? 0)).sort((a, b) => b - a);
	const sum = shares.reduce((one, other) => one + other, 0);
	return { perSecond, spread: shares.slice(0, 2).map((share) => Math.round((100 * share) / sum)) };
}

/** The median of the rates, and the worst of the spreads. */
function middle(rates) {
	const sorted = rates.map(({ perSecond }) => perSecond).sort((a, b) => a - b);
	const [worst] = rates.map(({ spread }) => spread).sort(([a], [b]) => b - a);
	return `${(sorted[Math.floor(sorted.length / 2)] / 1000).toFixed(1)}k/s, ${worst.join('/')}`;
}

/** The longest that anybody waits when one of two is killed: the worst of eight clients, in each of some rounds. */
async function stalls(tree) {
	const agent = new http.Agent({ keepAlive: false });
	const worst = [];
	for (let round = 0; round < ROUNDS; round++) {
		let over = false;
		let slowest = 0;
		const askers = Array.from({ length: 8 }, async () => {
			while (!over) {
				const { ok, ms } = await get(agent);
				if (ok) slowest = Math.max(slowest, ms);
				await pause(2);
			}
		});
		await pause(500);
		const { children } = JSON.parse(execFileSync(process.execPath, [choir, 'status', tree, '--json'], { env, cwd: dir, encoding: 'utf8' }));
		// Asking has held up the clients, which are in this process.
		await pause(300);
		slowest = 0;
		process.kill(children[round % 2].pid, 'SIGKILL');
		await pause(1_000);
		over = true;
		await Promise.all(askers);
		worst.push(slowest);
	}
	worst.sort((a, b) => a - b);
	return `median ${worst[ROUNDS / 2].toFixed(1)} ms, worst ${worst.at(-1).toFixed(1)} ms`;
}

try {
	const contenders = [
		['held, as by default', [choir, 'run', 'slots.ts']],
		['held, shared', [choir, 'run', 'shared.ts']],
		['node:cluster, round robin', ['cluster.cjs']],
		['one process', ['single.cjs']],
	];
	console.log(`Node ${process.version}, ${CONNECTIONS} connections, ${SECONDS} s each, the median of ${TURNS}, and the worst spread\n`);
	console.log('| two workers | keep-alive, spread in % | connection per request, spread in % |\n| --- | --- | --- |');
	const seen = new Map(contenders.map(([name]) => [name, []]));
	/** Turn by turn: those beside each other have had the same machine. */
	const beside = (name, which) => {
		const times = seen.get(name).map((each, turn) => each[which].perSecond / seen.get(contenders[2][0])[turn][which].perSecond);
		times.sort((a, b) => a - b);
		return [0.5, 0.25, 0.75].map((share) => times[Math.floor(times.length * share)].toFixed(2)).join(', ');
	};
	// In turn, several times: what else the machine does hits them all.
	for (let turn = 0; turn < TURNS; turn++)
		for (const [name, args] of contenders)
			seen.get(name).push(await during(args, async () => [await rate([]), await rate(['-H', 'Connection: close'])]));
	for (const [name] of contenders) {
		const [kept, fresh] = [0, 1].map((which) => middle(seen.get(name).map((each) => each[which])));
		console.log(`| ${name} | ${kept} | ${fresh} |`);
	}
	console.log(
		'\n| × node:cluster, of each turn: the median, and the quartiles | keep-alive | connection per request |\n| --- | --- | --- |',
	);
	for (const [name] of contenders.slice(0, 2)) console.log(`| ${name} | ${[0, 1].map((which) => beside(name, which)).join(' | ')} |`);
	console.log(`\n| one of two is SIGKILLed: the longest wait, ${ROUNDS} times |\n| --- |`);
	for (const [name, tree] of [
		['held, as by default', 'slots'],
		['a socket each, nobody covers', 'uncovered'],
		['held, shared', 'shared'],
	])
		console.log(`| ${name}: ${await during([choir, 'run', `${tree}.ts`], () => stalls(tree))} |`);
} finally {
	cleanUp();
}
