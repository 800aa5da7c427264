// OpenAI's rate limiter as its headers and refusals show it: token buckets, one for each dimension
// of each (key, model).
//
//   capacity = the limit; starts full; refills continuously at limit / window (60 s, or a day)
//   time to full ("reset")   = used / (limit / window)
//   time to wait ("retry")   = (used + requested - limit) / (limit / window)
//
// Every request takes one from the request buckets, whatever becomes of it, for OpenAI counts
// unsuccessful requests; a bucket that holds less than one is emptied, so that knocking again early
// never shortens the wait. Tokens and images are taken all or nothing, and only from a request that
// is admitted. Time comes in as a parameter, in milliseconds.

const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;
// Refilling adds up fractions: without this slack, a client that waited exactly as long as it was
// told would now and then be refused for a billionth of a token.
const SLACK = 1e-6;

// name: what the log calls it; unit: the words of the refusal; type: the error's `type`.
const DIMENSIONS = [
	{ name: 'requests_day', limit: 'rpd', windowMs: DAY_MS, type: 'requests',
		unit: 'requests per day (RPD)' },
	{ name: 'requests', limit: 'rpm', windowMs: MINUTE_MS, type: 'requests',
		unit: 'requests per min (RPM)' },
	{ name: 'tokens', limit: 'tpm', windowMs: MINUTE_MS, type: 'tokens',
		unit: 'tokens per min (TPM)' },
	{ name: 'images', limit: 'ipm', windowMs: MINUTE_MS, type: 'requests',
		unit: 'images per min (IPM)' },
];

export class Bucket {
	constructor(limit, windowMs, nowMs) {
		this.limit = limit;
		this.windowMs = windowMs;
		this.level = limit;
		this.atMs = nowMs;
	}

	refill(nowMs) {
		const elapsedMs = Math.max(0, nowMs - this.atMs);
		this.level =
			Math.min(this.limit, this.level + elapsedMs * this.limit / this.windowMs);
		this.atMs = Math.max(this.atMs, nowMs);
	}

	// A changed limit leaves what was used as used.
	resize(limit) {
		this.level = Math.max(0, limit - (this.limit - this.level));
		this.limit = limit;
	}

	holds(amount) {
		return this.level + SLACK >= amount;
	}

	take(amount) {
		this.level = Math.max(0, this.level - amount);
	}

	waitMs(amount) {
		return Math.max(0, amount - this.level) * this.windowMs / this.limit;
	}

	state() {
		const remaining = Math.floor(this.level + SLACK);
		return {
			limit: this.limit, level: this.level, remaining,
			used: this.limit - remaining,
			resetMs: (this.limit - this.level) * this.windowMs / this.limit,
		};
	}
}

export class Limiter {
	#accounts = new Map();

	// The buckets of one (key, model), refilled up to now and of the size that limits say.
	#account(key, model, limits, nowMs) {
		const id = JSON.stringify([key, model]);
		if (!this.#accounts.has(id))
			this.#accounts.set(id, new Map());
		const buckets = this.#accounts.get(id);
		for (const { name, limit, windowMs } of DIMENSIONS) {
			if (limits[limit] === undefined) {
				buckets.delete(name);
				continue;
			}
			if (!buckets.has(name))
				buckets.set(name, new Bucket(limits[limit], windowMs, nowMs));
			const bucket = buckets.get(name);
			bucket.refill(nowMs);
			if (bucket.limit !== limits[limit])
				bucket.resize(limits[limit]);
		}
		return buckets;
	}

	// Counts a request that fails for a reason of its own (a 400, an exhausted quota).
	countFailure(key, model, limits, nowMs) {
		const buckets = this.#account(key, model, limits, nowMs);
		buckets.get('requests_day')?.take(1);
		buckets.get('requests')?.take(1);
	}

	// Admits (returns null) or refuses (returns why) a request that costs {tokens, images}.
	// kind: the dimension's name, or too_large when no wait would help.
	decide(key, model, limits, cost, nowMs) {
		const buckets = this.#account(key, model, limits, nowMs);
		const asked =
			{ requests_day: 1, requests: 1, tokens: cost.tokens, images: cost.images };
		let refusal = null;
		for (const dimension of DIMENSIONS) {
			const bucket = buckets.get(dimension.name);
			const requested = asked[dimension.name];
			if (!bucket || requested === 0)
				continue;
			const enough = bucket.holds(requested);
			if (dimension.name.startsWith('requests'))
				bucket.take(1);
			if (!enough)
				refusal ??= explain(dimension, bucket, requested);
		}
		if (!refusal) {
			buckets.get('tokens')?.take(cost.tokens);
			buckets.get('images')?.take(cost.images);
		}
		return refusal;
	}

	// {dimension: {limit, level, remaining, used, resetMs}} of one (key, model).
	state(key, model, limits, nowMs) {
		const buckets = this.#account(key, model, limits, nowMs);
		return Object.fromEntries(
			[...buckets].map(([name, bucket]) => [name, bucket.state()]));
	}

	// All buckets full again.
	reset() {
		this.#accounts.clear();
	}
}

function explain({ name, type, unit }, bucket, requested) {
	const tooLarge = requested > bucket.limit;
	return {
		kind: tooLarge ? 'too_large' : name, type, unit, requested, limit: bucket.limit,
		used: bucket.state().used, waitMs: tooLarge ? null : bucket.waitMs(requested),
	};
}
