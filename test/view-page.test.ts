/** The live page in a real browser, of trees that run: what people see, and what they may do. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import type { BrowserContextOptions, Page } from 'playwright-core';
import { test } from 'uvu';
import { changesOf, compare } from '../src/view/page/diff.ts';
import { bytes, duration, eventName, stateWord, toneOf } from '../src/view/page/words.ts';
import { artefacts, browser, keep, withPage } from './support/browser.ts';
import { type RealTree, signal, withTree } from './support/real.ts';
import { until } from './support/until.ts';
import { ask } from './support/viewing.ts';

const SEEN_MS = 200;
const PAINTED_MS = 1_000;
const UPDATED_MS = 50;

const worker = `
import { onDrain, ready } from 'choir/worker';
ready();
console.log('<b onmouseover="alert(1)">bold</b> \\x1b[31mred\\x1b[0m \\x1b]0;title\\x07');
let n = 0;
const printing = setInterval(() => console.log('line ' + ++n), 50);
onDrain(() => clearInterval(printing));
`;
const files = {
	'tree.ts': `
import { command, node, supervisor, tree } from 'choir';
export default tree('shop', { view: true, intensity: { restarts: 100, within: '10m' }, children: [
	node('web', { module: './worker.ts', ready: 'signal', restart: { backoff: 0 }, heartbeat: { every: '1s', timeout: '10s' }, stop: { drain: '60s', terminate: '5s' } }),
	command('pool', { run: ['sleep', '1000'], instances: 2 }),
	command('broken', { run: ['sh', '-c', 'exit 78'], ready: 'spawned' }),
	supervisor('jobs', { strategy: 'rest_for_one', children: [
		command('sleeper', { run: ['sleep', '1000'] }),
		command('late', { run: ['sleep', '1000'], restart: { type: 'permanent', backoff: { from: '100s', to: '100s', resetAfter: '200s' } } }),
	] }),
] });
`,
	'worker.ts': worker,
};

async function addressOf(tree: RealTree): Promise<string> {
	return JSON.parse((await tree.cli('view', '--json')).stdout).address;
}

/** The page of a tree that runs. */
function onPage(body: (page: Page, tree: RealTree, address: string) => Promise<void>, options?: BrowserContextOptions, spec = files) {
	return () =>
		withTree(
			spec,
			async (tree) => {
				fs.symlinkSync(path.join(import.meta.dirname, '../node_modules'), path.join(tree.folder, 'node_modules'));
				await tree.up();
				const address = await addressOf(tree);
				await withPage(address, (page) => body(page, tree, address), options);
			},
			{ id: 'shop' },
		);
}

const row = (page: Page, childPath: string) => page.locator(`[role=treeitem][data-path="${childPath}"]`);
const leaf = (page: Page, state: string) => page.locator(`.choir-picture .leaf[data-state="${state}"]`);
const button = (page: Page, name: string | RegExp) => page.getByRole('button', { name, exact: typeof name === 'string' });
/** Asked from outside: the page itself may not evaluate text. */
const holds = (page: Page, fact: string) => until(fact, () => page.evaluate(fact));
const texts = (page: Page, selector: string) => page.locator(selector).allInnerTexts();

/** What is to be seen of a child from now on, with the time of the browser's clock, which is this machine's. */
const watch = (childPath: string) => `(() => {
	const seen = { states: [], leaves: [], steps: {} };
	window.seen = seen;
	const last = (list) => list.at(-1)?.what;
	const look = () => {
		const at = Date.now();
		const row = document.querySelector('[role=treeitem][data-path="${childPath}"]').dataset.state;
		if (row !== last(seen.states)) seen.states.push({ what: row, at });
		const leaf = document.querySelector('.choir-picture .leaf')?.dataset.state;
		if (leaf !== last(seen.leaves)) seen.leaves.push({ what: leaf, at });
		for (const { dataset } of document.querySelectorAll('.event[data-path="${childPath}"]'))
			seen.steps[dataset.seq] ??= { late: at - Number(dataset.time), text: dataset.seq };
	};
	look();
	new MutationObserver(look).observe(document.body, { subtree: true, childList: true, attributes: true });
})()`;
interface Seen {
	states: Array<{ what: string; at: number }>;
	leaves: Array<{ what: string; at: number }>;
	steps: Record<string, { late: number }>;
}

const tests: Array<[name: string, run: () => Promise<void>]> = [
	[
		'a worker that is killed goes through its states before your eyes, each within 200 ms; chart and counter go with it',
		onPage(async (page, tree) => {
			await row(page, 'web').click();
			await leaf(page, 'running.healthy').waitFor();
			await page.evaluate(watch('web'));
			const delays: number[] = [];
			for (let n = 1; n <= 3; n++) {
				const { pid } = await tree.incarnation('web', n);
				await holds(page, `window.seen.states.at(-1).what === 'running.healthy'`);
				const at = Date.now();
				signal(pid, 'SIGKILL');
				await row(page, 'web')
					.locator('.cell-restarts', { hasText: String(n) })
					.waitFor();
				await holds(page, `window.seen.states.at(-1).what === 'running.healthy'`);
				const seen = (await page.evaluate('window.seen')) as Seen;
				delays.push((seen.states.find((state) => state.at >= at && state.what !== 'running.healthy')?.at ?? Number.POSITIVE_INFINITY) - at);
			}
			await leaf(page, 'running.healthy').waitFor();
			const seen = (await page.evaluate('window.seen')) as Seen;
			const late = Object.values(seen.steps).map(({ late }) => late);
			console.log(`a kill is seen after ${delays.join(', ')} ms; steps after ${Math.min(...late)} to ${Math.max(...late)} ms`);
			assert.ok(Math.min(...delays) < SEEN_MS, `a kill is seen after ${delays} ms`);
			assert.ok(Math.min(...late) > -SEEN_MS, `no step comes from the future: ${late}`);
			// Of each life: its exit, its start, its pid, its readiness.
			assert.ok(late.length >= 12, `${late.length} steps`);
			assert.ok(late.sort((a, b) => a - b)[Math.floor(late.length / 2)]! < SEEN_MS, `steps are seen after ${late} ms`);
			const states = seen.states.map(({ what }) => what);
			assert.ok(
				states.some((state) => state.startsWith('starting')),
				states.join(),
			);
			assert.ok(
				seen.leaves.some(({ what }) => what !== 'running.healthy'),
				JSON.stringify(seen.leaves),
			);
			assert.equal(await row(page, 'web').locator('.cell-incarnation').innerText(), '#4');
			assert.ok((await texts(page, '.event[data-path="web"] .event-change b')).includes('dead'));
			// What just fired is lit.
			await page.locator('.choir-picture .lit').first().waitFor();
		}),
	],
	[
		'a child is restarted by its button, once it was said what that means, and confirmed',
		onPage(async (page, tree) => {
			await row(page, 'web').click();
			await leaf(page, 'running.healthy').waitFor();
			const { pid } = await tree.child('web');
			await button(page, 'Restart').click();
			await page.getByText('Restart web?').waitFor();
			assert.match(await page.locator('#meaning').innerText(), /^It drains first, up to 1m, and is then started again\.$/);
			await page.keyboard.press('Escape');
			await page.locator('dialog[open]').waitFor({ state: 'detached' });
			assert.equal((await tree.child('web')).pid, pid);
			await button(page, 'Restart').click();
			await page.locator('dialog button:focus', { hasText: 'Restart' }).waitFor();
			await page.keyboard.press('Enter');
			assert.match(await page.locator('.toast').innerText(), /web/);
			const after = await tree.incarnation('web', 2);
			assert.notEqual(after.pid, pid);
			// And stopped, and started.
			await button(page, 'Stop').click();
			await page.locator('dialog').getByRole('button', { name: 'Stop' }).click();
			await row(page, 'web').locator('.cell-state', { hasText: 'stopped' }).waitFor();
			assert.equal((await tree.child('web')).state, 'dead');
			await button(page, 'Start').click();
			await page.locator('dialog').getByRole('button', { name: 'Start' }).click();
			await tree.incarnation('web', 3);
			await row(page, 'web').locator('.cell-state', { hasText: 'running' }).waitFor();
		}),
	],
	[
		'instances are scaled to a number',
		onPage(async (page, tree) => {
			await row(page, 'pool.2').click();
			await button(page, 'Scale').click();
			await page.getByText('How many instances of pool?').waitFor();
			assert.equal(await page.getByRole('spinbutton').inputValue(), '2');
			await page.getByRole('spinbutton').fill('3');
			await page.keyboard.press('Enter');
			await row(page, 'pool.3').locator('.cell-state', { hasText: 'running' }).waitFor();
			await page.locator('.toast').waitFor();
			assert.equal((await tree.child('pool.3')).state, 'running');
			// Beside its siblings, as in the status, not where it came.
			const inStatus = (await tree.status()).children.map(({ path }) => path);
			assert.notEqual(inStatus.at(-1), 'pool.3');
			await until('the rows are in start order', async () => {
				const shown = (await page.evaluate(
					`[...document.querySelectorAll('[role=treeitem]')].map((item) => item.dataset.path)`,
				)) as string[];
				return inStatus.join() === shown.filter((path) => path !== '' && !path.includes('/')).join();
			});
		}),
	],
	[
		'without the token the answer is 403',
		onPage(async (page, _tree, address) => {
			for (const place of ['/', '/AAAAAAAAAAAAAAAAAAAAAAAA/', '/AAAAAAAAAAAAAAAAAAAAAAAA/page.js']) {
				assert.equal((await ask(new URL(place, address).href)).status, 403, place);
			}
			assert.equal((await page.context().request.get(new URL('/', address).href)).status(), 403);
		}),
	],
	[
		'lines and words from children are text, whatever is in them',
		onPage(async (page) => {
			await row(page, 'web').click();
			await page.getByRole('tab', { name: 'Output' }).click();
			await page.locator('.printed', { hasText: 'line 3' }).first().waitFor();
			const [first] = await texts(page, '.printed');
			assert.equal(first, '<b onmouseover="alert(1)">bold</b> ␛[31mred␛[0m ␛]0;title␇');
			assert.equal(await page.locator('.output-box b').count(), 0);
			// It follows; who scrolls back is left alone, until they follow again.
			const fromEnd = 'e => e.scrollHeight - e.scrollTop - e.clientHeight';
			const box = page.locator('.output-box');
			await holds(page, 'document.querySelector(".output-box").scrollHeight > document.querySelector(".output-box").clientHeight + 100');
			assert.ok(Number(await box.evaluate(`(${fromEnd})(document.querySelector('.output-box'))`)) < 30);
			await box.hover();
			await page.mouse.wheel(0, -5_000);
			await button(page, '↓ Follow').click();
			await button(page, '↓ Follow').waitFor({ state: 'detached' });
		}),
	],
	[
		'by keys alone: through the tree, folding, searching, the help, and back',
		onPage(async (page) => {
			await page.keyboard.press('/');
			await page.keyboard.type('sleeper');
			await row(page, 'web').waitFor({ state: 'detached' });
			await page.keyboard.press('Enter');
			const chosen = () => page.locator('[aria-selected=true][role=treeitem]').getAttribute('data-path');
			assert.equal(await chosen(), 'jobs/sleeper');
			await page.keyboard.press('/');
			await page.keyboard.press('Escape');
			await row(page, 'web').waitFor();
			for (const [key, path] of [
				['Home', ''],
				['ArrowDown', 'web'],
				['End', 'jobs/late'],
				['ArrowUp', 'jobs/sleeper'],
				['ArrowLeft', 'jobs'],
			] as const) {
				await page.keyboard.press(key);
				assert.equal(await chosen(), path, key);
			}
			assert.equal(await row(page, 'jobs').getAttribute('aria-expanded'), 'true');
			assert.deepEqual(
				[await row(page, 'jobs/late').getAttribute('aria-level'), await row(page, 'jobs/late').getAttribute('aria-posinset')],
				['3', '2'],
			);
			await page.keyboard.press('ArrowLeft');
			await row(page, 'jobs/late').waitFor({ state: 'detached' });
			await page.keyboard.press('ArrowRight');
			await row(page, 'jobs/late').waitFor();
			await page.keyboard.press('?');
			await page.getByRole('heading', { name: 'Keys' }).waitFor();
			await page.keyboard.press('Escape');
			const theme = () => page.evaluate('getComputedStyle(document.documentElement).colorScheme');
			await page.keyboard.press('t');
			assert.equal(await theme(), 'dark');
			await page.reload();
			await row(page, 'web').waitFor();
			assert.equal(await theme(), 'dark');
			assert.match(await page.title(), /shop – 1 in trouble/);
		}),
	],
	[
		'back through the history of a child: states, what it knew before and after, a link to the moment, and live again',
		onPage(async (page, tree, address) => {
			await row(page, 'web').click();
			await leaf(page, 'running.healthy').waitFor();
			signal((await tree.child('web')).pid, 'SIGKILL');
			await tree.incarnation('web', 2);
			const death = page.locator('.event[data-path="web"]', { hasText: 'process.exited' });
			await death.getByRole('button').first().click();
			await leaf(page, 'dead').waitFor();
			await page.locator('.choir-picture .edge.lit[data-to="dead"]').waitFor();
			assert.deepEqual(await texts(page, '.from-to'), ['running.healthy dead']);
			const changes = (await texts(page, '.lines > div')).map((line) => line.replace(/\s+/g, ' '));
			assert.ok(changes.includes('- exit null') && changes.includes('+ signal "SIGKILL"'), changes.join('\n'));
			await page.keyboard.press('[');
			await leaf(page, 'running.healthy').waitFor();
			await page.keyboard.press(']');
			await leaf(page, 'dead').waitFor();
			const [seq, time] = [await death.getAttribute('data-seq'), await death.getAttribute('data-time')];
			await button(page, 'Back to live').click();
			await leaf(page, 'running.healthy').waitFor();
			// It beats: there is a timer, and it runs.
			await page.locator('.timer', { hasText: 'suspectTimeout' }).waitFor();
			await page.goto('about:blank');
			await page.goto(`${address}#at=${seq}&path=web&time=${time}`);
			await leaf(page, 'dead').waitFor();
			await page.keyboard.press('l');
			await leaf(page, 'running.healthy').waitFor();
		}),
	],
	[
		'events are filtered by path and by kind, and held',
		onPage(async (page, tree) => {
			const kill = async (path: string, n: number) => {
				signal((await tree.incarnation(path, n)).pid, 'SIGKILL');
				await tree.incarnation(path, n + 1);
			};
			const paths = async () => [...new Set(await texts(page, '.event-path'))];
			await kill('web', 1);
			await page.locator('.event[data-path="web"]').first().waitFor();
			await kill('jobs/sleeper', 1);
			await page.locator('.event[data-path="jobs/sleeper"]', { hasText: 'process.ready' }).waitFor();
			await page.getByLabel('Filter events by path').fill('sleep');
			await page.locator('.event[data-path="web"]').first().waitFor({ state: 'detached' });
			assert.deepEqual(await paths(), ['jobs/sleeper']);
			await page.getByLabel('Filter events by kind').selectOption('exits');
			await page.locator('.event', { hasText: 'process.ready' }).waitFor({ state: 'detached' });
			await page.locator('.event-name', { hasText: 'process.exited' }).waitFor();
			assert.deepEqual(await texts(page, '.event-name'), ['process.exited']);
			await button(page, 'Pause').click();
			await kill('jobs/sleeper', 2);
			await button(page, /^Resume \(\d+ new\)$/).waitFor();
			assert.equal(await page.locator('.event').count(), 1);
			await button(page, /^Resume/).click();
			await page.locator('.event').nth(1).waitFor();
			// What was before a page was opened is there as well.
			await page.reload();
			await page.locator('.event[data-path="jobs/sleeper"]').first().waitFor();
			await page.getByLabel('Filter events by path').fill('sleep');
			await page.getByLabel('Filter events by kind').selectOption('exits');
			await page.locator('.event-name', { hasText: 'process.exited' }).nth(1).waitFor();
			await page.locator('.event', { hasText: 'process.ready' }).first().waitFor({ state: 'detached' });
			await page.context().grantPermissions(['clipboard-read', 'clipboard-write']);
			await button(page, 'Copy').click();
			await page.locator('.toast', { hasText: '2 events copied' }).waitFor();
			const copied = String(await page.evaluate('navigator.clipboard.readText()'));
			assert.match(copied, /^\S+Z {2}jobs\/sleeper {2}process\.exited {2}running\.healthy → dead/);
			assert.equal(copied.split('\n').length, 2);
		}),
	],
	[
		'a thousand children: painted within a second, an update within 50 ms, and few of them in the document',
		onPage(
			async (page) => {
				const paints: number[] = [];
				for (let n = 0; n < 3; n++) {
					await page.reload();
					await holds(page, `performance.getEntriesByName('choir.painted').length > 0`);
					paints.push(Number(await page.evaluate(`performance.getEntriesByName('choir.painted')[0].startTime`)));
				}
				await page.getByText('1002 children').waitFor();
				assert.ok((await page.getByRole('treeitem').count()) < 80);
				await holds(page, `performance.getEntriesByName('choir.update').length > 20`);
				const updates = (await page.evaluate(`performance.getEntriesByName('choir.update').map((e) => e.duration)`)) as number[];
				const sorted = updates.slice(1).sort((a, b) => a - b);
				const quarter = sorted[Math.floor(sorted.length / 4)]!;
				console.log(
					`painted after ${paints.map(Math.round)} ms; updated within ${Math.round(quarter)} ms, at most ${Math.round(sorted.at(-1)!)} ms`,
				);
				assert.ok(Math.min(...paints) < PAINTED_MS, `painted after ${paints} ms`);
				assert.ok(quarter < UPDATED_MS, `updated within ${sorted} ms`);
				await page.getByRole('tree').focus();
				await page.keyboard.press('End');
				await row(page, 'many/a1000').waitFor();
				await page.getByLabel('Search the tree').fill('a777');
				await row(page, 'many/a777').waitFor();
				assert.equal(await page.getByRole('treeitem').count(), 3);
			},
			{},
			{
				'tree.ts': `
import { setup } from 'xstate';
import { actor, node, supervisor, tree } from 'choir';
const logic = setup({}).createMachine({});
export default tree('shop', { view: true, children: [
	node('web', { module: './worker.ts', heartbeat: { every: '100ms', timeout: '10s' } }),
	supervisor('many', { children: Array.from({ length: 1000 }, (_, n) => actor('a' + (n + 1), { logic })) }),
] });
`,
				'worker.ts': worker,
			},
		),
	],
	[
		'a master that is killed: the page says so, comes back by itself, and knows the next one',
		onPage(async (page, tree) => {
			await row(page, 'web').click();
			await leaf(page, 'running.healthy').waitFor();
			// Notes pass every filter; a new master makes many steps.
			await page.getByLabel('Filter events by kind').selectOption('exits');
			const { master } = await tree.status();
			signal(master.pid as number, 'SIGKILL');
			await page.locator('.between', { hasText: 'another master took over: incarnation 2' }).waitFor();
			await page.locator('.lost p').waitFor({ state: 'detached' });
			await tree.running();
			const { pid, incarnation } = await tree.incarnation('web', 1);
			await page.locator('.facts', { hasText: String(pid) }).waitFor();
			signal(pid, 'SIGKILL');
			const next = row(page, 'web').locator('.cell-incarnation', { hasText: `#${incarnation + 1}` });
			await next.waitFor();
			await page.locator('.event[data-path="web"]', { hasText: 'process.exited' }).last().waitFor();
			await leaf(page, 'running.healthy').waitFor();
		}),
	],
	[
		'on a phone nothing scrolls sideways, and each part is a page of its own',
		onPage(
			async (page) => {
				const sideways = async (name: string) => {
					const wide = await page.evaluate('[document.documentElement.scrollWidth, document.body.scrollWidth, innerWidth]');
					assert.deepEqual(wide, [360, 360, 360], name);
				};
				await sideways('tree');
				await keep(page, 'narrow-tree');
				await row(page, 'web').tap();
				await leaf(page, 'running.healthy').waitFor();
				await sideways('machine');
				await keep(page, 'narrow-machine');
				for (const name of ['Output', 'Events', 'Tree']) {
					await page.locator('.pages').getByRole('button', { name }).tap();
					await sideways(name);
				}
				await row(page, 'jobs').waitFor();
			},
			{ viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true, deviceScaleFactor: 2, reducedMotion: 'reduce' },
		),
	],
	...(['light', 'dark'] as const).map((colorScheme): [string, () => Promise<void>] => [
		`what it looks like in the ${colorScheme} is kept, and its words stand out from what is behind them`,
		onPage(
			async (page, tree) => {
				await row(page, 'web').click();
				signal((await tree.child('web')).pid, 'SIGKILL');
				signal((await tree.child('jobs/late')).pid, 'SIGKILL');
				await tree.incarnation('web', 2);
				await leaf(page, 'running.healthy').waitFor();
				await row(page, 'jobs/late').locator('.cell-state', { hasText: 'backoff' }).waitFor();
				await keep(page, colorScheme);
				const weak = (await page.evaluate(contrasts)) as string[];
				assert.deepEqual(weak, []);
			},
			{ colorScheme, reducedMotion: 'reduce' },
		),
	]),
];

/** Texts whose contrast is below WCAG's AA for small text. */
const contrasts = `(() => {
	const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
	const rgba = (colour) => {
		canvas.clearRect(0, 0, 1, 1);
		canvas.fillStyle = colour;
		canvas.fillRect(0, 0, 1, 1);
		return [...canvas.getImageData(0, 0, 1, 1).data];
	};
	const light = (colour) => {
		const [r, g, b] = colour.map((value) => (value / 255 <= 0.04045 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4));
		return 0.2126 * r + 0.7152 * g + 0.0722 * b;
	};
	const behind = (element) => {
		for (let at = element; at !== null; at = at.parentElement) {
			const colour = rgba(getComputedStyle(at).backgroundColor);
			if (colour[3] === 255) return colour;
		}
		return rgba('white');
	};
	const weak = [];
	for (const element of document.querySelectorAll('body *')) {
		const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim() !== '');
		if (!own || element.closest('svg, :disabled, dialog, [hidden]') || element.getClientRects().length === 0) continue;
		const [a, b] = [light(rgba(getComputedStyle(element).color)), light(behind(element))];
		const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
		if (ratio < 4.5) weak.push(element.className + ' "' + element.textContent.slice(0, 30) + '": ' + ratio.toFixed(2));
	}
	return weak;
})()`;

test('two values side by side: what is new, what has gone, and what it is in', () => {
	const before = { pid: 1, exit: null, stop: { drainMs: 5 }, children: { a: { phase: 'up', order: 1 }, b: { phase: 'up' } } };
	const after = { pid: 1, exit: { code: 0 }, stop: { drainMs: 5 }, children: { a: { phase: 'down', order: 1 }, c: [1] } };
	const shown = changesOf(compare(before, after)).map(({ mark, depth, key, value }) => `${mark}${'.'.repeat(depth)}${key} ${value}`.trim());
	assert.deepEqual(shown, [
		'-exit null',
		'+exit',
		'+.code 0',
		'children',
		'.a',
		'-..phase "up"',
		'+..phase "down"',
		'-.b',
		'-..phase "up"',
		'+.c',
		'+..0 1',
	]);
	assert.deepEqual(changesOf(compare(after, after)), []);
	assert.equal(compare(before, before).length, 10);
});

test('durations, sizes and events in few words', () => {
	assert.deepEqual([0, 999, 61_000, 3_600_000, 90_061_000].map(duration), ['0s', '0s', '1m 1s', '1h', '1d 1h']);
	assert.deepEqual([null, 1, 45_400_000, 2_340_000_000].map(bytes), ['–', '1 kB', '45 MB', '2.3 GB']);
	assert.equal(eventName('xstate.after.drainTimeout.worker.draining.finishing'), 'after drainTimeout');
	assert.equal(toneOf({ state: 'dead', substate: 'backoff', standing: null }), 'warn');
	assert.equal(stateWord({ state: 'running', substate: 'suspect', standing: null }), 'running · suspect');
});

if (browser === null) {
	test('there is a browser, or this is not where all must hold', () => {
		console.log('SKIPPED: there is no chromium; install it, or name a browser in CHOIR_CHROMIUM');
		assert.ok(!process.env.CI, 'no chromium, and with CI=true nothing may be skipped');
	});
} else {
	console.log(`screenshots: ${artefacts}`);
	for (const [name, run] of tests) test(name, run);
}

test.run();
