// multipart/form-data as RFC 7578 and RFC 2046 section 5.1 have it, and nothing else: no preamble,
// no epilogue, no folded header, no file name in RFC 5987's form.

import { ApiError } from './errors.mjs';

const BOUNDARY = /^[0-9A-Za-z'()+_,\-./:=? ]{0,69}[0-9A-Za-z'()+_,\-./:=?]$/;
const PARAMETER = /^;[ \t]*([!#$%&'+\-.^_`|~0-9A-Za-z]+)=(?:"((?:[^"\\\r\n]|\\.)*)"|([^\s;"]+))/;
const HEADER = /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*(.*)$/;

function wrong(what) {
	return new ApiError(400, `Could not parse multipart form: ${what}.`);
}

// `value; a=b; c="d"`: {value, parameters}.
function parseField(text) {
	const value = text.split(';', 1)[0].trim().toLowerCase();
	const parameters = new Map();
	let rest = text.slice(text.split(';', 1)[0].length).trim();
	while (rest) {
		const found = PARAMETER.exec(rest);
		if (!found)
			throw wrong(`a malformed parameter in '${text}'`);
		const name = found[1].toLowerCase();
		if (parameters.has(name))
			throw wrong(`'${name}' twice in '${text}'`);
		parameters.set(name, found[3] ?? found[2].replace(/\\(["\\])/g, '$1'));
		rest = rest.slice(found[0].length).trim();
	}
	return { value, parameters };
}

function parseHeaders(text) {
	const headers = new Map();
	for (const line of text.split('\r\n')) {
		const [, name, value] = HEADER.exec(line) ?? [];
		if (!name || /[\r\n]/.test(value))
			throw wrong(`a malformed header '${line}'`);
		if (headers.has(name.toLowerCase()))
			throw wrong(`the header ${name} twice`);
		headers.set(name.toLowerCase(), value);
	}
	return headers;
}

function parsePart(bytes) {
	const end = bytes.indexOf('\r\n\r\n');
	if (end < 0)
		throw wrong('a part without an end of its headers');
	const headers = parseHeaders(bytes.toString('utf8', 0, end));
	const { value, parameters } = parseField(headers.get('content-disposition') ?? '');
	if (value !== 'form-data' || !parameters.get('name'))
		throw wrong('a part without a name');
	// RFC 7578 section 4.2.
	if (parameters.has('filename*'))
		throw wrong('filename* is not allowed');
	// RFC 7578 section 4.7: deprecated. These two change nothing.
	const transfer = headers.get('content-transfer-encoding') ?? 'binary';
	if (!['binary', '8bit'].includes(transfer.toLowerCase()))
		throw wrong(`a part is encoded as ${transfer}`);
	return {
		name: parameters.get('name'), filename: parameters.get('filename') ?? null,
		type: headers.get('content-type') ?? null, bytes: bytes.subarray(end + 4),
	};
}

// The parts in order: [{name, filename, type, bytes}]; filename and type are null if absent. Throws
// an ApiError.
export function parseMultipart(contentType, bytes) {
	const { parameters } = parseField(contentType);
	const boundary = parameters.get('boundary') ?? '';
	if (!BOUNDARY.test(boundary))
		throw wrong('no boundary, or not one of RFC 2046');
	const opening = `--${boundary}`;
	if (bytes.toString('latin1', 0, opening.length) !== opening)
		throw wrong('the body does not begin with its boundary');
	const parts = [];
	let at = opening.length;
	while (bytes.toString('latin1', at, at + 2) === '\r\n') {
		const end = bytes.indexOf(`\r\n${opening}`, at + 2);
		if (end < 0)
			throw wrong('the last part does not end');
		parts.push(parsePart(bytes.subarray(at + 2, end)));
		at = end + 2 + opening.length;
	}
	// The end of the closing line is optional, as clients differ.
	if (!['--', '--\r\n'].includes(bytes.toString('latin1', at)))
		throw wrong('bytes behind a boundary, or no closing one');
	return parts;
}
