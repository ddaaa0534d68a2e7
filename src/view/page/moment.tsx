/** What the selected machine knows; at a step of its history, what the step has changed in it. */
import { signal } from '@preact/signals';
import { changesOf, compare, type Line } from './diff.ts';
import { at, machine, moments, shownStep } from './store.ts';

const whole = signal(false);

export function KnownThings() {
	const step = shownStep.value;
	const past = at.value !== null;
	const moment = at.value === null ? undefined : moments.value.get(at.value.seq);
	const before = past ? moment?.before : machine.value?.now;
	const after = past ? moment?.after : machine.value?.now;
	if (past && moment === undefined) return <p class="quiet">Asking for that moment …</p>;
	if (after == null) return <p class="quiet">{past ? 'What it knew then is no longer kept.' : 'No machine runs.'}</p>;
	const lines = compare(before?.context ?? {}, after.context);
	const shown = past && !whole.value && before != null ? changesOf(lines) : lines;
	return (
		<section class="known" aria-label={past ? 'Before and after' : 'What it knows'}>
			<h3>
				{past ? 'Before and after' : 'What it knows'}
				{past && (
					<label class="check">
						<input type="checkbox" checked={whole.value} onChange={({ currentTarget }) => (whole.value = currentTarget.checked)} /> all
					</label>
				)}
			</h3>
			{past && (
				<p class="from-to">
					<del>{before?.state || 'new'}</del> <ins>{after.state}</ins>
				</p>
			)}
			{past && step !== null && step.effects.length > 0 && <p class="quiet">asks for: {step.effects.join(', ')}</p>}
			{shown.length === 0 ? <p class="quiet">It knows what it knew.</p> : <div class="lines">{shown.map(LineRow)}</div>}
		</section>
	);
}

const marks = { '-': 'was', '+': 'is', ' ': 'same' };

function LineRow({ depth, mark, key, value }: Line, index: number) {
	return (
		<div key={index} class={`known-${marks[mark]}`} style={{ paddingLeft: `${14 + depth * 12}px` }}>
			<span class="mark">{mark}</span>
			<span class="key">{key}</span> <span class="value">{value}</span>
		</div>
	);
}
