// The table of endpoints: for each path its method, how a request is checked and charged, what
// limits its output, and how it is answered, as JSON or as a stream of events.

import { ApiError } from './errors.mjs';
import * as charge from './charge.mjs';
import * as check from './validate.mjs';
import * as replies from './replies.mjs';
import * as streaming from './streaming.mjs';

// cap(body): the most output tokens the client allows for each choice, null if it does not say.
const ENDPOINTS = {
	'/v1/chat/completions': {
		method: 'POST', check: check.checkChat, charge: charge.chargeChat,
		cap: (body) => body.max_completion_tokens ?? body.max_tokens ?? null,
		reply: replies.chatReply, events: streaming.chatEvents,
	},
	'/v1/completions': {
		method: 'POST', check: check.checkCompletions, charge: charge.chargeCompletions,
		// The documented default; it is not charged at admission.
		cap: (body) => body.max_tokens ?? 16,
		reply: replies.completionReply, events: streaming.completionEvents,
	},
	'/v1/responses': {
		method: 'POST', check: check.checkResponses, charge: charge.chargeResponses,
		cap: (body) => body.max_output_tokens ?? null,
		reply: replies.responsesReply, events: streaming.responsesEvents,
	},
	'/v1/embeddings': {
		method: 'POST', check: check.checkEmbeddings, charge: charge.chargeEmbeddings,
		cap: () => 0, reply: replies.embeddingsReply,
	},
	'/v1/images/generations': {
		method: 'POST', check: check.checkImages, charge: charge.chargeImages,
		cap: () => null, reply: replies.imagesReply,
	},
	// Not metered: it has no model.
	'/v1/models': { method: 'GET' },
};

export function findEndpoint(method, path) {
	if (!Object.hasOwn(ENDPOINTS, path))
		throw new ApiError(404, `Invalid URL (${method} ${path})`);
	const endpoint = ENDPOINTS[path];
	if (method !== endpoint.method)
		throw new ApiError(405,
			`Not allowed to ${method} on ${path}; use ${endpoint.method}.`,
			{ code: 'method_not_supported' });
	return endpoint;
}
