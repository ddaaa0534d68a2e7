// Finds the browser for the tests of the live page; on a machine of ours it is installed if it is missing.
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';

const names = ['chromium', 'chromium-browser', 'google-chrome'];

/** Its file, or null. CHOIR_CHROMIUM names another one. */
export function findChromium() {
	const { CHOIR_CHROMIUM, PATH = '' } = process.env;
	if (CHOIR_CHROMIUM) return CHOIR_CHROMIUM;
	const files = names.flatMap((name) => PATH.split(path.delimiter).map((folder) => path.join(folder, name)));
	return files.find((file) => fs.statSync(file, { throwIfNoEntry: false })?.isFile()) ?? null;
}

/** Installs it where that asks nobody: by apt-get, as root. The tests say what they skip without it. */
export function ensureChromium() {
	if (findChromium() === null && process.getuid?.() === 0) {
		console.log('installing chromium …');
		const options = { stdio: 'ignore', timeout: 240_000, env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' } };
		const install = () => spawnSync('apt-get', ['install', '-y', '--no-install-recommends', 'chromium'], options).status === 0;
		if (!install() && spawnSync('apt-get', ['update'], options).status === 0) install();
	}
}
