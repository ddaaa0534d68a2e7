/** Real processes that end by themselves, over and over or once: backoff, intensity, and what becomes of those that are given up. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { test } from 'uvu';
import { cpuMs, identify, isAlive, withTree } from './support/real.ts';

const spec = (options: string, children: string[]) => ({
	'tree.ts': `
import { command, tree } from 'choir';
export default tree('t', { ${options} children: [${children.join(',\n')}] });
`,
});
/** A shell program that first writes down when it started, in ms since 1970. */
const shell = (id: string, program: string, restart: string) =>
	`command('${id}', { run: ['sh', '-c', 'date +%s%3N >> ${id}.starts; ${program}'], restart: ${restart} })`;
const SIBLING = `command('sibling', { run: ['sleep', '1000'] })`;

test('a crash loop follows its backoff, exceeds its intensity, and choir run exits with 70 and says why', async () => {
	const [from, to, restarts] = [80, 400, 6];
	const loop = shell('bad', 'exit 3', `{ type: 'permanent', backoff: { from: ${from}, to: ${to} } }`);
	await withTree(spec(`intensity: { restarts: ${restarts}, within: '30s' },`, [SIBLING, loop]), async (tree) => {
		const { code, stderr } = await tree.ended(tree.run());
		assert.equal(code, 70);
		assert.match(stderr, /^the tree gave up: bad .*code 3.* 6 restarts within .*\n$/);

		const starts = tree.lines('bad.starts').map(Number);
		assert.equal(starts.length, restarts + 1);
		const delays = tree
			.events()
			.filter(({ event, path }) => event === 'child.restart' && path === 'bad')
			.map(({ delayMs }) => delayMs as number);
		assert.equal(delays.length, restarts);
		for (const [n, delayMs] of delays.entries()) {
			const cap = Math.min(to, from * 2 ** n);
			assert.ok(delayMs >= 0 && delayMs <= cap, `delay ${n + 1} is ${delayMs} ms, its cap ${cap} ms`);
			const gapMs = (starts[n + 1] as number) - (starts[n] as number);
			// Two clocks, and a shell that takes its time to come up.
			assert.ok(gapMs >= delayMs - 20, `start ${n + 2} came ${gapMs} ms after the one before, ${delayMs} ms were its delay`);
			assert.ok(gapMs <= delayMs + 3_000, `start ${n + 2} came ${gapMs} ms after the one before, ${delayMs} ms were its delay`);
		}
		assert.equal((await tree.cli('status', '--json')).code, 1);
	});
});

test('a child that is given up stays dead with a reason in status, and its siblings run on', async () => {
	const bad = shell(
		'bad',
		'exit 3',
		`{ type: 'permanent', whenExhausted: 'giveUp', intensity: { restarts: 2, within: '30s' }, backoff: { from: 20, to: 50 } }`,
	);
	await withTree(spec('', [SIBLING, bad]), async (tree) => {
		tree.run();
		const given = await tree.until('bad is given up', async () => {
			const child = await tree.child('bad');
			return child.standing === 'gaveUp' && child;
		});
		assert.equal(given.state, 'dead');
		assert.equal(given.pid, null);
		assert.equal(given.lastExit?.code, 3);
		assert.match(given.note ?? '', /bad .*code 3.*restarted too often/);
		assert.equal(tree.lines('bad.starts').length, 3);
		const sibling = await tree.child('sibling');
		assert.deepEqual([sibling.state, sibling.incarnation], ['running', 1]);
		assert.ok(isAlive(identify(sibling.pid)));
		assert.equal((await tree.status()).state, 'running');
		const text = await tree.cli('status');
		assert.match(text.stdout, /why bad .*code 3.*restarted too often/);
		const waited = await tree.cli('wait', '--for', 'running', '--timeout', '100ms');
		assert.equal(waited.code, 1);
		assert.match(waited.stderr, /bad/);
	});
});

test('a child that is kept trying costs little CPU meanwhile, and runs again when what it needs is there', async () => {
	const limits = `intensity: { restarts: 3, within: '30s' }, backoff: { from: 100, to: 400 }`;
	const restart = `{ type: 'permanent', whenExhausted: 'keepTrying', ${limits} }`;
	const needy = shell('needy', 'test -e dependency || exit 1; exec sleep 1000', restart);
	await withTree(spec('', [SIBLING, needy]), async (tree) => {
		const { pid: angel } = tree.run();
		// Asking for the status costs the master its own: what is written down is looked at instead.
		const starts = () => tree.lines('needy.starts').map(Number);
		await tree.until('it has exceeded its intensity', () => starts().length > 5);
		const { pid: master } = (await tree.status()).master as { pid: number };
		const before = { at: performance.now(), cpuMs: cpuMs(angel) + cpuMs(master), starts: starts().length };
		await tree.until('it was tried on', () => starts().length >= before.starts + 15, 20_000);
		const tookMs = performance.now() - before.at;
		const usedMs = cpuMs(angel) + cpuMs(master) - before.cpuMs;
		const share = usedMs / tookMs;
		console.log(
			`15 turns of a crash loop in ${Math.round(tookMs)} ms: ${usedMs} ms of CPU of angel and master, ${(share * 100).toFixed(1)} %`,
		);
		assert.ok(share < 0.15, `${usedMs} ms of CPU in ${Math.round(tookMs)} ms`);

		tree.write('dependency', '');
		const found = await tree.until('it runs with its dependency', async () => {
			const child = await tree.child('needy');
			return child.state === 'running' && fs.readFileSync(`/proc/${child.pid}/comm`, 'utf8') === 'sleep\n' && child;
		});
		assert.ok(found.restarts >= 20, `${found.restarts} restarts`);
		assert.equal(found.standing, null);
		assert.equal((await tree.cli('wait', '--for', 'running')).code, 0);
		assert.equal((await tree.child('sibling')).incarnation, 1);
	});
});

test('who is restarted after which exit: code 78 never, okCodes are a normal end, a temporary child has one life', async () => {
	const children = [
		SIBLING,
		shell('fatal', 'exit 78', `'permanent'`),
		shell('declared', 'exit 9', `{ type: 'permanent', fatalCodes: [9] }`),
		shell('transient', 'test -e once && exit 3; touch once; exit 4', `{ type: 'transient', okCodes: [0, 3], backoff: 0 }`),
		shell('temporary', 'exit 4', `'temporary'`),
	];
	await withTree(spec('', children), async (tree) => {
		tree.run();
		const ends = async (path: string) => {
			const { standing, incarnation, lastExit } = await tree.child(path);
			return `${path}: ${standing} in incarnation ${incarnation}, ${lastExit?.reason} ${lastExit?.code}`;
		};
		await tree.until('all have come to their ends', async () => {
			assert.deepEqual(await Promise.all(['fatal', 'declared', 'transient', 'temporary'].map(ends)), [
				'fatal: fatal in incarnation 1, crash 78',
				'declared: fatal in incarnation 1, crash 9',
				'transient: finished in incarnation 2, normal 3',
				'temporary: finished in incarnation 1, crash 4',
			]);
			return true;
		});
		assert.match((await tree.child('fatal')).note ?? '', /fatal .*code 78.*a restart would not help/);
		assert.deepEqual(
			['fatal', 'declared', 'transient', 'temporary'].map((id) => tree.lines(`${id}.starts`).length),
			[1, 1, 2, 1],
		);
		const restarted = tree.events().filter(({ event }) => event === 'child.restart');
		assert.deepEqual(
			restarted.map(({ path, exit }) => [path, (exit as { code: number }).code]),
			[['transient', 4]],
		);
		const status = await tree.status();
		assert.equal(status.state, 'running');
		assert.equal((await tree.child('sibling')).state, 'running');
	});
});

test.run();
