// What a request is charged when it is admitted, before anything is generated. Integer tokens.
//
//   chat         floor(chars / 4) + 2 + 1 per message + 765 per image + n x max_tokens
//   completions  floor(chars / 4) + prompt tokens + 1 + max(n, best_of) x max_tokens
//   responses    floor(chars / 4) + 26 + 765 per image
//   embeddings   floor(chars / 4) + input tokens, at least 1
//   images       0 tokens; n images
//
// chars   Unicode code points of all message, prompt or input text of the request, added up before
//         the division. Only content counts: not role, not name, not tools.
// tokens  prompts and inputs may come as arrays of token numbers; each counts 1.
// n       1 when absent. The product with max_tokens is 0 when max_tokens is absent;
//         max_completion_tokens and max_output_tokens are never charged.
//
// Each function returns {tokens, inputTokens, images}: the charge, the part of it that `usage` will
// call input, and the images that count against images per minute.

const TOKENS_PER_IMAGE = 765;
const CHAT_BASE_TOKENS = 2;
const RESPONSES_BASE_TOKENS = 26;
// /v1/responses is charged 19 more than the input tokens its usage reports.
const RESPONSES_HIDDEN_TOKENS = 19;

// JavaScript strings count UTF-16 units: a surrogate pair is two units, one code point.
export function codePoints(text) {
	let count = text.length;
	for (let i = 0; i + 1 < text.length; i++) {
		const high = text.charCodeAt(i);
		if (high < 0xd800 || high > 0xdbff)
			continue;
		const low = text.charCodeAt(i + 1);
		if (low >= 0xdc00 && low <= 0xdfff) {
			count--;
			i++;
		}
	}
	return count;
}

const TEXT_PARTS = new Set(['text', 'input_text', 'output_text']);
const IMAGE_PARTS = new Set(['image_url', 'input_image']);

// Content is a string, an array of typed parts, or absent (an assistant's tool call).
function weighContent(content) {
	if (typeof content === 'string')
		return { chars: codePoints(content), images: 0 };
	let chars = 0;
	let images = 0;
	for (const part of Array.isArray(content) ? content : []) {
		if (TEXT_PARTS.has(part.type))
			chars += codePoints(part.text);
		else if (IMAGE_PARTS.has(part.type))
			images++;
	}
	return { chars, images };
}

function weighMessages(messages) {
	let chars = 0;
	let images = 0;
	for (const message of messages) {
		const weight = weighContent(message.content);
		chars += weight.chars;
		images += weight.images;
	}
	return { chars, images };
}

// A prompt or an embedding input: string, strings, token numbers, or arrays of token numbers.
function weighPrompt(prompt) {
	if (typeof prompt === 'string')
		return { chars: codePoints(prompt), tokens: 0 };
	let chars = 0;
	let tokens = 0;
	for (const entry of prompt ?? []) {
		if (typeof entry === 'string')
			chars += codePoints(entry);
		else
			tokens += Array.isArray(entry) ? entry.length : 1;
	}
	return { chars, tokens };
}

export function chargeChat(body) {
	const { chars, images } = weighMessages(body.messages);
	const inputTokens = Math.floor(chars / 4) + CHAT_BASE_TOKENS + body.messages.length +
		images * TOKENS_PER_IMAGE;
	const outputTokens = (body.n ?? 1) * (body.max_tokens ?? 0);
	return { tokens: inputTokens + outputTokens, inputTokens, images: 0 };
}

export function chargeCompletions(body) {
	const { chars, tokens } = weighPrompt(body.prompt);
	const inputTokens = Math.floor(chars / 4) + tokens + 1;
	const drafts = Math.max(body.n ?? 1, body.best_of ?? 1);
	return { tokens: inputTokens + drafts * (body.max_tokens ?? 0), inputTokens, images: 0 };
}

export function chargeResponses(body) {
	const instructionChars = codePoints(body.instructions ?? '');
	const { chars, images } = typeof body.input === 'string' ?
		weighContent(body.input) : weighMessages(body.input);
	const tokens = Math.floor((chars + instructionChars) / 4) + RESPONSES_BASE_TOKENS +
		images * TOKENS_PER_IMAGE;
	return { tokens, inputTokens: tokens - RESPONSES_HIDDEN_TOKENS, images: 0 };
}

export function chargeEmbeddings(body) {
	const { chars, tokens } = weighPrompt(body.input);
	const charged = Math.max(1, Math.floor(chars / 4) + tokens);
	return { tokens: charged, inputTokens: charged, images: 0 };
}

export function chargeImages(body) {
	const inputTokens = Math.floor(codePoints(body.prompt) / 4);
	return { tokens: 0, inputTokens, images: body.n ?? 1 };
}
