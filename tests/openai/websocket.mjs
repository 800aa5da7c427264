// The server's side of a WebSocket, RFC 6455 and (permessage-deflate) RFC 7692, after the upgrade.
//
// Strict: a frame of the client's that is not masked, has reserved bits or an unknown opcode, is
// longer than it need be written, or comes out of turn ends the connection with 1002, text that is
// not UTF-8 with 1007, a message that is too long with 1009.

import { constants, createDeflateRaw, createInflateRaw } from 'node:zlib';

const TEXT = 1;
const BINARY = 2;
const CLOSE = 8;
const PING = 9;
const PONG = 10;
const PROTOCOL_ERROR = 1002;
const NOT_UTF8 = 1007;
const TOO_LONG = 1009;
const NO_STATUS = 1005;
const ABNORMAL = 1006;
const MAX_MESSAGE_BYTES = 16 * 1024 * 1024;
// What a deflated message ends with, and is sent without (RFC 7692 section 7.2.1).
const TAIL = Buffer.from([0, 0, 0xff, 0xff]);

class Violation extends Error {
	constructor(code, message) {
		super(message);
		this.code = code;
	}
}

export function frame(opcode, payload, { isFinal = true, isDeflated = false } = {}) {
	const first = (isFinal ? 0x80 : 0) | (isDeflated ? 0x40 : 0) | opcode;
	const { length } = payload;
	let head;
	if (length < 126) {
		head = Buffer.from([first, length]);
	} else if (length < 65_536) {
		head = Buffer.from([first, 126, 0, 0]);
		head.writeUInt16BE(length, 2);
	} else {
		head = Buffer.alloc(10);
		head.set([first, 127]);
		head.writeBigUInt64BE(BigInt(length), 2);
	}
	return Buffer.concat([head, payload]);
}

// Length and size of the head from its first bytes; null if more are needed.
function parseHead(bytes) {
	if (bytes.length < 2)
		return null;
	const short = bytes[1] & 0x7f;
	const extra = short < 126 ? 0 : short === 126 ? 2 : 8;
	if (bytes.length < 2 + extra + 4)
		return null;
	const length = extra === 0 ? short :
		extra === 2 ? bytes.readUInt16BE(2) : Number(bytes.readBigUInt64BE(2));
	if ((extra === 2 && length < 126) || (extra === 8 && length < 65_536))
		throw new Violation(PROTOCOL_ERROR, 'a length not written in its shortest form');
	return {
		isFinal: (bytes[0] & 0x80) !== 0, isDeflated: (bytes[0] & 0x40) !== 0,
		reserved: bytes[0] & 0x30, opcode: bytes[0] & 0x0f,
		isMasked: (bytes[1] & 0x80) !== 0, length, size: 2 + extra + 4,
	};
}

function checkHead({ isFinal, isDeflated, reserved, opcode, isMasked, length }, deflates, inside) {
	if (!isMasked)
		throw new Violation(PROTOCOL_ERROR, 'a frame that is not masked');
	if (reserved || (isDeflated && (!deflates || opcode === 0 || opcode >= CLOSE)))
		throw new Violation(PROTOCOL_ERROR, 'a reserved bit');
	if (![0, TEXT, BINARY, CLOSE, PING, PONG].includes(opcode))
		throw new Violation(PROTOCOL_ERROR, `opcode ${opcode}`);
	if (opcode >= CLOSE && (!isFinal || length > 125))
		throw new Violation(PROTOCOL_ERROR, 'a control frame that is long or in pieces');
	if (opcode < CLOSE && (opcode === 0) !== inside)
		throw new Violation(PROTOCOL_ERROR, 'a frame out of turn');
	if (length > MAX_MESSAGE_BYTES)
		throw new Violation(TOO_LONG, 'a frame that is too long');
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

// Runs one message through a deflating or inflating stream, which keeps its window between them.
function pump(stream, bytes) {
	return new Promise((resolve, reject) => {
		const chunks = [];
		let length = 0;
		const take = (chunk) => {
			chunks.push(chunk);
			length += chunk.length;
			if (length > MAX_MESSAGE_BYTES)
				reject(new Violation(TOO_LONG, 'a message that is too long'));
		};
		stream.on('data', take);
		stream.once('error', reject);
		stream.write(bytes);
		stream.flush(constants.Z_SYNC_FLUSH, () => {
			stream.off('data', take);
			stream.off('error', reject);
			resolve(Buffer.concat(chunks));
		});
	});
}

// RFC 6455 section 7.4: those that an endpoint may send.
function isCloseCode(code) {
	const isRegistered = code >= 1000 && code <= 1014 && ![1004, 1005, 1006].includes(code);
	return isRegistered || (code >= 3000 && code < 5000);
}

export class WebSocket {
	#socket;
	#bytes = Buffer.alloc(0);
	// The pieces of the message that has begun: {opcode, isDeflated, chunks, length}.
	#message = null;
	#inflate = null;
	#deflate = null;
	#reading = Promise.resolve();
	#sending = Promise.resolve();
	#sentClose = false;
	#isOver = false;
	// Set by whoever uses it: onMessage(text); onClose(code, reason), once.
	onMessage = () => {};
	onClose = () => {};

	constructor(socket, { deflates }) {
		this.#socket = socket;
		if (deflates) {
			this.#inflate = createInflateRaw();
			this.#deflate = createDeflateRaw();
		}
		socket.on('error', () => {});
		socket.on('close', () => this.#over(ABNORMAL, 'connection lost'));
		socket.on('end', () => socket.end());
	}

	// head: what came with the upgrade's request already. Call it when onMessage is set.
	start(head) {
		const take = (bytes) => {
			this.#reading = this.#reading.then(() => this.#feed(bytes));
		};
		take(head);
		this.#socket.on('data', take);
	}

	get isOpen() {
		return !this.#sentClose && !this.#isOver;
	}

	#over(code, reason) {
		if (this.#isOver)
			return;
		this.#isOver = true;
		this.#inflate?.close();
		this.#deflate?.close();
		this.onClose(code, reason);
	}

	#write(bytes) {
		return new Promise((resolve) => {
			if (this.#socket.destroyed)
				return resolve();
			this.#socket.write(bytes, () => resolve());
		});
	}

	// pieces: in how many frames. With `pinged`, a PING stands between them, as section 5.4
	// allows.
	send(text, options = {}) {
		this.#sending = this.#sending.then(() => this.#send(text, options));
		return this.#sending;
	}

	async #send(text, { pieces = 1, pinged = false }) {
		if (!this.isOpen)
			return;
		let payload = Buffer.from(text);
		if (this.#deflate)
			payload = (await pump(this.#deflate, payload)).subarray(0, -TAIL.length);
		const size = Math.max(1, Math.ceil(payload.length / pieces));
		const frames = [];
		for (let from = 0; from < payload.length; from += size) {
			if (pinged && from > 0)
				frames.push(frame(PING, Buffer.from('between')));
			const piece = payload.subarray(from, from + size);
			frames.push(frame(from === 0 ? TEXT : 0, piece, {
				isFinal: from + size >= payload.length,
				isDeflated: from === 0 && this.#deflate !== null,
			}));
		}
		if (this.isOpen)
			await this.#write(Buffer.concat(frames));
	}

	ping(text) {
		return this.isOpen ? this.#write(frame(PING, Buffer.from(text))) : undefined;
	}

	// Begins the closing handshake, or answers it; the connection ends once both have closed.
	close(code, reason = '') {
		if (this.#sentClose)
			return;
		const size = code === NO_STATUS ? 0 : 2 + Buffer.byteLength(reason);
		const payload = Buffer.alloc(size);
		if (code !== NO_STATUS) {
			payload.writeUInt16BE(code);
			payload.write(reason, 2);
		}
		this.#write(frame(CLOSE, payload));
		this.#sentClose = true;
	}

	// Breaks the connection, without a closing handshake.
	destroy() {
		this.#socket.destroy();
	}

	async #feed(bytes) {
		if (this.#isOver)
			return;
		this.#bytes = Buffer.concat([this.#bytes, bytes]);
		try {
			while (!this.#isOver && await this.#frame());
		} catch (error) {
			const known = error instanceof Violation;
			if (!known && !['Z_DATA_ERROR', 'Z_BUF_ERROR'].includes(error.code))
				throw error;
			const code = known ? error.code : NOT_UTF8;
			this.close(code, error.message);
			this.#socket.end();
			this.#over(code, error.message);
		}
	}

	// Takes one frame, if it is all there.
	async #frame() {
		const head = parseHead(this.#bytes);
		// The mask's absence is told before its bytes could come.
		if (!head && this.#bytes.length >= 2 && !(this.#bytes[1] & 0x80))
			throw new Violation(PROTOCOL_ERROR, 'a frame that is not masked');
		if (head)
			checkHead(head, this.#inflate !== null, this.#message !== null);
		if (!head || this.#bytes.length < head.size + head.length)
			return false;
		const mask = this.#bytes.subarray(head.size - 4, head.size);
		const end = head.size + head.length;
		const payload = Buffer.from(this.#bytes.subarray(head.size, end));
		for (let i = 0; i < payload.length; i++)
			payload[i] ^= mask[i & 3];
		this.#bytes = this.#bytes.subarray(end);
		if (head.opcode >= CLOSE)
			this.#control(head.opcode, payload);
		else
			await this.#data(head, payload);
		return true;
	}

	#control(opcode, payload) {
		if (opcode === PING && this.isOpen)
			this.#write(frame(PONG, payload));
		if (opcode !== CLOSE)
			return;
		if (payload.length === 1)
			throw new Violation(PROTOCOL_ERROR, 'a status of one byte');
		const code = payload.length === 0 ? NO_STATUS : payload.readUInt16BE();
		if (payload.length > 0 && !isCloseCode(code))
			throw new Violation(PROTOCOL_ERROR, `status ${code}`);
		this.close(code);
		this.#socket.end();
		this.#over(code, decode(payload.subarray(2)));
	}

	async #data({ opcode, isFinal, isDeflated }, payload) {
		this.#message ??= { opcode, isDeflated, chunks: [], length: 0 };
		this.#message.chunks.push(payload);
		this.#message.length += payload.length;
		if (this.#message.length > MAX_MESSAGE_BYTES)
			throw new Violation(TOO_LONG, 'a message that is too long');
		if (!isFinal)
			return;
		const message = this.#message;
		this.#message = null;
		let bytes = Buffer.concat(message.chunks);
		if (message.isDeflated)
			bytes = await pump(this.#inflate, Buffer.concat([bytes, TAIL]));
		if (message.opcode === BINARY)
			throw new Violation(1003, 'binary messages are not understood here');
		this.onMessage(decode(bytes));
	}
}

function decode(bytes) {
	try {
		return utf8.decode(bytes);
	} catch {
		throw new Violation(NOT_UTF8, 'text that is not UTF-8');
	}
}
