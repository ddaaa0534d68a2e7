/** A chart as Mermaid text, which code hosts show. */
import { type Chart, type ChartEdge, type ChartState, statesOf } from './chart.ts';

/** States as nested boxes; what happens anywhere in a box of boxes is a box of its own, because Mermaid writes nothing in the outer one. */
export function mermaidOf(chart: Chart): string {
	return new Drawing(chart).text();
}

/** As text within Mermaid's quotes and labels: what has a meaning there, and what nobody could read, by its number. */
export function mermaidText(text: string): string {
	return text.replace(/[^\p{L}\p{N} .,/()[\]→×_·'+=*!?-]/gu, (character) => `#${character.codePointAt(0)};`);
}

/** Words of Mermaid's own, which name no box. */
const reserved = /^(?:end|state|note|direction|class|classDef|style|click|default|as|accTitle|accDescr|fork|join|choice|anywhere)$/i;

class Drawing {
	readonly #chart: Chart;
	/** Name of a state → the one word that Mermaid has for its box in the whole drawing. */
	readonly #words: ReadonlyMap<string, string>;
	readonly #parents: ReadonlyMap<string, ChartState>;

	constructor(chart: Chart) {
		this.#chart = chart;
		const states = statesOf(chart.root);
		this.#parents = new Map(states.flatMap((state) => state.states.map(({ name }) => [name, state] as const)));
		const keys = states.map(({ key }) => key);
		const words = new Map<string, string>();
		const taken = new Set<string>();
		for (const { name, key } of states) {
			const isClear = /^[A-Za-z]\w*$/.test(key) && !reserved.test(key) && keys.filter((other) => other === key).length === 1;
			let word = isClear ? key : name.replace(/\W/g, '_') || 'machine';
			while (taken.has(word) || (!isClear && reserved.test(word))) word += '_';
			taken.add(word);
			words.set(name, word);
		}
		this.#words = words;
	}

	text(): string {
		return ['stateDiagram-v2', ...this.#inside(this.#chart.root, '\t'), ''].join('\n');
	}

	#inside(parent: ChartState, indent: string): string[] {
		const { root, edges, id } = this.#chart;
		const lines: string[] = [];
		if (parent.initial !== null) lines.push(`${indent}[*] --> ${this.#word(parent.initial)}`);
		if (parent.lines.length > 0) {
			const box = parent === root ? 'anywhere' : `anywhere_in_${this.#word(parent.name)}`;
			lines.push(`${indent}state "anywhere in ${mermaidText(parent === root ? id : parent.key)}" as ${box}`);
			lines.push(...linesOf(parent, box, indent));
		}
		for (const state of parent.states) {
			// Without its name in quotes, the first line that is written inside would take its place.
			const word = this.#word(state.name);
			const head = `${indent}state "${mermaidText(state.key)}" as ${word}`;
			if (state.states.length > 0) lines.push(`${head} {`, ...this.#inside(state, `${indent}\t`), `${indent}}`);
			else lines.push(head, ...linesOf(state, word, indent));
			if (parent.kind === 'parallel' && parent !== root && state !== parent.states.at(-1)) lines.push(`${indent}--`);
		}
		for (const edge of edges)
			if (this.#scopeOf(edge) === parent)
				lines.push(`${indent}${this.#word(edge.from)} --> ${this.#word(edge.to)} : ${edge.labels.map(mermaidText).join(', ')}`);
		for (const state of parent.states) if (state.kind === 'final') lines.push(`${indent}${this.#word(state.name)} --> [*]`);
		return lines;
	}

	/** Between siblings an arrow is written beside them. Named in any other box, one of its ends would move there. */
	#scopeOf({ from, to }: ChartEdge): ChartState {
		const parent = this.#parents.get(from);
		return parent !== undefined && parent === this.#parents.get(to) ? parent : this.#chart.root;
	}

	#word(name: string): string {
		return this.#words.get(name) as string;
	}
}

const linesOf = ({ lines }: ChartState, box: string, indent: string) => lines.map(({ text }) => `${indent}${box} : ${mermaidText(text)}`);
