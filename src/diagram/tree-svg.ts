/** A tree as SVG: a supervisor is a box with its children in it, in start order, in as many rows as make it a handy shape. */
import { arrowHead, type Box, footOf, linePath, type Point, paint, svgOf, tag } from './svg.ts';
import { escapeXml, type Type, widthOf, wrap } from './text.ts';
import { childLines, type DrawnChild, type DrawnGroup, type DrawnTree, fateOf, groupLines, nameOfChild, ownFate } from './tree.ts';

const title: Type = { size: 14, bold: true };
const line: Type = { size: 12, bold: false };
const TITLE_HEIGHT = 21;
const ROW_HEIGHT = 17;
const PADDING = 12;
const GAP = 32;
const MARGIN = 16;
const BADGE = 18;
/** What stands behind a card of several instances sticks out by this much. */
const STACK = 5;
const MAX_TEXT_WIDTH = 230;
const MIN_CARD_WIDTH = 110;
/** Rows are not broken before they are this wide. */
const MIN_ROW_WIDTH = 820;
/** Of a box with many children, its width to its height. */
const ASPECT = 1.5;

const css = [
	`.card,.box{${paint('fill', 'box')};${paint('stroke', 'border')};stroke-width:1.2}`,
	`.box{${paint('fill', 'group')}}`,
	`.own>.card,.own>.box{${paint('stroke', 'warm')}}`,
	`.tree>.box{${paint('fill', 'box')}}`,
	`.name{font-size:${title.size}px;font-weight:600}`,
	`.line{font-size:${line.size}px}`,
	`.muted{${paint('fill', 'muted')}}`,
	`.fate{${paint('fill', 'warm')};font-size:${line.size}px}`,
	`.together{fill:none;${paint('stroke', 'warm')};stroke-width:1.6;stroke-dasharray:6 4}`,
	`.path{fill:none;${paint('stroke', 'warm')};stroke-width:1.6}`,
	`.head{${paint('fill', 'warm')}}`,
	`.order{${paint('fill', 'accent')}}`,
	`.number{${paint('fill', 'page')};font-size:11px;font-weight:600;text-anchor:middle}`,
];

interface Row {
	text: string;
	class: 'name' | 'line' | 'line muted' | 'fate';
}

/** Something with its size, that draws itself where it is told to. */
interface Part {
	width: number;
	height: number;
	/** Whether it may be higher than it is, to be as high as its neighbours. */
	stretches: boolean;
	draw(box: Box): string[];
}

export function treeSvg(drawn: DrawnTree): string {
	const { tree, supervises } = drawn;
	const part = groupPart([...wrap(tree, title, MAX_ROW_TEXT).map(nameRow), muted('tree')], supervises, null, (inside) =>
		tag('g', { class: 'tree', 'data-path': '' }, inside),
	);
	const box = { x: MARGIN, y: MARGIN, width: part.width, height: part.height };
	return svgOf({
		id: `tree-${tree}`,
		title: `${tree}: its supervisors and children`,
		desc: describe(drawn),
		width: part.width + 2 * MARGIN,
		height: part.height + 2 * MARGIN,
		css,
		body: part.draw(box),
	});
}

/** Of what a supervisor says of itself. */
const MAX_ROW_TEXT = 420;

const nameRow = (text: string): Row => ({ text, class: 'name' });
const muted = (text: string): Row => ({ text, class: 'line muted' });
const rowsOf = (lines: string[], maxWidth: number): Row[] => lines.flatMap((text) => wrap(text, line, maxWidth)).map(muted);
/** The first of them is what it is. */
const cardRows = ([what = '', ...lines]: string[]): Row[] => [
	...wrap(what, line, MAX_TEXT_WIDTH).map((text): Row => ({ text, class: 'line' })),
	...rowsOf(lines, MAX_TEXT_WIDTH),
];
const fateRows = (text: string | null, maxWidth: number): Row[] =>
	text === null ? [] : wrap(text, line, maxWidth).map((row) => ({ text: row, class: 'fate' }));

function childPart(child: DrawnChild, group: DrawnGroup): Part {
	const place = group.maxChildren === null && group.start === 'ordered' && group.children.length > 1 ? child.order : null;
	const own = ownFate(child, group);
	const around = (inside: string) => tag('g', { class: own === null ? 'child' : 'child own', 'data-path': child.path }, inside);
	if (child.supervises !== null) {
		const rows = [
			...wrap(nameOfChild(child), title, MAX_ROW_TEXT).map(nameRow),
			...rowsOf([childLines(child).join(', ')], MAX_ROW_TEXT),
			...fateRows(own, MAX_ROW_TEXT),
		];
		return groupPart(rows, child.supervises, place, around);
	}
	const rows = [
		...wrap(nameOfChild(child), title, MAX_TEXT_WIDTH - BADGE).map(nameRow),
		...cardRows(childLines(child)),
		...fateRows(own, MAX_TEXT_WIDTH),
	];
	const text = sizeOf(rows, place);
	const out = child.instances > 1 ? STACK : 0;
	return {
		width: Math.max(MIN_CARD_WIDTH, text.width + 2 * PADDING) + out,
		height: text.height + 2 * PADDING - 4 + out,
		stretches: true,
		draw: ({ x, y, width, height }) => {
			const card = { x, y, width: width - out, height: height - out };
			const behind = out === 0 ? '' : tag('rect', { class: 'card', ...card, x: x + out, y: y + out, rx: 8 });
			return [around(behind + tag('rect', { class: 'card', ...card, rx: 8 }) + write(rows, place, { x: x + PADDING, y: y + PADDING - 2 }))];
		},
	};
}

function groupPart(head: Row[], group: DrawnGroup, place: number | null, around: (inside: string) => string): Part {
	const fate = fateOf(group);
	const rows = [...head, ...rowsOf(groupLines(group), MAX_ROW_TEXT), ...fateRows(fate, MAX_ROW_TEXT)];
	const text = sizeOf(rows, place);
	const parts = group.children.map((child) => childPart(child, group));
	const lines = arrange(parts);
	const isFramed = fate !== null && group.strategy === 'one_for_all';
	const border = isFramed ? PADDING + 4 : 0;
	const childrenWidth = Math.max(0, ...lines.map(({ width }) => width));
	const childrenHeight = lines.reduce((sum, { height }) => sum + height, 0) + Math.max(0, lines.length - 1) * GAP;
	const top = text.height + PADDING + 10;
	return {
		width: Math.max(text.width, childrenWidth + 2 * border) + 2 * PADDING + 8,
		height: top + childrenHeight + 2 * border + PADDING + 4,
		stretches: false,
		draw: (box) => {
			const left = box.x + PADDING + 4 + border;
			const placed: Array<{ part: Part; box: Box; row: number }> = [];
			let y = box.y + top + border;
			for (const [row, { parts: inLine, height }] of lines.entries()) {
				let x = left;
				const even = inLine.every(({ stretches }) => stretches);
				for (const part of inLine) {
					placed.push({ part, box: { x, y, width: part.width, height: even ? height : part.height }, row });
					x += part.width + GAP;
				}
				y += height + GAP;
			}
			const frame = { x: left - border, y: box.y + top, width: childrenWidth + 2 * border, height: childrenHeight + 2 * border };
			const isSpreading = fate !== null && group.strategy === 'rest_for_one';
			const arrows = !isSpreading ? [] : placed.slice(1).map((to, index) => arrowBetween(placed[index] as (typeof placed)[0], to));
			return [
				around(tag('rect', { class: 'box', ...box, rx: 10 }) + write(rows, place, { x: box.x + PADDING, y: box.y + PADDING - 2 })),
				...(isFramed ? [tag('rect', { class: 'together', ...frame, rx: 12 })] : []),
				...arrows,
				...placed.flatMap((each) => each.part.draw(each.box)),
			];
		},
	};
}

/** In rows, none much wider than makes the whole a handy shape. */
function arrange(parts: Part[]): Array<{ parts: Part[]; width: number; height: number }> {
	const area = parts.reduce((sum, { width, height }) => sum + (width + GAP) * (height + GAP), 0);
	const maxWidth = Math.max(MIN_ROW_WIDTH, Math.sqrt(area * ASPECT));
	const rows: Array<{ parts: Part[]; width: number; height: number }> = [];
	for (const part of parts) {
		const last = rows.at(-1);
		if (last === undefined || last.width + GAP + part.width > maxWidth)
			rows.push({ parts: [part], width: part.width, height: part.height });
		else {
			last.parts.push(part);
			last.width += GAP + part.width;
			last.height = Math.max(last.height, part.height);
		}
	}
	return rows;
}

function arrowBetween(from: { box: Box; row: number }, to: { box: Box; row: number }): string {
	const points: Point[] = [];
	if (from.row === to.row) {
		const y = from.box.y + Math.min(from.box.height, to.box.height) / 2;
		points.push({ x: from.box.x + from.box.width, y }, { x: to.box.x, y });
	} else {
		const middle = to.box.y - GAP / 2;
		const [start, end] = [from.box.x + from.box.width / 2, to.box.x + to.box.width / 2];
		points.push({ x: start, y: from.box.y + from.box.height });
		if (start !== end) points.push({ x: start, y: middle }, { x: end, y: middle });
		points.push({ x: end, y: to.box.y });
	}
	const [before, end] = points.slice(-2) as [Point, Point];
	return tag(
		'g',
		{ class: 'spreads' },
		tag('path', { class: 'path', d: linePath(points) }) + tag('path', { class: 'head', d: arrowHead(before, end) }),
	);
}

function sizeOf(rows: Row[], place: number | null): { width: number; height: number } {
	return {
		width: Math.max(
			0,
			...rows.map((row) =>
				row.class === 'name' ? widthOf(row.text, title) + (place === null ? 0 : badgeWidth(place) + 8) : widthOf(row.text, line),
			),
		),
		height: rows.reduce((sum, row) => sum + (row.class === 'name' ? TITLE_HEIGHT : ROW_HEIGHT), 0),
	};
}

const badgeWidth = (place: number) => Math.max(BADGE, widthOf(String(place), { size: 11, bold: true }) + 8);

function write(rows: Row[], place: number | null, at: Point): string {
	const parts: string[] = [];
	const shift = place === null ? 0 : badgeWidth(place) + 8;
	if (place !== null) {
		const width = badgeWidth(place);
		parts.push(
			tag('rect', { class: 'order', x: at.x, y: at.y, width, height: BADGE, rx: BADGE / 2 }),
			tag('text', { class: 'number', x: at.x + width / 2, y: at.y + 13 }, String(place)),
		);
	}
	let { y } = at;
	for (const { text, class: kind } of rows) {
		const isName = kind === 'name';
		parts.push(tag('text', { class: kind, x: at.x + (isName ? shift : 0), y: y + footOf(isName ? title : line) }, escapeXml(text)));
		y += isName ? TITLE_HEIGHT : ROW_HEIGHT;
	}
	return parts.join('');
}

function describe({ tree, supervises }: DrawnTree): string {
	const sentences: string[] = [];
	const walk = (name: string, group: DrawnGroup): void => {
		const names = group.children.map(nameOfChild).join(', ');
		sentences.push(
			`${name} supervises ${names || 'nobody yet'}: ${[...groupLines(group), fateOf(group) ?? ''].filter(Boolean).join('; ')}.`,
		);
		for (const child of group.children) if (child.supervises !== null) walk(child.path, child.supervises);
	};
	walk(tree, supervises);
	return sentences.join(' ');
}
