/** What the types of a running tree say: each line that is marked must be an error, and no other. Nothing here is run. */
import { fromCallback, fromPromise, setup } from 'xstate';
import { actor, dynamic, node, type Running, start, supervisor, type TreeDeclaration, tree } from '../../src/index.ts';

const ledger = setup({
	types: {} as { events: { type: 'deposit'; amount: number } | { type: 'close' }; input: { owner: string } },
}).createMachine({});
const cart = fromCallback<{ type: 'add'; item: string }>(() => {});

const shop = tree('shop', {
	children: [
		node('web', { module: './web.js', instances: 2 }),
		actor('ledger', { logic: ledger, input: { owner: 'us' } }),
		actor('late', { logic: () => (Math.random() < 0.5 ? cart : null) }),
		actor('many', { logic: cart, instances: 2 }),
		dynamic('carts', { child: actor('cart', { logic: cart }) }),
		dynamic('split', { child: actor('cart', { logic: cart }), partitions: 4 }),
		supervisor('jobs', {
			strategy: 'rest_for_one',
			children: [
				actor('book', { logic: ledger }),
				supervisor('deep', { children: [actor('below', { logic: cart })] }),
				actor('once', { logic: fromPromise(async () => 1) }),
			],
		}),
	],
});

export async function check(): Promise<void> {
	const running = await start(shop);

	running.ref('ledger').send({ type: 'deposit', amount: 1 });
	running.ref('ledger').send({ type: 'close' });
	running.ref('jobs/book').send({ type: 'close' });
	running.ref('jobs/deep/below').send({ type: 'add', item: 'x' });
	running.ref('late').send({ type: 'add', item: 'x' });
	running.ref('many.1').send({ type: 'add', item: 'x' });
	running.ref('carts/anybody').send({ type: 'add', item: 'x' });
	running.ref(`carts/${String(1)}`).send({ type: 'add', item: 'x' });
	running.ref('split.3/anybody').send({ type: 'add', item: 'x' });

	// @ts-expect-error There is no such event.
	running.ref('ledger').send({ type: 'withdraw' });
	// @ts-expect-error It has no amount.
	running.ref('ledger').send({ type: 'deposit' });
	// @ts-expect-error That is an event of another.
	running.ref('jobs/book').send({ type: 'add', item: 'x' });
	// @ts-expect-error Nor is it one of the cart.
	running.ref('carts/anybody').send({ type: 'close' });
	// @ts-expect-error There is no such child.
	running.ref('leger');
	// @ts-expect-error It is in jobs.
	running.ref('book');
	// @ts-expect-error There is nothing of that name in jobs.
	running.ref('jobs/ledger');
	// @ts-expect-error It has instances.
	running.ref('many');
	// @ts-expect-error It has none.
	running.ref('ledger.1');
	// @ts-expect-error A process hears no events.
	running.ref('web.1');
	// @ts-expect-error A supervisor is no actor.
	running.ref('jobs');
	// @ts-expect-error Nor is a dynamic one.
	running.ref('carts');
	// @ts-expect-error It has partitions.
	running.ref('split/anybody');

	await running.child('').countChildren();
	await running.child('jobs').terminateChild('book');
	await running.child('jobs/deep').whichChildren();
	await running.child('carts').startChild({ id: 'mine' });
	await running.child('split').startChild({ id: 'mine' });
	await running.child('split.2').whichChildren();
	await running.child('jobs').startChild(actor('new', { logic: cart }));

	// @ts-expect-error It is no supervisor.
	running.child('ledger');
	// @ts-expect-error There is no such supervisor.
	running.child('job');
	// @ts-expect-error It has no partitions.
	running.child('carts.1');

	// What is known only as a tree has any paths.
	const some: TreeDeclaration = shop;
	const anything: Running<TreeDeclaration> = await start(some);
	anything.ref('whatever/there/is').send({ type: 'anything', of: 'it' });
	anything.child('whatever');

	// @ts-expect-error The machine needs another input.
	actor('ledger', { logic: ledger, input: { owner: 7 } });
	// @ts-expect-error No logic at all.
	actor('ledger', { logic: 7 });
}
