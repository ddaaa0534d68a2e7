/** Digests of modules, by which a supervisor knows whether a file is still what its children run. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { test } from 'uvu';
import { ModuleDigests } from '../src/spec/contents.ts';

const LATER_MS = 10_000;

async function inFolder(body: (write: (name: string, text: string) => string) => Promise<void>): Promise<void> {
	const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'choir-contents-'));
	try {
		await body((name, text) => {
			const file = path.join(dir, name);
			fs.writeFileSync(file, text);
			return file;
		});
	} finally {
		fs.rmSync(dir, { recursive: true });
	}
}

test('a digest is taken again only when the module, or what it imports, was touched', () =>
	inFolder(async (write) => {
		const entry = write('main.mjs', "import './part.mjs'; import './none.mjs';");
		write('part.mjs', 'one');
		const digests = new ModuleDigests(() => Date.now() + LATER_MS);
		const first = await digests.of(entry);
		assert.equal(digests.of(entry), first, 'it is there at once');
		// Of the same length: its size does not tell.
		const steps = [
			() => write('part.mjs', 'two'),
			() => write('main.mjs', "import './part.mjs'; import './NONE.mjs';"),
			() => write('NONE.mjs', 'it was missing'),
		];
		const seen = new Set([first]);
		for (const step of steps) {
			step();
			const asked = digests.of(entry);
			assert.notEqual(typeof asked, 'string', 'it is read again');
			seen.add(await asked);
			assert.equal(await digests.of(entry), await new ModuleDigests().of(entry));
		}
		assert.equal(seen.size, 1 + steps.length);
	}));

test('what a module names, but cannot be looked at, is as good as missing', () =>
	inFolder(async (write) => {
		write('part.mjs', 'a file, and no folder');
		const entry = write('main.mjs', "// as in import './part.mjs/more'");
		const digests = new ModuleDigests(() => Date.now() + LATER_MS);
		assert.equal(digests.of(entry) instanceof Promise, true);
		const first = await digests.of(entry);
		assert.equal(digests.of(entry), first);
	}));

test('what was written just now is read again: the next writing might not show', () =>
	inFolder(async (write) => {
		const entry = write('main.mjs', 'one');
		const digests = new ModuleDigests();
		const first = await digests.of(entry);
		const again = digests.of(entry);
		assert.notEqual(typeof again, 'string');
		assert.equal(await again, first);
	}));

test('a module that cannot be read has no digest', () =>
	inFolder(async (write) => {
		const entry = write('main.mjs', 'one');
		fs.rmSync(entry);
		await assert.rejects(async () => new ModuleDigests().of(entry), { code: 'ENOENT' });
	}));

test.run();
