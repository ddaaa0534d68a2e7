/**
 * The listening sockets of a tree. The angel binds them and never accepts: workers inherit the descriptors. They listen from
 * the start, so that a connection waits for the first worker as it waits for the next one.
 */
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import type { Readable } from 'node:stream';
import { getSystemErrorMap } from 'node:util';
import type { ListenSpec } from '../../machines/spec.ts';
import { removeIfPossible } from '../home.ts';
import { isAlive } from '../hosts/proc.ts';
import type { Handed } from '../master/slots.ts';
import { nameHolder } from './holder.ts';
import type { Entry } from './inventory.ts';
import { answers } from './lock.ts';
import type { HandedSockets } from './succession.ts';

export interface Handle {
	readonly fd: number;
	setBlocking(blocking: boolean): number;
	close(): void;
	/** Of one with a path: closes it and leaves the path, which is another's now. */
	letGo?(): void;
}

interface BoundHandle extends Handle {
	/** An error number; that of a bind that was refused comes only here. */
	getsockname(out: object): number;
}

/**
 * Node's own way to a bound socket that nobody listens on yet: `net.Server` would accept and swallow clients.
 * It answers with an error number in place of a handle if it fails.
 */
const createServerHandle = (net as unknown as { _createServerHandle: CreateServerHandle })._createServerHandle;
type CreateServerHandle = (address: string, port: number, type: number, fd?: undefined, bindFlags?: number) => BoundHandle | number;

/** A name for each. */
let asides = 0;

/** libuv's UV_TCP_REUSEPORT, which an older Node ignores: then the second of such sockets cannot listen. */
const REUSE_PORT = 2;
const LISTEN_MS = 10_000;
/** sun_path holds 108 bytes on Linux and 104 on macOS, the closing NUL among them. */
const SOCKET_PATH_BYTES = 103;

class BindError extends Error {
	readonly code: string;

	constructor(spec: Address, code: string, detail: string) {
		const hint = code === 'EADDRINUSE' ? `${nameHolder(spec)} has it` : code === 'EACCES' ? 'this user may not' : detail;
		super(`cannot listen on ${nameOf(spec)}: ${hint}`);
		this.code = code;
	}
}

type Address = Pick<ListenSpec, 'host' | 'port' | 'socketPath'>;
const keyOf = ({ host, port, socketPath }: Address) => socketPath ?? `${host ?? '*'}:${port}`;
const nameOf = ({ host, port, socketPath }: Address) =>
	socketPath ?? (host === null ? `port ${port}` : net.isIPv6(host) ? `[${host}]:${port}` : `${host}:${port}`);

/** How many sockets an address has, for those that have more than one: by host and port. */
export type Slots = Record<string, number>;
export const slotsAt = (slots: Slots, address: Address): number => slots[keyOf(address)] ?? 1;

/**
 * Binds a unix socket that the angel holds. What a dead holder left at the path is replaced; anything else is refused. It
 * is bound aside and renamed, so that a client finds the old one or the new one.
 */
export async function bindPath(socketPath: string): Promise<Handle> {
	const spec = { host: null, port: null, socketPath };
	const there = fs.lstatSync(socketPath, { throwIfNoEntry: false });
	if (there !== undefined && !there.isSocket()) throw new BindError(spec, 'EEXIST', 'there is a file of that name, which is no socket');
	if (there !== undefined && (await answers(socketPath))) throw new BindError(spec, 'EADDRINUSE', '');
	const aside = path.join(path.dirname(socketPath), `.${process.pid.toString(36)}-${asides++}`);
	if (Buffer.byteLength(aside) > SOCKET_PATH_BYTES) throw new BindError(spec, 'ENAMETOOLONG', 'its folder has too long a name');
	const handle = checked(createServerHandle(aside, -1, -1), spec);
	fs.renameSync(aside, socketPath);
	return unlinking(handle, socketPath);
}

/** What another angel has handed over, and still holds itself. */
export function inherited(fd: number, socketPath: string | null): Handle {
	const open = createServerHandle as unknown as (address: null, port: null, type: null, fd: number) => Handle | number;
	const handle = open(null, null, null, fd);
	if (typeof handle === 'number') throw new Error(`descriptor ${fd}, which was handed over, is no socket`);
	return socketPath === null ? handle : unlinking(handle, socketPath);
}

export function letGo(handle: Handle): void {
	if (handle.letGo === undefined) handle.close();
	else handle.letGo();
}

/** With its end the path goes, unless it is another's by then. */
function unlinking(handle: Handle, socketPath: string): Handle {
	const { ino, dev } = fs.lstatSync(socketPath);
	return {
		fd: handle.fd,
		setBlocking: (blocking) => handle.setBlocking(blocking),
		close() {
			const now = fs.lstatSync(socketPath, { throwIfNoEntry: false });
			if (now?.ino === ino && now.dev === dev) removeIfPossible(socketPath);
			handle.close();
		},
		letGo: () => handle.close(),
	};
}

function checked(handle: BoundHandle | number, spec: Address): Handle {
	const error = typeof handle === 'number' ? handle : spec.socketPath === null ? handle.getsockname({}) : 0;
	if (typeof handle !== 'number' && error === 0) return handle;
	if (typeof handle !== 'number') handle.close();
	const [code, message] = systemError(error);
	throw new BindError(spec, code, message);
}

function systemError(number: number): [code: string, message: string] {
	return getSystemErrorMap().get(number) ?? [String(number), 'unknown error'];
}

/** A worker of an earlier angel, with the sockets that it was given. */
type Lender = Pick<Entry, 'workerId' | 'token' | 'pid' | 'startTicks' | 'sockets'>;

/** Sockets of an address that workers of an earlier angel hold, and nobody else can bind. */
interface Lent {
	spec: ListenSpec;
	lenders: Lender[];
	/** How many there are; 0: none of them is of just this address. */
	count: number;
	/** What has been given back, by slot. */
	back: Map<number, Handle>;
	settle: (handles: Handle[]) => void;
	fail: (error: Error) => void;
	deadline: number;
}

/** For workers to give back what they hold: they have to find the new master first. */
const GIVE_BACK_MS = 5_000;
/** Between two looks whether the last lender is gone. */
const LOOK_MS = 100;

/** Of a worker's sockets those that are asked back, by their place among all that it was given. */
export type AskedBack = Array<{ index: number; name: string; slot: number }>;

/** All sockets of the tree's children, held until the angel ends. */
export class Sockets {
	/** By address: one socket, or one for each slot. */
	readonly #held = new Map<string, Promise<Handle[]>>();
	/** Of those, what is there by now. */
	readonly #open = new Map<string, Handle[]>();
	readonly #slots: Slots = {};
	/** Of unix sockets, by address. */
	readonly #paths = new Map<string, string>();
	/** By address: what is not back yet. */
	readonly #lent = new Map<string, Lent>();
	#looking: NodeJS.Timeout | undefined;

	/** How many sockets there are where there are several. */
	get slots(): Slots {
		return { ...this.#slots };
	}

	/** Whether workers of an earlier angel hold what this one needs. */
	get isWaiting(): boolean {
		return this.#lent.size > 0;
	}

	/**
	 * Binds them all. Rejects with a sentence for each that cannot be. What `lenders` hold is waited for instead: they give it back,
	 * or it is bound when the last of them is gone.
	 */
	async bind(listen: readonly ListenSpec[], lenders: readonly Lender[] = []): Promise<void> {
		const results = await Promise.allSettled(
			[...new Map(listen.map((spec) => [keyOf(spec), spec])).values()].map((spec) =>
				this.#hold(spec).catch((error: BindError) => {
					const holders = lenders.filter(({ sockets }) => sockets.some(({ address }) => isInTheWayOf(spec, address)));
					if (error.code !== 'EADDRINUSE' || !holders.some(isAlive)) throw error;
					this.#lend(spec, holders);
				}),
			),
		);
		const failures = results.flatMap((result) => (result.status === 'rejected' ? [(result.reason as Error).message] : []));
		if (failures.length > 0) throw new Error(failures.join('; '));
	}

	/** What each lender is to be asked for; only who speaks to its master can be asked. */
	get askedBack(): Array<[workerId: string, asked: AskedBack]> {
		const asked = new Map<string, AskedBack>();
		for (const { spec, lenders } of this.#lent.values()) {
			for (const { workerId, token, sockets } of lenders) {
				if (token === null) continue;
				const own = asked.get(workerId) ?? [];
				asked.set(workerId, own);
				for (const [index, { address, slot }] of sockets.entries()) {
					const isSame = keyOf(address) === keyOf(spec);
					if (isSame && !own.some((other) => other.name === address.name && other.slot === slot))
						own.push({ index, name: address.name, slot });
				}
			}
		}
		return [...asked].filter(([, own]) => own.length > 0);
	}

	/** A lender gives back what is at that place among its sockets. */
	takeBack(workerId: unknown, token: unknown, index: unknown, handle: Handle): void {
		for (const [key, lent] of this.#lent) {
			const lender = lent.lenders.find((each) => each.workerId === workerId && each.token === token);
			const socket = lender?.sockets[index as number];
			if (socket === undefined || keyOf(socket.address) !== key || lent.back.has(socket.slot)) continue;
			lent.back.set(socket.slot, lent.spec.socketPath === null ? handle : unlinking(handle, lent.spec.socketPath));
			if (lent.back.size === lent.count) this.#settle(key, lent);
			return;
		}
		handle.close();
	}

	/** The descriptors to hand down, in the order asked. What has been added to the tree since is bound now. */
	async descriptors(wanted: readonly Handed[]): Promise<number[]> {
		return Promise.all(
			wanted.map(async ({ address, slot }) => {
				const handles = await this.#hold({ ...address, slots: 1 });
				return (handles[slot % handles.length] as Handle).fd;
			}),
		);
	}

	/** The same, if all of them are there by now; else null. */
	descriptorsNow(wanted: readonly Handed[]): number[] | null {
		const fds = wanted.map(({ address, slot }) => {
			const handles = this.#open.get(keyOf(address));
			return handles?.[slot % handles.length]?.fd;
		});
		return fds.includes(undefined) ? null : (fds as number[]);
	}

	/** Why there are no descriptors for these yet. */
	describe(wanted: readonly Handed[]): string {
		const lent = wanted.map(({ address }) => this.#lent.get(keyOf(address))).find((each) => each !== undefined);
		if (lent === undefined) return 'stopped before it was started';
		const holders = lent.lenders.filter(isAlive).map(({ pid }) => pid);
		return `cannot listen on ${nameOf(lent.spec)}: ${holders.length > 0 ? `pid ${holders.join(', ')}, which an earlier angel has started, holds it and cannot give it back` : `${nameHolder(lent.spec)} has it`}`;
	}

	/** All that is held, for another process to hold as well. */
	async handed(): Promise<HandedSockets[]> {
		const all = [...this.#held].map(async ([key, handles]) => {
			const fds = (await handles.catch(() => [])).map(({ fd }) => fd);
			return { key, socketPath: this.#paths.get(key) ?? null, fds };
		});
		return (await Promise.all(all)).filter(({ fds }) => fds.length > 0);
	}

	/** Holds what another angel has handed over. */
	inherit(handed: readonly HandedSockets[]): void {
		for (const { key, socketPath, fds } of handed) {
			if (socketPath !== null) this.#paths.set(key, socketPath);
			if (fds.length > 1) this.#slots[key] = fds.length;
			const handles = fds.map((fd) => inherited(fd, socketPath));
			this.#held.set(key, Promise.resolve(handles));
			this.#open.set(key, handles);
		}
	}

	/** Another process has them now. */
	async letGo(): Promise<void> {
		this.#open.clear();
		for (const [key, handles] of this.#held) {
			this.#held.delete(key);
			for (const handle of await handles.catch(() => [])) letGo(handle);
		}
	}

	async close(): Promise<void> {
		clearInterval(this.#looking);
		this.#open.clear();
		for (const [key, { fail }] of this.#lent) {
			this.#lent.delete(key);
			fail(new Error('the tree is stopping'));
		}
		for (const [key, handles] of this.#held) {
			for (const handle of await handles.catch(() => [])) handle.close();
			this.#held.delete(key);
		}
	}

	#hold(spec: ListenSpec): Promise<Handle[]> {
		const key = keyOf(spec);
		const held = this.#held.get(key);
		if (held !== undefined) return held;
		if (spec.socketPath !== null) this.#paths.set(key, spec.socketPath);
		return this.#keep(key, open(spec));
	}

	#keep(key: string, holding: Promise<Handle[]>): Promise<Handle[]> {
		this.#held.set(key, holding);
		holding.then(
			(handles) => {
				if (handles.length > 1) this.#slots[key] = handles.length;
				if (this.#held.get(key) === holding) this.#open.set(key, handles);
			},
			// A port that is taken now may be free at the next try.
			() => this.#held.delete(key),
		);
		return holding;
	}

	#lend(spec: ListenSpec, lenders: Lender[]): void {
		const key = keyOf(spec);
		const same = lenders.flatMap(({ sockets }) => sockets.filter(({ address }) => keyOf(address) === key));
		const count = Math.max(0, ...same.map(({ slot }) => slot + 1));
		if (count > 1) this.#slots[key] = count;
		const holding = new Promise<Handle[]>((settle, fail) => {
			const deadline = performance.now() + (lenders.some(({ token }) => token !== null) && count > 0 ? GIVE_BACK_MS : 0);
			this.#lent.set(key, { spec, lenders, count, back: new Map(), settle, fail, deadline });
		});
		this.#keep(key, holding).catch(() => {});
		this.#looking ??= setInterval(() => this.#lookAtLenders(), LOOK_MS);
	}

	#settle(key: string, { back, count, settle }: Lent): void {
		this.#lent.delete(key);
		settle(Array.from({ length: count }, (_, slot) => back.get(slot) as Handle));
	}

	#lookAtLenders(): void {
		for (const [key, lent] of this.#lent) {
			const { spec, lenders, count, back, settle, fail, deadline } = lent;
			const isHeld = lenders.some(isAlive);
			if (isHeld && performance.now() < deadline) continue;
			if (back.size > 0) {
				// Whose slot nobody gave back shares that of another.
				const [any] = [...back.values()] as [Handle];
				for (let slot = 0; slot < count; slot++) if (!back.has(slot)) back.set(slot, any);
				this.#settle(key, lent);
			} else if (!isHeld) {
				this.#lent.delete(key);
				open({ ...spec, slots: Math.max(1, count) }).then(settle, fail);
			}
		}
		if (this.#lent.size > 0) return;
		clearInterval(this.#looking);
		this.#looking = undefined;
	}
}

/** Whether a socket at one address keeps another from being bound. */
function isInTheWayOf(one: Address, other: Address): boolean {
	if (one.socketPath !== null || other.socketPath !== null) return one.socketPath === other.socketPath;
	return one.port === other.port;
}

async function open(spec: ListenSpec): Promise<Handle[]> {
	const { socketPath, slots } = spec;
	const handles = socketPath !== null ? [await bindPath(socketPath)] : slots > 1 ? bindSlots(spec) : [bindPort(spec)];
	try {
		const [first = 0, ...others] = await listenOn(handles);
		if (first !== 0) throw new BindError(spec, ...systemError(first));
		// This Node, or this system, cannot: one for all.
		if (others.some((error) => error !== 0)) for (const handle of handles.splice(1)) handle.close();
		// As systemd hands them down. Once only: it is of the socket, not of who holds it, and programs change it while they run.
		for (const handle of handles) handle.setBlocking(true);
		return handles;
	} catch (error) {
		for (const handle of handles) handle.close();
		throw error;
	}
}

/** A socket for each slot, or one where that cannot be. The kernel gives each new connection to one of those that listen. */
function bindSlots(spec: ListenSpec): Handle[] {
	// Without the flag first: with it, this would share the port of another tree of this user.
	bindPort(spec).close();
	const handles: Handle[] = [];
	try {
		for (let slot = 0; slot < spec.slots; slot++) handles.push(bindPort(spec, REUSE_PORT));
		return handles;
	} catch {
		for (const handle of handles) handle.close();
		return [bindPort(spec)];
	}
}

function bindPort(spec: ListenSpec, bindFlags = 0): Handle {
	const { host } = spec;
	const port = spec.port as number;
	const bind = (address: string, type: number) => checked(createServerHandle(address, port, type, undefined, bindFlags), spec);
	if (host !== null) return bind(host, net.isIPv6(host) ? 6 : 4);
	// As Node does without a host: both families on one socket where the machine has IPv6.
	try {
		return bind('::', 6);
	} catch (error) {
		if ((error as BindError).code === 'EADDRINUSE') throw error;
		return bind('0.0.0.0', 4);
	}
}

/**
 * Makes sockets listen, and answers with an error number for each. A process of its own does it and is gone at once: in this one
 * the sockets would accept from then on.
 */
function listenOn(handles: readonly Handle[]): Promise<number[]> {
	return new Promise((resolve, reject) => {
		const { NODE_OPTIONS: _, ...env } = process.env;
		const child = spawn(process.execPath, ['-e', listenScript, String(handles.length)], {
			env,
			stdio: ['ignore', 'pipe', 'inherit', ...handles.map(({ fd }) => fd)],
			timeout: LISTEN_MS,
			killSignal: 'SIGKILL',
		});
		let said = '';
		(child.stdout as Readable).setEncoding('utf8').on('data', (text: string) => {
			said += text;
		});
		child.once('error', reject);
		child.once('close', (code, signal) => {
			if (code === 0) resolve(JSON.parse(said) as number[]);
			else reject(new Error(`the process that makes the sockets listen ended with ${code ?? signal}`));
		});
	});
}

const listenScript = `
	const open = require('node:net')._createServerHandle;
	const errors = Array.from({ length: Number(process.argv[1]) }, (_, index) => {
		const handle = open(null, null, null, 3 + index);
		return typeof handle === 'number' ? handle : handle.listen(511) || 0;
	});
	require('node:fs').writeSync(1, JSON.stringify(errors));
	process.exit(0);
`;
