/** What the host of processes says to the angel, and in which order. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { test } from 'uvu';
import type { ProcessSpec } from '../machines/spec.ts';
import type { ToAngel } from '../src/angel/link.ts';
import { command, tree } from '../src/index.ts';
import { ProcessHost } from '../src/master/processes.ts';
import { Workers } from '../src/master/workers.ts';
import { resolveSpec } from '../src/spec/check.ts';
import { until } from './support/until.ts';

const [spec] = resolveSpec(tree('t', { children: [command('a', { run: ['true'] })] })).root.children as [ProcessSpec];
const runOf = (incarnation: number) => ({ workerId: `w${incarnation}`, path: 'a', incarnation, generation: 1, spec, stop: spec.stop });

test('that a death is known is said after the order for what follows from it', async () => {
	const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'choir-host-'));
	const said: ToAngel[] = [];
	const host = new ProcessHost({
		dir,
		base: dir,
		link: { send: (message) => void said.push(message), flush: (done) => done?.() },
		workers: new Workers(
			() => {},
			() => {},
		),
		slotsAt: () => 1,
		tell: (_, fact) => {
			if (fact.type === 'process.exited') host.launch(runOf(2));
		},
		now: () => 0,
		newToken: () => 'secret',
		unrotated: () => {},
	});
	try {
		host.launch(runOf(1));
		await until('the first is ordered', () => said.length === 1);
		host.hear({ do: 'exited', workerId: 'w1', code: 1, signal: null });
		await until('all is said', () => said.length === 3);
		const [, order, heard] = said;
		assert.equal(order?.do === 'spawn' && order.order.workerId, 'w2');
		assert.deepEqual(heard, { do: 'heard', workerId: 'w1' });
	} finally {
		host.close();
		fs.rmSync(dir, { recursive: true });
	}
});

test.run();
