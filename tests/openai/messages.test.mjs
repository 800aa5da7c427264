// If one of these fails, a client of Anthropic's API notices that it is not talking to it.

import assert from 'node:assert/strict';
import test, { after, before, beforeEach } from 'node:test';
import { booksOf, call, eventsOf, eventually, readBroken, startServer } from './fixture.mjs';
import { keyId } from './limits.mjs';

const LIMITS = { models: { claude: { rpm: 60, tpm: 6000 }, 'claude-small': { rpm: 60, tpm: 20 } } };
const HELLO = { model: 'claude', max_tokens: 1000, messages: [{ role: 'user', content: 'Hello' }] };
const HEADERS = {
	'content-type': 'application/json', 'x-api-key': 'sk-ant',
	'anthropic-version': '2023-06-01',
};
let server;

before(async () => {
	server = await startServer(LIMITS);
});
after(() => server.stop());
beforeEach(() => call(server, 'POST', '/__reset'));

const post = (body, headers = {}) => call(server, 'POST', '/v1/messages',
	{ body, headers: { ...HEADERS, ...headers } });

test('a message, its usage, and its limits as points in time', async () => {
	const { status, headers, json } = await post({ ...HELLO, max_tokens: 5 });
	assert.equal(status, 200);
	assert.deepEqual([json.type, json.role, json.stop_reason],
		['message', 'assistant', 'max_tokens']);
	assert.equal(json.content[0].text.split(' ').length, 5);
	assert.deepEqual([json.usage.input_tokens, json.usage.output_tokens], [8, 5]);
	assert.equal(headers['request-id'], server.log().at(-1).id);
	for (const [name, limit, remaining] of [['requests', 60, 59], ['tokens', 6000, 5992],
		['input-tokens', 6000, 5992]]) {
		const header = (part) => headers[`anthropic-ratelimit-${name}-${part}`];
		assert.deepEqual([header('limit'), header('remaining')],
			[String(limit), String(remaining)]);
		assert.match(header('reset'), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
		const aheadMs = Date.parse(header('reset')) - Date.parse(headers.date);
		assert.ok(aheadMs >= 0 && aheadMs <= 3000, header('reset'));
	}
	assert.equal(headers['x-ratelimit-limit-tokens'], undefined);
	const entry = server.log().at(-1);
	assert.deepEqual([entry.key, entry.charged, entry.output_tokens], [keyId('sk-ant'), 8, 5]);
});

test('a stream: from message_start to message_stop, with pings', async () => {
	const { headers, text } = await post({ ...HELLO, stream: true });
	assert.equal(headers['content-type'], 'text/event-stream; charset=utf-8');
	const events = eventsOf(text);
	const names = text.split('\n').filter((line) => line.startsWith('event: '));
	assert.deepEqual(names, events.map(({ type }) => `event: ${type}`));
	const types = events.map(({ type }) => type);
	assert.deepEqual(types.slice(0, 4),
		['message_start', 'content_block_start', 'ping', 'content_block_delta']);
	assert.deepEqual(types.slice(-3), ['content_block_stop', 'message_delta', 'message_stop']);
	assert.equal(events[0].message.usage.input_tokens, 8);
	const deltas = events.filter(({ type }) => type === 'content_block_delta');
	const { usage, delta } = events.at(-2);
	assert.deepEqual([usage.output_tokens, delta.stop_reason], [deltas.length, 'end_turn']);
	const total = await eventually(async () => {
		const books = await booksOf(server);
		return books.total.answered === 1 && books.total;
	});
	assert.deepEqual([total.used_input_tokens, total.used_output_tokens], [8, deltas.length]);
});

test('a stream can be cut', async () => {
	const { text, broken } = await readBroken(server, '/v1/messages',
		{ ...HELLO, stream: true },
		{ ...HEADERS, 'x-test-cut': '4' });
	const deltas = eventsOf(text).filter(({ type }) => type === 'content_block_delta');
	assert.deepEqual([deltas.length, broken], [4, true]);
});

test('a 429 says rate_limit_error and when to come back', async () => {
	const body = { ...HELLO, model: 'claude-small',
		messages: [{ role: 'user', content: 'x'.repeat(32) }] };
	assert.equal((await post(body)).status, 200);
	const { status, headers, json } = await post(body);
	assert.deepEqual([status, json.type, json.error.type], [429, 'error', 'rate_limit_error']);
	assert.equal(json.request_id, headers['request-id']);
	assert.ok(['29', '30'].includes(headers['retry-after']), headers['retry-after']);
	assert.equal(headers['retry-after-ms'], undefined);
	assert.equal(headers['anthropic-ratelimit-input-tokens-remaining'], '5');
});

test('what is missing or wrong is refused in its own form', async () => {
	const refused = async (body, headers) => {
		const { status, json } = await post(body, headers);
		return `${status} ${json.error.type}`;
	};
	const without = (name) => ({ [name]: [] });
	assert.equal(await refused(HELLO, without('x-api-key')), '401 authentication_error');
	assert.equal(await refused(HELLO, without('anthropic-version')),
		'400 invalid_request_error');
	assert.equal(await refused(HELLO, { 'anthropic-version': '2020-01-01' }),
		'400 invalid_request_error');
	assert.equal(await refused({ ...HELLO, model: 'gpt-4o' }), '404 not_found_error');
	for (const wrong of [{ max_tokens: undefined }, { max_tokens: 0 }, { messages: [] },
		{ messages: [{ role: 'system', content: 'x' }] }, { stream: 1 },
		{ messages: [{ role: 'assistant', content: 'x' }] }, { system: '' },
		{ messages: [{ role: 'user', content: [{ type: 'input_text', text: 'x' }] }] },
		{ stream: true, stream_options: { include_usage: true } }])
		assert.equal(await refused({ ...HELLO, ...wrong }), '400 invalid_request_error',
			JSON.stringify(wrong));
});
