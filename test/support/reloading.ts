/** What real trees are reloaded with, and a steady load. */
import http from 'node:http';

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

/** Asks without end, on new connections and on kept ones. */
export function load(port: number) {
	const kept = new http.Agent({ keepAlive: true, maxSockets: 2 });
	const agents = [kept, new http.Agent({ keepAlive: false })];
	const seen = { answered: 0, failed: [] as string[], bodies: new Set<string>() };
	let over = false;
	const ask = (agent: http.Agent) =>
		new Promise<void>((resolve) => {
			http
				.get({ port, host: '127.0.0.1', agent }, (response) => {
					let body = '';
					response.setEncoding('utf8').on('data', (text: string) => {
						body += text;
					});
					response.once('end', () => {
						seen.answered += 1;
						seen.bodies.add(body);
						resolve();
					});
				})
				.once('error', (error) => {
					seen.failed.push(error.message);
					resolve();
				});
		});
	const askers = [...agents, ...agents].map(async (agent) => {
		while (!over) {
			await ask(agent);
			// As a steady stream, that leaves the machine some room.
			await new Promise((resolve) => setTimeout(resolve, 4));
		}
	});
	return async () => {
		over = true;
		await Promise.all(askers);
		for (const agent of agents) agent.destroy();
		return seen;
	};
}
