/** The connection to the server: comes back by itself, and hands over what has come once a frame. */
import { signal } from '@preact/signals';
import type { FromPage, ToPage } from '../wire.ts';

const FIRST_MS = 250;
const LAST_MS = 5_000;
/** A page that nobody sees draws no frames. */
const HIDDEN_MS = 500;

/** Since when it is lost, in ms of the page's own clock; null: it is there. */
export const lostSince = signal<number | null>(null);

let socket: WebSocket | null = null;

/** Says nothing while there is no connection: whoever connects again says all that still counts. */
export function say(message: FromPage): boolean {
	if (socket?.readyState !== WebSocket.OPEN) return false;
	socket.send(JSON.stringify(message));
	return true;
}

/** `hear` gets what has come since the last frame, and when the first of it came; `opened` may say what this page looks at. */
export function connect(hear: (messages: ToPage[], since: number) => void, opened: () => void): void {
	let waiting: ToPage[] = [];
	let delayMs = FIRST_MS;
	let scheduled = false;
	let since = 0;

	const deliver = () => {
		if (!scheduled) return;
		scheduled = false;
		const messages = waiting;
		waiting = [];
		hear(messages, since);
	};
	document.addEventListener('visibilitychange', deliver);

	const open = () => {
		const address = new URL('live', location.href);
		address.protocol = address.protocol.replace('http', 'ws');
		address.hash = '';
		socket = new WebSocket(address);
		socket.onopen = () => {
			delayMs = FIRST_MS;
			lostSince.value = null;
			opened();
		};
		socket.onmessage = ({ data }) => {
			if (!scheduled) {
				scheduled = true;
				since = performance.now();
				if (document.hidden) setTimeout(deliver, HIDDEN_MS);
				else requestAnimationFrame(deliver);
			}
			waiting.push(JSON.parse(data));
		};
		socket.onclose = () => {
			lostSince.value ??= Date.now();
			setTimeout(open, delayMs);
			delayMs = Math.min(LAST_MS, delayMs * 2);
		};
	};
	open();
}
