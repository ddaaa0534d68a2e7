/** The steps of all machines as they come, to be filtered, held, copied, and gone back to. */
import { computed, signal } from '@preact/signals';
import { compact, narrow } from './screen.ts';
import { at, type Entry, entries, hello, linkTo, logged, look, select, selected, tab, toast } from './store.ts';
import { Windowed } from './windowed.tsx';
import { clock, eventName, isOfKind, type Kind, kinds, lineOf, nameOf } from './words.ts';

const pathFilter = signal('');
const kind = signal<Kind>('changes');
const onlySelected = signal(false);
/** The last entry that is shown while the log is held; null: it runs. */
const heldAt = signal<number | null>(null);

const listed = computed<readonly Entry[]>(() => {
	logged.value;
	const held = heldAt.value ?? Number.POSITIVE_INFINITY;
	const path = pathFilter.value.toLowerCase();
	const tree = hello.value?.tree ?? '';
	return entries(kind.value !== 'changes').filter(({ key, step }) => {
		if (key > held) return false;
		if (step === null) return true;
		if (onlySelected.value && step.path !== selected.value) return false;
		return isOfKind(step, kind.value) && (path === '' || nameOf(step.path, tree).toLowerCase().includes(path));
	});
});
const missed = computed(() => {
	logged.value;
	const held = heldAt.value;
	return held === null ? 0 : entries(false).filter(({ key }) => key > held).length;
});

export function togglePause(): void {
	heldAt.value = heldAt.value === null ? (entries(true).at(-1)?.key ?? 0) : null;
}

async function copy(text: string, what: string): Promise<void> {
	try {
		await navigator.clipboard.writeText(text);
		toast(true, `${what} copied.`);
	} catch {
		toast(false, 'The browser does not let this page copy.');
	}
}

export function Log() {
	const list = listed.value;
	const tree = hello.value?.tree ?? '';
	const held = heldAt.value !== null;
	const text = () => list.map(({ step, note }) => (step === null ? `-- ${note}` : lineOf(step, tree))).join('\n');
	return (
		<section class="log-side" aria-label="Events">
			<div class="bar">
				<h2>Events</h2>
				<input
					type="search"
					placeholder="Path"
					aria-label="Filter events by path"
					spellcheck={false}
					value={pathFilter.value}
					onInput={({ currentTarget }) => (pathFilter.value = currentTarget.value)}
				/>
				<select
					aria-label="Filter events by kind"
					value={kind.value}
					onChange={({ currentTarget }) => (kind.value = currentTarget.value as Kind)}
				>
					{Object.entries(kinds).map(([name, label]) => (
						<option key={name} value={name}>
							{label}
						</option>
					))}
				</select>
				<button type="button" class="chip" aria-pressed={onlySelected.value} onClick={() => (onlySelected.value = !onlySelected.value)}>
					Selected only
				</button>
				<span class="gap" />
				<button type="button" class="chip" aria-pressed={held} aria-keyshortcuts="p" title="p" onClick={togglePause}>
					{held ? `Resume${missed.value > 0 ? ` (${missed.value} new)` : ''}` : 'Pause'}
				</button>
				<button type="button" class="chip" onClick={() => copy(text(), `${list.length} events`)}>
					Copy
				</button>
			</div>
			<Windowed
				class="log"
				role="list"
				aria-label="Events, the newest last"
				tabIndex={0}
				count={list.length}
				height={compact.value ? 46 : 28}
				sticky={!held}
			>
				{(index) => {
					const entry = list[index] as Entry;
					return <LogRow key={entry.key} entry={entry} tree={tree} />;
				}}
			</Windowed>
			{list.length === 0 && <p class="empty">Nothing that the filter lets through.</p>}
		</section>
	);
}

function LogRow({ entry: { step, note, master }, tree }: { entry: Entry; tree: string }) {
	if (step === null)
		return (
			// biome-ignore lint/a11y/useSemanticElements: only rows on screen are in the document, so it can be no list of HTML's
			<div class="event between" role="listitem">
				{note}
			</div>
		);
	const kept = master === hello.value?.master.pid;
	const open = () => {
		select(step.path);
		look(step);
		if (narrow.value) tab.value = 'chart';
	};
	return (
		// biome-ignore lint/a11y/useSemanticElements: as above
		<div
			class="event"
			role="listitem"
			data-path={step.path}
			data-seq={step.seq}
			data-time={step.time}
			aria-current={at.value?.seq === step.seq && kept ? 'true' : undefined}
		>
			<button
				type="button"
				class="event-open"
				disabled={!kept}
				title={kept ? 'Look at the state before and after' : 'Of a master that is gone: no longer kept'}
				onClick={open}
			>
				<span class="figure event-time">{clock(step.time)}</span>
				<span class="event-path">{nameOf(step.path, tree)}</span>
				<span class="event-name">{eventName(step.event)}</span>
				<span class={`event-change to-${step.to.split('.')[0]}`}>
					{step.from === step.to ? (
						<span class="quiet">{step.ignored ? 'ignored' : step.effects.join(', ') || step.to}</span>
					) : (
						<>
							<span class="quiet from">{step.from || 'new'} → </span>
							<b>{step.to}</b>
						</>
					)}
				</span>
			</button>
			<button
				type="button"
				class="link"
				aria-label="Copy a link to this moment"
				title="Copy a link to this moment. It contains the token of this page: whoever has it may do what you may."
				onClick={() => copy(linkTo(step), 'A link with the token of this page was')}
			>
				<svg viewBox="0 0 16 16" aria-hidden="true">
					<path d="M6.5 9.5a3 3 0 0 0 4.2 0l2.3-2.3a3 3 0 0 0-4.2-4.2L7.6 4.1M9.5 6.5a3 3 0 0 0-4.2 0L3 8.8A3 3 0 0 0 7.2 13l1.2-1.1" />
				</svg>
			</button>
		</div>
	);
}
