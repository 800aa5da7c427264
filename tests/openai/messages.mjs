// Anthropic's /v1/messages: what is wrong with a request, what it is charged (its input tokens),
// and its answer, whole or as events. (Claude API docs: "Create a Message", "Streaming messages".)

import { codePoints } from './charge.mjs';
import { ApiError } from './errors.mjs';

const BASE_TOKENS = 7;
const TOKENS_PER_IMAGE = 765;
const ROLES = ['user', 'assistant'];
const BLOCKS = ['text', 'image', 'document', 'tool_use', 'tool_result', 'thinking'];
// A ping comes after the first block has begun, and after each so many deltas.
const DELTAS_PER_PING = 16;
const MAX_TOKENS = 128_000;

const wrong = (where, what) => new ApiError(400, `${where}: ${what}`);

function checkContent(content, where) {
	if (typeof content === 'string') {
		if (content === '')
			throw wrong(where, 'text content blocks must be non-empty');
		return;
	}
	if (!Array.isArray(content) || content.length === 0)
		throw wrong(where, 'Input should be a valid string or a non-empty list');
	for (const [index, block] of content.entries()) {
		if (!BLOCKS.includes(block?.type))
			throw wrong(`${where}.${index}.type`,
				`Input should be one of ${BLOCKS.join(', ')}`);
		if (block.type === 'text' && !(typeof block.text === 'string' && block.text))
			throw wrong(`${where}.${index}.text`,
				'text content blocks must be non-empty');
		if (block.type === 'image' && typeof block.source?.type !== 'string')
			throw wrong(`${where}.${index}.source`, 'Field required');
	}
}

function check(body) {
	if (body.max_tokens == null)
		throw wrong('max_tokens', 'Field required');
	if (!Number.isSafeInteger(body.max_tokens) || body.max_tokens < 1 ||
		body.max_tokens > MAX_TOKENS)
		throw wrong('max_tokens', `Input should be a whole number from 1 to ${MAX_TOKENS}`);
	if (body.messages == null)
		throw wrong('messages', 'Field required');
	if (!Array.isArray(body.messages) || body.messages.length === 0)
		throw wrong('messages', 'at least one message is required');
	for (const [index, message] of body.messages.entries()) {
		if (!ROLES.includes(message?.role))
			throw wrong(`messages.${index}.role`,
				"Input should be 'user' or 'assistant'");
		checkContent(message.content, `messages.${index}.content`);
	}
	if (body.messages[0].role !== 'user')
		throw wrong('messages', 'first message must use the "user" role');
	if (body.system != null)
		checkContent(body.system, 'system');
	if (body.stream != null && typeof body.stream !== 'boolean')
		throw wrong('stream', 'Input should be a valid boolean');
	if (body.stream_options != null)
		throw wrong('stream_options', 'Extra inputs are not permitted');
}

function weigh(content) {
	if (typeof content === 'string')
		return codePoints(content) / 4;
	return content.reduce((sum, block) => sum + (block.type === 'image' ? TOKENS_PER_IMAGE :
		codePoints(block.text ?? '') / 4), 0);
}

function charge(body) {
	const contents = body.messages.map(({ content }) => content);
	if (body.system != null)
		contents.push(body.system);
	const tokens = BASE_TOKENS +
		Math.floor(contents.reduce((sum, content) => sum + weigh(content), 0));
	return { tokens, inputTokens: tokens, images: 0 };
}

const usageOf = (plan, outputTokens) => ({
	input_tokens: plan.inputTokens, cache_creation_input_tokens: 0,
	cache_read_input_tokens: 0, output_tokens: outputTokens, service_tier: 'standard',
});

function message(plan, { content, stopReason, outputTokens }) {
	return {
		id: `msg_${plan.id}`, type: 'message', role: 'assistant', model: plan.model,
		content,
		stop_reason: stopReason, stop_sequence: null, usage: usageOf(plan, outputTokens),
	};
}

const stopReasonOf = ({ finishReason }) => finishReason === 'length' ? 'max_tokens' : 'end_turn';

function reply(plan) {
	const [choice] = plan.output.choices;
	return message(plan, {
		content: [{ type: 'text', text: choice.tokens.join('') }],
		stopReason: stopReasonOf(choice), outputTokens: plan.output.outputTokens,
	});
}

function* events(plan) {
	const event = (type, value = {}) =>
		`event: ${type}\ndata: ${JSON.stringify({ type, ...value })}\n\n`;
	const [choice] = plan.output.choices;
	const { tokens } = choice;
	yield [0, event('message_start',
		{ message: message(plan, { content: [], stopReason: null, outputTokens: 1 }) })];
	yield [0, event('content_block_start',
		{ index: 0, content_block: { type: 'text', text: '' } })];
	yield [0, event('ping')];
	for (const [i, text] of tokens.entries()) {
		yield [i + 1, event('content_block_delta',
			{ index: 0, delta: { type: 'text_delta', text } }), 1];
		if ((i + 1) % DELTAS_PER_PING === 0)
			yield [i + 1, event('ping')];
	}
	yield [tokens.length, event('content_block_stop', { index: 0 })];
	// Counts are of the whole message so far, not of this event.
	yield [tokens.length, event('message_delta', {
		delta: { stop_reason: stopReasonOf(choice), stop_sequence: null },
		usage: { output_tokens: plan.output.outputTokens },
	})];
	yield [tokens.length, event('message_stop')];
}

export const MESSAGES = { check, charge, cap: (body) => body.max_tokens, reply, events };
