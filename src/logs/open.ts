/** Where what a process prints goes. That there is no place for it keeps nobody from running. */
import fs from 'node:fs';
import { ensureDir, logFile, logsDir } from '../home.ts';

/** What a process gets as its output. */
export type Output = number | 'ignore';

/**
 * Opens the output file of a child, 'angel' or 'master'; if somebody has removed its folder, that is made anew. Where none can be
 * opened, such as on a disk that can only be read, what is printed is lost: `lost` is told so, in a sentence.
 */
export function openOutput(dir: string, name: string, lost: (message: string) => void): Output {
	const open = () => fs.openSync(logFile(dir, name), 'a', 0o600);
	try {
		return open();
	} catch {}
	try {
		ensureDir(logsDir(dir));
		return open();
	} catch (error) {
		lost(`what ${name} prints is lost: ${(error as Error).message}`);
		return 'ignore';
	}
}

/** Undefined where there is no such file, or none can be: its folder may have become something else. */
export function statOf(file: string): fs.Stats | undefined {
	try {
		return fs.statSync(file, { throwIfNoEntry: false });
	} catch {
		return undefined;
	}
}

export function closeOutput(output: Output): void {
	if (output !== 'ignore') fs.closeSync(output);
}
