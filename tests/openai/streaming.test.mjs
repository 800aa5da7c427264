// If one of these fails, whoever reads streams from the imitation learns to read something else
// than OpenAI's.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import https from 'node:https';
import test, { after, before } from 'node:test';
import { call, callHttp2, connectHttp2, eventsOf, eventually, jsonHeaders, post, startServer }
	from './fixture.mjs';

const LIMITS = { default: { rpm: 1000, tpm: 1_000_000 } };
const CHAT = { model: 'gpt-4o', messages: [{ role: 'user', content: 'Hi' }], stream: true };
let server;

before(async () => {
	server = await startServer(LIMITS);
});
after(() => server.stop());

// The text that the deltas of one choice add up to.
const textOf = (events, index = 0) => events.flatMap((event) => event.choices ?? [])
	.filter((choice) => choice.index === index)
	.map((choice) => choice.delta?.content ?? '').join('');

test('chat: one delta per token, then [DONE]; no usage, no gzip', async () => {
	const { headers, text } = await post(server, '/v1/chat/completions', CHAT,
		{ 'accept-encoding': 'gzip' });
	assert.equal(headers['content-type'], 'text/event-stream; charset=utf-8');
	assert.equal(headers['content-encoding'], undefined);
	assert.ok(headers['x-ratelimit-remaining-tokens']);
	const events = eventsOf(text);
	assert.equal(events.pop(), '[DONE]');
	assert.ok(events.every((event) => event.object === 'chat.completion.chunk'));
	assert.ok(events.every((event) => !('usage' in event)));
	assert.equal(events.at(-1).choices[0].finish_reason, 'stop');
	assert.equal(textOf(events).split(' ').length, server.log().at(-1).output_tokens);
});

test('chat: usage comes last, with no choices, when asked for', async () => {
	const { text } = await post(server, '/v1/chat/completions',
		{ ...CHAT, n: 2, max_tokens: 4, stream_options: { include_usage: true } });
	const events = eventsOf(text).slice(0, -1);
	const last = events.pop();
	assert.deepEqual(last.choices, []);
	assert.deepEqual([last.usage.prompt_tokens, last.usage.completion_tokens], [3, 8]);
	assert.ok(events.every((event) => event.usage === null));
	assert.equal(textOf(events, 0).split(' ').length, 4);
	assert.equal(textOf(events, 1).split(' ').length, 4);
});

test('completions stream too', async () => {
	const { text } = await post(server, '/v1/completions',
		{ model: 'm', prompt: 'x', max_tokens: 3, stream: true });
	const events = eventsOf(text);
	assert.equal(events.pop(), '[DONE]');
	assert.deepEqual(events.map(({ choices: [choice] }) => choice.finish_reason),
		[null, null, null, 'length']);
});

test('responses: ends with response.completed, which holds the usage', async () => {
	const { text } = await post(server, '/v1/responses',
		{ model: 'm', input: 'abcd', stream: true });
	const events = eventsOf(text);
	assert.equal(events[0].type, 'response.created');
	assert.deepEqual(events.map((event) => event.sequence_number), events.map((_, i) => i));
	const last = events.pop();
	assert.equal(last.type, 'response.completed');
	assert.equal(last.response.usage.input_tokens, 8);
	const deltas = events.filter(({ type }) => type === 'response.output_text.delta');
	assert.equal(deltas.length, last.response.usage.output_tokens);
	assert.equal(deltas.map(({ delta }) => delta).join(''),
		last.response.output[0].content[0].text);
	assert.doesNotMatch(text, /\[DONE\]/);
});

test('responses: every event in order, with padding unless it is declined', async () => {
	const body = { model: 'm', input: 'abcd', stream: true };
	const { text } = await post(server, '/v1/responses', body);
	const events = eventsOf(text);
	const types = events.map(({ type }) => type).filter((type, i, all) => type !== all[i - 1]);
	assert.deepEqual(types, ['response.created', 'response.in_progress',
		'response.output_item.added', 'response.content_part.added',
		'response.output_text.delta', 'response.output_text.done',
		'response.content_part.done', 'response.output_item.done', 'response.completed']);
	const names = text.split('\n').filter((line) => line.startsWith('event: '));
	assert.deepEqual(names, events.map(({ type }) => `event: ${type}`));
	assert.equal(events[0].response.usage, null);
	assert.deepEqual(events[3].part,
		{ type: 'output_text', text: '', annotations: [], logprobs: [] });
	const deltas = events.filter(({ type }) => type === 'response.output_text.delta');
	assert.ok(new Set(deltas.map(({ obfuscation }) => obfuscation.length)).size > 1);
	const bare = await post(server, '/v1/responses',
		{ ...body, stream_options: { include_obfuscation: false } });
	assert.doesNotMatch(bare.text, /obfuscation/);
});

test('responses: one that max_output_tokens ends is incomplete, and has its usage', async () => {
	const body = { model: 'm', input: 'abcd', max_output_tokens: 16, stream: true };
	const { type, response } = eventsOf((await post(server, '/v1/responses',
		body)).text).at(-1);
	assert.deepEqual([type, response.status, response.incomplete_details.reason],
		['response.incomplete', 'incomplete', 'max_output_tokens']);
	assert.equal(response.usage.output_tokens, 16);
	const { json } = await post(server, '/v1/responses', { ...body, stream: false });
	assert.equal(json.status, 'incomplete');
});

test('chat: padding unless it is declined', async () => {
	const { text } = await post(server, '/v1/chat/completions', CHAT);
	const lengths = eventsOf(text).slice(0, -1).map(({ obfuscation }) => obfuscation.length);
	assert.ok(new Set(lengths).size > 1);
	const bare = await post(server, '/v1/chat/completions',
		{ ...CHAT, stream_options: { include_obfuscation: false } });
	assert.doesNotMatch(bare.text, /obfuscation/);
});

test('stream_options: what is not among them is refused', async () => {
	const status = async (path, body, options) => (await post(server, path,
		{ ...body, stream: true, stream_options: options })).status;
	const responses = { model: 'm', input: 'x' };
	assert.equal(await status('/v1/chat/completions', CHAT, { include_usage: 1 }), 400);
	assert.equal(await status('/v1/chat/completions', CHAT, { usage: true }), 400);
	assert.equal(await status('/v1/responses', responses, { include_usage: true }), 400);
});

test('HTTP/2 streams carry the same events', async () => {
	const session = await connectHttp2(server);
	const { text } = await callHttp2(session, '/v1/chat/completions', CHAT);
	assert.equal(eventsOf(text).at(-1), '[DONE]');
	session.close();
});

// Asks for a stream and resolves when its first bytes are there.
async function openStream(target) {
	const req = https.request({
		host: '127.0.0.1', port: target.port, ca: target.ca, servername: 'api.openai.com',
		agent: false, method: 'POST', path: '/v1/chat/completions', headers: jsonHeaders(),
	});
	req.on('error', () => {});
	req.end(JSON.stringify(CHAT));
	const [res] = await once(req, 'response');
	res.on('error', () => {});
	const [first] = await once(res, 'data');
	return { req, res, first };
}

test('a stream takes its time; one that the client leaves is booked as abandoned', async () => {
	const slow = await startServer(LIMITS, '--ms-per-token', '10', '--http1-only');
	try {
		const startMs = Date.now();
		const { text } =
			await post(slow, '/v1/chat/completions', { ...CHAT, max_tokens: 16 });
		assert.ok(Date.now() - startMs >= 16 * 10);
		assert.equal(eventsOf(text).at(-1), '[DONE]');
		const { req } = await openStream(slow);
		req.destroy();
		const abandoned = async () =>
			(await call(slow, 'GET', '/__books')).json.total.abandoned;
		assert.equal(await eventually(abandoned), 1);
	} finally {
		assert.equal(await slow.stop(), 0);
	}
});

test('--record-split: bodies in pieces are still whole', async () => {
	const split = await startServer(LIMITS, '--record-split');
	try {
		const stream = await post(split, '/v1/chat/completions', CHAT);
		assert.equal(eventsOf(stream.text).at(-1), '[DONE]');
		const zipped = await post(split, '/v1/chat/completions', { ...CHAT, stream: false },
			{ 'accept-encoding': 'gzip' });
		assert.equal(zipped.json.object, 'chat.completion');
		const session = await connectHttp2(split);
		const { text } = await callHttp2(session, '/v1/responses',
			{ model: 'm', input: 'x', stream: true });
		assert.equal(eventsOf(text).at(-1).type, 'response.completed');
		session.close();
	} finally {
		await split.stop();
	}
});

test('SIGTERM: what is being sent is finished, and the exit status is 0', async () => {
	const stopping = await startServer(LIMITS, '--ms-per-token', '10',
		'--host', '127.0.0.1,127.0.0.2');
	const [first, second] = stopping.started.listening;
	assert.deepEqual([first.port, second.address], [second.port, '127.0.0.2']);
	const { res, first: bytes } = await openStream(stopping);
	stopping.kill();
	let text = bytes.toString();
	for await (const chunk of res)
		text += chunk;
	assert.match(text, /data: \[DONE\]/);
	assert.equal(await stopping.stop(), 0);
});
