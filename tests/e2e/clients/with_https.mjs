// Node's https, with an agent that keeps connections alive.

import fs from 'node:fs';
import https from 'node:https';
import { follow, headers, plan } from './plan.mjs';

const agent = new https.Agent({
	ca: fs.readFileSync(plan.ca), keepAlive: true, maxSockets: plan.lanes.length,
});

function receive(answer, resolve, reject) {
	const pieces = [];
	answer.on('data', (piece) => pieces.push(piece));
	answer.on('error', reject);
	answer.on('end', () => resolve({
		status: answer.statusCode, text: Buffer.concat(pieces).toString(),
	}));
}

await follow((item, sending) => new Promise((resolve, reject) => {
	const body = item.body ? JSON.stringify(item.body) : '';
	const request = https.request(plan.base + item.path, {
		agent, method: item.method,
		headers: { ...headers(item), 'Content-Type': 'application/json',
			'Content-Length': Buffer.byteLength(body) },
	}, (answer) => receive(answer, resolve, reject));
	request.on('error', reject);
	sending(body);
	request.end(body);
}));
agent.destroy();
