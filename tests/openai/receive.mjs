// Receives a request's body and says whether it came whole. A governor that lets half a request
// out, or cuts one short, is found out here.

import { createHash } from 'node:crypto';
import http2 from 'node:http2';
import { ApiError } from './errors.mjs';

const BODY_TIMEOUT_MS = 600_000;
const MAX_BODY_BYTES = 64 * 1024 * 1024;
// For the log only, since nobody is there to receive it: nginx's status for a client that left.
// One that closed its side in good order, but inside a body, sent a wrong Content-Length: 400.
const CLIENT_LEFT = 499;
const BAD_REQUEST = 400;

// tls.mjs sets this on a connection whose parser met the end of input inside a body.
export const ENDED_EARLY = Symbol('ended early');

// Resolves to {bytes, sha256, length, error, gone}; error is the ApiError to answer with if the
// body is not whole, else null; gone if there is nobody to answer. Never rejects.
export function receive(req, timeoutMs = BODY_TIMEOUT_MS) {
	return new Promise((resolve) => {
		const hash = createHash('sha256');
		const chunks = [];
		let length = 0;
		const declared = req.headers['content-length'];
		let finished = false;
		const finish = (error, gone = false) => {
			if (finished)
				return;
			finished = true;
			clearTimeout(timer);
			const bytes = Buffer.concat(chunks);
			resolve({ bytes, length, sha256: hash.digest('hex'), error, gone });
		};
		const gone = () => {
			const status = endedBadly(req) ? BAD_REQUEST : CLIENT_LEFT;
			const all = declared ?? 'unknown';
			finish(new ApiError(status,
				`client left after ${length} of ${all} bytes`), true);
		};
		const timer = setTimeout(() => finish(new ApiError(408,
			`body not complete after ${timeoutMs / 1000} s`)), timeoutMs);

		req.on('data', (chunk) => {
			if (finished)
				return;
			length += chunk.length;
			hash.update(chunk);
			if (length <= MAX_BODY_BYTES)
				chunks.push(chunk);
		});
		req.on('aborted', gone);
		req.on('error', gone);
		req.on('close', gone);
		req.on('end', () => {
			// A reset HTTP/2 stream also ends: with an error code.
			if (req.stream?.rstCode)
				gone();
			else
				finish(completeness(declared, length));
		});
	});
}

// Whether the client ended its request in good order, but too early. In HTTP/2 nghttp2 sees that
// itself and resets the stream (RFC 9113 section 8.1.1).
function endedBadly(req) {
	if (req.stream)
		return req.stream.rstCode === http2.constants.NGHTTP2_PROTOCOL_ERROR;
	return req.socket?.[ENDED_EARLY] === true;
}

function completeness(declared, length) {
	if (length > MAX_BODY_BYTES)
		return new ApiError(413, `Request body larger than ${MAX_BODY_BYTES} bytes.`);
	if (declared !== undefined && Number(declared) !== length)
		return new ApiError(400,
			`Content-Length says ${declared}, the body has ${length} bytes.`);
	return null;
}
