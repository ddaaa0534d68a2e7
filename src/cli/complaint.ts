/** What ends a command before its time: sentences for the user, and the exit code. */

export const exitCodes = { ok: 0, failed: 1, usage: 64, gaveUp: 70, alreadyRunning: 75, badSpec: 78 } as const;

export class Complaint extends Error {
	readonly lines: string[];
	readonly exitCode: number;

	constructor(lines: string | string[], exitCode: number = exitCodes.failed) {
		super([lines].flat().join('\n'));
		this.name = 'Complaint';
		this.lines = [lines].flat();
		this.exitCode = exitCode;
	}
}
