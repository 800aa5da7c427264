#!/usr/bin/env node
// An HTTP proxy that knows CONNECT alone (RFC 9110 section 9.3.6), for clients that reach OpenAI
// through one. It listens on loopback only.
//
//   proxy.mjs [--port N] [--to PORT] [--auth USER:PASSWORD]
//
//   --port    0 (the default) picks a free one; the first line of stdout says which
//   --to      every tunnel leads to 127.0.0.1:PORT, whatever host it was asked for
//   --auth    407 with Proxy-Authenticate: Basic, on a connection that stays, until
//             Proxy-Authorization is right (RFC 7235 section 3.2, RFC 7617)
//
// Each later line of stdout is one CONNECT: {"connect": "host:port", "status": 200, "t": seconds}.
// Anything but CONNECT is refused with 405, a target that is not host:port with 400, one that
// cannot be reached with 502.

import { once } from 'node:events';
import fs from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import { parseArgs } from 'node:util';

const LOOPBACK = '127.0.0.1';

function readArguments() {
	const text = (value) => ({ type: 'string', default: value });
	const { values } = parseArgs({ options: { port: text('0'), to: text(), auth: text() } });
	for (const name of ['port', 'to'])
		if (values[name] !== undefined && !isPort(values[name], name === 'port' ? 0 : 1))
			throw new TypeError(`--${name} must be a port`);
	if (values.auth !== undefined && !/^[^:]+:/.test(values.auth))
		throw new TypeError('--auth must be USER:PASSWORD');
	return values;
}

function isPort(text, lowest) {
	return /^\d{1,5}$/.test(text) && Number(text) >= lowest && Number(text) < 65_536;
}

// RFC 9110 section 7.2: host:port, an IPv6 address in brackets; the port is not optional.
function parseTarget(target) {
	const [, bracketed, name, port] =
		/^(?:\[([0-9a-fA-F:.]+)\]|([0-9A-Za-z._-]+)):(\d+)$/.exec(target) ?? [];
	return port !== undefined && isPort(port, 1) ?
		{ host: bracketed ?? name, port: Number(port) } : null;
}

function tell(target, status) {
	const line = { connect: target, status, t: Date.now() / 1000 };
	fs.writeSync(1, `${JSON.stringify(line)}\n`);
}

// The connection stays open: the next CONNECT may come on it.
const REFUSALS = {
	400: 'Bad Request', 407: 'Proxy Authentication Required', 502: 'Bad Gateway',
};

function refuse(socket, status, header = '') {
	socket.write(`HTTP/1.1 ${status} ${REFUSALS[status]}\r\n` +
		`${header}content-length: 0\r\n\r\n`);
}

function isAllowed(req, auth) {
	const [, scheme, credentials] =
		/^(\S+) +(\S+)$/.exec(req.headers['proxy-authorization'] ?? '') ?? [];
	return scheme?.toLowerCase() === 'basic' &&
		Buffer.from(credentials, 'base64').toString() === auth;
}

// Joins the two for as long as both live. An end is passed on as an end, a reset as a reset.
function join(client, upstream) {
	for (const [from, to] of [[client, upstream], [upstream, client]]) {
		from.pipe(to);
		from.on('error', () => to.resetAndDestroy());
		from.on('close', () => to.destroySoon());
	}
}

function onConnect(req, client, head, options, connectionListener) {
	const target = parseTarget(req.url);
	const answer = (status, header) => {
		tell(req.url, status);
		refuse(client, status, header);
		// Node has given the socket up after a CONNECT: give it to the parser again.
		connectionListener(client, head);
	};
	if (!target)
		return answer(400);
	if (options.auth !== undefined && !isAllowed(req, options.auth))
		return answer(407, 'proxy-authenticate: Basic realm="imitation"\r\n');
	const upstream = options.to === undefined ? net.connect(target) :
		net.connect(Number(options.to), LOOPBACK);
	const failed = () => answer(502);
	const leave = () => upstream.destroy();
	upstream.once('error', failed);
	client.once('error', leave);
	client.once('close', leave);
	upstream.once('connect', () => {
		upstream.off('error', failed);
		client.off('error', leave);
		client.off('close', leave);
		tell(req.url, 200);
		client.write('HTTP/1.1 200 Connection established\r\n\r\n');
		if (head.length > 0)
			upstream.write(head);
		join(client, upstream);
	});
}

async function main() {
	const options = readArguments();
	const server = http.createServer((req, res) =>
		res.writeHead(405, { allow: 'CONNECT', 'content-length': 0 }).end());
	const sockets = new Set();
	// A tunnel is idle for as long as a request is held.
	server.timeout = 0;
	server.headersTimeout = 0;
	server.requestTimeout = 0;
	server.keepAliveTimeout = 0;
	server.on('connection', (socket) => {
		if (sockets.has(socket))
			return;
		sockets.add(socket);
		socket.on('error', () => {});
		socket.on('close', () => sockets.delete(socket));
	});
	const again = (socket, head) => {
		if (head.length > 0)
			socket.unshift(head);
		server.emit('connection', socket);
	};
	server.on('connect', (req, socket, head) => onConnect(req, socket, head, options, again));
	server.listen(Number(options.port), LOOPBACK);
	await once(server, 'listening');
	const { address, port } = server.address();
	console.log(JSON.stringify({ listening: [{ address, port }], pid: process.pid }));
	for (const signal of ['SIGTERM', 'SIGINT'])
		process.once(signal, () => {
			server.close();
			sockets.forEach((socket) => socket.destroy());
		});
}

main().catch((error) => {
	console.error(`proxy.mjs: ${error.message}`);
	process.exitCode = 1;
});
