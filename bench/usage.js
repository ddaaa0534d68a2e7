// What processes use, from /proc.
import fs from 'node:fs';

export function isAlive(pid) {
	try {
		const stat = fs.readFileSync(`/proc/${pid}/stat`, 'latin1');
		return !/^[ZX]/.test(stat.slice(stat.lastIndexOf(')') + 2));
	} catch {
		return false;
	}
}

export function childrenOf(pid) {
	return fs
		.readdirSync(`/proc/${pid}/task`)
		.flatMap((task) => fs.readFileSync(`/proc/${pid}/task/${task}/children`, 'utf8').trim().split(' '))
		.filter((text) => text !== '')
		.map(Number);
}

export const commandLine = (pid) => fs.readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');

/** Proportional set size in kB: pages shared with others, the benchmark's own process among them, count in part. */
export function pssKb(pid) {
	return Number(/^Pss:\s+(\d+)/m.exec(fs.readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))?.[1] ?? 0);
}

/** What a process shares with nobody: its heap, mostly. Unlike PSS it does not depend on how many other Node processes run. */
export function ownKb(pid) {
	return Number(/^Pss_Anon:\s+(\d+)/m.exec(fs.readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))?.[1] ?? 0);
}

/** All that these processes have in memory, in kB, as if they were alone on the machine: pages of a file count once. */
export function aloneKb(pids) {
	const files = new Map();
	let anonymous = 0;
	for (const pid of pids) {
		const own = new Map();
		for (const block of fs.readFileSync(`/proc/${pid}/smaps`, 'utf8').split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m)) {
			const of = (field) => Number(new RegExp(`^${field}:\\s+(\\d+)`, 'm').exec(block)?.[1] ?? 0);
			anonymous += of('Anonymous');
			const [, , offset, device, inode] = block.split(/\s+/, 5);
			const place = `${device} ${inode} ${offset}`;
			own.set(place, (own.get(place) ?? 0) + of('Rss') - of('Anonymous'));
		}
		for (const [place, kb] of own) files.set(place, Math.max(kb, files.get(place) ?? 0));
	}
	return anonymous + [...files.values()].reduce((sum, kb) => sum + kb, 0);
}

/** CPU time in ms, of all threads: in ns where the kernel counts so, else in hundredths of a second. */
export function cpuMs(pid) {
	try {
		return fs
			.readdirSync(`/proc/${pid}/task`)
			.map((task) => Number(fs.readFileSync(`/proc/${pid}/task/${task}/schedstat`, 'utf8').split(' ')[0]) / 1e6)
			.reduce((sum, ms) => sum + ms, 0);
	} catch {
		const stat = fs.readFileSync(`/proc/${pid}/stat`, 'latin1');
		const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
		return (Number(fields[11]) + Number(fields[12])) * 10;
	}
}

export function median(values) {
	const sorted = [...values].sort((a, b) => a - b);
	const half = sorted.length >> 1;
	return sorted.length % 2 === 1 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}
