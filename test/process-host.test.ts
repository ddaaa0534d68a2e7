/** What the host of processes says to the angel, and in which order. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { test } from 'uvu';
import type { NodeSpec, ProcessSpec } from '../machines/spec.ts';
import type { ToAngel } from '../src/angel/link.ts';
import { logFile } from '../src/home.ts';
import { command, type NodeDeclaration, node, tree } from '../src/index.ts';
import { copyingFile } from '../src/logs/archive.ts';
import type { Leftover, Offer } from '../src/master/host.ts';
import { ProcessHost } from '../src/master/processes.ts';
import { Workers } from '../src/master/workers.ts';
import { resolveSpec } from '../src/spec/check.ts';
import { until } from './support/until.ts';

const [spec] = resolveSpec(tree('t', { children: [command('a', { run: ['true'] })] })).root.children as [ProcessSpec];
const runOf = (incarnation: number, of = spec) => ({
	workerId: `w${incarnation}`,
	path: 'a',
	incarnation,
	generation: 1,
	spec: of,
	stop: of.stop,
});

/** A host in a folder of its own, and all that it says to the angel. */
async function withHost(
	{ tell = () => {}, offer = null }: { tell?: (host: ProcessHost, type: string) => void; offer?: Offer | null },
	body: (host: ProcessHost, said: ToAngel[], dir: string) => Promise<void>,
): Promise<void> {
	const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'choir-host-'));
	const said: ToAngel[] = [];
	const host: ProcessHost = new ProcessHost({
		dir,
		base: dir,
		link: { send: (message) => void said.push(message), flush: (done) => done?.() },
		workers: new Workers(
			() => {},
			() => {},
		),
		slotsAt: () => 1,
		tell: (_, fact) => tell(host, fact.type),
		offer,
		now: () => 0,
		newToken: () => 'secret',
		unrotated: () => {},
	});
	try {
		await body(host, said, dir);
	} finally {
		host.close();
		fs.rmSync(dir, { recursive: true });
	}
}

test('that a death is known is said after the order for what follows from it', async () => {
	const tell = (host: ProcessHost, type: string) => type === 'process.exited' && host.launch(runOf(2));
	await withHost({ tell }, async (host, said) => {
		host.launch(runOf(1));
		await until('the first is ordered', () => said.length === 1);
		host.hear({ do: 'exited', workerId: 'w1', code: 1, signal: null });
		await until('all is said', () => said.length === 3);
		const [, order, heard] = said;
		assert.equal(order?.do === 'spawn' && order.order.workerId, 'w2');
		assert.deepEqual(heard, { do: 'heard', workerId: 'w1' });
	});
});

const nodeSpec = (more: Partial<NodeDeclaration> = {}) => {
	const declared = node('a', { module: './a.mjs', restart: { backoff: 0, okCodes: [0, 3], fatalCodes: [78] }, ...more });
	return resolveSpec(tree('t', { children: [declared] })).root.children[0] as NodeSpec;
};
const begun = (workerId: string): Leftover => ({
	...{ workerId, path: 'a', incarnation: 2, generation: 1, pid: 7, startTicks: 70, token: 'secret', logFrom: 0 },
	...{ stop: spec.stop, ended: null },
});

test('what follows on a crash is ordered in advance, until it is not wanted any more', async () => {
	await withHost({ offer: () => {} }, async (host, said) => {
		const of = nodeSpec();
		host.launch(runOf(1, of));
		await until('the first is ordered', () => said.length === 1);
		host.orderNext(runOf(1, of), runOf(2, of));
		await until('the next is ordered', () => said.length === 2);
		const [first, next] = said;
		assert.ok(first?.do === 'spawn' && next?.do === 'next' && next.order !== null);
		assert.deepEqual([next.after, next.order.workerId, next.order.incarnation, next.except], ['w1', 'w2', 2, [0, 3, 78]]);
		const { CHOIR_WORKER: one, ...before } = first.order.env;
		const { CHOIR_WORKER: other, ...after } = next.order.env;
		assert.deepEqual([one, other, after, next.order.args], ['w1', 'w2', before, first.order.args]);
		host.orderNext(runOf(1, of), null);
		assert.deepEqual(said[2], { do: 'next', after: 'w1', order: null, except: [] });
		// Not wanted while it is being made, and not wanted twice.
		host.orderNext(runOf(1, of), runOf(2, of));
		host.orderNext(runOf(1, of), null);
		host.orderNext(runOf(1, of), null);
		host.orderNext(runOf(1, of), runOf(3, of));
		await until('the other next is ordered', () => said.length === 5);
		const last = said[4];
		assert.equal(last?.do === 'next' && last.order?.workerId, 'w3');
	});
});

test('what is bundled before each start is not ordered in advance', async () => {
	const bundled = nodeSpec({ module: './a.ts' });
	for (const of of [bundled, nodeSpec()])
		await withHost({ offer: () => {} }, async (host, said) => {
			host.orderNext(runOf(1, of), runOf(2, of));
			// One that can be is ordered behind it, if at all.
			host.orderNext(runOf(8, nodeSpec()), runOf(9, nodeSpec()));
			await until('the other is ordered', () => said.some((message) => message.do === 'next' && message.after === 'w8'));
			assert.equal(
				said.some((message) => message.do === 'next' && message.after === 'w1'),
				of !== bundled,
			);
		});
});

test('where the next start has an output file to see to first, it is not ordered in advance, and what was ordered is taken back', async () => {
	await withHost({ offer: () => {} }, async (host, said, dir) => {
		const of = nodeSpec({ logs: { rotateBytes: 1_000 } });
		host.launch(runOf(1, of));
		host.orderNext(runOf(1, of), runOf(2, of));
		await until('both are ordered', () => said.length === 2);
		// It cannot be rotated: where the copy would be written is a folder.
		const file = logFile(dir, 'a');
		fs.mkdirSync(copyingFile(file), { recursive: true });
		fs.writeFileSync(file, 'a line\n'.repeat(1_000));
		await until('it is taken back', () => said.length === 3);
		assert.deepEqual(said[2], { do: 'next', after: 'w1', order: null, except: [] });
		host.orderNext(runOf(1, of), runOf(3, of));
		// One that can be is ordered behind it, if at all.
		host.orderNext({ ...runOf(8, of), path: 'b' }, { ...runOf(9, of), path: 'b' });
		await until('the other is ordered', () => said.length > 3);
		assert.deepEqual(
			said.slice(3).map((message) => message.do === 'next' && message.after),
			['w8'],
		);
	});
});

test('what has begun in advance is offered with the end that it follows on', async () => {
	const heard: string[] = [];
	const offer: Offer = (next, told) => {
		told();
		heard.push(next.workerId);
	};
	await withHost({ offer, tell: (_, type) => void heard.push(type) }, async (host, said) => {
		host.hear({ do: 'exited', workerId: 'w1', code: null, signal: 'SIGSEGV', next: begun('w2') });
		await until('that it is known is said', () => said.length === 1);
		assert.deepEqual([heard, said], [['process.exited', 'w2'], [{ do: 'heard', workerId: 'w1' }]]);
	});
});

test('what has begun and is not what follows may end in order, and is killed if it does not', async () => {
	await withHost({}, async (host, said) => {
		host.dismiss({ ...begun('w2'), stop: { drainMs: 10, terminateMs: 10 } });
		host.dismiss({ ...begun('w3'), stop: { drainMs: Number.MAX_SAFE_INTEGER, terminateMs: 10 } });
		assert.deepEqual(
			said.map((message) => message.do === 'signal' && `${message.signal} ${message.workerId}`),
			['SIGTERM w2', 'SIGTERM w3'],
		);
		await until('one is killed', () => said.length === 3);
		assert.deepEqual(said[2], { do: 'signal', workerId: 'w2', signal: 'SIGKILL' });
	});
});

test('until what has begun and is not what follows has ended, no other of its path is started', async () => {
	await withHost({}, async (host, said) => {
		// It is launched first, as what follows is while the end is told.
		host.launch(runOf(3));
		host.dismiss(begun('w2'));
		host.launch({ ...runOf(4), path: 'b' });
		await until('the other is ordered', () => said.length === 2);
		const ordered = () => said.flatMap((message) => (message.do === 'spawn' ? [message.order.workerId] : []));
		assert.deepEqual(ordered(), ['w4']);
		host.hear({ do: 'exited', workerId: 'w2', code: null, signal: 'SIGTERM' });
		await until('it is ordered', () => ordered().length === 2);
		assert.deepEqual(ordered(), ['w4', 'w3']);
		// Who follows has to be ready in time.
		said.length = 0;
		host.dismiss({ ...begun('w5'), path: 'c', stop: { drainMs: 60_000, terminateMs: 10 } });
		host.launch({ ...runOf(6, nodeSpec({ ready: { signal: true, timeout: '20ms' } })), path: 'c' });
		await until('it is killed', () => said.length === 2);
		assert.deepEqual(said[1], { do: 'signal', workerId: 'w5', signal: 'SIGKILL' });
		// One that is over is nothing to wait for.
		said.length = 0;
		host.dismiss({ ...begun('w7'), ended: { code: 1, signal: null, at: 0 } });
		host.launch(runOf(8));
		await until('what follows is ordered', () => said.length === 2);
		assert.deepEqual(said[0], { do: 'heard', workerId: 'w7' });
		assert.deepEqual(ordered(), ['w8']);
	});
});

test.run();
