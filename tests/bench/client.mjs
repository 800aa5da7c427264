// One keep-alive connection, one request after the other, timed. Options and output as client.py.

import fs from 'node:fs';
import https from 'node:https';
import { parseArgs } from 'node:util';

const WARM_UP = 20;

const names = ['url', 'ca', 'model', 'requests'];
const { values } = parseArgs({ options:
	Object.fromEntries(names.map((name) => [name, { type: 'string' }])) });
const loopback = (name, options, found) => options.all ?
	found(null, [{ address: '127.0.0.1', family: 4 }]) : found(null, '127.0.0.1', 4);
const agent = new https.Agent({
	keepAlive: true, maxSockets: 1, ca: fs.readFileSync(values.ca), lookup: loopback });
const body = JSON.stringify({
	model: values.model, messages: [{ role: 'user', content: 'Hello' }], max_tokens: 1 });
const headers = {
	'authorization': 'Bearer sk-bench', 'content-type': 'application/json',
	'content-length': Buffer.byteLength(body),
};

function post() {
	return new Promise((resolve, reject) => {
		const request = https.request(values.url, { method: 'POST', agent, headers }, (response) => {
			response.resume();
			response.on('end', () => response.statusCode === 200 ? resolve() :
				reject(new Error(`status ${response.statusCode}`)));
			response.on('error', reject);
		});
		request.on('error', reject);
		request.end(body);
	});
}

const taken = [];
let cpu;
for (let number = -WARM_UP; number < Number(values.requests); number++) {
	if (number === 0)
		cpu = process.cpuUsage();
	const begin = performance.now();
	await post();
	if (number >= 0)
		taken.push((performance.now() - begin) / 1000);
}
cpu = process.cpuUsage(cpu);
agent.destroy();
console.log(JSON.stringify({
	taken_s: taken, cpu_s: (cpu.user + cpu.system) / 1e6, n_sent: WARM_UP + taken.length }));
