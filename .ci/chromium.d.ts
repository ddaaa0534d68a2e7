/** Its file, or null. */
export function findChromium(): string | null;
