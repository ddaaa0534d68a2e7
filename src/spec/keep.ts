/**
 * A throw-away process that makes bundles of modules that Node runs as they are, so that there is a copy of them when their files
 * have been written over. Arguments: the cache, then pairs of a module and where its bundle is to be kept. What cannot be bundled has none.
 */
import { randomUUID } from 'node:crypto';
import fs from 'node:fs/promises';
import os from 'node:os';
import { bundle } from './bundle.ts';

const [, , cacheDir = '', ...pairs] = process.argv;
// Nobody waits for it.
os.setPriority(os.constants.priority.PRIORITY_LOW);
for (let index = 0; index + 1 < pairs.length; index += 2) {
	const [source, target] = pairs.slice(index) as [string, string];
	await bundle(source, { cacheDir })
		.then(({ file }) => copyWhole(file, target))
		.catch(() => {});
}

/** Nobody finds half a file. */
async function copyWhole(file: string, target: string): Promise<void> {
	const aside = `${target}.${randomUUID()}`;
	await fs.copyFile(file, aside);
	await fs.rename(aside, target);
}
