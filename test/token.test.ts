/** Whose turn it is to accept: the keeper of a token, arrow by arrow, and what holds whoever dies, hangs or answers late. */
import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { ANSWER_MS, nextOf, type TokenContext, type TokenInput, tokenMachine } from '../machines/token.ts';
import { SimulatedClock } from '../src/kernel/clock.ts';
import { Kernel } from '../src/kernel/kernel.ts';
import { type Row, Table } from '../src/testing/table.ts';

const QUANTUM_MS = 50;
const serving = (...ids: string[]) => ({ type: 'serving.changed', serving: ids });
const taken = (by: string) => ({ type: 'token.taken', by });
const none = serving();
const one = [serving('a'), taken('a')];
const two = [serving('a', 'b'), taken('a')];

const rows: Array<Row<TokenInput>> = [
	['nobody has it while nobody serves', [], 'vacant', []],
	['… nor when nobody serves again', [none], 'vacant', []],
	['the first that serves is asked to take it', [serving('a')], 'offering', ['offerToken']],
	['who serves alone keeps it', one, 'held.alone', []],
	['… and loses it with its service', [...one, none], 'vacant', ['revokeToken']],
	['… and goes on when it is still alone', [...one, serving('a')], 'held.alone', []],
	['two take turns', two, 'held.shared', ['revokeToken']],
	['… from when there are two', [...one, serving('a', 'b')], 'held.shared', []],
	['after its quantum the next one is asked', [...two, 'quantum'], 'offering', ['offerToken']],
	['it is taken from the former when the next one has it', [...two, 'quantum', taken('b')], 'held.shared', ['revokeToken']],
	['a holder that dies has it no more, and the next one is asked', [...two, serving('b')], 'offering', ['revokeToken', 'offerToken']],
	['a holder that is alone again keeps it', [...two, serving('a')], 'held.alone', []],
	['one that comes takes its turn', [...two, serving('a', 'b', 'c')], 'held.shared', []],
	['who dies before it has taken it is passed over', [...two, 'quantum', serving('a')], 'offering', ['offerToken']],
	['… and the holder only says so again', [...two, 'quantum', serving('a'), taken('a')], 'held.alone', []],
	['others may come and go meanwhile', [...two, 'quantum', serving('a', 'b', 'c')], 'offering', []],
	['all may go meanwhile', [...two, 'quantum', none], 'vacant', ['revokeToken']],
	['who is silent is passed over: the holder goes on', [...two, 'quantum', 'answerTimeout'], 'held.shared', []],
	['… or the next one is asked', [serving('a', 'b', 'c'), taken('a'), 'quantum', 'answerTimeout'], 'offering', ['offerToken']],
	['… or it again, if there is nobody else', [serving('a'), 'answerTimeout'], 'offering', ['offerToken']],
	['who takes it too late has to give it back', [...two, 'quantum', 'answerTimeout', taken('b')], 'held.shared', ['revokeToken']],
	[
		'… also while another one is asked',
		[serving('a', 'b', 'c'), taken('a'), 'quantum', 'answerTimeout', taken('b')],
		'offering',
		['revokeToken'],
	],
	['the holder may say it again', [...two, taken('a')], 'held.shared', []],
	['… also while another one is asked', [...two, 'quantum', taken('a')], 'offering', []],
];
const table = new Table(tokenMachine, { quantumMs: QUANTUM_MS });
for (const row of rows) test(row[0], () => void table.check(row));
test('the table is complete', () => table.assertComplete());

test('each has its turn, in order; and where one has gone the turn goes on', () => {
	const turns = (list: string[], last: string | null, place = 0) => nextOf({ serving: list, last, place });
	assert.is(turns([], null), null);
	assert.is(turns(['a', 'b'], null), 'a');
	assert.is(turns(['a', 'b'], 'a'), 'b');
	assert.is(turns(['a', 'b'], 'b'), 'a');
	assert.is(turns(['a', 'c'], 'b', 1), 'c');
	assert.is(turns(['a', 'b'], 'c', 2), 'a');
});

type Act = { what: 'come' | 'go' | 'hang' | 'wake' | 'forget'; who: number } | { what: 'wait'; ms: number };
const acts = fc.array(
	fc.oneof(
		fc.record({ what: fc.constantFrom('come', 'go', 'hang', 'wake', 'forget' as const), who: fc.integer({ min: 0, max: 3 }) }),
		fc.record({ what: fc.constant('wait' as const), ms: fc.integer({ min: 0, max: 400 }) }),
	),
	{ maxLength: 40 },
) as fc.Arbitrary<Act[]>;

/** Some workers, each with what it has been told and has not read, and whether it accepts. */
class Crew {
	readonly clock = new SimulatedClock();
	readonly accepting = new Set<string>();
	readonly turns: string[] = [];
	readonly #serving = new Set<string>();
	readonly #hung = new Set<string>();
	readonly #unread = new Map<string, boolean[]>();
	#kernel = this.#begin();

	get responsive(): string[] {
		return [...this.#serving].filter((each) => !this.#hung.has(each));
	}

	get holder(): string | null {
		return (this.#kernel.context('token') as TokenContext).holder;
	}

	do(act: Act): void {
		if (act.what === 'wait') return this.clock.advance(act.ms);
		const who = `w${act.who}`;
		if (act.what === 'come') this.#serving.add(who);
		else if (act.what === 'go') {
			this.#serving.delete(who);
			this.accepting.delete(who);
			this.#hung.delete(who);
			this.#unread.delete(who);
		} else if (act.what === 'hang' && this.#serving.has(who)) this.#hung.add(who);
		else if (act.what === 'wake') {
			this.#hung.delete(who);
			for (const has of this.#unread.get(who) ?? []) this.#read(who, has);
			this.#unread.delete(who);
		} else if (act.what === 'forget') {
			// Its master is gone; the next one knows nobody.
			this.#kernel.close();
			this.#kernel = this.#begin();
		}
		this.#tell();
		assert.ok(this.holder === null || this.#serving.has(this.holder), `${this.holder} has it and does not serve`);
	}

	#begin(): Kernel {
		const kernel = new Kernel({ clock: this.clock });
		kernel.start(
			'token',
			tokenMachine,
			{ quantumMs: QUANTUM_MS },
			{
				offerToken: ({ to }: { to: string }) => this.#give(to, true),
				revokeToken: ({ from }: { from: readonly string[] }) => {
					for (const each of from) this.#give(each, false);
				},
			},
		);
		return kernel;
	}

	#tell(): void {
		this.#kernel.send('token', { type: 'serving.changed', serving: [...this.#serving].sort() });
	}

	#give(who: string, has: boolean): void {
		if (!this.#serving.has(who)) return;
		if (this.#hung.has(who)) this.#unread.set(who, [...(this.#unread.get(who) ?? []), has]);
		else this.#read(who, has);
	}

	#read(who: string, has: boolean): void {
		if (has) this.accepting.add(who);
		else this.accepting.delete(who);
		if (!has) return;
		this.turns.push(who);
		this.#kernel.send('token', { type: 'token.taken', by: who });
	}
}

test('whatever happens: soon one of those that answer accepts, and only one', () => {
	fc.assert(
		fc.property(acts, (list) => {
			const crew = new Crew();
			for (const act of list) crew.do(act);
			// Each silent one may have to be waited for.
			crew.do({ what: 'wait', ms: QUANTUM_MS + 5 * ANSWER_MS });
			const responsive = crew.responsive;
			const accepting = responsive.filter((each) => crew.accepting.has(each));
			assert.is(accepting.length, Math.min(1, responsive.length), `${accepting.join(', ')} of ${responsive.join(', ')} accept`);
		}),
		{ numRuns: 2_000 },
	);
});

test('those that answer have their turns, one after the other', () => {
	const crew = new Crew();
	for (const who of [0, 1, 2]) crew.do({ what: 'come', who });
	crew.do({ what: 'wait', ms: 9 * QUANTUM_MS });
	assert.is(crew.turns.slice(-6).join(' '), [...crew.turns.slice(-3), ...crew.turns.slice(-3)].join(' '));
	assert.is(new Set(crew.turns.slice(-3)).size, 3);
});

test.run();
