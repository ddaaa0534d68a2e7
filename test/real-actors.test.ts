/** Actors in a tree that `choir run` runs: they live in the master, and what goes wrong in one of them stays in it. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'uvu';
import { withTree } from './support/real.ts';

const files = {
	'tree.ts': `
import { appendFileSync } from 'node:fs';
import { actor, command, tree } from 'choir';
import { fromCallback, setup } from 'xstate';

const say = (what) => appendFileSync('log', what + '\\n');
const drains = setup({}).createMachine({
	initial: 'open',
	states: {
		open: { on: { 'choir.drain': 'closing' } },
		closing: { after: { 50: 'closed' } },
		closed: { type: 'final', entry: () => say('closed') },
	},
});
let lives = 0;
const breaks = fromCallback(() => {
	lives += 1;
	say('life ' + lives);
	if (lives <= 2) setTimeout(() => { throw new Error('in a timer of its own'); }, 10);
	else if (lives <= 4) Promise.reject(new Error('that nobody awaits'));
});
export default tree('t', { intensity: { restarts: 10, within: '10s' }, children: [
	actor('drains', { logic: drains }),
	actor('breaks', { logic: breaks }),
	command('beside', { run: ['sleep', '1000'] }),
] });
`,
};

test('actors run in the master, fail alone, are shown by status, and drain when the tree stops', () =>
	withTree(files, async (tree) => {
		// XState is the user's own copy, not the one that choir is built with.
		fs.mkdirSync(path.join(tree.folder, 'node_modules'));
		fs.symlinkSync(path.join(import.meta.dirname, '../node_modules/xstate'), path.join(tree.folder, 'node_modules/xstate'));
		const run = await tree.up();
		const breaks = await tree.incarnation('breaks', 5);
		assert.equal(breaks.kind, 'actor');
		assert.equal(breaks.pid, null);
		assert.equal(breaks.lastExit?.reason, 'crash');
		assert.deepEqual(tree.lines('log'), ['life 1', 'life 2', 'life 3', 'life 4', 'life 5']);
		assert.equal((await tree.status()).master.incarnation, 1);
		assert.equal((await tree.child('beside')).incarnation, 1);
		const shown = await tree.cli('status', 't');
		assert.match(shown.stdout, /^drains +running +1 +0 /m);
		assert.match(shown.stdout, /^breaks +running +5 +4 .*crash$/m);
		const crashes = tree.events().filter(({ event }) => event === 'actor.crashed');
		assert.deepEqual(
			crashes.map(({ message }) => message),
			['breaks: in a timer of its own', 'breaks: in a timer of its own', 'breaks: that nobody awaits', 'breaks: that nobody awaits'],
		);
		assert.match(String((crashes[0] as { stack?: string }).stack), /Error: in a timer of its own\n +at /);
		process.kill(run.pid, 'SIGTERM');
		assert.equal((await tree.ended(run)).code, 0);
		assert.equal(tree.lines('log').at(-1), 'closed');
	}));

test.run();
