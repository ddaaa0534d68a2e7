/** A folder of its own for a test, gone with it. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';

export async function inFolder(run: (dir: string) => void | Promise<void>): Promise<void> {
	const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'choir-folder-'));
	try {
		await run(dir);
	} finally {
		fs.rmSync(dir, { recursive: true });
	}
}
