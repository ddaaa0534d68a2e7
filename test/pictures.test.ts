/** Nothing in a picture covers anything else: read from the SVG text itself, whatever laid it out. */

import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type AnyStateMachine, createMachine } from 'xstate';
import { machines } from '../diagrams/draw.ts';
import type { ChildDeclaration, TreeDeclaration } from '../machines/spec.ts';
import { chartOf } from '../src/diagram/chart.ts';
import { chartSvg } from '../src/diagram/chart-svg.ts';
import { widthOf } from '../src/diagram/text.ts';
import { drawnTree } from '../src/diagram/tree.ts';
import { treeMermaid } from '../src/diagram/tree-mermaid.ts';
import { treeSvg } from '../src/diagram/tree-svg.ts';
import { actor, command, dynamic, node, supervisor, thread, tree } from '../src/index.ts';
import { resolveSpec } from '../src/spec/check.ts';

interface Rect {
	x: number;
	y: number;
	width: number;
	height: number;
}
interface Shape extends Rect {
	kind: string;
	/** The group in which it is drawn: by its first tag. */
	group: Group;
	/** Of a text. */
	said: string;
}
type Segment = [x1: number, y1: number, x2: number, y2: number];
interface Group {
	head: string;
	kind: string;
}
interface Picture {
	width: number;
	height: number;
	texts: Shape[];
	rects: Shape[];
	lines: Array<{ segments: Segment[]; group: Group; kind: string }>;
	groups: Group[];
}

const plain = (text: string) => text.replace(/&#(\d+);/g, (_, code) => String.fromCodePoint(Number(code)));

/** As a parser of XML has it: it stops at what is not well-formed. */
function read(svg: string): Picture {
	const [, width, height] = /viewBox="0 0 ([\d.]+) ([\d.]+)"/.exec(svg) ?? [];
	const picture: Picture = { width: Number(width), height: Number(height), texts: [], rects: [], lines: [], groups: [] };
	const none: Group = { head: '', kind: '' };
	const open: Array<{ name: string; group: Group }> = [];
	let text: Shape | null = null;
	let end = 0;
	for (const match of svg.matchAll(/<(\/?)(\w+)((?: [\w:-]+="[^"<&]*(?:&#\d+;[^"<&]*)*")*)(\/?)>|([^<]+)/g)) {
		if (match.index !== end) break;
		end += match[0].length;
		const [all, closes, name = '', attributes = '', empty, content] = match;
		if (content !== undefined) {
			if (/[&<]|[^\P{Cc}\n]/u.test(content.replace(/&#\d+;/g, ''))) throw new Error(`'${content}' cannot be read as XML`);
			if (text !== null) text.said += plain(content);
			continue;
		}
		const value = (key: string) => plain(new RegExp(` ${key}="([^"]*)"`).exec(attributes)?.[1] ?? '');
		const group = open.at(-1)?.group ?? none;
		if (closes) {
			if (open.pop()?.name !== name) throw new Error(`</${name}> closes something else`);
			if (name === 'text' && text !== null) {
				finish(text, value);
				picture.texts.push(text);
				text = null;
			}
			continue;
		}
		const kind = value('class');
		if (name === 'text') text = { x: Number(value('x')), y: Number(value('y')), width: 0, height: 0, kind, group, said: '' };
		if (name === 'text') Object.assign(text as Shape, { anchor: value('text-anchor') || (kind === 'number' ? 'middle' : 'start') });
		if (name === 'rect' && kind !== 'page')
			picture.rects.push({
				x: Number(value('x')),
				y: Number(value('y')),
				width: Number(value('width')),
				height: Number(value('height')),
				kind,
				group,
				said: '',
			});
		if (name === 'circle') {
			const r = Number(value('r'));
			picture.rects.push({ x: Number(value('cx')) - r, y: Number(value('cy')) - r, width: 2 * r, height: 2 * r, kind, group, said: '' });
		}
		if (name === 'path') picture.lines.push({ segments: segmentsOf(value('d')), group, kind });
		if (!empty) {
			const inner = name === 'g' ? { head: all, kind } : group;
			if (name === 'g') picture.groups.push(inner);
			open.push({ name, group: inner });
		}
	}
	if (end !== svg.length || open.length > 0) throw new Error(`not well-formed at ${svg.slice(end, end + 60)}`);
	return picture;
}

function finish(text: Shape & { anchor?: string }, _value: unknown): void {
	const isBold = text.kind === 'name' || text.kind === 'number';
	const size = text.kind === 'name' ? 14 : text.kind === 'number' ? 11 : 12;
	text.width = widthOf(text.said, { size, bold: isBold });
	if (text.anchor === 'middle') text.x -= text.width / 2;
	if (text.anchor === 'end') text.x -= text.width;
	text.y -= size * 0.8;
	text.height = size;
}

/** Curves are taken by their corners, which is further out than they go. */
function segmentsOf(d: string): Segment[] {
	const segments: Segment[] = [];
	let [x, y, startX, startY] = [0, 0, 0, 0];
	const to = (nextX: number, nextY: number) => {
		segments.push([x, y, nextX, nextY]);
		[x, y] = [nextX, nextY];
	};
	for (const [, letter, rest = ''] of d.matchAll(/([MLQhZ])([^MLQhZ]*)/g)) {
		const numbers = (rest.match(/-?[\d.]+/g) ?? []).map(Number);
		if (letter === 'M') [x, y, startX, startY] = [numbers[0] as number, numbers[1] as number, numbers[0] as number, numbers[1] as number];
		if (letter === 'h') to(x + (numbers[0] as number), y);
		if (letter === 'Z') to(startX, startY);
		if (letter === 'L' || letter === 'Q') for (let i = 0; i < numbers.length; i += 2) to(numbers[i] as number, numbers[i + 1] as number);
	}
	return segments;
}

const SLACK = 0.2;
const overlap = (a: Rect, b: Rect) =>
	a.x + a.width > b.x + SLACK && b.x + b.width > a.x + SLACK && a.y + a.height > b.y + SLACK && b.y + b.height > a.y + SLACK;
const inside = (a: Rect, b: Rect) =>
	a.x >= b.x - SLACK && a.y >= b.y - SLACK && a.x + a.width <= b.x + b.width + SLACK && a.y + a.height <= b.y + b.height + SLACK;
const shrunk = ({ x, y, width, height }: Rect, by: number): Rect => ({
	x: x + by,
	y: y + by,
	width: width - 2 * by,
	height: height - 2 * by,
});

/** Whether a segment has a point within (Liang and Barsky). */
function crosses([x1, y1, x2, y2]: Segment, box: Rect): boolean {
	let [from, to] = [0, 1];
	for (const [delta, low, high] of [
		[x2 - x1, box.x - x1, box.x + box.width - x1],
		[y2 - y1, box.y - y1, box.y + box.height - y1],
	] as Array<[number, number, number]>) {
		if (delta === 0) {
			if (low >= 0 || high <= 0) return false;
			continue;
		}
		const [near, far] = delta > 0 ? [low / delta, high / delta] : [high / delta, low / delta];
		from = Math.max(from, near);
		to = Math.min(to, far);
	}
	return from < to;
}

/** All that is wrong with a picture. */
function faults(svg: string): string[] {
	const { width, height, texts, rects, lines } = read(svg);
	const found: string[] = [];
	const leaves = new Set(rects.filter((rect) => /^(box|card)$/.test(rect.kind) && !hasInside(rect, rects)));
	const name = ({ kind, said, group, x, y }: Shape) => `${kind} '${said}' of ${group.head} at ${Math.round(x)},${Math.round(y)}`;
	for (const [index, text] of texts.entries()) {
		if (!inside(text, { x: 0, y: 0, width, height })) found.push(`${name(text)} leaves the picture`);
		for (const other of texts.slice(index + 1)) if (overlap(text, other)) found.push(`${name(text)} covers ${name(other)}`);
		for (const line of lines)
			if (line.segments.some((segment) => crosses(segment, shrunk(text, SLACK))))
				found.push(`${line.kind} of ${line.group.head} runs through ${name(text)}`);
		for (const rect of rects) {
			if (overlap(text, rect) && !inside(text, rect)) found.push(`${name(text)} crosses the border of ${name(rect)}`);
			if ((leaves.has(rect) || /^(dot|order)$/.test(rect.kind)) && rect.group !== text.group && overlap(text, rect))
				found.push(`${name(text)} is written into ${name(rect)}`);
		}
		const own = rects.filter(({ group, kind }) => group === text.group && /^(box|card|frame)$/.test(kind));
		if (text.kind !== 'label' && own.length > 0 && !own.some((rect) => inside(text, shrunk(rect, 1))))
			found.push(`${name(text)} is cut off`);
	}
	for (const rect of rects) {
		if (!inside(rect, { x: 0, y: 0, width, height })) found.push(`${name(rect)} leaves the picture`);
		for (const other of rects)
			if (rect !== other && rect.group !== other.group && overlap(rect, other) && !inside(rect, other) && !inside(other, rect))
				found.push(`${name(rect)} covers ${name(other)}`);
		if (!leaves.has(rect)) continue;
		for (const { segments, group, kind } of lines)
			if (kind !== 'rule' && segments.some((segment) => crosses(segment, shrunk(rect, 1.5))))
				found.push(`${kind} of ${group.head} runs through ${name(rect)}`);
	}
	for (const { segments, group } of lines)
		for (const [x1, y1, x2, y2] of segments)
			if ([x1, x2].some((x) => x < 0 || x > width) || [y1, y2].some((y) => y < 0 || y > height))
				found.push(`a line of ${group.head} leaves the picture`);
	return found;
}

const hasInside = (rect: Shape, rects: Shape[]) =>
	rects.some((other) => other.group !== rect.group && /^(box|card)$/.test(other.kind) && inside(other, rect) && !inside(rect, other));

for (const machine of machines as readonly AnyStateMachine[])
	test(`the picture of ${machine.id}: nothing covers anything`, async () => assert.equal(faults(await chartSvg(chartOf(machine))), []));

test('the check sees what it is for', () => {
	const picture = (body: string) => `<svg viewBox="0 0 300 300">${body}</svg>`;
	const state = (x: number) =>
		`<g class="state"><rect class="box" x="${x}" y="10" width="80" height="40"/><text class="name" x="${x + 10}" y="34">abc</text></g>`;
	assert.equal(faults(picture(state(10) + state(100))), []);
	for (const [body, fault] of [
		[state(10) + state(50), /covers/],
		[state(10) + '<g><path class="path" d="M0 30L200 30"/></g>', /runs through name 'abc'/],
		[state(10) + '<g><path class="path" d="M0 12L200 12"/></g>', /runs through box/],
		['<g><rect class="box" x="1" y="1" width="40" height="40"/><text class="name" x="9" y="20">abcdef</text></g>', /is cut off/],
		['<text class="line" x="280" y="20">abcdef</text>', /leaves the picture/],
		[`${state(10)}<g class="edge"><text class="label" x="60" y="30">a</text></g>`, /is written into box/],
		[`${state(10)}<g class="edge"><text class="label" x="85" y="30">abc</text></g>`, /crosses the border/],
	] as const)
		assert.match(faults(picture(body)).join('\n'), fault);
	assert.throws(() => faults(picture('<text>a & b</text>')));
	assert.throws(() => faults(picture('<g><script></g>')));
});

/** Of any shape: nested, with arrows between any two states, timers, and words as long as people make them. */
const anyMachine = fc
	.record({
		shape: fc.array(fc.tuple(fc.nat(20), fc.constantFrom('go', 'process.exited', 'a.rather.long.event.of.somebody', 'x')), {
			minLength: 1,
			maxLength: 11,
		}),
		arrows: fc.array(
			fc.tuple(
				fc.nat(20),
				fc.nat(20),
				fc.constantFrom('go', 'stop', 'child.died', 'aVeryLongEventWithoutAnyPlaceToBreakItAtWhichNobodyShouldWrite'),
				fc.boolean(),
			),
			{ maxLength: 18 },
		),
	})
	.map(({ shape, arrows }) => {
		interface Config {
			id: string;
			type?: 'parallel';
			initial?: string;
			entry?: string[];
			on: Record<string, Array<{ target?: string; guard?: string; actions?: string }>>;
			after: Record<string, string>;
			states: Record<string, Config>;
		}
		const made: Config[] = [{ id: 'r', on: {}, after: {}, states: {} }];
		for (const [index, [parent, word]] of shape.entries()) {
			const above = made[parent % made.length] as Config;
			const state: Config = {
				id: `s${index}`,
				on: {},
				after: {},
				states: {},
				...(index % 3 === 0 ? { entry: [word, 'tellEverybodyWhatHasHappened'] } : {}),
			};
			above.initial ??= `${word.replaceAll('.', '')}${index}`;
			above.states[`${word.replaceAll('.', '')}${index}`] = state;
			made.push(state);
		}
		for (const [from, to, event, guarded] of arrows) {
			const source = made[from % made.length] as Config;
			const target = made[to % made.length] as Config;
			const arrow = target === made[0] ? { actions: 'note' } : { target: `#${target.id}` };
			source.on[event] = [...(source.on[event] ?? []), guarded ? { ...arrow, guard: 'mayBeDone' } : arrow];
			if (guarded && target !== made[0]) source.after.someTimeout = `#${target.id}`;
		}
		for (const [index, state] of made.entries()) {
			if (index % 4 !== 3 || state.initial === undefined) continue;
			delete state.initial;
			state.type = 'parallel';
		}
		return made[0] as Config;
	});

test('the picture of any machine: nothing covers anything', async () => {
	await fc.assert(
		fc.asyncProperty(anyMachine, async (config) => {
			const svg = await chartSvg(chartOf(createMachine(config as Parameters<typeof createMachine>[0])));
			assert.equal(faults(svg), []);
		}),
		{ numRuns: 60 },
	);
});

const logic = createMachine({ id: 'ledger' });
const twelve = Array.from({ length: 12 }, (_, index) => node(`part-${index}`, { module: './part.ts' }));
const trees: Record<string, TreeDeclaration> = {
	'of one child': tree('one', { children: [node('web', { module: './web.ts' })] }),
	'of none': tree('none', { children: [] }),
	'with every kind of child': tree('shop', {
		children: [
			node('web', { module: './web.ts', instances: 3, listen: { http: '127.0.0.1:8080', admin: 'unix:/run/admin.sock' } }),
			command('cache', { run: ['sh', '-c', 'redis-server --port 6390 | tee "a & <b>" \u202e\u0007'], ready: { output: /<ready>/ } }),
			thread('hasher', { module: './hash.ts', restart: 'temporary' }),
			actor('ledger', { logic, restart: { type: 'transient', strategy: 'rest_for_one' } }),
			dynamic('carts', { child: actor('cart', { logic }), maxChildren: 500 }),
			supervisor('jobs', {
				strategy: 'one_for_all',
				children: [node('left', { module: './a.ts', restart: { strategy: 'one_for_one' } }), node('right', { module: './a.ts' })],
			}),
		],
	}),
	'where those after it go down, in several rows': tree('chain', { strategy: 'rest_for_one', children: twelve }),
	'where all go down, in several rows': tree('whole', { strategy: 'one_for_all', start: 'parallel', children: twelve }),
	'with supervisors of supervisors': tree('deep', {
		strategy: 'rest_for_one',
		children: [1, 2, 3].map((index) =>
			supervisor(`a-${index}`, {
				strategy: 'one_for_all',
				children: [
					supervisor('inner', { strategy: 'rest_for_one', children: twelve.slice(0, 3 * index) }),
					node('beside', { module: './b.ts' }),
				],
			}),
		),
	}),
	'with words as long as they come': tree('long', {
		children: [
			node(`a${'-very-long-name'.repeat(12)}`, { module: `./${'x'.repeat(300)}.ts` }),
			command('c', { run: ['sh', '漢字'.repeat(60), 'ﷺﷺﷺ', '👩‍👩‍👧'.repeat(9)] }),
		],
	}),
};

for (const [name, declaration] of Object.entries(trees))
	test(`the picture of a tree ${name}: nothing covers anything`, () =>
		assert.equal(faults(treeSvg(drawnTree(resolveSpec(declaration), '/', new Map()))), []));

test('the picture of the example is whole', async () => {
	const { default: shop } = await import('../examples/shop/tree.ts');
	assert.equal(faults(treeSvg(drawnTree(resolveSpec(shop), '/', new Map()))), []);
});

test('a tree of hundreds is drawn in time, instances as one, in a handy shape', () => {
	const children: ChildDeclaration[] = Array.from({ length: 300 }, (_, index) => node(`n-${index}`, { module: './n.ts', instances: 10 }));
	const drawn = drawnTree(resolveSpec(tree('many', { strategy: 'rest_for_one', children })), '/', new Map());
	const started = performance.now();
	const svg = treeSvg(drawn);
	assert.ok(performance.now() - started < 5_000);
	assert.is(drawn.supervises.children.length, 300);
	const { width, height } = read(svg);
	assert.ok(width / height > 0.5 && width / height < 4, `${width} × ${height}`);
	assert.equal(faults(svg), []);
});

test('a machine with hundreds of arrows is drawn in time', async () => {
	const states = Object.fromEntries(
		Array.from({ length: 100 }, (_, from) => [
			`s${from}`,
			{ on: Object.fromEntries([1, 2, 3].map((step) => [`e${step}`, `s${(from * 7 + step * 13) % 100}`])) },
		]),
	);
	const started = performance.now();
	assert.equal(faults(await chartSvg(chartOf(createMachine({ id: 'big', initial: 's0', states })))), []);
	assert.ok(performance.now() - started < 60_000);
});

test('names that mean harm are only text', async () => {
	const harm = `<script>alert("1")</script>&'\u0000\u202e`;
	const machine = createMachine({
		id: harm,
		initial: harm,
		states: { [harm]: { entry: harm, on: { [harm]: 'b' } }, b: { on: { 'a|b': harm } } },
	});
	const svg = await chartSvg(chartOf(machine));
	assert.not.match(svg, /<script|[\u0000\u202e]/);
	assert.equal(faults(svg), []);
	assert.match(svg, /data-to="b"/);
});

test('a tree as Mermaid: one line a title, what has a meaning there by its number', () => {
	const text = treeMermaid(drawnTree(resolveSpec(trees['with every kind of child'] as TreeDeclaration), '/', new Map()));
	assert.match(text, /^\tsubgraph tree\["shop"\]$/m);
	assert.match(text, /^\t\tc\d+\["1\. web × 3<br\/>node#58; web\.ts<br\/>/m);
	assert.match(text, /#34;a #38; #60;b#62;#34;/);
	assert.match(text, /c\d+ <==> c\d+/);
	for (const [, label = ''] of text.matchAll(/\["(.*)"\]/g))
		assert.not.match(label.replaceAll('<br/>', ''), /["<>&;](?<!#\d+;)|[\p{Cc}\u202e]/u);
});

test('what a page goes by to show where a machine is', async () => {
	const { groups, texts } = read(await chartSvg(chartOf(machines[0])));
	const heads = groups.map(({ head }) => head);
	assert.ok(heads.includes('<g class="state initial" data-state="running.healthy">'));
	assert.ok(
		heads.includes(
			'<g class="edge" data-from="draining.terminating" data-to="draining.killing" data-events="drain [isKill]|after terminateTimeout">',
		),
	);
	assert.ok(
		texts.some(({ kind, said, group }) => kind === 'line' && said === 'drain is ignored' && group.head.includes('draining.terminating')),
	);
});

test.run();
