/** The drawings that are committed are what the machines give, and leave nothing out. */
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type AnyStateMachine, type AnyStateNode, createMachine } from 'xstate';
import { drawings, machines } from '../diagrams/draw.ts';
import { arrowsOf, chartOf, labelOf, nodesOf } from '../src/diagram/chart.ts';
import { mermaidOf } from '../src/diagram/mermaid.ts';

const root = path.join(import.meta.dirname, '..');
const read = (file: string) => fs.readFileSync(path.join(root, file), 'utf8');

const drawn = await drawings();
for (const [name, text] of drawn) {
	test(`diagrams/${name} is what the machine gives`, () => assert.fixture(read(`diagrams/${name}`), text, `run 'npm run diagrams'`));
}

test('diagrams/ holds no drawing of a machine that is gone', () => {
	const files = fs.readdirSync(path.join(root, 'diagrams')).filter((name) => name !== 'draw.ts' && name !== 'README.md');
	assert.equal(files.sort(), [...drawn.keys()].sort());
});

/** A drawing as a reader sees it: boxes with their names and lines, and edges, all by id of the state. */
function readDrawing(text: string, machine: AnyStateMachine) {
	const boxes = new Map<string, { path: string[]; lines: string[] }>();
	const edges: Array<{ from: string; to: string; labels: string[] }> = [];
	const marks: Array<{ within: string[]; edge: string }> = [];
	const within: string[] = [];
	const titles = new Map<string, string>();
	const open = (alias: string, title: string) => {
		titles.set(alias, title);
		boxes.set(alias, { path: [...within, title], lines: [] });
	};
	for (const line of text
		.split('\n')
		.slice(1)
		.map((each) => each.trim())) {
		const edge = /^(\S+) --> (\S+?)(?: : (.+))?$/.exec(line);
		const box = /^state (?:"(.+)" as )?(\w+)( \{)?$/.exec(line);
		const said = /^(\w+) : (.+)$/.exec(line);
		if (edge?.[3] !== undefined) edges.push({ from: edge[1] as string, to: edge[2] as string, labels: edge[3].split(', ') });
		else if (edge) marks.push({ within: [...within], edge: line });
		else if (said) boxes.get(said[1] as string)?.lines.push(said[2] as string);
		else if (line === '}') within.pop();
		else if (box) {
			open(box[2] as string, box[1] ?? (box[2] as string));
			if (box[3] !== undefined) within.push(box[2] as string);
		} else if (line !== '') open(line, line);
	}
	const idOf = (alias: string) => [machine.id, ...(boxes.get(alias)?.path ?? ['?'])].join('.');
	return { boxes, edges, marks, idOf };
}

for (const machine of machines as readonly AnyStateMachine[]) {
	const nodes = nodesOf(machine.root);
	const drawing = readDrawing(mermaidOf(chartOf(machine)), machine);
	const { boxes, edges, marks, idOf } = drawing;
	/** The machine itself is no box: what it does anywhere begins at its outermost states. */
	const isFrom = (id: string, node: AnyStateNode) =>
		node === machine.root ? Object.values(node.states).some((state) => state.id === id) : id === node.id;
	/** Where a node says what happens in it: in its own box, or in the one that stands for all of it. */
	const linesOf = (node: AnyStateNode) =>
		[...boxes]
			.filter(([alias]) =>
				Object.keys(node.states).length === 0 ? idOf(alias) === node.id : idOf(alias) === `${node.id}.anywhere in ${node.key}`,
			)
			.flatMap(([, { lines }]) => lines);

	test(`${machine.id}: every state is drawn, once, and within its own`, () => {
		const inBoxes = [...boxes.keys()].map(idOf).filter((id) => !id.includes('anywhere'));
		assert.equal(
			inBoxes.sort(),
			nodes
				.slice(1)
				.map(({ id }) => id)
				.sort(),
		);
	});

	test(`${machine.id}: every first and every final state is marked`, () => {
		for (const node of nodes) {
			const alias = [...boxes.keys()].find((each) => idOf(each) === node.id);
			const first = node.initial?.target?.[0];
			if (first !== undefined)
				assert.ok(
					marks.some(({ edge }) => edge.startsWith('[*] --> ') && idOf(edge.slice('[*] --> '.length)) === first.id),
					`${node.id} begins in ${first.id}`,
				);
			if (node.type === 'final')
				assert.ok(
					marks.some(({ edge }) => edge === `${alias} --> [*]`),
					node.id,
				);
		}
	});

	test(`${machine.id}: every arrow is drawn, and no other`, () => {
		const said = new Set<string>();
		for (const node of nodes) {
			for (const arrow of arrowsOf(node)) {
				const label = labelOf(arrow);
				const [target] = arrow.target ?? [];
				if (target === undefined) {
					assert.ok(
						linesOf(node).some((line) => line === `${label} is ignored` || line.startsWith(`${label} / `)),
						`${node.id} says what it does on '${label}'`,
					);
					continue;
				}
				const drawn = edges.filter(({ from, to, labels }) => isFrom(idOf(from), node) && idOf(to) === target.id && labels.includes(label));
				// What leads to the inside of its own state is written there.
				const isSaid = linesOf(node).includes(`${label} → ${target.key}`);
				assert.ok(drawn.length > 0 || isSaid, `${node.id} --> ${target.id} : ${label}`);
				for (const { from, to } of drawn) said.add(`${from} --> ${to} : ${label}`);
			}
		}
		const all = edges.flatMap(({ from, to, labels }) => labels.map((label) => `${from} --> ${to} : ${label}`));
		assert.equal(
			all.filter((each) => !said.has(each)),
			[],
		);
		assert.is(new Set(edges.map(({ from, to }) => `${from} ${to}`)).size, edges.length, 'one edge from one state to another');
	});

	test(`${machine.id}: no edge leads from a box to itself or its own inside, which Mermaid would leave out`, () => {
		const isBox = (id: string) => nodes.some((node) => node.id === id && Object.keys(node.states).length > 0);
		const hidden = edges.filter(({ from, to }) => isBox(idOf(from)) && `${idOf(to)}.`.startsWith(`${idOf(from)}.`));
		assert.equal(hidden, []);
	});

	test(`${machine.id}: a viewer that knows only xstate gets the same chart from the JSON`, () => {
		const config = JSON.parse(drawn.get(`${machine.id}.json`) as string);
		assert.equal(chartOf(createMachine(config)), chartOf(machine));
	});
}

test('the page of the pictures shows each of them, and links to what is there', () => {
	const page = read('diagrams/README.md');
	for (const { id } of machines) assert.match(page, new RegExp(`!\\[[^\\]]+\\]\\(${id}\\.svg\\)`));
	for (const [, link] of page.matchAll(/\]\((?!https?:)([^)#]+)\)/g))
		assert.ok(fs.existsSync(path.join(root, 'diagrams', link as string)), link);
});

test('the README shows the worker as it is', () => {
	const shown = /```mermaid\n([\s\S]*?)```/.exec(read('README.md'))?.[1] ?? '';
	assert.fixture(shown, read('diagrams/worker.mmd'));
});

test.run();
