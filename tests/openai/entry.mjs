// The line of the log that each request gets, with what is known when its headers have arrived.
//
//   t, t_body          Unix time, seconds: its headers were here; its body was
//   id, test_id        ours, which the answer's x-request-id tells too; the client's x-test-id
//   method, path, model, key, user_agent, retry_count, stream
//   remote_port, connection, http, alpn, streams_open     tls.mjs: connectionOf
//   status, error, limit_kind       the answer (499: the client left before its request was whole)
//   charged, requested_tokens, input_tokens, output_tokens, images      books.mjs, decide.mjs
//   body_sha256, body_bytes
//   cut_after          deltas after which the answer is broken off (x-test-cut), or null
//
// A turn on a WebSocket has a line of its own: method WS, and the client's event_id as test_id.

import { randomBytes } from 'node:crypto';
import { connectionOf } from './tls.mjs';

export function openEntry(req, nowMs) {
	return {
		t: nowMs / 1000, t_body: null, id: `req_${randomBytes(16).toString('hex')}`,
		method: req.method, path: req.url.split('?')[0], model: null, key: null,
		...connectionOf(req),
		status: null, charged: 0, requested_tokens: 0, input_tokens: 0, output_tokens: 0,
		images: 0,
		limit_kind: null, error: null, body_sha256: null, body_bytes: 0,
		user_agent: req.headers['user-agent'] ?? null,
		retry_count: Number(req.headers['x-stainless-retry-count']) || 0,
		stream: false, cut_after: null, test_id: req.headers['x-test-id'] ?? null,
	};
}
