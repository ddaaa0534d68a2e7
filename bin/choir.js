#!/usr/bin/env node
// The command `choir`. For `choir run` this process becomes the angel: its signals are armed before anything else is loaded.
import { existsSync } from 'node:fs';

const built = new URL('../dist/src/', import.meta.url);
if (!existsSync(new URL('cli/main.js', built))) {
	console.error('choir: it is not built yet: run `npm ci` or `npm run build` in its folder');
	process.exit(1);
}
const command = process.argv.slice(2).find((word) => !word.startsWith('-'));
if (command === 'run') await import(new URL('angel/arm.js', built).href);
const { main } = await import(new URL('cli/main.js', built).href);
process.exitCode = await main(process.argv.slice(2));
