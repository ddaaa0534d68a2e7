// Builds dist/ from src/ and machines/, anew each time so that nothing deleted lives on there.
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const dist = path.join(root, 'dist');
const tsc = path.join(root, 'node_modules/.bin/tsc');
fs.rmSync(dist, { recursive: true, force: true });
const { status } = spawnSync(tsc, ['-p', 'tsconfig.build.json'], { cwd: root, stdio: 'inherit' });
if (status !== 0) process.exit(1);
fs.writeFileSync(path.join(dist, '.built'), '');
