/** Nothing is done to a child before it was said in plain words what will be, and confirmed. */
import { signal } from '@preact/signals';
import { useLayoutEffect, useRef } from 'preact/hooks';
import type { Operation, Row } from '../wire.ts';
import { machine, operate, rows } from './store.ts';
import { duration } from './words.ts';

export const labels: Record<Operation, string> = { restart: 'Restart', stop: 'Stop', start: 'Start', reload: 'Reload', scale: 'Scale' };

interface Asked {
	what: Operation;
	row: Row;
	/** Of what `row` is an instance of. */
	instances: number;
	name: string;
}
const asked = signal<Asked | null>(null);

export function ask(what: Operation, row: Row): void {
	const base = (id: string) => id.replace(/\.\d+$/, '');
	const siblings = [...rows.values()].filter(({ value }) => value.above === row.above && base(value.id) === base(row.id));
	asked.value = { what, row, instances: siblings.length, name: what === 'scale' ? base(row.path) : row.path || row.id };
}

/** How it goes: `first drains, for up to 60s`. */
function drains({ count, path, kind }: Row): string {
	if (count !== null) return `Its children are stopped first, the last one first; each drains`;
	if (kind === 'actor') return 'It is stopped at once';
	const now = machine.value?.path === path ? (machine.value.now?.context as { stop?: { drainMs?: unknown } } | undefined) : undefined;
	const drainMs = now?.stop?.drainMs;
	if (drainMs === 0) return 'It is sent SIGTERM, without a drain';
	return `It drains first${typeof drainMs === 'number' ? `, up to ${duration(drainMs)}` : ''}`;
}

function plain({ what, row, name }: Asked): [question: string, meaning: string] {
	switch (what) {
		case 'restart':
			return [`Restart ${name}?`, `${drains(row)}, and is then started again.`];
		case 'stop':
			return [`Stop ${name}?`, `${drains(row)}, and stays down until somebody starts it.`];
		case 'start':
			return [`Start ${name}?`, 'A new incarnation of it is started.'];
		case 'reload':
			return [`Reload ${name}?`, 'Each instance is replaced by one of the present code; the old one drains when the new one is ready.'];
		case 'scale':
			return [`How many instances of ${name}?`, 'New ones are started; those that are too many drain and go, the last one first.'];
	}
}

export function Confirm() {
	const dialog = useRef<HTMLDialogElement>(null);
	const now = asked.value;
	useLayoutEffect(() => {
		if (now !== null && !dialog.current?.open) dialog.current?.showModal();
	}, [now]);
	const [question, meaning] = now === null ? ['', ''] : plain(now);
	return (
		<dialog ref={dialog} aria-labelledby="question" aria-describedby="meaning" onClose={() => (asked.value = null)}>
			{now !== null && (
				<form
					method="dialog"
					onSubmit={({ currentTarget }) => {
						const count = new FormData(currentTarget).get('count');
						operate(now.what, now.row.path, count === null ? undefined : Number(count));
					}}
				>
					<h2 id="question">{question}</h2>
					<p id="meaning">{meaning}</p>
					{now.what === 'scale' && (
						<label class="count-field">
							Instances
							<input name="count" type="number" min={0} max={1_000} step={1} required defaultValue={String(now.instances)} autofocus />
						</label>
					)}
					<div class="answers">
						<button type="button" onClick={() => dialog.current?.close()}>
							Cancel
						</button>
						<button type="submit" class="primary" autofocus={now.what !== 'scale'}>
							{labels[now.what]}
						</button>
					</div>
				</form>
			)}
		</dialog>
	);
}
