// What all Node clients here share: the plan they follow, finding api.openai.com, and telling what
// happened. plan.py says what the plan and the events are.

import { createHash } from 'node:crypto';
import dns from 'node:dns';
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
	return { 'Authorization': `Bearer ${plan.key}`, 'X-Test-Id': item.id };
}

function tell(event, item, fields) {
	const line = { event, id: item.id, t: Date.now() / 1000, ...fields };
	fs.writeSync(1, JSON.stringify(line) + '\n');
}

function usageOf(text) {
	try {
		return JSON.parse(text).usage ?? null;
	} catch {
		return null;
	}
}

// fetch reports "fetch failed", and the reason as its cause.
function describe(error) {
	const { name, code, message } = error.cause ?? error;
	return { name: error.constructor.name, message: [code, name, message].join(' ') };
}

// run(item, sending) returns {status, text or usage}, and calls sending(body) just before it sends.
export async function follow(run) {
	if (plan.wait) {
		fs.writeSync(1, '{"event": "ready"}\n');
		fs.readSync(0, Buffer.alloc(1));
	}
	await Promise.all(plan.lanes.map(async (lane) => {
		for (const item of lane) {
			let begin = 0;
			const ms = () => performance.now() - begin;
			const sending = (body) => {
				const sha256 = createHash('sha256').update(body).digest('hex');
				tell('sending', item, { sha256, bytes: Buffer.byteLength(body) });
				begin = performance.now();
			};
			try {
				const { status, text, usage } = await run(item, sending);
				tell('done', item, { ms: ms(), status, usage: usage ?? usageOf(text ?? '') });
			} catch (error) {
				tell('error', item, { ms: ms(), ...describe(error) });
			}
		}
	}));
}
