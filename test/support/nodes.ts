/** The versions of Node on this machine: what holds on one may not on another. */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';

const LIMIT_MS = 60_000;

/** Executables of Node: this one, those in `CHOIR_NODES` (separated as in PATH), on the PATH, and under nvm; one of each version. */
export function nodes(): Map<string, string> {
	const nvm = path.join(os.homedir(), '.nvm/versions/node');
	const folders = [
		...(process.env.PATH ?? '').split(path.delimiter),
		...(fs.existsSync(nvm) ? fs.readdirSync(nvm).map((version) => path.join(nvm, version, 'bin')) : []),
	];
	const named = (process.env.CHOIR_NODES ?? '').split(path.delimiter).filter((file) => file !== '');
	const found = new Map<string, string>();
	for (const file of [process.execPath, ...named, ...folders.map((folder) => path.join(folder, 'node'))]) {
		if (!fs.existsSync(file)) continue;
		const { stdout } = spawnSync(file, ['--version'], { encoding: 'utf8', timeout: LIMIT_MS });
		const [, version, major] = /^v((\d+)\.\d+)/.exec(stdout ?? '') ?? [];
		if (version !== undefined && Number(major) >= 20 && !found.has(version)) found.set(version, file);
	}
	return found;
}
