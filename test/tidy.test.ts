/** What the code promises about itself. */
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { AnyStateMachine } from 'xstate';
import { angelMachine } from '../machines/angel.ts';
import { masterMachine } from '../machines/master.ts';
import { rolloutMachine } from '../machines/rollout.ts';
import { standbyMachine } from '../machines/standby.ts';
import { tokenMachine } from '../machines/token.ts';
import { workerMachine } from '../machines/worker.ts';

const root = path.join(import.meta.dirname, '..');
const filesIn = (folder: string) =>
	fs
		.readdirSync(path.join(root, folder), { recursive: true, encoding: 'utf8' })
		.filter((name) => name.endsWith('.ts'))
		.map((name) => path.join(folder, name));
const read = (file: string) => fs.readFileSync(path.join(root, file), 'utf8');
/** Code without its comments and strings, in which forbidden words would mean nothing. */
const codeOf = (text: string) => text.replace(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, '').replace(/'(?:[^'\\\n]|\\.)*'|`(?:[^`\\]|\\.)*`/g, "''");

const impure =
	/\b(Date\.|new Date|performance\.|Math\.random|crypto\b|setTimeout|setInterval|setImmediate|queueMicrotask|process\.(?!\w+['"])|globalThis|require\(|await |async |fetch\()/;

for (const file of filesIn('machines')) {
	test(`${file} is pure: no clock, no chance, no world`, () => {
		const text = read(file);
		for (const [, from] of text.matchAll(/(?:from|import\()\s*'([^']+)'/g))
			assert.ok(from === 'xstate' || /^\.\/[a-z-]+\.ts$/.test(from as string), `it imports '${from}'`);
		assert.not.match(codeOf(text), impure);
	});
}

test('the check for purity sees what it is for', () => {
	for (const text of ['const t = Date.now();', 'x = Math.random()', 'setTimeout(f, 1)', 'process.kill(1)', 'await x', 'new Date()'])
		assert.match(codeOf(text), impure);
	assert.not.match(codeOf("on: { 'process.exited': 'dead' } // Date.now()"), impure);
});

interface Node {
	id: string;
	entry: unknown[];
	exit: unknown[];
	always?: Arrow[];
	transitions: Map<string, Arrow[]>;
	config: { after?: Record<string, unknown>; invoke?: unknown };
}
interface Arrow {
	guard?: unknown;
	actions: unknown[];
}
/** What XState itself puts in for `after`. */
const builtIn = /^xstate\./;
const nameOf = (action: unknown): unknown => (typeof action === 'string' ? action : (action as { type?: unknown }).type);

for (const [name, machine] of Object.entries({
	angelMachine,
	masterMachine,
	rolloutMachine,
	standbyMachine,
	tokenMachine,
	workerMachine,
})) {
	test(`${name}: every guard, action and delay has a name, and a state invokes nothing`, () => {
		const nodes = [...(machine as unknown as { idMap: Map<string, Node> }).idMap.values()];
		for (const { id, entry, exit, always = [], transitions, config } of nodes) {
			assert.is(config.invoke, undefined, id);
			const arrows = [...always, ...[...transitions.values()].flat()];
			for (const action of [...entry, ...exit, ...arrows.flatMap(({ actions }) => actions)]) {
				const built = typeof action === 'function' && builtIn.test(String((action as { type?: string }).type));
				assert.ok(built || (typeof action !== 'function' && typeof nameOf(action) === 'string'), `${id}: an action has no name`);
			}
			for (const { guard } of arrows) assert.ok(guard === undefined || typeof nameOf(guard) === 'string', `${id}: a guard has no name`);
			for (const delay of Object.keys(config.after ?? {})) assert.not.match(delay, /^\d+$/, `${id}: a delay has no name`);
		}
	});

	test(`${name}: its chart is a literal, without spreads or code that builds states`, () => {
		const file = `machines/${(machine as unknown as AnyStateMachine).id}.ts`;
		const chart = read(file).split('.createMachine(')[1] ?? '';
		const states = chart.slice(chart.indexOf('\n\t\tstates: {'), chart.indexOf('\n\t});'));
		assert.ok(states.length > 1_000);
		assert.not.match(states.replace(/params: \([\s\S]*?\}\),?\n/g, ''), /^\s*\.\.\.\w/m);
	});
}

test('arrows go one way: machines know nothing of src, src nothing of test', () => {
	for (const file of filesIn('src')) assert.not.match(read(file), /from '[./]*\/(test|bench|examples)\//, file);
});

/** Lines that let time pass and do not say why in the line above. */
function guesses(text: string): string[] {
	const lines = text.split('\n');
	return lines.filter(
		(line, index) =>
			/^\s*(await|const \w+ = .*=>) new Promise(<\w+>)?\(\(\w+\) => setTimeout\(/.test(line) &&
			!/^\s*\/(\/|\*\*)/.test(lines[index - 1] ?? ''),
	);
}

test('every test file runs its tests, waits for no guess, and leaves none out', () => {
	for (const file of filesIn('test').filter((name) => name.endsWith('.test.ts'))) {
		const text = read(file);
		assert.match(text, /^(test|\w+)\.run\(\);?\s*$/m, `${file} forgets to run`);
		assert.not.match(codeOf(text), /\btest\.(skip|only)\(/, file);
		assert.equal(guesses(text), [], `${file}: await a fact (support/until.ts), or say above what the time is for`);
	}
});

test('the check for guesses sees what it is for', () => {
	for (const line of [
		'await new Promise((resolve) => setTimeout(resolve, 5));',
		'const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));',
	]) {
		assert.equal(guesses(`f();\n\t${line}`), [`\t${line}`]);
		assert.equal(guesses(`// What it is for.\n\t${line}`), []);
	}
});

test('every source file says what it is in its first lines', () => {
	for (const file of [...filesIn('src'), ...filesIn('machines')]) assert.match(read(file).slice(0, 600), /\/\*\*|\/\//, file);
});

test('nothing speaks of the machine it was written on', () => {
	for (const folder of ['src', 'machines', 'test', 'examples', 'bench']) {
		if (!fs.existsSync(path.join(root, folder))) continue;
		for (const file of filesIn(folder)) if (!file.endsWith('tidy.test.ts')) assert.not.match(read(file), /\/(work|root|farm)\/[a-z]/, file);
	}
});

test.run();
