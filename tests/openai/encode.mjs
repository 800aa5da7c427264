// Which Content-Encoding a JSON response gets, and the encoding itself. Event streams have none.
//
//   x-test-encode: gzip | br | zstd | deflate | identity     the client's test decides
//   --encode auto       br or gzip, whichever Accept-Encoding weighs more (br in a tie)
//   neither             gzip if it is acceptable, as OpenAI's servers do
//
// `deflate` is the zlib format of RFC 9110 section 8.4.1.2. Node 20 has no zstd: the command does
// it, whose time (a few ms) nobody here waits for twice.

import { spawnSync } from 'node:child_process';
import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib';

const MAX_ZSTD_BYTES = 64 * 1024 * 1024;

function zstd(bytes) {
	const { status, stdout, stderr, error } = spawnSync('zstd', ['--quiet', '--stdout'],
		{ input: bytes, maxBuffer: MAX_ZSTD_BYTES });
	if (status !== 0)
		throw new Error(`zstd: ${error?.message ?? stderr}`);
	return stdout;
}

const ENCODERS = { gzip: gzipSync, br: brotliCompressSync, deflate: deflateSync, zstd };

export const CODINGS = [...Object.keys(ENCODERS), 'identity'];

// RFC 9110 section 12.5.3: the weight of a coding, from its own entry or that of *; 0 forbids it.
function weightOf(header, ...names) {
	const weights = new Map(header.toLowerCase().split(',').map((coding) => {
		const [name, ...parameters] = coding.split(';').map((part) => part.trim());
		const weight = parameters.find((parameter) => parameter.startsWith('q='));
		return [name, weight === undefined ? 1 : Number(weight.slice(2))];
	}));
	const named = [...names, '*'].find((name) => weights.has(name));
	return named === undefined ? 0 : weights.get(named);
}

// mode: what --encode says, 'gzip' or 'auto'.
export function chooseCoding(headers, mode) {
	const asked = headers['x-test-encode'];
	if (asked !== undefined)
		return asked;
	const accepted = headers['accept-encoding'] ?? '';
	const gzip = weightOf(accepted, 'gzip', 'x-gzip');
	const br = mode === 'auto' ? weightOf(accepted, 'br') : 0;
	if (br > 0 && br >= gzip)
		return 'br';
	return gzip > 0 ? 'gzip' : 'identity';
}

export function encode(bytes, coding) {
	return coding === 'identity' ? bytes : ENCODERS[coding](bytes);
}
