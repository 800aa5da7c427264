// How each provider speaks of itself: who is asking, what its headers are called, what its errors
// look like. decide.mjs and handler.mjs are the same for all of them.
//
//   apiKey(req)                        the key, or throws its 401
//   check(req)                         further things the provider insists on
//   headers(entry)                     on every response
//   rateHeaders(state, nowMs)          the buckets' state, as headers
//   retryHeaders(refusal)              of a 429
//   rateLimited(model, org, refusal)   a 429, as an ApiError
//   unknownModel(model)                a 404, as an ApiError
//   errorBody(error, entry)            the body of any ApiError

import { anthropic } from './anthropic.mjs';
import { azure } from './azure.mjs';
import { ApiError } from './errors.mjs';
import { organization } from './limits.mjs';
import { rateHeaders, rateLimitError, retryHeaders } from './ratelimit.mjs';

const openai = {
	apiKey(req) {
		const [, apiKey] = /^Bearer +(\S+)$/i.exec(req.headers.authorization ?? '') ?? [];
		if (!apiKey)
			throw new ApiError(401,
				'You didn\'t provide an API key in an Authorization header ' +
				'(Authorization: Bearer YOUR_KEY).');
		return apiKey;
	},
	check() {},
	headers(entry) {
		const headers = { 'openai-version': '2020-10-01', 'x-request-id': entry.id };
		if (entry.key)
			headers['openai-organization'] = organization(entry.key);
		if (entry.model)
			headers['openai-model'] = entry.model;
		return headers;
	},
	rateHeaders,
	retryHeaders,
	rateLimited: rateLimitError,
	unknownModel: (model) => new ApiError(404,
		`The model '${model}' does not exist or you do not have access to it.`,
		{ code: 'model_not_found' }),
	errorBody: (error) => error.body(),
};

export function dialectOf(path) {
	if (path.startsWith('/openai/'))
		return azure;
	return path === '/v1/messages' ? anthropic : openai;
}
