/** `choir status`: the tree with its states. */

import pc from 'picocolors';
import { visible, visibleJson } from '../logs/visible.ts';
import { chooseRunning, findRunning } from './choose.ts';
import { askStatus, type ChildStatus, type TreeStatus } from './facts.ts';
import { describeOrphans, findOrphans, statusOfOrphans } from './orphans.ts';
import { Polled } from './polled.ts';
import { Screen } from './screen.ts';
import { headLines, type TableRow, tableLines } from './table.ts';

export async function status(word: string | undefined, options: { json?: boolean; watch?: boolean }): Promise<number> {
	const orphans = (await findRunning(word)) === null ? await findOrphans(word) : null;
	const render = (facts: TreeStatus): string => {
		if (options.json) return visibleJson(facts, options.watch ? undefined : 2) + '\n';
		return renderStatus(facts, { colour: process.stdout.isTTY && !process.env.NO_COLOR, now: Date.now() });
	};
	if (orphans !== null) {
		process.stdout.write(render(await statusOfOrphans(orphans)));
		if (!options.json) process.stdout.write(`\n${describeOrphans(orphans)}\n`);
		return 0;
	}
	const tree = await chooseRunning(word);
	if (!options.watch) {
		process.stdout.write(render(await askStatus(tree.dir)));
		return 0;
	}
	const polled = new Polled(tree);
	if (process.stdout.isTTY && !options.json) return watchOnScreen(polled, render);
	for (let shown = ''; ; ) {
		const facts = await polled.next();
		if (withoutTime(facts) !== shown) process.stdout.write(render(facts));
		shown = withoutTime(facts);
	}
}

async function watchOnScreen(polled: Polled, render: (facts: TreeStatus) => string): Promise<never> {
	let lines: string[] = [];
	const draw = () => {
		const { rows } = screen.size;
		const hidden = lines.length - rows + 1;
		screen.draw(hidden > 1 ? [...lines.slice(0, rows - 1), pc.dim(`… ${hidden} lines more: \`choir top\` scrolls`)] : lines);
	};
	const screen = new Screen({ onResize: draw });
	try {
		for (;;) {
			lines = render(await polled.next())
				.trimEnd()
				.split('\n');
			draw();
		}
	} finally {
		screen.leave();
	}
}

/** What counts as a change to somebody who reads along: not the memory of the last second. */
function withoutTime(facts: TreeStatus): string {
	return JSON.stringify(facts, (key, value) => (key === 'memoryBytes' || key === 'cpuPercent' ? undefined : value));
}

/** The tree as aligned text. `now`: ms since the epoch, for how long things have been up. */
export function renderStatus(facts: TreeStatus, { colour, now }: { colour: boolean; now: number }): string {
	const paint = pc.createColors(colour);
	const rows: TableRow[] = [];
	const notes: string[] = [];
	const add = (children: ChildStatus[], depth: number): void => {
		for (const child of children) {
			rows.push({ child, depth });
			if (child.note && child.paused !== true) notes.push(child.note);
			add(child.children ?? [], depth + 1);
		}
	};
	add(facts.children, 0);
	const lines = headLines(facts, { paint, now });
	if (rows.length > 0) lines.push('', ...tableLines(rows, { paint, now }));
	if (notes.length > 0) lines.push('', ...notes.map((note) => `${paint.red('why')} ${visible(note)}`));
	return lines.join('\n') + '\n';
}
