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
	// The title of a box has one line only: what else is said of a supervisor stands in the box, without a border.
	const box = (word: string, [name = '', ...said]: string[], group: DrawnGroup, indent: string): string[] => {
		const fate = fateOf(group);
		const first = group.children[0];
		return [
			`${indent}subgraph ${word}["${mermaidText(name)}"]`,
			`${indent}\tdirection ${isShort(group) ? 'LR' : 'TB'}`,
			`${indent}\t${word}_said["${textOf([...said, ...groupLines(group), ...(fate === null ? [] : [fate])])}"]:::said`,
			...inside(group, `${indent}\t`),
			...(first === undefined ? [] : [`${indent}\t${word}_said ~~~ ${wordOf(first)}`]),
			`${indent}end`,
		];
	};
	return ['flowchart TB', '\tclassDef said fill:none,stroke:none', ...box('tree', [tree, 'tree'], supervises, '\t'), ''].join('\n');
}

/** Side by side, or one below the other: a code host makes what is wide small. */
const isShort = ({ children }: DrawnGroup) => children.length <= 4 && children.every(({ supervises }) => supervises === null);

const textOf = (lines: string[]) => lines.map(mermaidText).join('<br/>');
