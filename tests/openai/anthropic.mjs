// Anthropic's dialect: x-api-key and anthropic-version, anthropic-ratelimit-* headers whose resets
// are points in time (RFC 3339, UTC, whole seconds), and errors that are named by their type.
// (Claude API docs: "Rate limits", "Errors".)
//
// Its limits distinguish input from output tokens; this imitation has one bucket of input tokens,
// shown under both names.

import { ApiError } from './errors.mjs';
import { organization } from './limits.mjs';

const VERSIONS = ['2023-01-01', '2023-06-01'];
const ERROR_TYPES = {
	400: 'invalid_request_error', 401: 'authentication_error', 403: 'permission_error',
	404: 'not_found_error', 413: 'request_too_large', 429: 'rate_limit_error', 500: 'api_error',
	529: 'overloaded_error',
};

// Rounded up: whoever waits that long never comes too early.
function timestamp(ms) {
	return new Date(Math.ceil(ms / 1000) * 1000).toISOString().replace('.000Z', 'Z');
}

export const anthropic = {
	apiKey(req) {
		const apiKey = req.headers['x-api-key'];
		if (!apiKey)
			throw new ApiError(401, 'x-api-key header is required');
		return apiKey;
	},
	check(req) {
		const version = req.headers['anthropic-version'];
		if (version === undefined)
			throw new ApiError(400, 'anthropic-version: header is required');
		if (!VERSIONS.includes(version))
			throw new ApiError(400,
				`anthropic-version: "${version}" is not a valid version`);
	},
	headers: (entry) => ({
		'request-id': entry.id,
		...(entry.key ? { 'anthropic-organization-id': organization(entry.key) } : {}),
	}),
	rateHeaders(state, nowMs) {
		const headers = {};
		const shown = {
			'requests': state.requests, 'tokens': state.tokens,
			'input-tokens': state.tokens,
		};
		for (const [name, bucket] of Object.entries(shown)) {
			if (!bucket)
				continue;
			const prefix = `anthropic-ratelimit-${name}`;
			headers[`${prefix}-limit`] = String(bucket.limit);
			headers[`${prefix}-remaining`] = String(bucket.remaining);
			headers[`${prefix}-reset`] = timestamp(nowMs + bucket.resetMs);
		}
		return headers;
	},
	retryHeaders: ({ waitMs }) => waitMs === null ? {} :
		{ 'retry-after': String(Math.ceil(Number(waitMs.toFixed(8)) / 1000)) },
	rateLimited(_model, organizationId, { unit, limit }) {
		const what = unit.startsWith('tokens') ? 'input tokens per minute' : unit;
		return new ApiError(429, 'This request would exceed the rate limit for your ' +
			`organization (${organizationId}) of ${limit} ${what}.`,
		{ code: 'rate_limit_error' });
	},
	unknownModel: (model) => new ApiError(404, `model: ${model}`, { code: 'not_found_error' }),
	errorBody: (error, entry) => ({
		type: 'error',
		error: {
			type: ERROR_TYPES[error.status] ?? 'invalid_request_error',
			message: error.message,
		},
		request_id: entry.id,
	}),
};
