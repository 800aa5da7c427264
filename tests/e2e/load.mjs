// A team that wants all of a limit for itself, with Node's https and its keep-alive agent. Options,
// output and meaning are those of load.py; --sizes are the requests' charges, in turn.

import fs from 'node:fs';
import https from 'node:https';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';

const MODEL = 'gpt-4o';
const READ_TIMEOUT_MS = 600_000;

const names = ['base', 'ca', 'key', 'team', 'workers', 'bucket', 'fill', 'seconds', 'sizes'];
const { values } = parseArgs({ options:
	Object.fromEntries(names.map((name) => [name, { type: 'string' }])) });
const [workers, bucket, fill, seconds] =
	['workers', 'bucket', 'fill', 'seconds'].map((name) => Number(values[name]));
const sizes = values.sizes.split(',').map(Number);

// characters / 4 + 3 + max_tokens
function chatBody(name, tokens) {
	const maxTokens = Math.floor(tokens / 4);
	const content = `${name}: `.padEnd(4 * (tokens - 3 - maxTokens), 'lorem ipsum ');
	return JSON.stringify({
		messages: [{ role: 'user', content }], model: MODEL, max_tokens: maxTokens });
}

const nowMs = () => performance.timeOrigin + performance.now();
const beginMs = nowMs();
const endMs = beginMs + seconds * 1000;
let number = 0;
let offered = 0;

// What the limit would allow this team next if it were alone; null when the time is up.
function take() {
	const tokens = sizes[number % sizes.length];
	const dueMs = beginMs + Math.max(0, offered + tokens - bucket) / fill * 1000;
	if (Math.max(dueMs, nowMs()) >= endMs)
		return null;
	number++;
	offered += tokens;
	return { name: `${values.team}-${number}`, tokens, waitMs: Math.max(0, dueMs - nowMs()) };
}

const loopback = (name, options, found) => options.all ?
	found(null, [{ address: '127.0.0.1', family: 4 }]) : found(null, '127.0.0.1', 4);
const agent = new https.Agent({
	keepAlive: true, maxSockets: workers, ca: fs.readFileSync(values.ca), lookup: loopback });

function post(name, tokens) {
	const body = chatBody(name, tokens);
	return new Promise((resolve, reject) => {
		const request = https.request(`${values.base}/v1/chat/completions`, {
			method: 'POST', agent, timeout: READ_TIMEOUT_MS,
			headers: {
				'authorization': `Bearer ${values.key}`, 'x-test-id': name,
				'content-type': 'application/json',
				'content-length': Buffer.byteLength(body),
			},
		}, (response) => {
			response.resume();
			response.on('end', () => resolve(response.statusCode));
			response.on('error', reject);
		});
		request.on('timeout', () => request.destroy(new Error('timeout')));
		request.on('error', reject);
		request.end(body);
	});
}

async function work() {
	for (let taken; (taken = take());) {
		const { name, tokens, waitMs } = taken;
		await sleep(waitMs);
		const line = { id: name, tokens, begin: nowMs() / 1000, end: 0, status: null, error: null };
		try {
			line.status = await post(name, tokens);
		} catch (error) {
			line.error = `${error.code ?? ''} ${error.message}`;
		}
		line.end = nowMs() / 1000;
		fs.writeSync(1, `${JSON.stringify(line)}\n`);
	}
}

await Promise.all(Array.from({ length: workers }, work));
agent.destroy();
