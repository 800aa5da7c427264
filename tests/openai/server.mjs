// An imitation of the OpenAI API, strict where the real one is, for Sluice to be tested against.
// This file reads the arguments, listens, says where, and stops on SIGTERM. README.md lists the
// options.

import fs from 'node:fs';
import { once } from 'node:events';
import { parseArgs } from 'node:util';
import { Books } from './books.mjs';
import { nowMs } from './clock.mjs';
import { Store } from './files.mjs';
import { createHandler } from './handler.mjs';
import { Limiter } from './limiter.mjs';
import { Limits } from './limits.mjs';
import { createServer } from './tls.mjs';
import { createUpgrader } from './upgrade.mjs';

// How long answers in progress may take to finish after SIGTERM.
const GRACE_MS = 10_000;
const PORT_ATTEMPTS = 20;

function readArguments() {
	const text = (value) => ({ type: 'string', default: value });
	const { values } = parseArgs({ options: {
		'port': text('0'), 'host': text('127.0.0.1'),
		'cert': text(), 'key': text(), 'limits': text(), 'log': text(),
		'latency-ms': text('40'), 'ms-per-token': text('2'), 'seed': text('1'),
		'encode': text('gzip'), 'h2-ping-ms': text('0'),
		'http1-only': { type: 'boolean', default: false },
		'record-split': { type: 'boolean', default: false },
	} });
	for (const name of ['cert', 'key', 'limits', 'log'])
		if (values[name] === undefined)
			throw new TypeError(`--${name} is missing`);
	if (!['gzip', 'auto'].includes(values.encode))
		throw new TypeError('--encode must be gzip or auto');
	for (const name of ['port', 'latency-ms', 'ms-per-token', 'seed', 'h2-ping-ms'])
		if (!(Number(values[name]) >= 0))
			throw new TypeError(`--${name} must be a number of at least 0`);
	return values;
}

// "fd:3" is a socket that listens already, made by whoever has started us: in another network
// namespace, say.
async function listen(server, port, host) {
	if (host.startsWith('fd:'))
		server.listen({ fd: Number(host.slice(3)) });
	else
		server.listen({ port, host, ipv6Only: host.includes(':') });
	await once(server, 'listening');
	return server.address();
}

// One server per host, all on one port. A port that is free on the first host may be taken on the
// next: then start over with another.
async function listenEverywhere(create, port, hosts) {
	for (let attempt = 1; ; attempt++) {
		const servers = [];
		try {
			for (const host of hosts) {
				servers.push(create());
				const chosen = servers[0].address()?.port ?? port;
				await listen(servers.at(-1), chosen, host);
			}
			return servers;
		} catch (error) {
			servers.forEach((server) => server.close());
			if (error.code !== 'EADDRINUSE' || port !== 0 || attempt === PORT_ATTEMPTS)
				throw error;
		}
	}
}

// Sockets that are open, and answers that are being sent: what a clean stop has to wait for.
class Traffic {
	sockets = new Set();
	answers = 0;
	idle = () => {};

	opened(socket) {
		this.sockets.add(socket);
		socket.on('close', () => this.sockets.delete(socket));
	}

	answering(res) {
		this.answers++;
		res.on('close', () => {
			if (--this.answers === 0)
				this.idle();
		});
	}

	async stop(servers) {
		servers.forEach((server) => server.close());
		if (this.answers > 0)
			await new Promise((resolve) => {
				this.idle = resolve;
				setTimeout(resolve, GRACE_MS).unref();
			});
		// destroySoon: first the bytes that are still to be sent.
		this.sockets.forEach((socket) => socket.destroySoon());
	}
}

async function main() {
	const args = readArguments();
	const traffic = new Traffic();
	const api = {
		limits: new Limits(JSON.parse(fs.readFileSync(args.limits, 'utf8'))),
		limiter: new Limiter(), books: new Books(args.log, nowMs()), now: nowMs,
		seed: Number(args.seed), latencyMs: Number(args['latency-ms']),
		msPerToken: Number(args['ms-per-token']), recordSplit: args['record-split'],
		encode: args.encode, store: new Store(),
		answering: (res) => traffic.answering(res),
	};
	const options = {
		cert: args.cert, key: args.key, http1Only: args['http1-only'],
		recordSplit: api.recordSplit, pingEveryMs: Number(args['h2-ping-ms']),
	};
	const handler = createHandler(api);
	const upgrader = createUpgrader(api);
	const servers = await listenEverywhere(
		() => createServer(options, api.books, { handler, upgrader },
			(socket) => traffic.opened(socket)),
		Number(args.port), args.host.split(','));
	let stopping = null;
	for (const signal of ['SIGTERM', 'SIGINT'])
		process.on(signal, async () => {
			stopping ??= traffic.stop(servers);
			await stopping;
			// A client that does not read its last bytes cannot keep us.
			setTimeout(() => process.exit(), 1000).unref();
		});
	const listening = servers.map((server) => server.address())
		.map(({ address, port }) => ({ address, port }));
	console.log(JSON.stringify({ listening, pid: process.pid }));
}

main().catch((error) => {
	console.error(`server.mjs: ${error.message}`);
	process.exitCode = 1;
});
