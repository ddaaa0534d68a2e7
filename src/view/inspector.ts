/** Stately's inspection protocol (`@statelyai/inspect` 0.7), so that its inspector can attach: actors, events, snapshots, one a frame. */
import type { AnyMachineSnapshot, StateValue } from 'xstate';
import { splitPath, supervisorId } from '../master/paths.ts';
import { shown } from './moment.ts';
import type { Pipe } from './pipe.ts';
import type { Entry } from './recorder.ts';
import type { Shown } from './server.ts';

const PROTOCOL = '0.7.2';
/** An inspector draws a card for each machine: of more it is told nothing. */
const MAX_MACHINES = 1_000;
/** Told in one turn, as long as the reader takes them. */
const MAX_AT_ONCE = 50;
const MAX_WAITING_BYTES = 256 * 1024;
const REST_MS = 10;
const ROOT = supervisorId('');

/** The machine itself, as text; one for all machines of a chart. */
const definitions = new WeakMap<object, string>();

export class Inspector {
	readonly #shown: Shown;
	readonly #pipe: Pipe;
	#known = new Set<string>();
	#round = 0;

	constructor(shown: Shown, pipe: Pipe) {
		this.#shown = shown;
		this.#pipe = pipe;
	}

	/** All machines that live, at the pace of the reader. Begun again when something had to be left out. */
	async attach(): Promise<void> {
		const round = ++this.#round;
		this.#known = new Set();
		const { kernel } = this.#shown.tree;
		let told = 0;
		const { size } = kernel;
		if (size > MAX_MACHINES)
			this.#shown.news('info', 'view.inspected', `an inspector is told of ${MAX_MACHINES} machines of ${size}`, { machines: size });
		for (const id of [...first(kernel.ids(), MAX_MACHINES)]) {
			if (round !== this.#round) return;
			this.#actor(id);
			if (++told % MAX_AT_ONCE !== 0) continue;
			do await new Promise((resolve) => setTimeout(resolve, REST_MS));
			while (this.#pipe.waitingBytes > MAX_WAITING_BYTES && round === this.#round);
		}
	}

	close(): void {
		this.#round += 1;
	}

	heard({ step: { id, event, to, after } }: Entry): void {
		if (event.type === 'xstate.init' && !this.#known.has(id) && this.#known.size < MAX_MACHINES) this.#actor(id);
		if (!this.#known.has(id)) return;
		if (to === 'dead' && id.startsWith('worker:')) this.#known.delete(id);
		// Two messages that are not even made.
		if (this.#pipe.clogged) return this.#pipe.skip(2);
		const common = { sessionId: id, rootId: ROOT, id: null, createdAt: Date.now().toString(), _version: PROTOCOL };
		this.#send({ type: '@xstate.event', event: shown(event), sourceId: undefined, ...common });
		const snapshot = { status: to === 'dead' ? 'done' : 'active', value: stateValue(to), context: shown(after) };
		this.#send({ type: '@xstate.snapshot', event: shown(event), snapshot, ...common });
	}

	#actor(id: string): void {
		const { kernel } = this.#shown.tree;
		const snapshot = kernel.snapshot(id);
		if (snapshot === undefined) return;
		this.#known.add(id);
		const path = id.slice(id.indexOf(':') + 1).replace(/#\d+$/, '');
		this.#send({
			type: '@xstate.actor',
			name: path === '' ? this.#shown.id : path,
			sessionId: id,
			rootId: ROOT,
			parentId: id === ROOT ? undefined : supervisorId(splitPath(path)[0]),
			definition: definitionOf(snapshot),
			snapshot: { status: snapshot.status, value: snapshot.value, context: shown(snapshot.context) },
			createdAt: Date.now().toString(),
			id: null,
			_version: PROTOCOL,
		});
	}

	#send(event: object): void {
		this.#pipe.send(Buffer.from(JSON.stringify(event)));
	}
}

function definitionOf({ machine }: AnyMachineSnapshot): string {
	const known = definitions.get(machine);
	if (known !== undefined) return known;
	const definition = JSON.stringify(machine.config, (_, value) => (typeof value === 'function' ? { type: value.name } : value));
	definitions.set(machine, definition);
	return definition;
}

/** `running.healthy` as XState has it. */
function stateValue(state: string): StateValue {
	const [outer = '', ...below] = state.split('.');
	return below.length === 0 ? outer : { [outer]: stateValue(below.join('.')) };
}

function* first<T>(all: Iterable<T>, count: number): Generator<T> {
	let given = 0;
	for (const one of all)
		if (given++ < count) yield one;
		else return;
}
