/** A tree as Mermaid text: supervisors are boxes, and thick arrows show who goes down with whom. */
import { mermaidText } from './mermaid.ts';
import { childLines, type DrawnChild, type DrawnGroup, type DrawnTree, fateOf, groupLines, nameOfChild, ownFate } from './tree.ts';

export function treeMermaid({ tree, supervises }: DrawnTree): string {
	const words = new Map<DrawnChild, string>();
	const wordOf = (child: DrawnChild): string => {
		const word = words.get(child) ?? `c${words.size + 1}`;
		words.set(child, word);
		return word;
	};
	const inside = (group: DrawnGroup, indent: string): string[] => {
		const lines = group.children.flatMap((child) => {
			const place = group.maxChildren === null && group.start === 'ordered' && group.children.length > 1 ? `${child.order}. ` : '';
			const own = ownFate(child, group);
			const said = [...childLines(child), ...(own === null ? [] : [own])];
			if (child.supervises === null) return [`${indent}${wordOf(child)}["${textOf([place + nameOfChild(child), ...said])}"]`];
			return box(wordOf(child), [place + nameOfChild(child), ...said], child.supervises, indent);
		});
		const arrow = fateOf(group) === null ? '~~~' : group.strategy === 'one_for_all' ? '<==>' : '==>';
		for (const [index, child] of group.children.entries()) {
			const next = group.children[index + 1];
			if (next !== undefined) lines.push(`${indent}${wordOf(child)} ${arrow} ${wordOf(next)}`);
		}
		return lines;
	};
	const box = (word: string, said: string[], group: DrawnGroup, indent: string): string[] => {
		const fate = fateOf(group);
		const text = textOf([...said, ...groupLines(group), ...(fate === null ? [] : [fate])]);
		return [`${indent}subgraph ${word}["${text}"]`, `${indent}\tdirection LR`, ...inside(group, `${indent}\t`), `${indent}end`];
	};
	return ['flowchart TB', ...box('tree', [tree, 'tree'], supervises, '\t'), ''].join('\n');
}

const textOf = (lines: string[]) => lines.map(mermaidText).join('<br/>');
