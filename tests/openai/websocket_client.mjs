// A WebSocket client for the tests, which shows each frame as it came and may break the rules.

import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import https from 'node:https';
import { constants, createDeflateRaw, createInflateRaw } from 'node:zlib';

const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
const TAIL = Buffer.from([0, 0, 0xff, 0xff]);

export function frame(opcode, payload, { first = 0x80 | opcode, masked = true, head } = {}) {
	const mask = masked ? randomBytes(4) : Buffer.alloc(0);
	const flag = masked ? 0x80 : 0;
	const { length } = payload;
	const size = length < 126 ? [flag | length] : length < 65_536 ?
		[flag | 126, length >> 8, length & 0xff] :
		[flag | 127, 0, 0, 0, 0, 0, length >> 16, length >> 8 & 0xff, length & 0xff];
	const body = masked ? payload.map((byte, i) => byte ^ mask[i & 3]) : payload;
	return Buffer.concat([Buffer.from(head ?? [first, ...size]), mask, body]);
}

// The answer to an upgrade: {status, headers, text} if refused, else {status, headers, socket,
// head}.
export async function upgrade(server, target, headers = {}) {
	const nonce = randomBytes(16).toString('base64');
	const req = https.request({
		host: '127.0.0.1', port: server.port, ca: server.ca, servername: 'api.openai.com',
		agent: false, path: target, headers: {
			connection: 'Upgrade', upgrade: 'websocket', 'sec-websocket-version': '13',
			'sec-websocket-key': nonce, authorization: 'Bearer sk-test', ...headers,
		},
	});
	req.end();
	const answered = new Promise((resolve) => {
		req.on('upgrade', (res, socket, head) => resolve({ res, socket, head }));
		req.on('response', (res) => resolve({ res }));
	});
	const { res, socket, head } = await answered;
	if (!socket) {
		let text = '';
		for await (const chunk of res)
			text += chunk;
		return { status: res.statusCode, headers: res.headers, text };
	}
	const accept = createHash('sha1').update(nonce + GUID).digest('base64');
	if (res.headers['sec-websocket-accept'] !== accept)
		throw new Error('a wrong Sec-WebSocket-Accept');
	return { status: res.statusCode, headers: res.headers, socket, head };
}

async function pump(stream, bytes) {
	stream.write(bytes);
	await new Promise((resolve) => stream.flush(constants.Z_SYNC_FLUSH, resolve));
	return stream.read();
}

export class Client {
	// Each frame: {first (its first byte), opcode, payload}.
	frames = [];
	events = [];
	closed = null;
	#socket;
	#bytes = Buffer.alloc(0);
	#chunks = [];
	#changed = () => {};
	#inflate = createInflateRaw();
	#deflate = createDeflateRaw();
	#isDeflated = false;
	deflates = false;

	static async open(server, headers = {}, target = '/v1/realtime?model=gpt-realtime') {
		const answer = await upgrade(server, target, headers);
		if (answer.status !== 101)
			throw new Error(`${answer.status}: ${answer.text}`);
		const extensions = answer.headers['sec-websocket-extensions'];
		return new Client(answer.socket, answer.head, extensions !== undefined);
	}

	constructor(socket, head, deflates) {
		this.#socket = socket;
		this.deflates = deflates;
		let reading = this.#take(head);
		socket.on('data', (bytes) => reading = reading.then(() => this.#take(bytes)));
		socket.on('error', () => {});
		socket.on('close', () => reading.then(() => {
			this.closed ??= 1006;
			this.#changed();
		}));
	}

	async #take(bytes) {
		this.#bytes = Buffer.concat([this.#bytes, bytes]);
		while (this.#bytes.length >= 2) {
			const short = this.#bytes[1];
			const at = short < 126 ? 2 : short === 126 ? 4 : 10;
			if (this.#bytes.length < at)
				break;
			const length = at === 2 ? short : at === 4 ? this.#bytes.readUInt16BE(2) :
				Number(this.#bytes.readBigUInt64BE(2));
			if (this.#bytes.length < at + length)
				break;
			const first = this.#bytes[0];
			const payload = this.#bytes.subarray(at, at + length);
			this.#bytes = this.#bytes.subarray(at + length);
			this.frames.push({ first, opcode: first & 15, payload });
			await this.#frame(first, payload);
		}
		this.#changed();
	}

	async #frame(first, payload) {
		const opcode = first & 15;
		if (opcode === 9)
			this.#socket.write(frame(10, payload));
		if (opcode === 8)
			this.closed = payload.length ? payload.readUInt16BE() : 1005;
		if (opcode >= 8)
			return;
		if (opcode === 1)
			this.#isDeflated = (first & 0x40) !== 0;
		this.#chunks.push(payload);
		if (!(first & 0x80))
			return;
		let bytes = Buffer.concat(this.#chunks);
		this.#chunks = [];
		if (this.#isDeflated) {
			bytes = await pump(this.#inflate, Buffer.concat([bytes, TAIL]));
		}
		this.events.push(JSON.parse(bytes));
	}

	async send(event) {
		const text = typeof event === 'string' ? event : JSON.stringify(event);
		let payload = Buffer.from(text);
		if (!this.deflates)
			return this.#socket.write(frame(1, payload));
		payload = (await pump(this.#deflate, payload)).subarray(0, -TAIL.length);
		this.#socket.write(frame(1, payload, { first: 0xc1 }));
	}

	raw(bytes) {
		this.#socket.write(bytes);
	}

	drop() {
		this.#socket.destroy();
	}

	// Resolves to what probe() gives, once it gives something.
	async until(probe) {
		const deadline = Date.now() + 5000;
		for (;;) {
			const value = probe();
			if (value)
				return value;
			if (Date.now() > deadline)
				throw new Error('waited in vain; the last event: ' +
					`${JSON.stringify(this.events.at(-1))}, ${this.closed}`);
			await new Promise((resolve) => {
				this.#changed = resolve;
				setTimeout(resolve, 100).unref();
			});
		}
	}

	event(type, nth = 1) {
		return this.until(() =>
			this.events.filter((event) => event.type === type)[nth - 1]);
	}

	async close() {
		this.raw(frame(8, Buffer.from([3, 232])));
		const code = await this.until(() => this.closed);
		if (!this.#socket.destroyed)
			await once(this.#socket, 'close');
		return code;
	}
}
