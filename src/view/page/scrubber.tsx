/** Through the last steps of the selected machine, one by one, and back to what is now. */
import { at, history, look, older, shownStep, stepBy } from './store.ts';
import { clock, eventName } from './words.ts';

export function Scrubber() {
	const steps = history.value;
	const step = shownStep.value;
	const live = at.value === null;
	const last = Math.max(0, steps.length - 1);
	const here = live
		? last
		: Math.max(
				0,
				steps.findIndex(({ seq }) => seq === at.value?.seq),
			);
	return (
		<div class={`scrubber ${live ? '' : 'past'}`}>
			<button
				type="button"
				aria-label="Step back"
				aria-keyshortcuts="["
				title="Step back  ["
				disabled={here === 0}
				onClick={() => stepBy(-1)}
			>
				‹
			</button>
			<input
				type="range"
				min={0}
				max={last}
				value={here}
				aria-label="Step of its history"
				aria-valuetext={step === null ? 'nothing yet' : `${clock(step.time)} ${eventName(step.event)}, ${step.to}`}
				onInput={({ currentTarget }) => {
					const index = Number(currentTarget.value);
					look(index === last ? null : (steps[index] ?? null));
				}}
			/>
			<button type="button" aria-label="Step on" aria-keyshortcuts="]" title="Step on  ]" disabled={live} onClick={() => stepBy(1)}>
				›
			</button>
			<button type="button" class="live" aria-pressed={live} aria-keyshortcuts="l" title="What is now  l" onClick={() => look(null)}>
				<i class="dot" />
				{live ? 'Live' : 'Back to live'}
			</button>
		</div>
	);
}

/** The step that is shown, in words. */
export function Caption() {
	const steps = history.value;
	const step = shownStep.value;
	const here = steps.findIndex(({ seq }) => seq === step?.seq);
	return (
		<p class="step">
			{step === null ? (
				<span class="quiet">No step yet.</span>
			) : (
				<>
					<span class="figure">{clock(step.time)}</span> <b>{eventName(step.event)}</b>{' '}
					<span class="quiet">
						{step.from === step.to ? step.to : `${step.from || 'new'} → ${step.to}`}
						{steps.length > 1 &&
							here !== -1 &&
							` · ${here + 1} of ${steps.length}${older.value && here === 0 ? '; older ones are no longer kept' : ''}`}
					</span>
				</>
			)}
		</p>
	);
}
