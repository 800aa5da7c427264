// Asks HTTP/2 clients whether they are there, as load balancers do (PING, RFC 9113 section 6.7),
// and keeps the longest time until an answer, in milliseconds. One that is not answered yet counts
// with the time it has waited; the next is sent only after its answer, and one that the end of its
// connection left unanswered counts with the time until then.

import { nowMs } from './clock.mjs';

export class Pings {
	#answered = 0;
	#maxMs = null;
	// When each unanswered PING was sent.
	#waiting = new Map();

	#waited(ms) {
		this.#maxMs = Math.max(this.#maxMs ?? 0, ms);
	}

	#end(session) {
		if (!this.#waiting.has(session))
			return;
		this.#waited(nowMs() - this.#waiting.get(session));
		this.#waiting.delete(session);
	}

	every(session, intervalMs) {
		const timer = setInterval(() => {
			if (this.#waiting.has(session) || session.destroyed)
				return;
			this.#waiting.set(session, nowMs());
			session.ping((error) => {
				this.#answered += error ? 0 : 1;
				this.#end(session);
			});
		}, intervalMs);
		session.on('close', () => {
			clearInterval(timer);
			this.#end(session);
		});
	}

	totals() {
		for (const sinceMs of this.#waiting.values())
			this.#waited(nowMs() - sinceMs);
		return {
			h2_pings: this.#answered, h2_pings_waiting: this.#waiting.size,
			h2_ping_ms_max: this.#maxMs,
		};
	}

	// Those that wait still do, from now on.
	reset() {
		this.#answered = 0;
		this.#maxMs = null;
		for (const session of this.#waiting.keys())
			this.#waiting.set(session, nowMs());
	}
}
