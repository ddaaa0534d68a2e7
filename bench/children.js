// The programs that are kept alive. Each says on a named pipe, its last argument, that it runs, and holds the pipe open
// until it dies: the first byte is its first instruction, and the end of the pipe is the death of the last one.
import path from 'node:path';
import { write } from './place.js';

/** A native program: a shell that says its pid and becomes `sleep`. */
export function native(pipe) {
	return { kind: 'native', run: ['/bin/sh', write('native.sh', 'exec 9>>"$1"\necho $$ >&9\nexec sleep 100000\n'), pipe] };
}

/** A Node server that knows nothing of its supervisor, and says its pid as soon as it listens. */
export function server(pipe, port) {
	const module = write(
		'server.mjs',
		`import fs from 'node:fs';
import http from 'node:http';
const [, , port, pipe] = process.argv;
const words = fs.openSync(pipe, 'a');
http.createServer((request, response) => response.end('ok')).listen(Number(port), '127.0.0.1', () => fs.writeSync(words, process.pid + '\\n'));
process.once('SIGTERM', () => process.exit(0));
`,
	);
	return { kind: 'node', module, port, args: [String(port), pipe], run: [process.execPath, module, String(port), pipe] };
}

/** Prints lines of 100 bytes at a given rate as long as it is let, and says when it begins and how many bytes that were. */
export function loud(pipe, { settleMs, forMs, bytesPerSecond }) {
	const module = write(
		'loud.mjs',
		`import fs from 'node:fs';
const words = fs.openSync(process.argv[2], 'a');
const block = Buffer.from(('x'.repeat(99) + '\\n').repeat(${bytesPerSecond / 10 / 100}));
setTimeout(() => {
	fs.writeSync(words, 'begin\\n');
	const end = performance.now() + ${forMs};
	let bytes = 0;
	const printing = setInterval(() => {
		for (let at = 0; at < block.length && performance.now() < end; at += 100_000) bytes += fs.writeSync(1, block, at, 100_000);
		if (performance.now() < end) return;
		clearInterval(printing);
		fs.writeSync(words, 'end ' + bytes + '\\n');
		setInterval(() => {}, 1_000_000);
	}, 100);
}, ${settleMs});
process.once('SIGTERM', () => process.exit(0));
`,
	);
	return { kind: 'native', run: [process.execPath, module, pipe], name: path.basename(module) };
}
