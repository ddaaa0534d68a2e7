/** Draws the machines into this folder: `npm run diagrams`. */
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { agendaMachine } from '../machines/agenda.ts';
import { angelMachine } from '../machines/angel.ts';
import { dynamicMachine } from '../machines/dynamic.ts';
import { masterMachine } from '../machines/master.ts';
import { rolloutMachine } from '../machines/rollout.ts';
import { standbyMachine } from '../machines/standby.ts';
import { tokenMachine } from '../machines/token.ts';
import { workerMachine } from '../machines/worker.ts';
import { chartOf } from '../src/diagram/chart.ts';
import { chartSvg } from '../src/diagram/chart-svg.ts';
import { configOf } from '../src/diagram/machines.ts';
import { mermaidOf } from '../src/diagram/mermaid.ts';

export const machines = [
	...[workerMachine, masterMachine, dynamicMachine, angelMachine, agendaMachine, rolloutMachine, standbyMachine, tokenMachine],
] as const;

/** Name of a file in this folder → what it holds. */
export async function drawings(): Promise<Map<string, string>> {
	const files: Array<[name: string, text: string]> = [];
	for (const machine of machines) {
		const chart = chartOf(machine);
		files.push(
			[`${machine.id}.svg`, await chartSvg(chart)],
			[`${machine.id}.mmd`, mermaidOf(chart)],
			// For viewers that evaluate a chart and know only xstate.
			[`${machine.id}.json`, configOf(machine) as string],
		);
	}
	return new Map(files);
}

if (process.argv[1] !== undefined && fs.realpathSync(process.argv[1]) === fileURLToPath(import.meta.url))
	for (const [name, text] of await drawings()) fs.writeFileSync(path.join(import.meta.dirname, name), text);
