/** Processes as the operating system tells of them: identity, life, use, and signals to the right ones only. */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import fs from 'node:fs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { bootId, findMarked, isAlive, killGroup, killOne, sample, startTicks } from '../src/hosts/proc.ts';
import { until, within } from './support/until.ts';

const onLinux = fs.existsSync('/proc/self/stat');

/** A pid that nobody has: beyond what any kernel gives. */
const NOBODY = 2 ** 22 + 1;

const exit = (child: ChildProcess) => new Promise((resolve) => child.once('exit', resolve));

/** Runs a program in a group of its own, and leaves nobody of it. */
async function withProcess(
	run: [string, ...string[]],
	body: (pid: number, child: ChildProcess) => Promise<void>,
	env: NodeJS.ProcessEnv = {},
): Promise<void> {
	const [file, ...args] = run;
	const child = spawn(file, args, { env: { PATH: process.env.PATH, ...env }, detached: true, stdio: ['ignore', 'pipe', 'inherit'] });
	const ended = exit(child);
	const pid = child.pid as number;
	try {
		await body(pid, child);
	} finally {
		killGroup(pid, 'SIGKILL');
		await within('it ends', ended);
	}
}

const prints = (child: ChildProcess): Promise<string> =>
	within('it prints', new Promise((resolve) => child.stdout?.setEncoding('utf8').once('data', (text: string) => resolve(text.trim()))));

test('a process lives as long as pid and start time are both its own', () =>
	withProcess(['sleep', '100'], async (pid, child) => {
		const ticks = startTicks(pid) as number;
		assert.ok(Number.isInteger(ticks) && ticks > 0);
		assert.is(isAlive({ pid, startTicks: ticks }), true);
		assert.is(isAlive({ pid, startTicks: ticks - 1 }), false);
		assert.is(startTicks(pid), ticks);
		const gone = exit(child);
		assert.is(killOne(pid, 'SIGKILL'), true);
		await within('it is gone', gone);
		assert.is(isAlive({ pid, startTicks: ticks }), false);
		assert.is(startTicks(pid), null);
		assert.is(sample(pid), null);
	}));

test('a stopped process lives', () =>
	withProcess(['sleep', '100'], async (pid) => {
		const identity = { pid, startTicks: startTicks(pid) as number };
		killOne(pid, 'SIGSTOP');
		assert.is(isAlive(identity), true);
	}));

test('a zombie does not live, though it can be signalled', () =>
	// The shell starts a child and becomes a program that never waits for it; then the child ends.
	withProcess(['sh', '-c', 'sleep 100 & echo $!; exec sleep 100'], async (pid, child) => {
		const zombie = Number(await prints(child));
		await until('both are what they are to be', () =>
			[pid, zombie].every((each) => fs.readFileSync(`/proc/${each}/comm`, 'utf8') === 'sleep\n'),
		);
		killOne(zombie, 'SIGKILL');
		const ticks = startTicks(zombie) as number;
		await until('it is a zombie', () => fs.readFileSync(`/proc/${zombie}/stat`, 'utf8').includes(') Z '));
		assert.is(isAlive({ pid: zombie, startTicks: ticks }), false);
		assert.is(process.kill(zombie, 0), true);
		assert.is(sample(zombie), null);
	}));

test('the name of a program may hold anything', () =>
	withProcess(['node', '-e', "process.title = 'a) Z 1 (b'; console.log('up'); setInterval(() => {}, 1000)"], async (pid, child) => {
		await prints(child);
		const ticks = startTicks(pid) as number;
		assert.is(isAlive({ pid, startTicks: ticks }), true);
		// Read at the right place: started after this test, by less than a minute.
		const later = ticks - (startTicks(process.pid) as number);
		assert.ok(later >= 0 && later < 6_000, `${later} ticks later`);
	}));

test('a boot has one name', () => {
	assert.match(bootId(), onLinux ? /^[0-9a-f-]{36}$/ : /./);
	assert.is(bootId(), bootId());
});

test('what a process uses: memory, its peak, and CPU time', () =>
	withProcess(
		[
			'node',
			'-e',
			"let b = Buffer.alloc(80e6, 1); while (process.cpuUsage().user < 150_000); b = null; console.log('up'); setInterval(() => {}, 1000)",
		],
		async (pid, child) => {
			await prints(child);
			const { rssBytes, peakRssBytes, cpuMs } = sample(pid) as NonNullable<ReturnType<typeof sample>>;
			assert.ok(peakRssBytes > 80e6 && peakRssBytes < 400e6, `peak ${peakRssBytes}`);
			assert.ok(rssBytes > 20e6 && rssBytes <= peakRssBytes, `rss ${rssBytes}`);
			assert.ok(cpuMs >= 50 && cpuMs < 10_000, `cpu ${cpuMs}`);
		},
	));

test('what this process says of itself is what is seen from outside', () => {
	const seen = sample(process.pid) as NonNullable<ReturnType<typeof sample>>;
	const { maxRSS, userCPUTime, systemCPUTime } = process.resourceUsage();
	assert.ok(Math.abs(seen.peakRssBytes / (maxRSS * 1024) - 1) < 0.1, `${seen.peakRssBytes} and ${maxRSS * 1024}`);
	assert.ok(Math.abs(seen.cpuMs - (userCPUTime + systemCPUTime) / 1000) < 200);
});

test('finds the processes with a mark in their environment, and only with exactly this mark', async () => {
	const mark = randomUUID();
	const none = findMarked('CHOIR_TEST', mark);
	assert.equal(none, []);
	await withProcess(
		['sh', '-c', 'sleep 100 & setsid sleep 100 & wait'],
		async (pid) => {
			await until('all three', () => findMarked('CHOIR_TEST', mark).length === 3);
			assert.ok(findMarked('CHOIR_TEST', mark).some((each) => each.pid === pid && each.startTicks === startTicks(pid)));
			for (const [name, value] of [
				['CHOIR_TEST', mark.slice(0, -1)],
				['CHOIR_TEST', `${mark}0`],
				['HOIR_TEST', mark],
				['CHOIR_TES', `T=${mark}`],
			] as const)
				assert.equal(findMarked(name, value), [], `${name}=${value}`);
			// In the middle of its exec a process has no environment for a moment, and is not found: so they are killed as long as there are any.
			await until('none', () => {
				const left = findMarked('CHOIR_TEST', mark);
				for (const each of left) killOne(each.pid, 'SIGKILL');
				return left.length === 0;
			});
		},
		{ CHOIR_TEST: mark, OTHER: '1' },
	);
});

test('does not find itself', () => {
	const [name, value] = Object.entries(process.env).find(([, text]) => text !== '' && !text?.includes('\n')) as [string, string];
	assert.not(findMarked(name, value).some(({ pid }) => pid === process.pid));
});

test('signals a whole group, and says when nobody is left in it', () =>
	withProcess(['sh', '-c', 'sleep 100 & echo $!; wait'], async (pid, child) => {
		const grandchild = Number(await prints(child));
		const identity = { pid: grandchild, startTicks: startTicks(grandchild) as number };
		const gone = exit(child);
		assert.is(killGroup(pid, 'SIGKILL'), true);
		await within('it is gone', gone);
		await until('the grandchild is gone', () => !isAlive(identity));
		await until('the group is gone', () => !killGroup(pid, 'SIGKILL'));
	}));

test('signals one of a group and leaves the rest', () =>
	withProcess(['sh', '-c', 'sleep 100 & echo $!; wait'], async (pid, child) => {
		const grandchild = Number(await prints(child));
		const gone = exit(child);
		killOne(pid, 'SIGKILL');
		await within('it is gone', gone);
		assert.is(isAlive({ pid: grandchild, startTicks: startTicks(grandchild) ?? -1 }), true);
	}));

test('refuses pids that mean many, or everybody', () => {
	for (const pid of [1, 0, -1, -5, 1.5, Number.NaN]) {
		assert.throws(() => killOne(pid, 'SIGCONT'), /refusing/);
		assert.throws(() => killGroup(pid, 'SIGCONT'), /refusing/);
	}
});

test('nobody is nobody', () => {
	assert.is(startTicks(NOBODY), null);
	assert.is(sample(NOBODY), null);
	assert.is(isAlive({ pid: NOBODY, startTicks: 1 }), false);
	assert.is(killOne(NOBODY, 'SIGCONT'), false);
	assert.is(killGroup(NOBODY, 'SIGCONT'), false);
});

test.run();
