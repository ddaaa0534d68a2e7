/** How wide the screen is, which theme is wanted, and whether things may move. */
import { effect, type ReadonlySignal, signal } from '@preact/signals';

function matches(query: string): ReadonlySignal<boolean> {
	const list = matchMedia(query);
	const now = signal(list.matches);
	list.addEventListener('change', () => (now.value = list.matches));
	return now;
}

/** Rows have two lines. */
export const compact = matches('(max-width: 1180px)');
/** One thing at a time. */
export const narrow = matches('(max-width: 760px)');
export const still = matches('(prefers-reduced-motion: reduce)');
const darkOutside = matches('(prefers-color-scheme: dark)');

const KEY = 'choir.theme';
/** Null: as the system has it. */
const chosen = signal(remembered());
effect(() => {
	if (chosen.value === null) delete document.documentElement.dataset.theme;
	else document.documentElement.dataset.theme = chosen.value;
});

export const isDark = () => (chosen.value === null ? darkOutside.value : chosen.value === 'dark');

export function toggleTheme(): void {
	chosen.value = isDark() ? 'light' : 'dark';
	try {
		localStorage.setItem(KEY, chosen.value);
	} catch {
		// A browser that keeps nothing still shows it now.
	}
}

function remembered(): string | null {
	try {
		const theme = localStorage.getItem(KEY);
		return theme === 'dark' || theme === 'light' ? theme : null;
	} catch {
		return null;
	}
}
