// The events of one turn on /v1/realtime, from response.created to response.done, and the response
// object that these hold. (API reference, "Realtime server events".)

export function turnUsage({ inputTokens }, outputTokens) {
	return {
		total_tokens: inputTokens + outputTokens, input_tokens: inputTokens,
		output_tokens: outputTokens,
		input_token_details: {
			text_tokens: inputTokens, audio_tokens: 0, image_tokens: 0,
			cached_tokens: 0,
			cached_tokens_details: { text_tokens: 0, audio_tokens: 0, image_tokens: 0 },
		},
		output_token_details: { text_tokens: outputTokens, audio_tokens: 0 },
	};
}

// status: in_progress, completed, incomplete, cancelled, or failed, which says why in `error`.
// outputTokens: what its usage says; item: what was said.
export function turnResponse(plan,
	{ status, outputTokens = 0, item = null, error = null }) {
	const reasons = { incomplete: 'max_output_tokens', cancelled: 'client_cancelled' };
	const details = error ?
		{ type: status, error: error.body().error } :
		reasons[status] ? { type: status, reason: reasons[status] } : null;
	return {
		object: 'realtime.response', id: `resp_${plan.id}`, status, status_details: details,
		output: item ? [item] : [], output_modalities: ['text'],
		usage: ['in_progress', 'failed'].includes(status) ? null :
			turnUsage(plan, outputTokens),
		metadata: null,
	};
}

// What is left of the buckets that the model has.
function rateLimits(state) {
	return ['requests', 'tokens'].filter((name) => state[name]).map((name) => ({
		name, limit: state[name].limit, remaining: state[name].remaining,
		reset_seconds: state[name].resetMs / 1000,
	}));
}

// Yields [tokens, event, deltas] as streaming.mjs has it, with the event as an object; state()
// gives the buckets' state.
export function* turnEvents(plan, state) {
	const [{ tokens, finishReason }] = plan.output.choices;
	const text = tokens.join('');
	const end = tokens.length;
	const status = finishReason === 'length' ? 'incomplete' : 'completed';
	const item = (itemStatus, content) => ({
		id: `item_${plan.id}`, object: 'realtime.item', type: 'message', status: itemStatus,
		role: 'assistant', content,
	});
	const done = item(status, [{ type: 'output_text', text }]);
	const at = { response_id: `resp_${plan.id}`, item_id: done.id, output_index: 0 };
	const output = { response_id: at.response_id, output_index: 0 };

	yield [0, { type: 'response.created',
		response: turnResponse(plan, { status: 'in_progress' }) }, 0];
	yield [0, { type: 'response.output_item.added', ...output,
		item: item('in_progress', []) }, 0];
	yield [0, { type: 'response.content_part.added', ...at, content_index: 0,
		part: { type: 'text', text: '' } }, 0];
	for (const [i, delta] of tokens.entries())
		yield [i + 1, { type: 'response.output_text.delta', ...at, content_index: 0,
			delta }, 1];
	yield [end, { type: 'response.output_text.done', ...at, content_index: 0, text }, 0];
	yield [end, { type: 'response.content_part.done', ...at, content_index: 0,
		part: { type: 'text', text } }, 0];
	yield [end, { type: 'response.output_item.done', ...output, item: done }, 0];
	yield [end, { type: 'rate_limits.updated', rate_limits: rateLimits(state()) }, 0];
	yield [end, { type: 'response.done', response: turnResponse(plan,
		{ status, outputTokens: plan.output.outputTokens, item: done }) }, 0];
}
