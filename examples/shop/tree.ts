/** Two http workers that share a port, a program that is no Node, and a supervisor of its own for a periodic job. */
import { command, node, supervisor, tree } from 'choir';

export default tree('shop', {
	strategy: 'one_for_one',
	intensity: { restarts: 10, within: '1m' },
	children: [
		node('web', {
			module: './web.ts',
			instances: 2,
			listen: { http: '127.0.0.1:8080' },
			heartbeat: { every: '1s', timeout: '10s' },
			stop: { drain: '10s', terminate: '2s' },
			env: { GREETING: 'Hello from the choir' },
		}),
		command('clock', {
			run: ['sh', '-c', 'while :; do date; sleep 10; done'],
			ready: { output: /\d\d:\d\d/ },
		}),
		supervisor('jobs', {
			strategy: 'rest_for_one',
			children: [node('sweep', { module: './sweep.ts', restart: { type: 'permanent', backoff: { from: '200ms', to: '10s' } } })],
		}),
	],
});
