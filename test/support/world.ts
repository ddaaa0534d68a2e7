/** Specs as the machines read them, written down without a declaration, and a simulated world for them. */
import type { ChildSpec, RestartRule, SupervisorSpec, TreeSpec } from '../../machines/spec.ts';
import { defaults } from '../../machines/spec.ts';
import { World, type WorldOptions } from '../../src/testing/world.ts';

export function rule(change: Partial<RestartRule> = {}): RestartRule {
	return {
		type: 'permanent',
		significant: false,
		strategy: 'one_for_one',
		intensity: null,
		whenExhausted: 'escalate',
		backoff: defaults.noBackoff,
		okCodes: [0],
		fatalCodes: [78],
		...change,
	};
}

export function child(path: string, change: Partial<RestartRule> = {}, more: Partial<ChildSpec> = {}): ChildSpec {
	const id = path.split('/').at(-1) as string;
	return {
		kind: 'command',
		id,
		declaredId: id,
		path,
		restart: rule(change),
		run: ['true'],
		ready: { kind: 'signal', timeoutMs: 30_000 },
		live: null,
		heartbeat: null,
		stop: { drainMs: 0, terminateMs: 1_000 },
		listen: [],
		env: {},
		envFile: null,
		inheritEnv: [],
		cwd: null,
		logs: { rotateBytes: 0, keep: 1 },
		...more,
	} as ChildSpec;
}

export function supervisor(path: string, children: ChildSpec[], more: Partial<SupervisorSpec> = {}): SupervisorSpec {
	const id = path.split('/').at(-1) as string;
	return {
		kind: 'supervisor',
		id,
		declaredId: id,
		path,
		restart: rule(),
		strategy: 'one_for_one',
		intensity: { restarts: 3, withinMs: 5_000 },
		start: 'ordered',
		autoShutdown: 'never',
		shutdownMs: null,
		children,
		...more,
	};
}

export function treeOf(root: SupervisorSpec): TreeSpec {
	return {
		id: 'test',
		root,
		stopTimeoutMs: 60_000,
		onAngelLoss: 'keep',
		upgradeTimeoutMs: 1,
		master: defaults.master,
		view: defaults.view,
		operations: defaults.operations,
	};
}

export function worldOf(root: SupervisorSpec, options: WorldOptions = {}): World {
	return new World(treeOf(root), options);
}
