// The way onto /v1/realtime: checks an upgrade to WebSocket (RFC 6455 section 4.2) and answers it,
// with 101 and a session (realtime.mjs), or with what is wrong. The upgrade itself is not metered:
// each turn on it is.
//
//   x-test-deflate: 1    permessage-deflate is used if the client offers it; without this it is not
//   x-test-cut: N        the connection is destroyed after N deltas, of all its turns together

import { createHash } from 'node:crypto';
import http from 'node:http';
import { dialectOf } from './dialects.mjs';
import { openEntry } from './entry.mjs';
import { ApiError, badParameter, missingParameter } from './errors.mjs';
import { keyId } from './limits.mjs';
import { RealtimeSession } from './realtime.mjs';
import { WebSocket } from './websocket.mjs';

const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
const PATH = '/v1/realtime';
// How a browser, which cannot set headers, tells its key.
const KEY_PROTOCOL = 'openai-insecure-api-key.';
const EMPTY_SHA256 = createHash('sha256').digest('hex');

const tokensOf = (header = '') =>
	header.split(',').map((token) => token.trim()).filter(Boolean);

function checkHandshake({ method, headers, httpVersion }) {
	const bad = (what) => new ApiError(400, `Not a WebSocket handshake: ${what}.`);
	if (method !== 'GET' || httpVersion !== '1.1')
		throw bad('expected GET and HTTP/1.1');
	if (headers.upgrade.toLowerCase() !== 'websocket')
		throw bad('Upgrade must be websocket');
	if (headers['sec-websocket-version'] !== '13')
		throw new ApiError(426,
			'Only version 13 of the WebSocket protocol is spoken here.');
	const nonce = headers['sec-websocket-key'] ?? '';
	if (!/^[A-Za-z0-9+/]{22}==$/.test(nonce))
		throw bad('Sec-WebSocket-Key must be 16 bytes in base64');
}

// RFC 7692 section 7.1: an offer with parameters that we do not know is declined. Windows are as
// large as they can be, so a client's wish for a smaller one of ours cannot be met.
function acceptsDeflate(headers) {
	return headers['x-test-deflate'] === '1' &&
		tokensOf(headers['sec-websocket-extensions']).some((offer) => {
			const [name, ...parameters] = offer.split(';').map((part) => part.trim());
			return name === 'permessage-deflate' && parameters.every((parameter) =>
				/^client_max_window_bits(=\d+)?$/.test(parameter));
		});
}

function apiKeyOf(req, protocols) {
	const protocol = protocols.find((name) => name.startsWith(KEY_PROTOCOL));
	return protocol ? protocol.slice(KEY_PROTOCOL.length) : dialectOf(PATH).apiKey(req);
}

function admit(api, req, entry, protocols) {
	if (entry.path !== PATH)
		throw new ApiError(404, `Invalid URL (${req.method} ${entry.path})`);
	checkHandshake(req);
	entry.key = keyId(apiKeyOf(req, protocols));
	const model = new URL(req.url, 'https://host').searchParams.get('model');
	if (!model)
		throw missingParameter('model');
	entry.model = model;
	if (!api.limits.lookup(entry.key, model))
		throw dialectOf(PATH).unknownModel(model);
	const cut = req.headers['x-test-cut'];
	if (cut !== undefined && !/^\d{1,9}$/.test(cut))
		throw badParameter('x-test-cut', 'expected a number of deltas');
	entry.cut_after = cut === undefined ? null : Number(cut);
}

function refuse(socket, entry, error) {
	const body = JSON.stringify(error.body());
	const version = error.status === 426 ?
		'upgrade: websocket\r\nsec-websocket-version: 13\r\n' : '';
	socket.end(`HTTP/1.1 ${error.status} ${http.STATUS_CODES[error.status]}\r\n` +
		`${version}content-type: application/json\r\n` +
		`content-length: ${Buffer.byteLength(body)}\r\n` +
		`x-request-id: ${entry.id}\r\nconnection: close\r\n\r\n${body}`);
}

function accept(req, socket, entry, protocols, deflates) {
	const digest = createHash('sha1').update(req.headers['sec-websocket-key'] + GUID)
		.digest('base64');
	const headers = ['HTTP/1.1 101 Switching Protocols', 'upgrade: websocket',
		'connection: Upgrade', `sec-websocket-accept: ${digest}`,
		`x-request-id: ${entry.id}`];
	if (protocols.includes('realtime'))
		headers.push('sec-websocket-protocol: realtime');
	if (deflates)
		headers.push('sec-websocket-extensions: permessage-deflate');
	socket.write(`${headers.join('\r\n')}\r\n\r\n`);
}

export function createUpgrader(api) {
	return (req, socket, head) => {
		socket.on('error', () => {});
		const entry = openEntry(req, api.now());
		entry.t_body = entry.t;
		entry.body_sha256 = EMPTY_SHA256;
		const protocols = tokensOf(req.headers['sec-websocket-protocol']);
		try {
			admit(api, req, entry, protocols);
			entry.status = 101;
		} catch (error) {
			if (!(error instanceof ApiError))
				throw error;
			entry.status = error.status;
			entry.error = error.code ?? error.message;
			api.books.record(entry);
			return refuse(socket, entry, error);
		}
		api.books.record(entry);
		const deflates = acceptsDeflate(req.headers);
		accept(req, socket, entry, protocols, deflates);
		new RealtimeSession(api, entry, new WebSocket(socket, { deflates })).start(head);
	};
}
