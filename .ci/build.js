// Builds dist/ from src/ and machines/: aside, and put in its place when it is whole, so that what runs from it goes on.
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const dist = path.join(root, 'dist');
const aside = path.join(root, `dist.${process.pid}`);
const before = path.join(root, `dist.${process.pid}.old`);
const { status } = spawnSync(path.join(root, 'node_modules/.bin/tsc'), ['-p', 'tsconfig.build.json', '--outDir', aside], {
	cwd: root,
	stdio: 'inherit',
});
if (status === 0) {
	fs.writeFileSync(path.join(aside, '.built'), '');
	if (fs.existsSync(dist)) fs.renameSync(dist, before);
	fs.renameSync(aside, dist);
}
fs.rmSync(before, { recursive: true, force: true });
fs.rmSync(aside, { recursive: true, force: true });
process.exit(status === 0 ? 0 : 1);
