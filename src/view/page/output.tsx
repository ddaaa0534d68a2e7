/** What the selected child prints, followed. Lines are put into the document by hand: thousands a second may come. */
import { useSignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import { hello, onOutput, selectedRow } from './store.ts';
import { bytes } from './words.ts';

const MAX_LINES = 5_000;

export function Output() {
	const box = useRef<HTMLDivElement>(null);
	const following = useSignal(true);
	const count = useSignal(0);
	const row = selectedRow.value;

	const toEnd = () => {
		const element = box.current as HTMLDivElement;
		element.scrollTop = element.scrollHeight;
	};
	useEffect(() => {
		const element = box.current as HTMLDivElement;
		onOutput((lines, skippedBytes) => {
			// Another child, or another server: from the start.
			if (skippedBytes < 0) {
				element.replaceChildren();
				count.value = 0;
				following.value = true;
				return;
			}
			const added = document.createDocumentFragment();
			if (skippedBytes > 0) added.append(line(`${bytes(skippedBytes)} were left out`, 'left-out'));
			for (const text of lines.slice(-MAX_LINES)) added.append(line(text, 'printed'));
			element.append(added);
			while (element.childElementCount > MAX_LINES) element.firstElementChild?.remove();
			count.value = element.childElementCount;
			if (following.peek()) toEnd();
		});
		// A pane that was hidden has scrolled nowhere.
		const observer = new ResizeObserver(() => following.peek() && toEnd());
		observer.observe(element);
		return () => observer.disconnect();
	}, []);
	const prints = row !== null && row.count === null && row.kind !== 'actor';
	return (
		<div class="output">
			<div
				class="output-box"
				ref={box}
				// biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls is reached by keys
				tabIndex={0}
				role="log"
				aria-live="off"
				aria-label="Output"
				onScroll={({ currentTarget: { scrollTop, clientHeight, scrollHeight } }) => {
					following.value = scrollTop + clientHeight >= scrollHeight - 24;
				}}
			/>
			{count.value === 0 && (
				<p class="empty">
					{prints || row === null
						? 'It has printed nothing yet.'
						: `What a ${row.path === '' ? 'tree' : row.kind} does is in the events below.`}
				</p>
			)}
			{!following.value && hello.value !== null && (
				<button
					type="button"
					class="follow"
					onClick={() => {
						following.value = true;
						toEnd();
					}}
				>
					↓ Follow
				</button>
			)}
		</div>
	);
}

function line(text: string, name: string): HTMLElement {
	const element = document.createElement('div');
	element.className = name;
	element.textContent = text;
	return element;
}
