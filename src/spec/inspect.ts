/** The throw-away process that tries a spec. Arguments: the spec, the folder for bundles. One JSON line on descriptor 3. */
import fs from 'node:fs';
import path from 'node:path';
import { bundle } from './bundle.ts';
import { checkSpec, resolveSpec } from './check.ts';
import type { InspectResult } from './inspection.ts';
import { checkFiles, loadSpec } from './load.ts';

const RESULT_FD = 3;
const BAD_SPEC = 78;

async function inspect(file: string, cacheDir: string): Promise<InspectResult> {
	const refused = (lines: string[]): InspectResult => ({ ok: false, exitCode: BAD_SPEC, lines });
	if (!fs.existsSync(file)) return refused([`there is no spec at ${file}`]);
	try {
		const built = await bundle(file, { cacheDir });
		const declaration = await loadSpec(built.file, file);
		const problems = [...checkSpec(declaration), ...checkFiles(declaration, path.dirname(file))];
		const errors = problems.filter(({ severity }) => severity === 'error');
		if (errors.length > 0) return refused(errors.map(({ message }) => message));
		const outline = resolveSpec(declaration);
		const { id: tree, stopTimeoutMs, master } = outline;
		return { ok: true, tree, bundle: built.file, stopTimeoutMs, master, warnings: problems.map(({ message }) => message), outline };
	} catch (error) {
		return refused([(error as Error).message]);
	}
}

const [, , file, cacheDir] = process.argv as [string, string, string, string];
const result = await inspect(path.resolve(file), cacheDir);
fs.writeSync(RESULT_FD, JSON.stringify(result) + '\n');
// A spec may have left timers or sockets open: nothing of it is wanted any more.
process.exit(0);
