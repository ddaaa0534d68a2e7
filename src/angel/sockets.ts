/** The listening sockets of a tree. The angel binds them and never accepts: workers inherit the descriptors. */
import fs from 'node:fs';
import net from 'node:net';
import { getSystemErrorMap } from 'node:util';
import type { ListenSpec } from '../../machines/spec.ts';
import { answers } from './lock.ts';

interface Handle {
	fd: number;
	close(): void;
}

/**
 * Node's own way to a bound socket that nobody listens on yet: `net.Server` would accept and swallow clients.
 * It answers with an error number in place of a handle if it fails.
 */
const createServerHandle = (net as unknown as { _createServerHandle(address: string | null, port: number, type: number): Handle | number })
	._createServerHandle;

/** Binds a unix socket that the angel holds for the master. What a dead holder left at the path is removed. */
export async function bindPath(path: string): Promise<Handle> {
	if (fs.existsSync(path)) {
		if (await answers(path)) throw new Error(`another process listens on ${path}`);
		fs.rmSync(path);
	}
	return bound(createServerHandle(path, -1, -1), path);
}

function bound(handle: Handle | number, name: string): Handle {
	if (typeof handle !== 'number') return handle;
	const { code, message } = systemError(handle);
	const hint = code === 'EADDRINUSE' ? ': another process has it' : code === 'EACCES' ? ': this user may not' : ` (${message})`;
	throw new Error(`cannot listen on ${name}${hint}`);
}

function systemError(number: number): { code: string; message: string } {
	const [code, message] = getSystemErrorMap().get(number) ?? [String(number), 'unknown error'];
	return { code, message };
}

/** All sockets of the tree's children, bound when first asked for and held until the angel ends. */
export class Sockets {
	readonly #handles = new Map<string, Promise<Handle>>();

	/** The descriptors to hand down, in the order asked. */
	async descriptors(listen: readonly ListenSpec[]): Promise<number[]> {
		return Promise.all(listen.map(async (spec) => (await this.#handleOf(spec)).fd));
	}

	async close(): Promise<void> {
		for (const [name, handle] of this.#handles) {
			await handle.then(
				(held) => held.close(),
				() => {},
			);
			this.#handles.delete(name);
		}
	}

	#handleOf({ host, port, socketPath }: ListenSpec): Promise<Handle> {
		const name = socketPath ?? `${host ?? '*'}:${port}`;
		const held = this.#handles.get(name);
		if (held !== undefined) return held;
		const binding = socketPath === null ? bindPort(host, port as number) : bindPath(socketPath);
		this.#handles.set(name, binding);
		// A port that is taken now may be free at the next try.
		binding.catch(() => this.#handles.delete(name));
		return binding;
	}
}

async function bindPort(host: string | null, port: number): Promise<Handle> {
	if (host !== null) return bound(createServerHandle(host, port, net.isIPv6(host) ? 6 : 4), `${host}:${port}`);
	// As Node does without a host: both families on one socket where the machine has IPv6.
	const both = createServerHandle('::', port, 6);
	return typeof both === 'number' && systemError(both).code !== 'EADDRINUSE'
		? bound(createServerHandle('0.0.0.0', port, 4), `port ${port}`)
		: bound(both, `port ${port}`);
}
