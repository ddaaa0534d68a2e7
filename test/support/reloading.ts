/** What real trees are reloaded with. */
export const library = (version: string) => `
	import http from 'node:http';
	import { listener, ready } from 'choir/worker';
	http.createServer((_, res) => res.end('${version}')).listen(listener('http'), ready);
`;
export const unmodified = (version: string, port: number) => `
	import http from 'node:http';
	http.createServer((_, res) => res.end('${version}')).listen(${port}, '127.0.0.1');
`;
export const soak = "reload: { soak: '300ms' }";
export const spec = (port: number, more = '', web = '') => `
	import { command, node, supervisor, tree } from 'choir';
	export default tree('t', {
		intensity: { restarts: 20, within: '1m' },
		master: { intensity: { restarts: 1000, within: '1m' }, backoff: { from: '20ms', to: '20ms' } },
		children: [
			node('web', { module: './web.ts', instances: 2, listen: { http: '127.0.0.1:${port}' }, ${soak} ${web} }),
			command('cache', { run: ['sleep', '1000'] }),
			${more}
		],
	});
`;
