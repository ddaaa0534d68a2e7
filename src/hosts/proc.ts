/**
 * Who a process is, whether it lives, what it uses: from /proc, because a pid alone names nobody and `kill(pid, 0)` succeeds
 * on a zombie. Where there is no /proc, `ps` tells the start time and the state.
 */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';

const hasProc = fs.existsSync('/proc/self/stat');
/** Linux counts CPU time and starts for users in hundredths of a second, whatever the kernel's own tick. */
const MS_PER_TICK = 10;

let boot: string | null = null;

/** Names this boot of the machine: pids and start times mean nothing beyond it. */
export function bootId(): string {
	boot ??= hasProc ? fs.readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim() : 'unknown';
	return boot;
}

/** The fields of /proc/pid/stat from the third (state) on; null if there is no such process. A thread is `self/task/tid`. */
function statOf(pid: number | string): string[] | null {
	try {
		const stat = fs.readFileSync(`/proc/${pid}/stat`, 'latin1');
		// The name is in parentheses and may itself hold any character.
		return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
	} catch {
		return null;
	}
}

function psOf(pid: number): { state: string; startTicks: number } | null {
	const { stdout, status } = spawnSync('ps', ['-o', 'state=,lstart=', '-p', String(pid)], { encoding: 'utf8', timeout: 2_000 });
	const match = /^\s*(\S)\S*\s+(.+?)\s*$/.exec(stdout ?? '');
	return status === 0 && match !== null ? { state: match[1] as string, startTicks: Date.parse(match[2] as string) } : null;
}

/** When a process was started, in ticks since boot (elsewhere in ms since 1970); null if there is none. */
export function startTicks(pid: number): number | null {
	if (!hasProc) return psOf(pid)?.startTicks ?? null;
	const fields = statOf(pid);
	return fields === null ? null : Number(fields[19]);
}

/** Whether this very process lives: not gone, not another with its pid, not a zombie. */
export function isAlive(identity: { pid: number; startTicks: number }): boolean {
	if (!hasProc) {
		const found = psOf(identity.pid);
		return found !== null && found.startTicks === identity.startTicks && found.state !== 'Z';
	}
	const fields = statOf(identity.pid);
	return fields !== null && Number(fields[19]) === identity.startTicks && fields[0] !== 'Z' && fields[0] !== 'X';
}

/** CPU time so far, and over which time: how long the process is there, or the thread. */
export interface Spent {
	cpuMs: number;
	ageMs: number;
}

export interface Sample extends Spent {
	rssBytes: number;
	/** The most it ever had. */
	peakRssBytes: number;
}

/** What a process uses; null if it is gone, or where there is no /proc. */
export function sample(pid: number): Sample | null {
	const fields = statOf(pid);
	if (fields === null || fields[0] === 'Z') return null;
	let status: string;
	try {
		status = fs.readFileSync(`/proc/${pid}/status`, 'latin1');
	} catch {
		return null;
	}
	// In kB here; the fields of stat are in pages, whose size differs from machine to machine.
	const bytes = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1] ?? 0) * 1024;
	return { rssBytes: bytes('VmRSS'), ...spentIn(fields), peakRssBytes: bytes('VmHWM') };
}

/** What a thread of this process has spent, by what Linux calls it; null if it is gone, or where there is no /proc. */
export function spentByThread(tid: number): Spent | null {
	const fields = statOf(`self/task/${tid}`);
	return fields === null ? null : spentIn(fields);
}

const spentIn = (fields: readonly string[]): Spent => ({
	cpuMs: (Number(fields[11]) + Number(fields[12])) * MS_PER_TICK,
	ageMs: Math.max(0, Number(process.hrtime.bigint() / 1_000_000n) - Number(fields[19]) * MS_PER_TICK),
});

/** The pids there are, of all users; none where there is no /proc. */
export function allPids(): number[] {
	return hasProc ? fs.readdirSync('/proc').map(Number).filter(Number.isInteger) : [];
}

/** What a variable was in the environment with which a process was started; null if it was not, or cannot be read. */
export function startedWith(pid: number, name: string): string | null {
	try {
		const entry = fs
			.readFileSync(`/proc/${pid}/environ`, 'latin1')
			.split('\0')
			.find((line) => line.startsWith(`${name}=`));
		return entry?.slice(name.length + 1) ?? null;
	} catch {
		return null;
	}
}

/** All processes of this user whose environment, as they were started with it, has `name=value`; not this one. */
export function findMarked(name: string, value: string): Array<{ pid: number; startTicks: number }> {
	if (!hasProc) return [];
	const entry = Buffer.from(`${name}=${value}\0`);
	const found: Array<{ pid: number; startTicks: number }> = [];
	for (const pid of allPids()) {
		if (pid === process.pid) continue;
		let environment: Buffer;
		try {
			environment = fs.readFileSync(`/proc/${pid}/environ`);
		} catch {
			// Another user's, or gone meanwhile.
			continue;
		}
		const at = environment.indexOf(entry);
		if (at < 0 || (at > 0 && environment[at - 1] !== 0)) continue;
		const fields = statOf(pid);
		if (fields === null || fields[0] === 'Z' || fields[0] === 'X') continue;
		found.push({ pid, startTicks: Number(fields[19]) });
	}
	return found;
}

/** Signals one process; false if it is gone. */
export function killOne(pid: number, signal: NodeJS.Signals): boolean {
	if (!Number.isInteger(pid) || pid <= 1) throw new Error(`refusing to signal pid ${pid}`);
	return send(pid, signal);
}

/** Signals a process group that we created, by the pid of its first process; false if nobody is left in it. Never everybody. */
export function killGroup(pid: number, signal: NodeJS.Signals): boolean {
	if (!Number.isInteger(pid) || pid <= 1) throw new Error(`refusing to signal process group ${pid}`);
	return send(-pid, signal);
}

function send(target: number, signal: NodeJS.Signals): boolean {
	const { stackTraceLimit } = Error;
	try {
		// That nobody is there is the rule after a death, and a trace of the stack would cost more than all else on the way.
		Error.stackTraceLimit = 0;
		return process.kill(target, signal);
	} catch (error) {
		const { code } = error as NodeJS.ErrnoException;
		if (code === 'ESRCH') return false;
		// What we may not signal (a program that changed its user) is there, and stays.
		if (code === 'EPERM') return true;
		throw error;
	} finally {
		Error.stackTraceLimit = stackTraceLimit;
	}
}
