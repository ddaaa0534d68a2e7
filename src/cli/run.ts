/** `choir run`: this process becomes the angel. */

import { specPath } from './choose.ts';

export async function run(file: string, options: { view: boolean }): Promise<number> {
	const spec = specPath(file);
	const { runAngel } = await import('../angel/main.ts');
	return runAngel({ spec, foreground: true, reportFd: null, ...(options.view ? {} : { view: 'never' }) });
}
