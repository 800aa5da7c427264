// If one of these fails, multipart requests are read more kindly, or otherwise, than OpenAI does.

import assert from 'node:assert/strict';
import test, { after, before, beforeEach } from 'node:test';
import { booksOf, call, eventsOf, post, startServer } from './fixture.mjs';
import { parseMultipart } from './multipart.mjs';

const LIMITS = { default: { rpm: 1000, tpm: 100_000, ipm: 5 } };
const PNG = new Blob([Buffer.from('89504e470d0a1a0a00', 'hex')], { type: 'image/png' });
const SOUND = new Blob([Buffer.alloc(40_000, '\r\n--x')], { type: 'audio/wav' });
let server;

before(async () => {
	server = await startServer(LIMITS);
});
after(() => server.stop());
beforeEach(() => call(server, 'POST', '/__reset'));

// fields: [name, value] or [name, blob, filename], in this order. What Node's own fetch would send.
async function upload(target, fields, headers = {}) {
	const form = new FormData();
	fields.forEach((field) => form.append(...field));
	const request = new Request('https://host/', { method: 'POST', body: form });
	const body = Buffer.from(await request.arrayBuffer());
	return call(server, 'POST', target, { body, headers: { authorization: 'Bearer sk-test',
		'content-type': request.headers.get('content-type'), ...headers } });
}

test('images: edits with several pictures, variations with a default model', async () => {
	const edit = await upload('/v1/images/edits',
		[['image[]', PNG, 'a.png'], ['image[]', PNG, 'b.png'],
		['prompt', 'A café'], ['n', '2'], ['model', 'gpt-image-1']]);
	assert.equal(edit.status, 200);
	assert.deepEqual([edit.json.data.length, edit.json.usage.input_tokens], [2, 1 + 2 * 765]);
	const variation = await upload('/v1/images/variations', [['image', PNG, 'a.png']]);
	assert.equal(variation.json.data.length, 1);
	const [first, second] = server.log().slice(-2);
	assert.deepEqual([first.model, first.images], ['gpt-image-1', 2]);
	assert.deepEqual([second.model, second.images], ['dall-e-2', 1]);
	const refused = await upload('/v1/images/edits', [['image', PNG, 'a.png'], ['prompt', 'x'],
		['n', '4'], ['model', 'gpt-image-1']]);
	assert.equal(refused.status, 429);
	assert.equal(server.log().at(-1).limit_kind, 'images');
});

test('audio: usage by tokens or by the second, plain text, and a stream', async () => {
	const file = ['file', SOUND, 'speech.wav'];
	const tokens = await upload('/v1/audio/transcriptions',
		[file, ['model', 'gpt-4o-transcribe']]);
	assert.deepEqual([tokens.json.usage.type, tokens.json.usage.input_tokens], ['tokens', 30]);
	const second = await upload('/v1/audio/translations', [file, ['model', 'whisper-1']]);
	assert.deepEqual(second.json.usage, { type: 'duration', seconds: 3 });
	const plain = await upload('/v1/audio/transcriptions',
		[file, ['model', 'whisper-1'], ['response_format', 'vtt']]);
	assert.equal(plain.headers['content-type'], 'text/plain; charset=utf-8');
	assert.match(plain.text, /^WEBVTT\n\n00:00:00\.000 --> 00:00:03\.000\n/);
	const stream = await upload('/v1/audio/transcriptions',
		[['model', 'gpt-4o-transcribe'], ['stream', 'true'], file]);
	const events = eventsOf(stream.text);
	const { type, usage } = events.at(-1);
	assert.deepEqual([type, usage.output_tokens], ['transcript.text.done', events.length - 1]);
	const { models } = await booksOf(server);
	assert.equal(models['whisper-1'].used_output_tokens, 0);
	assert.equal(models['gpt-4o-transcribe'].used_input_tokens, 60);
});

test('files and batches: uploaded, listed, found, and only by their own key', async () => {
	const lines = new Blob(['{"custom_id": "1"}\n'], { type: 'application/jsonl' });
	const { json: file } = await upload('/v1/files',
		[['purpose', 'batch'], ['file', lines, 'in.jsonl']]);
	assert.deepEqual([file.object, file.bytes, file.filename, file.purpose],
		['file', 19, 'in.jsonl', 'batch']);
	const order = { input_file_id: file.id, endpoint: '/v1/responses',
		completion_window: '24h' };
	const { json: batch } = await post(server, '/v1/batches', order);
	assert.deepEqual([batch.object, batch.status], ['batch', 'validating']);
	const get = (path, key = 'sk-test') =>
		call(server, 'GET', path, { headers: { authorization: `Bearer ${key}` } });
	assert.deepEqual((await get(`/v1/files/${file.id}`)).json, file);
	assert.equal((await get(`/v1/files/${file.id}/content`)).text, '{"custom_id": "1"}\n');
	assert.deepEqual((await get('/v1/files')).json.data, [file]);
	assert.deepEqual((await get(`/v1/batches/${batch.id}`)).json, batch);
	assert.deepEqual((await get('/v1/batches')).json.data, [batch]);
	assert.equal((await get(`/v1/files/${file.id}`, 'sk-other')).status, 404);
	assert.deepEqual((await get('/v1/files', 'sk-other')).json.data, []);
	for (const wrong of [{ input_file_id: 'file-0' }, { endpoint: '/v1/models' },
		{ completion_window: '1h' }, { endpoint: undefined }])
		assert.equal((await post(server, '/v1/batches', { ...order, ...wrong })).status,
			400);
	assert.equal(server.log().at(-1).charged, 0);
});

test('forms that are wrong are refused', async () => {
	const good = [['image', PNG, 'a.png'], ['prompt', 'x']];
	const status = async (fields, headers) =>
		(await upload('/v1/images/edits', fields, headers)).status;
	assert.equal(await status(good), 200);
	for (const fields of [good.slice(0, 1), good.slice(1), [...good, ['prompt', 'y']],
		[...good, ['colour', 'red']], [...good, ['n', 'two']], [...good, ['n', '11']],
		[...good, ['size', 'big']], [...good, ['prompt[]', 'y']],
		[['image', 'text'], good[1]],
		[['image', SOUND, 'a.wav'], good[1]], [['image', new Blob([]), 'a.png'], good[1]]])
		assert.equal(await status(fields), 400, JSON.stringify(fields));
	assert.equal(await status(good, { 'content-type': 'multipart/form-data' }), 400);
	assert.equal(await status(good, { 'content-type': 'application/json' }), 400);
	assert.equal((await post(server, '/v1/images/edits', { prompt: 'x' })).status, 400);
	assert.equal((await upload('/v1/audio/translations', [['file', SOUND, 'a.txt'],
		['model', 'whisper-1']])).status, 400);
	assert.equal((await upload('/v1/audio/translations', [['file', SOUND, 'a.wav']])).status,
		400);
	assert.equal((await upload('/v1/files', [['file', PNG, 'a.png']])).status, 400);
});

const TYPE = 'multipart/form-data; boundary="a b"';
const part = (head, value) => `--a b\r\n${head}\r\n\r\n${value}\r\n`;
const NAMED = 'Content-Disposition: form-data; name="x"';

test('multipart: what looks like a boundary within a value is a value', () => {
	const named = `content-type: text/plain\r\n${NAMED}; filename="a\\"b; c"`;
	const body = `${part(NAMED, '+--a b\n\r\n--a')}${part(named, '')}--a b--`;
	const [first, second] = parseMultipart(TYPE, Buffer.from(body));
	assert.deepEqual([first.name, first.filename, first.bytes.toString()],
		['x', null, '+--a b\n\r\n--a']);
	assert.deepEqual([second.filename, second.type, second.bytes.length],
		['a"b; c', 'text/plain', 0]);
});

test('multipart: what the RFCs do not allow is refused', () => {
	const good = part(NAMED, 'v');
	for (const [what, body] of Object.entries({
		'no end': good, 'half an end': `${good}--a b-`, 'preamble': `\r\n${good}--a b--`,
		'epilogue': `${good}--a b--\r\nmore`,
		'bare newlines': `${good}--a b--`.replaceAll('\r', ''),
		'no name': `${part('Content-Disposition: form-data', 'v')}--a b--`,
		'no disposition': `${part('Content-Type: text/plain', 'v')}--a b--`,
		'folded': `${part(`${NAMED};\r\n filename=x`, 'v')}--a b--`,
		'another boundary': good.replace('a b', 'a c'), 'empty': '',
		'name twice': `${part(`${NAMED}; name="y"`, 'v')}--a b--`,
		'header twice': `${part(`${NAMED}\r\n${NAMED}`, 'v')}--a b--`,
		'filename*': `${part(`${NAMED}; filename*=utf-8''x`, 'v')}--a b--`,
		'base64': `${part(`${NAMED}\r\nContent-Transfer-Encoding: base64`, 'dg==')}--a b--`,
	}))
		assert.throws(() => parseMultipart(TYPE, Buffer.from(body)), /multipart/, what);
	for (const type of ['multipart/form-data', 'multipart/form-data; boundary=""',
		`multipart/form-data; boundary=${'x'.repeat(71)}`,
		'multipart/form-data; boundary=a=b;;'])
		assert.throws(() => parseMultipart(type, Buffer.from(`${good}--a b--`)),
			/multipart/, type);
});
