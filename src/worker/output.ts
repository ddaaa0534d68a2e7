/**
 * Where a thread prints to: its own file, which it appends to itself and at once, as a process does. Nothing waits in memory, nothing
 * goes through the master, and what was printed before a crash or a busy loop is there.
 */
import fs from 'node:fs';
import { Writable } from 'node:stream';

/** From now on `console`, `process.stdout` and `process.stderr` of this thread append to `file`. What cannot be written is lost. */
export function printTo(file: string): void {
	let fd = -1;
	try {
		fd = fs.openSync(file, 'a', 0o600);
	} catch {
		// Its host has said so.
	}
	for (const name of ['stdout', 'stderr'] as const) {
		const value = new Writable({
			write: (chunk: Buffer, _encoding, done) => {
				try {
					for (let rest = chunk; rest.length > 0; ) rest = rest.subarray(fs.writeSync(fd, rest));
				} catch {
					// A full disk: there is no place to complain, and a program does not end of what it prints.
				}
				done();
			},
		});
		Object.defineProperty(process, name, { value, configurable: true, enumerable: true, writable: true });
	}
}
