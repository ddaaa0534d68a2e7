/** What people ask of a running tree, over the control socket or by a signal, as operations; and what they are told. */
import type { AskedOperation, OperationKind, TreeOperation } from '../../machines/agenda.ts';
import { MAX_INSTANCES } from '../../machines/check.ts';
import { hasInstances, isPaused, wordOf } from '../../machines/desired.ts';
import type { Request } from '../control/protocol.ts';
import { RequestError, type Tree, type TreeNews } from './tree.ts';

/** One child of a restart. */
export interface Restarted {
	path: string;
	ok: boolean;
	pid: number | null;
	incarnation: number;
	tookMs: number;
	error?: string;
}

/** How a pause or a resume ended. */
export interface Done {
	ok: boolean;
	message: string;
	/** Whom it concerned. */
	paths: string[];
	tookMs: number;
}

/** An operation, as `choir operations --json` has it. Times are ISO. */
export interface OperationStatus {
	id: string;
	number: number;
	kind: OperationKind;
	target: string;
	argument: TreeOperation['argument'];
	by: string;
	phase: TreeOperation['phase'];
	askedAt: string;
	steps: Array<{ path: string; what: string; phase: string; message: string }>;
	end: { ok: boolean; code: string | null; message: string; at: string } | null;
}

const ID = /^[\w-]{1,64}$/;
const MAX_PATH = 200;

export class Operator {
	readonly #tree: Tree;
	readonly #now: () => number;
	readonly #newId: () => string;
	readonly #news: Write;

	constructor({ tree, now, newId, news }: { tree: Tree; now: () => number; newId: () => string; news: Write }) {
		this.#tree = tree;
		this.#now = now;
		this.#newId = newId;
		this.#news = news;
	}

	/** Undefined: it is no operation. */
	answer(request: Request): unknown {
		switch (request.do) {
			case 'restart':
				return this.#restart(request);
			case 'reload':
				return this.#reload(request);
			case 'scale':
				return this.#scale(request);
			case 'pause':
			case 'resume':
				return this.#pauseOrResume(request, request.do);
			case 'operations':
				return this.#list();
			default:
				return undefined;
		}
	}

	/** A level, not a count: one more reload that waits is enough. */
	reload(by: string): void {
		this.#news('info', 'reload.asked', `a reload was asked by ${by}`, { signal: by });
		try {
			this.#quietly(this.#tree.reload(this.#asked('reload', '', null, by)).ended);
		} catch (error) {
			this.#news('warn', 'reload.refused', `reload refused: ${(error as Error).message}`);
		}
	}

	pause(by: string): void {
		this.#quietly(this.#tree.operate(this.#asked('pause', '', null, by)));
	}

	/** One instance more, or one fewer, of each child that is declared with instances and is not paused. */
	scale(argument: '+1' | '-1', by: string): void {
		const words = new Set<string>();
		for (const spec of this.#tree.specs) if (hasInstances(spec) && !isPaused(this.#tree.desired, spec)) words.add(wordOf(spec));
		if (words.size === 0) this.#news('info', 'signal.ignored', `${by} is ignored: no child is declared with instances`, { signal: by });
		for (const word of words) this.#quietly(this.#tree.operate(this.#asked('scale', word, argument, by)));
	}

	/** Of an operation that nobody waits for, events tell the end. */
	#quietly(asked: Promise<unknown>): void {
		asked.catch((error: Error) => this.#news('warn', 'operation.refused', `refused: ${error.message}`));
	}

	#asked(kind: OperationKind, target: string, argument: AskedOperation['argument'], by: string, id: unknown = undefined): AskedOperation {
		if (id !== undefined && (typeof id !== 'string' || !ID.test(id)))
			throw new RequestError(
				'failed',
				`operation: expected an id of 1 to 64 letters, digits, _ and -, got ${JSON.stringify(id).slice(0, 80)}`,
			);
		return { id: id ?? this.#newId(), kind, target, argument, by };
	}

	async #restart({ path, operation }: Request): Promise<Restarted[]> {
		if (path === '') throw new RequestError('failed', 'expected a child to restart');
		const asked = this.#asked('restart', wordIn(path), null, 'cli', operation);
		const ended = await this.#tree.operate(asked);
		const { steps, end, at } = ended;
		if (steps.length === 0) throw new RequestError((end?.code ?? 'failed') as RequestError['code'], end?.message ?? '');
		let from = at;
		return steps.map((step) => {
			const tookMs = step.endedAt === null ? 0 : Math.round(step.endedAt - from);
			from = step.endedAt ?? from;
			const ok = step.phase === 'done';
			const { pid, incarnation } = this.#tree.present(step.path);
			return { path: step.path, ok, pid, incarnation, tookMs, ...(ok ? {} : { error: step.message || 'it was not begun' }) };
		});
	}

	async #scale({ path, count, operation }: Request) {
		const word = wordIn(path);
		if (!Number.isInteger(count) || (count as number) < 1 || (count as number) > MAX_INSTANCES)
			throw new RequestError('failed', `expected a number of instances from 1 to ${MAX_INSTANCES}, got ${String(count).slice(0, 40)}`);
		const from = this.#now();
		const scaled = await this.#tree.scale(word, count as number, this.#asked('scale', word, count as number, 'cli', operation));
		return { path: word, tookMs: Math.round(this.#now() - from), ...scaled };
	}

	async #pauseOrResume({ path, operation }: Request, kind: 'pause' | 'resume'): Promise<Done> {
		const { steps, end, at } = await this.#tree.operate(this.#asked(kind, wordIn(path ?? ''), null, 'cli', operation));
		const paths = steps.map((step) => step.path);
		return { ok: end?.ok === true, message: end?.message ?? '', paths, tookMs: Math.round((end?.at ?? at) - at) };
	}

	/** `plan`: only what it would do. `wait`: until it has ended; without, until it is known what it does. */
	async #reload({ plan, wait, operation }: Request) {
		if (plan === true) return this.#tree.plan();
		const { planned, ended } = this.#tree.reload(this.#asked('reload', '', null, 'cli', operation));
		this.#news('info', 'reload.asked', 'a reload was asked');
		// Who does not wait for the end may be told of it all the same.
		ended.catch(() => {});
		return wait === true ? ended : planned;
	}

	#list(): { waiting: OperationStatus[]; current: OperationStatus | null; ended: OperationStatus[] } {
		const { waiting, current, ended } = this.#tree.operations;
		const status = (operation: TreeOperation) => this.#statusOf(operation);
		return { waiting: waiting.map(status), current: current === null ? null : status(current), ended: ended.map(status) };
	}

	#statusOf({ id, number, kind, target, argument, by, phase, at, steps, end }: TreeOperation): OperationStatus {
		const iso = (ms: number) => new Date(Date.now() - (this.#now() - ms)).toISOString();
		return {
			id,
			number,
			kind,
			target,
			argument,
			by,
			phase,
			askedAt: iso(at),
			steps: steps.map(({ path, what, phase: how, message }) => ({ path, what, phase: how, message })),
			end: end === null ? null : { ok: end.ok, code: end.code, message: end.message, at: iso(end.at) },
		};
	}
}

type Write = (level: TreeNews['level'], event: string, message: string, detail?: Record<string, unknown>) => void;

const wordIn = (path: unknown) => String(path).slice(0, MAX_PATH);
