// If one of these fails, a client behind a proxy is tested with one that is none.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import net from 'node:net';
import path from 'node:path';
import { createInterface } from 'node:readline';
import test, { after, before } from 'node:test';
import tls from 'node:tls';
import { fileURLToPath } from 'node:url';
import { startServer } from './fixture.mjs';

const HERE = path.dirname(fileURLToPath(import.meta.url));
let server;

before(async () => {
	server = await startServer({ default: { rpm: 100, tpm: 100_000 } });
});
after(() => server.stop());

async function startProxy(...options) {
	const child = spawn(process.execPath, [path.join(HERE, 'proxy.mjs'), '--port', '0',
		...options],
		{ stdio: ['ignore', 'pipe', 'inherit'] });
	const exited = once(child, 'exit');
	const lines = [];
	const reader = createInterface(child.stdout);
	const [first] = await once(reader, 'line');
	reader.on('line', (line) => lines.push(JSON.parse(line)));
	return {
		port: JSON.parse(first).listening[0].port, lines,
		async stop() {
			child.kill();
			assert.deepEqual(await exited, [0, null]);
		},
	};
}

async function open(proxy) {
	const socket = net.connect(proxy.port, '127.0.0.1');
	await once(socket, 'connect');
	return socket;
}

async function ask(socket, target, header = '') {
	socket.write(`CONNECT ${target} HTTP/1.1\r\nhost: ${target}\r\n${header}\r\n`);
	const [bytes] = await once(socket, 'data');
	return bytes.toString();
}

// Speaks TLS and HTTP/1.1 in the tunnel.
async function get(socket) {
	const inner = tls.connect({ socket, ca: server.ca, servername: 'api.openai.com' });
	await once(inner, 'secureConnect');
	inner.end('GET /v1/models HTTP/1.1\r\nhost: api.openai.com\r\n' +
		'authorization: Bearer sk-test\r\nconnection: close\r\n\r\n');
	let text = '';
	for await (const chunk of inner)
		text += chunk;
	return text;
}

test('a tunnel leads to the imitation whatever host it was asked for', async () => {
	const proxy = await startProxy('--to', String(server.port));
	try {
		const socket = await open(proxy);
		assert.match(await ask(socket, 'api.openai.com:443'),
			/^HTTP\/1\.1 200 [^\r]+\r\n\r\n$/);
		assert.match(await get(socket), /^HTTP\/1\.1 200 OK/);
		const { connect, status } = proxy.lines[0];
		assert.deepEqual([connect, status], ['api.openai.com:443', 200]);
	} finally {
		await proxy.stop();
	}
});

test('without --to it connects to what it is asked for, or answers 502', async () => {
	const proxy = await startProxy();
	try {
		const socket = await open(proxy);
		assert.match(await ask(socket, '127.0.0.1:1'), /^HTTP\/1\.1 502 /);
		assert.match(await ask(socket, `127.0.0.1:${server.port}`), /^HTTP\/1\.1 200 /);
		assert.match(await get(socket), /^HTTP\/1\.1 200 OK/);
	} finally {
		await proxy.stop();
	}
});

test('--auth: 407 until the password is right, all on one connection', async () => {
	const proxy = await startProxy('--to', String(server.port), '--auth', 'me:secret');
	const basic = (text) =>
		`proxy-authorization: Basic ${Buffer.from(text).toString('base64')}\r\n`;
	try {
		const socket = await open(proxy);
		assert.match(await ask(socket, 'api.openai.com:443'),
			/^HTTP\/1\.1 407 [^]*proxy-authenticate: Basic realm=/);
		assert.match(await ask(socket, 'api.openai.com:443', basic('me:wrong')),
			/^HTTP\/1\.1 407 /);
		assert.match(await ask(socket, 'api.openai.com:443', basic('me:secret')),
			/^HTTP\/1\.1 200 /);
		assert.match(await get(socket), /^HTTP\/1\.1 200 OK/);
		assert.deepEqual(proxy.lines.map(({ status }) => status), [407, 407, 200]);
	} finally {
		await proxy.stop();
	}
});

test('a target without a port is refused, and so is anything but CONNECT', async () => {
	const proxy = await startProxy('--to', String(server.port));
	try {
		for (const target of ['api.openai.com', 'api.openai.com:0',
		'https://api.openai.com:443'])
			assert.match(await ask(await open(proxy), target), /^HTTP\/1\.1 400 /,
				target);
		const socket = await open(proxy);
		socket.write('GET http://api.openai.com/ HTTP/1.1\r\nhost: api.openai.com\r\n\r\n');
		const [bytes] = await once(socket, 'data');
		assert.match(bytes.toString(), /^HTTP\/1\.1 405 /);
	} finally {
		await proxy.stop();
	}
});
