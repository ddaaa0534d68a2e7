/** What a new version of a spec touches. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { changesBetween } from '../machines/changes.ts';
import type { ChildDeclaration, SupervisorSpec } from '../machines/spec.ts';
import { actor, command, dynamic, node, supervisor, thread, tree } from '../src/index.ts';
import { resolveSpec } from '../src/spec/check.ts';

const rootOf = (...children: ChildDeclaration[]): SupervisorSpec => resolveSpec(tree('t', { children })).root;
const code = (text: string) => new Map([['module ./w.js', text]]);
const web = (more: object = {}) => node('web', { module: './w.js', listen: { http: 8080 }, ...more });
const job = (more: object = {}) => command('job', { run: ['job'], ...more });
const logic = { transition: () => ({}), getInitialSnapshot: () => ({}) } as never;

type Side = { children: ChildDeclaration[]; content?: string; bundle?: string };
const rows: Array<[promise: string, before: Side, after: Side, expected: string[]]> = [
	['what is the same is kept', { children: [web(), job()] }, { children: [web(), job()] }, ['web kept', 'job kept']],
	[
		'what listens is replaced beside the old one',
		{ children: [web()] },
		{ children: [web({ env: { A: '1' } })] },
		['web replaced surge env'],
	],
	['what does not is replaced after it', { children: [job()] }, { children: [job({ run: ['job', '-v'] })] }, ['job replaced restart run']],
	['… unless that is declared', { children: [job()] }, { children: [job({ run: ['j'], reload: 'surge' })] }, ['job replaced surge run']],
	['new code is a new version', { children: [web()] }, { children: [web()], content: 'new' }, ['web replaced surge code']],
	[
		'rules and limits are taken over',
		{ children: [web()] },
		{ children: [web({ restart: 'transient', stop: { drain: '1s' }, reload: { soak: 0 } })] },
		['web changed restart,stop,reload'],
	],
	['children come and go', { children: [web()] }, { children: [job()] }, ['job added restart', 'web removed']],
	['so do instances', { children: [web({ instances: 1 })] }, { children: [web({ instances: 2 })] }, ['web.1 kept', 'web.2 added surge']],
	['the order is the supervisor’s', { children: [web(), job()] }, { children: [job(), web()] }, [' changed order', 'job kept', 'web kept']],
	[
		'supervisors are compared child by child',
		{ children: [supervisor('s', { children: [job()] })] },
		{ children: [supervisor('s', { strategy: 'one_for_all', children: [job(), web()] })] },
		['s changed strategy', 's/job changed restart', 's/web added surge'],
	],
	['a new supervisor is added as a whole', { children: [] }, { children: [supervisor('s', { children: [job()] })] }, ['s added restart']],
	[
		'what lives within the master is of its spec',
		{ children: [actor('a', { logic }), thread('w', { module: './w.js' })], bundle: 'one' },
		{ children: [actor('a', { logic }), thread('w', { module: './w.js' })], bundle: 'two' },
		['a replaced restart spec', 'w replaced restart spec'],
	],
	[
		'… and is kept with it',
		{ children: [actor('a', { logic }), thread('w', { module: './w.js' })] },
		{ children: [actor('a', { logic }), thread('w', { module: './w.js' })] },
		['a kept', 'w kept'],
	],
	[
		'the template of very many is taken over for those to come',
		{ children: [dynamic('pool', { child: job() })] },
		{ children: [dynamic('pool', { child: job({ run: ['other'] }) })] },
		['pool changed run'],
	],
];
for (const [promise, before, after, expected] of rows)
	test(promise, () => {
		const version = ({ children, content = 'old', bundle = 'b' }: Side) => ({ root: rootOf(...children), bundle, contents: code(content) });
		const changes = changesBetween(version(before), version(after));
		assert.equal(changes.refused, []);
		assert.equal(
			changes.children.map(({ path, change, mode, differing }) =>
				[path, change, ...(mode === null ? [] : [mode]), ...(differing.length > 0 ? [differing.join()] : [])].join(' '),
			),
			expected,
		);
	});

test('a supervisor cannot become a program', () => {
	const sides = [rootOf(supervisor('s', { children: [] })), rootOf(command('s', { run: ['x'] }))] as const;
	const [before, after] = sides.map((root) => ({ root, bundle: 'b', contents: new Map<string, string>() })) as [never, never];
	assert.equal(changesBetween(before, after).refused, ['s is a supervisor and cannot become a command: give the new one another id']);
});

test('code that is not known is not taken for the same', () => {
	const root = rootOf(web());
	const { children } = changesBetween({ root, bundle: 'b', contents: new Map() }, { root, bundle: 'b', contents: code('x') });
	assert.equal(children[0]?.change, 'replaced');
});

test.run();
