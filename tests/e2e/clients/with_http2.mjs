// Node's http2: one session, with a stream for each lane at a time.

import fs from 'node:fs';
import http2 from 'node:http2';
import { follow, headers, plan } from './plan.mjs';

let session = null;

// One that has failed is replaced, as applications do.
function current() {
	if (session && !session.destroyed)
		return session;
	session = http2.connect(plan.base, { ca: fs.readFileSync(plan.ca) });
	session.on('error', () => session.destroy()); // each of its streams has an error of its own
	return session;
}

await follow((item, sending) => new Promise((resolve, reject) => {
	const body = item.body ? JSON.stringify(item.body) : '';
	const pieces = [];
	let status = 0;

	sending(body);
	const stream = current().request({
		':method': item.method, ':path': item.path, ...headers(item),
		'content-type': 'application/json', 'content-length': Buffer.byteLength(body),
	});
	stream.on('response', (fields) => { status = fields[':status']; });
	stream.on('data', (piece) => pieces.push(piece));
	stream.on('end', () => status && resolve({ status, text: Buffer.concat(pieces).toString() }));
	stream.on('close', () => reject(new Error(`the stream is closed, code ${stream.rstCode}`)));
	stream.on('error', reject);
	stream.end(body);
}));
session?.close();
