// What a test asks the imitation itself, beside OpenAI's API. No key is needed and nothing of it is
// logged.
//
//   GET  /__books     totals by key and model, and the current level of every bucket
//   POST /__reset     buckets full, totals zero, files and batches gone
//   POST /__limits    a new limits file as the body; what was used of a bucket stays used

import { Limits } from './limits.mjs';
import { parseJson } from './validate.mjs';

function readBooks(api) {
	const nowMs = api.now();
	return api.books.totals(nowMs, (key, model) => {
		const limits = model === '-' ? null : api.limits.lookup(key, model);
		return limits ? api.limiter.state(key, model, limits, nowMs) : null;
	});
}

function reset(api) {
	api.limiter.reset();
	api.books.reset(api.now());
	api.store.reset();
	return { reset: true };
}

function replaceLimits(api, body) {
	api.limits = new Limits(parseJson(body.bytes));
	return { replaced: true };
}

const ACTIONS = {
	'GET /__books': readBooks, 'POST /__reset': reset, 'POST /__limits': replaceLimits,
};

export function control(api, method, path, body) {
	const action = ACTIONS[`${method} ${path}`];
	if (!action)
		return { status: 404, value: { error: { message: `no ${method} ${path}` } } };
	try {
		if (body.error)
			throw body.error;
		return { status: 200, value: action(api, body) };
	} catch (error) {
		return { status: 400, value: { error: { message: error.message } } };
	}
}
