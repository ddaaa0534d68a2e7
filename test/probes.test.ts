/** Probes, against real servers and programs: each answers in time, says why not, and leaves nothing open. */
import { randomUUID } from 'node:crypto';
import http from 'node:http';
import net from 'node:net';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { ProbeSpec } from '../machines/spec.ts';
import { type ProbeResult, probe } from '../src/hosts/probes.ts';
import { findMarked } from '../src/hosts/proc.ts';
import { freePort } from './support/port.ts';
import { until } from './support/until.ts';

/** For a probe that will answer. */
const AMPLE_MS = 5_000;
/** For one that will not. */
const SHORT_MS = 150;

const mark = randomUUID();
const around = { env: { PATH: process.env.PATH ?? '', CHOIR_TEST: mark, GREETING: 'hello' }, cwd: '/' };
const look = (spec: ProbeSpec, ms = AMPLE_MS, signal?: AbortSignal): Promise<ProbeResult> =>
	probe(spec, ms, signal === undefined ? around : { ...around, signal });

/** What keeps this process alive: nothing of a probe may be among it. */
const open = () => process.getActiveResourcesInfo().filter((kind) => /Timeout|TCP|Process|TLS/.test(kind)).length;

/** A server for one test; afterwards all it accepted has to be closed by the other side. */
async function serving<S extends net.Server>(server: S, body: (port: number) => Promise<void>): Promise<void> {
	const accepted = new Set<net.Socket>();
	server.on('connection', (socket: net.Socket) => {
		accepted.add(socket);
		socket.on('error', () => {});
		socket.once('close', () => accepted.delete(socket));
	});
	await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
	try {
		await body((server.address() as net.AddressInfo).port);
		await until('the probe has closed its connection', () => accepted.size === 0);
	} finally {
		for (const socket of accepted) socket.destroy();
		await new Promise((resolve) => server.close(resolve));
	}
}

const why = (result: ProbeResult): string => (result.ok ? 'it is ok' : result.why);

test('tcp: somebody accepts', () =>
	serving(net.createServer(), async (port) => {
		assert.equal(await look({ kind: 'tcp', host: '127.0.0.1', port }), { ok: true });
		assert.equal(await look({ kind: 'tcp', host: 'localhost', port }), { ok: true });
	}));

test('tcp: nobody listens', async () => {
	const port = await freePort();
	assert.match(why(await look({ kind: 'tcp', host: '127.0.0.1', port })), new RegExp(`^tcp 127.0.0.1:${port}: .*ECONNREFUSED`));
	assert.match(why(await look({ kind: 'tcp', host: 'localhost', port })), /^tcp localhost:\d+: .*ECONNREFUSED/);
});

const answers: Array<[answered: number, wanted: number | null, ok: boolean]> = [
	[200, null, true],
	[204, null, true],
	[302, null, true],
	[399, null, true],
	[400, null, false],
	[503, null, false],
	[503, 503, true],
	[200, 204, false],
];
for (const [answered, wanted, ok] of answers)
	test(`http: ${answered} where ${wanted ?? 'any 2xx or 3xx'} is wanted is ${ok ? 'ok' : 'not'}`, () =>
		serving(
			http.createServer((_, response) => response.writeHead(answered, { location: '/' }).end('text')),
			async (port) => {
				const url = `http://127.0.0.1:${port}/health`;
				const result = await look({ kind: 'http', url, status: wanted });
				assert.equal(result, ok ? { ok } : { ok, why: `${url} answered ${answered}` });
			},
		));

test('http: asks for the path, keeps no connection, and does not wait for a body without end', async () => {
	let asked = '';
	await serving(
		http.createServer((request, response) => {
			asked = `${request.method} ${request.url} ${request.headers.connection}`;
			const more = () => {
				while (!response.destroyed && response.write('x'.repeat(65_536)));
				if (!response.destroyed) response.once('drain', more);
			};
			more();
		}),
		async (port) => {
			assert.equal(await look({ kind: 'http', url: `http://127.0.0.1:${port}/health?deep=1`, status: null }), { ok: true });
		},
	);
	assert.is(asked, 'GET /health?deep=1 close');
});

test('http: one that accepts and does not answer is late', () =>
	serving(
		http.createServer(() => {}),
		async (port) => {
			const url = `http://127.0.0.1:${port}/`;
			assert.equal(await look({ kind: 'http', url, status: null }, SHORT_MS), {
				ok: false,
				why: `${url} did not answer within ${SHORT_MS} ms`,
			});
		},
	));

test('http: one that speaks something else, or hangs up, is not ok', async () => {
	for (const greet of [(socket: net.Socket) => socket.resume().end('nonsense\r\n\r\n'), (socket: net.Socket) => socket.destroy()])
		await serving(net.createServer(greet), async (port) => {
			assert.match(why(await look({ kind: 'http', url: `http://127.0.0.1:${port}/`, status: null })), /^http:\/\/127\.0\.0\.1:\d+\/: ./);
		});
});

const programs: Array<[promise: string, run: string[], expected: ProbeResult | RegExp]> = [
	['code 0 is ok', ['true'], { ok: true }],
	['another code is not', ['sh', '-c', 'exit 3'], { ok: false, why: "'sh -c exit 3' ended with code 3" }],
	['an end by signal is not', ['sh', '-c', 'kill -9 $$'], { ok: false, why: "'sh -c kill -9 $$' ended by SIGKILL" }],
	['a program that does not exist is not', ['no-such-program'], /^'no-such-program': .*ENOENT/],
	['what it prints goes nowhere, however much', ['sh', '-c', 'head -c 1000000 /dev/zero'], { ok: true }],
	['it has the environment and folder of its child', ['sh', '-c', 'test "$GREETING" = hello && test "$PWD" = /'], { ok: true }],
];
for (const [promise, run, expected] of programs)
	test(`exec: ${promise}`, async () => {
		const result = await look({ kind: 'exec', run });
		if (expected instanceof RegExp) assert.match(why(result), expected);
		else assert.equal(result, expected);
	});

test('exec: one that is late is killed with all that it started', async () => {
	const run = ['sh', '-c', 'sleep 100 & trap "" TERM; sleep 100; sleep 100'];
	assert.match(why(await look({ kind: 'exec', run }, SHORT_MS)), `did not answer within ${SHORT_MS} ms`);
	await until('all of it is gone', () => findMarked('CHOIR_TEST', mark).length === 0);
});

test('exec: what it leaves in the background is killed too', async () => {
	assert.equal(await look({ kind: 'exec', run: ['sh', '-c', 'sleep 100 &'] }), { ok: true });
	await until('it is gone', () => findMarked('CHOIR_TEST', mark).length === 0);
});

test('what cannot even be tried is an answer as well', async () => {
	assert.is(why(await look({ kind: 'http', url: 'nonsense', status: null })), 'nonsense: Invalid URL');
	assert.match(why(await look({ kind: 'tcp', host: '127.0.0.1', port: 70_000 })), /^tcp 127\.0\.0\.1:70000: Port should be/);
	assert.match(why(await look({ kind: 'exec', run: ['\0'] })), /null bytes/);
	assert.match(why(await probe({ kind: 'exec', run: ['true'] }, AMPLE_MS, { ...around, cwd: '/no/such/folder' })), /ENOENT/);
});

test('one that is no longer wanted ends at once, whatever it waits for', () =>
	serving(
		http.createServer(() => {}),
		async (port) => {
			const specs: ProbeSpec[] = [
				{ kind: 'http', url: `http://127.0.0.1:${port}/`, status: null },
				{ kind: 'exec', run: ['sleep', '100'] },
			];
			for (const spec of specs) {
				const wanted = new AbortController();
				const result = look(spec, AMPLE_MS, wanted.signal);
				wanted.abort();
				assert.equal(await result, { ok: false, why: 'no longer wanted' });
				assert.equal(await look(spec, AMPLE_MS, wanted.signal), { ok: false, why: 'no longer wanted' });
			}
			await until('the program is gone', () => findMarked('CHOIR_TEST', mark).length === 0);
		},
	));

test('a hundred probes of each kind leave no timer, socket or process', () =>
	serving(
		http.createServer((_, response) => response.end('ok')),
		async (port) => {
			const before = open();
			const closed = await freePort();
			for (let round = 0; round < 10; round += 1)
				await Promise.all(
					Array.from({ length: 10 }, () => [
						look({ kind: 'http', url: `http://127.0.0.1:${port}/`, status: null }),
						look({ kind: 'tcp', host: '127.0.0.1', port }),
						look({ kind: 'tcp', host: '127.0.0.1', port: closed }),
					]).flat(),
				);
			await Promise.all(Array.from({ length: 10 }, () => look({ kind: 'exec', run: ['true'] })));
			await until('as few things are open as before', () => open() <= before);
		},
	));

test.run();
