// Speech to text: /v1/audio/transcriptions and /v1/audio/translations, which come as forms.
//
// What a recording "lasts" depends on its size alone: 16,000 bytes are a second, as of 128 kbit/s.
// whisper-1 is billed, and tells its usage, by the second; the others by tokens, of which a second
// of sound has ten. Neither charges tokens at admission. (API reference, "Create transcription".)

import { badParameter } from './errors.mjs';
import { generator, hash32, padding } from './output.mjs';

const BYTES_PER_SECOND = 16_000;
const TOKENS_PER_SECOND = 10;
const FORMATS = ['json', 'text', 'srt', 'verbose_json', 'vtt', 'diarized_json'];

const COMMON = {
	file: { kind: 'file', required: true }, model: { kind: 'text' },
	prompt: { kind: 'text' }, temperature: { kind: 'number' },
	response_format: { kind: 'text', values: FORMATS },
};

const isByTheSecond = (model) => model.startsWith('whisper');
const secondsOf = (body) => Math.ceil(body.file.bytes.length / BYTES_PER_SECOND);

function check(body) {
	if (!/\.(flac|m4a|mp3|mp4|mpeg|mpga|oga|ogg|wav|webm)$/i.test(body.file.filename))
		throw badParameter('file', 'unrecognized file format');
	const format = body.response_format ?? 'json';
	if (!isByTheSecond(body.model) && !['json', 'text'].includes(format))
		throw badParameter('response_format', `not compatible with model '${body.model}'`);
}

function charge(body) {
	const inputTokens = isByTheSecond(body.model) ? 0 : secondsOf(body) * TOKENS_PER_SECOND;
	return { tokens: 0, inputTokens, images: 0 };
}

function usageOf({ body, inputTokens, output }) {
	if (isByTheSecond(body.model))
		return { type: 'duration', seconds: secondsOf(body) };
	return {
		type: 'tokens', input_tokens: inputTokens,
		input_token_details: { text_tokens: 0, audio_tokens: inputTokens },
		output_tokens: output.outputTokens, total_tokens: inputTokens + output.outputTokens,
	};
}

const clock = (seconds, mark) =>
	`${new Date(seconds * 1000).toISOString().slice(11, 19)}${mark}000`;

function reply(plan) {
	const text = plan.output.choices[0].tokens.join('');
	const seconds = secondsOf(plan.body);
	const usage = usageOf(plan);
	switch (plan.body.response_format) {
	case 'text':
		return `${text}\n`;
	case 'srt':
		return `1\n${clock(0, ',')} --> ${clock(seconds, ',')}\n${text}\n\n`;
	case 'vtt':
		return `WEBVTT\n\n${clock(0, '.')} --> ${clock(seconds, '.')}\n${text}\n\n`;
	case 'verbose_json':
		return {
			task: 'transcribe', language: 'english', duration: seconds, text,
			segments: [{ id: 0, seek: 0, start: 0, end: seconds, text }], usage,
		};
	default:
		return { text, usage };
	}
}

function* events(plan) {
	const next = generator(hash32(plan.id));
	const { tokens } = plan.output.choices[0];
	const event = (value) => `data: ${JSON.stringify(value)}\n\n`;
	for (const [i, delta] of tokens.entries())
		yield [i + 1, event({ type: 'transcript.text.delta', delta, logprobs: [],
			obfuscation: padding(next) }), 1];
	yield [tokens.length, event({ type: 'transcript.text.done', text: tokens.join(''),
		logprobs: [], usage: usageOf(plan) })];
}

const isPlain = (body) => ['text', 'srt', 'vtt'].includes(body.response_format);
const SHARED = {
	read: 'form', check, charge, cap: () => null, reply,
	type: (body) => isPlain(body) ? 'text/plain; charset=utf-8' : 'application/json',
	// What is told by the second has no tokens in its usage.
	untold: (body) => isByTheSecond(body.model),
};

// whisper-1 cannot stream, and ignores that it should.
export const TRANSCRIPTIONS = {
	...SHARED, events, streams: (body) => !isByTheSecond(body.model),
	form: {
		...COMMON, language: { kind: 'text' }, stream: { kind: 'boolean' },
		chunking_strategy: { kind: 'text' },
		include: { kind: 'text', many: true, values: ['logprobs'] },
		timestamp_granularities:
			{ kind: 'text', many: true, values: ['word', 'segment'] },
	},
};
export const TRANSLATIONS = { ...SHARED, form: COMMON };
