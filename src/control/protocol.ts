/** The control protocol: one JSON object a line, both ways, with a version in each. */

export const VERSION = 1;
/** Of `do`; an id that is a string has the same bound. */
const MAX_NAME_LENGTH = 128;

type RequestId = number | string;

/** Without an id it is a notice: the sender wants no answer, and hears only that it was refused. */
export interface Request {
	v: typeof VERSION;
	id?: RequestId;
	do: string;
	[param: string]: unknown;
}

/**
 * BAD_JSON, BAD_REQUEST, BAD_VERSION, TOO_LONG: the line was no request. UNKNOWN: nobody here does that. FAILED: it was tried.
 * NOT_RUNNING, NO_ANSWER: said by the client, when there is nobody to ask or nothing comes back. Owners may add their own.
 */
type ErrorCode =
	| 'BAD_JSON'
	| 'BAD_REQUEST'
	| 'BAD_VERSION'
	| 'TOO_LONG'
	| 'UNKNOWN'
	| 'FAILED'
	| 'NOT_RUNNING'
	| 'NO_ANSWER'
	| (string & {});

export type Answer =
	| { v: typeof VERSION; id: RequestId; ok: true; result: unknown }
	| { v: typeof VERSION; id: RequestId | null; ok: false; error: { code: ErrorCode; message: string } };

/** A refusal with its code, as it travels over the socket. */
export class ControlError extends Error {
	readonly code: ErrorCode;

	constructor(code: ErrorCode, message: string) {
		super(message);
		this.name = 'ControlError';
		this.code = code;
	}
}

type ParsedRequest = { ok: true; request: Request } | { ok: false; id: RequestId | null; code: ErrorCode; message: string };

export function parseRequest(line: string): ParsedRequest {
	const read = parseJson(line);
	if (read === undefined) return { ok: false, id: null, code: 'BAD_JSON', message: 'expected one JSON object on the line' };
	if (read === null || typeof read !== 'object' || Array.isArray(read)) {
		return { ok: false, id: null, code: 'BAD_REQUEST', message: 'expected a JSON object such as {"v":1,"id":1,"do":"status"}' };
	}
	const { v, id, do: name } = read as Record<string, unknown>;
	if (id !== undefined && !isRequestId(id)) {
		return {
			ok: false,
			id: null,
			code: 'BAD_REQUEST',
			message: `id: expected a number or a string of at most ${MAX_NAME_LENGTH} characters`,
		};
	}
	if (v !== VERSION) {
		return { ok: false, id: id ?? null, code: 'BAD_VERSION', message: `v: expected ${VERSION}, the version of the protocol spoken here` };
	}
	if (typeof name !== 'string' || name.length === 0 || name.length > MAX_NAME_LENGTH) {
		return { ok: false, id: id ?? null, code: 'BAD_REQUEST', message: `do: expected a name of 1 to ${MAX_NAME_LENGTH} characters` };
	}
	return { ok: true, request: read as Request };
}

/** Undefined for a line that is no answer of this version: a notice, or noise. */
export function parseAnswer(line: string): Answer | undefined {
	const read = parseJson(line) as Answer | null | undefined;
	if (read === undefined || read === null || typeof read !== 'object' || read.v !== VERSION) return undefined;
	if (read.id !== null && !isRequestId(read.id)) return undefined;
	if (read.ok === true) return read;
	return read.ok === false && typeof read.error?.message === 'string' ? read : undefined;
}

/** What a thrown error says over the socket: its own code if it has one, never its stack. */
export function asRefusal(thrown: unknown): { code: ErrorCode; message: string } {
	const message = thrown instanceof Error ? thrown.message : String(thrown);
	const code = (thrown as { code?: unknown } | null | undefined)?.code;
	return { code: typeof code === 'string' ? code : 'FAILED', message };
}

function parseJson(line: string): unknown {
	try {
		return JSON.parse(line);
	} catch {
		return undefined;
	}
}

function isRequestId(id: unknown): id is RequestId {
	return (typeof id === 'number' && Number.isFinite(id)) || (typeof id === 'string' && id.length <= MAX_NAME_LENGTH);
}
