// Server-sent events: what each endpoint sends when `stream` is true, and at what pace.
//
// An event generator yields [tokens, text, deltas]: text is due once that many tokens of each
// choice are generated, and holds that many of them itself (none, if it is not said). Chat and
// completions end with "data: [DONE]" and tell their usage only when stream_options.include_usage
// asks for it, in a last chunk without choices; /v1/responses ends with the event
// response.completed (or .incomplete), which always holds it.

import { chatUsage, responsesMessage, responsesPart, responsesReply } from './replies.mjs';
import { generator, hash32, padding } from './output.mjs';

const DONE = 'data: [DONE]\n\n';

function data(value) {
	return `data: ${JSON.stringify(value)}\n\n`;
}

// The chunks of chat and of completions differ only in what a choice looks like.
function* chunks(plan, head, { opening, delta, closing }) {
	const options = plan.body.stream_options ?? {};
	const next = generator(hash32(plan.id));
	const chunk = (choices, usage) => data({
		...head, choices,
		...(options.include_usage ? { usage } : {}),
		...(options.include_obfuscation === false ? {} : { obfuscation: padding(next) }),
	});
	const { choices, tokensEach } = plan.output;
	if (opening)
		for (const choice of choices)
			yield [0, chunk([opening(choice)], null)];
	for (let i = 0; i < tokensEach; i++)
		for (const choice of choices)
			yield [i + 1, chunk([delta(choice, choice.tokens[i])], null), 1];
	for (const choice of choices)
		yield [tokensEach, chunk([closing(choice)], null)];
	if (options.include_usage)
		yield [tokensEach, chunk([], chatUsage(plan))];
	yield [tokensEach, DONE];
}

export function chatEvents(plan) {
	const head = {
		id: `chatcmpl-${plan.id}`, object: 'chat.completion.chunk', created: plan.createdS,
		model: plan.model, service_tier: 'default', system_fingerprint: 'fp_imitation',
	};
	const choice = (index, delta, finishReason) =>
		({ index, delta, logprobs: null, finish_reason: finishReason });
	return chunks(plan, head, {
		opening: ({ index }) =>
			choice(index, { role: 'assistant', content: '', refusal: null }, null),
		delta: ({ index }, token) => choice(index, { content: token }, null),
		closing: ({ index, finishReason }) => choice(index, {}, finishReason),
	});
}

export function completionEvents(plan) {
	const head = {
		id: `cmpl-${plan.id}`, object: 'text_completion', created: plan.createdS,
		model: plan.model,
	};
	const choice = (index, text, finishReason) =>
		({ text, index, logprobs: null, finish_reason: finishReason });
	return chunks(plan, head, {
		delta: ({ index }, token) => choice(index, token, null),
		closing: ({ index, finishReason }) => choice(index, '', finishReason),
	});
}

// stream_options.include_obfuscation is true if absent (API reference, "Create a model response").
export function* responsesEvents(plan) {
	const next = generator(hash32(plan.id));
	const obfuscation = () => plan.body.stream_options?.include_obfuscation === false ? {} :
		{ obfuscation: padding(next) };
	let sequence = 0;
	const event = (type, value) =>
		`event: ${type}\n${data({ type, sequence_number: sequence++, ...value })}`;
	const { tokens } = plan.output.choices[0];
	const text = tokens.join('');
	const at = { item_id: responsesMessage(plan, null).id, output_index: 0, content_index: 0 };
	const item = (value) => ({ output_index: 0, item: responsesMessage(plan, value) });
	const answer = responsesReply(plan, text);

	yield [0, event('response.created', { response: responsesReply(plan, null) })];
	yield [0, event('response.in_progress', { response: responsesReply(plan, null) })];
	yield [0, event('response.output_item.added', item(null))];
	yield [0, event('response.content_part.added', { ...at, part: responsesPart('') })];
	for (const [i, delta] of tokens.entries())
		yield [i + 1, event('response.output_text.delta',
			{ ...at, delta, logprobs: [], ...obfuscation() }), 1];
	const end = tokens.length;
	yield [end, event('response.output_text.done', { ...at, text, logprobs: [] })];
	yield [end, event('response.content_part.done', { ...at, part: responsesPart(text) })];
	yield [end, event('response.output_item.done', item(text))];
	// response.completed, or response.incomplete if max_output_tokens ended it.
	yield [end, event(`response.${answer.status}`, { response: answer })];
}

// Sends events as they fall due, by the clock and not by adding up sleeps, so that timers which
// fire late do not slow the stream. send(text, deltas) resolves to false if that was the last to
// send, else when more may be sent, and rejects when the client is gone; sleep(ms) likewise.
export async function pace(events, msPerToken, { now, sleep, send }) {
	const startMs = now();
	for (const [tokens, text, deltas = 0] of events) {
		const earlyMs = startMs + tokens * msPerToken - now();
		if (earlyMs > 0)
			await sleep(earlyMs);
		if (await send(text, deltas) === false)
			return;
	}
}
