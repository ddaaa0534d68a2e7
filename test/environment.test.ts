/** What a child finds in its environment, and where it comes from. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { childEnvironment } from '../src/hosts/environment.ts';

const nothing = { inheritEnv: [], envFile: null, env: {} };
const around = {
	PATH: '/bin',
	HOME: '/h',
	LC_ALL: 'C',
	TZ: 'UTC',
	SECRET: 's',
	NODE_OPTIONS: '-x',
	CHOIR_TOKEN: 't',
	LISTEN_FDS: '1',
	GONE: undefined,
};

async function withFolder(body: (folder: string) => Promise<void>): Promise<void> {
	const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'ce-'));
	try {
		await body(folder);
	} finally {
		fs.rmSync(folder, { recursive: true });
	}
}

const rejection = (promise: Promise<unknown>): Promise<string> =>
	promise.then(
		() => 'it did not reject',
		(error: Error) => error.message,
	);

const rows: Array<[promise: string, declared: Partial<Parameters<typeof childEnvironment>[0]>, got: Record<string, string>]> = [
	['only what a program needs to find its way', {}, { PATH: '/bin', HOME: '/h', LC_ALL: 'C', TZ: 'UTC' }],
	[
		'beside it, names that are asked for',
		{ inheritEnv: ['SECRET', 'NONE'] },
		{ PATH: '/bin', HOME: '/h', LC_ALL: 'C', TZ: 'UTC', SECRET: 's' },
	],
	[
		'all of it if asked for, except what is meant for choir itself',
		{ inheritEnv: true },
		{ PATH: '/bin', HOME: '/h', LC_ALL: 'C', TZ: 'UTC', SECRET: 's', NODE_OPTIONS: '-x' },
	],
	["never choir's own words", { inheritEnv: ['CHOIR_TOKEN'] }, { PATH: '/bin', HOME: '/h', LC_ALL: 'C', TZ: 'UTC' }],
	[
		'what is declared wins',
		{ inheritEnv: ['SECRET'], env: { SECRET: 'own', PATH: '/p' } },
		{ PATH: '/p', HOME: '/h', LC_ALL: 'C', TZ: 'UTC', SECRET: 'own' },
	],
];
for (const [promise, declared, got] of rows)
	test(promise, async () => assert.equal(await childEnvironment({ ...nothing, ...declared }, '/', around, {}), got));

test('what choir says to the child wins over everything', () =>
	withFolder(async (folder) => {
		fs.writeFileSync(path.join(folder, 'e'), 'CHOIR_PATH=file\n');
		const declared = { inheritEnv: true as const, envFile: 'e', env: { CHOIR_PATH: 'declared' } };
		assert.is((await childEnvironment(declared, folder, { CHOIR_PATH: 'around' }, { CHOIR_PATH: 'own' })).CHOIR_PATH, 'own');
	}));

test('the envFile is read anew each time; what is declared beside it wins, what is inherited does not', () =>
	withFolder(async (folder) => {
		const file = path.join(folder, '.env');
		const declared = { inheritEnv: ['A'], envFile: '.env', env: { C: 'declared' } };
		const read = () => childEnvironment(declared, folder, { A: 'around' }, {});
		fs.writeFileSync(file, '# a comment\nA=1\nexport B="two words"\nC=file\n');
		assert.equal(await read(), { A: '1', B: 'two words', C: 'declared' });
		fs.writeFileSync(file, 'D=4\n');
		assert.equal(await read(), { A: 'around', D: '4', C: 'declared' });
	}));

test('an envFile that cannot be read is one sentence with its place', () =>
	withFolder(async (folder) => {
		const read = (envFile: string) => rejection(childEnvironment({ ...nothing, envFile }, folder, {}, {}));
		assert.is(await read('none'), `its envFile ${path.join(folder, 'none')} does not exist`);
		assert.match(await read('.'), `its envFile ${folder} cannot be read: EISDIR`);
	}));

test.run();
