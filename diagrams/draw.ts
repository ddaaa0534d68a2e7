/** Draws the machines into this folder: `node --import tsx diagrams/draw.ts`. */
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { angelMachine } from '../machines/angel.ts';
import { dynamicMachine } from '../machines/dynamic.ts';
import { masterMachine } from '../machines/master.ts';
import { workerMachine } from '../machines/worker.ts';
import { mermaidOf } from '../src/diagram/mermaid.ts';

export const machines = [workerMachine, masterMachine, dynamicMachine, angelMachine] as const;

/** Name of a file in this folder → what it holds. */
export function drawings(): Map<string, string> {
	return new Map(
		machines.flatMap((machine) => [
			[`${machine.id}.mmd`, mermaidOf(machine)],
			// For viewers that evaluate a chart and know only xstate.
			[`${machine.id}.json`, JSON.stringify(machine.config, null, '\t') + '\n'],
		]),
	);
}

if (process.argv[1] !== undefined && fs.realpathSync(process.argv[1]) === fileURLToPath(import.meta.url))
	for (const [name, text] of drawings()) fs.writeFileSync(path.join(import.meta.dirname, name), text);
