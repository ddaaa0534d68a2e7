/**
 * Viewers that read a chart in its source (the extension for VS Code, the importer from code hosts) evaluate nothing: they want a
 * literal in `createMachine({…})`, and leave out without a word what is none. Read that way, each machine is still whole.
 */
import fs from 'node:fs';
import path from 'node:path';
import { parse } from '@babel/parser';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type AnyStateMachine, createMachine } from 'xstate';
import { machines } from '../diagrams/draw.ts';
import { chartOf } from '../src/diagram/chart.ts';

/** Of a syntax tree, as far as it is looked at here. */
interface Syntax {
	type: string;
	[key: string]: unknown;
}
type Config = Parameters<typeof createMachine>[0];

const isSyntax = (value: unknown): value is Syntax => typeof (value as Partial<Syntax> | null)?.type === 'string';

/** Each machine of a source, as far as it can be read without running it. */
function configsIn(source: string): Config[] {
	const configs: Config[] = [];
	const walk = (value: unknown): void => {
		if (Array.isArray(value)) for (const each of value) walk(each);
		if (!isSyntax(value)) return;
		const callee = value.callee as Syntax | undefined;
		const name = (callee?.type === 'MemberExpression' ? (callee.property as Syntax) : callee)?.name;
		if (value.type === 'CallExpression' && name === 'createMachine')
			configs.push(literalOf((value.arguments as Syntax[])[0] as Syntax) as Config);
		for (const inner of Object.values(value)) walk(inner);
	};
	walk(parse(source, { sourceType: 'module', plugins: ['typescript'] }).program);
	return configs;
}

/** What stands there; undefined where that is something to be worked out. */
function literalOf(value: Syntax): unknown {
	switch (value.type) {
		case 'StringLiteral':
		case 'NumericLiteral':
		case 'BooleanLiteral':
			return value.value;
		case 'NullLiteral':
			return null;
		case 'ArrayExpression':
			return (value.elements as Syntax[]).map(literalOf);
		case 'ObjectExpression':
			return Object.fromEntries(
				(value.properties as Syntax[]).flatMap((property) => {
					if (property.type !== 'ObjectProperty' || property.computed) return [];
					const { name, value: text } = property.key as Syntax;
					const literal = literalOf(property.value as Syntax);
					return literal === undefined ? [] : [[String(name ?? text), literal]];
				}),
			);
		default:
			return undefined;
	}
}

for (const machine of machines as readonly AnyStateMachine[]) {
	test(`${machine.id}: what can be read in its source is the whole machine`, () => {
		const configs = configsIn(fs.readFileSync(path.join(import.meta.dirname, '..', 'machines', `${machine.id}.ts`), 'utf8'));
		assert.is(configs.length, 1);
		assert.equal(chartOf(createMachine(configs[0] as Config)), chartOf(machine));
	});
}

for (const [what, states] of [
	['is spread in', '{ a: { on: { go: "b" } }, ...others, b: {} }'],
	['is imported', '{ a: { on: { go: "b" } }, b: imported, c: imported }'],
	['comes from a function', '{ a: { on: { go: "b" } }, b: {}, c: stateOf("c") }'],
])
	test(`a state that ${what} is not seen that way`, () => {
		const [config] = configsIn(`export const m = setup({}).createMachine({ id: 'm', initial: 'a', states: ${states} });`);
		assert.not.ok(Object.keys(config?.states ?? {}).includes('c'));
		assert.ok(Object.keys(config?.states ?? {}).includes('a'));
	});

test.run();
