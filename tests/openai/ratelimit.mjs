// How the limiter speaks: the x-ratelimit-* headers on every metered response, and the body and
// retry headers of a 429. The limiter's arithmetic is in limiter.mjs.

import { ApiError } from './errors.mjs';

const LEARN_MORE = 'Visit https://platform.openai.com/account/rate-limits to learn more.';

// A duration as Go prints it (time.Duration.String), in whole milliseconds, rounded up:
// 0s, 12ms, 8.64s, 6m0s, 23h18m29.144s.
export function goDuration(ms) {
	// Eight decimals are far below any wait, and above the noise of floating point.
	const whole = Math.ceil(Number(ms.toFixed(8)));
	if (whole === 0)
		return '0s';
	if (whole < 1000)
		return `${whole}ms`;
	const seconds = `${whole % 60_000 / 1000}s`;
	const minutes = Math.floor(whole / 60_000);
	if (minutes === 0)
		return seconds;
	return minutes < 60 ? `${minutes}m${seconds}` :
		`${Math.floor(minutes / 60)}h${minutes % 60}m${seconds}`;
}

// Where a model has a daily limit on requests, OpenAI's request headers describe the day.
export function rateHeaders(state) {
	const headers = {};
	const shown = { requests: state.requests_day ?? state.requests, tokens: state.tokens };
	for (const [name, bucket] of Object.entries(shown)) {
		if (!bucket)
			continue;
		headers[`x-ratelimit-limit-${name}`] = String(bucket.limit);
		headers[`x-ratelimit-remaining-${name}`] = String(bucket.remaining);
		headers[`x-ratelimit-reset-${name}`] = goDuration(bucket.resetMs);
	}
	return headers;
}

// No wait helps a request larger than its limit, so that one has no retry headers.
export function retryHeaders({ waitMs }) {
	if (waitMs === null)
		return {};
	const ms = Math.ceil(Number(waitMs.toFixed(8)));
	return { 'retry-after': String(Math.ceil(ms / 1000)), 'retry-after-ms': String(ms) };
}

export function rateLimitError(model, organization, refusal) {
	const { kind, type, unit, limit, used, requested, waitMs } = refusal;
	const where = `${model} in organization ${organization} on ${unit}`;
	const message = kind === 'too_large' ?
		`Request too large for ${where}: Limit ${limit}, Requested ${requested}. ` +
			'The input or output tokens must be reduced in order to run successfully.' :
		`Rate limit reached for ${where}: Limit ${limit}, Used ${used}, ` +
			`Requested ${requested}. Please try again in ${goDuration(waitMs)}.`;
	return new ApiError(429, `${message} ${LEARN_MORE}`, { type, code: 'rate_limit_exceeded' });
}

export function quotaError() {
	return new ApiError(429, 'You exceeded your current quota, please check your plan and ' +
		'billing details.', { type: 'insufficient_quota', code: 'insufficient_quota' });
}
