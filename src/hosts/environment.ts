/** The environment of a child: what its declaration says, read anew at each start, and nothing that happened to be around. */
import fs from 'node:fs/promises';
import path from 'node:path';
import { parseEnv } from 'node:util';
import type { ProcessSpec } from '../../machines/spec.ts';

/** What a program needs to find its way about on a machine. */
const base = /^(PATH|HOME|USER|LOGNAME|SHELL|LANG|LC_[A-Z]+|TZ|TMPDIR)$/;
/** What others set for choir's own process, and would be taken for the child's: its sockets, its notices, its channel to a parent. */
const meantForChoir =
	/^(LISTEN_(FDS|FDNAMES|PID)|NOTIFY_SOCKET|WATCHDOG_(PID|USEC)|NODE_(CHANNEL_FD|CHANNEL_SERIALIZATION_MODE|UNIQUE_ID))$/;

/**
 * Later wins: the base and the names of `inheritEnv` from choir's own environment, `envFile`, `env`, and last `own`, by which
 * choir speaks to the child. Rejects if `envFile` cannot be read.
 */
export async function childEnvironment(
	{ inheritEnv, envFile, env }: Pick<ProcessSpec, 'inheritEnv' | 'envFile' | 'env'>,
	folder: string,
	around: NodeJS.ProcessEnv,
	own: Record<string, string>,
): Promise<Record<string, string>> {
	const inherited: Record<string, string> = {};
	for (const [name, value] of Object.entries(around)) {
		if (value === undefined || name.startsWith('CHOIR_')) continue;
		if (inheritEnv === true ? !meantForChoir.test(name) : base.test(name) || inheritEnv.includes(name)) inherited[name] = value;
	}
	const fromFile = envFile === null ? {} : await readEnvFile(path.resolve(folder, envFile));
	return { ...inherited, ...fromFile, ...env, ...own };
}

async function readEnvFile(file: string): Promise<Record<string, string>> {
	try {
		return parseEnv(await fs.readFile(file, 'utf8')) as Record<string, string>;
	} catch (error) {
		const { code, message } = error as NodeJS.ErrnoException;
		throw new Error(code === 'ENOENT' ? `its envFile ${file} does not exist` : `its envFile ${file} cannot be read: ${message}`);
	}
}
