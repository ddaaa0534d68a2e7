// What is kept alive: a small machine, as a user would write it. It counts, it can be made to crash, and it ends when asked.
import { assign, setup } from 'xstate';

/** One for all: to note down where it was thrown would take as long as the rest of a restart. */
const crash = new Error('crash');

export const counter = setup({
	actions: {
		count: assign({ count: ({ context }) => context.count + 1 }),
		crash: () => {
			throw crash;
		},
	},
}).createMachine({
	id: 'counter',
	context: { count: 0 },
	initial: 'counting',
	states: {
		counting: { on: { count: { actions: 'count' }, crash: { actions: 'crash' }, 'choir.drain': 'done' } },
		done: { type: 'final' },
	},
});
