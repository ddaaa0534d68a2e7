/** Lines of a file that each carry their checksum, so that what was cut or damaged is not taken for what was written. A person can read them. */
import fs from 'node:fs';
import { crc32 } from 'node:zlib';

const checksum = (text: string) => crc32(text).toString(16).padStart(8, '0');

/** The line of a text that holds no newline. */
export const withChecksum = (text: string) => `${checksum(text)} ${text}\n`;

/** Appends a line for a value. Throws if it is not there as a whole: what fits of it on a full disk is no line. */
export function writeChecked(fd: number, value: object): void {
	const line = Buffer.from(withChecksum(JSON.stringify(value)));
	const written = fs.writeSync(fd, line);
	if (written < line.length) throw new Error(`only ${written} of ${line.length} bytes could be written: is the disk full?`);
}

/** What JSON a line holds, without its newline; null if it is not as it was written, or is no object. */
export function checked(line: string): object | null {
	const text = line.slice(9);
	if (line[8] !== ' ' || line.slice(0, 8) !== checksum(text)) return null;
	try {
		const read: unknown = JSON.parse(text);
		return typeof read === 'object' ? read : null;
	} catch {
		return null;
	}
}
