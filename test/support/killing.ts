/** Masters that die where it is worst: right after a line that they have written for an operation. */
import assert from 'node:assert/strict';
import path from 'node:path';
import { operate } from '../../src/cli/operate.ts';
import { type AngelPid, readAngelPid } from '../../src/home.ts';
import type { RealTree } from './real.ts';

/** For `launch`: the master looks into this file when an operation begins. */
export const dying = (tree: RealTree) => ({ env: { CHOIR_TEST_DIE_AFTER: path.join(tree.folder, 'die') } });

/** A spec that allows for so many deaths of its master. */
export const mortal = "master: { intensity: { restarts: 1000, within: '1m' }, backoff: { from: '10ms', to: '10ms' } },";

/** What a command asks, without a process for it. */
export const asked = (tree: RealTree, name: string, params: Record<string, unknown>) =>
	operate({ id: tree.id, dir: tree.dir, angel: readAngelPid(tree.dir) as AngelPid }, name, params, 20_000);

/**
 * Has `operate` done again and again, each time with a master that dies one line later, until one has outlived the operation. `line` is
 * from 1. Answers how many lines there were.
 */
export async function atEachLine(tree: RealTree, operate: (line: number) => Promise<void>): Promise<number> {
	for (let line = 1; ; line++) {
		const { master: before } = await tree.status();
		tree.write('die', String(line));
		await operate(line);
		const { master } = await tree.until('a master runs the tree', async () => {
			const status = await tree.status();
			return status.state === 'running' && status.master.pid !== null && status;
		});
		assert.equal(tree.read('die'), '', `line ${line}: no operation has begun`);
		if (master.incarnation === before.incarnation) return line - 1;
		assert.equal(master.incarnation, (before.incarnation ?? 0) + 1, `line ${line}: one death`);
	}
}

/** Fails if something of the tree runs beside what its status shows. */
export async function assertNothingElse(tree: RealTree, runPid: number): Promise<void> {
	await tree.until('nothing else of the tree runs', async () => {
		const { master, children } = await tree.status();
		const known = new Set([
			runPid,
			master.pid,
			...children.flatMap(({ pid, children: below = [] }) => [pid, ...below.map((each) => each.pid)]),
		]);
		// `choir run` prints in a process of its own.
		return tree.strays().filter(({ pid }) => !known.has(pid)).length <= 1;
	});
}
