// What the imitation "generates": text that depends only on the seed and the request's body, so
// that a request sent again gets the same answer, and a test knows beforehand how long it takes.
//
//   output tokens per choice = min(max_tokens | max_completion_tokens | max_output_tokens,
//                                  16 + hash % 64)
//
// One token is one word, and one delta of a stream. Some words are not ASCII, so that a reader
// which cuts bytes in the wrong place is found out.

import { createHash } from 'node:crypto';

const WORDS = ['water', 'gate', 'sluice', 'rises', 'and', 'the', 'level', 'falls', 'café', 'lock',
	'naïve', 'weir', '日本', 'stream', '🌊', 'over', 'under', 'slowly', 'at', 'dawn'];

// A small deterministic generator of 32-bit numbers (xorshift32; zero would stay zero).
export function generator(seed) {
	let state = seed >>> 0 || 1;
	return () => {
		state ^= state << 13;
		state ^= state >>> 17;
		state ^= state << 5;
		return state >>>= 0;
	};
}

export function hash32(...values) {
	return createHash('sha256').update(values.join(':')).digest().readUInt32BE(0);
}

function words(count, next) {
	return Array.from({ length: count }, (_, i) => {
		const word = WORDS[next() % WORDS.length];
		return i === 0 ? word : ` ${word}`;
	});
}

// {choices: [{index, tokens, finishReason}], outputTokens, tokensEach}
// drafts: how many completions are generated and paid for (best_of); choices: how many are sent.
export function compose(seed, bodySha256, { cap, choices = 1, drafts = choices }) {
	const hash = hash32(seed, bodySha256);
	const wanted = 16 + hash % 64;
	const tokensEach = Math.min(cap ?? wanted, wanted);
	const next = generator(hash);
	return {
		tokensEach,
		outputTokens: drafts * tokensEach,
		choices: Array.from({ length: choices }, (_, index) => ({
			index, tokens: words(tokensEach, next),
			finishReason: tokensEach < wanted ? 'length' : 'stop',
		})),
	};
}

// A vector of length 1, in the encoding asked for.
export function embedding(seed, dimensions, encoding) {
	const next = generator(seed);
	const raw = Float32Array.from({ length: dimensions }, () => next() / 2 ** 31 - 1);
	const norm = Math.hypot(...raw);
	const unit = raw.map((x) => x / norm);
	return encoding === 'base64' ? Buffer.from(unit.buffer).toString('base64') : [...unit];
}

// The padding that OpenAI adds to each delta so that a delta's size betrays nothing of its text.
export function padding(next) {
	return 'abcdefghijklmnop'.slice(next() % 16);
}
