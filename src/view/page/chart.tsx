/** The picture of the selected machine, with where it is, how it came there, and which of its timers run. */
import { signal, useComputed, useSignal, useSignalEffect } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import type { ChartName, RunningTimer } from '../wire.ts';
import { paint } from './paint.ts';
import { still } from './screen.ts';
import { Caption } from './scrubber.tsx';
import { at, machine, serverNow, shownStep } from './store.ts';

const TICK_MS = 100;
/** Smaller than this, nobody reads it. */
const READABLE = 0.72;
const charts = new Map<string, Promise<SVGSVGElement>>();

/** What the picture shows: what is now, or what was after the step that is looked at. */
export function shownMachine(): { chart: ChartName; state: string } | null {
	const step = shownStep.value;
	if (at.value !== null) return { chart: at.value.chart, state: at.value.to };
	const now = machine.value;
	if (now === null) return null;
	// A step is heard as soon as it is made; the machine in whole follows.
	const state = step !== null && step.incarnation >= now.incarnation ? step.to : (now.now?.state ?? step?.to ?? '');
	return { chart: now.chart, state };
}

function load(chart: ChartName): Promise<SVGSVGElement> {
	const known = charts.get(chart);
	if (known !== undefined) return known;
	const loading = fetch(`charts/${chart}.svg`).then(async (response) => {
		if (!response.ok) throw new Error(`charts/${chart}.svg: ${response.status}`);
		const [drawn, rules = ''] = withoutStyle(await response.text());
		const sheet = new CSSStyleSheet();
		// Its rules begin with its id: in a layer they give way to those of the page.
		sheet.replaceSync(`@layer chart { ${rules} }`);
		document.adoptedStyleSheets.push(sheet);
		const parsed = new DOMParser().parseFromString(drawn, 'image/svg+xml');
		return document.importNode(parsed.documentElement, true) as unknown as SVGSVGElement;
	});
	loading.catch(() => charts.delete(chart));
	charts.set(chart, loading);
	return loading;
}

/** A sheet within a picture is not let through by the page's own policy; one that a script makes is. */
function withoutStyle(text: string): [drawn: string, rules?: string] {
	const [style, rules] = /<style>([\s\S]*?)<\/style>/.exec(text) ?? [];
	return style === undefined || rules === undefined ? [text] : [text.replace(style, ''), rules];
}

export function Chart() {
	const box = useRef<HTMLDivElement>(null);
	const picture = useSignal<SVGSVGElement | null>(null);
	const zoom = useSignal<number | null>(null);
	const failure = useSignal('');
	const name = useComputed(() => shownMachine()?.chart ?? null);
	const seen = useRef<Element | null>(null);

	useSignalEffect(() => {
		const wanted = name.value;
		if (wanted === null) return;
		load(wanted).then(
			(loaded) => {
				if (name.peek() !== wanted) return;
				failure.value = '';
				box.current?.replaceChildren(loaded);
				picture.value = loaded;
			},
			(error: Error) => (failure.value = error.message),
		);
	});
	const scale = () => {
		const whole = picture.value?.viewBox.baseVal;
		if (!whole || box.current === null) return 1;
		return zoom.value ?? Math.min(1, Math.max(READABLE, (box.current.clientWidth - 24) / whole.width));
	};
	useSignalEffect(() => {
		const svg = picture.value;
		if (svg === null) return;
		const { width, height } = svg.viewBox.baseVal;
		svg.style.width = `${width * scale()}px`;
		svg.style.height = `${height * scale()}px`;
		seen.current = null;
	});
	useSignalEffect(() => {
		const svg = picture.value;
		const shown = shownMachine();
		zoom.value;
		if (svg === null || box.current === null) return;
		const leaf = paint(svg, shown?.state ?? '', shownStep.value);
		svg.classList.toggle('past', at.value !== null);
		if (leaf === null || leaf === seen.current) return;
		const first = seen.current === null;
		seen.current = leaf;
		const part = leaf.getBoundingClientRect();
		const around = box.current.getBoundingClientRect();
		box.current.scrollBy({
			left: part.left + part.width / 2 - around.left - around.width / 2,
			top: part.top + part.height / 2 - around.top - around.height / 2,
			behavior: first || still.peek() ? 'instant' : 'smooth',
		});
	});
	useEffect(() => {
		const observer = new ResizeObserver(() => {
			const svg = picture.peek();
			picture.value = null;
			picture.value = svg;
		});
		observer.observe(box.current as HTMLDivElement);
		return () => observer.disconnect();
	}, []);
	const magnify = (by: number) => (zoom.value = Math.min(2, Math.max(0.2, scale() * by)));
	const fit = () => {
		const { width, height } = picture.value?.viewBox.baseVal ?? { width: 1, height: 1 };
		const { clientWidth, clientHeight } = box.current as HTMLDivElement;
		zoom.value = zoom.value === null ? Math.min((clientWidth - 24) / width, (clientHeight - 24) / height) : null;
	};
	return (
		<div class="chart">
			<Caption />
			{/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls is reached by keys */}
			<section class="chart-box" ref={box} tabIndex={0} aria-label={`Chart of the ${name.value ?? ''} machine`} />
			{failure.value !== '' && <p class="empty">The chart cannot be drawn: {failure.value}</p>}
			<div class="zoom">
				<button type="button" aria-label="Smaller" onClick={() => magnify(1 / 1.25)}>
					−
				</button>
				<button type="button" aria-pressed={zoom.value !== null} title="The whole chart, or readable" onClick={fit}>
					{zoom.value === null ? 'Whole' : 'Follow'}
				</button>
				<button type="button" aria-label="Larger" onClick={() => magnify(1.25)}>
					+
				</button>
			</div>
		</div>
	);
}

const tick = signal(0);

export function Timers() {
	const timers = at.value === null ? (machine.value?.timers ?? []) : [];
	const running = timers.length > 0;
	useEffect(() => {
		if (!running) return;
		const ticking = setInterval(() => (tick.value += 1), still.value ? 1_000 : TICK_MS);
		return () => clearInterval(ticking);
	}, [running]);
	if (at.value !== null) return null;
	return (
		<section class="timers" aria-label="Timers">
			<h3>Timers</h3>
			{timers.length === 0 ? <p class="quiet">None runs.</p> : timers.map((timer) => <Timer key={timer.name} timer={timer} />)}
		</section>
	);
}

function Timer({ timer }: { timer: RunningTimer }) {
	tick.value;
	const left = Math.max(0, timer.at - serverNow());
	const share = Math.min(1, left / Math.max(1, timer.at - timer.from));
	return (
		<div class="timer">
			<span>{timer.name}</span>
			<span class="figure">{(left / 1_000).toFixed(left < 100_000 ? 1 : 0)} s</span>
			<span class="gauge">
				<span style={{ transform: `scaleX(${share})` }} />
			</span>
		</div>
	);
}
