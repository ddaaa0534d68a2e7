/** What a tree binds, before anything of it starts; who else may have it; and who gets it. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'uvu';
import { read } from './support/load.ts';
import { freePort, type RealTree, withTree } from './support/real.ts';

const treeOf = (children: string) => `import { command, node, tree } from 'choir'; export default tree('t', { children: [${children}] });`;
/** Says who it is to everybody who connects, on each socket that it was given. */
const greeter = `
	import net from 'node:net';
	import { listener, ready, worker } from 'choir/worker';
	const names = process.argv.slice(2);
	let open = 0;
	for (const name of names)
		net.createServer((socket) => socket.end(worker.path + ' ' + name)).listen(listener(name), () => ++open === names.length && ready());
`;

/** Another process that listens, until the test is over. */
async function occupied(address: string, body: (other: ChildProcess) => Promise<void>): Promise<void> {
	const other = spawn(process.execPath, ['-e', `require('net').createServer().listen(${address}, () => console.log('up'))`], {
		stdio: ['ignore', 'pipe', 'inherit'],
	});
	try {
		await once(other.stdout as NodeJS.ReadableStream, 'data', { signal: AbortSignal.timeout(10_000) });
		await body(other);
	} finally {
		other.kill('SIGKILL');
	}
}

/** The inodes of the listening sockets that a process has, on any address. */
function listeningOf(pid: number): string[] {
	const listening = new Set(
		['tcp', 'tcp6'].flatMap((table) =>
			fs
				.readFileSync(`/proc/net/${table}`, 'utf8')
				.split('\n')
				.map((row) => row.trim().split(/\s+/))
				.filter(([, , , state]) => state === '0A')
				.map((row) => row[9] as string),
		),
	);
	return fs
		.readdirSync(`/proc/${pid}/fd`)
		.map((fd) => /^socket:\[(\d+)\]$/.exec(linkOf(`/proc/${pid}/fd/${fd}`))?.[1])
		.filter((inode): inode is string => inode !== undefined && listening.has(inode));
}

function linkOf(file: string): string {
	try {
		return fs.readlinkSync(file);
	} catch {
		return '';
	}
}

async function refused(tree: RealTree): Promise<string> {
	const { code, stderr } = await tree.ended(tree.run());
	assert.equal(code, 1, stderr);
	assert.equal(
		tree.events().some(({ event }) => event.startsWith('child.')),
		false,
		'something was started',
	);
	return stderr;
}

for (const [what, host, listening] of [
	['one address', "'127.0.0.1:PORT'", "PORT, '127.0.0.1'"],
	['all addresses, if one of them is in use', 'PORT', "PORT, '127.0.0.1'"],
	['one address, if all are in use', "'127.0.0.1:PORT'", 'PORT'],
	['an address of IPv6', "'[::1]:PORT'", "PORT, '::1'"],
] as const) {
	test(`a port in use: who has it is said, and nothing is started (${what})`, async () => {
		const port = String(await freePort());
		const free = await freePort();
		await occupied(listening.replace('PORT', port), async (other) => {
			const children = `command('first', { run: ['sleep', '1000'] }), node('web', { module: './web.ts', args: ['http', 'other'], instances: 2, listen: { http: ${host.replace('PORT', port)}, other: ${free} } })`;
			await withTree({ 'tree.ts': treeOf(children), 'web.ts': greeter }, async (tree) => {
				const said = await refused(tree);
				assert.match(said, new RegExp(`^cannot listen on \\S*( port)? ?\\S*${port}: pid ${other.pid} \\(.* -e .*\\) has it\n$`));
			});
		});
	});
}

test('a port that another tree has', async () => {
	const port = await freePort();
	const files = {
		'tree.ts': treeOf(`node('web', { module: './web.ts', args: ['http'], instances: 2, listen: { http: ${port} } })`),
		'web.ts': greeter,
	};
	await withTree(files, async (tree) => {
		await tree.up();
		await withTree(
			{ ...files, 'tree.ts': (files['tree.ts'] as string).replace("'t'", "'u'") },
			async (other) => {
				assert.match(await refused(other), new RegExp(`cannot listen on port ${port}: pid \\d+ \\(.*\\) has it`));
			},
			{ id: 'u' },
		);
	});
});

test('a path in use: a file, a socket that somebody has, and one that is left of the dead', async () => {
	const files = { 'tree.ts': '', 'web.ts': greeter };
	await withTree(files, async (tree) => {
		const socket = path.join(tree.folder, 'w.sock');
		fs.writeFileSync(
			path.join(tree.folder, 'tree.ts'),
			treeOf(`node('web', { module: './web.ts', args: ['http'], instances: 2, listen: { http: 'unix:${socket}' } })`),
		);
		fs.writeFileSync(socket, 'precious');
		assert.match(await refused(tree), /w\.sock: there is a file of that name, which is no socket/);
		assert.equal(fs.readFileSync(socket, 'utf8'), 'precious');
		fs.rmSync(socket);
		await occupied(`'${socket}'`, async ({ pid }) => {
			assert.match(await refused(tree), new RegExp(`w\\.sock: pid ${pid} \\(.* -e .*\\) has it`));
			assert.ok(fs.lstatSync(socket).isSocket());
		});
		// Killed: it has left its socket.
		assert.ok(fs.lstatSync(socket).isSocket());
		await tree.until('the killed one refuses connections', () =>
			read({ path: socket }).then(
				() => false,
				({ code }) => code === 'ECONNREFUSED',
			),
		);
		await tree.up();
		assert.match(await read({ path: socket }), /^web\.[12] http$/);
		assert.deepEqual([(await tree.child('web.1')).accept, (await tree.child('web.2')).accept], ['shared', 'shared']);
		await tree.end();
		assert.equal(fs.existsSync(socket), false, 'the socket is left');
	});
});

test('a unix socket that somebody else has put in the place of ours is left', async () => {
	await withTree({ 'tree.ts': '', 'web.ts': greeter }, async (tree) => {
		const socket = path.join(tree.folder, 'w.sock');
		fs.writeFileSync(
			path.join(tree.folder, 'tree.ts'),
			treeOf(`node('web', { module: './web.ts', args: ['http'], listen: { http: 'unix:${socket}' } })`),
		);
		await tree.up();
		fs.rmSync(socket);
		await occupied(`'${socket}'`, async () => {
			const { ino } = fs.lstatSync(socket);
			await tree.end();
			assert.equal(fs.lstatSync(socket).ino, ino);
		});
	});
});

test('several names: IPv4, IPv6, both and a unix socket, each with its own', async () => {
	const [four, six, both] = [await freePort(), await freePort(), await freePort()];
	await withTree({ 'tree.ts': '', 'web.ts': greeter }, async (tree) => {
		const socket = path.join(tree.folder, 'w.sock');
		const listen = `{ four: '127.0.0.1:${four}', six: '[::1]:${six}', both: ${both}, file: 'unix:${socket}' }`;
		fs.writeFileSync(
			path.join(tree.folder, 'tree.ts'),
			treeOf(`node('web', { module: './web.ts', args: ['four', 'six', 'both', 'file'], listen: ${listen} })`),
		);
		await tree.up();
		assert.equal(await read({ port: four, host: '127.0.0.1' }), 'web four');
		assert.equal(await read({ port: six, host: '::1' }), 'web six');
		assert.equal(await read({ port: both, host: '127.0.0.1' }), 'web both');
		assert.equal(await read({ port: both, host: '::1' }), 'web both');
		assert.equal(await read({ path: socket }), 'web file');
	});
});

test('who connects before the first worker is there waits for it', async () => {
	const port = await freePort();
	const children = `command('gate', { run: ['sh', '-c', 'until [ -e go ]; do sleep 0.02; done; sleep 1000'], ready: { exec: ['test', '-e', 'go'], every: '20ms', timeout: '20s' } }), node('web', { module: './web.ts', args: ['http'], listen: { http: ${port} } })`;
	await withTree({ 'tree.ts': treeOf(children), 'web.ts': greeter }, async (tree) => {
		tree.run();
		await tree.until('the first child starts', async () => (await tree.child('gate')).state === 'starting');
		const answer = read({ port, host: '127.0.0.1' });
		fs.writeFileSync(path.join(tree.folder, 'go'), '');
		assert.equal(await answer, 'web http');
		await tree.running();
	});
});

test('who declares no socket inherits none that listens, nor does what a worker starts', async () => {
	const port = await freePort();
	const grandchild = `${greeter} import { spawn } from 'node:child_process'; spawn('sleep', ['1000'], { stdio: 'ignore' }).unref();`;
	const children = `node('web', { module: './web.ts', args: ['http'], instances: 2, listen: { http: '127.0.0.1:${port}' } }), node('plain', { module: './plain.mjs' }), command('sleeper', { run: ['sleep', '1000'] })`;
	const files = { 'tree.ts': treeOf(children), 'web.ts': grandchild, 'plain.mjs': 'setInterval(() => {}, 1000);' };
	await withTree(files, async (tree) => {
		await tree.up();
		const { angel, master } = await tree.status();
		assert.ok(listeningOf(angel.pid as number).length > 0);
		for (const name of ['web.1', 'web.2']) {
			const held = listeningOf((await tree.child(name)).pid);
			assert.ok(held.length > 0, name);
			// The master listens itself, for the live page.
			assert.ok(
				listeningOf(master.pid as number).every((inode) => !held.includes(inode)),
				name,
			);
		}
		for (const name of ['plain', 'sleeper']) assert.deepEqual(listeningOf((await tree.child(name)).pid), [], name);
		const { pid } = await tree.child('web.1');
		const below = await tree.until('the worker has a child of its own', () =>
			fs.readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').filter(Boolean).map(Number),
		);
		for (const each of below as number[]) assert.deepEqual(listeningOf(each), [], 'a child of a worker');
	});
});

test.run();
