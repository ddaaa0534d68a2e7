/** The worker's side, as real processes: the preload and `choir/worker`, before a control server and a holder of sockets made here. */
import { type ChildProcess, spawn } from 'node:child_process';
import fs from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { buildSync } from 'esbuild';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { until, within } from './support/until.ts';

interface Word {
	v: number;
	do: string;
	[param: string]: unknown;
}

interface Ended {
	code: number | null;
	signal: NodeJS.Signals | null;
}

interface Options {
	heartbeatMs?: number;
	ready?: 'signal' | '';
	/** A held socket each, beginning with descriptor 3; the address as a program would name it. */
	listen?: Array<{ name: string; fd: number; port?: number; socketPath?: string }>;
	env?: Record<string, string>;
	/** The file is CommonJS. */
	commonjs?: boolean;
	/** Without choir around it. */
	alone?: boolean;
}

const TEST_MS = 30_000;

/** Workers of a test file that ends early go with it. */
const started = new Set<ChildProcess>();
process.once('exit', () => {
	for (const child of started) child.kill('SIGKILL');
});

/** The place of one test: the library as it is built, a master that notes what it hears, and the workers. */
class Place {
	readonly dir = fs.mkdtempSync(path.join(os.tmpdir(), 'cw-'));
	readonly control = path.join(this.dir, 'c.sock');
	readonly heard: Word[] = [];
	readonly #preload = path.join(this.dir, 'preload.cjs');
	readonly #waiting = new Set<() => void>();
	readonly #handles: Array<{ close(): void }> = [];
	readonly children: ChildProcess[] = [];
	#master: net.Server | null = null;
	#sockets = new Set<net.Socket>();
	stderr = '';

	constructor() {
		const src = path.join(import.meta.dirname, '../src/worker');
		const common = { bundle: true, platform: 'node', format: 'esm', target: 'node20' } as const;
		buildSync({ ...common, entryPoints: [path.join(src, 'preload.ts')], outfile: this.#preload, format: 'cjs' });
		buildSync({ ...common, entryPoints: [path.join(src, 'index.ts')], outfile: path.join(this.dir, 'library.mjs') });
	}

	/** A master takes the control socket. */
	rule(speak: (socket: net.Socket) => void = () => {}): Promise<void> {
		fs.rmSync(this.control, { force: true });
		const master = net.createServer((socket) => {
			this.#sockets.add(socket);
			socket.on('error', () => {});
			let held = '';
			socket.setEncoding('utf8').on('data', (text: string) => {
				const lines = (held + text).split('\n');
				held = lines.pop() as string;
				for (const line of lines) this.heard.push(JSON.parse(line));
				this.#look();
			});
			socket.once('close', () => this.#sockets.delete(socket));
			speak(socket);
			this.#look();
		});
		this.#master = master;
		return new Promise((resolve) => master.listen(this.control, resolve));
	}

	/** The master is gone, with its connections. */
	abdicate(): void {
		this.#master?.close();
		for (const socket of this.#sockets) socket.destroy();
	}

	say(word: object): void {
		for (const socket of this.#sockets) socket.write(JSON.stringify({ v: 1, ...word }) + '\n');
	}

	drain(): void {
		this.say({ do: 'drain' });
	}

	count(word: string): number {
		return this.heard.filter((each) => each.do === word).length;
	}

	#look(): void {
		for (const look of this.#waiting) look();
	}

	/** Until a condition holds; looked at whenever somebody comes, or something is heard or printed. */
	until(what: string, holds: () => boolean): Promise<void> {
		let look = () => {};
		const promise = new Promise<void>((resolve) => {
			look = () => holds() && resolve();
			this.#waiting.add(look);
			look();
		});
		return within(what, promise, undefined, () => this.describe()).finally(() => this.#waiting.delete(look));
	}

	/** What there is to know when a wait has failed. */
	describe(): string {
		return `heard: ${JSON.stringify(this.heard.slice(-20))}; stderr: ${this.stderr}`;
	}

	hears(word: string, times = 1): Promise<void> {
		return this.until(`the word '${word}'`, () => this.count(word) >= times);
	}

	/** A bound socket, as an angel holds it: nobody listens yet. */
	hold(): { fd: number; port: number } {
		const create = (net as unknown as { _createServerHandle(host: string, port: number, family: number): unknown })._createServerHandle;
		const handle = create('127.0.0.1', 0, 4) as { fd: number; close(): void; getsockname(out: object): void };
		const name = { port: 0 };
		handle.getsockname(name);
		this.#handles.push(handle);
		return { fd: handle.fd, port: name.port };
	}

	/** Starts a worker with this text as its module. `print` goes to `printed`. */
	start(text: string, { heartbeatMs = 0, ready = '', listen = [], env = {}, commonjs = false, alone = false }: Options = {}): Worker {
		const file = path.join(this.dir, `worker-${this.children.length}.${commonjs ? 'cjs' : 'mjs'}`);
		fs.writeFileSync(file, text);
		const declared = listen.map(({ name, port = null, socketPath = null }, index) => ({
			name,
			host: null,
			port,
			socketPath,
			fd: 3 + index,
		}));
		const own = {
			CHOIR_WORKER: 'id-1',
			CHOIR_PATH: 'web.1',
			CHOIR_CONTROL: this.control,
			CHOIR_TOKEN: 'secret',
			CHOIR_HEARTBEAT_MS: String(heartbeatMs),
			CHOIR_READY: ready,
			CHOIR_LISTEN: JSON.stringify(declared),
		};
		const child = spawn(process.execPath, [...(alone ? [] : ['--require', this.#preload]), file], {
			env: { PATH: process.env.PATH, ...(alone ? {} : own), ...env },
			stdio: ['ignore', 'pipe', 'pipe', ...listen.map(({ fd }) => fd)],
		});
		this.children.push(child);
		started.add(child);
		child.once('exit', () => started.delete(child));
		const worker = new Worker(this, child);
		child.stdout?.setEncoding('utf8').on('data', (chunk: string) => {
			worker.printed += chunk;
			this.#look();
		});
		child.stderr?.setEncoding('utf8').on('data', (chunk: string) => {
			this.stderr += chunk;
			this.#look();
		});
		return worker;
	}

	close(): void {
		for (const child of this.children) child.kill('SIGKILL');
		this.abdicate();
		for (const handle of this.#handles) handle.close();
		fs.rmSync(this.dir, { recursive: true, force: true });
	}
}

class Worker {
	printed = '';
	readonly child: ChildProcess;
	readonly #place: Place;
	readonly #ended: Promise<Ended>;

	constructor(place: Place, child: ChildProcess) {
		this.#place = place;
		this.child = child;
		this.#ended = new Promise((resolve) => child.once('close', (code, signal) => resolve({ code, signal })));
	}

	prints(text: string): Promise<void> {
		return this.#place.until(`it prints '${text}'`, () => this.printed.includes(text));
	}

	ended(): Promise<Ended> {
		return within('it ends', this.#ended, undefined, () => `printed: ${this.printed}; ${this.#place.describe()}`);
	}
}

async function inPlace(body: (place: Place) => Promise<void>): Promise<void> {
	const place = new Place();
	try {
		await place.rule();
		await within('the test', body(place), TEST_MS, () => place.describe());
	} finally {
		place.close();
	}
}

/** Asks once; the agent says whether the connection is kept. */
function ask(
	port: number,
	{ agent = false, at = '/', tls = false }: { agent?: http.Agent | false; at?: string; tls?: boolean } = {},
): Promise<{ text: string; connection: string }> {
	const answer = new Promise<{ text: string; connection: string }>((resolve, reject) => {
		(tls ? https : http)
			.get({ host: '127.0.0.1', port, path: at, agent }, (response) => {
				let text = '';
				response.setEncoding('utf8').on('data', (chunk: string) => {
					text += chunk;
				});
				response.on('end', () => resolve({ text, connection: response.headers.connection ?? '' }));
				response.on('error', reject);
			})
			.on('error', reject);
	});
	// A test that fails before it waits for this has failed already.
	answer.catch(() => {});
	return answer;
}

/** A connection that says nothing by itself. */
function connect(port: number): Promise<net.Socket & { ended: Promise<void> }> {
	return new Promise((resolve, reject) => {
		const socket = net.connect(port, '127.0.0.1', () => resolve(Object.assign(socket, { ended })));
		const ended = new Promise<void>((done) => socket.once('close', () => done()));
		socket.on('error', reject);
		socket.resume();
	});
}

const idle = "console.log('up'); setInterval(() => {}, 1000);";
/** Lives until it gets SIGUSR2; then it comes to its end by itself. */
const mortal = "const alive = setInterval(() => {}, 1000); process.once('SIGUSR2', () => clearInterval(alive)); console.log('up');";
const ok: Ended = { code: 0, signal: null };

test('says hello with its identity and token, then beats, and tells of its memory', () =>
	inPlace(async (place) => {
		const { child } = place.start(idle, { heartbeatMs: 20 });
		await place.hears('beat', 11);
		assert.equal(place.heard[0], { v: 1, id: 'hello', do: 'hello', worker: 'id-1', token: 'secret', pid: child.pid });
		await place.hears('rss');
		assert.ok((place.heard.find((word) => word.do === 'rss')?.maxRssBytes as number) > 10_000_000);
	}));

test('does not beat if it was not asked to', () =>
	inPlace(async (place) => {
		// Without an interval that was asked for there would be a beat in each turn of its loop: here are twenty.
		const worker = place.start(
			`process.once('SIGUSR2', () => { let turns = 0; setInterval(() => ++turns === 20 && process.exit(), 1); }); ${idle}`,
		);
		await worker.prints('up');
		await place.hears('hello');
		worker.child.kill('SIGUSR2');
		await worker.ended();
		assert.is(place.count('beat'), 0);
		assert.is(place.count('hello'), 1);
	}));

test('neither channel nor beats keep a program alive; its last word is its peak of memory', () =>
	inPlace(async (place) => {
		const worker = place.start(mortal, { heartbeatMs: 30 });
		await worker.prints('up');
		await place.hears('beat');
		worker.child.kill('SIGUSR2');
		assert.equal(await worker.ended(), ok);
		assert.is(place.heard.at(-1)?.do, 'rss');
	}));

test('a blocked loop does not beat', () =>
	inPlace(async (place) => {
		const worker = place.start(
			`process.on('SIGUSR2', () => { console.log('blocked'); const end = Date.now() + 600; while (Date.now() < end); console.log('free'); });
			setInterval(() => {}, 1000);`,
			{ heartbeatMs: 20 },
		);
		await place.hears('beat', 2);
		worker.child.kill('SIGUSR2');
		await worker.prints('blocked');
		const before = place.count('beat');
		await worker.prints('free');
		assert.ok(place.count('beat') - before <= 3, `${place.count('beat') - before} beats in 600 ms of a blocked loop`);
		await place.hears('beat', place.count('beat') + 3);
	}));

test('finds the next master, says hello again and what stands: ready and status', () =>
	inPlace(async (place) => {
		place.start(`import { ready, status } from './library.mjs'; ready(); status('busy'); ${idle}`, { heartbeatMs: 20, ready: 'signal' });
		await place.hears('ready');
		for (const time of [1, 2, 3]) {
			place.abdicate();
			place.heard.length = 0;
			await place.rule();
			await place.hears('beat');
			assert.equal(
				place.heard.slice(0, 3).map((word) => word.do),
				['hello', 'ready', 'status'],
				`master ${time}`,
			);
		}
	}));

test('a master that cuts it off at once is tried again ever more slowly, never in a loop', () =>
	inPlace(async (place) => {
		place.abdicate();
		const tries: number[] = [];
		await place.rule((socket) => {
			tries.push(performance.now());
			socket.destroy();
		});
		place.start(idle);
		await place.until('five tries', () => tries.length >= 5);
		const since = (n: number) => (tries.at(-1) as number) - (tries[n] as number);
		// 50, 100, 200 and 400 ms between them; a connection is seen here some moments after it was made.
		assert.ok(since(0) > 600 && since(3) > 300, `${tries.map((_, n) => Math.round(since(n)))} ms before the last`);
	}));

test('what a master says that is no word of the protocol changes nothing', () =>
	inPlace(async (place) => {
		place.abdicate();
		const garbage = ['null', '1', '"drain"', '[]', '{}', '{"do":1}', '{"v":1,"id":null,"ok":false}', '{', ''].join('\n');
		await place.rule((socket) => socket.write(`${garbage}\n`));
		const worker = place.start(idle, { heartbeatMs: 20 });
		await place.hears('beat', 5);
		assert.is(worker.child.exitCode, null);
		assert.is(place.count('hello'), 1);
	}));

test('a master that refuses its hello but keeps the connection is asked again, until it accepts', () =>
	inPlace(async (place) => {
		place.abdicate();
		let refusals = 0;
		await place.rule((socket) =>
			socket.once('data', () => {
				const { id } = place.heard.findLast((word) => word.do === 'hello') as Word;
				const refused = refusals < 3;
				if (refused) refusals += 1;
				socket.write(`${JSON.stringify(refused ? { v: 1, id, ok: false, error: {} } : { v: 1, id, ok: true, result: null })}\n`);
			}),
		);
		place.start(`import { ready } from './library.mjs'; ready(); ${idle}`, { heartbeatMs: 20, ready: 'signal' });
		await place.hears('hello', 4);
		const accepted = place.heard.findLastIndex((word) => word.do === 'hello');
		await place.until('it is ready and beats where it was accepted', () =>
			['ready', 'beat'].every((word) => place.heard.slice(accepted).some((each) => each.do === word)),
		);
		await place.hears('beat', place.count('beat') + 5);
		assert.is(place.count('hello'), 4);
	}));

test('a line without end from the master is not kept', () =>
	inPlace(async (place) => {
		place.abdicate();
		let flooded = false;
		await place.rule((socket) => {
			if (flooded) return;
			flooded = true;
			// Behind its hello: what is unread is lost with a connection that the other side ends.
			socket.once('data', () => socket.write('x'.repeat(1024 * 1024)));
		});
		place.start(idle, { heartbeatMs: 20 });
		await place.hears('hello', 2);
		await place.hears('beat', 3);
	}));

test('a long status is cut', () =>
	inPlace(async (place) => {
		place.start(`import { status } from './library.mjs'; status('x'.repeat(1e6)); ${idle}`);
		await place.hears('status');
		assert.is(String(place.heard.find((word) => word.do === 'status')?.text).length, 200);
	}));

test('what could not be said to a master that did not read is said when it reads again', () =>
	inPlace(async (place) => {
		place.abdicate();
		let paused: net.Socket | null = null;
		await place.rule((socket) => {
			paused = socket;
			socket.pause();
		});
		const worker = place.start(
			`import { ready, status } from './library.mjs';
			process.once('SIGUSR2', () => { for (let i = 0; i < 50_000; i += 1) status('n' + i); ready(); status('last'); console.log('said'); }); ${idle}`,
			{ ready: 'signal' },
		);
		await worker.prints('up');
		await place.until('a connection', () => paused !== null);
		worker.child.kill('SIGUSR2');
		await worker.prints('said');
		(paused as unknown as net.Socket).resume();
		await place.until('both words', () => place.count('ready') > 0 && place.heard.some(({ text }) => text === 'last'));
		assert.ok(place.heard.length < 50_000, 'everything was kept');
	}));

test('an unmodified server gets the held socket of its port and says ready when it listens', () =>
	inPlace(async (place) => {
		const { fd, port } = place.hold();
		const forms: Array<[string, boolean?]> = [
			[`import http from 'node:http'; http.createServer((q, r) => r.end('a')).listen(${port});`],
			[
				`import http from 'node:http'; http.createServer((q, r) => r.end('a')).listen('${port}', '127.0.0.1', () => console.log('called'));`,
			],
			[`import http from 'node:http'; http.createServer((q, r) => r.end('a')).listen({ port: ${port}, host: '0.0.0.0', backlog: 100 });`],
			[
				`const http = require('http'); http.createServer((q, r) => r.end('a')).listen(${port}, '127.0.0.1', 100, () => console.log('called'));`,
				true,
			],
		];
		for (const [text, commonjs = false] of forms) {
			place.heard.length = 0;
			const worker = place.start(text, { ready: 'signal', listen: [{ name: 'http', fd, port }], commonjs });
			await place.hears('ready');
			if (text.includes('called')) await worker.prints('called');
			assert.is((await ask(port)).text, 'a', text);
			place.drain();
			assert.equal(await worker.ended(), ok);
			assert.is(place.count('drain.acknowledged'), 1);
		}
	}));

test('a declared unix socket is handed over as well', () =>
	inPlace(async (place) => {
		const socketPath = path.join(place.dir, 'held.sock');
		const create = (net as unknown as { _createServerHandle(at: string, port: number, type: number): { fd: number; close(): void } })
			._createServerHandle;
		const handle = create(socketPath, -1, -1);
		try {
			place.start(`import net from 'node:net'; net.createServer((s) => s.end('hi')).listen('${socketPath}');`, {
				ready: 'signal',
				listen: [{ name: 'local', fd: handle.fd, socketPath }],
			});
			await place.hears('ready');
			const text = await new Promise((resolve, reject) =>
				net.connect(socketPath).setEncoding('utf8').once('data', resolve).once('error', reject),
			);
			assert.is(text, 'hi');
		} finally {
			handle.close();
		}
	}));

test('what is not declared is listened on as ever, and makes nobody ready who has declared something', () =>
	inPlace(async (place) => {
		const { fd, port } = place.hold();
		const worker = place.start(
			`import net from 'node:net';
			process.once('SIGUSR2', () => net.createServer().listen(${port}));
			const first = net.createServer().listen(0, () => console.log('own port', first.address().port !== ${port}));`,
			{ ready: 'signal', heartbeatMs: 10, listen: [{ name: 'http', fd, port }] },
		);
		await worker.prints('own port true');
		// What it says comes in order: had it been ready, it would have said so before these.
		await place.hears('beat', place.count('beat') + 3);
		assert.is(place.count('ready'), 0);
		worker.child.kill('SIGUSR2');
		await place.hears('ready');
	}));

test('who declares no socket is ready when any server listens', () =>
	inPlace(async (place) => {
		place.start("import net from 'node:net'; net.createServer().listen(0);", { ready: 'signal' });
		await place.hears('ready');
	}));

test('a server that is closed and listens again finds its port taken, not the descriptor of another file', () =>
	inPlace(async (place) => {
		const { fd, port } = place.hold();
		const worker = place.start(
			`import net from 'node:net';
			const first = net.createServer().listen(${port}, '127.0.0.1', () => first.close(() => {
				net.createServer().on('error', (error) => console.log(error.code)).listen(${port}, '127.0.0.1');
			}));`,
			{ listen: [{ name: 'http', fd, port }] },
		);
		await worker.prints('EADDRINUSE');
	}));

test('with the library, listening is not being ready: only ready() is', () =>
	inPlace(async (place) => {
		const { fd, port } = place.hold();
		const worker = place.start(
			`import net from 'node:net'; import { listener, ready, worker } from './library.mjs';
			net.createServer((s) => s.end('hi')).listen(listener('http'), () => { console.log('listens', worker.path, worker.id); process.once('SIGUSR2', ready); });`,
			{ ready: 'signal', heartbeatMs: 10, listen: [{ name: 'http', fd, port }] },
		);
		await worker.prints('listens web.1 id-1');
		await place.hears('beat', place.count('beat') + 3);
		assert.is(place.count('ready'), 0);
		worker.child.kill('SIGUSR2');
		await place.hears('ready');
	}));

test('a name that is not declared is refused, with those that are', () =>
	inPlace(async (place) => {
		const { fd, port } = place.hold();
		const worker = place.start("import { listener } from './library.mjs'; listener('https');", { listen: [{ name: 'http', fd, port }] });
		assert.is((await worker.ended()).code, 1);
		assert.match(place.stderr, "listener('https'): expected a name in this child's 'listen' ('http')");
	}));

test('outside choir the library does nothing, and listener gives its fallback, or PORT', () =>
	inPlace(async (place) => {
		const worker = place.start(
			`import { listener, onDrain, ready, status, worker } from './library.mjs';
			ready(); status('x'); onDrain(() => console.log('never'));
			const forms = [listener('a', 80), listener('a', '80'), listener('a', '127.0.0.1:80'), listener('a', '[::1]:80'), listener('a', '/s'), listener('a', 'unix:/s')];
			console.log(JSON.stringify([worker, ...forms]));
			try { listener('web'); } catch (error) { console.log(error.message); }
			process.env.PORT = '3000'; console.log(JSON.stringify(listener('web')));`,
			{ alone: true },
		);
		assert.equal(await worker.ended(), ok);
		const [forms, complaint, port] = worker.printed.split('\n') as [string, string, string];
		assert.equal(JSON.parse(forms), [
			null,
			{ port: 80 },
			{ port: 80 },
			{ port: 80, host: '127.0.0.1' },
			{ port: 80, host: '::1' },
			{ path: '/s' },
			{ path: '/s' },
		]);
		assert.is(complaint, "listener('web'): outside choir it needs a fallback, such as listener('web', 8080), or PORT in the environment");
		assert.equal(JSON.parse(port), { port: 3000 });
		assert.is(place.heard.length, 0);
	}));

test('the preload without choir around it changes nothing', () =>
	inPlace(async (place) => {
		const worker = place.start("console.log(process.listenerCount('SIGTERM')); setInterval(() => {}, 1000);", {
			env: { CHOIR_TOKEN: undefined as unknown as string, CHOIR_WORKER: undefined as unknown as string },
		});
		await worker.prints('0');
		worker.child.kill('SIGTERM');
		assert.equal(await worker.ended(), { code: null, signal: 'SIGTERM' });
		assert.is(place.heard.length, 0);
	}));

test('what a worker starts does not speak in its name, though it keeps its mark', () =>
	inPlace(async (place) => {
		const worker = place.start(
			`import { fork } from 'node:child_process';
			if (process.argv[2] === 'child') console.log(process.env.CHOIR_WORKER, process.env.CHOIR_TOKEN, process.env.CHOIR_CONTROL, process.listenerCount('SIGTERM'));
			else { fork(process.argv[1], ['child']).once('exit', () => console.log('done')); ${idle} }`,
		);
		await worker.prints('done');
		await place.hears('hello');
		assert.match(worker.printed, `id-1 undefined ${place.control} 0`);
		assert.is(place.count('hello'), 1);
	}));

/** A server that answers `/slow` when it gets SIGUSR2. */
const server = (port: number, rest = '') => `
	import http from 'node:http';
	const waiting = [];
	process.on('SIGUSR2', () => waiting.splice(0).forEach((r) => r.end('slow')));
	const server = http.createServer((q, r) => {
		if (q.url !== '/slow') return r.end('quick');
		waiting.push(r);
		console.log('waits');
	}).listen(${port});
	${rest}`;

test('a drain loses no request of a client that keeps its connections, and tells it to make no more', () =>
	inPlace(async (place) => {
		const { fd, port } = place.hold();
		const listen = [{ name: 'http', fd, port }];
		const workers = [place.start(server(port), { ready: 'signal', listen })];
		await place.hears('ready');
		const agent = new http.Agent({ keepAlive: true, maxSockets: 8 });
		let answered = 0;
		let draining = false;
		let told = 0;
		let over = false;
		const clients = Array.from({ length: 8 }, async () => {
			while (!over) {
				const { text, connection } = await ask(port, { agent });
				assert.is(text, 'quick');
				answered += 1;
				if (draining && connection === 'close') told += 1;
				// As clients do: now and then a connection is idle for some milliseconds.
				await new Promise((resolve) => setTimeout(resolve, answered % 5));
			}
		});
		try {
			await until('200 answers', () => answered >= 200);
			// The next is there before the first goes: what the first no longer accepts, it does.
			workers.push(place.start(server(port), { ready: 'signal', listen }));
			await place.hears('ready', 2);
			draining = true;
			workers[0]?.child.kill('SIGTERM');
			assert.equal(await (workers[0] as Worker).ended(), ok);
		} finally {
			over = true;
			await Promise.all(clients);
			agent.destroy();
		}
		assert.ok(told > 0, 'nobody was told to close its connection');
	}));

test('a drain answers what is under way, and says with it that the connection ends', () =>
	inPlace(async (place) => {
		const { fd, port } = place.hold();
		const worker = place.start(server(port), { ready: 'signal', listen: [{ name: 'http', fd, port }] });
		await place.hears('ready');
		const agent = new http.Agent({ keepAlive: true });
		const slow = ask(port, { agent, at: '/slow' });
		await worker.prints('waits');
		place.drain();
		await place.hears('drain.acknowledged');
		worker.child.kill('SIGUSR2');
		assert.equal(await slow, { text: 'slow', connection: 'close' });
		assert.equal(await worker.ended(), ok);
		agent.destroy();
	}));

test('idle connections have a second of grace, then they are closed, also those that never asked anything', () =>
	inPlace(async (place) => {
		const { fd, port } = place.hold();
		const worker = place.start(server(port), { ready: 'signal', listen: [{ name: 'http', fd, port }] });
		await place.hears('ready');
		const [silent, kept] = await Promise.all([connect(port), connect(port)]);
		const answer = new Promise((resolve) => kept.once('data', resolve));
		kept.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
		await answer;
		place.drain();
		const from = performance.now();
		await place.hears('drain.acknowledged');
		await Promise.all([silent.ended, kept.ended]);
		assert.ok(performance.now() - from > 900, `closed after ${performance.now() - from} ms`);
		assert.equal(await worker.ended(), ok);
	}));

test('a request on a kept connection within the grace is answered', () =>
	inPlace(async (place) => {
		const { fd, port } = place.hold();
		const worker = place.start(server(port), { ready: 'signal', listen: [{ name: 'http', fd, port }] });
		await place.hears('ready');
		const agent = new http.Agent({ keepAlive: true });
		assert.is((await ask(port, { agent })).connection, 'keep-alive');
		place.drain();
		await place.hears('drain.acknowledged');
		assert.equal(await ask(port, { agent }), { text: 'quick', connection: 'close' });
		assert.equal(await worker.ended(), ok);
		agent.destroy();
	}));

test('a server with TLS drains as one without: what is under way longer than the grace is answered, idle connections end', () =>
	inPlace(async (place) => {
		const { fd, port } = place.hold();
		// Shared keys instead of certificates: nothing to make and nothing to expire.
		const worker = place.start(
			`import https from 'node:https';
			const server = https.createServer({ ciphers: 'PSK', maxVersion: 'TLSv1.2', pskCallback: () => Buffer.from('cafe', 'hex') }, (q, r) => {
				if (q.url !== '/slow') return r.end('quick');
				process.once('SIGUSR2', () => r.end('slow'));
				console.log('waits');
			}).listen(${port});`,
			{ ready: 'signal', listen: [{ name: 'https', fd, port }] },
		);
		await place.hears('ready');
		const agent = new https.Agent({
			keepAlive: true,
			ciphers: 'PSK',
			maxVersion: 'TLSv1.2',
			checkServerIdentity: () => undefined,
			pskCallback: () => ({ psk: Buffer.from('cafe', 'hex'), identity: 'x' }),
		});
		const [slow, idleOne, silent] = [ask(port, { agent, at: '/slow', tls: true }), ask(port, { agent, tls: true }), await connect(port)];
		assert.is((await idleOne).connection, 'keep-alive');
		await worker.prints('waits');
		place.drain();
		await place.hears('drain.acknowledged');
		await silent.ended;
		worker.child.kill('SIGUSR2');
		assert.equal(await slow, { text: 'slow', connection: 'close' });
		assert.equal(await worker.ended(), ok);
		agent.destroy();
	}));

test('sessions of HTTP/2 end with their streams', () =>
	inPlace(async (place) => {
		const { fd, port } = place.hold();
		const worker = place.start(
			`import http2 from 'node:http2';
			http2.createServer((q, r) => { console.log('waits'); process.on('SIGUSR2', () => r.end('slow')); }).listen(${port});`,
			{ ready: 'signal', listen: [{ name: 'http', fd, port }] },
		);
		await place.hears('ready');
		const http2 = await import('node:http2');
		const client = http2.connect(`http://127.0.0.1:${port}`);
		try {
			const text = new Promise((resolve, reject) => client.request().setEncoding('utf8').once('data', resolve).once('error', reject));
			await worker.prints('waits');
			place.drain();
			await place.hears('drain.acknowledged');
			worker.child.kill('SIGUSR2');
			assert.is(await text, 'slow');
			assert.equal(await worker.ended(), ok);
		} finally {
			client.destroy();
		}
	}));

test('a program that serves nobody ends at once when it is asked to', () =>
	inPlace(async (place) => {
		const worker = place.start(idle);
		await worker.prints('up');
		await place.hears('hello');
		place.drain();
		assert.equal(await worker.ended(), ok);
		assert.is(place.count('drain.acknowledged'), 1);
	}));

for (const signal of ['SIGTERM', 'SIGQUIT', 'SIGINT'] as const) {
	test(`${signal} ends a program that knows nothing of it, with code 0`, () =>
		inPlace(async (place) => {
			const worker = place.start(idle);
			await worker.prints('up');
			worker.child.kill(signal);
			assert.equal(await worker.ended(), ok);
		}));
}

test('SIGTERM at any moment of the start ends it; once armed, with code 0', () =>
	inPlace(async (place) => {
		const from = performance.now();
		const first = place.start(idle);
		await first.prints('up');
		const startMs = performance.now() - from;
		first.child.kill('SIGTERM');
		const ends = [await first.ended()];
		for (let n = 0; n < 12; n++) {
			const worker = place.start(idle);
			// The moments are spread over what a start takes here.
			await new Promise((resolve) => setTimeout(resolve, (startMs * n) / 10));
			const isUp = worker.printed !== '';
			worker.child.kill('SIGTERM');
			const end = await worker.ended();
			if (isUp) assert.equal(end, ok);
			ends.push(end);
		}
		for (const { code, signal } of ends) assert.ok(code === 0 || signal === 'SIGTERM', `${code} ${signal}`);
		for (const how of ['0', 'SIGTERM'])
			assert.ok(
				ends.some(({ code, signal }) => String(signal ?? code) === how),
				`none ended with ${how}`,
			);
	}));

test('SIGTERM while a module still loads is not lost', () =>
	inPlace(async (place) => {
		const go = path.join(place.dir, 'go');
		const worker = place.start(
			`import fs from 'node:fs'; console.log('loads'); while (!fs.existsSync('${go}')) await new Promise((resolve) => setTimeout(resolve, 2)); ${idle}`,
		);
		await worker.prints('loads');
		worker.child.kill('SIGTERM');
		fs.writeFileSync(go, '');
		assert.equal(await worker.ended(), ok);
	}));

test('signals that mean nothing to a worker are reported, and change nothing', () =>
	inPlace(async (place) => {
		const worker = place.start(idle, { heartbeatMs: 20 });
		await worker.prints('up');
		await place.hears('hello');
		const ignored = ['SIGHUP', 'SIGUSR1', 'SIGUSR2', 'SIGWINCH', 'SIGTTIN', 'SIGTTOU'] as const;
		for (const signal of ignored) worker.child.kill(signal);
		await place.hears('signal.ignored', ignored.length);
		const named = place.heard.filter((word) => word.do === 'signal.ignored').map((word) => word.signal);
		assert.equal(named.sort(), [...ignored].sort());
		await place.hears('beat', place.count('beat') + 2);
		assert.not.match(place.stderr, 'Debugger');
	}));

test("a program's own listeners go on beside ours, and what it takes is not called ignored", () =>
	inPlace(async (place) => {
		const worker = place.start(
			`for (const signal of ['SIGHUP', 'SIGINT', 'SIGQUIT', 'SIGTERM']) process.on(signal, () => console.log('own', signal)); ${idle}`,
			{ heartbeatMs: 20 },
		);
		await worker.prints('up');
		for (const signal of ['SIGHUP', 'SIGINT', 'SIGQUIT', 'SIGTERM', 'SIGTERM'] as const) {
			const before = worker.printed.length;
			worker.child.kill(signal);
			await place.until(`own ${signal}`, () => worker.printed.slice(before).includes(`own ${signal}`));
		}
		await place.hears('beat', place.count('beat') + 2);
		assert.is(place.count('signal.ignored'), 0);
		assert.is(worker.child.exitCode, null);
	}));

test("a drain by word calls the program's listeners of SIGTERM, each once", () =>
	inPlace(async (place) => {
		const worker = place.start(
			"let n = 0; process.once('SIGTERM', (signal) => { console.log('own', signal, ++n); setTimeout(() => process.exit(3), 50); }); setInterval(() => {}, 1000); console.log('up');",
		);
		await worker.prints('up');
		await place.hears('hello');
		place.drain();
		place.drain();
		assert.equal(await worker.ended(), { code: 3, signal: null });
		assert.is(worker.printed, 'up\nown SIGTERM 1\n');
	}));

test("SIGQUIT, as SIGTERM, reaches the program's listeners of SIGTERM", () =>
	inPlace(async (place) => {
		const worker = place.start(
			"process.on('SIGTERM', () => { console.log('own'); process.exit(4); }); console.log('up'); setInterval(() => {}, 1000);",
		);
		await worker.prints('up');
		worker.child.kill('SIGQUIT');
		assert.equal(await worker.ended(), { code: 4, signal: null });
		assert.is(worker.printed, 'up\nown\n');
	}));

test('a listener that only looks on, as of signal-exit, does not stand in the way of the end', () =>
	inPlace(async (place) => {
		const looksOn = (way: 'word' | 'signal') => ({
			text: `const emitter = { count: 1 };
			${way === 'word' ? "globalThis[Symbol.for('signal-exit emitter')] = emitter" : 'process.__signal_exit_emitter__ = emitter'};
			process.on('SIGTERM', () => { if (process.listeners('SIGTERM').length === emitter.count) process.kill(process.pid, 'SIGTERM'); }); ${idle}`,
		});
		const byWord = place.start(looksOn('word').text);
		await byWord.prints('up');
		await place.hears('hello');
		place.drain();
		assert.equal(await byWord.ended(), ok);
		const bySignal = place.start(looksOn('signal').text);
		await bySignal.prints('up');
		bySignal.child.kill('SIGTERM');
		assert.equal(await bySignal.ended(), ok);
	}));

test('onDrain callbacks all run, side by side; then the servers are closed', () =>
	inPlace(async (place) => {
		const { fd, port } = place.hold();
		const worker = place.start(
			`${server(port)} import { onDrain, ready } from './library.mjs';
			let begun = 0; let both; const together = new Promise((resolve) => { both = resolve; });
			for (const name of ['a', 'b']) onDrain(async () => { if (++begun === 2) both(); await together; console.log(name, server.listening); });
			server.once('close', () => console.log('closed'));
			ready();`,
			{ ready: 'signal', listen: [{ name: 'http', fd, port }] },
		);
		await place.hears('ready');
		place.drain();
		assert.equal(await worker.ended(), ok);
		assert.is(worker.printed, 'a true\nb true\nclosed\n');
	}));

test('an onDrain callback that fails is said on stderr, keeps none from running, and makes the exit code 1', () =>
	inPlace(async (place) => {
		const worker = place.start(
			`import { onDrain } from './library.mjs';
			const timer = setInterval(() => {}, 1000);
			onDrain(() => { throw new Error('no disk'); });
			onDrain(() => { clearInterval(timer); console.log('ran'); });
			console.log('up');`,
		);
		await worker.prints('up');
		await place.hears('hello');
		place.drain();
		assert.equal(await worker.ended(), { code: 1, signal: null });
		assert.match(worker.printed, 'ran');
		assert.match(place.stderr, 'onDrain failed: Error: no disk');
	}));

test('SIGTERM ends a drain that does not end, with code 0', () =>
	inPlace(async (place) => {
		const worker = place.start(
			"import { onDrain } from './library.mjs'; onDrain(() => new Promise(() => {})); setInterval(() => {}, 1000); console.log('up');",
			{ heartbeatMs: 20 },
		);
		await worker.prints('up');
		await place.hears('hello');
		place.drain();
		await place.hears('drain.acknowledged');
		await place.hears('beat', place.count('beat') + 2);
		assert.is(worker.child.exitCode, null);
		worker.child.kill('SIGTERM');
		assert.equal(await worker.ended(), ok);
	}));

test.run();
