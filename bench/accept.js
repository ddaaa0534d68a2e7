// How two workers come to their connections: held sockets beside node:cluster and a single process, and what a crash costs with
// and without a sibling that covers. By hand, on a machine with nothing else to do: `node bench/accept.js` (needs wrk). With a
// Node that has SO_REUSEPORT (22.12 and later) there is a socket for each worker, else they share one.
import { execFileSync, spawn } from 'node:child_process';
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { cleanUp, dir, environment, pause, until, write } from './place.js';

const SECONDS = 1;
/** Processes start anew so often, since V8 does not make the same of a program each time, and take turns so often each time. */
const STARTS = 4;
const TURNS = 8;
const CONNECTIONS = 64;
const ROUNDS = 10;
/** Longer than a worker takes to write its count down. */
const COUNTED_MS = 150;
const choir = fileURLToPath(new URL('../bin/choir.js', import.meta.url));
const ports = { slots: 18_080, shared: 18_081, cluster: 18_082, single: 18_083, uncovered: 18_084 };

/** Answers, and writes down now and then how often it has. */
const serve = `
	const http = require('node:http');
	const fs = require('node:fs');
	let count = 0;
	let written = 0;
	const server = http.createServer((_, response) => { count += 1; response.end('ok'); });
	setInterval(() => { if (count > written) fs.writeFileSync(process.env.COUNTS + '/' + process.pid, String((written = count))); }, 100).unref();
`;
const countsOf = (name) => path.join(dir, `counts.${name}`);
write('held.cjs', `${serve} server.listen(Number(process.env.PORT), '127.0.0.1');`);
write('bare.cjs', `${serve} server.listen({ fd: 3 }, () => console.log('up'));`);
write(
	'cluster.cjs',
	"const cluster = require('node:cluster'); if (cluster.isPrimary) { cluster.fork(); cluster.fork(); } else require('./held.cjs');",
);

const specs = {
	slots: `node('web', { module: './held.cjs',`,
	shared: `node('web', { module: './held.cjs', accept: 'shared',`,
	uncovered: `command('web', { run: [process.execPath, 'bare.cjs'], accept: 'slots', ready: { output: /up/ },`,
};
for (const [name, child] of Object.entries(specs))
	write(
		`${name}.ts`,
		`import { command, node, tree } from 'choir';
		export default tree('${name}', { view: false, intensity: { restarts: 1000, within: '1m' }, children: [
			${child} listen: { http: '127.0.0.1:${ports[name]}' }, instances: 2, env: { COUNTS: '${countsOf(name)}', PORT: '${ports[name]}' }, restart: { backoff: 0 } }),
		] });`,
	);

function get(port, agent) {
	return new Promise((resolve) => {
		const from = performance.now();
		const end = (ok) => resolve({ ok, ms: performance.now() - from });
		http
			.get({ host: '127.0.0.1', port, agent }, (response) => response.resume().once('end', () => end(true)))
			.once('error', () => end(false));
	});
}

/** Runs contenders, by name, side by side, and ends them. */
async function during(names, body) {
	const children = names.map((name) => {
		fs.rmSync(countsOf(name), { recursive: true, force: true });
		fs.mkdirSync(countsOf(name));
		const args = name in specs ? [choir, 'run', `${name}.ts`] : [name === 'cluster' ? 'cluster.cjs' : 'held.cjs'];
		const env = { ...environment, COUNTS: countsOf(name), PORT: String(ports[name]) };
		return spawn(process.execPath, args, { cwd: dir, env, stdio: ['ignore', 'ignore', 'inherit'] });
	});
	const ended = children.map((child) => new Promise((resolve) => child.once('exit', resolve)));
	try {
		for (const name of names) await until(async () => (await get(ports[name], false)).ok, 20_000, `an answer of ${name}`);
		// All of them are up.
		await pause(1_000);
		return await body();
	} finally {
		for (const child of children) child.kill('SIGTERM');
		await Promise.all(ended);
	}
}

function wrk(port, headers) {
	const text = execFileSync('wrk', ['-t1', `-c${CONNECTIONS}`, `-d${SECONDS}s`, ...headers, `http://127.0.0.1:${port}/`], {
		encoding: 'utf8',
	});
	return Number(/Requests\/sec:\s+([\d.]+)/.exec(text)?.[1]);
}

/** How often each worker has answered, and what processor time it has had, in ns. */
function usage(name) {
	return new Map(
		fs.readdirSync(countsOf(name)).map((pid) => {
			const threads = fs.readdirSync(`/proc/${pid}/task`).map((tid) => fs.readFileSync(`/proc/${pid}/task/${tid}/schedstat`, 'utf8'));
			const ns = threads.reduce((sum, text) => sum + Number(text.split(' ')[0]), 0);
			return [pid, { count: Number(fs.readFileSync(path.join(countsOf(name), pid), 'utf8')), ns }];
		}),
	);
}

/** Requests per second, how they were spread, in percent of all, and the workers' processor time for one, in µs. */
async function rate(name, headers) {
	await pause(COUNTED_MS);
	const before = usage(name);
	const perSecond = wrk(ports[name], headers);
	await pause(COUNTED_MS);
	const more = [...usage(name)].map(([pid, { count, ns }]) => [count - (before.get(pid)?.count ?? 0), ns - (before.get(pid)?.ns ?? 0)]);
	const [answers, ns] = [0, 1].map((which) => more.reduce((sum, each) => sum + each[which], 0));
	const shares = more.map(([count]) => Math.round((100 * count) / answers)).sort((a, b) => b - a);
	return { perSecond, shares: shares.slice(0, 2), perRequest: ns / answers / 1_000 };
}

const quantile = (numbers, share) => [...numbers].sort((a, b) => a - b)[Math.min(numbers.length - 1, Math.floor(numbers.length * share))];
const median = (numbers) => quantile(numbers, 0.5);

/** The longest that anybody waits when one of two is killed: the worst of eight clients, in each of some rounds. */
async function stalls(tree) {
	const agent = new http.Agent({ keepAlive: false });
	const worst = [];
	for (let round = 0; round < ROUNDS; round++) {
		let over = false;
		let slowest = 0;
		const askers = Array.from({ length: 8 }, async () => {
			while (!over) {
				const { ok, ms } = await get(ports[tree], agent);
				if (ok) slowest = Math.max(slowest, ms);
				await pause(2);
			}
		});
		await pause(500);
		const { children } = JSON.parse(
			execFileSync(process.execPath, [choir, 'status', tree, '--json'], { env: environment, cwd: dir, encoding: 'utf8' }),
		);
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
	const contenders = { slots: 'held, a socket each', shared: 'held, shared', cluster: 'node:cluster, round robin', single: 'one process' };
	const names = Object.keys(contenders);
	const ways = { 'keep-alive': [], 'connection per request': ['-H', 'Connection: close'] };
	const seen = Object.fromEntries(Object.keys(ways).map((way) => [way, Object.fromEntries(names.map((name) => [name, []]))]));
	for (let start = 0; start < STARTS; start++)
		await during(names, async () => {
			// What is run for the first time is compiled first.
			for (const name of names) wrk(ports[name], []);
			// In turn: what else the machine does hits them all.
			for (let turn = 0; turn < TURNS; turn++)
				for (const [way, headers] of Object.entries(ways)) for (const name of names) seen[way][name].push(await rate(name, headers));
		});
	console.log(`Node ${process.version}, ${CONNECTIONS} connections, ${SECONDS} s each, ${STARTS * TURNS} times`);
	for (const [way, rates] of Object.entries(seen)) {
		console.log(
			`\n| ${way} | requests/s | × cluster, turn by turn: median, quartiles | µs of the workers for one, × cluster | spread: median, worst |`,
		);
		console.log('| --- | ---: | ---: | ---: | ---: |');
		for (const name of names) {
			const all = rates[name];
			const times = all.map(({ perSecond }, turn) => perSecond / rates.cluster[turn].perSecond);
			const costs = all.map(({ perRequest }, turn) => perRequest / rates.cluster[turn].perRequest);
			const spreads = all.map(({ shares }) => shares).sort(([a], [b]) => a - b);
			const spread = [spreads[Math.floor(spreads.length / 2)], spreads.at(-1)].map((shares) => shares.join('/')).join(', ');
			console.log(
				`| ${contenders[name]} | ${(median(all.map(({ perSecond }) => perSecond)) / 1000).toFixed(1)}k | ${[0.5, 0.25, 0.75].map((share) => quantile(times, share).toFixed(2)).join(', ')} | ${median(all.map(({ perRequest }) => perRequest)).toFixed(1)}, ${median(costs).toFixed(2)} | ${spread} |`,
			);
		}
	}
	console.log(`\n| one of two is SIGKILLed: the longest wait, ${ROUNDS} times |\n| --- |`);
	for (const [name, tree] of [
		['held, as by default', 'slots'],
		['a socket each, nobody covers', 'uncovered'],
		['held, shared', 'shared'],
	])
		console.log(`| ${name}: ${await during([tree], () => stalls(tree))} |`);
} finally {
	cleanUp();
}
