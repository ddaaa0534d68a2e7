/** Specs that cannot be run, as users meet them: exit code 78, plain sentences, nothing started. */
import fs from 'node:fs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { inPlace } from './support/run.ts';

test('ten mistakes are ten lines, each with its place, and nothing starts', () =>
	inPlace(
		{
			'tree.ts': `
				import { tree } from 'choir';
				export default tree('shop', {
					strategi: 'one_for_one',
					intensity: { restarts: -1, within: '5 parsecs' },
					children: [
						{ kind: 'node', id: 'Web', module: './nope.ts', instances: 0, listen: { http: 99999 } },
						{ kind: 'command', id: 'c', run: [], restart: 'sometimes' },
						{ kind: 'command', id: 'c', run: ['sleep', '1'], ready: 'signal' },
					],
				} as never);
			`,
		},
		async (place) => {
			for (const verb of ['run', 'start', 'check']) {
				const { code, stderr } = await place.choir(verb, 'tree.ts');
				const lines = stderr.trim().split('\n');
				assert.is(code, 78, verb);
				const places = [
					'strategi',
					'intensity.restarts',
					'intensity.within',
					'children[0].id',
					'children[0].module',
					'children[0].instances',
					'children[0].listen.http',
					'children[1].run',
					'children[1].restart',
					'children[2].id',
					'children[2].ready',
				];
				for (const at of places)
					assert.is(lines.filter((line) => line.startsWith(`shop.${at}: expected `)).length, 1, `${verb}: ${at} in\n${stderr}`);
				assert.is(lines.length, places.length, stderr);
			}
			assert.not(fs.existsSync(place.file('home/shop')), 'a state folder was made');
		},
	));

const sentences: Array<[string, string | null, RegExp]> = [
	['one that throws', `throw new Error('no luck');`, /cannot be loaded: no luck \(at .*tree\.ts:1:\d+\)/],
	['one that exports nothing', 'export const x = 1;', /exports no tree/],
	['one that exports something else', 'export default 7;', /must be tree\(…\), got 7/],
	['one that does not exist', null, /no such (file|spec)|there is no/],
	['one that imports a file that is missing', `import x from './nope.ts'; export default x;`, /tree\.ts:1:\d+: .*'\.\/nope\.ts'/],
	[
		'one that imports a package that is missing',
		`import x from 'no-such-package'; export default x;`,
		/tree\.ts:1:\d+: .*'no-such-package'/,
	],
	['one that is no TypeScript', 'export default {{', /tree\.ts:1:\d+: /],
	['one that ends the process', 'process.exit(3);', /ended the process/],
];
for (const [name, text, expected] of sentences) {
	test(`${name}: one clear sentence`, () =>
		inPlace(text === null ? {} : { 'tree.ts': text }, async (place) => {
			for (const verb of ['run', 'start', 'check']) {
				const { code, stderr } = await place.choir(verb, 'tree.ts');
				assert.is(code, 78, `${verb}: ${stderr}`);
				assert.match(stderr, expected);
				assert.is(stderr.trim().split('\n').length, 1, stderr);
			}
		}));
}

test('the environment is what is declared, read anew at each start', () =>
	inPlace(
		{
			'.env': 'FROM_FILE=one\nGONE=soon\n',
			'show.mjs': `import fs from 'node:fs'; fs.writeFileSync('seen.json', JSON.stringify(process.env)); setInterval(() => {}, 1000);`,
			'tree.ts': `
				import { node, tree } from 'choir';
				export default tree('t', { children: [node('a', { module: './show.mjs', env: { DECLARED: 'yes' }, envFile: '.env', ready: { exec: ['test', '-s', 'seen.json'] } })] });
			`,
		},
		async (place) => {
			process.env.CHOIR_TEST_LEAK = 'leaked';
			const run = await place.run();
			const seen = () => JSON.parse(place.read('seen.json')) as Record<string, string>;
			assert.is(seen().DECLARED, 'yes');
			assert.is(seen().FROM_FILE, 'one');
			const names = Object.keys(seen()).filter((name) => !name.startsWith('CHOIR_'));
			assert.equal(names.sort(), ['DECLARED', 'FROM_FILE', 'GONE', 'HOME', 'PATH']);
			place.write('.env', 'FROM_FILE=two\n');
			fs.rmSync(place.file('seen.json'));
			assert.is((await place.choir('restart', 'a')).code, 0);
			assert.is(seen().FROM_FILE, 'two');
			assert.is(seen().GONE, undefined);
			run.child.kill('SIGTERM');
			assert.is((await run.ended).code, 0);
		},
	));

test.run();
