// Makes a checkout ready to run: installs what is missing and builds what is stale. Needs nothing but Node and npm.
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('..', import.meta.url));
const built = path.join(root, 'dist/.built');

function run(command, args) {
	const { status } = spawnSync(command, args, { cwd: root, stdio: ['ignore', 2, 2] });
	if (status !== 0) {
		console.error(`'${command} ${args.join(' ')}' failed`);
		process.exit(1);
	}
}

const changed = (file) => fs.statSync(path.join(root, file), { throwIfNoEntry: false })?.mtimeMs ?? 0;

/** The last change in a folder of sources. */
function newest(folder) {
	const entries = fs.readdirSync(path.join(root, folder), { withFileTypes: true, recursive: true });
	return Math.max(...entries.map(({ parentPath, name }) => fs.statSync(path.join(parentPath, name)).mtimeMs));
}

export function makeReady() {
	if (changed('node_modules/.package-lock.json') < changed('package-lock.json')) {
		console.error('installing what is missing …');
		// `npm ci` builds as well, by the `prepare` script.
		run('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error']);
	}
	if (
		(fs.statSync(built, { throwIfNoEntry: false })?.mtimeMs ?? 0) <
		Math.max(newest('src'), newest('machines'), changed('tsconfig.build.json'))
	) {
		console.error('building …');
		run('npm', ['run', '--silent', 'build']);
	}
}

if (process.argv[1] === fileURLToPath(import.meta.url)) makeReady();
