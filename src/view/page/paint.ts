/** The state of a machine, shown in the picture of its chart. */
import type { StepEntry } from '../wire.ts';
import { eventName } from './words.ts';

const holds = (outer: string, inner: string) => outer === '' || inner === outer || inner.startsWith(`${outer}.`);
/** Without its guard: `drain [isKill]` is `drain`. */
const bare = (label: string) => label.replace(/ \[.*$/, '');

/** Marks the active states, and what the last step went through. The state that is active and holds no other. */
export function paint(picture: SVGElement, state: string, step: StepEntry | null): SVGGraphicsElement | null {
	for (const marked of picture.querySelectorAll('.active, .lit, .leaf')) marked.classList.remove('active', 'lit', 'leaf');
	let leaf: SVGGraphicsElement | null = null;
	for (const part of picture.querySelectorAll<SVGGraphicsElement>('g.state[data-state]')) {
		const name = part.dataset.state ?? '';
		if (name === '' || !holds(name, state)) continue;
		part.classList.add('active');
		leaf = part;
	}
	leaf?.classList.add('leaf');
	if (step !== null) light(picture, step, leaf);
	return leaf;
}

function light(picture: SVGElement, step: StepEntry, leaf: Element | null): void {
	const event = eventName(step.event);
	const edges = [...picture.querySelectorAll<SVGElement>('g.edge')];
	const along = (name: string) =>
		edges
			.filter(
				({ dataset: { from = '', to = '', events = '' } }) =>
					holds(from, step.from) && holds(to, step.to) && events.split('|').some((label) => bare(label) === name),
			)
			// The innermost counts, as in the machine.
			.sort((a, b) => depthOf(b) - depthOf(a))[0];
	// An event may only change what is known, and an arrow without an event follow from that.
	const lit = step.from === '' ? undefined : (along(event) ?? (step.from === step.to ? undefined : along('always')));
	// An arrow that stays inside is a line of its state.
	const inside =
		lit === undefined && step.from === step.to ? [...picture.querySelectorAll<SVGElement>('g.active > .line[data-event]')] : [];
	const line = inside.findLast(({ dataset: { event: label = '' } }) => bare(label) === event);
	const label =
		lit === undefined ? [] : [...lit.querySelectorAll<SVGElement>('.label')].filter(({ dataset }) => bare(dataset.event ?? '') === event);
	for (const part of [lit ?? line ?? leaf, ...label]) part?.classList.add('lit');
	// Above the others.
	if (lit !== undefined) lit.parentNode?.append(lit);
}

const depthOf = ({ dataset: { from = '', to = '' } }: SVGElement) => from.length * 1_000 + to.length;
