/** A chart as SVG: placed by elkjs, drawn by us. */
import type { ElkExtendedEdge, ElkNode } from 'elkjs';
import { type Chart, type ChartEdge, type ChartState, statesOf } from './chart.ts';
import { arrowHead, type Box, footOf, linePath, number, type Point, paint, svgOf, tag, textRow } from './svg.ts';
import { type Type, widthOf, wrap } from './text.ts';

const title: Type = { size: 14, bold: true };
const line: Type = { size: 12, bold: false };
const label: Type = { size: 12, bold: false };
const TITLE_HEIGHT = 20;
const ROW_HEIGHT = 17;
const LABEL_HEIGHT = 16;
const PADDING = 12;
/** Of what did not fit into the first row of a line. */
const INDENT = 14;
const MARGIN = 16;
const MAX_LINE_WIDTH = 300;
const MAX_LABEL_WIDTH = 180;
/** The machine's own lines have the whole width: where they are more, they stand in two columns. */
const MAX_COLUMN_ROWS = 8;
const MAX_COLUMN_WIDTH = 400;
const COLUMN_GAP = 28;
const DOT = 12;
/** With more of them, the placement that looks best takes minutes. */
const MANY_EDGES = 60;
/** Layouts, until all heads have room. */
const MAX_TRIES = 8;

const css = [
	`.frame,.box{${paint('fill', 'box')};${paint('stroke', 'border')};stroke-width:1.2}`,
	`.group>.box{${paint('fill', 'group')}}`,
	`.initial>.box{${paint('stroke', 'accent')};stroke-width:1.6}`,
	`.inner,.rule{fill:none;${paint('stroke', 'border')}}`,
	`.name{font-size:${title.size}px;font-weight:600}`,
	`.line,.label{font-size:${line.size}px}`,
	`.muted{${paint('fill', 'muted')}}`,
	`.path{fill:none;${paint('stroke', 'line')};stroke-width:1.4}`,
	`.head{${paint('fill', 'line')};stroke:none}`,
	`.start>.path{${paint('stroke', 'accent')}}`,
	`.start>.head,.start>.dot{${paint('fill', 'accent')};stroke:none}`,
];

/** What is written in a state, in px from its upper left corner: `y` is the foot of a row. */
interface Text {
	names: Array<{ text: string; y: number }>;
	/** `label` and `to` are those of the line to which a row belongs. */
	rows: Array<{ text: string; label: string | null; to: string | null; x: number; y: number }>;
	/** Between name and lines. */
	ruleY: number | null;
	width: number;
	height: number;
}

/** The same bytes for the same chart. elkjs is loaded by the first one. */
export async function chartSvg(chart: Chart): Promise<string> {
	return new Picture(chart).draw();
}

class Picture {
	readonly #chart: Chart;
	readonly #states: ChartState[];
	readonly #texts: ReadonlyMap<ChartState, Text>;
	/** What boxes are to be wide at least, where that is more than their text. */
	readonly #widths = new Map<ChartState, number>();

	constructor(chart: Chart) {
		this.#chart = chart;
		this.#states = statesOf(chart.root);
		this.#texts = new Map(this.#states.map((state) => [state, textOf(state, chart)]));
	}

	async draw(): Promise<string> {
		const { default: elkjs } = await import('elkjs/lib/elk.bundled.js');
		const elk = new (elkjs as unknown as (typeof elkjs)['default'])();
		for (let tries = 0; ; tries += 1) {
			const placed = new Placed((await elk.layout(this.#graph())) as ElkNode, this.#text(this.#chart.root).width);
			// elkjs does not know of what is written at the head of a box: where arrows that come in leave too little room, it gets more.
			const cramped = this.#states
				.filter((state) => state.states.length > 0 && state !== this.#chart.root)
				.filter((state) => this.#missing(state, placed) > 0);
			if (cramped.length === 0 || tries === MAX_TRIES) return this.#write(placed);
			for (const state of cramped)
				this.#widths.set(state, Math.ceil(placed.box(`state ${state.name}`).width) + this.#missing(state, placed));
		}
	}

	/** What the head of a box needs in width beyond what there is. */
	#missing(state: ChartState, placed: Placed): number {
		const box = placed.box(`state ${state.name}`);
		const text = this.#text(state);
		return Math.ceil(freeLeft(box, text, placed.routes) + text.width + PADDING - box.x - box.width);
	}

	#graph(): ElkNode {
		const { root, edges } = this.#chart;
		const text = this.#text(root);
		return {
			id: 'root',
			layoutOptions: {
				...inner,
				...this.#ways(),
				'elk.algorithm': 'layered',
				'elk.hierarchyHandling': 'INCLUDE_CHILDREN',
				'elk.json.shapeCoords': 'ROOT',
				'elk.json.edgeCoords': 'ROOT',
				'elk.padding': padding(text.height + PADDING, 2 * PADDING),
			},
			children: this.#inside(root),
			edges: [
				...this.#states.flatMap((state) =>
					state.initial === null
						? []
						: [{ id: `start ${state.name}`, sources: [`dot ${state.name}`], targets: [`state ${state.initial}`] }],
				),
				...edges.map((edge, index): ElkExtendedEdge => {
					const rows = rowsOf(edge);
					const width = Math.max(...rows.map(({ text }) => widthOf(text, label)));
					return {
						id: `edge ${index}`,
						sources: [`state ${edge.from}`],
						targets: [`state ${edge.to}`],
						labels: [{ text: 'label', width: width + 4, height: rows.length * LABEL_HEIGHT }],
					};
				}),
			],
		};
	}

	#ways(): typeof beautiful | typeof quick {
		return this.#chart.edges.length > MANY_EDGES ? quick : beautiful;
	}

	#inside(state: ChartState): ElkNode[] {
		const dots: ElkNode[] =
			state.initial === null
				? []
				: [{ id: `dot ${state.name}`, width: DOT, height: DOT, layoutOptions: { 'elk.layered.layering.layerConstraint': 'FIRST' } }];
		return [...dots, ...state.states.map((child) => this.#node(child))];
	}

	#node(state: ChartState): ElkNode {
		const text = this.#text(state);
		const [width, height] = [text.width + 2 * PADDING, text.height + PADDING / 2 + 2];
		const id = `state ${state.name}`;
		if (state.states.length === 0) return { id, width, height };
		return {
			id,
			layoutOptions: {
				...inner,
				...this.#ways(),
				'elk.padding': padding(height, PADDING * 1.5),
				'elk.nodeSize.constraints': 'MINIMUM_SIZE',
				// With INCLUDE_CHILDREN and DOWN elkjs takes the height for the width.
				'elk.nodeSize.minimum': `(${height},${this.#widths.get(state) ?? width})`,
			},
			children: this.#inside(state),
		};
	}

	#write(placed: Placed): string {
		const { root, id, edges } = this.#chart;
		const { frame } = placed;
		const body: string[] = [];
		body.push(...this.#stateGroup(root, frame, []));
		for (const state of this.#states.slice(1)) body.push(...this.#stateGroup(state, placed.box(`state ${state.name}`), placed.routes));
		for (const state of this.#states) {
			if (state.initial === null) continue;
			const dot = placed.box(`dot ${state.name}`);
			body.push(
				tag(
					'g',
					{ class: 'start', 'data-to': state.initial },
					[
						tag('circle', { class: 'dot', cx: dot.x + DOT / 2, cy: dot.y + DOT / 2, r: DOT / 2 - 1 }),
						...arrow(placed.route(`start ${state.name}`)),
					].join(''),
				),
			);
		}
		for (const [index, edge] of edges.entries())
			body.push(this.#edgeGroup(edge, placed.route(`edge ${index}`), placed.label(`edge ${index}`)));
		return svgOf({
			id,
			title: `${id}: its states and what leads from one to another`,
			desc: describe(this.#chart),
			width: frame.width + 2 * MARGIN,
			height: frame.height + 2 * MARGIN,
			css,
			body,
		});
	}

	#stateGroup(state: ChartState, box: Box, routes: Point[][]): string[] {
		const { root } = this.#chart;
		const text = this.#text(state);
		const isInitial = this.#states.some(({ initial }) => initial === state.name);
		const parts = [tag('rect', { class: state === root ? 'frame' : 'box', ...sizes(box), rx: 8 })];
		if (state.kind === 'final') parts.push(tag('rect', { class: 'inner', ...sizes(inset(box, 3)), rx: 5 }));
		const isBox = state.states.length > 0;
		const left = isBox ? freeLeft(box, text, routes) : box.x + PADDING;
		const top = box.y;
		if (!isBox && text.ruleY !== null)
			parts.push(tag('path', { class: 'rule', d: `M${number(box.x)} ${number(top + text.ruleY)}h${number(box.width)}` }));
		for (const { text: name, y } of text.names) {
			const place = isBox ? { class: 'name' } : { class: 'name', 'text-anchor': 'middle' };
			parts.push(textRow(name, { x: isBox ? left : box.x + box.width / 2, y: top + y }, place));
		}
		for (const { text: row, label: of, to, x, y } of text.rows)
			parts.push(textRow(row, { x: left + x, y: top + y }, { class: 'line', 'data-event': of ?? undefined, 'data-to': to ?? undefined }));
		const kind = ['state', isBox ? 'group' : '', isInitial ? 'initial' : '', state.kind === 'final' ? 'final' : '']
			.filter(Boolean)
			.join(' ');
		return [tag('g', { class: kind, 'data-state': state.name }, parts.join(''))];
	}

	#edgeGroup(edge: ChartEdge, route: Point[], place: Box): string {
		// Rows end, or begin, at the line to which they belong.
		const isBefore = sideOf(place, route) === 'before';
		const rows = rowsOf(edge).map(({ text, of }, index) =>
			textRow(
				text,
				{ x: isBefore ? place.x + place.width : place.x, y: place.y + index * LABEL_HEIGHT + footOf(label) },
				{ class: 'label', 'text-anchor': isBefore ? 'end' : undefined, 'data-event': of },
			),
		);
		return tag(
			'g',
			{ class: 'edge', 'data-from': edge.from, 'data-to': edge.to, 'data-events': edge.labels.join('|') },
			[...arrow(route), ...rows].join(''),
		);
	}

	#text(state: ChartState): Text {
		return this.#texts.get(state) as Text;
	}
}

/** What elkjs has found, moved to where it is in the picture. */
class Placed {
	/** Of the whole machine. */
	readonly frame: Box;
	readonly #shift: Point;
	readonly #boxes = new Map<string, Box>();
	readonly #routes: ReadonlyMap<string, Point[]>;
	readonly #labels: ReadonlyMap<string, Box>;

	constructor(graph: ElkNode, headWidth: number) {
		const { width = 0, height = 0, edges = [] } = graph;
		this.frame = { x: MARGIN, y: MARGIN, width: Math.max(width, headWidth + 2 * PADDING), height };
		this.#shift = { x: MARGIN + Math.round((this.frame.width - width) / 2), y: MARGIN };
		const walk = (node: ElkNode): void => {
			this.#boxes.set(node.id, this.#moved(node));
			for (const child of node.children ?? []) walk(child);
		};
		walk(graph);
		this.#routes = new Map(
			edges.map(({ id, sections = [] }) => [
				id,
				sections
					.flatMap(({ startPoint, bendPoints = [], endPoint }) => [startPoint, ...bendPoints, endPoint])
					.map((point) => this.#moved(point)),
			]),
		);
		this.#labels = new Map(
			edges.flatMap(({ id, labels: [label] = [] }) => (label === undefined ? [] : [[id, this.#moved(label)] as const])),
		);
	}

	get routes(): Point[][] {
		return [...this.#routes.values()];
	}
	box(id: string): Box {
		return this.#boxes.get(id) as Box;
	}
	route(id: string): Point[] {
		return this.#routes.get(id) as Point[];
	}
	label(id: string): Box {
		return this.#labels.get(id) as Box;
	}
	#moved({ x = 0, y = 0, width = 0, height = 0 }: Partial<Box>): Box {
		return { x: x + this.#shift.x, y: y + this.#shift.y, width, height };
	}
}

const inner = {
	'elk.direction': 'DOWN',
	'elk.edgeRouting': 'ORTHOGONAL',
	'elk.spacing.nodeNode': '36',
	'elk.spacing.edgeNode': '18',
	'elk.spacing.edgeEdge': '14',
	'elk.spacing.edgeLabel': '5',
	'elk.spacing.labelNode': '8',
	'elk.spacing.nodeSelfLoop': '14',
	'elk.layered.spacing.nodeNodeBetweenLayers': '30',
	'elk.layered.spacing.edgeNodeBetweenLayers': '16',
	'elk.layered.spacing.edgeEdgeBetweenLayers': '12',
};
const beautiful = {
	'elk.layered.cycleBreaking.strategy': 'DEPTH_FIRST',
	'elk.layered.nodePlacement.strategy': 'NETWORK_SIMPLEX',
};
const quick = {
	'elk.layered.cycleBreaking.strategy': 'GREEDY',
	'elk.layered.nodePlacement.strategy': 'BRANDES_KOEPF',
};
const padding = (top: number, sides: number) => `[top=${top},left=${sides},bottom=${sides},right=${sides}]`;

function textOf(state: ChartState, { id, root }: Chart): Text {
	const remark = { parallel: ' (all at once)', history: ' (as it was)', atomic: '', compound: '', final: '' }[state.kind];
	const isRoot = state === root;
	const names = wrap(isRoot ? id : state.key + remark, title, MAX_LINE_WIDTH).map((text, index) => ({
		text,
		y: PADDING / 2 + 2 + index * TITLE_HEIGHT + footOf(title),
	}));
	const namesEnd = PADDING / 2 + 2 + names.length * TITLE_HEIGHT;
	const blocks = state.lines.map(({ text, ...of }) =>
		wrap(text, line, isRoot ? MAX_COLUMN_WIDTH : MAX_LINE_WIDTH).map((row) => ({ ...of, text: row })),
	);
	const columns =
		isRoot && blocks.length > MAX_COLUMN_ROWS
			? [blocks.slice(0, Math.ceil(blocks.length / 2)), blocks.slice(Math.ceil(blocks.length / 2))]
			: [blocks];
	const rows: Text['rows'] = [];
	let width = Math.max(60, ...names.map(({ text }) => widthOf(text, title)));
	let height = namesEnd;
	let left = 0;
	for (const column of columns) {
		let y = namesEnd + 6;
		let right = left;
		for (const block of column) {
			for (const [index, row] of block.entries()) {
				const x = left + (index === 0 ? 0 : INDENT);
				rows.push({ ...row, x, y: y + footOf(line) });
				right = Math.max(right, x + widthOf(row.text, line));
				y += ROW_HEIGHT;
			}
		}
		if (column.length > 0) height = Math.max(height, y);
		width = Math.max(width, right);
		left = right + COLUMN_GAP;
	}
	return { names, rows, ruleY: rows.length === 0 ? null : namesEnd + 2, width, height };
}

const rowsOf = ({ labels }: ChartEdge) => labels.flatMap((of) => wrap(of, label, MAX_LABEL_WIDTH).map((text) => ({ text, of })));

function arrow(route: Point[]): string[] {
	const [before, end] = route.slice(-2) as [Point, Point];
	const distance = Math.hypot(end.x - before.x, end.y - before.y) || 1;
	// The line ends within its head.
	const stop = { x: end.x - ((end.x - before.x) * 6) / distance, y: end.y - ((end.y - before.y) * 6) / distance };
	return [
		tag('path', { class: 'path', d: linePath([...route.slice(0, -1), stop]) }),
		tag('path', { class: 'head', d: arrowHead(before, end) }),
	];
}

/** On which side of its line a label is. */
function sideOf(place: Box, route: Point[]): 'before' | 'after' {
	const middle = place.x + place.width / 2;
	const y = place.y + place.height / 2;
	const beside = route.flatMap((point, index) => {
		const next = route[index + 1];
		return next !== undefined && Math.min(point.y, next.y) <= y && Math.max(point.y, next.y) >= y ? [(point.x + next.x) / 2] : [];
	});
	const [nearest = middle] = beside.sort((a, b) => Math.abs(a - middle) - Math.abs(b - middle));
	return nearest > middle ? 'before' : 'after';
}

const sizes = ({ x, y, width, height }: Box) => ({ x, y, width, height });
const inset = ({ x, y, width, height }: Box, by: number): Box => ({ x: x + by, y: y + by, width: width - 2 * by, height: height - 2 * by });

/** Where the head of a box begins, so that no line that comes in from above runs through it. */
function freeLeft(box: Box, text: Text, routes: Point[][]): number {
	const bottom = box.y + text.height;
	const crossings = routes
		.flatMap((route) => route.slice(1).map((point, index) => [route[index] as Point, point] as const))
		.filter(
			([a, b]) =>
				Math.min(a.y, b.y) < bottom && Math.max(a.y, b.y) > box.y && Math.max(a.x, b.x) > box.x && Math.min(a.x, b.x) < box.x + box.width,
		)
		.map(([a, b]) => [Math.min(a.x, b.x), Math.max(a.x, b.x)] as const)
		.sort(([a], [b]) => a - b);
	let left = box.x + PADDING;
	for (const [from, to] of crossings) {
		if (from - PADDING >= left + text.width) break;
		left = Math.max(left, to + PADDING);
	}
	return left;
}

function describe({ root, edges, id }: Chart): string {
	const first = root.initial === null ? '' : ` It begins in ${root.initial}.`;
	const sentences = edges.map(({ from, to, labels }) => `${from} to ${to}: ${labels.join(', ')}.`);
	return `The machine ${id} has the states ${root.states.map(({ key }) => key).join(', ')}.${first} ${sentences.join(' ')}`;
}
