// Decides a request whose body is in: refuse it as wrong, refuse it by a limit, or admit and charge
// it. Completes the request's line of the log; sends nothing.

import { createHash } from 'node:crypto';
import { findEndpoint } from './endpoints.mjs';
import { ApiError } from './errors.mjs';
import { keyId } from './limits.mjs';
import { compose } from './output.mjs';
import { quotaError, rateHeaders, rateLimitError, retryHeaders } from './ratelimit.mjs';
import { checkModel, parseJson } from './validate.mjs';

// The organization a key belongs to: one for each key, and made from it.
export function organization(key) {
	const digest = createHash('sha256').update(`organization ${key}`).digest('hex');
	return `org-${digest.slice(0, 24)}`;
}

// entry is the line of the log (handler.mjs), received the body (receive.mjs). Returns {endpoint,
// plan, headers, error}: plan is what to answer (null for what is not metered), error why not.
export function decide(api, req, entry, received) {
	const verdict = { endpoint: null, plan: null, headers: {}, error: null };
	try {
		if (received.error)
			throw received.error;
		verdict.endpoint = findEndpoint(req.method, entry.path);
		entry.key = authenticate(req);
		if (verdict.endpoint.charge)
			verdict.plan = admit(api, req, entry, received, verdict);
		entry.status = 200;
	} catch (error) {
		if (!(error instanceof ApiError))
			throw error;
		verdict.error = error;
		entry.status = error.status;
		entry.error = error.code ?? error.message;
	}
	return verdict;
}

function authenticate(req) {
	const [, apiKey] = /^Bearer +(\S+)$/i.exec(req.headers.authorization ?? '') ?? [];
	if (!apiKey)
		throw new ApiError(401,
			'You didn\'t provide an API key in an Authorization header ' +
			'(Authorization: Bearer YOUR_KEY).');
	return keyId(apiKey);
}

function checkEncoding(req) {
	const type = (req.headers['content-type'] ?? '').split(';')[0].trim().toLowerCase();
	if (type !== 'application/json')
		throw new ApiError(400, `Unsupported content type: '${type}'.`,
			{ code: 'unsupported_content_type' });
	if ((req.headers['content-encoding'] ?? 'identity') !== 'identity')
		throw new ApiError(400, 'Content-Encoding is not supported for requests.');
}

// Checks, charges and admits a metered request, or throws; fills verdict.headers either way.
function admit(api, req, entry, received, verdict) {
	checkEncoding(req);
	const body = parseJson(received.bytes);
	checkModel(body);
	entry.model = body.model;
	entry.stream = body.stream === true;
	const limits = api.limits.lookup(entry.key, body.model);
	if (!limits)
		throw new ApiError(404,
			`The model '${body.model}' does not exist or you do not have access ` +
			'to it.', { code: 'model_not_found' });
	const nowMs = api.now();
	const account = [entry.key, body.model, limits];
	try {
		const cost = priced(api, verdict.endpoint, account, body, nowMs);
		entry.requested_tokens = cost.tokens;
		const refusal = api.limiter.decide(...account, cost, nowMs);
		if (refusal) {
			entry.limit_kind = refusal.kind;
			Object.assign(verdict.headers, retryHeaders(refusal));
			throw rateLimitError(body.model, organization(entry.key), refusal);
		}
		return planOf(api, entry, verdict.endpoint, body, cost, nowMs);
	} catch (error) {
		if (error.code === 'insufficient_quota')
			entry.limit_kind = error.code;
		throw error;
	} finally {
		Object.assign(verdict.headers, rateHeaders(api.limiter.state(...account, nowMs)));
	}
}

// What the request costs. One that is wrong, or of a key without quota, still counts as a request.
function priced(api, endpoint, account, body, nowMs) {
	try {
		endpoint.check(body);
		if (api.limits.quotaExhausted(account[0]))
			throw quotaError();
		return endpoint.charge(body);
	} catch (error) {
		api.limiter.countFailure(...account, nowMs);
		throw error;
	}
}

function planOf(api, entry, endpoint, body, cost, nowMs) {
	const choices = body.n ?? 1;
	const output = compose(api.seed, entry.body_sha256, {
		cap: endpoint.cap(body), choices, drafts: Math.max(choices, body.best_of ?? 1),
	});
	entry.charged = cost.tokens;
	entry.input_tokens = cost.inputTokens;
	entry.output_tokens = output.outputTokens;
	entry.images = cost.images;
	return {
		id: entry.id.slice('req_'.length), createdS: Math.floor(nowMs / 1000),
		model: body.model,
		body, inputTokens: cost.inputTokens, output,
	};
}
