/** The command line: which words there are, and what they exit with. Each command is in a file of its own and loaded when it is asked for. */

import { createRequire } from 'node:module';
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import { visibleLines } from '../logs/visible.ts';
import type { Sort } from './board.ts';
import { Complaint, exitCodes } from './complaint.ts';
import { asDuration, parseDuration } from './duration.ts';

/** By its own name: the way to it differs between the sources and what is built from them. */
const { version } = createRequire(import.meta.url)('choir/package.json') as { version: string };

const examples = `
Examples:
  choir check tree.ts                    is the spec right, and what is in it
  choir run tree.ts                      in the foreground; Ctrl-C stops it, a second one at once
  choir start tree.ts                    in the background; returns once it runs
  choir status --watch                   what runs, how often it was restarted, why it last died
  choir top                              the same on the whole terminal, with keys
  choir wait shop --for running          until everything is ready
  choir logs web -n 20 -f                the output of all instances of web
  choir restart web.1                    one instance
  choir reload --plan                    what a reload would touch
  choir reload --wait                    the spec and its programs as they are now, without a gap
  choir upgrade shop                     the newer choir that this is takes the tree over
  choir scale web 4                      so many instances of web
  choir pause web                        stops its workers; connections wait until
  choir resume web                       they are served again
  choir operations                       what was asked of the tree, and how it ended
  choir view                             the tree as a live page
  choir stop shop                        drains, then stops; --fast does not drain
  choir diagram tree.ts -o tree.svg      a picture of the tree: who goes down with whom
  choir diagram worker --format mermaid  how a worker lives, as text

A tree is meant by its name or by its spec file; where only one runs it may be left out.
State is kept in $CHOIR_HOME, else $XDG_STATE_HOME/choir, else ~/.local/state/choir.

Exit codes: 0 done; 1 it failed; 64 wrong usage; 70 the tree gave up; 75 already running; 78 the spec is wrong.
`;

const diagramExamples = `
Examples:
  choir diagram tree.ts -o tree.svg         the tree, for a browser or a README
  choir diagram tree.ts --format mermaid    as text that code hosts show as a picture
  choir diagram tree.ts --json              as a plain structure, for a program
  choir diagram tree.ts ledger -o l.svg     the machine of the actor 'ledger'
  choir diagram worker --json               a machine for viewers of XState charts
`;

const pauseExamples = `
Examples:
  choir pause web        all instances of web; connections wait
  choir resume web       and are served
  choir pause jobs       a supervisor, and all that is below it
  choir pause            the whole tree (SIGWINCH does the same)
  choir resume           all that was paused
`;

const operationsHelp = `
Phases:
  waiting   another one comes first
  pre       those concerned are found out, and may refuse; nothing is done yet
  act       step by step, each acknowledged and written down
  post      it has ended: done, failed, or undone

Restart, reload, scale, pause and resume are operations, whoever asks: a command, the live page, a signal.
A command whose master dies while it waits asks the next one, by the same id, and hears of the same operation.
`;

/** Runs a command and gives its exit code. `args` are the words after `choir`. */
export async function main(args: string[]): Promise<number> {
	// `choir status | head`: who reads no more is not to be told so.
	process.stdout.on('error', (error: NodeJS.ErrnoException) => {
		if (error.code === 'EPIPE') process.exit(exitCodes.ok);
		throw error;
	});
	let exitCode: number = exitCodes.ok;
	const program = commands((code) => {
		exitCode = code;
	});
	try {
		await program.parseAsync(args, { from: 'user' });
		return exitCode;
	} catch (error) {
		// Commander has said it already: help and version end with 0, everything else is wrong usage.
		if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.ok : exitCodes.usage;
		const verbose = program.opts<{ verbose?: boolean }>().verbose === true;
		for (const line of error instanceof Complaint ? error.lines : [(error as Error).message])
			process.stderr.write(`${visibleLines(line)}\n`);
		if (verbose) process.stderr.write(`${visibleLines(String((error as Error).stack))}\n`);
		return error instanceof Complaint ? error.exitCode : exitCodes.failed;
	}
}

function commands(end: (exitCode: number) => void): Command {
	const program = new Command('choir')
		.description('Keeps a declared tree of processes alive.')
		.version(version)
		.option('--verbose', 'with a stack trace for errors')
		.addHelpText('after', examples)
		.showHelpAfterError('(`choir --help` shows what there is)')
		.configureHelp({ showGlobalOptions: true })
		.exitOverride();

	program
		.command('run')
		.summary('run a tree in the foreground')
		.description(
			'Runs the tree of a spec until it is stopped. On a terminal the output of each child has its name before it; elsewhere it is JSON lines.',
		)
		.argument('<spec>', 'a file that exports a tree')
		.option('--no-view', 'without the live page, whatever the spec says')
		.action(async (spec: string, options) => end(await (await import('./run.ts')).run(spec, options)));

	program
		.command('start')
		.summary('run a tree in the background')
		.description('Starts the tree of a spec in the background, and returns once all of it runs, or with the reason why not.')
		.argument('<spec>', 'a file that exports a tree')
		.addOption(timeout(120_000))
		.action(async (spec: string, options) => end(await (await import('./start.ts')).start(spec, options)));

	program
		.command('stop')
		.summary('stop a tree that runs')
		.description('Stops a tree: drains its children, in reverse order, and waits until all of it is gone.')
		.argument('[tree]', 'a name or a spec file')
		.option('--fast', 'do not drain: SIGTERM at once')
		.option('--kill', 'SIGKILL at once')
		.addOption(timeout(0))
		.action(async (tree: string | undefined, options) => end(await (await import('./stop.ts')).stop(tree, options)));

	program
		.command('status')
		.summary('show a tree with its states')
		.argument('[tree]', 'a name or a spec file')
		.option('--json', 'as JSON')
		.option('--watch', 'again each second; without a terminal, at each change')
		.action(async (tree: string | undefined, options) => end(await (await import('./status.ts')).status(tree, options)));

	program
		.command('top')
		.summary('the tree on the whole terminal, with keys')
		.description(
			'Shows the tree as it changes: sorted as you like, with the output of a child and its restart at a key. `?` lists the keys.',
		)
		.argument('[tree]', 'a name or a spec file')
		.addOption(
			new Option('--sort <column>', 'what comes first')
				.choices(['tree', 'cpu', 'memory', 'restarts', 'up', 'name'] satisfies Sort[])
				.default('tree'),
		)
		.action(async (tree: string | undefined, options) => end(await (await import('./top.ts')).top(tree, options)));

	program
		.command('wait')
		.summary('wait until a tree or a child is in a state')
		.description('Waits; exits with 0, or with 1 and what is missing. The tree need not run yet.')
		.argument('[tree]', 'a name or a spec file')
		.option('--for <state>', 'running (all children), dead, or PATH=STATE such as web.1=running', 'running')
		.addOption(timeout(10_000))
		.action(async (tree: string | undefined, options) => end(await (await import('./wait.ts')).wait(tree, options)));

	program
		.command('restart')
		.summary('restart a child')
		.description(
			'Stops a child as its spec says and starts it again. `web` means all instances, one after the other, as long as each comes up; `web.1` is one.',
		)
		.argument('<path>', 'a child, as `choir status` shows it')
		.option('--tree <tree>', 'a name or a spec file')
		.addOption(timeout(120_000))
		.action(async (path: string, options) => end(await (await import('./restart.ts')).restart(path, options)));

	program
		.command('reload')
		.summary('a new version of the spec and its programs')
		.description(
			'Brings a tree to its spec as it is now: only what has changed is touched. New ones start beside the old ones where they can; whatever fails before all of them have run for a while is undone, and the old ones go on.',
		)
		.argument('[tree]', 'a name or a spec file')
		.option('--plan', 'only say what would be done')
		.option('--wait', 'until it has ended: exits with 1 if it was rolled back')
		.option('--json', 'as JSON')
		.addOption(timeout(300_000))
		.action(async (tree: string | undefined, options) => end(await (await import('./reload.ts')).reload(tree, options)));

	program
		.command('upgrade')
		.summary('this choir takes a running tree over')
		.description(
			'Replaces the angel and the master of a running tree by those of this installation of choir, on this Node. Workers and their connections are not touched. If the tree does not run under the new ones within `upgradeTimeout`, the old ones go on with it: exit code 1.',
		)
		.argument('[tree]', 'a name or a spec file')
		.option('--json', 'as JSON: result (done or rolledBack), from and pid of the angel, lines, tookMs')
		.action(async (tree: string | undefined, options) => end(await (await import('./upgrade.ts')).upgrade(tree, options)));

	program
		.command('scale')
		.summary('more instances of a child, or fewer')
		.description(
			'Starts or stops instances of a child that is declared with `instances`; those with the highest numbers come and go, each with its drain. If one does not come up, all that have come go again. The number holds until the tree ends, or a reload brings another declared one.',
		)
		.argument('<path>', 'a child, without the number of an instance: `web`')
		.argument('<count>', 'how many instances there shall be', parseInstances)
		.option('--json', 'as JSON')
		.option('--tree <tree>', 'a name or a spec file')
		.addOption(timeout(120_000))
		.action(async (path: string, count: number, options) => end(await (await import('./scale.ts')).scale(path, count, options)));

	program
		.command('pause')
		.summary('stop children, and keep their sockets')
		.description(
			'Drains a child, or the whole tree, and keeps it stopped whatever happens around it, until `choir resume`. The sockets stay: new connections wait in their backlog. A reload keeps the pause. What is paused twice is paused.',
		)
		.argument('[path]', 'a child, all instances of one, or a supervisor with all below it; without it, the whole tree')
		.option('--json', 'as JSON')
		.option('--tree <tree>', 'a name or a spec file')
		.addOption(timeout(300_000))
		.addHelpText('after', pauseExamples)
		.action(async (path: string | undefined, options) => end(await (await import('./pause.ts')).pause('pause', path, options)));

	program
		.command('resume')
		.summary('start again what was paused')
		.description(
			'Starts what was paused by that name, in start order, in the version that is in force; without a name, all that was paused. What waits in the backlog is served.',
		)
		.argument('[path]', 'as it was paused, or an instance of that; without it, the whole tree')
		.option('--json', 'as JSON')
		.option('--tree <tree>', 'a name or a spec file')
		.addOption(timeout(300_000))
		.addHelpText('after', pauseExamples)
		.action(async (path: string | undefined, options) => end(await (await import('./pause.ts')).pause('resume', path, options)));

	program
		.command('operations')
		.summary('show what was asked of a tree, and how it ended')
		.description(
			'Shows the operations of a tree, which go one at a time: those that wait, the present one with its phase and its steps, and the last ones with their ends. Each goes on, or is undone, if the master dies in the middle of it.',
		)
		.argument('[tree]', 'a name or a spec file')
		.option('--json', 'as JSON: waiting, current, ended')
		.addHelpText('after', operationsHelp)
		.action(async (tree: string | undefined, options) => end(await (await import('./operations.ts')).operations(tree, options)));

	program
		.command('logs')
		.summary('show the output of children')
		.description(
			'Shows what children have printed, also when the tree does not run. `choir logs angel` and `choir logs master` show their own.',
		)
		.argument('[path]', 'a child; its instances and what is below it are meant as well')
		.option('-f, --follow', 'go on with what comes')
		.option('-n, --lines <count>', 'lines of each child', parseCount, 100)
		.option('--json', 'as JSON lines')
		.option('--raw', 'colours and other control characters go to a terminal as they are')
		.option('--tree <tree>', 'a name or a spec file')
		.action(async (path: string | undefined, options) => end(await (await import('./logs.ts')).logs(path, options)));

	program
		.command('view')
		.summary('open the live page of a tree')
		.description(
			'Prints the address of the live page, and opens it where there is a display. A tree in the background has the page once it is asked for. Whoever has the address may operate the tree: it holds a token, new with each run.',
		)
		.argument('[tree]', 'a name or a spec file')
		.option('--no-open', 'only print it')
		.option('--json', 'as JSON: address, readOnly')
		.action(async (tree: string | undefined, options) => end(await (await import('./view.ts')).view(tree, options)));

	program
		.command('journal')
		.summary('show what the tree has in mind, as it is written down')
		.description(
			'Shows the journal of a tree: what its supervisors and operations have in mind, which a next master goes on with. The tree need not run.',
		)
		.argument('[tree]', 'a name or a spec file')
		.option('-n, --lines <count>', 'the last lines', parseCount, 100)
		.option('--json', 'as JSON lines')
		.action(async (tree: string | undefined, options) => end(await (await import('./journal.ts')).journal(tree, options)));

	program
		.command('check')
		.summary('validate a spec and print its tree')
		.description('Says all that is wrong with a spec, or prints the tree that it declares. Nothing is started.')
		.argument('<spec>', 'a file that exports a tree')
		.option('--json', 'as JSON')
		.action(async (spec: string, options) => end(await (await import('./check.ts')).check(spec, options)));

	program
		.command('diagram')
		.summary('draw a tree, or a machine')
		.description(
			"Draws a tree: who supervises whom, in which order they start, and who goes down with whom. Or a machine: one of choir's own (worker, master, dynamic, angel, agenda, rollout), or the XState machine of an actor in a tree. Nothing is started.",
		)
		.argument('[what]', 'a spec file, one of the machines, or a running tree; without it, the tree that runs')
		.argument('[path]', 'an actor in that tree: its machine is drawn')
		.addOption(
			new Option('--format <format>', 'what it is drawn as (default: by the ending of FILE, else svg)').choices(['svg', 'mermaid', 'json']),
		)
		.option('--json', 'the same as --format json')
		.option('-o, --output <file>', 'where to, instead of standard output: .svg, .mmd or .json')
		.addHelpText('after', diagramExamples)
		.action(async (what: string | undefined, path: string | undefined, options) =>
			end(await (await import('./diagram.ts')).diagram(what, path, options)),
		);

	// What the wrong word should have been is mostly in the line of its usage.
	for (const command of program.commands)
		command.showHelpAfterError(`(\`choir ${command.name()} ${command.usage()}\`: \`choir ${command.name()} --help\` says more)`);
	return program;
}

function timeout(ms: number): Option {
	return new Option('--timeout <duration>', 'how long to wait for it (0: as long as it takes)')
		.argParser(parseDuration)
		.default(ms, ms === 0 ? '0' : asDuration(ms));
}

function parseInstances(text: string): number {
	if (!/^\d{1,7}$/.test(text)) throw new InvalidArgumentError(`expected a number of instances, got '${text}'`);
	return Number(text);
}

function parseCount(text: string): number {
	if (!/^\d{1,7}$/.test(text)) throw new InvalidArgumentError(`expected a number of lines, got '${text}'`);
	return Number(text);
}
