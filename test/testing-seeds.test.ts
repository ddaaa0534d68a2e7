/** The same seed is the same world: on every Node that is there, and as it was written down. */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';

const LIMIT_MS = 60_000;
const golden = fs.readFileSync(path.join(import.meta.dirname, 'golden/seeds.txt'), 'utf8');
const script = path.join(import.meta.dirname, 'support/seeds.js');

/** Executables of Node: this one, those in `CHOIR_NODES` (separated as in PATH), on the PATH, and under nvm; one of each version. */
function nodes(): Map<string, string> {
	const nvm = path.join(os.homedir(), '.nvm/versions/node');
	const folders = [
		...(process.env.PATH ?? '').split(path.delimiter),
		...(fs.existsSync(nvm) ? fs.readdirSync(nvm).map((version) => path.join(nvm, version, 'bin')) : []),
	];
	const named = (process.env.CHOIR_NODES ?? '').split(path.delimiter).filter((file) => file !== '');
	const found = new Map<string, string>();
	for (const file of [process.execPath, ...named, ...folders.map((folder) => path.join(folder, 'node'))]) {
		if (!fs.existsSync(file)) continue;
		const { stdout } = spawnSync(file, ['--version'], { encoding: 'utf8', timeout: LIMIT_MS });
		const [, version, major] = /^v((\d+)\.\d+)/.exec(stdout ?? '') ?? [];
		if (version !== undefined && Number(major) >= 20 && !found.has(version)) found.set(version, file);
	}
	return found;
}

for (const [version, file] of nodes()) {
	test(`Node ${version} gives byte for byte what is written down`, () => {
		// A zone and a language of its own: neither may matter.
		const env = { PATH: process.env.PATH, TZ: 'Asia/Kathmandu', LANG: 'tr_TR.UTF-8' };
		const { status, stdout, stderr } = spawnSync(file, [script], { encoding: 'utf8', timeout: LIMIT_MS, env });
		assert.is(status, 0, stderr);
		assert.fixture(stdout, golden, 'if the change is meant: node test/support/seeds.js > test/golden/seeds.txt');
	});
}

test('the kit asks for no time, chance, language or world of its own', () => {
	const folder = path.join(import.meta.dirname, '../src/testing');
	for (const name of fs.readdirSync(folder)) {
		const text = fs.readFileSync(path.join(folder, name), 'utf8');
		assert.not.match(
			text,
			/Math\.random|Date\.|new Date|performance\.|setTimeout|setInterval|setImmediate|toLocale|Intl\.|localeCompare|process\.\w+\(|from 'node:/,
			name,
		);
	}
});

test.run();
