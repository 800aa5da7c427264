// Sends a response: JSON, gzipped when the client allows it, or server-sent events.
//
// As at OpenAI, gzipped JSON comes without Content-Length (chunked in HTTP/1.1) and event streams
// are never compressed. With `split`, bodies are written in pieces that respect no line, character
// or block, each in a TLS record of its own.

import { once } from 'node:events';
import { setImmediate as turn } from 'node:timers/promises';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { generator } from './output.mjs';

const gzipAsync = promisify(gzip);
const MAX_PIECES = 8;

// RFC 9110 section 12.5.3: gzip is acceptable if it, or *, is listed with a weight above 0.
export function acceptsGzip(header = '') {
	const weights = new Map(header.toLowerCase().split(',').map((coding) => {
		const [name, ...parameters] = coding.split(';').map((part) => part.trim());
		const weight = parameters.find((parameter) => parameter.startsWith('q='));
		return [name, weight === undefined ? 1 : Number(weight.slice(2))];
	}));
	return (weights.get('gzip') ?? weights.get('x-gzip') ?? weights.get('*') ?? 0) > 0;
}

const next = generator(0x51ce);

function* cut(bytes) {
	let from = 0;
	for (let piece = 1; piece < MAX_PIECES && from < bytes.length; piece++) {
		const to = from + 1 + next() % Math.ceil((bytes.length - from) / 2);
		yield bytes.subarray(from, to);
		from = to;
	}
	if (from < bytes.length)
		yield bytes.subarray(from);
}

// Writes, and resolves when the response can take more. Rejects when the client is gone (signal).
export async function write(res, bytes, { split, signal }) {
	for (const piece of split ? cut(Buffer.from(bytes)) : [bytes]) {
		signal.throwIfAborted();
		if (!res.write(piece))
			await once(res, 'drain', { signal });
		if (split)
			await turn();
	}
}

export async function sendJson(req, res, status, headers, value, options) {
	let bytes = Buffer.from(JSON.stringify(value));
	const all = { ...headers, 'content-type': 'application/json' };
	if (acceptsGzip(req.headers['accept-encoding'])) {
		bytes = await gzipAsync(bytes);
		all['content-encoding'] = 'gzip';
	} else {
		all['content-length'] = String(bytes.length);
	}
	options.signal.throwIfAborted();
	res.writeHead(status, all);
	await write(res, bytes, options);
	res.end();
}
