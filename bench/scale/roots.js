// Very many XState actors, each a root of its own, with nobody above them: the floor. Argument: how many. One JSON line.
import { createActor } from 'xstate';
import { counter } from './actor.js';
import { bytes, each, say } from './measure.js';

const count = Number(process.argv[2]);
for (let n = 0; n < 1_000; n++) createActor(counter).start().stop();
const actors = new Map();
const before = bytes();
const createUs = await each(count, () => {
	for (let n = 0; n < count; n++) actors.set(`a${n}`, createActor(counter).start());
});
const childBytes = (bytes() - before) / count;
const stopUs = await each(1, () => {
	for (const actor of actors.values()) actor.stop();
});
say({ createUs, bytes: childBytes, stopMs: stopUs / 1_000 });
