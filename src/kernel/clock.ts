/** Where the kernel gets its time: the real clock, and the simulated one that steps from due timer to due timer. */

/** One alarm at a time: the kernel keeps all timers itself and asks to be woken for the next. Times are monotonic ms. */
export interface Clock {
	now(): number;
	/** Replaces the alarm that was set before. `lateMs` tells `ring` by how much the alarm was missed. */
	setAlarm(at: number, ring: (lateMs: number) => void): void;
	clearAlarm(): void;
	/** Lets the world (sockets, other timers) have its turn, then calls back. */
	yield(callback: () => void): void;
}

/** An alarm that comes later than this was not merely delayed: the process was paused or blocked. */
export const PAUSED_MS = 500;

/** When this process began, in ms since boot: so times are the same ones in all processes of a machine, and in a next master. */
const STARTED_MS = Number(process.hrtime.bigint() / 1_000n) / 1_000 - performance.now();

export const monotonicMs = () => performance.now() + STARTED_MS;

/** Node's clock, in ms since boot. */
export class RealClock implements Clock {
	#timeout: NodeJS.Timeout | null = null;

	now(): number {
		return monotonicMs();
	}

	setAlarm(at: number, ring: (lateMs: number) => void): void {
		this.clearAlarm();
		const delay = Math.min(Math.max(0, at - this.now()), 2 ** 31 - 1);
		this.#timeout = setTimeout(() => {
			this.#timeout = null;
			const lateMs = this.now() - at;
			// After a pause the timer comes before what waits in the sockets has been read: heartbeats of healthy
			// workers among it. So let the sockets have their turn first.
			if (lateMs > PAUSED_MS) this.yield(() => ring(lateMs));
			else ring(Math.max(0, lateMs));
		}, Math.ceil(delay));
	}

	clearAlarm(): void {
		if (this.#timeout !== null) clearTimeout(this.#timeout);
		this.#timeout = null;
	}

	yield(callback: () => void): void {
		// Two rounds: the first may run before the poll phase that reads the sockets.
		setImmediate(() => setImmediate(callback));
	}
}

/** Time that moves only when told to, and never past a timer that is due: a chain of three 10 ms timers fires three times in 30 ms. */
export class SimulatedClock implements Clock {
	#now = 0;
	#alarm: { at: number; ring: (lateMs: number) => void } | null = null;
	#waiting: Array<() => void> = [];

	now(): number {
		return this.#now;
	}

	setAlarm(at: number, ring: (lateMs: number) => void): void {
		this.#alarm = { at, ring };
	}

	clearAlarm(): void {
		this.#alarm = null;
	}

	yield(callback: () => void): void {
		this.#waiting.push(callback);
	}

	/** When the next timer is due, or null. */
	get due(): number | null {
		if (this.#waiting.length > 0) return this.#now;
		return this.#alarm === null ? null : Math.max(this.#alarm.at, this.#now);
	}

	/** Moves time on by `ms`, from due timer to due timer. */
	advance(ms: number): void {
		const end = this.#now + ms;
		while (this.#step(end)) {}
		this.#now = end;
	}

	/**
	 * As if the process had been stopped for `ms`: time passes, nothing runs. Then, as with the real clock, `hear` what has come in
	 * meanwhile, and only then the alarm rings that was missed.
	 */
	pause(ms: number, hear: () => void = () => {}): void {
		this.#now += ms;
		const alarm = this.#alarm;
		const missed = alarm !== null && alarm.at <= this.#now;
		if (missed) this.#alarm = null;
		hear();
		if (missed) alarm.ring(this.#now - alarm.at);
		this.advance(0);
	}

	#step(end: number): boolean {
		const callback = this.#waiting.shift();
		if (callback !== undefined) {
			callback();
			return true;
		}
		const alarm = this.#alarm;
		if (alarm === null || alarm.at > end) return false;
		this.#alarm = null;
		this.#now = Math.max(this.#now, alarm.at);
		alarm.ring(0);
		return true;
	}
}
