// If one of these fails, a client of Azure OpenAI notices that it is not talking to it.

import assert from 'node:assert/strict';
import test, { after, before, beforeEach } from 'node:test';
import { call, eventsOf, startServer } from './fixture.mjs';

const LIMITS = { models: { mine: { rpm: 60, tpm: 1000 } } };
const CHAT = { messages: [{ role: 'user', content: 'Hello' }], max_tokens: 100 };
const PATH = '/openai/deployments/mine/chat/completions';
let server;

before(async () => {
	server = await startServer(LIMITS);
});
after(() => server.stop());
beforeEach(() => call(server, 'POST', '/__reset'));

function post(body, { path = PATH, query = '?api-version=2024-10-21', headers = {} } = {}) {
	return call(server, 'POST', path + query, { body, headers: {
		'content-type': 'application/json', 'api-key': 'azure-key', ...headers } });
}

test('the deployment is the model, and resets are milliseconds', async () => {
	const { status, headers, json } = await post({ ...CHAT, model: 'whatever' });
	assert.equal(status, 200);
	assert.equal(json.object, 'chat.completion');
	assert.equal(headers['x-ratelimit-remaining-tokens'], String(1000 - 104));
	assert.equal(headers['x-ratelimit-reset-tokens'], String(104 * 60));
	assert.equal(headers['x-ratelimit-reset-requests'], '1000');
	const { model, path, charged } = server.log().at(-1);
	assert.deepEqual([model, path, charged], ['mine', PATH, 104]);
	const { text } = await post({ ...CHAT, stream: true });
	assert.equal(eventsOf(text).at(-1), '[DONE]');
	const embedded = await post({ input: 'x' },
		{ path: '/openai/deployments/mine/embeddings' });
	assert.equal(embedded.json.object, 'list');
});

test('a 429 has Azure\'s words', async () => {
	const { headers } = await post({ ...CHAT, max_tokens: 990 });
	assert.equal(headers['retry-after'], undefined);
	const refused = await post({ ...CHAT, max_tokens: 500 });
	assert.deepEqual([refused.status, refused.json.error.code], [429, '429']);
	assert.match(refused.json.error.message,
		/^Your requests to mine have exceeded the token rate limit .* after 30 seconds\./);
	assert.equal(refused.headers['retry-after'], '30');
});

test('what is missing or wrong is refused', async () => {
	const outcome = async (...all) => {
		const { status, json } = await post(...all);
		return [status, json.error.code];
	};
	assert.deepEqual(await outcome(CHAT, { headers: { 'api-key': [] } }), [401, '401']);
	assert.deepEqual(await outcome(CHAT,
		{ headers: { 'api-key': [], 'authorization': 'Bearer azure-key' } }), [401, '401']);
	assert.deepEqual(await outcome(CHAT, { query: '' }), [404, '404']);
	assert.deepEqual(await outcome(CHAT, { query: '?api-version=soon' }), [404, '404']);
	assert.deepEqual(await outcome(CHAT,
		{ path: '/openai/deployments/other/chat/completions' }),
		[404, 'DeploymentNotFound']);
	assert.deepEqual(await outcome({ messages: [] }), [400, 'invalid_value']);
	assert.equal((await outcome(CHAT, { path: '/openai/deployments/mine/nothing' }))[0], 404);
});
