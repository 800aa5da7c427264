// If one of these fails, a governor's totals are compared with wrong ones.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import https from 'node:https';
import test, { after, before, beforeEach } from 'node:test';
import tls from 'node:tls';
import { booksOf, call, connectHttp2, eventsOf, eventually, jsonHeaders, post, readBroken,
	readBrokenHttp2, startServer } from './fixture.mjs';

const LIMITS = { default: { rpm: 1000, tpm: 1_000_000 }, models: { small: { rpm: 1, tpm: 1000 } } };
const CHAT = { model: 'gpt-4o', messages: [{ role: 'user', content: 'Hi' }] };
const PATH = '/v1/chat/completions';
let server;

before(async () => {
	server = await startServer(LIMITS);
});
after(() => server.stop());
beforeEach(() => call(server, 'POST', '/__reset'));

const contentsOf = (text) => eventsOf(text)
	.filter(({ choices }) => choices?.[0]?.delta?.content).length;
const usedOf = ({ used_input_tokens: input, used_output_tokens: output }) => [input, output];

test('what is used is what usage tells, or would have told', async () => {
	const { json: { usage } } = await post(server, PATH, CHAT);
	await post(server, PATH, { ...CHAT, stream: true });
	const again = await post(server, '/v1/responses', { model: 'other', input: 'abcd' });
	const { models, total } = await eventually(async () => {
		const books = await booksOf(server);
		return books.total.answered === 3 && books;
	});
	// The body differs in `stream`, and so does the answer.
	const streamed = server.log().at(-2);
	assert.deepEqual(usedOf(models['gpt-4o']),
		[2 * usage.prompt_tokens, usage.completion_tokens + streamed.output_tokens]);
	assert.deepEqual(usedOf(models.other),
		[again.json.usage.input_tokens, again.json.usage.output_tokens]);
	assert.deepEqual([total.charged_tokens, total.answered, total.cut, total.aborted],
		[3 + 3 + 27, 3, 0, 0]);
});

test('x-test-cut: breaks off after so many deltas, and the books have what was sent', async () => {
	const body = { ...CHAT, stream: true, stream_options: { include_usage: true } };
	for (const deltas of [0, 1, 5]) {
		const { text, broken } =
			await readBroken(server, PATH, body, { 'x-test-cut': String(deltas) });
		assert.deepEqual([contentsOf(text), broken], [deltas, true]);
	}
	const session = await connectHttp2(server);
	for (const deltas of [0, 7]) {
		const { text, code } = await readBrokenHttp2(session, PATH, body,
			{ 'x-test-cut': String(deltas) });
		assert.deepEqual([contentsOf(text), code], [deltas, 2]);
	}
	// The connection lives on.
	const whole = await readBrokenHttp2(session, PATH, body, { 'x-test-cut': '1000' });
	assert.equal(eventsOf(whole.text).at(-1), '[DONE]');
	session.close();
	const total = await eventually(async () => {
		const books = await booksOf(server);
		return books.total.answered === 1 && books.total;
	});
	const { usage } = eventsOf(whole.text).at(-2);
	assert.deepEqual([total.cut, total.aborted], [5, 0]);
	assert.deepEqual(usedOf(total),
		[6 * usage.prompt_tokens, 0 + 1 + 5 + 7 + usage.completion_tokens]);
});

test('x-test-cut is refused where it means nothing', async () => {
	assert.equal((await post(server, PATH, CHAT, { 'x-test-cut': '3' })).status, 400);
	assert.equal((await post(server, PATH, { ...CHAT, stream: true },
		{ 'x-test-cut': 'soon' })).status, 400);
});

test('429s, malformed requests and clients that leave are counted', async () => {
	await post(server, PATH, { ...CHAT, model: 'small' });
	await post(server, PATH, { ...CHAT, model: 'small' });
	await post(server, PATH, { ...CHAT, n: 0 });
	await post(server, PATH, '{');
	await post(server, PATH, CHAT, { authorization: '' });
	const { models, total } = await booksOf(server);
	assert.deepEqual([total.too_many_requests, total.malformed, total.failed], [1, 2, 3]);
	assert.equal(models.small.too_many_requests, 1);
	assert.equal(models['gpt-4o'].malformed, 1);
});

test('a client that leaves before its answer, or within it, is counted', async () => {
	const slow = await startServer(LIMITS, '--ms-per-token', '20', '--latency-ms', '50');
	const aborted = (count) => eventually(async () => {
		const { total } = await booksOf(slow);
		return total.aborted === count && total;
	});
	try {
		const req = https.request({ host: '127.0.0.1', port: slow.port, ca: slow.ca,
			servername: 'api.openai.com', agent: false, method: 'POST', path: PATH,
			headers: jsonHeaders() });
		req.on('error', () => {});
		req.end(JSON.stringify(CHAT));
		await eventually(() => slow.log().length === 1);
		req.destroy();
		assert.deepEqual(usedOf(await aborted(1)), [0, 0]);

		const session = await connectHttp2(slow);
		const stream = session.request({ ':method': 'POST', ':path': PATH,
			...jsonHeaders() });
		stream.on('error', () => {});
		stream.end(JSON.stringify({ ...CHAT, stream: true }));
		let text = '';
		while (contentsOf(text) < 3)
			text += await once(stream, 'data');
		stream.close(8);
		const total = await aborted(2);
		assert.equal(total.used_input_tokens, 3);
		assert.ok(total.used_output_tokens >= 3 && total.used_output_tokens < 16);
		assert.equal(total.answered, 0);
		session.close();
	} finally {
		await slow.stop();
	}
});

test('--h2-ping-ms: the longest time until an answer; the log counts open streams', async () => {
	const pinging = await startServer(LIMITS, '--h2-ping-ms', '10', '--latency-ms', '100');
	try {
		const session = await connectHttp2(pinging);
		const heads = ['a', 'b', 'c'].map((id) => readBrokenHttp2(session, PATH, CHAT,
			{ 'x-test-id': id }));
		await Promise.all(heads);
		assert.deepEqual(pinging.log().map((entry) => entry.streams_open).sort(),
			[1, 2, 3]);
		await call(pinging, 'GET', '/v1/models');
		assert.deepEqual([pinging.log().at(-1).http, pinging.log().at(-1).streams_open],
			[1, 1]);
		const books = await eventually(async () => {
			const now = await booksOf(pinging);
			return now.h2_pings >= 3 && now;
		});
		assert.ok(books.h2_ping_ms_max > 0 && books.h2_ping_ms_max < 2000);
		session.close();
	} finally {
		await pinging.stop();
	}
});

test('a PING that is not answered counts with the time it has waited', async () => {
	const pinging = await startServer(LIMITS, '--h2-ping-ms', '5');
	try {
		const socket = tls.connect({ host: '127.0.0.1', port: pinging.port, ca: pinging.ca,
			servername: 'api.openai.com', ALPNProtocols: ['h2'] });
		await once(socket, 'secureConnect');
		// The preface and empty SETTINGS (RFC 9113 section 3.4), and nothing more.
		socket.write('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0');
		const books = await eventually(async () => {
			const now = await booksOf(pinging);
			return now.h2_ping_ms_max > 60 && now;
		});
		assert.deepEqual([books.h2_pings, books.h2_pings_waiting], [0, 1]);
		socket.destroy();
		const after = await eventually(async () => {
			const now = await booksOf(pinging);
			return now.h2_pings_waiting === 0 && now;
		});
		assert.ok(after.h2_ping_ms_max >= books.h2_ping_ms_max);
		assert.equal(after.h2_pings, 0);
	} finally {
		await pinging.stop();
	}
});
