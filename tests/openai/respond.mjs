// Answers a request that was decided, and books what became of the answer: sent whole, broken off
// because the request asked for that (x-test-cut), or left by its client.
//
// Errors are answered at once; a stream begins after the base latency; a whole comes when all its
// tokens are generated (the choices of one request are generated side by side).

import http2 from 'node:http2';
import { setTimeout as sleep } from 'node:timers/promises';
import { finish, sendWhole, write } from './send.mjs';
import { pace } from './streaming.mjs';

const EVENT_STREAM = {
	'content-type': 'text/event-stream; charset=utf-8', 'cache-control': 'no-cache',
};

export async function respond(api, req, res, entry, verdict, options) {
	const { plan, endpoint } = verdict;
	const wait = (ms) => ms > 0 && sleep(ms, undefined, { signal: options.signal });
	// What its usage says, or has come to if it breaks off. Nothing, before anything is sent.
	const used = { inputTokens: 0, outputTokens: 0 };
	const all = plan &&
		{ inputTokens: plan.inputTokens, outputTokens: plan.output.outputTokens };
	try {
		if (!plan || !entry.stream) {
			if (plan)
				await wait(api.latencyMs + plan.output.tokensEach * api.msPerToken);
			await answerWhole(api, req, res, entry, verdict, options);
			return api.books.settle(entry, 'answered', all);
		}
		await wait(api.latencyMs);
		res.writeHead(200, { ...headersOf(api, entry, verdict), ...EVENT_STREAM });
		used.inputTokens = plan.inputTokens;
		const isCut = await stream(endpoint.events(plan), api, res, entry,
			{ used, options, wait });
		api.books.settle(entry, isCut ? 'cut' : 'answered', isCut ? used : all);
	} catch (error) {
		if (!options.signal.aborted)
			throw error;
		api.books.settle(entry, 'aborted', used);
	}
}

function headersOf(api, entry, { dialect, headers }) {
	return {
		'openai-processing-ms': String(Math.round(api.now() - entry.t_body * 1000)),
		...dialect.headers(entry), ...headers,
	};
}

function answerWhole(api, req, res, entry, verdict, options) {
	const { endpoint, dialect, plan, reply, error } = verdict;
	const headers = headersOf(api, entry, verdict);
	if (error)
		return sendWhole(req, res, error.status, headers, dialect.errorBody(error, entry),
			options);
	const type = endpoint.type?.(plan?.body);
	if (type)
		headers['content-type'] = type;
	return sendWhole(req, res, 200, headers, plan ? endpoint.reply(plan) : reply, options);
}

// Sends the events; resolves to whether they were cut. used.outputTokens counts the deltas.
async function stream(events, api, res, entry, { used, options, wait }) {
	const limit = entry.cut_after ?? Infinity;
	let isCut = limit === 0;
	if (!isCut)
		await pace(events, api.msPerToken, { now: api.now, sleep: wait,
			send: async (text, deltas) => {
				await write(res, text, { ...options, flush: limit < Infinity });
				used.outputTokens += deltas;
				isCut = used.outputTokens >= limit;
				return !isCut;
			} });
	if (isCut)
		await cut(res);
	else
		await finish(res, options);
	return isCut;
}

// Breaks the answer off once all that was written has left: HTTP/1.1 loses its connection, HTTP/2
// the stream alone (RST_STREAM, INTERNAL_ERROR).
async function cut(res) {
	const { stream: http2Stream, socket } = res;
	res.flushHeaders();
	if (!http2Stream)
		return socket.destroy();
	// The answer to a PING says that all before it has arrived: many clients throw away what
	// they have not read yet when a stream is reset.
	await new Promise((resolve) => http2Stream.session.ping(resolve) || resolve());
	http2Stream.close(http2.constants.NGHTTP2_INTERNAL_ERROR);
}
