// Decides a request whose body is in: refuse it as wrong, refuse it by a limit, or admit and charge
// it. Completes the request's line of the log; sends nothing.

import { dialectOf } from './dialects.mjs';
import { CODINGS } from './encode.mjs';
import { findEndpoint } from './endpoints.mjs';
import { ApiError, badParameter } from './errors.mjs';
import { readForm } from './forms.mjs';
import { keyId, organization } from './limits.mjs';
import { compose } from './output.mjs';
import { quotaError } from './ratelimit.mjs';
import { checkModel, parseJson } from './validate.mjs';

// entry is the line of the log (handler.mjs), received the body (receive.mjs). Returns {endpoint,
// dialect, plan, reply, headers, error}: plan is what to answer to what is metered, reply to what
// is not, error why neither.
export function decide(api, req, entry, received) {
	const verdict = {
		endpoint: null, dialect: dialectOf(entry.path), plan: null, reply: null,
		headers: {}, error: null,
	};
	try {
		if (received.error)
			throw received.error;
		checkTestHeaders(req, entry);
		const { endpoint, parameters } = findEndpoint(req.method, entry.path);
		verdict.endpoint = endpoint;
		entry.key = keyId(verdict.dialect.apiKey(req));
		verdict.dialect.check(req);
		if (endpoint.charge)
			verdict.plan = admit(api, req, entry, received, verdict, parameters);
		else
			verdict.reply = endpoint.serve(api, {
				key: entry.key, parameters, nowMs: api.now(),
				id: requestNumber(entry),
				body: endpoint.read ? readBody(req, endpoint, received) : null,
			});
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

const requestNumber = (entry) => entry.id.slice('req_'.length);

// A test that misspells what it wants must not pass.
function checkTestHeaders(req, entry) {
	const coding = req.headers['x-test-encode'];
	if (coding !== undefined && !CODINGS.includes(coding))
		throw badParameter('x-test-encode', `expected one of ${CODINGS.join(', ')}`);
	const after = req.headers['x-test-cut'];
	if (after === undefined)
		return;
	if (!/^\d{1,9}$/.test(after))
		throw badParameter('x-test-cut', 'expected a number of deltas');
	entry.cut_after = Number(after);
}

const MEDIA_TYPES = { json: 'application/json', form: 'multipart/form-data' };

function readBody(req, endpoint, received) {
	const type = (req.headers['content-type'] ?? '').split(';')[0].trim().toLowerCase();
	const kind = endpoint.read ?? 'json';
	if (type !== MEDIA_TYPES[kind])
		throw new ApiError(400, `Unsupported content type: '${type}'.`,
			{ code: 'unsupported_content_type' });
	if ((req.headers['content-encoding'] ?? 'identity') !== 'identity')
		throw new ApiError(400, 'Content-Encoding is not supported for requests.');
	return kind === 'form' ?
		readForm(endpoint.form, req.headers['content-type'], received.bytes) :
		parseJson(received.bytes);
}

// Who asks for what: the model is named by the body, or on Azure by the path.
function modelOf(body, endpoint, parameters) {
	if (parameters.deployment !== undefined)
		return parameters.deployment;
	if (body.model == null && endpoint.defaultModel)
		return endpoint.defaultModel;
	checkModel(body);
	return body.model;
}

// Checks, charges and admits a metered request, or throws; fills verdict.headers either way.
function admit(api, req, entry, received, verdict, parameters) {
	const { endpoint, dialect } = verdict;
	const body = readBody(req, endpoint, received);
	const model = modelOf(body, endpoint, parameters);
	body.model = model;
	entry.model = model;
	entry.stream = body.stream === true && endpoint.events !== undefined &&
		(endpoint.streams?.(body) ?? true);
	const limits = api.limits.lookup(entry.key, model);
	if (!limits)
		throw dialect.unknownModel(model);
	const nowMs = api.now();
	const account = [entry.key, model, limits];
	try {
		const cost = priced(api, endpoint, account, body, entry, nowMs);
		entry.requested_tokens = cost.tokens;
		const refusal = api.limiter.decide(...account, cost, nowMs);
		if (refusal) {
			entry.limit_kind = refusal.kind;
			Object.assign(verdict.headers, dialect.retryHeaders(refusal));
			throw dialect.rateLimited(model, organization(entry.key), refusal);
		}
		return planOf(api, entry, endpoint, body, cost, nowMs);
	} catch (error) {
		if (error.code === 'insufficient_quota')
			entry.limit_kind = error.code;
		throw error;
	} finally {
		Object.assign(verdict.headers,
			dialect.rateHeaders(api.limiter.state(...account, nowMs), nowMs));
	}
}

// What the request costs. One that is wrong, or of a key without quota, still counts as a request.
function priced(api, endpoint, account, body, entry, nowMs) {
	try {
		endpoint.check(body);
		if (entry.cut_after !== null && !entry.stream)
			throw badParameter('x-test-cut', 'only a stream can be cut');
		if (api.limits.quotaExhausted(account[0]))
			throw quotaError();
		return endpoint.charge(body);
	} catch (error) {
		api.limiter.countFailure(...account, nowMs);
		throw error;
	}
}

// Books what an admitted request is charged and will use, and composes its answer.
export function planOf(api, entry, endpoint, body, cost, nowMs) {
	const choices = endpoint.choices ? endpoint.choices(body) : 1;
	const output = compose(api.seed, entry.body_sha256, {
		cap: endpoint.cap(body), choices, drafts: Math.max(choices, body.best_of ?? 1),
	});
	if (endpoint.untold?.(body))
		output.outputTokens = 0;
	entry.charged = cost.tokens;
	entry.input_tokens = cost.inputTokens;
	entry.output_tokens = output.outputTokens;
	entry.images = cost.images;
	return {
		id: requestNumber(entry), createdS: Math.floor(nowMs / 1000), model: entry.model,
		body, inputTokens: cost.inputTokens, output,
	};
}
