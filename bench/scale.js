// Measures very many actors under one supervisor, beside bare XState and, where `erl` is installed, a supervisor of Erlang/OTP.
// `node bench/scale.js [--json]`; about two minutes. Each figure comes from a process of its own.
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { makeReady } from '../.ci/ready.js';

const here = path.join(import.meta.dirname, 'scale');
const SIZES = [1_000, 10_000, 100_000];
const LIMIT_MS = 300_000;
/** A bare parent pays for all its children with each: at 100 000 it would take minutes. */
const MOST_BARE = 10_000;

const words = process.argv.slice(2);
if (words.some((word) => word !== '--json')) {
	console.error(`expected --json or nothing, got ${words.join(' ')}`);
	process.exit(64);
}
makeReady();
const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'choir-scale-'));
const hasErlang = spawnSync('which', ['erl']).status === 0;
if (hasErlang) run('erlc', ['-o', dir, path.join(here, 'scale.erl')]);

function run(program, args) {
	const { status, stdout, stderr, error } = spawnSync(program, args, { encoding: 'utf8', timeout: LIMIT_MS });
	if (status !== 0) throw new Error(`${program} ${args.join(' ')}: ${error?.message ?? stderr}`);
	return stdout;
}

const node = (file) => (count) =>
	JSON.parse(
		run(process.execPath, ['--expose-gc', '--max-semi-space-size=64', '--max-old-space-size=4096', path.join(here, file), String(count)]),
	);
const contenders = {
	choir: node('choir.js'),
	'XState, a root each': node('roots.js'),
	'XState, one parent': (count) => (count > MOST_BARE ? null : node('bare.js')(count)),
	'Erlang/OTP': (count) =>
		hasErlang ? JSON.parse(run('erl', ['+P', '1000000', '-noshell', '-pa', dir, '-run', 'scale', 'main', String(count)])) : null,
};
const figures = {
	createUs: 'create one (µs)',
	bytes: 'memory of one (bytes)',
	restartUs: 'crash and restart of one (µs)',
	groupMs: 'one_for_all of 1 000 (ms)',
	stopMs: 'orderly stop of all (ms)',
};
const goals = { createUs: 40, bytes: 8_192, restartUs: 100, stopMs: 5_000 };

const rows = [];
for (const count of SIZES) {
	for (const [who, measure] of Object.entries(contenders)) {
		const seen = measure(count);
		if (seen === null) continue;
		console.error(`${who}, ${count}: ${JSON.stringify(seen)}`);
		rows.push({ who, count, ...seen });
	}
}
fs.rmSync(dir, { recursive: true });

if (words.length > 0) {
	console.log(JSON.stringify({ node: process.version, kernel: os.release(), cores: os.availableParallelism(), rows }, null, '\t'));
} else {
	const names = Object.keys(contenders);
	const shown = (value) => (value === undefined ? '–' : value >= 100 ? String(Math.round(value)) : String(Number(value.toPrecision(3))));
	console.log(`| children | figure | ${names.join(' | ')} | goal |`);
	console.log(`| ---: | --- | ${names.map(() => '---:').join(' | ')} | --- |`);
	for (const count of SIZES)
		for (const [key, name] of Object.entries(figures)) {
			const cells = names.map((who) => shown(rows.find((row) => row.who === who && row.count === count)?.[key]));
			const value = rows.find((row) => row.who === 'choir' && row.count === count)?.[key];
			const goal = goals[key] === undefined ? '' : `≤ ${goals[key]}: ${value <= goals[key] ? 'met' : 'missed'}`;
			console.log(`| ${count} | ${name} | ${cells.join(' | ')} | ${goal} |`);
		}
}
