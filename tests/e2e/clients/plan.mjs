// What all Node clients here share: the plan they follow, finding api.openai.com, and telling what
// happened. plan.py says what the plan and the events are.

import { createHash } from 'node:crypto';
import dns from 'node:dns';
import { once } from 'node:events';
import fs from 'node:fs';

export const HOST = 'api.openai.com';
export const plan = JSON.parse(fs.readFileSync(process.argv[2], 'utf8'));
plan.base = `https://${HOST}:${plan.port}`;

// Node's fetch has no option for this: it asks dns.lookup, whatever that is by then.
const lookup = dns.lookup;
dns.lookup = (name, ...rest) => {
	const done = rest.pop();
	const address = { address: plan.family === 6 ? '::1' : '127.0.0.1', family: plan.family };
	if (name !== HOST)
		lookup(name, ...rest, done);
	else if (rest[0]?.all)
		process.nextTick(done, null, [address]);
	else
		process.nextTick(done, null, address.address, address.family);
};

export function headers(item) {
	return { 'Authorization': `Bearer ${plan.key}`, 'X-Test-Id': item.id, ...item.headers };
}

function tell(event, item, fields) {
	const line = { event, id: item.id, t: Date.now() / 1000, ...fields };
	fs.writeSync(1, JSON.stringify(line) + '\n');
}

// Whether an event of a stream brings a piece of the answer: of a response, or of a chat.
export function isDelta(event) {
	return Boolean(event.type?.endsWith('delta') || event.choices?.[0]?.delta?.content);
}

// What is told of an answer: its usage, and the deltas of a stream (0 if it is none).
function contentsOf(text) {
	const events = text.split('\n').filter((line) => line.startsWith('data: {'));
	const contents = { usage: null, deltas: 0 };
	try {
		for (const event of events.map((line) => JSON.parse(line.slice('data: '.length)))) {
			contents.usage = event.usage ?? event.response?.usage ?? contents.usage;
			contents.deltas += isDelta(event);
		}
		if (events.length === 0)
			contents.usage = JSON.parse(text).usage ?? null;
	} catch { /* no JSON: it tells nothing */ }
	return contents;
}

// fetch reports "fetch failed", and the reason as its cause.
function describe(error) {
	const { name, code, message } = error.cause ?? error;
	return { name: error.constructor.name, message: [code, name, message].join(' ') };
}

// Waits for a line from stdin, while the other lanes go on.
async function word() {
	fs.writeSync(1, '{"event": "ready"}\n');
	await once(process.stdin, 'data');
	process.stdin.pause();
}

// run(item, sending) returns {status, text, or usage and deltas}, and calls sending(body) just before
// it sends.
export async function follow(run) {
	if (plan.wait) {
		fs.writeSync(1, '{"event": "ready"}\n');
		fs.readSync(0, Buffer.alloc(1));
	}
	await Promise.all(plan.lanes.map(async (lane) => {
		for (const item of lane) {
			if (item.pause)
				await word();
			let begin = 0;
			const ms = () => performance.now() - begin;
			const sending = (body) => {
				const sha256 = createHash('sha256').update(body).digest('hex');
				tell('sending', item, { sha256, bytes: Buffer.byteLength(body) });
				begin = performance.now();
			};
			try {
				const { status, text, ...contents } = await run(item, sending);
				const told = text === undefined ? contents : contentsOf(text);
				tell('done', item, { ms: ms(), status, usage: null, ...told });
			} catch (error) {
				tell('error', item, { ms: ms(), ...describe(error) });
			}
		}
	}));
}
