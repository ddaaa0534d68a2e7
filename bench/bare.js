// The yardstick: the least that can be called a supervisor. It spawns, and spawns again what exits.
// `node bare.js COUNT FILE ARGS…` keeps so many alive until SIGTERM, and passes on what they print.
import { spawn } from 'node:child_process';

const [, , count, file, ...args] = process.argv;
const children = new Set();
let stopping = false;

function keep() {
	const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'inherit'], detached: true });
	children.add(child);
	child.stdout.pipe(process.stdout, { end: false });
	child.once('exit', () => {
		children.delete(child);
		if (!stopping) keep();
		else if (children.size === 0) process.exit(0);
	});
}

process.once('SIGTERM', () => {
	stopping = true;
	for (const child of children) child.kill('SIGTERM');
});
process.stdout.setMaxListeners(0);
for (let n = 0; n < Number(count); n++) keep();
