// Pictures made of pictures: /v1/images/edits and /v1/images/variations, which come as forms. What
// they answer is in replies.mjs.

import { codePoints } from './charge.mjs';
import { badParameter } from './errors.mjs';

const MAX_IMAGES = 16;
// Of one picture that is sent in: what it adds to the input tokens of `usage`.
const TOKENS_PER_IMAGE = 765;
const SIZES = ['auto', '256x256', '512x512', '1024x1024', '1536x1024', '1024x1536'];

const text = (values) => ({ kind: 'text', values });
const COMMON = {
	model: text(), n: { kind: 'integer' }, size: text(SIZES), user: text(),
	response_format: text(['url', 'b64_json']),
};

function check(body) {
	if (body.n !== undefined && (body.n < 1 || body.n > 10))
		throw badParameter('n', 'expected an integer of at least 1 and at most 10');
	const images = [body.image].flat();
	if (images.length > MAX_IMAGES)
		throw badParameter('image', `at most ${MAX_IMAGES} images`);
	for (const { type } of images)
		if (!['image/png', 'image/jpeg', 'image/webp'].includes(type))
			throw badParameter('image', `unsupported mimetype ('${type}')`);
	if (body.stream)
		throw badParameter('stream', 'this imitation sends whole images only');
}

function charge(body) {
	const inputTokens = Math.floor(codePoints(body.prompt ?? '') / 4) +
		[body.image].flat().length * TOKENS_PER_IMAGE;
	return { tokens: 0, inputTokens, images: body.n ?? 1 };
}

// The default where none is named (API reference, "Create image edit").
const SHARED = {
	read: 'form', defaultModel: 'dall-e-2', check, charge, cap: () => null,
	choices: (body) => body.n ?? 1,
};

export const EDITS = {
	...SHARED,
	form: {
		...COMMON, image: { kind: 'file', many: true, required: true },
		prompt: { kind: 'text', required: true }, mask: { kind: 'file' },
		quality: text(['auto', 'standard', 'low', 'medium', 'high']),
		background: text(['auto', 'transparent', 'opaque']),
		output_format: text(['png', 'jpeg', 'webp']),
		output_compression: { kind: 'integer' },
		input_fidelity: text(['high', 'low']), moderation: text(['auto', 'low']),
		partial_images: { kind: 'integer' }, stream: { kind: 'boolean' },
	},
};

export const VARIATIONS = {
	...SHARED,
	form: { ...COMMON, image: { kind: 'file', required: true } },
};
