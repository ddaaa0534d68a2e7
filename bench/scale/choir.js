// Very many actors under one supervisor of choir. Argument: how many. One JSON line: figures in µs, bytes and ms.
import { actor, dynamic, start, supervisor, tree } from '../../dist/src/index.js';
import { counter } from './actor.js';
import { bytes, each, say } from './measure.js';

const count = Number(process.argv[2]);
const RESTARTS = 10_000;
const GROUP = 1_000;
const AT_ONCE = 1_000;
const plenty = { restarts: 100_000, within: '1h' };

const running = await start(
	tree('scale', {
		intensity: plenty,
		children: [
			dynamic('pool', { child: actor('counter', { logic: counter }), intensity: plenty }),
			supervisor('group', {
				strategy: 'one_for_all',
				intensity: plenty,
				children: [actor('member', { logic: counter, instances: GROUP })],
			}),
		],
	}),
);
const pool = running.child('pool');
const crash = { type: 'crash' };

const before = bytes();

// Compiled code is what is measured; a collection of all garbage throws a part of it away.
for (let round = 0; round < 10; round++) {
	const warm = Array.from({ length: AT_ONCE }, (_, n) => `warm${n}`);
	await Promise.all(warm.map((id) => pool.startChild({ id })));
	for (const id of warm) running.ref(`pool/${id}`).send(crash);
	await Promise.all(warm.map((id) => pool.terminateChild(id)));
}

const ids = Array.from({ length: count }, (_, n) => `a${n}`);
const createUs = await each(count, async () => {
	for (let at = 0; at < count; at += AT_ONCE) await Promise.all(ids.slice(at, at + AT_ONCE).map((id) => pool.startChild({ id })));
});
const childBytes = (bytes() - before) / count;

// A child that crashes is up again when the send returns: nothing of it waits for anything.
const restartUs = await each(RESTARTS, () => {
	for (let n = 0; n < RESTARTS; n++) running.ref(`pool/${ids[(n * 7_919) % count]}`).send(crash);
});
const { active } = await pool.countChildren();
if (active !== count) throw new Error(`${active} of ${count} run after the restarts`);

// Listed when nothing is going on among them any more.
let group = [];
const groupUs = await each(10, async () => {
	for (let n = 0; n < 10; n++) {
		running.ref('group/member.500').send(crash);
		group = await running.child('group').whichChildren();
	}
});
if (!group.every(({ incarnation }) => incarnation === 11)) throw new Error('not all of the group were restarted');

const stopUs = await each(1, () => running.stop());
say({ createUs, bytes: childBytes, restartUs, groupMs: groupUs / 1_000, stopMs: stopUs / 1_000 });
