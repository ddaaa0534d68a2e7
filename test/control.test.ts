/** The control protocol: lines, requests, and a server that garbage does not impress. */

import assert from 'node:assert/strict';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { test } from 'uvu';
import { connect, request } from '../src/control/client.ts';
import { LineSplitter, MAX_LINE_BYTES } from '../src/control/lines.ts';
import { ControlError, parseRequest } from '../src/control/protocol.ts';
import { type ControlOptions, type ControlServer, serveControl } from '../src/control/server.ts';
import { until, within } from './support/until.ts';

interface Served {
	path: string;
	control: ControlServer;
}

const echo: ControlOptions['answer'] = (asked) => {
	if (asked.do === 'echo') return asked.text;
	if (asked.do === 'fail') throw new Error('it broke');
	throw new ControlError('UNKNOWN', `nobody here does ${asked.do}`);
};

async function serving(options: Partial<ControlOptions>, run: (served: Served) => Promise<void>): Promise<void> {
	const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'choir-control-'));
	const control = serveControl({ answer: echo, ...options });
	const server = net.createServer({ allowHalfOpen: true }, (socket) => control.handle(socket));
	const socket = path.join(dir, 's.sock');
	await new Promise<void>((resolve) => server.listen(socket, resolve));
	try {
		await within('the test', run({ path: socket, control }), 20_000);
	} finally {
		control.close();
		server.close();
		fs.rmSync(dir, { recursive: true });
	}
}

/** Sends bytes as they are, ends if asked to, and collects what comes back until the other side closes. */
function speak(socketPath: string, bytes: Buffer | string, { end = true } = {}): Promise<string> {
	return new Promise((resolve) => {
		const socket = net.connect({ path: socketPath, allowHalfOpen: true });
		let heard = '';
		socket.on('data', (chunk) => {
			heard += chunk;
		});
		socket.on('error', () => {});
		socket.on('end', () => socket.destroy());
		socket.on('close', () => resolve(heard));
		if (end) socket.end(bytes);
		else socket.write(bytes);
	});
}

const codes = (heard: string): string[] =>
	heard
		.split('\n')
		.filter(Boolean)
		.map((line) => JSON.parse(line).error?.code ?? 'ok');

test('lines come whole, however the bytes are cut', () => {
	const bytes = Buffer.from('one\ntwo ü€😀\n\nthree\nrest');
	for (let cut = 1; cut <= bytes.length; cut++) {
		const splitter = new LineSplitter();
		const lines: string[] = [];
		for (let at = 0; at < bytes.length; at += cut) lines.push(...splitter.push(bytes.subarray(at, at + cut)));
		assert.deepEqual(lines, ['one', 'two ü€😀', '', 'three']);
	}
});

test('a line of exactly the bound passes, one byte more does not, and nothing follows it', () => {
	const splitter = new LineSplitter(8);
	assert.deepEqual(splitter.push(Buffer.from('12345678\n')), ['12345678']);
	assert.deepEqual(splitter.push(Buffer.from('1234')), []);
	assert.deepEqual(splitter.push(Buffer.from('56789')), []);
	assert.equal(splitter.tooLong, true);
	assert.deepEqual(splitter.push(Buffer.from('\nok\n')), []);
});

for (const [line, code] of [
	['', 'BAD_JSON'],
	['{', 'BAD_JSON'],
	['7', 'BAD_REQUEST'],
	['null', 'BAD_REQUEST'],
	['[]', 'BAD_REQUEST'],
	['{}', 'BAD_VERSION'],
	['{"v":2,"do":"x"}', 'BAD_VERSION'],
	['{"v":"1","do":"x"}', 'BAD_VERSION'],
	['{"v":1}', 'BAD_REQUEST'],
	['{"v":1,"do":""}', 'BAD_REQUEST'],
	['{"v":1,"do":7}', 'BAD_REQUEST'],
	[`{"v":1,"do":"${'x'.repeat(129)}"}`, 'BAD_REQUEST'],
	['{"v":1,"do":"x","id":{}}', 'BAD_REQUEST'],
	['{"v":1,"do":"x","id":null}', 'BAD_REQUEST'],
	['{"v":1,"do":"x"}', 'ok'],
	['{"v":1,"do":"x","id":"a","more":[1]}', 'ok'],
] as const) {
	test(`${line.slice(0, 40) || 'an empty line'} is ${code}`, () => {
		const parsed = parseRequest(line);
		assert.equal(parsed.ok ? 'ok' : parsed.code, code);
	});
}

test('a request is answered with its id, a failure with its code, a notice not at all', async () => {
	await serving({}, async (served) => {
		const heard = await speak(
			served.path,
			'{"v":1,"id":"a","do":"echo","text":"hi"}\n{"v":1,"do":"echo"}\n{"v":1,"id":2,"do":"fail"}\n{"v":1,"id":3,"do":"dance"}\n',
		);
		assert.deepEqual(
			heard
				.trim()
				.split('\n')
				.map((line) => JSON.parse(line)),
			[
				{ v: 1, id: 'a', ok: true, result: 'hi' },
				{ v: 1, id: 2, ok: false, error: { code: 'FAILED', message: 'it broke' } },
				{ v: 1, id: 3, ok: false, error: { code: 'UNKNOWN', message: 'nobody here does dance' } },
			],
		);
	});
});

test('10 000 random requests, half-open connections and resets leave the server answering', async () => {
	let seed = 1;
	const random = (n: number): number => {
		seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31;
		return seed % n;
	};
	const garbage = (): string => {
		const kinds = [
			() => Buffer.from(Array.from({ length: random(80) }, () => random(256)).filter((byte) => byte !== 10)).toString('latin1'),
			() => '{"v":1,"id":' + random(9) + ',"do":"' + ['echo', 'fail', 'x', ''][random(4)] + '","text":"t"}',
			() => JSON.stringify({ v: random(3), id: [1, 'x', null, {}][random(4)], do: ['stop', 7, '__proto__', 'constructor'][random(4)] }),
			() => '['.repeat(random(5_000)),
			() => '{"__proto__":{"v":1,"do":"echo"}}',
		];
		return kinds[random(kinds.length)]!() + '\n';
	};
	const asked: string[] = [];
	await serving(
		{
			answer(one, connection) {
				asked.push(one.do);
				return echo(one, connection);
			},
		},
		async (served) => {
			const open: net.Socket[] = [];
			for (let round = 0; round < 100; round++) {
				const halfOpen = net.connect(served.path);
				halfOpen.on('error', () => {});
				halfOpen.write('{"v":1,"id":1,"do":"ec');
				open.push(halfOpen);
				await speak(served.path, Array.from({ length: 100 }, garbage).join(''));
				if (round % 10 === 0) open.pop()!.destroy();
			}
			assert.equal(await request(served.path, 'echo', { text: 'still here' }), 'still here');
			assert.ok(asked.every((name) => ['echo', 'fail', 'x', 'stop', '__proto__', 'constructor'].includes(name)));
			for (const socket of open) socket.destroy();
		},
	);
});

test('a line of 10 MB is refused once and its connection closed, without growing', async () => {
	await serving({}, async (served) => {
		const before = process.memoryUsage().arrayBuffers;
		const heard = await speak(served.path, Buffer.alloc(10 * 1024 * 1024, 'x'), { end: false });
		assert.deepEqual(codes(heard), ['TOO_LONG']);
		assert.ok(process.memoryUsage().arrayBuffers - before < 32 * 1024 * 1024);
		assert.equal(await request(served.path, 'echo', { text: 'ok' }), 'ok');
	});
});

test('a line of the bound is still taken', async () => {
	await serving({}, async (served) => {
		const frame = JSON.stringify({ v: 1, id: 1, do: 'echo', text: '' });
		const text = 'x'.repeat(MAX_LINE_BYTES - frame.length);
		assert.equal(JSON.parse(await speak(served.path, JSON.stringify({ v: 1, id: 1, do: 'echo', text }) + '\n')).result, text);
	});
});

test('a connection that never says a valid line is closed after the idle limit', async () => {
	await serving({ idleMs: 50 }, async (served) => {
		assert.deepEqual(codes(await speak(served.path, 'nonsense\n', { end: false })), ['BAD_JSON']);
		const client = await connect(served.path);
		assert.equal(await client.request('echo', { text: 'valid' }), 'valid');
		await speak(served.path, '', { end: false });
		assert.equal(await client.request('echo', { text: 'and stays' }), 'and stays');
		client.close();
	});
});

test('one connection has at most so many requests in work, and all are answered in the end', async () => {
	let inWork = 0;
	let most = 0;
	await serving(
		{
			maxPending: 4,
			async answer(asked) {
				inWork += 1;
				most = Math.max(most, inWork);
				await new Promise((resolve) => setImmediate(resolve));
				inWork -= 1;
				return asked.n;
			},
		},
		async (served) => {
			const lines = Array.from({ length: 500 }, (_, n) => JSON.stringify({ v: 1, id: n, do: 'count', n }) + '\n').join('');
			const heard = await speak(served.path, lines);
			assert.deepEqual(
				heard
					.trim()
					.split('\n')
					.map((line) => JSON.parse(line).result),
				Array.from({ length: 500 }, (_, n) => n),
			);
			assert.equal(most, 4);
		},
	);
});

test('a reader who does not read is cut off', async () => {
	const text = 'x'.repeat(64 * 1024);
	await serving({ maxWriteBytes: 256 * 1024, answer: () => text }, async (served) => {
		const socket = net.connect(served.path);
		socket.on('error', () => {});
		await until('it is connected', () => served.control.connections === 1);
		socket.pause();
		const closed = new Promise((resolve) => socket.once('close', resolve));
		const cut = setInterval(() => socket.write('{"v":1,"id":1,"do":"more"}\n'.repeat(10)), 1);
		await until('it is cut off', () => served.control.connections === 0).finally(() => clearInterval(cut));
		socket.resume();
		await closed;
	});
});

test('more connections than allowed are told so', async () => {
	await serving({ maxConnections: 1 }, async (served) => {
		const first = await connect(served.path);
		await first.request('echo', { text: 1 });
		assert.deepEqual(codes(await speak(served.path, '', { end: false })), ['FAILED']);
		assert.equal(await first.request('echo', { text: 2 }), 2);
		first.close();
	});
});

test('the server may speak unasked, and the owner hears of the end', async () => {
	let ended = 0;
	await serving(
		{
			answer(_, connection) {
				connection.context.set('worker', 'w1');
				connection.onClose(() => {
					ended += connection.context.get('worker') === 'w1' ? 1 : 0;
				});
				connection.send({ do: 'drain' });
				return true;
			},
		},
		async (served) => {
			const client = await connect(served.path);
			const message = new Promise((resolve) => client.onMessage(resolve));
			await client.request('hello');
			assert.deepEqual(await message, { v: 1, do: 'drain' });
			client.close();
			await until('the owner hears of it', () => ended > 0);
			assert.equal(ended, 1);
		},
	);
});

test('the client says who is not there, who does not answer and who hangs up', async () => {
	await assert.rejects(request('/nowhere/at-all.sock', 'status'), { code: 'NOT_RUNNING', message: 'no tree is running here' });
	await serving({ answer: () => new Promise(() => {}) }, async (served) => {
		await assert.rejects(request(served.path, 'status', {}, { timeoutMs: 50 }), {
			code: 'NO_ANSWER',
			message: 'status: the tree did not answer within 50 ms',
		});
		const client = await connect(served.path);
		const refused = assert.rejects(client.request('status'), { code: 'NO_ANSWER' });
		served.control.close();
		await refused;
	});
});

test.run();
