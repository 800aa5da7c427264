// If one of these fails, a reader of WebSockets learns to read something else than OpenAI's.

import assert from 'node:assert/strict';
import test, { after, before, beforeEach } from 'node:test';
import { booksOf, call, eventually, startServer } from './fixture.mjs';
import { Client, frame, upgrade } from './websocket_client.mjs';

const LIMITS = { models: { 'gpt-realtime': { rpm: 100, tpm: 10_000 },
	small: { rpm: 100, tpm: 50 } } };
const PATH = '/v1/realtime?model=gpt-realtime';
const TURN = { type: 'response.create', event_id: 'turn', response: {} };
const SAY = { type: 'conversation.item.create', item: { type: 'message', role: 'user',
	content: [{ type: 'input_text', text: 'x'.repeat(400) }] } };
let server;

before(async () => {
	server = await startServer(LIMITS);
});
after(() => server.stop());
beforeEach(() => call(server, 'POST', '/__reset'));

const logged = (id) => server.log().filter((entry) => entry.test_id === id).at(-1);

test('a turn: its events in order, its usage, its line in the log and the books', async () => {
	const client = await Client.open(server);
	const { session } = await client.event('session.created');
	assert.equal(session.model, 'gpt-realtime');
	await client.send(SAY);
	await client.send(TURN);
	const { response } = await client.event('response.done');
	const types = client.events.map(({ type }) => type)
		.filter((type, i, all) => type !== all[i - 1]);
	assert.deepEqual(types, ['session.created', 'conversation.item.added',
		'conversation.item.done', 'response.created', 'response.output_item.added',
		'response.content_part.added', 'response.output_text.delta',
		'response.output_text.done', 'response.content_part.done',
		'response.output_item.done', 'rate_limits.updated', 'response.done']);
	const deltas = client.events.filter(({ type }) => type === 'response.output_text.delta');
	assert.deepEqual([response.status, response.usage.input_tokens,
		response.usage.output_tokens],
		['completed', 110, deltas.length]);
	assert.equal(response.output[0].content[0].text, deltas.map(({ delta }) => delta).join(''));
	const { rate_limits: [requests, tokens] } = await client.event('rate_limits.updated');
	assert.deepEqual([requests.remaining, tokens.limit], [99, 10_000]);
	assert.ok(tokens.remaining <= 10_000 - response.usage.total_tokens + 200);
	const { method, status, charged } = logged('turn');
	assert.deepEqual([method, status, charged], ['WS', 200, response.usage.total_tokens]);
	assert.equal(await client.close(), 1000);
	const { models: { 'gpt-realtime': totals } } = await booksOf(server);
	assert.deepEqual([totals.requests, totals.answered, totals.used_input_tokens,
		totals.used_output_tokens], [2, 1, 110, deltas.length]);
});

test('a second turn has more input; its output may be capped, or cancelled', async () => {
	const slow = await startServer(LIMITS, '--ms-per-token', '20');
	try {
		const client = await Client.open(slow);
		await client.send({ ...TURN, response: { max_output_tokens: 3 } });
		const { response: first } = await client.event('response.done');
		assert.deepEqual([first.status, first.usage.input_tokens,
			first.usage.output_tokens],
			['incomplete', 10, 3]);
		await client.send(SAY);
		await client.send(TURN);
		await client.event('response.output_text.delta', 3 + 2);
		await client.send(TURN);
		const { error } = await client.event('error');
		assert.deepEqual([error.code, error.event_id],
			['conversation_already_has_active_response', 'turn']);
		await client.send({ type: 'response.cancel' });
		const { response: second } = await client.event('response.done', 2);
		assert.equal(second.status, 'cancelled');
		assert.ok(second.usage.input_tokens > 110 && second.usage.output_tokens >= 2);
		await client.send(TURN);
		await client.event('response.output_text.delta',
			3 + second.usage.output_tokens + 2);
		client.drop();
		const total = await eventually(async () => {
			const books = await booksOf(slow);
			return books.total.aborted === 1 && books.total;
		});
		assert.equal(total.answered, 2);
		assert.ok(total.used_output_tokens >= 3 + second.usage.output_tokens + 2);
	} finally {
		await slow.stop();
	}
});

test('messages come in pieces, with pings between, and large ones have longer heads', async () => {
	const client = await Client.open(server);
	await client.send(TURN);
	await client.event('response.done');
	const { frames } = client;
	const kinds = frames.map(({ first }) => first);
	// Text in one frame; begun, gone on with, ended; PING.
	for (const kind of [0x81, 0x01, 0x00, 0x80, 0x89])
		assert.ok(kinds.includes(kind), kind.toString(16));
	assert.ok(kinds.some((kind, i) => kind === 0x01 && kinds[i + 1] === 0x89));
	assert.ok(frames.some(({ payload }) => payload.length > 125));
	assert.equal(await client.close(), 1000);
});

test('permessage-deflate: only if offered and asked for, in both directions', async () => {
	const offer = { 'sec-websocket-extensions': 'permessage-deflate; client_max_window_bits' };
	const plain = await Client.open(server, offer);
	assert.equal(plain.deflates, false);
	await plain.close();
	assert.equal((await upgrade(server, PATH, { 'x-test-deflate': '1' }))
		.headers['sec-websocket-extensions'], undefined);
	const client = await Client.open(server, { ...offer, 'x-test-deflate': '1' });
	assert.equal(client.deflates, true);
	for (const nth of [1, 2]) {
		await client.send(SAY);
		await client.send(TURN);
		assert.ok((await client.event('response.done',
			nth)).response.usage.total_tokens > 0);
	}
	assert.ok(client.frames.some(({ first }) => first === 0xc1));
	assert.equal(await client.close(), 1000);
});

test('a turn that is over the limit fails, and the session goes on', async () => {
	const client = await Client.open(server, {}, '/v1/realtime?model=small');
	await client.send(SAY);
	await client.send(TURN);
	const { response } = await client.event('response.done');
	assert.deepEqual([response.status, response.status_details.error.code, response.usage],
		['failed', 'rate_limit_exceeded', null]);
	const { status, charged, limit_kind: kind } = logged('turn');
	assert.deepEqual([status, charged, kind], [429, 0, 'too_large']);
	assert.equal((await booksOf(server)).models.small.too_many_requests, 1);
	await client.send({ type: 'session.update', session: { instructions: 'Be brief' } });
	assert.equal((await client.event('session.updated')).session.instructions, 'Be brief');
	await client.close();
});

test('x-test-cut: the connection is lost after so many deltas', async () => {
	const client = await Client.open(server, { 'x-test-cut': '5' });
	await client.send(TURN);
	assert.equal(await client.until(() => client.closed), 1006);
	const deltas = client.events.filter(({ type }) => type === 'response.output_text.delta');
	assert.equal(deltas.length, 5);
	const { total } = await booksOf(server);
	assert.deepEqual([total.cut, total.used_output_tokens], [1, 5]);
});

test('events that are wrong get an error, and the session goes on', async () => {
	const client = await Client.open(server);
	const wrong = ['{', '[]', '{"type": "nonsense"}', '{"type": "constructor"}',
		'{"type": "conversation.item.create"}', '{"type": "response.cancel"}',
		'{"type": "response.create", "response": {"max_output_tokens": 0}}'];
	for (const [i, event] of wrong.entries()) {
		await client.send(event);
		assert.ok((await client.event('error', i + 1)).error.message, event);
	}
	await client.send(TURN);
	await client.event('response.done');
	await client.close();
});

test('frames that break the rules end the connection with the right code', async () => {
	const text = Buffer.from('{}');
	for (const [what, bytes, code] of [
		['not masked', frame(1, text, { masked: false }), 1002],
		['a reserved bit', frame(1, text, { first: 0xa1 }), 1002],
		['deflated, though not agreed', frame(1, text, { first: 0xc1 }), 1002],
		['an unknown opcode', frame(3, text), 1002],
		['a PING in pieces', frame(9, text, { first: 0x09 }), 1002],
		['a long PING', frame(9, Buffer.alloc(126)), 1002],
		['nothing to go on with', frame(0, text), 1002],
		['a new message within another',
			Buffer.concat([frame(1, text, { first: 0x01 }), frame(1, text)]), 1002],
		['a length longer than need be', frame(1, text, { head: [0x81, 0xfe, 0, 2] }),
		1002],
		['a close with a code of one byte', frame(8, Buffer.from([3])), 1002],
		['a close with a forbidden code', frame(8, Buffer.from([3, 237])), 1002],
		['text that is not UTF-8', frame(1, Buffer.from([0xff, 0xfe])), 1007],
		['binary', frame(2, text), 1003],
		['too long', frame(1, Buffer.alloc(0),
		{ head: [0x81, 0xff, 0, 0, 1, 0, 0, 0, 0, 0] }), 1009],
	]) {
		const client = await Client.open(server);
		client.raw(bytes);
		assert.equal(await client.until(() => client.closed), code, what);
		client.drop();
	}
});

test('an upgrade that is wrong is answered as HTTP', async () => {
	const status = async (target, headers) => (await upgrade(server, target, headers)).status;
	assert.equal(await status('/v1/realtime', {}), 400);
	assert.equal(await status('/v1/realtime?model=none', {}), 404);
	assert.equal(await status('/v1/elsewhere?model=gpt-realtime', {}), 404);
	assert.equal(await status(PATH, { authorization: '' }), 401);
	assert.equal(await status(PATH, { 'sec-websocket-key': 'short' }), 400);
	assert.equal(await status(PATH, { upgrade: 'h2c' }), 400);
	assert.equal(await status(PATH, { 'x-test-cut': 'x' }), 400);
	const old = await upgrade(server, PATH, { 'sec-websocket-version': '8' });
	assert.deepEqual([old.status, old.headers['sec-websocket-version']], [426, '13']);
	const browser = await Client.open(server, { authorization: [],
		'sec-websocket-protocol': 'realtime, openai-insecure-api-key.sk-test' });
	await browser.event('session.created');
	assert.equal(await browser.close(), 1000);
});
