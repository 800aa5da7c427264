// The table of endpoints: for each method and path how a request is read, checked and charged, what
// limits its output, and how it is answered, as a whole or as a stream of events.

import { ApiError } from './errors.mjs';
import * as audio from './audio.mjs';
import * as charge from './charge.mjs';
import * as check from './validate.mjs';
import * as files from './files.mjs';
import * as images from './images.mjs';
import * as messages from './messages.mjs';
import * as replies from './replies.mjs';
import * as streaming from './streaming.mjs';

// Of a metered endpoint:
//   read       'json' (if absent) or 'form', whose fields `form` describes (forms.mjs)
//   check      throws if the body is wrong; charge gives its cost (charge.mjs)
//   cap        the most output tokens the client allows for each choice, null if it does not say
//   choices    how many answers, 1 if absent
//   reply, events   the answer from a plan: a whole, a stream
//   type       the media type of the whole, JSON if absent
//   streams    whether `stream` means anything for this body; yes if absent
//   untold     whether its usage has no output tokens; no if absent
//   defaultModel    where the model may be left out
// Of another: serve(api, {key, parameters, body, id, nowMs}) gives the reply; read as above, absent
// if there is no body.
const count = (body) => body.n ?? 1;

// Paths below /v1/, which are the same below /openai/deployments/{deployment}/ at Azure.
const MODEL_ENDPOINTS = {
	'chat/completions': {
		check: check.checkChat, charge: charge.chargeChat, choices: count,
		cap: (body) => body.max_completion_tokens ?? body.max_tokens ?? null,
		reply: replies.chatReply, events: streaming.chatEvents,
	},
	'completions': {
		check: check.checkCompletions, charge: charge.chargeCompletions, choices: count,
		// The documented default; it is not charged at admission.
		cap: (body) => body.max_tokens ?? 16,
		reply: replies.completionReply, events: streaming.completionEvents,
	},
	'embeddings': {
		check: check.checkEmbeddings, charge: charge.chargeEmbeddings,
		cap: () => 0, reply: replies.embeddingsReply,
	},
	'images/generations': {
		check: check.checkImages, charge: charge.chargeImages, choices: count,
		cap: () => null, reply: replies.imagesReply,
	},
	'images/edits': { ...images.EDITS, reply: replies.imagesReply },
	'audio/transcriptions': audio.TRANSCRIPTIONS,
	'audio/translations': audio.TRANSLATIONS,
};

const ENDPOINTS = [];

function add(method, path, endpoint) {
	// {name} stands for one segment.
	const pattern = path.split(/\{(\w+)\}/)
		.map((piece, i) => i % 2 ? `(?<${piece}>[^/]+)` : piece).join('');
	ENDPOINTS.push({ method, path: new RegExp(`^${pattern}$`), endpoint });
}

for (const [path, endpoint] of Object.entries(MODEL_ENDPOINTS)) {
	add('POST', `/v1/${path}`, endpoint);
	add('POST', `/openai/deployments/{deployment}/${path}`, endpoint);
}
add('POST', '/v1/images/variations', { ...images.VARIATIONS, reply: replies.imagesReply });
add('POST', '/v1/responses', {
	check: check.checkResponses, charge: charge.chargeResponses,
	cap: (body) => body.max_output_tokens ?? null,
	reply: replies.responsesReply, events: streaming.responsesEvents,
});
add('POST', '/v1/messages', messages.MESSAGES);
// Not metered: they have no model.
add('GET', '/v1/models', {
	serve: (api, { key }) => replies.modelsReply(api.limits.modelNames(key)),
});
add('POST', '/v1/files', { read: 'form', form: files.UPLOAD, serve: files.upload });
add('GET', '/v1/files', { serve: files.listFiles });
add('GET', '/v1/files/{id}', { serve: files.findFile });
add('GET', '/v1/files/{id}/content', {
	serve: files.fileContent, type: () => 'application/octet-stream',
});
add('POST', '/v1/batches', { read: 'json', serve: files.createBatch });
add('GET', '/v1/batches', { serve: files.listBatches });
add('GET', '/v1/batches/{id}', { serve: files.findBatch });

// {endpoint, parameters}: what of the path stands for a {name}.
export function findEndpoint(method, path) {
	const there = ENDPOINTS.filter((candidate) => candidate.path.test(path));
	if (there.length === 0)
		throw new ApiError(404, `Invalid URL (${method} ${path})`);
	const found = there.find((candidate) => candidate.method === method);
	if (!found)
		throw new ApiError(405, `Not allowed to ${method} on ${path}; use ` +
			`${there.map((candidate) => candidate.method).join(' or ')}.`,
		{ code: 'method_not_supported' });
	const { groups = {} } = found.path.exec(path);
	const parameters = Object.fromEntries(Object.entries(groups)
		.map(([name, value]) => [name, decode(value)]));
	return { endpoint: found.endpoint, parameters };
}

function decode(segment) {
	try {
		return decodeURIComponent(segment);
	} catch {
		throw new ApiError(400, 'The path is not well percent-encoded.');
	}
}
