/** The live page of a tree: what is above, left, right and below, and the keys. */
import { effect, signal } from '@preact/signals';
import { render } from 'preact';
import { useLayoutEffect, useRef } from 'preact/hooks';
import { Confirm } from './confirm.tsx';
import { Detail } from './detail.tsx';
import { Log, togglePause } from './log.tsx';
import { isDark, narrow, toggleTheme } from './screen.ts';
import { connect, lostSince } from './socket.ts';
import { dismiss, follow, hear, hello, introduce, look, rootRow, rows, second, shape, stepBy, tab, toasts, troubles } from './store.ts';
import { Tree, tellVisible } from './tree.tsx';
import { duration, toneOf } from './words.ts';

/** A connection that comes back within this is nobody's business. */
const PATIENCE_MS = 400;
const LONG_MS = 10_000;

const helping = signal(false);
const keys: Array<[string, string]> = [
	['↑ ↓', 'the child above or below'],
	['← →', 'fold, unfold'],
	['Home End', 'the first or last child'],
	['Enter', 'to its machine'],
	['/', 'search the tree'],
	['[ ]', 'a step back or on in its history'],
	['l', 'live: what is now'],
	['p', 'pause the events, or go on'],
	['t', 'light or dark'],
	['?', 'these keys'],
];

function Top() {
	const now = hello.value;
	const root = rootRow.value;
	const count = shape.value === 0 ? 0 : rows.size - 1;
	const troubled = troubles.value.length;
	return (
		<header class="top">
			<h1>
				<svg class="mark" viewBox="0 0 20 20" aria-hidden="true">
					<path d="M10 4.5v4M10 8.5 4.5 14M10 8.5 15.5 14M10 8.5V14" />
					<circle cx="10" cy="3.5" r="2" />
					<circle cx="4" cy="15.5" r="2" />
					<circle cx="10" cy="15.5" r="2" />
					<circle cx="16" cy="15.5" r="2" />
				</svg>
				<span>{now?.tree ?? 'choir'}</span>
			</h1>
			{root !== null && (
				<p class="summary">
					<span class={`tone-${toneOf(root)}`}>
						<i class="dot" /> {root.state}
					</span>
					<span class="wide">
						{count} {count === 1 ? 'child' : 'children'}
					</span>
					{troubled > 0 && (
						<span class="tone-bad">
							{troubled} <span class="wide">in trouble</span>
							<span class="thin">!</span>
						</span>
					)}
					{now !== null && <span class="wide">up {duration(second.value - Date.parse(now.since))}</span>}
					{now !== null && (
						<span class="widest">
							angel {now.angel.pid} · master {now.master.pid}, incarnation {now.master.incarnation}
						</span>
					)}
				</p>
			)}
			<span class="gap" />
			{now?.readOnly && <span class="chip plain">read-only</span>}
			<button
				type="button"
				class="icon"
				aria-label={isDark() ? 'Light theme' : 'Dark theme'}
				title="Light or dark  t"
				onClick={toggleTheme}
			>
				{isDark() ? '☀' : '☾'}
			</button>
			<button type="button" class="icon" aria-label="Keys" title="Keys  ?" onClick={() => (helping.value = true)}>
				?
			</button>
		</header>
	);
}

function Lost() {
	const since = lostSince.value;
	second.value;
	const forMs = since === null ? 0 : Date.now() - since;
	return (
		<div class="lost" role="status">
			{since !== null && (forMs >= PATIENCE_MS || hello.value === null) && (
				<p>
					{hello.value === null ? 'Connecting …' : 'The connection is lost. What you see is what was; it comes back by itself.'}
					{forMs > LONG_MS && ' If the tree was started anew, `choir view` prints its new address.'}
				</p>
			)}
		</div>
	);
}

function Toasts() {
	return (
		<div class="toasts" aria-live="polite">
			{toasts.value.map(({ id, ok, message }) => (
				<p key={id} class={ok ? 'toast' : 'toast failed'} role={ok ? undefined : 'alert'}>
					<span>{message}</span>
					<button type="button" aria-label="Dismiss" onClick={() => dismiss(id)}>
						×
					</button>
				</p>
			))}
		</div>
	);
}

function Keys() {
	const dialog = useRef<HTMLDialogElement>(null);
	const open = helping.value;
	useLayoutEffect(() => {
		if (open && !dialog.current?.open) dialog.current?.showModal();
	}, [open]);
	return (
		<dialog ref={dialog} aria-labelledby="keys" onClose={() => (helping.value = false)}>
			<form method="dialog">
				<h2 id="keys">Keys</h2>
				<dl class="keys">
					{keys.map(([key, meaning]) => (
						<div key={key}>
							<dt>
								{key.split(' ').map((one) => (
									<kbd key={one}>{one}</kbd>
								))}
							</dt>
							<dd>{meaning}</dd>
						</div>
					))}
				</dl>
				<div class="answers">
					<button type="submit" class="primary">
						Close
					</button>
				</div>
			</form>
		</dialog>
	);
}

function Tabs() {
	return (
		<nav class="pages" aria-label="Parts of the page">
			{(['tree', 'chart', 'output', 'log'] as const).map((name) => (
				<button type="button" key={name} aria-current={tab.value === name ? 'page' : undefined} onClick={() => (tab.value = name)}>
					{{ tree: 'Tree', chart: 'Machine', output: 'Output', log: 'Events' }[name]}
				</button>
			))}
		</nav>
	);
}

function Page() {
	return (
		<div class="page" data-tab={tab.value}>
			<Top />
			<Lost />
			<main>
				<Tree />
				<Detail />
				<Log />
			</main>
			{narrow.value && <Tabs />}
			<Toasts />
			<Confirm />
			<Keys />
		</div>
	);
}

document.addEventListener('keydown', (event) => {
	const { target, key } = event;
	const writes = target instanceof HTMLElement && target.matches('input:not([type=range]):not([type=checkbox]), select, textarea');
	if (writes || event.ctrlKey || event.metaKey || event.altKey || document.querySelector('dialog[open]') !== null) return;
	const bound: Record<string, () => void> = {
		'/': () => {
			tab.value = narrow.value ? 'tree' : tab.value;
			document.querySelector<HTMLElement>('#search')?.focus();
		},
		'[': () => stepBy(-1),
		']': () => stepBy(1),
		l: () => look(null),
		p: togglePause,
		t: toggleTheme,
		'?': () => (helping.value = true),
	};
	if (bound[key] === undefined) return;
	event.preventDefault();
	bound[key]();
});

effect(() => {
	const tree = hello.value?.tree ?? 'choir';
	const root = rootRow.value;
	const troubled = troubles.value.length;
	const state = lostSince.value !== null ? 'not connected' : troubled > 0 ? `${troubled} in trouble` : (root?.state ?? '');
	document.title = `${troubled > 0 ? '⚠ ' : ''}${tree}${state === '' ? '' : ` – ${state}`}`;
});

render(<Page />, document.querySelector('#page') as HTMLElement);
follow(location.hash);
addEventListener('hashchange', () => follow(location.hash));
connect(hear, () => {
	introduce();
	tellVisible(true);
});
