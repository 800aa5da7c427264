// What the tests share: a running imitation, and small HTTP/1.1 and HTTP/2 clients for it.

import { spawn, execFileSync } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import http2 from 'node:http2';
import https from 'node:https';
import os from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { brotliDecompressSync, gunzipSync, inflateSync } from 'node:zlib';

const HERE = path.dirname(fileURLToPath(import.meta.url));

// Starts server.mjs on a free port with these limits and further options. The caller must stop()
// it.
export async function startServer(limits, ...options) {
	const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'imitation-'));
	const file = (name) => path.join(directory, name);
	execFileSync('sh', [path.join(HERE, 'make-cert.sh'), directory]);
	fs.writeFileSync(file('limits.json'), JSON.stringify(limits));
	const child = spawn(process.execPath, [path.join(HERE, 'server.mjs'),
		'--cert', file('cert.pem'), '--key', file('key.pem'),
		'--limits', file('limits.json'), '--log', file('log.jsonl'),
		'--latency-ms', '5', '--ms-per-token', '0', ...options],
	{ stdio: ['ignore', 'pipe', 'inherit'] });
	const exited = once(child, 'exit');
	const [line] = await once(createInterface(child.stdout), 'line');
	const { listening: [{ port }] } = JSON.parse(line);
	const kill = () => child.killed || child.kill('SIGTERM');
	return {
		port, ca: fs.readFileSync(file('ca.pem')), started: JSON.parse(line),
		log: () => fs.readFileSync(file('log.jsonl'), 'utf8').split('\n').filter(Boolean)
			.map((entry) => JSON.parse(entry)),
		kill,
		async stop() {
			kill();
			const [code] = await exited;
			fs.rmSync(directory, { recursive: true });
			return code;
		},
	};
}

export function jsonHeaders(headers = {}) {
	return { 'content-type': 'application/json', authorization: 'Bearer sk-test', ...headers };
}

const DECODERS = {
	gzip: gunzipSync, br: brotliDecompressSync, deflate: inflateSync,
	zstd: (input) => execFileSync('zstd', ['--quiet', '--decompress', '--stdout'], { input }),
};

// The answer of either client: {status, headers, bytes (as sent), text and json (decoded)}.
function answer(status, headers, chunks) {
	const bytes = Buffer.concat(chunks);
	const coding = headers['content-encoding'];
	const text = (coding ? DECODERS[coding](bytes) : bytes).toString();
	return { status, headers, bytes, text, get json() { return JSON.parse(text); } };
}

// One HTTP/1.1 exchange. body: an object (sent as JSON), a string or bytes, or nothing.
export async function call(server, method, target, { body, headers = jsonHeaders(), agent } = {}) {
	const isRaw = body === undefined || typeof body === 'string' || Buffer.isBuffer(body);
	const payload = isRaw ? body : JSON.stringify(body);
	const req = https.request({
		host: '127.0.0.1', port: server.port, ca: server.ca, servername: 'api.openai.com',
		method, path: target, headers, agent: agent ?? false,
	});
	req.end(payload);
	const [res] = await once(req, 'response');
	const chunks = [];
	for await (const chunk of res)
		chunks.push(chunk);
	return answer(res.statusCode, res.headers, chunks);
}

export function post(server, target, body, headers) {
	return call(server, 'POST', target, { body, headers: jsonHeaders(headers) });
}

export async function booksOf(server) {
	return (await call(server, 'GET', '/__books')).json;
}

export async function connectHttp2(server) {
	const session = http2.connect(`https://127.0.0.1:${server.port}`,
		{ ca: server.ca, servername: 'api.openai.com' });
	await once(session, 'connect');
	return session;
}

// One HTTP/2 exchange on an open session.
export async function callHttp2(session, target, body, headers = {}) {
	const stream =
		session.request({ ':method': 'POST', ':path': target, ...jsonHeaders(headers) });
	stream.end(JSON.stringify(body));
	const [answered] = await once(stream, 'response');
	const chunks = [];
	for await (const chunk of stream)
		chunks.push(chunk);
	return answer(answered[':status'], answered, chunks);
}

// The data of each server-sent event, in order; '[DONE]' stays a string.
export function eventsOf(text) {
	return text.split('\n').filter((line) => line.startsWith('data: '))
		.map((line) => line.slice('data: '.length))
		.map((data) => data === '[DONE]' ? data : JSON.parse(data));
}

// Asks again and again until probe() gives something, for at most two seconds.
export async function eventually(probe) {
	const deadline = Date.now() + 2000;
	for (;;) {
		const value = await probe();
		if (value || Date.now() > deadline)
			return value;
		await new Promise((resolve) => setTimeout(resolve, 5));
	}
}

// Asks for a stream and reads it until it ends or breaks off: {text, broken}.
export async function readBroken(server, target, body, headers) {
	const req = https.request({
		host: '127.0.0.1', port: server.port, ca: server.ca, servername: 'api.openai.com',
		agent: false, method: 'POST', path: target, headers: jsonHeaders(headers),
	});
	req.on('error', () => {});
	req.end(JSON.stringify(body));
	const [res] = await once(req, 'response');
	let text = '';
	res.on('data', (chunk) => text += chunk);
	res.on('error', () => {});
	await new Promise((resolve) => res.on('close', resolve));
	return { text, broken: !res.complete };
}

// The same over HTTP/2: {text, code}, code that of the stream's RST_STREAM, 0 if there was none.
export async function readBrokenHttp2(session, target, body, headers = {}) {
	const stream =
		session.request({ ':method': 'POST', ':path': target, ...jsonHeaders(headers) });
	let text = '';
	stream.on('data', (chunk) => text += chunk);
	stream.on('error', () => {});
	stream.end(JSON.stringify(body));
	await new Promise((resolve) => stream.on('close', resolve));
	return { text, code: stream.rstCode };
}
