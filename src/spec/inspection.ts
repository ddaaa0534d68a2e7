/** Tries a spec in a throw-away process: what a spec does when it is loaded, it does there. */
import { spawn } from 'node:child_process';
import path from 'node:path';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import type { TreeSpec } from '../../machines/spec.ts';
import type { DrawnMachine } from '../diagram/machines.ts';
import { killGroup } from '../hosts/proc.ts';

export type InspectResult =
	| {
			ok: true;
			tree: string;
			/** The bundle from which a master loads it. */
			bundle: string;
			stopTimeoutMs: number;
			master: TreeSpec['master'];
			warnings: string[];
			outline: TreeSpec;
			/** If they were asked for. */
			machines: DrawnMachine[];
	  }
	| { ok: false; exitCode: number; lines: string[] };

const INSPECT_MS = 60_000;
/** Of the answer, which holds the whole tree. */
const MAX_CHARACTERS = 64 * 1024 * 1024;
const BAD_SPEC = 78;

/**
 * Answers what a spec declares, or why it cannot be run; what it prints goes to standard error. Aborted or late, its process is
 * killed; when this settles there is none any more. It does not reject. `machines`: with the charts of actors that are machines;
 * `bundle`: not the spec as it is now, but what was made of it then.
 */
export function inspectSpec(
	file: string,
	options: { cacheDir: string; machines?: boolean; bundle?: string; signal?: AbortSignal; timeoutMs?: number },
): Promise<InspectResult> {
	const { cacheDir, machines = false, bundle, signal, timeoutMs = INSPECT_MS } = options;
	const spec = path.resolve(file);
	const extension = path.extname(import.meta.url);
	const main = fileURLToPath(new URL(`../spec/inspect${extension}`, import.meta.url));
	// The sources need their loader there as well. Not all of `execArgv`: with `-e` in it, node would not run this main but the caller again.
	const loader = extension === '.ts' ? ['--import', import.meta.resolve('tsx')] : [];
	const child = spawn(
		process.execPath,
		[...loader, main, spec, cacheDir, machines ? 'machines' : '', ...(bundle === undefined ? [] : [bundle])],
		{
			detached: true,
			stdio: ['ignore', 2, 2, 'pipe'],
		},
	);
	return new Promise((resolve) => {
		let said = '';
		let why: string | null = null;
		const stop = (reason: string | null) => {
			why ??= reason;
			// Its own group: what it has started itself, such as the compiler, goes with it.
			if (child.pid !== undefined) killGroup(child.pid, 'SIGKILL');
		};
		const late = setTimeout(() => stop(`it took more than ${timeoutMs} ms`), timeoutMs);
		const aborted = () => stop('it is no longer wanted');
		if (signal?.aborted) aborted();
		signal?.addEventListener('abort', aborted);
		(child.stdio[3] as Readable).setEncoding('utf8').on('data', (text: string) => {
			said += text;
			if (said.length > MAX_CHARACTERS) stop('it is too large');
			// All has been said: what the spec would still do on its way out is not waited for.
			else if (text.endsWith('\n')) stop(null);
		});
		child.once('error', (error) => {
			why ??= error.message;
		});
		child.once('close', (code, by) => {
			clearTimeout(late);
			signal?.removeEventListener('abort', aborted);
			if (why === null && said.endsWith('\n')) return resolve(JSON.parse(said) as InspectResult);
			const how =
				code === null ? `${by} ended the process in which it was tried` : `it ended the process in which it was tried (exit code ${code})`;
			resolve({ ok: false, exitCode: BAD_SPEC, lines: [`${spec} cannot be loaded: ${why ?? how}`] });
		});
	});
}
