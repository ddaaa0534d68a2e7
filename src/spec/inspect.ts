/** The throw-away process that tries a spec. Arguments: the spec, the folder for bundles, `machines` if those are asked for, and a bundle that was made of it earlier, if that is meant. One JSON line on descriptor 3. */
import fs from 'node:fs';
import path from 'node:path';
import { Worker } from 'node:worker_threads';
import { machinesOf } from '../diagram/machines.ts';
import { BundleError } from './build.ts';
import { bundle } from './bundle.ts';
import { checkSpec, resolveSpec } from './check.ts';
import type { InspectResult } from './inspection.ts';
import { checkFiles, loadSpec, SpecLoadError, sentenceOf } from './load.ts';

const RESULT_FD = 3;
const FAILED = 1;
const BAD_SPEC = 78;
/** Between two looks whether whoever asked is still there. */
const LOOK_MS = 250;

const [, , file, cacheDir, asked, given] = process.argv as [string, string, string, string, string?, string?];

const refused = (lines: string[]): InspectResult => ({ ok: false, exitCode: BAD_SPEC, lines });

/** Ends this process when whoever asked is gone. A thread, because a spec may be busy for ever. */
function watchAsker(): void {
	const look = `if (process.ppid !== ${process.ppid}) process.kill(process.pid, 'SIGKILL');`;
	new Worker(`setInterval(() => { ${look} }, ${LOOK_MS});`, { eval: true, execArgv: [] }).unref();
}

async function inspect(): Promise<InspectResult> {
	try {
		if (!fs.existsSync(file)) return refused([`there is no spec at ${file}`]);
		const built = given === undefined ? await bundle(file, { cacheDir }) : { file: given };
		const declaration = await loadSpec(built.file, file);
		// Of what runs already, only whether it can be understood.
		const problems =
			given !== undefined ? checkSpec(declaration) : [...checkSpec(declaration), ...checkFiles(declaration, path.dirname(file))];
		const errors = problems.filter(({ severity }) => severity === 'error');
		if (errors.length > 0) return refused(errors.map(({ message }) => message));
		const outline = resolveSpec(declaration);
		const { id: tree, stopTimeoutMs, master } = outline;
		const machines = asked === 'machines' ? machinesOf(outline) : [];
		const warnings = problems.map(({ message }) => message);
		return { ok: true, tree, bundle: built.file, stopTimeoutMs, master, warnings, outline, machines };
	} catch (error) {
		if (error instanceof BundleError || error instanceof SpecLoadError) return refused([error.message]);
		// Nothing is wrong with the spec: the cache cannot be written, for example.
		return { ok: false, exitCode: FAILED, lines: [`${file} could not be tried: ${(error as Error).message}`] };
	}
}

function say(result: InspectResult): never {
	// What an actor does and begins with is no text: it is loaded again where it runs.
	const text = JSON.stringify(result, function (this: { kind?: unknown }, key, value) {
		return (key === 'logic' && this.kind === 'actor') || (key === 'input' && (this.kind === 'actor' || this.kind === 'thread'))
			? undefined
			: value;
	});
	fs.writeSync(RESULT_FD, text + '\n');
	// A spec may have left timers or sockets open: nothing of it is wanted any more.
	process.exit(0);
}

// What a spec throws aside, in a callback or a promise that it did not await, is as much its failure.
process.on('uncaughtException', (error) => say(refused([`${file} cannot be loaded: ${sentenceOf(error, file, file)}`])));
watchAsker();
say(await inspect());
