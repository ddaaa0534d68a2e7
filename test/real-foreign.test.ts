/** Held sockets for programs that are no Node: by the convention of systemd, and by nginx's own. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import http from 'node:http';
import { test } from 'uvu';
import { get, load, read } from './support/load.ts';
import { freePort, signal, withTree } from './support/real.ts';

const INSTALL_MS = 120_000;

/** Whether a program is here. On the machines of CI one that cannot be had is a failure, elsewhere its test is left out. */
function has(program: string, installPackage?: string): boolean {
	const isHere = () => spawnSync('sh', ['-c', `command -v ${program}`]).status === 0;
	if (!isHere() && installPackage !== undefined && process.env.CI === 'true' && process.getuid?.() === 0)
		spawnSync('sh', ['-c', `apt-get update && apt-get install -y --no-install-recommends ${installPackage}`], { timeout: INSTALL_MS });
	if (!isHere() && process.env.CI === 'true') throw new Error(`${program} is needed for the tests, and is not here`);
	return isHere();
}

const treeOf = (children: string) => `import { command, tree } from 'choir'; export default tree('t', {
	intensity: { restarts: 100, within: '1m' }, children: [${children}] });`;

const python = `
import os, socket, threading
names = os.environ['LISTEN_FDNAMES'].split(':')
assert int(os.environ['LISTEN_FDS']) == len(names), os.environ['LISTEN_FDS']
assert int(os.environ['LISTEN_PID']) == os.getpid(), os.environ['LISTEN_PID']
def serve(fd, name):
    # As systemd hands them down, they listen already.
    held = socket.socket(fileno=fd)
    while True:
        client, _ = held.accept()
        client.sendall(f'{os.environ["CHOIR_PATH"]} {name}'.encode())
        client.close()
for index, name in enumerate(names):
    threading.Thread(target=serve, args=(3 + index, name)).start()
print('up', flush=True)
`;

const testPython = has('python3') ? test : test.skip;
for (const accept of ['shared', 'slots']) {
	testPython(`Python, two instances, two names, killed: who connects then waits (${accept})`, async () => {
		const [port, admin] = [await freePort(), await freePort()];
		const child = `command('py', { run: ['python3', 'serve.py'], instances: 2, accept: '${accept}', listen: { http: '127.0.0.1:${port}', admin: '[::1]:${admin}' }, ready: { output: /up/ }, restart: { backoff: 0 } })`;
		await withTree({ 'tree.ts': treeOf(child), 'serve.py': python }, async (tree) => {
			await tree.up();
			for (let n = 0; n < 10; n++) {
				assert.match(await read({ port, host: '127.0.0.1' }), /^py\.[12] http$/);
				assert.match(await read({ port: admin, host: '::1' }), /^py\.[12] admin$/);
			}
			const first = await Promise.all(['py.1', 'py.2'].map((path) => tree.child(path)));
			assert.deepEqual(
				first.map(({ incarnation }) => incarnation),
				[1, 1],
			);
			for (const { pid } of first) signal(pid, 'SIGKILL');
			// Reaped, with all their threads; the next ones have yet to load.
			await tree.until('both are dead', async () => (await tree.status()).children.every(({ incarnation }) => incarnation === 2));
			// Whoever comes meanwhile waits.
			assert.match(await read({ port, host: '127.0.0.1' }), /^py\.[12] http$/);
			for (const path of ['py.1', 'py.2']) await tree.incarnation(path, 2);
			assert.match(await read({ port: admin, host: '::1' }), /^py\.[12] admin$/);
		});
	});
}

/** nginx takes the sockets that a nginx before it left: it is told of them by a variable of its own. */
const nginxConfig = (folder: string, port: number, admin: number) => `
	daemon off;
	pid ${folder}/nginx.pid;
	error_log stderr;
	events {}
	http {
		access_log off;
		client_body_temp_path ${folder}; proxy_temp_path ${folder}; fastcgi_temp_path ${folder}; uwsgi_temp_path ${folder}; scgi_temp_path ${folder};
		server { listen 127.0.0.1:${port}; location / { return 200 'http'; } }
		server { listen 127.0.0.1:${admin}; location / { return 200 'admin'; } }
	}
`;

const testNginx = has('nginx', 'nginx-light') ? test : test.skip;
testNginx('nginx with two names is restarted under load, and refuses nobody', async () => {
	const [port, admin] = [await freePort(), await freePort()];
	const child = `command('proxy', {
		run: ['sh', '-c', 'exec nginx -p "$PWD" -c "$PWD/nginx.conf"'],
		env: { NGINX: '3;4;' },
		listen: { http: '127.0.0.1:${port}', admin: '127.0.0.1:${admin}' },
		ready: { http: 'http://127.0.0.1:${port}/', every: '50ms' },
	})`;
	await withTree({ 'tree.ts': treeOf(child) }, async (tree) => {
		fs.writeFileSync(`${tree.folder}/nginx.conf`, nginxConfig(tree.folder, port, admin));
		await tree.up();
		const { stop } = load(port, { kept: 0, fresh: 4 });
		const first = await tree.child('proxy');
		assert.equal(first.accept, 'shared');
		for (let n = 0; n < 3; n++) assert.equal((await tree.cli('restart', 'proxy')).code, 0);
		const { answers, failed } = await stop();
		// Whom nginx was just answering as it was terminated, it may leave; but nobody is refused.
		assert.deepEqual(
			failed.filter((each) => each.includes('ECONNREFUSED')),
			[],
		);
		assert.deepEqual([...answers.keys()], ['http']);
		const { text } = await get(admin, '127.0.0.1', new http.Agent());
		assert.equal(text, 'admin');
	});
});

test.run();
