// The life of a request: receive it, decide it, write it into the books, answer it. In that order,
// so that whoever has seen an answer can find it in the log.
//
// api (made in server.mjs): {limits, limiter, books, now, seed, latencyMs, msPerToken, recordSplit}

import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { control } from './control.mjs';
import { decide, organization } from './decide.mjs';
import { receive } from './receive.mjs';
import { modelsReply } from './replies.mjs';
import { sendJson, write } from './send.mjs';
import { pace } from './streaming.mjs';
import { connectionOf } from './tls.mjs';

export function createHandler(api) {
	return (req, res) => {
		res.on('error', () => {});
		serve(api, req, res).catch((error) => {
			console.error('imitation at fault:', error);
			process.exitCode = 1;
			res.destroy?.();
			req.stream?.close();
		});
	};
}

async function serve(api, req, res) {
	const entry = openEntry(req, api.now());
	const leave = new AbortController();
	res.on('close', () => leave.abort());
	const options = { split: api.recordSplit, signal: leave.signal };

	api.books.receiving++;
	const body = await receive(req);
	api.books.receiving--;
	if (entry.path.startsWith('/__')) {
		const { status, value } = control(api, req.method, entry.path, body);
		return sendJson(req, res, status, {}, value, options).catch(() => {});
	}
	entry.t_body = api.now() / 1000;
	entry.body_sha256 = body.sha256;
	entry.body_bytes = body.length;

	const verdict = decide(api, req, entry, body);
	api.books.record(entry);
	if (body.gone)
		return;
	// What is left of a body that never came would be read as the next request.
	if (body.error && entry.http === 1)
		res.shouldKeepAlive = false;
	api.answering(res);
	try {
		await answer(api, req, res, entry, verdict, options);
	} catch (error) {
		if (!leave.signal.aborted)
			throw error;
		api.books.abandon(entry);
	}
}

// The line of the log, with what is known when the headers have arrived.
function openEntry(req, nowMs) {
	return {
		t: nowMs / 1000, t_body: null, id: `req_${randomBytes(16).toString('hex')}`,
		method: req.method, path: req.url.split('?')[0], model: null, key: null,
		...connectionOf(req),
		status: null, charged: 0, requested_tokens: 0, input_tokens: 0, output_tokens: 0,
		images: 0,
		limit_kind: null, error: null, body_sha256: null, body_bytes: 0,
		user_agent: req.headers['user-agent'] ?? null,
		retry_count: Number(req.headers['x-stainless-retry-count']) || 0,
		stream: false, test_id: req.headers['x-test-id'] ?? null,
	};
}

function commonHeaders(api, entry) {
	const headers = {
		'openai-processing-ms': String(Math.round(api.now() - entry.t_body * 1000)),
		'openai-version': '2020-10-01', 'x-request-id': entry.id,
	};
	if (entry.key)
		headers['openai-organization'] = organization(entry.key);
	if (entry.model)
		headers['openai-model'] = entry.model;
	return headers;
}

// Errors are answered at once; a stream begins after the base latency; JSON comes when all its
// tokens are generated (the choices of one request are generated side by side).
async function answer(api, req, res, entry, verdict, options) {
	const { endpoint, plan, error } = verdict;
	const json = (status, value) => sendJson(req, res, status,
		{ ...commonHeaders(api, entry), ...verdict.headers }, value, options);
	const wait = (ms) => ms > 0 && sleep(ms, undefined, { signal: options.signal });
	if (error)
		return json(error.status, error.body());
	if (!plan)
		return json(200, modelsReply(api.limits.modelNames(entry.key)));
	if (!entry.stream) {
		await wait(api.latencyMs + plan.output.tokensEach * api.msPerToken);
		return json(200, endpoint.reply(plan));
	}
	await wait(api.latencyMs);
	res.writeHead(200, { ...commonHeaders(api, entry), ...verdict.headers,
		'content-type': 'text/event-stream; charset=utf-8', 'cache-control': 'no-cache' });
	await pace(endpoint.events(plan), api.msPerToken,
		{ now: api.now, sleep: wait, send: (text) => write(res, text, options) });
	res.end();
}
