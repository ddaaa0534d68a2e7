/** Tries a spec in a throw-away process: what a spec does when it is loaded, it does there. */
import { spawn } from 'node:child_process';
import path from 'node:path';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import type { TreeSpec } from '../../machines/spec.ts';

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
	  }
	| { ok: false; exitCode: number; lines: string[] };

const INSPECT_MS = 60_000;

/** Answers what a spec declares, or why it cannot be run. Aborted or late, the process is killed. */
export function inspectSpec(file: string, options: { cacheDir: string; signal?: AbortSignal; timeoutMs?: number }): Promise<InspectResult> {
	const { cacheDir, signal, timeoutMs = INSPECT_MS } = options;
	const extension = path.extname(import.meta.url);
	const main = fileURLToPath(new URL(`../spec/inspect${extension}`, import.meta.url));
	const loader = extension === '.ts' ? ['--import', 'tsx'] : [];
	const child = spawn(process.execPath, [...loader, main, file, cacheDir], { stdio: ['ignore', 2, 2, 'pipe'] });
	return new Promise((resolve) => {
		let said = '';
		let why = 'the spec ended the process in which it was tried';
		const stop = (reason: string) => {
			why = reason;
			child.kill('SIGKILL');
		};
		const late = setTimeout(() => stop(`${file} could not be checked within ${timeoutMs} ms`), timeoutMs);
		const aborted = () => stop('no longer wanted');
		signal?.addEventListener('abort', aborted);
		(child.stdio[3] as Readable).setEncoding('utf8').on('data', (text: string) => {
			said += text;
		});
		child.once('error', (error) => {
			why = error.message;
		});
		child.once('close', (code) => {
			clearTimeout(late);
			signal?.removeEventListener('abort', aborted);
			if (said.endsWith('\n')) return resolve(JSON.parse(said) as InspectResult);
			resolve({ ok: false, exitCode: 78, lines: [`${file} cannot be loaded: ${why}${code === null ? '' : ` (exit code ${code})`}`] });
		});
	});
}
