// What a real server refuses with 400 before it looks at any limit: wrong shapes and wrong values.
// One check per endpoint; each throws an ApiError. A null counts as absent, as at OpenAI.

import { ApiError, badParameter, missingParameter } from './errors.mjs';

const CHAT_ROLES = ['system', 'developer', 'user', 'assistant', 'tool', 'function'];
const CHAT_PARTS = ['text', 'image_url', 'input_audio', 'file', 'refusal'];
const RESPONSE_PARTS = ['input_text', 'output_text', 'input_image', 'input_file', 'refusal'];
const MAX_INPUTS = 2048;

function isObject(value) {
	return value !== null && typeof value === 'object' && !Array.isArray(value);
}

// An optional whole number between two bounds.
function checkInteger(body, param, low, high = Number.MAX_SAFE_INTEGER) {
	const value = body[param];
	if (value == null)
		return;
	if (!Number.isSafeInteger(value) || value < low || value > high)
		throw badParameter(param,
			`expected an integer of at least ${low} and at most ${high}`);
}

// options: what stream_options may hold.
function checkStream(body, options = ['include_usage', 'include_obfuscation']) {
	if (body.stream != null && typeof body.stream !== 'boolean')
		throw badParameter('stream', 'expected a boolean');
	if (body.stream_options == null)
		return;
	if (!isObject(body.stream_options))
		throw badParameter('stream_options', 'expected an object');
	if (!body.stream)
		throw badParameter('stream_options', "only allowed when 'stream' is enabled");
	for (const [name, value] of Object.entries(body.stream_options)) {
		const param = `stream_options.${name}`;
		if (!options.includes(name))
			throw new ApiError(400, `Unknown parameter: '${param}'.`,
				{ param, code: 'unknown_parameter' });
		if (value !== null && typeof value !== 'boolean')
			throw badParameter(param, 'expected a boolean');
	}
}

function checkParts(content, param, types) {
	for (const [index, part] of content.entries()) {
		const at = `${param}[${index}]`;
		if (!isObject(part) || !types.includes(part.type))
			throw badParameter(`${at}.type`, `expected one of ${types.join(', ')}`);
		if (part.type.endsWith('text') && typeof part.text !== 'string')
			throw badParameter(`${at}.text`, 'expected a string');
		if (part.type === 'image_url' && typeof part.image_url?.url !== 'string')
			throw badParameter(`${at}.image_url`, 'expected an object with a url');
	}
}

function checkContent(content, param, types) {
	if (Array.isArray(content) && content.length > 0)
		checkParts(content, param, types);
	else if (typeof content !== 'string')
		throw badParameter(param, 'expected a string or a non-empty array of parts');
}

export function checkChat(body) {
	if (body.messages == null)
		throw missingParameter('messages');
	if (!Array.isArray(body.messages) || body.messages.length === 0)
		throw badParameter('messages', 'expected a non-empty array');
	for (const [index, message] of body.messages.entries()) {
		const at = `messages[${index}]`;
		if (!isObject(message) || !CHAT_ROLES.includes(message.role))
			throw badParameter(`${at}.role`,
				`expected one of ${CHAT_ROLES.join(', ')}`);
		// Only an assistant's message may have nothing to say: it called a tool instead.
		if (message.role !== 'assistant' || message.content != null)
			checkContent(message.content, `${at}.content`, CHAT_PARTS);
	}
	checkInteger(body, 'n', 1, 128);
	checkInteger(body, 'max_tokens', 1);
	checkInteger(body, 'max_completion_tokens', 1);
	if (body.max_tokens != null && body.max_completion_tokens != null)
		throw badParameter('max_tokens',
			"not allowed together with 'max_completion_tokens'");
	checkStream(body);
}

// A string, strings, token numbers, or arrays of token numbers; not a mixture.
function checkPrompt(value, param) {
	if (typeof value === 'string')
		return;
	const isToken = (entry) => Number.isSafeInteger(entry) && entry >= 0;
	const isTokens = (entry) => Array.isArray(entry) && entry.length > 0 &&
		entry.every(isToken);
	const isString = (entry) => typeof entry === 'string';
	if (!Array.isArray(value) || value.length === 0 ||
		![isString, isToken, isTokens].some((kind) => value.every(kind)))
		throw badParameter(param, 'expected a string, or an array of strings or tokens');
}

export function checkCompletions(body) {
	if (body.prompt != null)
		checkPrompt(body.prompt, 'prompt');
	checkInteger(body, 'n', 1, 128);
	checkInteger(body, 'best_of', 1, 20);
	if (body.best_of != null && body.best_of < (body.n ?? 1))
		throw badParameter('best_of', "must not be smaller than 'n'");
	checkInteger(body, 'max_tokens', 1);
	checkStream(body);
}

export function checkResponses(body) {
	if (body.input == null)
		throw missingParameter('input');
	if (body.background)
		throw badParameter('background', 'this imitation answers in the foreground only');
	if (body.instructions != null && typeof body.instructions !== 'string')
		throw badParameter('instructions', 'expected a string');
	if (typeof body.input !== 'string') {
		if (!Array.isArray(body.input))
			throw badParameter('input', 'expected a string or an array of items');
		for (const [index, item] of body.input.entries()) {
			if (!isObject(item))
				throw badParameter(`input[${index}]`, 'expected an object');
			// Items of other types are tool calls and their results; they have no
			// content.
			if ((item.type ?? 'message') === 'message')
				checkContent(item.content, `input[${index}].content`,
					RESPONSE_PARTS);
		}
	}
	checkInteger(body, 'max_output_tokens', 16);
	// Its usage comes unasked.
	checkStream(body, ['include_obfuscation']);
}

export function checkEmbeddings(body) {
	if (body.input == null)
		throw missingParameter('input');
	checkPrompt(body.input, 'input');
	if (body.input === '' || (Array.isArray(body.input) && body.input.includes('')))
		throw badParameter('input', 'must not be empty');
	if (Array.isArray(body.input) && body.input.length > MAX_INPUTS)
		throw badParameter('input', `at most ${MAX_INPUTS} entries`);
	if (!['float', 'base64', undefined, null].includes(body.encoding_format))
		throw badParameter('encoding_format', "expected 'float' or 'base64'");
	checkInteger(body, 'dimensions', 1, 3072);
}

export function checkImages(body) {
	if (body.prompt == null)
		throw missingParameter('prompt');
	if (typeof body.prompt !== 'string')
		throw badParameter('prompt', 'expected a string');
	checkInteger(body, 'n', 1, 10);
	checkStream(body);
	if (body.stream)
		throw badParameter('stream', 'this imitation sends whole images only');
}

// The JSON of a body, from its bytes. Strict where JSON.parse is not: the bytes must be UTF-8.
export function parseJson(bytes) {
	try {
		const text =
			new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
		const body = JSON.parse(text);
		if (isObject(body))
			return body;
	} catch {
		// Falls through to the refusal.
	}
	throw new ApiError(400, 'We could not parse the JSON body of your request.');
}

export function checkModel(body) {
	if (body.model == null || body.model === '')
		throw new ApiError(400, 'you must provide a model parameter', { param: 'model' });
	if (typeof body.model !== 'string')
		throw badParameter('model', 'expected a string');
}
