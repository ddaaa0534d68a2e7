// Where a run takes place: a folder of its own, pipes to hear the children by, and an end to all that was started in it.
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';

export const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'choir-bench-'));
/** Little is handed on: settings for Node (NODE_OPTIONS, certificates) would slow some contenders' children and not others'. */
const { PATH, HOME, USER, LANG } = process.env;
/** What is started gets this, and by CHOIR_BENCH it is found at the end. */
export const environment = {
	...JSON.parse(JSON.stringify({ PATH, HOME, USER, LANG })),
	CHOIR_BENCH: dir,
	CHOIR_HOME: path.join(dir, 'home'),
	PM2_HOME: path.join(dir, 'pm2'),
};

export function write(name, text, mode = 0o600) {
	const file = path.join(dir, name);
	fs.mkdirSync(path.dirname(file), { recursive: true });
	fs.writeFileSync(file, text, { mode });
	return file;
}

export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** A wait with a limit. */
export function within(ms, promise, what) {
	let late;
	const limit = new Promise((_, reject) => {
		late = setTimeout(() => reject(new Error(`${what}: not within ${ms} ms`)), ms);
	});
	return Promise.race([promise, limit]).finally(() => clearTimeout(late));
}

export async function until(holds, ms, what) {
	for (const end = performance.now() + ms; !(await holds()); await pause(5)) {
		if (performance.now() > end) throw new Error(`${what}: not within ${ms} ms`);
	}
}

let pipes = 0;

/** A named pipe on which children say one line each, with the moment at which it came. */
export function openPipe() {
	const file = path.join(dir, `pipe.${pipes++}`);
	execFileSync('mkfifo', ['-m', '600', file]);
	const fd = fs.openSync(file, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK);
	// Without a writer of our own the pipe would end before the first child comes.
	let own = fs.openSync(file, fs.constants.O_WRONLY);
	const socket = new net.Socket({ fd, readable: true, writable: false });
	const lines = [];
	let heard = () => {};
	let held = '';
	socket.setEncoding('utf8').on('data', (text) => {
		const at = performance.now();
		const parts = (held + text).split('\n');
		held = parts.pop();
		lines.push(...parts.map((line) => ({ line, at })));
		heard();
	});
	const ended = new Promise((resolve) => socket.once('end', () => resolve(performance.now())));
	return {
		file,
		/** The next `count` lines. */
		async take(count, ms = 30_000) {
			if (lines.length < count)
				await within(
					ms,
					new Promise((resolve) => {
						heard = () => lines.length >= count && resolve();
					}),
					`${count} children saying that they run`,
				);
			heard = () => {};
			return lines.splice(0, count);
		},
		/** From now on the pipe ends with the last child that holds it; resolves with that moment. */
		end(ms = 30_000) {
			if (own !== null) fs.closeSync(own);
			own = null;
			return within(ms, ended, 'the death of the last child');
		},
		close() {
			if (own !== null) fs.closeSync(own);
			own = null;
			socket.destroy();
		},
	};
}

/** Processes that were started here and are still there, whoever started them. */
function marked() {
	const entry = Buffer.from(`CHOIR_BENCH=${dir}\0`);
	const home = Buffer.from(`CHOIR_TREE=${path.join(dir, 'home')}`);
	return fs
		.readdirSync('/proc')
		.map(Number)
		.filter((pid) => {
			if (!(pid > 1) || pid === process.pid) return false;
			try {
				const found = fs.readFileSync(`/proc/${pid}/environ`);
				return found.includes(entry) || found.includes(home);
			} catch {
				return false;
			}
		});
}

/** Kills what is left. Supervisors may have started something meanwhile, so it looks again. */
export function cleanUp() {
	for (let round = 0; round < 20; round++) {
		const left = marked();
		if (left.length === 0) break;
		for (const pid of left) {
			try {
				process.kill(pid, 'SIGKILL');
			} catch {
				// It has gone by itself.
			}
		}
	}
	fs.rmSync(dir, { recursive: true, force: true, maxRetries: 3 });
}
