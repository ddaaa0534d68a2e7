import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { angelMachine, FORCINGS, stopWithoutAngel } from '../machines/angel.ts';
import { defaults } from '../machines/spec.ts';
import { type Row, Table } from '../src/testing/table.ts';

const checked = {
	type: 'spec.checked',
	stopTimeoutMs: 60_000,
	upgradeTimeoutMs: 30_000,
	master: { ...defaults.master, intensity: { restarts: 1, withinMs: 10_000 } },
};
const locked = { type: 'lock.taken' };
const cleared = { type: 'leftovers.gone' };
const bound = { type: 'sockets.bound' };
const hello = { type: 'master.hello' };
const running = { type: 'master.running', at: 100 };
const beat = { type: 'master.beat' };
const ended = (exitCode: number) => ({ type: 'master.ended', exitCode, lines: exitCode === 0 ? [] : ['why'] });
const exited = (code: number | null, signal: string | null = null, at = 1_000) => ({
	type: 'master.exited',
	code,
	signal,
	at,
	chance: 0.5,
});
const gone = { type: 'tree.gone' };
const stop = { type: 'stop', mode: 'drain', deadline: true };
const fast = { type: 'stop', mode: 'fast', deadline: true };
const kill = { type: 'stop', mode: 'kill', deadline: true };
const interrupt = { type: 'interrupt' };
const reload = { type: 'reload' };
const resumed = { type: 'supervisor.resumed' };
const broken = { type: 'effect.failed', effect: 'launchMaster', message: 'boom', at: 1 };
const forced = Array.from({ length: FORCINGS }, () => 'forceAgain');

const launching = [checked, locked, cleared, bound];
const populating = [...launching, hello];
const watching = [...populating, running];
const backoff = [...watching, exited(1)];
const prepared = { type: 'successor.prepared' };
const taken = { type: 'successor.running' };
const failed = { type: 'successor.failed', lines: ['boom'] };
const heirGone = (exitCode: number) => ({ type: 'successor.exited', exitCode });
const withdrawn = { type: 'successor.withdrawn' };
const preparing = [...watching, { type: 'upgrade' }];
const releasing = [...preparing, prepared];
const handing = [...releasing, exited(0)];
const fronting = [...handing, taken];

const rows: Array<Row<undefined>> = [
	['tries the spec first', [], 'starting.checking', ['checkSpec']],
	['ends at once with a bad spec', [{ type: 'spec.refused', exitCode: 78, lines: ['shop: bad'] }], 'dead', ['reportDeath']],
	['does not wait for ever for a spec', ['checkTimeout'], 'dead', ['reportDeath']],
	['takes the lock', [checked], 'starting.locking', ['takeLock']],
	['ends at once if another holds the lock', [checked, { type: 'lock.refused', line: 'held' }], 'dead', ['reportDeath']],
	['clears what a killed angel left', [checked, locked], 'starting.clearing', ['clearLeftovers']],
	['kills what will not be cleared', [checked, locked, 'clearTimeout'], 'starting.forcing', ['clearLeftovers']],
	['kills it again', [checked, locked, 'clearTimeout', 'forceAgain'], 'starting.forcing', ['clearLeftovers']],
	['goes on once it is gone', [checked, locked, 'clearTimeout', cleared], 'starting.binding', ['bindSockets']],
	['ends if it cannot be killed', [checked, locked, 'clearTimeout', ...forced], 'dead', ['reportDeath']],
	['binds the sockets', [checked, locked, cleared], 'starting.binding', ['bindSockets']],
	['ends at once without its sockets', [checked, locked, cleared, { type: 'sockets.failed', line: 'taken' }], 'dead', ['reportDeath']],
	['launches the master', launching, 'starting.launching', ['launchMaster']],
	['kills a master that does not say hello', [...launching, 'bootTimeout'], 'draining.escalating', ['killMaster']],
	['lets the master bring its tree up', populating, 'starting.populating'],
	['hears it beat meanwhile', [...populating, beat], 'starting.populating', []],
	['gives it a fresh interval after a pause of its own', [...populating, resumed], 'starting.populating', []],
	['kills a master that hangs meanwhile', [...populating, 'masterTimeout'], 'draining.escalating', ['killMaster']],
	['does not try a first boot again', [...launching, exited(1)], 'draining.sweeping', ['sweep']],
	['sweeps if an effect fails before it runs', [...launching, broken], 'draining.forwarded', ['forwardStop']],
	['watches once the tree runs', watching, 'running.watching', ['reportRunning']],
	['hears each beat', [...watching, beat], 'running.watching', []],
	['is not fooled by a pause of its own', [...watching, resumed], 'running.watching', []],
	['hands a reload on', [...watching, reload], 'running.watching', ['forwardReload']],
	['hears again that the tree runs', [...watching, running], 'running.watching', []],
	['kills a master that hangs', [...watching, 'masterTimeout'], 'running.killing', ['reportHung', 'killMaster']],
	['kills it again', [...watching, 'masterTimeout', 'forceAgain'], 'running.killing', ['killMaster']],
	['replaces a hung master', [...watching, 'masterTimeout', exited(null, 'SIGKILL')], 'running.backoff', ['reportBackoff']],
	['replaces a crashed master after its backoff', backoff, 'running.backoff', ['reportBackoff']],
	['launches the next', [...backoff, 'relaunchDelay'], 'running.relaunching', ['launchMaster']],
	['launches it at once for an operator who cannot wait', [...backoff, reload], 'running.relaunching', ['launchMaster']],
	['watches the next', [...backoff, 'relaunchDelay', hello], 'running.watching', []],
	['kills a next that does not say hello', [...backoff, 'relaunchDelay', 'bootTimeout'], 'running.killing', ['killMaster']],
	['gives up after too many', [...backoff, 'relaunchDelay', hello, exited(1, null, 2_000)], 'draining.sweeping', ['sweep']],
	['hears how the tree ended', [...watching, ended(70)], 'running.watching', []],
	['ends with a tree that has ended', [...watching, ended(70), exited(70)], 'draining.sweeping', ['sweep']],
	['starts a successor for an upgrade', preparing, 'running.upgrading.preparing', ['launchSuccessor']],
	['lets its master go once the successor is prepared', releasing, 'running.upgrading.releasing', ['releaseMaster']],
	['hands over when there is no master', handing, 'running.upgrading.handing', ['handOver']],
	['is a front when the tree runs under the successor', fronting, 'running.fronting', ['letGo', 'reportUpgrade']],
	['withdraws what does not get ready', [...preparing, 'upgradeTimeout'], 'running.upgrading.withdrawing', ['withdraw']],
	['… also when it has been given all', [...handing, 'upgradeTimeout'], 'running.upgrading.withdrawing', ['withdraw']],
	['withdraws what fails', [...handing, failed], 'running.upgrading.withdrawing', ['withdraw']],
	['withdraws what has ended', [...preparing, heirGone(1)], 'running.upgrading.withdrawing', ['withdraw']],
	['withdraws what cannot even be started', [...preparing, broken], 'running.upgrading.withdrawing', ['withdraw']],
	['withdraws when the master is lost meanwhile', [...preparing, exited(1)], 'running.upgrading.withdrawing', ['withdraw']],
	['hears its end while it withdraws', [...handing, failed, heirGone(1)], 'running.upgrading.withdrawing', []],
	['hears its failure while it withdraws', [...handing, heirGone(1), failed], 'running.upgrading.withdrawing', []],
	['hears the end of the master while it withdraws', [...releasing, failed, exited(0)], 'running.upgrading.withdrawing', []],
	['goes on with its master if that is still there', [...preparing, failed, withdrawn], 'running.watching', ['reportUpgrade']],
	['launches its master again', [...handing, failed, withdrawn], 'running.relaunching', ['reportUpgrade', 'launchMaster']],
	['… and watches it', [...handing, failed, withdrawn, hello], 'running.watching', []],
	[
		'ends with a tree that ended in the middle of it',
		[...preparing, ended(70), exited(70), withdrawn],
		'draining.sweeping',
		['reportUpgrade', 'sweep'],
	],
	['gives an upgrade up for a stop', [...preparing, stop], 'running.upgrading.withdrawing', ['withdraw']],
	['… and stops the tree', [...preparing, stop, withdrawn], 'draining.forwarded', ['reportUpgrade', 'forwardStop']],
	['gives it up when interrupted', [...preparing, interrupt], 'running.upgrading.withdrawing', ['withdraw']],
	['waits with a stop until somebody has the whole tree', [...handing, stop], 'running.upgrading.handing', []],
	['… which then stops it', [...handing, stop, taken], 'running.fronting', ['letGo', 'reportUpgrade', 'handOnStop']],
	['… or stops it itself if all is taken back', [...handing, stop, failed, withdrawn, hello], 'draining.forwarded', ['forwardStop']],
	['hands a stop on as a front', [...fronting, stop], 'running.fronting', ['handOnStop']],
	['hands an interrupt on as a front', [...fronting, interrupt], 'running.fronting', ['handOnStop']],
	['hears late words of its master as a front', [...fronting, running], 'running.fronting', []],
	['hears its end as a front', [...fronting, exited(0)], 'running.fronting', []],
	['leaves when it is parent of nobody', [...fronting, { type: 'children.gone' }], 'dead', ['reportDeath']],
	['leaves with its successor', [...fronting, heirGone(0)], 'dead', ['reportDeath']],
	['hands a stop on', [...watching, stop], 'draining.forwarded', ['forwardStop']],
	['hands a stop on while the tree comes up', [...populating, stop], 'draining.forwarded', ['forwardStop']],
	['has nothing to hand on before there is a master', [checked, stop], 'draining.sweeping', ['sweep']],
	['stops at once during backoff', [...backoff, stop], 'draining.sweeping', ['sweep']],
	['kills at once if asked', [...watching, kill], 'draining.escalating', ['killMaster']],
	['kills at once if asked, also without a master', [...backoff, kill], 'draining.forcing', ['killMaster', 'sweep']],
	['stops fast when interrupted', [...watching, interrupt], 'draining.forwarded', ['forwardStop']],
	['kills when interrupted again', [...watching, interrupt, interrupt], 'draining.escalating', ['killMaster']],
	['stops faster when interrupted while it stops', [...watching, stop, interrupt], 'draining.forwarded', ['forwardStop']],
	['stops faster if asked', [...watching, stop, fast], 'draining.forwarded', ['forwardStop']],
	['does not stop slower if asked', [...watching, fast, stop], 'draining.forwarded', []],
	[
		'sets a limit when a stop with one comes later',
		[...watching, { ...stop, deadline: false }, stop, 'stopTimeout'],
		'draining.escalating',
		['killMaster'],
	],
	['kills if asked while it stops', [...watching, stop, kill], 'draining.escalating', ['killMaster']],
	['hears the master beat while it stops', [...watching, stop, beat], 'draining.forwarded.beating', []],
	['gives it a fresh interval while it stops', [...watching, stop, resumed], 'draining.forwarded.beating', []],
	['kills a master that hangs while it stops', [...watching, stop, 'masterTimeout'], 'draining.escalating', ['killMaster']],
	['kills a master that takes too long to stop', [...watching, stop, 'stopTimeout'], 'draining.escalating', ['killMaster']],
	['sets no limit over all if none was asked', [...watching, { ...stop, deadline: false }, 'stopTimeout'], 'draining.forwarded', []],
	['sweeps after the master', [...watching, stop, exited(0)], 'draining.sweeping', ['sweep']],
	['kills the master again', [...watching, kill, 'forceAgain'], 'draining.escalating', ['killMaster']],
	['is not asked again while it kills', [...watching, kill, interrupt], 'draining.escalating', []],
	['does not stop slower while it kills', [...watching, kill, stop], 'draining.escalating', []],
	['kills what a killed master leaves', [...watching, kill, exited(null, 'SIGKILL')], 'draining.forcing', ['sweep']],
	['is dead when the tree is gone', [...watching, stop, exited(0), gone], 'dead', ['reportDeath']],
	['kills what will not be swept', [...watching, stop, exited(0), 'clearTimeout'], 'draining.forcing', ['sweep']],
	['kills what is left when interrupted', [...backoff, stop, interrupt], 'draining.forcing', ['sweep']],
	['kills what is left if asked', [...backoff, stop, kill], 'draining.escalating', undefined],
	['kills it again', [...watching, kill, exited(null, 'SIGKILL'), 'forceAgain'], 'draining.forcing', ['sweep']],
	['is not asked again while it forces', [...watching, kill, exited(null, 'SIGKILL'), interrupt], 'draining.forcing', []],
	['does not stop slower while it forces', [...watching, kill, exited(null, 'SIGKILL'), stop], 'draining.forcing', []],
	['is dead when the forced are gone', [...watching, kill, exited(null, 'SIGKILL'), gone], 'dead', ['reportDeath']],
	['ends, with an error, if something will not die', [...watching, kill, exited(null, 'SIGKILL'), ...forced], 'dead', ['reportDeath']],
];

const table = new Table<undefined>(angelMachine, undefined);
for (const row of rows) {
	const [promise, happenings, state, effects] = row;
	const below: Record<string, string> = { 'draining.forwarded': 'draining.forwarded.beating' };
	const there = promise === 'kills what is left if asked' ? 'draining.forcing' : (below[state] ?? state);
	test(promise, () => void table.check([promise, happenings, there, effects as string[]]));
}

const exits: Array<[string, Row<undefined>[1], number]> = [
	['asked to stop', [...watching, stop, ended(0), exited(0), gone], 0],
	['interrupted twice', [...watching, interrupt, interrupt, exited(null, 'SIGKILL'), gone], 0],
	['bad spec', [{ type: 'spec.refused', exitCode: 78, lines: [] }], 78],
	['already running', [checked, { type: 'lock.refused', line: '' }], 75],
	['the tree gave up', [...watching, ended(70), exited(70), gone], 70],
	['the tree did not start', [...populating, ended(1), exited(1), gone], 1],
	['the first master was killed', [...populating, exited(null, 'SIGKILL'), gone], 1],
	['the first master ended with 0 and no word', [...populating, exited(0), gone], 1],
	['too many masters', [...backoff, 'relaunchDelay', hello, exited(1, null, 2_000), gone], 70],
	['its successor gave up', [...fronting, heirGone(70)], 70],
	['nobody needs the front', [...fronting, { type: 'children.gone' }], 0],
	['stopped during backoff', [...backoff, stop, gone], 0],
];
for (const [name, happenings, exitCode] of exits) {
	test(`exit code: ${name} is ${exitCode}`, () => {
		assert.is(table.check(['', happenings, 'dead']).output, exitCode);
	});
}

test('the table is complete', () => table.assertComplete());

for (const [policy, asked, mode] of [
	['keep', null, null],
	['stop', null, 'drain'],
	['keep', 'fast', 'fast'],
	['stop', 'kill', 'kill'],
] as const)
	test(`without its angel, as '${policy}' says and ${asked ?? 'nobody'} asked before, a tree ${mode === null ? 'goes on' : `stops: ${mode}`}`, () =>
		assert.is(stopWithoutAngel(policy, asked), mode));

test.run();
