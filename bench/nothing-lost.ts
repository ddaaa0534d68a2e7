// Reloads, deaths of the master and upgrades under constant load, half of it on new connections: what fails, and what it costs those that
// ask. By hand, on a machine with nothing else to do: `npx tsx bench/nothing-lost.ts`. Numbers after it are the requests a second.
import { load } from '../test/support/load.ts';
import { freePort, RealTree, signal } from '../test/support/real.ts';

const rates = process.argv.slice(2).map(Number);
const TIMES = 20;
const CALM_MS = 5_000;
const WORKERS = 4;

const spec = (port: number) => `
	import { node, tree } from 'choir';
	export default tree('bench', {
		view: false,
		intensity: { restarts: 1000, within: '1m' },
		master: { intensity: { restarts: 1000, within: '1m' }, backoff: { from: '20ms', to: '20ms' } },
		children: [node('web', { module: './web.cjs', instances: ${WORKERS}, listen: { http: '127.0.0.1:${port}' }, reload: { soak: 0 }, stop: { drain: '5s' } })],
	});
`;
/** Knows nothing of choir. */
const server = (port: number, version: number) => `
	require('node:http').createServer((_, response) => response.end('v${version}')).listen(${port}, '127.0.0.1');
`;

const at = (sorted: number[], share: number) => (sorted[Math.floor(sorted.length * share)] ?? 0).toFixed(1);

/** Requests during `body`, and how it went. */
async function under(port: number, perSecond: number, body: () => Promise<void>) {
	const { stop } = load(port, { perSecond });
	// Connections are made, and compiled what has to be.
	await new Promise((resolve) => setTimeout(resolve, 500));
	const from = performance.now();
	await body();
	const seconds = (performance.now() - from) / 1000;
	const { answered, failed, tookMs, slowestMs } = await stop();
	const kinds = new Set(failed);
	if (failed.length > 0) console.error([...kinds].map((kind) => `${failed.filter((each) => each === kind).length} × ${kind}`).join(', '));
	const sorted = tookMs.toSorted((a, b) => a - b);
	return { answered, failed: failed.length, p50: at(sorted, 0.5), p99: at(sorted, 0.99), worst: slowestMs.toFixed(0), seconds };
}

console.log(`Node ${process.version}, ${WORKERS} workers that know nothing of choir\n`);
console.log('| requests a second | what is done | one takes (s) | answered | failed | p50 (ms) | p99 (ms) | worst (ms) |');
console.log('| ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: |');
for (const rate of rates.length > 0 ? rates : [500, 2_000, 5_000]) {
	const port = await freePort();
	const tree = new RealTree({ 'tree.ts': spec(port), 'web.cjs': server(port, 0) }, { id: 'bench' });
	try {
		const started = await tree.start();
		if (started.code !== 0) throw new Error(started.stderr);
		const pids = async () => (await tree.status()).children.map(({ pid }) => pid);
		const done: Array<[what: string, times: number, body: () => Promise<void>]> = [
			['nothing', 0, () => new Promise((resolve) => setTimeout(resolve, CALM_MS))],
			[
				`${TIMES} reloads`,
				TIMES,
				async () => {
					for (let n = 1; n <= TIMES; n++) {
						tree.write('web.cjs', server(port, n));
						const { code, stderr } = await tree.cli('reload', '--wait');
						if (code !== 0) throw new Error(stderr);
					}
				},
			],
			[
				`${TIMES} masters are SIGKILLed`,
				TIMES,
				async () => {
					const before = await pids();
					for (let n = 0; n < TIMES; n++) {
						const { master } = await tree.status();
						signal(master.pid as number, 'SIGKILL');
						await tree.until('the next one runs the tree', async () => {
							const status = await tree.status();
							return status.master.pid !== null && status.master.pid !== master.pid && status.state === 'running';
						});
					}
					if (String(await pids()) !== String(before)) throw new Error('other workers');
				},
			],
			[
				'5 upgrades',
				5,
				async () => {
					const before = await pids();
					for (let n = 0; n < 5; n++) {
						const { code, stderr } = await tree.cli('upgrade');
						if (code !== 0) throw new Error(stderr);
					}
					if (String(await pids()) !== String(before)) throw new Error('other workers');
				},
			],
		];
		for (const [what, times, body] of done) {
			const { answered, failed, p50, p99, worst, seconds } = await under(port, rate, body);
			const one = times === 0 ? '' : (seconds / times).toFixed(2);
			console.log(`| ${rate} | ${what} | ${one} | ${answered} | ${failed} | ${p50} | ${p99} | ${worst} |`);
		}
		await tree.cli('stop');
	} finally {
		await tree.remove();
	}
}
process.exit(0);
