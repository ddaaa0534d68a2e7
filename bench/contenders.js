// Who is measured. Each can be told to keep `count` times a program alive; then it says which processes are its own,
// can be asked to stop as its manual says, and is waited for.
import { spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { dir, environment, until, within, write } from './place.js';
import { childrenOf, isAlive } from './usage.js';

const bareFile = path.join(import.meta.dirname, 'bare.js');
const choirFile = path.join(import.meta.dirname, '../bin/choir.js');
const STOP_MS = 30_000;
let started = 0;

const begin = (file, args, options = {}) => spawn(file, args, { cwd: dir, env: environment, stdio: 'ignore', ...options });

/** A program that does its work and ends; what it printed. */
function ended(file, args) {
	const child = begin(file, args, { stdio: ['ignore', 'pipe', 'pipe'] });
	let printed = '';
	for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text) => (printed += text));
	const end = new Promise((resolve, reject) => {
		child.once('error', reject);
		child.once('close', (code) => (code === 0 ? resolve(printed) : reject(new Error(`${[file, ...args].join(' ')}: ${printed}`))));
	});
	return within(60_000, end, `${file} ${args.join(' ')}`);
}

/** `ask` is the request to stop; the supervisor's end is waited for apart. */
const running = (pids, ask) => ({
	pids,
	ask,
	gone: () => until(() => pids().every((pid) => !isAlive(pid)), STOP_MS, 'the end of a supervisor'),
});
const supervisor = (child, pids = () => [child.pid], signal = 'SIGTERM') => running(pids, () => child.kill(signal));

export const bare = {
	name: 'bare',
	async start({ run }, count) {
		return supervisor(begin(process.execPath, [bareFile, String(count), ...run]));
	},
	/** With its output in a pipe. */
	run({ run }) {
		return begin(process.execPath, [bareFile, '1', ...run], { stdio: ['ignore', 'pipe', 'ignore'] });
	},
};

export function spec(name, { kind, run, module, port, args }, count, more = '') {
	const rest = `instances: ${count}, restart: { backoff: 0 }, ${more}`;
	const child =
		kind === 'native'
			? `command('c', { run: ${JSON.stringify(run)}, ${rest} })`
			: `node('c', { module: ${JSON.stringify(module)}, args: ${JSON.stringify(args)}, listen: { http: '127.0.0.1:${port}' }, ${rest} })`;
	const intensity = `intensity: { restarts: 100_000, within: '1m' }, start: 'parallel'`;
	return write(
		`${name}.ts`,
		`import { command, node, tree } from 'choir';\nexport default tree('${name}', { ${intensity}, children: [${child}] });\nvoid [command, node];\n`,
	);
}

/** The processes of a tree of choir. */
export async function processesOf(name) {
	const { angel, master } = JSON.parse(await ended(process.execPath, [choirFile, 'status', name, '--json']));
	return [angel.pid, master.pid];
}

export const choir = {
	name: 'choir',
	async start(program, count) {
		const name = `tree-${started++}`;
		await ended(process.execPath, [choirFile, 'start', spec(name, program, count)]);
		const pids = await processesOf(name);
		return running(
			() => pids,
			() => process.kill(pids[0], 'SIGTERM'),
		);
	},
	/** In the foreground, with its output in a pipe. */
	run(file) {
		return begin(process.execPath, [choirFile, 'run', file], { stdio: ['ignore', 'pipe', 'ignore'] });
	},
};

const isInstalled = (program) => spawnSync('which', [program]).status === 0;

const pm2 = {
	name: 'PM2',
	installed: () => isInstalled('pm2'),
	async start({ kind, run, module, args }, count) {
		const [script, ...words] = run;
		const program = kind === 'native' ? { script, args: words, interpreter: 'none' } : { script: module, args };
		const apps = [{ name: 'c', ...program, instances: count, exec_mode: 'fork', max_restarts: 1e9, min_uptime: 0 }];
		const file = write(`pm2-${started++}.json`, JSON.stringify({ apps }));
		await ended('pm2', ['start', file]);
		const pid = Number(fs.readFileSync(path.join(environment.PM2_HOME, 'pm2.pid'), 'utf8'));
		return running(
			() => [pid],
			() => process.kill(pid, 'SIGTERM'),
		);
	},
};

const supervisord = {
	name: 'supervisord',
	/** Waits up to a second before a restart; no Node, so its memory is what it is at once. */
	slow: true,
	installed: () => isInstalled('supervisord'),
	async start({ run }, count) {
		const own = `supervisord-${started++}`;
		const file = write(
			`${own}.conf`,
			`[supervisord]\nnodaemon=true\nlogfile=/dev/null\nlogfile_maxbytes=0\npidfile=${dir}/${own}.pid\nchildlogdir=${dir}
[program:c]\ncommand=${run.join(' ')}\nnumprocs=${count}\nprocess_name=c%(process_num)d\nautorestart=true\nstartretries=1000000\n`,
		);
		return supervisor(begin('supervisord', ['-n', '-c', file]));
	},
};

const runit = {
	name: 'runit',
	/** Waits up to a second before a restart; no Node, so its memory is what it is at once. */
	slow: true,
	installed: () => isInstalled('runsvdir') && isInstalled('runsv'),
	async start({ run }, count) {
		const own = `runit-${started++}`;
		for (let n = 0; n < count; n++) write(`${own}/c${n}/run`, `#!/bin/sh\nexec ${run.join(' ')}\n`, 0o700);
		const child = begin('runsvdir', [path.join(dir, own)]);
		let last = [];
		const pids = () => {
			if (isAlive(child.pid)) last = [child.pid, ...childrenOf(child.pid)];
			return last;
		};
		await until(() => pids().length > count, 30_000, `${count} runsv`);
		return supervisor(child, pids, 'SIGHUP');
	},
};

export const peers = [pm2, supervisord, runit];
