// Sends a response: JSON or another whole body, encoded as encode.mjs says, or server-sent events.
//
// As at OpenAI, an encoded body comes without Content-Length (chunked in HTTP/1.1) and event
// streams are never compressed. With `split`, bodies are written in pieces that respect no line,
// character or block, each in a TLS record of its own.

import { once } from 'node:events';
import { setImmediate as turn } from 'node:timers/promises';
import { CODINGS, chooseCoding, encode } from './encode.mjs';
import { generator } from './output.mjs';

const MAX_PIECES = 8;

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

// Writes, and resolves when the response can take more, or with `flush` when all of it has left.
// Rejects when the client is gone (signal).
export async function write(res, bytes, { split, flush, signal }) {
	for (const piece of split ? cut(Buffer.from(bytes)) : [bytes]) {
		signal.throwIfAborted();
		if (flush)
			await flushed(res, piece, signal);
		else if (!res.write(piece))
			await once(res, 'drain', { signal });
		if (split)
			await turn();
	}
}

function flushed(res, piece, signal) {
	return new Promise((resolve, reject) => {
		const leave = () => reject(signal.reason);
		signal.addEventListener('abort', leave, { once: true });
		res.write(piece, () => {
			signal.removeEventListener('abort', leave);
			resolve();
		});
	});
}

// Ends the response and resolves when its last byte has left; rejects if the client is gone before.
// HTTP/2's response says that it has finished whatever became of its stream: ask the stream.
export async function finish(res, { signal }) {
	const target = res.stream ?? res;
	res.end();
	if (!target.writableFinished)
		await once(target, 'finish', { signal });
}

// value: an object, which is sent as JSON, or a string or bytes with a content-type among headers.
export async function sendWhole(req, res, status, headers, value, options) {
	const isRaw = typeof value === 'string' || Buffer.isBuffer(value);
	const asked = chooseCoding(req.headers, options.encode);
	// An unknown x-test-encode is refused in decide.mjs: the refusal itself goes as it is.
	const coding = CODINGS.includes(asked) ? asked : 'identity';
	const bytes = encode(Buffer.from(isRaw ? value : JSON.stringify(value)), coding);
	const all = { 'content-type': 'application/json', ...headers };
	if (coding === 'identity')
		all['content-length'] = String(bytes.length);
	else
		all['content-encoding'] = coding;
	options.signal.throwIfAborted();
	res.writeHead(status, all);
	await write(res, bytes, options);
	await finish(res, options);
}
