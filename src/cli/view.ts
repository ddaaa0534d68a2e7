/** `choir view`: the address of the live page, which is opened where there is a display. */

import { spawn } from 'node:child_process';
import { request } from '../control/client.ts';
import { socketPath } from '../home.ts';
import { chooseRunning } from './choose.ts';
import { exitCodes } from './complaint.ts';

interface Place {
	address: string;
	readOnly: boolean;
}

export async function view(word: string | undefined, options: { open: boolean; json?: boolean }): Promise<number> {
	const tree = await chooseRunning(word);
	const place = (await request(socketPath(tree.dir, 'control.sock'), 'view')) as Place;
	process.stdout.write(options.json ? JSON.stringify(place) + '\n' : `${place.address}${place.readOnly ? ' (read-only)' : ''}\n`);
	if (options.open && !options.json && process.stdout.isTTY) openInBrowser(place.address);
	return exitCodes.ok;
}

/** Without a display, or without the program for it, the printed address is all there is. */
function openInBrowser(address: string): void {
	const { DISPLAY, WAYLAND_DISPLAY } = process.env;
	const program = process.platform === 'darwin' ? 'open' : DISPLAY || WAYLAND_DISPLAY ? 'xdg-open' : null;
	if (program === null) return;
	const opener = spawn(program, [address], { stdio: 'ignore', detached: true });
	opener.on('error', () => {});
	opener.unref();
}
