/**
 * Text in a picture, measured without a font: by the widest of the fonts that a viewer may take for a plain one. So no word is
 * cut off anywhere, and the picture is the same wherever it is drawn.
 */

/** What every system has, one way or another. */
export const fonts = 'system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, "DejaVu Sans", sans-serif';

/** Size in px, and whether it is bold. */
export interface Type {
	size: number;
	bold: boolean;
}

/** Hundredths of the size, from the space to the tilde: the maximum over DejaVu Sans, which is as wide as Verdana, and Arial. */
const regular =
	'32 41 46 84 64 96 78 28 40 40 50 84 32 37 32 34 64 64 64 64 64 64 64 64 64 64 34 34 84 84 84 56 102 69 69 73 78 67 62 78 76 30 50 67 56 87 75 79 67 79 73 67 62 74 69 99 69 67 69 40 34 40 84 56 50 62 64 55 64 62 36 64 64 28 28 58 28 98 64 62 64 64 42 53 40 64 60 82 60 60 53 64 34 64 84';
const bold =
	'35 46 53 84 70 101 88 31 46 46 53 84 38 42 38 37 70 70 70 70 70 70 70 70 70 70 40 40 84 84 84 62 100 78 77 74 84 69 69 83 84 38 56 78 64 100 84 86 74 86 78 73 69 82 78 111 78 73 73 46 37 46 84 56 50 68 72 60 72 68 44 72 72 35 35 67 35 105 72 69 72 72 50 60 48 72 66 93 65 66 59 72 37 72 84';
const widths = { regular: regular.split(' ').map(Number), bold: bold.split(' ').map(Number) };
/** Of any other character: none that is written alone is wider, but for a few that are words. */
const OTHER = 140;

/** In px. An upper bound, also for letters of other scripts. */
export function widthOf(text: string, { size, bold }: Type): number {
	let hundredths = 0;
	for (const character of text) {
		// An accent takes no room beside its letter.
		const [base = ' '] = character.normalize('NFD');
		hundredths += widths[bold ? 'bold' : 'regular'][base.charCodeAt(0) - 32] ?? (/[→×·…↻↩]/.test(character) ? 100 : OTHER);
	}
	return Math.ceil((hundredths * size) / 100);
}

/**
 * As rows of at most that width: broken at spaces, and where there are none after a character that ends a part of a name, or anywhere. Never
 * empty. What is longer than `MAX_CHARACTERS` is cut.
 */
export function wrap(text: string, type: Type, maxWidth: number): string[] {
	const rows: string[] = [];
	let row = '';
	const fits = (more: string) => widthOf(more.trimEnd(), type) <= maxWidth;
	const clean = visible(text);
	const shown = clean.length > MAX_CHARACTERS ? `${clean.slice(0, MAX_CHARACTERS).replace(/[\ud800-\udbff]$/, '')}…` : clean;
	for (const piece of shown.split(/(?<= )/)) {
		if (row !== '' && !fits(row + piece)) {
			rows.push(row.trimEnd());
			row = '';
		}
		row += piece;
		while (!fits(row)) {
			const end = breakOf(row, fits);
			rows.push(row.slice(0, end));
			row = row.slice(end);
		}
	}
	if (row !== '' || rows.length === 0) rows.push(row.trimEnd());
	return rows;
}

function breakOf(row: string, fits: (text: string) => boolean): number {
	let end = 0;
	let goodEnd = 0;
	for (const character of row) {
		if (end > 0 && !fits(row.slice(0, end + character.length))) break;
		end += character.length;
		if (/[./_:-]/.test(character)) goodEnd = end;
	}
	return goodEnd > end / 2 ? goodEnd : end;
}

const MAX_CHARACTERS = 400;

/** Without what nobody sees, what XML has no way to say, what would turn the text around, and one word that is as wide as a line. */
export function visible(text: string): string {
	return text.replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\u2028\u2029\ufdfd]/gu, '\ufffd').normalize('NFC');
}

/** As content or as a quoted attribute. */
export function escapeXml(text: string): string {
	return visible(text).replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
