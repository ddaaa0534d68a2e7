/** A long list of rows of one height, of which only those on screen are in the document. */
import type { ComponentChildren } from 'preact';
import { useLayoutEffect, useRef, useState } from 'preact/hooks';

const BEYOND = 6;

interface Props {
	count: number;
	/** Of one row, in px. */
	height: number;
	children: (index: number) => ComponentChildren;
	/** The row that must be seen whenever it changes. */
	seen?: number;
	/** Stays at its end, as long as it is there. */
	sticky?: boolean;
	onRange?: (from: number, to: number) => void;
	[attribute: `aria-${string}`]: string | undefined;
	role?: 'tree' | 'log' | 'list';
	class: string;
	tabIndex?: 0;
	onKeyDown?: (event: KeyboardEvent) => void;
}

export function Windowed({ count, height, children, seen, sticky = false, onRange, ...attributes }: Props) {
	const box = useRef<HTMLDivElement>(null);
	const [place, setPlace] = useState({ top: 0, tall: 800 });
	const atEnd = useRef(true);

	const look = () => {
		const { scrollTop, clientHeight, scrollHeight } = box.current as HTMLDivElement;
		atEnd.current = scrollTop + clientHeight >= scrollHeight - height;
		setPlace((now) => (now.top === scrollTop && now.tall === clientHeight ? now : { top: scrollTop, tall: clientHeight }));
	};
	useLayoutEffect(() => {
		const observer = new ResizeObserver(look);
		observer.observe(box.current as HTMLDivElement);
		return () => observer.disconnect();
	}, []);
	useLayoutEffect(() => {
		const element = box.current as HTMLDivElement;
		if (sticky && atEnd.current) element.scrollTop = element.scrollHeight;
	});
	useLayoutEffect(() => {
		const element = box.current as HTMLDivElement;
		if (seen === undefined || seen < 0) return;
		const top = seen * height;
		if (top < element.scrollTop) element.scrollTop = top;
		else if (top + height > element.scrollTop + element.clientHeight) element.scrollTop = top + height - element.clientHeight;
	}, [seen, height]);

	const from = Math.max(0, Math.min(count, Math.floor(place.top / height)) - BEYOND);
	const to = Math.min(count, Math.ceil((place.top + place.tall) / height) + BEYOND);
	useLayoutEffect(() => onRange?.(from, to));
	const shown = Array.from({ length: Math.max(0, to - from) }, (_, index) => children(from + index));
	return (
		<div ref={box} {...attributes} onScroll={look}>
			<div role="presentation" class="whole" style={{ height: `${count * height}px` }}>
				<div role="presentation" class="shown" style={{ transform: `translateY(${from * height}px)` }}>
					{shown}
				</div>
			</div>
		</div>
	);
}
