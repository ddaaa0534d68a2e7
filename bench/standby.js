// What a spare is worth: from SIGKILL until a client that waits is served by the replacement, of a child with one instance, so that nobody
// covers. A standby, a cold start under choir, and the least that can be done: a spawner that holds the socket and spawns again. The program is
// the smallest there is: an ES module, and for the cold starts also in CommonJS, which Node loads in another way, and one that has a dependency.
// By hand, on a machine with nothing else to do: `node bench/standby.js [rounds] [names]`; a name picks a tree, and what it is compared with.
import { execFileSync, spawn } from 'node:child_process';
import net from 'node:net';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { makeReady } from '../.ci/ready.js';
import { cleanUp, dir, environment, pause, until, within, write } from './place.js';

const ROUNDS = Number(process.argv[2] ?? 40);
const names = process.argv.slice(3);
/** For the pool to refill, for what a start leaves to be done, and for a first heartbeat, with which the next start is ordered in advance. */
const REST_MS = 1_300;
const SERVED_MS = 10_000;
const choir = fileURLToPath(new URL('../bin/choir.js', import.meta.url));
const allPorts = {
	standby: 18_091,
	cold: 18_092,
	bare: 18_093,
	coldCommon: 18_094,
	bareCommon: 18_095,
	coldLogger: 18_096,
	bareLogger: 18_097,
};
/** Which file is run, and which standbys there are. */
const allTrees = {
	standby: { module: './standby.mjs', standby: 1 },
	cold: { module: './cold.mjs', standby: 0 },
	coldCommon: { module: './coldCommon.cjs', standby: 0 },
	coldLogger: { module: './coldLogger.mjs', standby: 0 },
};

if (names.some((name) => !(name in allTrees)))
	throw new Error(`expected names of ${Object.keys(allTrees).join(', ')}; got ${names.join(', ')}`);
const bareOf = (name) => name.replace('cold', 'bare');
const trees = Object.fromEntries(Object.entries(allTrees).filter(([name]) => names.length === 0 || names.includes(name)));
const ports = Object.fromEntries(
	Object.entries(allPorts).filter(([name]) => Object.keys(trees).some((tree) => [tree, bareOf(tree)].includes(name))),
);

/** Says its pid to whoever asks. */
const serve = (head, where) => `
	${head}
	http.createServer((_, response) => response.end(String(process.pid))).listen(${where});
`;
const asModule = "import http from 'node:http';";
const asCommon = "const http = require('node:http');";
const asLogger = `${asModule}
	import pino from ${JSON.stringify(import.meta.resolve('pino'))};
	pino();`;
const headOf = (file) => (file.endsWith('.cjs') ? asCommon : file.includes('Logger') ? asLogger : asModule);
const bare = ['bare.mjs', 'bareCommon.cjs', 'bareLogger.mjs'].filter((file) => path.parse(file).name in ports);
for (const file of bare) write(file, serve(headOf(file), '{ fd: 3 }'));
write(
	'spawner.cjs',
	`const { spawn } = require('node:child_process');
	const [file, port] = process.argv.slice(2);
	const handle = require('node:net')._createServerHandle('127.0.0.1', Number(port), 4);
	const keep = () => spawn(process.execPath, [file], { stdio: ['ignore', 'ignore', 'inherit', handle.fd], detached: true }).once('exit', keep);
	keep();`,
);
for (const [name, { module, standby }] of Object.entries(trees)) {
	write(module, serve(headOf(module), `${ports[name]}, '127.0.0.1'`));
	const child = `node('web', { module: '${module}', listen: { http: '127.0.0.1:${ports[name]}' }, standby: ${standby}, restart: { backoff: 0 } })`;
	write(
		`${name}.ts`,
		`import { node, tree } from 'choir';
		export default tree('${name.toLowerCase()}', { view: false, intensity: { restarts: 100_000, within: '1m' }, children: [${child}] });`,
	);
}

/** A connection and its answer, which is the pid of who serves. */
function ask(port) {
	return new Promise((resolve, reject) => {
		let said = '';
		const socket = net.connect(port, '127.0.0.1', () => socket.write('GET / HTTP/1.0\r\n\r\n'));
		socket.setNoDelay(true);
		socket.setEncoding('latin1').on('data', (text) => (said += text));
		// Accepted by the one that dies: as any client would, it comes again.
		socket.once('error', (error) => (error.code === 'ECONNRESET' ? resolve(ask(port)) : reject(error)));
		socket.once('close', () => (said === '' ? reject(new Error('closed without an answer')) : resolve(Number(said.split('\r\n\r\n')[1]))));
	});
}

const quantile = (times, share, digits = 1) =>
	[...times].sort((a, b) => a - b)[Math.min(times.length - 1, Math.floor(times.length * share))].toFixed(digits);

makeReady();
const command = (...args) =>
	execFileSync(process.execPath, [choir, ...args], { cwd: dir, env: environment, stdio: ['ignore', 'ignore', 'inherit'] });
const running = [];
const spawners = [];
try {
	// In the background: nobody prints, as nobody does for the spawners.
	for (const name of Object.keys(trees)) {
		command('start', `${name}.ts`);
		running.push(name);
	}
	for (const file of bare) {
		const args = [path.join(dir, 'spawner.cjs'), file, String(ports[path.parse(file).name])];
		spawners.push(spawn(process.execPath, args, { cwd: dir, env: environment, stdio: ['ignore', 'ignore', 'inherit'] }));
	}
	const pids = {};
	for (const [name, port] of Object.entries(ports))
		await until(
			async () => {
				pids[name] = await ask(port).catch(() => 0);
				return pids[name] > 0;
			},
			SERVED_MS,
			`an answer of ${name}`,
		);
	await pause(2_000);
	const times = Object.fromEntries(Object.keys(ports).map((name) => [name, []]));
	for (let round = 0; round < ROUNDS; round++) {
		// Each now before, now behind the others: what one leaves to be done is not always the same one's to bear.
		const turns = Object.entries(ports);
		for (const [name, port] of round % 2 === 0 ? turns : turns.reverse()) {
			await pause(REST_MS);
			const from = performance.now();
			process.kill(pids[name], 'SIGKILL');
			const pid = await within(SERVED_MS, ask(port), `an answer of ${name}`);
			times[name].push(performance.now() - from);
			if (pid === pids[name]) throw new Error(`${name}: the dead one has answered`);
			pids[name] = pid;
		}
	}
	console.log(`Node ${process.version}, ${ROUNDS} times each\n`);
	console.log('| SIGKILL → a waiting client is served (ms) | p50 | p90 | worst |\n| --- | ---: | ---: | ---: |');
	for (const [name, all] of Object.entries(times))
		console.log(`| ${name} | ${quantile(all, 0.5)} | ${quantile(all, 0.9)} | ${quantile(all, 1)} |`);
	// By rank: the median of all such rounds lies between these two, with a certainty of 95 %.
	const sure = 0.98 / Math.sqrt(ROUNDS);
	const cold = Object.keys(trees).filter((name) => name !== 'standby');
	if (cold.length > 0) console.log('\n| cold × bare, of one round each | p25 | p50 (95 %) | p75 |\n| --- | ---: | ---: | ---: |');
	for (const name of cold) {
		const ratios = times[name].map((time, round) => time / times[bareOf(name)][round]);
		const at = (share) => quantile(ratios, share, 2);
		console.log(`| ${name} | ${at(0.25)} | ${at(0.5)} (${at(0.5 - sure)}–${at(0.5 + sure)}) | ${at(0.75)} |`);
	}
} finally {
	for (const name of running) command('stop', name.toLowerCase());
	for (const spawner of spawners) spawner.kill('SIGTERM');
	cleanUp();
}
