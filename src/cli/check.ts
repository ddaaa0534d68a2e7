/** `choir check`: what a spec declares, or all that is wrong with it. */

import path from 'node:path';
import { visibleJson, visibleLines } from '../logs/visible.ts';
import { cacheDir, specPath } from './choose.ts';
import { Complaint, exitCodes } from './complaint.ts';
import { outline } from './outline.ts';

export async function check(file: string, options: { json?: boolean }): Promise<number> {
	const spec = specPath(file);
	const { inspectSpec } = await import('../spec/inspection.ts');
	const inspected = await inspectSpec(spec, { cacheDir: cacheDir() });
	if (!inspected.ok) {
		if (!options.json) throw new Complaint(inspected.lines, inspected.exitCode);
		process.stdout.write(visibleJson({ ok: false, problems: inspected.lines }, 2) + '\n');
		return inspected.exitCode;
	}
	if (options.json) {
		process.stdout.write(visibleJson({ ok: true, warnings: inspected.warnings, tree: inspected.outline }, 2) + '\n');
		return exitCodes.ok;
	}
	for (const line of inspected.warnings) process.stderr.write(`warning: ${visibleLines(line)}\n`);
	process.stdout.write(outline(inspected.outline, path.dirname(spec)));
	return exitCodes.ok;
}
