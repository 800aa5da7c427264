// If one of these fails, a reader of encoded answers is tested with something it will not meet.

import assert from 'node:assert/strict';
import test, { after, before } from 'node:test';
import { post, startServer } from './fixture.mjs';

const LIMITS = { default: { rpm: 1000, tpm: 1_000_000 } };
const CHAT = { model: 'gpt-4o', messages: [{ role: 'user', content: 'Hi' }] };
const PATH = '/v1/chat/completions';
let server;
let auto;

before(async () => {
	[server, auto] = await Promise.all([startServer(LIMITS),
		startServer(LIMITS, '--encode', 'auto')]);
});
after(() => Promise.all([server.stop(), auto.stop()]));

const FIRST_BYTES = { gzip: '1f8b', deflate: '78', zstd: '28b52ffd' };

test('x-test-encode: each coding, errors too, whatever the client accepts', async () => {
	for (const coding of ['gzip', 'br', 'zstd', 'deflate']) {
		const headers = { 'x-test-encode': coding, 'accept-encoding': 'identity' };
		const { headers: got, bytes, json } = await post(server, PATH, CHAT, headers);
		assert.equal(got['content-encoding'], coding);
		assert.equal(got['content-length'], undefined);
		assert.ok(bytes.toString('hex').startsWith(FIRST_BYTES[coding] ?? ''));
		assert.equal(json.object, 'chat.completion');
		const refused = await post(server, PATH, { ...CHAT, n: 0 }, headers);
		assert.deepEqual([refused.status, refused.headers['content-encoding']],
			[400, coding]);
		assert.ok(refused.json.error.message);
	}
	const plain = await post(server, PATH, CHAT,
		{ 'x-test-encode': 'identity', 'accept-encoding': 'gzip' });
	assert.equal(plain.headers['content-encoding'], undefined);
	assert.equal((await post(server, PATH, CHAT, { 'x-test-encode': 'bz2' })).status, 400);
});

test('an event stream is never encoded', async () => {
	const { headers, text } = await post(server, PATH, { ...CHAT, stream: true },
		{ 'x-test-encode': 'br', 'accept-encoding': 'br' });
	assert.equal(headers['content-encoding'], undefined);
	assert.match(text, /data: \[DONE\]/);
});

test('--encode auto: what the client likes best of br and gzip', async () => {
	for (const [accepted, coding] of [['gzip, deflate, br', 'br'], ['gzip, br;q=0.5', 'gzip'],
		['br;q=0, *', 'gzip'], ['gzip', 'gzip'], ['zstd', undefined]]) {
		const { headers } = await post(auto, PATH, CHAT, { 'accept-encoding': accepted });
		assert.equal(headers['content-encoding'], coding, accepted);
	}
});
