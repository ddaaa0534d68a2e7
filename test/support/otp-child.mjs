/**
 * A child for scenarios over real processes and threads: each start does what the scenario says of that attempt, and then it
 * waits on a socket of its own to be told how to end. Arguments: folder for sockets and counts, and the scenario's words of it.
 */
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { onDrain, ready, worker } from 'choir/worker';

const [, , dir, words] = process.argv;
const { start = {}, ignoresDrain = false } = JSON.parse(words);
const file = path.join(dir, worker.path.replaceAll('/', '+'));
fs.appendFileSync(`${file}.attempts`, '.');
const attempt = fs.statSync(`${file}.attempts`).size;
const does = start[String(attempt)] ?? start.default ?? 'ok';
if (does !== 'ok') throw new Error('boom');

// A request that is never done with, and signals that do not count.
if (ignoresDrain) {
	onDrain(() => new Promise(() => setInterval(() => {}, 1_000_000)));
	process.on('SIGTERM', () => {});
}
const ends = { normal: () => process.exit(0), crash: () => process.exit(1) };
const server = net.createServer((socket) => socket.once('data', (reason) => ends[String(reason)]()));
server.listen(`${file}.${attempt}`, () => ready());
