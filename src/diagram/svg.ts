/**
 * A picture as SVG text. Its colours are custom properties with fallbacks, so that a page into which it is put may set them; alone it
 * is light or dark as its reader wants. To dress one part of it, a page sets `--border`, `--line` and so on at that part's group.
 * Everything is placed in absolute coordinates.
 */
import { escapeXml, fonts, type Type } from './text.ts';

export interface Point {
	x: number;
	y: number;
}
export interface Box extends Point {
	width: number;
	height: number;
}

/** What a page may set, as `--choir-line` and so on. */
const colors = {
	page: ['#ffffff', '#0d1117'],
	box: ['#f6f8fa', '#161b22'],
	group: ['#ffffff', '#0d1117'],
	border: ['#c3ccd6', '#3d4650'],
	line: ['#7b8794', '#7d8794'],
	text: ['#1f2933', '#e2e8ee'],
	muted: ['#5b6773', '#9aa5b1'],
	accent: ['#0b6bcb', '#58a6ff'],
	warm: ['#b3540c', '#f0954a'],
} as const;
type Color = keyof typeof colors;

/** A picture with its name and, for those who cannot see it, what it shows. `id` begins every id in it. */
export function svgOf(picture: {
	id: string;
	title: string;
	desc: string;
	width: number;
	height: number;
	css: string[];
	body: string[];
}): string {
	const { title, desc, css, body } = picture;
	const id = idOf(picture.id);
	const [width, height] = [number(picture.width), number(picture.height)];
	const palette = (index: 0 | 1) =>
		Object.entries(colors)
			.map(([name, values]) => `--${name}:var(--choir-${name},${values[index]})`)
			.join(';');
	return [
		`<svg xmlns="http://www.w3.org/2000/svg" id="${id}" class="choir-picture" role="img" aria-labelledby="${id}-title ${id}-desc" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}">`,
		`<title id="${id}-title">${escapeXml(title)}</title>`,
		`<desc id="${id}-desc">${escapeXml(desc)}</desc>`,
		'<style>',
		`#${id}{${palette(0)};font-family:${fonts}}`,
		`@media (prefers-color-scheme:dark){#${id}{${palette(1)}}}`,
		...[`text{${paint('fill', 'text')}}`, `.page{${paint('fill', 'page')}}`, ...css].map((rule) => scoped(rule, id)),
		'</style>',
		`<rect class="page" width="${width}" height="${height}" rx="10"/>`,
		...body,
		'</svg>',
		'',
	].join('\n');
}

/** For viewers that know no custom properties, the light colour first. */
export const paint = (what: 'fill' | 'stroke', color: Color) => `${what}:${colors[color][0]};${what}:var(--${color})`;

/** So that one picture on a page does not dress another. */
const scoped = (rule: string, id: string) =>
	rule.replace(/^[^{]+/, (selectors) =>
		selectors
			.split(',')
			.map((one) => `#${id} ${one}`)
			.join(','),
	);

/** A word that may be an id, and need not be quoted in CSS. */
const idOf = (text: string) => `choir-${text.replace(/[^A-Za-z0-9_-]/g, '_').slice(0, 60)}`;

/** As short as it can be, and the same on every machine. */
export const number = (value: number) => String(Math.round(value * 10) / 10);

export type Attributes = Record<string, string | number | undefined>;

export function tag(name: string, attributes: Attributes, inside?: string): string {
	const written = Object.entries(attributes)
		.filter(([, value]) => value !== undefined)
		.map(([key, value]) => ` ${key}="${typeof value === 'number' ? number(value) : escapeXml(value as string)}"`)
		.join('');
	return inside === undefined ? `<${name}${written}/>` : `<${name}${written}>${inside}</${name}>`;
}

/** A row of text, which begins at `x` with its foot at `y`. What stands in brackets, or before a slash, is muted. */
export function textRow(text: string, at: Point, attributes: Attributes): string {
	const inside = escapeXml(text).replace(/\[[^\]]*\]|^(?:entry|exit|invoke) \/|(?<=\]|^)[^\]]*$/g, (part) =>
		/^(?:\[|entry \/|exit \/|invoke \/)/.test(part) ? `<tspan class="muted">${part}</tspan>` : part,
	);
	return tag('text', { ...attributes, x: at.x, y: at.y }, inside);
}

/** How far below the top of its row the foot of a text is. */
export const footOf = ({ size }: Type) => Math.round(size * 1.05);

/** Through all points, with round corners. */
export function linePath(points: Point[]): string {
	const RADIUS = 6;
	const at = ({ x, y }: Point) => `${number(x)} ${number(y)}`;
	const towards = (from: Point, to: Point, length: number): Point => {
		const distance = Math.hypot(to.x - from.x, to.y - from.y) || 1;
		return { x: from.x + ((to.x - from.x) * length) / distance, y: from.y + ((to.y - from.y) * length) / distance };
	};
	const far = (a: Point, b: Point) => Math.hypot(a.x - b.x, a.y - b.y);
	return points
		.map((point, index) => {
			const [before, after] = [points[index - 1], points[index + 1]];
			if (before === undefined) return `M${at(point)}`;
			if (after === undefined) return `L${at(point)}`;
			const radius = Math.min(RADIUS, far(before, point) / 2, far(point, after) / 2);
			return `L${at(towards(point, before, radius))}Q${at(point)} ${at(towards(point, after, radius))}`;
		})
		.join('');
}

/** A head that ends where the line ends. */
export function arrowHead(from: Point, to: Point): string {
	const [LENGTH, HALF] = [8, 3.6];
	const distance = Math.hypot(to.x - from.x, to.y - from.y) || 1;
	const [dx, dy] = [(to.x - from.x) / distance, (to.y - from.y) / distance];
	const corner = (side: number) => `${number(to.x - dx * LENGTH - dy * HALF * side)} ${number(to.y - dy * LENGTH + dx * HALF * side)}`;
	return `M${number(to.x)} ${number(to.y)}L${corner(1)}L${corner(-1)}Z`;
}
