// If one of these fails, every end-to-end test judges Sluice's estimates by a wrong measure.

import assert from 'node:assert/strict';
import test from 'node:test';
import * as charge from './charge.mjs';

const user = (content) => ({ role: 'user', content });

test('characters are Unicode code points', () => {
	assert.equal(charge.codePoints('abc'), 3);
	assert.equal(charge.codePoints('日本🌊'), 3);
	assert.equal(charge.codePoints('\ud83c'), 1);
	assert.equal(charge.codePoints('\udf0a\ud83c\ud83c\udf0a'), 3);
	assert.equal(charge.codePoints(''), 0);
});

test('chat: a quarter of the characters, 3 for the first message, 1 for each further one', () => {
	const tokens = (messages, rest) => charge.chargeChat({ messages, ...rest }).tokens;
	assert.equal(tokens([user('')]), 3);
	assert.equal(tokens([user('abcdefg')]), 1 + 3);
	assert.equal(tokens([user('abcdefg'), user('h')]), 2 + 4);
	const call = { role: 'assistant', name: 'longname', content: null };
	assert.equal(tokens([user('ab'), call]), 4);
	assert.equal(tokens([user('🌊🌊🌊🌊')]), 1 + 3);
});

test('chat: max_tokens counts n times, max_completion_tokens and tools not at all', () => {
	const tokens = (rest) => charge.chargeChat({ messages: [user('abcd')], ...rest }).tokens;
	assert.equal(tokens({ max_tokens: 100 }), 104);
	assert.equal(tokens({ max_tokens: 100, n: 3 }), 304);
	assert.equal(tokens({ n: 3 }), 4);
	assert.equal(tokens({ max_tokens: null, n: null }), 4);
	assert.equal(tokens({ max_completion_tokens: 5000, tools: [{ a: 'x'.repeat(999) }] }), 4);
	const { inputTokens } = charge.chargeChat({ messages: [user('abcd')], max_tokens: 100 });
	assert.equal(inputTokens, 4);
});

test('chat: parts count their text, and 765 for each image', () => {
	const image = { type: 'image_url', image_url: { url: `data:${'x'.repeat(4000)}` } };
	const text = { type: 'text', text: 'abcd' };
	const content = [text, image, text, image];
	assert.equal(charge.chargeChat({ messages: [user(content)] }).tokens, 2 + 3 + 2 * 765);
});

test('completions: prompts of text and of tokens; best_of where it is larger than n', () => {
	const tokens = (prompt, rest) => charge.chargeCompletions({ prompt, ...rest }).tokens;
	assert.equal(tokens('abcdefgh'), 3);
	assert.equal(tokens(['abc', 'de']), 2);
	assert.equal(tokens([1, 2, 3]), 4);
	assert.equal(tokens([[1, 2], [3]]), 4);
	assert.equal(tokens(undefined), 1);
	assert.equal(tokens('abcd', { max_tokens: 10, n: 2 }), 22);
	assert.equal(tokens('abcd', { max_tokens: 10, n: 2, best_of: 5 }), 52);
});

test('responses: 26 on top, instructions counted, max_output_tokens not', () => {
	const tokens = (body) => charge.chargeResponses(body).tokens;
	assert.equal(tokens({ input: 'abcdefgh', max_output_tokens: 4000 }), 28);
	assert.equal(tokens({ input: 'abc', instructions: 'd' }), 27);
	const result = { type: 'function_call_output', output: 'x' };
	assert.equal(tokens({ input: [user('abcd'), result] }), 27);
	const image = { type: 'input_image', image_url: 'x' };
	const parts = [{ type: 'input_text', text: 'abcd' }, image];
	assert.equal(tokens({ input: [user(parts)] }), 27 + 765);
	assert.equal(charge.chargeResponses({ input: 'abcd' }).inputTokens, 8);
});

test('embeddings: at least one token; token arrays count exactly', () => {
	const tokens = (input) => charge.chargeEmbeddings({ input }).tokens;
	assert.equal(tokens('a'), 1);
	assert.equal(tokens('abcdefgh'), 2);
	assert.equal(tokens(['abc', 'de', 'fgh']), 2);
	assert.equal(tokens([1, 2, 3, 4, 5]), 5);
	assert.equal(tokens([[1, 2], [3]]), 3);
});

test('images: no tokens, n images', () => {
	assert.deepEqual(charge.chargeImages({ prompt: 'abcd', n: 3 }),
		{ tokens: 0, inputTokens: 1, images: 3 });
	assert.equal(charge.chargeImages({ prompt: 'x' }).images, 1);
});
