/**
 * Whose code runs. What an actor starts, such as its timers and promises, carries its owner along: so an error that nobody
 * catches finds its way back to the one actor, in place of ending the process.
 */
import { AsyncLocalStorage } from 'node:async_hooks';

/** Who answers for an error that nobody has caught. */
export interface Owner {
	blame(error: unknown): void;
}

const owners = new AsyncLocalStorage<Owner | undefined>();
let contained = false;

/** Runs the code of an actor: whatever comes of it, also later, is the owner's. What it throws itself is thrown. */
export function asOwner<Arguments extends unknown[], Result>(
	owner: Owner,
	act: (...args: Arguments) => Result,
	...args: Arguments
): Result {
	if (!contained) contain();
	return owners.run(owner, act, ...args);
}

/** Runs what an actor may have caused, but does not answer for. */
export function asNobody<Arguments extends unknown[], Result>(act: (...args: Arguments) => Result, ...args: Arguments): Result {
	return owners.run(undefined, act, ...args);
}

/**
 * Not by listeners: with a listener the process would live on after anybody's error. What these two events answer decides
 * that, and an error without an owner gets the answer that it would have got without us.
 * On Node 20 and 22 an error thrown in a bare `queueMicrotask` callback has no owner: Node itself has forgotten it by then.
 */
function contain(): void {
	contained = true;
	const emit = process.emit as (...args: unknown[]) => boolean;
	const emitContained = function (this: NodeJS.Process, ...args: unknown[]): boolean {
		const [name, error] = args;
		const owner = name === 'uncaughtException' || name === 'unhandledRejection' ? owners.getStore() : undefined;
		if (owner === undefined) return Reflect.apply(emit, this, args);
		asNobody(blame, owner, error);
		return true;
	};
	process.emit = emitContained as typeof process.emit;
}

const blame = (owner: Owner, error: unknown) => owner.blame(error);

/** Of what was thrown, for people. It does not throw, whatever that is. */
export function messageOf(error: unknown): string {
	try {
		const text = error instanceof Error ? error.message || error.name : String(error);
		return text.length > MAX_MESSAGE ? `${text.slice(0, MAX_MESSAGE - 1)}…` : text;
	} catch {
		return 'something that cannot be read';
	}
}

/** Where it was thrown, if that is known. */
export function stackOf(error: unknown): string | undefined {
	try {
		return error instanceof Error && typeof error.stack === 'string' ? error.stack.slice(0, MAX_STACK) : undefined;
	} catch {
		return undefined;
	}
}

const MAX_MESSAGE = 500;
const MAX_STACK = 4_000;
