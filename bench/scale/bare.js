// Very many actors spawned by one bare XState parent: nobody restarts them. Argument: how many. One JSON line.
import { assign, createActor, setup } from 'xstate';
import { counter } from './actor.js';
import { bytes, each, say } from './measure.js';

const count = Number(process.argv[2]);
const parent = setup({
	actors: { counter },
	actions: { add: assign({ last: ({ spawn, event }) => spawn('counter', { id: event.id }) }) },
}).createMachine({ context: { last: null }, on: { add: { actions: 'add' } } });

const actor = createActor(parent);
actor.start();
const before = bytes();
const createUs = await each(count, () => {
	for (let n = 0; n < count; n++) actor.send({ type: 'add', id: `a${n}` });
});
const childBytes = (bytes() - before) / count;
const stopUs = await each(1, () => actor.stop());
say({ createUs, bytes: childBytes, stopMs: stopUs / 1_000 });
