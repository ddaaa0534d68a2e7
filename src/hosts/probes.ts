/** Probes: one look at a program from outside, with a deadline. A failure is an answer, never an exception. */
import { spawn } from 'node:child_process';
import http from 'node:http';
import https from 'node:https';
import net from 'node:net';
import type { ProbeSpec } from '../../machines/spec.ts';
import { killGroup } from './proc.ts';

export type ProbeResult = { ok: true } | { ok: false; why: string };

export interface ProbeOptions {
	env: Record<string, string>;
	cwd: string;
	signal?: AbortSignal;
}

/** Looks once. Whatever it opened or started is closed or killed when it answers. */
export function probe(spec: ProbeSpec, timeoutMs: number, options: ProbeOptions): Promise<ProbeResult> {
	return new Promise((resolve) => {
		let stop = () => {};
		let answered = false;
		const answer = (result: ProbeResult) => {
			if (answered) return;
			answered = true;
			clearTimeout(late);
			options.signal?.removeEventListener('abort', aborted);
			stop();
			resolve(result);
		};
		const aborted = () => answer({ ok: false, why: 'no longer wanted' });
		const late = setTimeout(() => answer({ ok: false, why: `${nameOf(spec)} did not answer within ${timeoutMs} ms` }), timeoutMs);
		if (options.signal?.aborted) return aborted();
		options.signal?.addEventListener('abort', aborted);
		try {
			stop = begin(spec, options, answer);
		} catch (error) {
			// What Node refuses without trying, such as a URL that is none.
			answer({ ok: false, why: `${nameOf(spec)}: ${(error as Error).message}` });
		}
		if (answered) stop();
	});
}

function nameOf(spec: ProbeSpec): string {
	switch (spec.kind) {
		case 'tcp':
			return `tcp ${spec.host}:${spec.port}`;
		case 'http':
			return spec.url;
		case 'exec':
			return `'${spec.run.join(' ')}'`;
	}
}

/** Of several addresses that all refuse, Node makes an error without a message. */
function reasonOf(error: NodeJS.ErrnoException): string {
	return error.message || String(error.code);
}

/** Starts a look and answers how to end it. */
function begin(spec: ProbeSpec, options: ProbeOptions, answer: (result: ProbeResult) => void): () => void {
	switch (spec.kind) {
		case 'tcp':
			return tcp(spec, answer);
		case 'http':
			return request(spec, answer);
		case 'exec':
			return exec(spec, options, answer);
	}
}

function tcp(spec: Extract<ProbeSpec, { kind: 'tcp' }>, answer: (result: ProbeResult) => void): () => void {
	const socket = net.connect({ host: spec.host, port: spec.port });
	socket.once('connect', () => answer({ ok: true }));
	socket.on('error', (error) => answer({ ok: false, why: `${nameOf(spec)}: ${reasonOf(error)}` }));
	return () => socket.destroy();
}

function request(spec: Extract<ProbeSpec, { kind: 'http' }>, answer: (result: ProbeResult) => void): () => void {
	const client = spec.url.startsWith('https:') ? https : http;
	const asked = client.get(spec.url, { agent: false, headers: { connection: 'close' } }, ({ statusCode = 0 }) => {
		const ok = spec.status === null ? statusCode >= 200 && statusCode < 400 : statusCode === spec.status;
		answer(ok ? { ok: true } : { ok: false, why: `${nameOf(spec)} answered ${statusCode}` });
	});
	asked.on('error', (error) => answer({ ok: false, why: `${nameOf(spec)}: ${reasonOf(error)}` }));
	return () => asked.destroy();
}

function exec(spec: Extract<ProbeSpec, { kind: 'exec' }>, { env, cwd }: ProbeOptions, answer: (result: ProbeResult) => void): () => void {
	const [file, ...args] = spec.run as [string, ...string[]];
	const child = spawn(file, args, { env, cwd, detached: true, stdio: 'ignore' });
	child.on('error', (error) => answer({ ok: false, why: `${nameOf(spec)}: ${reasonOf(error)}` }));
	child.once('exit', (code, signal) =>
		answer(
			code === 0 ? { ok: true } : { ok: false, why: `${nameOf(spec)} ended ${signal === null ? `with code ${code}` : `by ${signal}`}` },
		),
	);
	// Also when it has ended by itself: what it left in the background is of no use to anybody.
	return () => {
		if (child.pid !== undefined) killGroup(child.pid, 'SIGKILL');
	};
}
