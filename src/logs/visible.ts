/** Text that is not ours, made fit to be shown: what would steer a terminal is there as a sign to be read. */

/** Control characters but the tab, and what turns the direction of writing. */
const STEERING = /[\x00-\x08\x0a-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]/g;
/** As above, of those that JSON leaves as they are. */
const STEERING_IN_JSON = /[\x7f-\x9f\u202a-\u202e\u2066-\u2069]/g;
const PICTURES = 0x2400;
const DELETE = 0x7f;
const DELETE_PICTURE = '\u2421';

/** `\x1b[2J` becomes `␛[2J`. The text is one line: a line end within it is a sign too. */
export function visible(text: string): string {
	return text.replace(STEERING, (sign) => {
		const code = sign.charCodeAt(0);
		if (code < 0x20) return String.fromCharCode(PICTURES + code);
		return code === DELETE ? DELETE_PICTURE : `\\u${code.toString(16).padStart(4, '0')}`;
	});
}

/** The same of a text of several lines. */
export const visibleLines = (text: string) => text.split('\n').map(visible).join('\n');

/** The same value as JSON that steers no terminal. */
export function visibleJson(value: unknown, indent?: number): string {
	return (JSON.stringify(value, null, indent) ?? 'null').replace(
		STEERING_IN_JSON,
		(sign) => `\\u${sign.charCodeAt(0).toString(16).padStart(4, '0')}`,
	);
}
