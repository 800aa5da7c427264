// The life of a request: receive it, decide it, write it into the books, answer it. In that order,
// so that whoever has seen an answer can find it in the log. Then the books are told what became of
// the answer.
//
// api (made in server.mjs): {limits, limiter, books, store, now, seed, latencyMs, msPerToken,
// recordSplit, encode}

import { control } from './control.mjs';
import { decide } from './decide.mjs';
import { openEntry } from './entry.mjs';
import { receive } from './receive.mjs';
import { respond } from './respond.mjs';
import { sendWhole } from './send.mjs';

export function createHandler(api) {
	return (req, res) => {
		res.on('error', () => {});
		serve(api, req, res).catch((error) => {
			console.error('imitation at fault:', error);
			process.exitCode = 1;
			res.destroy?.();
			req.stream?.close();
		});
	};
}

async function serve(api, req, res) {
	const entry = openEntry(req, api.now());
	const leave = new AbortController();
	res.on('close', () => leave.abort());
	const options = { split: api.recordSplit, encode: api.encode, signal: leave.signal };

	api.books.receiving++;
	const body = await receive(req);
	api.books.receiving--;
	if (entry.path.startsWith('/__')) {
		const { status, value } = control(api, req.method, entry.path, body);
		return sendWhole(req, res, status, {}, value, options).catch(() => {});
	}
	entry.t_body = api.now() / 1000;
	entry.body_sha256 = body.sha256;
	entry.body_bytes = body.length;

	const verdict = decide(api, req, entry, body);
	api.books.record(entry);
	if (body.gone)
		return;
	// What is left of a body that never came would be read as the next request.
	if (body.error && entry.http === 1)
		res.shouldKeepAlive = false;
	api.answering(res);
	await respond(api, req, res, entry, verdict, options);
}
