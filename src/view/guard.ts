/** Who may ask: only who knows the address with its token, and no page of another origin, whatever name it goes by. */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import net from 'node:net';

export interface Own {
	token: string;
	port: number;
	/** As bound. */
	host: string;
	/** Names beside it; without a port they are right with any. */
	hosts: readonly string[];
}

/** What is asked for, such as `page.js` (null: the slash behind the token is missing); or why it is refused, in one sentence. */
export type Verdict = { ok: true; what: string | null } | { ok: false; why: string };

const HOW = '`choir view` prints the address';

export function judge({ url = '', headers }: Pick<IncomingMessage, 'url' | 'headers'>, own: Own): Verdict {
	const { host, origin } = headers;
	if (host === undefined || !isOwn(host, own)) return { ok: false, why: `This page is not served under that name: ${HOW}.` };
	if (origin !== undefined && !isOrigin(origin, host, own)) return { ok: false, why: `Pages of other origins may not ask here: ${HOW}.` };
	const [, token = '', what] = /^\/([^/?#]*)(?:\/([^?#]*))?/.exec(url) ?? [];
	if (!same(token, own.token)) return { ok: false, why: `The address lacks its token, or that of an earlier run: ${HOW}.` };
	return { ok: true, what: what ?? null };
}

/** A name that somebody else's DNS may point here is not ours, whatever it points to. */
function isOwn(host: string, { port, host: bound, hosts }: Own): boolean {
	const given = host.toLowerCase();
	const [, six, four, at = '80'] = /^(?:\[([0-9a-f:.]+)\]|([^:[\]]*))(?::(\d{1,5}))?$/.exec(given) ?? [];
	const name = six ?? four ?? '';
	if (hosts.some((known) => known.toLowerCase() === given || known.toLowerCase() === name)) return true;
	if (Number(at) !== port) return false;
	const everywhere = bound === '0.0.0.0' || bound === '::';
	return name === bound || name === 'localhost' || name === '127.0.0.1' || name === '::1' || (everywhere && net.isIP(name) !== 0);
}

/** Before a name of `hosts` there may be a proxy that speaks TLS. */
function isOrigin(origin: string, host: string, { hosts }: Own): boolean {
	if (origin === `http://${host}`) return true;
	const name = host.replace(/:\d+$/, '');
	return origin === `https://${host}` && (hosts.includes(host) || hosts.includes(name));
}

/** In the same time, however much of it is right. */
function same(given: string, token: string): boolean {
	const digest = (text: string) => createHash('sha256').update(text).digest();
	return timingSafeEqual(digest(given), digest(token));
}
