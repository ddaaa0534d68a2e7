/** The selected child: who it is, what may be done with it, and its machine. */
import type { ComponentChildren } from 'preact';
import type { Row } from '../wire.ts';
import { Chart, shownMachine, Timers } from './chart.tsx';
import { ask, labels } from './confirm.tsx';
import { KnownThings } from './moment.tsx';
import { Output } from './output.tsx';
import { Scrubber } from './scrubber.tsx';
import { at, hello, second, selectedRow, tab } from './store.ts';
import { bytes, clock, duration, nameOf, stateWord, toneOf } from './words.ts';

export function Detail() {
	const row = selectedRow.value;
	const output = tab.value === 'output';
	if (row === null)
		return (
			<section class="detail" id="detail" aria-label="Selected child">
				<p class="empty">{hello.value === null ? '' : 'This child is gone.'}</p>
			</section>
		);
	return (
		<section class="detail" id="detail" tabIndex={-1} aria-label="Selected child">
			<Title row={row} />
			<div class="tabs">
				<div role="tablist" aria-label="Of this child">
					<Tab name="chart">Machine</Tab>
					<Tab name="output">Output</Tab>
				</div>
				<span class="gap" />
				{!output && <Scrubber />}
			</div>
			<div class="pane" role="tabpanel" hidden={output}>
				<Life />
				<div class="machine">
					<Chart />
					<aside class="aside">
						<Timers />
						<KnownThings />
					</aside>
				</div>
			</div>
			<div class="pane" role="tabpanel" hidden={!output}>
				<Output />
			</div>
		</section>
	);
}

function Tab({ name, children }: { name: 'chart' | 'output'; children: ComponentChildren }) {
	const chosen = (tab.value === 'output') === (name === 'output');
	return (
		<button type="button" role="tab" aria-selected={chosen} onClick={() => (tab.value = name)}>
			{children}
		</button>
	);
}

function Title({ row }: { row: Row }) {
	const {
		path,
		id,
		kind,
		pid,
		restartType,
		strategy,
		count,
		note,
		says,
		lastExit,
		operations,
		cpuPercent,
		memoryBytes,
		incarnation,
		restarts,
	} = row;
	const facts: Array<[string, ComponentChildren]> = [
		['', kind],
		['', restartType],
		['', strategy?.replaceAll('_', ' ')],
		['pid', pid],
		['incarnation', incarnation > 0 ? incarnation : null],
		['restarts', restarts],
		['children', count],
		['memory', memoryBytes === null ? null : bytes(memoryBytes)],
		['CPU', cpuPercent === null ? null : `${cpuPercent} %`],
	];
	return (
		<header class="title">
			<div class="title-line">
				<h2 class={`tone-${toneOf(row)}`}>
					<i class="dot" />
					{nameOf(path, id)}
					<small>{stateWord(row)}</small>
				</h2>
				<div class="operations">
					{operations.map((what) => (
						<button type="button" key={what} onClick={() => ask(what, row)}>
							{labels[what]}
						</button>
					))}
					{hello.value?.readOnly && <span class="chip plain">This page is read-only</span>}
				</div>
			</div>
			<dl class="facts">
				{facts.map(
					([name, value], index) =>
						value != null && (
							<div key={index}>
								{name !== '' && <dt>{name}</dt>}
								<dd>{value}</dd>
							</div>
						),
				)}
			</dl>
			{note !== null && <p class={`note tone-${toneOf(row)}`}>{note}</p>}
			{says !== null && <p class="says">“{says}”</p>}
			{lastExit !== null && (
				<p class="last">
					Last exit: {lastExit.reason}
					{lastExit.signal !== null && ` by ${lastExit.signal}`}
					{lastExit.code !== null && `, code ${lastExit.code}`}, at {clock(lastExit.at).slice(0, 8)}, {duration(second.value - lastExit.at)}{' '}
					ago
					{lastExit.detail !== undefined && `: ${lastExit.detail}`}
				</p>
			)}
		</header>
	);
}

/** Where it is in its life, before one looks any closer. */
function Life() {
	const [state, ...inner] = (shownMachine()?.state ?? '').split('.');
	return (
		<ol class={`life ${at.value === null ? '' : 'past'}`} aria-label="State of its machine">
			{['starting', 'running', 'draining', 'dead'].map((name) => (
				<li key={name} class={`life-${name}`} aria-current={name === state ? 'step' : undefined}>
					{name}
					{name === state && inner.length > 0 && <small> {inner.join(' · ')}</small>}
				</li>
			))}
		</ol>
	);
}
