// The JSON bodies of successful responses, each from a plan (made in handler.mjs): {id, createdS,
// model, body, inputTokens, output}. What `output` holds is in output.mjs.

import { embedding, hash32 } from './output.mjs';

export function chatUsage({ inputTokens, output }) {
	return {
		prompt_tokens: inputTokens,
		completion_tokens: output.outputTokens,
		total_tokens: inputTokens + output.outputTokens,
		prompt_tokens_details: { cached_tokens: 0, audio_tokens: 0 },
		completion_tokens_details: { reasoning_tokens: 0, audio_tokens: 0 },
	};
}

export function responsesUsage({ inputTokens, output }) {
	return {
		input_tokens: inputTokens,
		input_tokens_details: { cached_tokens: 0 },
		output_tokens: output.outputTokens,
		output_tokens_details: { reasoning_tokens: 0 },
		total_tokens: inputTokens + output.outputTokens,
	};
}

export function chatReply(plan) {
	return {
		id: `chatcmpl-${plan.id}`, object: 'chat.completion', created: plan.createdS,
		model: plan.model,
		choices: plan.output.choices.map(({ index, tokens, finishReason }) => ({
			index,
			message: { role: 'assistant', content: tokens.join(''), refusal: null },
			logprobs: null, finish_reason: finishReason,
		})),
		usage: chatUsage(plan), service_tier: 'default', system_fingerprint: 'fp_imitation',
	};
}

export function completionReply(plan) {
	return {
		id: `cmpl-${plan.id}`, object: 'text_completion', created: plan.createdS,
		model: plan.model,
		choices: plan.output.choices.map(({ index, tokens, finishReason }) => ({
			text: tokens.join(''), index, logprobs: null, finish_reason: finishReason,
		})),
		usage: chatUsage(plan),
	};
}

export function responsesPart(text) {
	return { type: 'output_text', text, annotations: [], logprobs: [] };
}

// How a /v1/responses answer ends: it is complete, or max_output_tokens has ended it.
function statusOf(plan) {
	return plan.output.choices[0].finishReason === 'length' ? 'incomplete' : 'completed';
}

// The one message of a /v1/responses answer; text null while it is still being written.
export function responsesMessage(plan, text) {
	return {
		id: `msg_${plan.id}`, type: 'message', role: 'assistant',
		status: text === null ? 'in_progress' : statusOf(plan),
		content: text === null ? [] : [responsesPart(text)],
	};
}

// The answer as a whole; text null while it is still being written.
export function responsesReply(plan, text = plan.output.choices[0].tokens.join('')) {
	const done = text !== null;
	const status = done ? statusOf(plan) : 'in_progress';
	return {
		id: `resp_${plan.id}`, object: 'response', created_at: plan.createdS,
		status, background: false, error: null,
		completed_at: status === 'completed' ? plan.createdS : null,
		incomplete_details:
			status === 'incomplete' ? { reason: 'max_output_tokens' } : null,
		instructions: plan.body.instructions ?? null,
		max_output_tokens: plan.body.max_output_tokens ?? null, max_tool_calls: null,
		model: plan.model,
		output: done ? [responsesMessage(plan, text)] : [],
		parallel_tool_calls: true, previous_response_id: null,
		reasoning: { effort: null, summary: null }, service_tier: 'default', store: true,
		temperature: 1, text: { format: { type: 'text' }, verbosity: 'medium' },
		tool_choice: 'auto', tools: [], top_logprobs: 0, top_p: 1, truncation: 'disabled',
		usage: done ? responsesUsage(plan) : null, user: null,
		metadata: plan.body.metadata ?? {},
	};
}

export function embeddingsReply(plan) {
	const { input, encoding_format: format, dimensions } = plan.body;
	const single = typeof input === 'string' || Number.isInteger(input[0]);
	const entries = single ? [input] : input;
	return {
		object: 'list',
		data: entries.map((entry, index) => {
			const seed = hash32(JSON.stringify(entry));
			const vector = embedding(seed, dimensions ?? 1536, format);
			return { object: 'embedding', index, embedding: vector };
		}),
		model: plan.model,
		usage: { prompt_tokens: plan.inputTokens, total_tokens: plan.inputTokens },
	};
}

export function imagesReply(plan) {
	const { prompt, n, size, quality, response_format: format } = plan.body;
	const asUrl = !plan.model.startsWith('gpt-image') && format !== 'b64_json';
	const image = (_, i) => asUrl ?
		{ url: `https://images.example/${plan.id}/${i}`, revised_prompt: prompt } :
		{ b64_json: Buffer.from(`image ${i} of ${plan.id}`).toString('base64') };
	return {
		created: plan.createdS, background: 'opaque', output_format: 'png',
		size: size ?? '1024x1024', quality: quality ?? 'auto',
		data: Array.from({ length: n ?? 1 }, image),
		usage: {
			...responsesUsage(plan),
			input_tokens_details: { text_tokens: plan.inputTokens, image_tokens: 0 },
		},
	};
}

export function modelsReply(names) {
	return {
		object: 'list',
		data: names.map((id) =>
			({ id, object: 'model', created: 1_700_000_000, owned_by: 'openai' })),
	};
}
