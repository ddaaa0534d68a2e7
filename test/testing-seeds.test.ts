/** The same seed is the same world: on every Node that is there, and as it was written down. */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { nodes } from './support/nodes.ts';

const LIMIT_MS = 60_000;
const golden = fs.readFileSync(path.join(import.meta.dirname, 'golden/seeds.txt'), 'utf8');
const script = path.join(import.meta.dirname, 'support/seeds.js');

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
