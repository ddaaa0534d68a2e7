import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import {
	affected,
	backoffMs,
	classifyExit,
	countFailures,
	intensityExceeded,
	logRestart,
	mayRestart,
	noRestarts,
	type RestartLog,
} from '../machines/restart.ts';
import type { ExitReason, RestartType, Strategy } from '../machines/spec.ts';

const reasons: ExitReason[] = ['normal', 'shutdown', 'crash', 'killed', 'startFailed', 'hung', 'lost'];
const verdicts: Array<[RestartType, ExitReason[]]> = [
	['permanent', reasons],
	['transient', ['crash', 'killed', 'startFailed', 'hung', 'lost']],
	['temporary', []],
];
for (const [type, restarted] of verdicts) {
	for (const reason of reasons) {
		const verdict = restarted.includes(reason);
		test(`${type} × ${reason}: ${verdict ? 'restarted' : 'left'}`, () => assert.is(mayRestart(type, reason), verdict));
	}
}

const ids = fc.uniqueArray(fc.string({ minLength: 1, maxLength: 3 }), { minLength: 1, maxLength: 8 });
const strategies = fc.constantFrom<Strategy>('one_for_one', 'one_for_all', 'rest_for_one');

test('affected: holds the failed, keeps the order, and nobody before the failed under rest_for_one', () => {
	fc.assert(
		fc.property(ids, fc.nat(), strategies, (all, pick, strategy) => {
			const failed = all[pick % all.length] as string;
			const down = affected(strategy, all, failed);
			assert.ok(down.includes(failed));
			assert.equal(
				down,
				all.filter((id) => down.includes(id)),
			);
			if (strategy === 'one_for_one') assert.equal(down, [failed]);
			if (strategy === 'one_for_all') assert.equal(down, all);
			if (strategy === 'rest_for_one') assert.equal(down, all.slice(all.indexOf(failed)));
		}),
	);
});

test('intensity: exceeded exactly when more restarts than allowed lie within the window, both ends counted', () => {
	const stamps = fc.array(fc.nat(50), { minLength: 1, maxLength: 300 });
	fc.assert(
		fc.property(stamps, fc.nat(5), fc.integer({ min: 1, max: 200 }), (gaps, restarts, withinMs) => {
			let log: RestartLog = noRestarts;
			let earlier: Array<[RestartLog, number[]]> = [];
			const seen = ({ stamps, from, to }: RestartLog) => stamps.slice(from, to);
			const all: number[] = [];
			let now = 0;
			for (const gap of gaps) {
				now += gap;
				all.push(now);
				const within = all.filter((at) => now - at <= withinMs);
				assert.is(intensityExceeded(log, now, { restarts, withinMs }), within.length > restarts);
				log = logRestart(log, now, { restarts, withinMs });
				assert.equal(seen(log), within.slice(-(restarts + 1)));
				earlier = [...earlier, [log, seen(log)]];
			}
			// What was known before stays as it was, also where two go on from the same.
			for (const [before] of earlier) logRestart(before, now, { restarts, withinMs });
			for (const [before, stamps] of earlier) assert.equal(seen(before), stamps);
		}),
	);
});

test('backoff: between 0 and the cap, which doubles and ends at `to`; off is 0', () => {
	const chance = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
	fc.assert(
		fc.property(fc.nat(10_000), fc.nat(100_000), fc.integer({ min: 1, max: 2_000 }), chance, (fromMs, more, failures, luck) => {
			const toMs = fromMs + more;
			const ms = backoffMs({ fromMs, toMs, resetAfterMs: 0 }, failures, luck);
			assert.ok(ms >= 0 && ms <= toMs && Number.isInteger(ms));
			if (fromMs === 0) assert.is(ms, 0);
			else assert.ok(ms <= fromMs * 2 ** (failures - 1));
		}),
	);
	assert.is(backoffMs({ fromMs: 100, toMs: 1_000, resetAfterMs: 0 }, 3, 0.999999), 399);
	assert.is(backoffMs({ fromMs: 100, toMs: 1_000, resetAfterMs: 0 }, 9, 0.5), 500);
});

test('failures in a row: begin again only after the stable time, counted from ready', () => {
	const backoff = { fromMs: 1, toMs: 1, resetAfterMs: 60 };
	assert.is(countFailures(4, 100, 160, backoff), 1);
	assert.is(countFailures(4, 100, 159, backoff), 5);
	assert.is(countFailures(4, null, 9_999, backoff), 5);
});

test('exit reasons: intent comes before status', () => {
	fc.assert(
		fc.property(
			fc.constantFrom('shutdown', 'killed', 'hung', 'startFailed') as fc.Arbitrary<'shutdown' | 'killed' | 'hung' | 'startFailed'>,
			fc.boolean(),
			fc.option(fc.nat(255)),
			fc.option(fc.constantFrom('SIGTERM', 'SIGKILL', 'SIGSEGV')),
			(doom, wasReady, code, signal) => assert.is(classifyExit({ doom, wasReady, code, signal, own: null }, [0]), doom),
		),
	);
	assert.is(classifyExit({ doom: null, wasReady: true, code: 5, signal: null, own: null }, [0, 5]), 'normal');
});

test('exit reasons: who lives within the master says how it ended, but not before it was ready, nor against intent', () => {
	const ending = { doom: null, wasReady: true, code: null, signal: null };
	assert.is(classifyExit({ ...ending, own: 'crash' }, [0]), 'crash');
	assert.is(classifyExit({ ...ending, own: 'normal', wasReady: false }, [0]), 'startFailed');
	assert.is(classifyExit({ ...ending, own: 'crash', doom: 'shutdown' }, [0]), 'shutdown');
	assert.is(classifyExit({ ...ending, own: 'ignored', wasReady: false }, [0]), 'ignored');
	assert.is(classifyExit({ ...ending, own: null }, [0]), 'lost');
});

test.run();
