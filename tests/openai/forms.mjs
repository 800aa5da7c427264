// A multipart body as an object of the same shape as a JSON body would have, so that the endpoints
// need not care. What is expected is a table of fields:
//
//   {field: {kind, required, many, values}}
//   kind     text | integer | number | boolean | file
//   many     an array of values, each sent under `field[]`; a single one may come as `field`
//   values   the only ones there are
//
// A file becomes {filename, type, bytes}. A field that is not in the table is refused, as is one
// that comes twice.

import { ApiError, badParameter, missingParameter } from './errors.mjs';
import { parseMultipart } from './multipart.mjs';

function textOf(name, part) {
	try {
		return new TextDecoder('utf-8', { fatal: true }).decode(part.bytes);
	} catch {
		throw badParameter(name, 'expected UTF-8');
	}
}

const NUMBER = /^-?\d+(\.\d+)?$/;

const READERS = {
	text: (name, part) => textOf(name, part),
	integer(name, part) {
		const text = textOf(name, part);
		if (!/^-?\d{1,15}$/.test(text))
			throw badParameter(name, 'expected an integer');
		return Number(text);
	},
	number(name, part) {
		const text = textOf(name, part);
		if (!NUMBER.test(text))
			throw badParameter(name, 'expected a number');
		return Number(text);
	},
	boolean(name, part) {
		const text = textOf(name, part);
		if (!['true', 'false'].includes(text))
			throw badParameter(name, "expected 'true' or 'false'");
		return text === 'true';
	},
	file(name, part) {
		if (part.filename === null || part.bytes.length === 0)
			throw badParameter(name, 'expected a file that is not empty');
		return { filename: part.filename, type: part.type, bytes: part.bytes };
	},
};

function readPart(fields, part) {
	const name = part.name.replace(/\[\]$/, '');
	const field = Object.hasOwn(fields, name) ? fields[name] : null;
	if (!field || (name !== part.name && !field.many))
		throw new ApiError(400, `Unknown parameter: '${part.name}'.`,
			{ param: part.name, code: 'unknown_parameter' });
	if (field.kind !== 'file' && part.filename !== null)
		throw badParameter(name, 'expected a value, not a file');
	const value = READERS[field.kind](name, part);
	if (field.values && !field.values.includes(value))
		throw badParameter(name, `expected one of ${field.values.join(', ')}`);
	return { name, many: field.many, value };
}

export function readForm(fields, contentType, bytes) {
	const body = {};
	for (const part of parseMultipart(contentType, bytes)) {
		const { name, many, value } = readPart(fields, part);
		if (many)
			(body[name] ??= []).push(value);
		else if (Object.hasOwn(body, name))
			throw badParameter(name, 'given twice');
		else
			body[name] = value;
	}
	for (const [name, { required }] of Object.entries(fields))
		if (required && !Object.hasOwn(body, name))
			throw missingParameter(name);
	return body;
}
