/** Every example in docs/testing.md is run, and what it shows as said is said. */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { faults } from '../src/testing/faults.ts';

const root = path.join(import.meta.dirname, '..');
const page = fs.readFileSync(path.join(root, 'docs/testing.md'), 'utf8');
const LIMIT_MS = 60_000;
/** Named by their first line. */
const files = new Map([...page.matchAll(/```js\n(\/\/ (\S+)\n[\s\S]*?)```/g)].map(([, text, name]) => [name as string, text as string]));
const shown = [...page.matchAll(/```text\n([\s\S]*?)```/g)].map(([, text]) => text as string);

test('every block of code on the page is a file', () => {
	assert.is([...page.matchAll(/```(js|ts)\n/g)].length, files.size);
	assert.ok(files.size >= 8);
});

const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'choir-docs-'));
fs.mkdirSync(path.join(dir, 'node_modules'));
fs.symlinkSync(root, path.join(dir, 'node_modules/choir'));
fs.symlinkSync(path.join(root, 'node_modules/xstate'), path.join(dir, 'node_modules/xstate'));
for (const [name, text] of [...files, ['package.json', '{ "type": "module" }'] as const]) fs.writeFileSync(path.join(dir, name), text);
test.after(() => fs.rmSync(dir, { recursive: true, force: true }));

/** What a file says, in a project of somebody who has installed choir. */
function run(name: string): string {
	// Without `--test`: a process that is itself run by a test runner would not run another.
	const { status, stdout, stderr } = spawnSync(process.execPath, ['--test-reporter=tap', name], {
		cwd: dir,
		env: { PATH: process.env.PATH, HOME: dir },
		encoding: 'utf8',
		timeout: LIMIT_MS,
	});
	assert.is(status, 0, stdout + stderr);
	return stdout;
}

for (const name of files.keys()) {
	if (!name.endsWith('.test.js')) continue;
	test(`${name} passes`, () => assert.match(run(name), /^# pass [1-9]\d*\n# fail 0$/m));
}

test('what explore is shown to say is what it says', () => {
	const said = run('explore.test.js').replace(/^# /gm, '').replaceAll('\\#', '#');
	for (const line of (shown[0] as string).split('\n')) assert.ok(said.includes(line), `${line}\nis not in\n${said}`);
});

test('the page names every fault', () => {
	for (const [name, { weight }] of Object.entries(faults)) if (weight > 0) assert.ok(page.includes(`\`${name}\``), name);
});

test.run();
