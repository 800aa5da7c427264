// If one of these fails, a client notices that it is not talking to OpenAI.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import net from 'node:net';
import test, { after, before, beforeEach } from 'node:test';
import tls from 'node:tls';
import { call, callHttp2, connectHttp2, eventually, jsonHeaders, post, startServer }
	from './fixture.mjs';
import { keyId } from './limits.mjs';

const LIMITS = {
	models: {
		'gpt-4o': { rpm: 500, tpm: 30000 }, 'gpt-4': { rpm: 3, tpm: 1000 },
		'text-embedding-3-small': { rpm: 100, tpm: 1000 }, 'dall-e-3': { rpm: 50, ipm: 5 },
	},
	keys: { 'sk-broke': { quota_exhausted: true } },
};
const CHAT = { model: 'gpt-4o', messages: [{ role: 'user', content: 'Hello, 日本 🌊' }] };
let server;

before(async () => {
	server = await startServer(LIMITS);
});
after(() => server.stop());
beforeEach(() => call(server, 'POST', '/__reset'));

// The line of the log of the request that carried this x-test-id.
const logged = (id) => server.log().find((entry) => entry.test_id === id);

test('chat answers with a usage and every header of the limiter', async () => {
	const { status, headers, json } = await post(server, '/v1/chat/completions',
		{ ...CHAT, max_tokens: 5, n: 2 }, { 'x-test-id': 'chat' });
	assert.equal(status, 200);
	assert.equal(json.object, 'chat.completion');
	assert.equal(json.choices.length, 2);
	assert.equal(json.choices[0].finish_reason, 'length');
	const { prompt_tokens: input, completion_tokens: output, total_tokens: total } = json.usage;
	assert.deepEqual([input, output, total], [5, 10, 15]);
	assert.equal(headers['x-ratelimit-limit-requests'], '500');
	assert.equal(headers['x-ratelimit-remaining-requests'], '499');
	assert.equal(headers['x-ratelimit-reset-requests'], '120ms');
	assert.equal(headers['x-ratelimit-limit-tokens'], '30000');
	assert.equal(headers['x-ratelimit-remaining-tokens'], String(30000 - 5 - 10));
	assert.equal(headers['x-ratelimit-reset-tokens'], '30ms');
	assert.equal(headers['openai-version'], '2020-10-01');
	assert.equal(headers['openai-model'], 'gpt-4o');
	assert.match(headers['openai-organization'], /^org-/);
	assert.match(headers['openai-processing-ms'], /^\d+$/);
	assert.equal(headers['x-request-id'], logged('chat').id);
});

test('the same request gets the same answer', async () => {
	const first = await post(server, '/v1/chat/completions', CHAT);
	const second = await post(server, '/v1/chat/completions', CHAT);
	assert.deepEqual(first.json.choices, second.json.choices);
});

test('the other endpoints answer in their own shapes', async () => {
	const completion =
		await post(server, '/v1/completions', { model: 'gpt-4o', prompt: [1, 2] });
	assert.equal(completion.json.object, 'text_completion');
	assert.equal(completion.json.usage.completion_tokens, 16);
	const response = await post(server, '/v1/responses', { model: 'gpt-4o', input: 'abcd' });
	assert.equal(response.json.output[0].content[0].type, 'output_text');
	assert.equal(response.json.usage.input_tokens, 8);
	const model = 'text-embedding-3-small';
	const floats =
		await post(server, '/v1/embeddings', { model, input: ['a', 'b'], dimensions: 8 });
	assert.equal(floats.json.data[1].embedding.length, 8);
	const packed = await post(server, '/v1/embeddings',
		{ model, input: ['a', 'b'], dimensions: 8, encoding_format: 'base64' });
	const { buffer } = Uint8Array.from(Buffer.from(packed.json.data[1].embedding, 'base64'));
	assert.deepEqual([...new Float32Array(buffer)], floats.json.data[1].embedding);
	const image = await post(server, '/v1/images/generations',
		{ model: 'dall-e-3', prompt: 'x', n: 2 });
	assert.equal(image.json.data.length, 2);
	const models = await call(server, 'GET', '/v1/models');
	assert.ok(models.json.data.some(({ id }) => id === 'gpt-4'));
});

test('a 429 has OpenAI\'s body and says when to come back', async () => {
	const body = { ...CHAT, model: 'gpt-4', max_tokens: 990 };
	assert.equal((await post(server, '/v1/chat/completions', body)).status, 200);
	const { status, headers, json } = await post(server, '/v1/chat/completions', body,
		{ 'x-test-id': 'tokens' });
	assert.equal(status, 429);
	assert.match(json.error.message, new RegExp(
		'^Rate limit reached for gpt-4 in organization ' +
		'org-\\w+ on tokens per min \\(TPM\\): Limit 1000, Used 99\\d, Requested 995. ' +
		'Please try again in 59.\\d+s. '));
	assert.deepEqual({ ...json.error, message: '' },
		{ message: '', type: 'tokens', param: null, code: 'rate_limit_exceeded' });
	assert.equal(headers['retry-after'], '60');
	assert.equal(Math.ceil(Number(headers['retry-after-ms']) / 1000), 60);
	assert.equal(headers['x-ratelimit-remaining-requests'], '1');
	const entry = logged('tokens');
	assert.deepEqual([entry.status, entry.limit_kind, entry.charged, entry.requested_tokens],
		[429, 'tokens', 0, 995]);

	await post(server, '/v1/chat/completions', body);
	const third = await post(server, '/v1/chat/completions', body);
	assert.equal(third.json.error.type, 'requests');
	const large = await post(server, '/v1/chat/completions', { ...CHAT, max_tokens: 30000 });
	assert.equal(large.status, 429);
	assert.match(large.json.error.message, /^Request too large for gpt-4o/);
	const broke = await post(server, '/v1/chat/completions', CHAT,
		{ authorization: 'Bearer sk-broke' });
	assert.deepEqual([broke.status, broke.json.error.code], [429, 'insufficient_quota']);
	const image = { model: 'dall-e-3', prompt: 'x', n: 4 };
	assert.equal((await post(server, '/v1/images/generations', image)).status, 200);
	const fifth = await post(server, '/v1/images/generations', image);
	assert.match(fifth.json.error.message, /\(IPM\): Limit 5, Used 4, Requested 4/);
});

test('what a real server refuses is refused', async () => {
	const chat = '/v1/chat/completions';
	const status = async (...args) => (await call(server, ...args)).status;
	const noKey = { 'content-type': 'application/json' };
	assert.equal(await status('POST', chat, { body: CHAT, headers: noKey }), 401);
	assert.equal(await status('GET', chat), 405);
	assert.equal(await status('POST', '/v1/chat', { body: CHAT }), 404);
	const unknown = await post(server, chat, { ...CHAT, model: 'gpt-9' });
	assert.deepEqual([unknown.status, unknown.json.error.code], [404, 'model_not_found']);
	for (const headers of [{ 'content-type': 'text/plain' }, { 'content-encoding': 'gzip' }])
		assert.equal((await post(server, chat, CHAT, headers)).status, 400);
	for (const body of ['{"model":', '[]', '', { messages: CHAT.messages },
		{ ...CHAT, model: 4 }, { model: 'gpt-4o' }, { ...CHAT, messages: [] },
		{ ...CHAT, messages: [{ content: 'x' }] }, { ...CHAT, n: 0 },
		{ ...CHAT, max_tokens: '5' }, { ...CHAT, stream: 1 },
		{ ...CHAT, stream_options: {} },
		{ ...CHAT, max_tokens: 1, max_completion_tokens: 1 }])
		assert.equal(await status('POST', chat, { body }), 400, JSON.stringify(body));
	for (const input of [undefined, '', [], [''], ['a', 1], Array(2049).fill('a')])
		assert.equal(await status('POST', '/v1/embeddings',
			{ body: { model: 'gpt-4o', input } }), 400);
});

test('a wrong request to a known model still counts as a request', async () => {
	await post(server, '/v1/chat/completions', { model: 'gpt-4' });
	const { headers } = await post(server, '/v1/chat/completions', { ...CHAT, model: 'gpt-4' });
	assert.equal(headers['x-ratelimit-remaining-requests'], '1');
});

test('JSON is gzipped when the client allows it, and only then', async () => {
	for (const [accepted, encoding] of [['gzip, deflate', 'gzip'], ['identity', undefined],
		['gzip;q=0, *', undefined], ['br, *;q=0.5', 'gzip'], ['', undefined]]) {
		const { headers, json } = await post(server, '/v1/chat/completions', CHAT,
			{ 'accept-encoding': accepted });
		assert.equal(headers['content-encoding'], encoding, accepted);
		assert.equal(json.object, 'chat.completion');
	}
});

test('HTTP/2: many requests on one connection, each whole', async () => {
	const session = await connectHttp2(server);
	assert.equal(session.alpnProtocol, 'h2');
	const answers = await Promise.all(['a', 'b', 'c'].map((id) => callHttp2(session,
		'/v1/responses',
		{ model: 'gpt-4o', input: 'x'.repeat(id === 'a' ? 20_000 : 10_000) },
		{ 'accept-encoding': 'gzip', 'x-test-id': `h2-${id}` })));
	assert.deepEqual(answers.map(({ status }) => status), [200, 200, 200]);
	assert.equal(answers[0].json.usage.input_tokens, 5007);
	assert.equal(answers[0].headers['content-encoding'], 'gzip');
	const entries = ['a', 'b', 'c'].map((id) => logged(`h2-${id}`));
	assert.equal(new Set(entries.map(({ connection }) => connection)).size, 1);
	assert.deepEqual(entries.map(({ http, alpn }) => `${http} ${alpn}`), Array(3).fill('2 h2'));
	session.close();
});

test('the log has who, what and when, and neither the key nor the prompt', async () => {
	const body = JSON.stringify({ ...CHAT, max_tokens: 7 });
	const before = Date.now() / 1000;
	await call(server, 'POST', '/v1/chat/completions', { body, headers: jsonHeaders({
		'x-test-id': 'log', 'x-stainless-retry-count': '2', 'user-agent': 'tester' }) });
	const entry = logged('log');
	const inOrder = [before - 0.01, entry.t, entry.t_body, Date.now() / 1000 + 0.01];
	assert.deepEqual(inOrder, inOrder.slice().sort((a, b) => a - b));
	assert.deepEqual([entry.model, entry.key, entry.path],
		['gpt-4o', keyId('sk-test'), '/v1/chat/completions']);
	assert.deepEqual([entry.http, entry.alpn, entry.status], [1, null, 200]);
	assert.deepEqual([entry.charged, entry.input_tokens, entry.output_tokens], [5 + 7, 5, 7]);
	assert.equal(entry.body_bytes, Buffer.byteLength(body));
	assert.equal(entry.body_sha256, createHash('sha256').update(body).digest('hex'));
	assert.deepEqual([entry.retry_count, entry.user_agent, entry.stream], [2, 'tester', false]);
	assert.ok(entry.remote_port > 0 && entry.connection > 0);
	assert.doesNotMatch(JSON.stringify(entry), /sk-test|Hello/);
});

test('the books add up, and can be reset and given new limits', async () => {
	await post(server, '/v1/chat/completions', { ...CHAT, model: 'gpt-4', max_tokens: 900 });
	await post(server, '/v1/chat/completions', { ...CHAT, model: 'gpt-4', max_tokens: 900 });
	const books = (await call(server, 'GET', '/__books')).json;
	const totals = books.keys[keyId('sk-test')]['gpt-4'];
	assert.deepEqual([totals.requests, totals.ok, totals.refused, totals.charged_tokens],
		[2, 1, { tokens: 1 }, 905]);
	assert.equal(books.total.requests, 2);
	assert.ok(totals.buckets.tokens.level >= 95 && totals.buckets.tokens.level < 150);
	const replaced = await call(server, 'POST', '/__limits',
		{ body: { models: { 'gpt-4': { rpm: 9 } } } });
	assert.equal(replaced.status, 200);
	assert.equal((await post(server, '/v1/chat/completions', CHAT)).status, 404);
	const nonsense = await call(server, 'POST', '/__limits', { body: { nonsense: 1 } });
	assert.equal(nonsense.status, 400);
	await call(server, 'POST', '/__limits', { body: LIMITS });
	await call(server, 'POST', '/__reset');
	assert.equal((await call(server, 'GET', '/__books')).json.total.requests, 0);
});

// Opens a TLS connection by hand and sends half a request on it.
async function sendHalf(id) {
	const connection = net.connect(server.port, '127.0.0.1');
	const socket =
		tls.connect({ socket: connection, ca: server.ca, servername: 'api.openai.com' });
	socket.on('error', () => {});
	await once(socket, 'secureConnect');
	socket.write('POST /v1/chat/completions HTTP/1.1\r\nhost: api.openai.com\r\n' +
		`authorization: Bearer sk-test\r\nx-test-id: ${id}\r\n` +
		'content-length: 100\r\n\r\n{"model"');
	return { connection, socket };
}

test('half a request is not a request: 400 where it ends, 499 where it is cut off', async () => {
	(await sendHalf('ended')).socket.end();
	const ended = await eventually(() => logged('ended'));
	assert.deepEqual([ended.status, ended.body_bytes, ended.charged], [400, 8, 0]);
	const { connection } = await sendHalf('cut');
	// What was sent must have arrived: a reset overtakes it.
	await eventually(async () => (await call(server, 'GET', '/__books')).json.receiving > 0);
	connection.resetAndDestroy();
	const cut = await eventually(() => logged('cut'));
	assert.deepEqual([cut.status, cut.body_bytes, cut.charged], [499, 8, 0]);

	const session = await connectHttp2(server);
	const stream = session.request({ ':method': 'POST', ':path': '/v1/chat/completions',
		...jsonHeaders({ 'x-test-id': 'h2-cut' }) });
	stream.on('error', () => {});
	stream.write('{"model"');
	await eventually(async () => (await call(server, 'GET', '/__books')).json.receiving > 0);
	session.destroy();
	assert.equal((await eventually(() => logged('h2-cut'))).status, 499);
});

test('HTTP/2: a body shorter than its Content-Length is refused', async () => {
	const session = await connectHttp2(server);
	const stream = session.request({ ':method': 'POST', ':path': '/v1/chat/completions',
		...jsonHeaders({ 'x-test-id': 'h2-short', 'content-length': '100' }) });
	stream.on('error', () => {});
	stream.end('{"model"');
	const entry = await eventually(() => logged('h2-short'));
	assert.deepEqual([entry.status, entry.body_bytes], [400, 8]);
	session.close();
});

test('bytes that are not HTTP are counted as such', async () => {
	const socket = tls.connect({ host: '127.0.0.1', port: server.port, ca: server.ca,
		servername: 'api.openai.com' });
	await once(socket, 'secureConnect');
	socket.write('this is not HTTP\r\n\r\n');
	const [reply] = await once(socket, 'data');
	assert.match(reply.toString(), /^HTTP\/1.1 400 /);
	socket.destroy();
	const { protocol_errors: errors } = (await call(server, 'GET', '/__books')).json;
	assert.equal(Object.keys(errors).length, 1);
});
