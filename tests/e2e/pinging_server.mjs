// An HTTP/2 server that is strict about PING (RFC 9113 section 6.7), as load balancers are: it sends
// one every 100 ms, and gives up a connection on which the answer takes too long.
//   pinging_server.mjs CERT KEY PATIENCE_MS STREAM_MS
// The first line of stdout is its port; then there is a line of JSON for each event:
//
//     {"event": "request", "test_id", "t"}     a stream's head has come
//     {"event": "ping", "ms"}                  how long the answer to a PING took
//     {"event": "gave up"}
//
// A request to /v1/stream is answered with an event every 50 ms for STREAM_MS, any other at once.

import fs from 'node:fs';
import http2 from 'node:http2';

const [cert, key, patienceMs, streamMs] = process.argv.slice(2);
const PING_EVERY_MS = 100;
const EVENT_EVERY_MS = 50;
const ANSWER = {
	object: 'chat.completion', choices: [], usage: { prompt_tokens: 3, completion_tokens: 4 },
};

function tell(event, fields = {}) {
	fs.writeSync(1, JSON.stringify({ event, t: Date.now() / 1000, ...fields }) + '\n');
}

const server = http2.createSecureServer({ cert: fs.readFileSync(cert), key: fs.readFileSync(key) });

server.on('session', (session) => {
	let isUnanswered = false;
	session.on('error', () => session.destroy());
	const timer = setInterval(() => {
		if (isUnanswered)
			return;
		isUnanswered = true;
		const impatience = setTimeout(() => {
			tell('gave up');
			session.destroy();
		}, Number(patienceMs));
		session.ping((error, ms) => {
			clearTimeout(impatience);
			isUnanswered = false;
			if (!error)
				tell('ping', { ms });
		});
	}, PING_EVERY_MS);
	session.on('close', () => clearInterval(timer));
});

function answerSlowly(stream) {
	stream.respond({ ':status': 200, 'content-type': 'text/event-stream' });
	const end = Date.now() + Number(streamMs);
	const timer = setInterval(() => {
		if (Date.now() < end)
			return stream.write('data: {"choices": [{"delta": {"content": "word "}}]}\n\n');
		clearInterval(timer);
		stream.end('data: [DONE]\n\n');
	}, EVENT_EVERY_MS);
	stream.on('close', () => clearInterval(timer));
}

server.on('stream', (stream, headers) => {
	stream.on('error', () => {});
	tell('request', { test_id: headers['x-test-id'] });
	stream.resume();
	stream.on('end', () => {
		if (headers[':path'] === '/v1/stream')
			return answerSlowly(stream);
		stream.respond({ ':status': 200, 'content-type': 'application/json' });
		stream.end(JSON.stringify(ANSWER));
	});
});

server.listen(0, '127.0.0.1', () => fs.writeSync(1, `${server.address().port}\n`));
