// The listening side: TLS with HTTP/2 and HTTP/1.1, or HTTP/1.1 alone, and a serial number for each
// connection.
//
// Every timeout of Node's is off: a governed request may be held for minutes between its headers
// and its body, and a connection may be idle for as long. Only receive.mjs has a limit, for bodies.

import fs from 'node:fs';
import http2 from 'node:http2';
import https from 'node:https';
import { ENDED_EARLY } from './receive.mjs';

// The smallest TLS record size that Node can be asked for.
const SMALL_RECORD_BYTES = 512;
const SERIAL = Symbol('serial');
const STREAMS = Symbol('open streams');

// options: {cert, key, http1Only, recordSplit, pingEveryMs}; cert and key are paths. upgrader
// answers an HTTP/1.1 request that asks for another protocol. onSocket(socket) is called for each
// connection whose handshake succeeded.
export function createServer(options, books, { handler, upgrader }, onSocket) {
	const tlsOptions = {
		cert: fs.readFileSync(options.cert), key: fs.readFileSync(options.key),
		minVersion: 'TLSv1.2',
	};
	const server = options.http1Only ?
		https.createServer({ ...tlsOptions, ALPNProtocols: ['http/1.1'] }, handler) :
		http2.createSecureServer({ ...tlsOptions, allowHTTP1: true }, handler);
	server.timeout = 0;
	server.headersTimeout = 0;
	server.requestTimeout = 0;
	server.keepAliveTimeout = 0;
	// Node 18's HTTP/2 server leaves this undefined, and a timer without an interval spins.
	server.connectionsCheckingInterval ??= 30_000;

	server.on('secureConnection', (socket) => {
		const httpVersion = socket.alpnProtocol === 'h2' ? 2 : 1;
		socket[SERIAL] = books.opened(httpVersion);
		socket.on('close', () => books.closed());
		if (options.recordSplit)
			socket.setMaxSendFragment(SMALL_RECORD_BYTES);
		onSocket(socket);
	});
	server.on('session', (session) => {
		countStreams(session);
		if (options.pingEveryMs > 0)
			books.pings.every(session, options.pingEveryMs);
	});
	server.on('upgrade', upgrader);
	server.on('tlsClientError', () => books.tlsFailed());
	server.on('sessionError', (error) => {
		// Others, such as ECONNRESET, are only a client that left.
		if (error.code?.startsWith('ERR_HTTP2_'))
			books.protocolError(error.code);
	});
	server.on('clientError', (error, socket) => malformed(error, socket, books));
	return server;
}

function countStreams(session) {
	session[STREAMS] = 0;
	// Before the one that makes a request of it.
	session.prependListener('stream', (stream) => {
		session[STREAMS]++;
		stream.on('close', () => session[STREAMS]--);
	});
}

// HTTP/1.1 bytes the parser refused. A reset is not among them.
function malformed(error, socket, books) {
	if (error.code?.startsWith('HPE_')) {
		books.protocolError(error.code);
		socket[ENDED_EARLY] = error.code === 'HPE_INVALID_EOF_STATE';
		if (socket.writable)
			socket.end('HTTP/1.1 400 Bad Request\r\nconnection: close\r\n' +
				'content-length: 0\r\n\r\n');
	} else {
		socket.destroy();
	}
}

// What the log says of a request's connection. streams_open: how many of its requests are not
// answered yet, this one among them; on HTTP/1.1 it is alone.
export function connectionOf(req) {
	const socket = req.socket;
	const session = req.stream?.session;
	return {
		remote_port: socket.remotePort, connection: socket[SERIAL],
		http: req.httpVersionMajor, alpn: socket.alpnProtocol || null,
		streams_open: session ? session[STREAMS] : 1,
	};
}
