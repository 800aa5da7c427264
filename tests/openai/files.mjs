// Files and batches, which have no model and are not metered: /v1/files takes what is uploaded, as
// a form, and /v1/batches starts a batch from such a file. Nothing of a batch is ever run: it stays
// `validating`. Each key sees its own; POST /__reset forgets them all.

import { ApiError, badParameter, missingParameter } from './errors.mjs';

const PURPOSES = ['assistants', 'batch', 'fine-tune', 'vision', 'user_data', 'evals'];
const BATCH_ENDPOINTS = ['/v1/responses', '/v1/chat/completions', '/v1/embeddings',
	'/v1/completions', '/v1/moderations'];
const WINDOW_S = { '24h': 86_400 };

export const UPLOAD = {
	file: { kind: 'file', required: true },
	purpose: { kind: 'text', required: true, values: PURPOSES },
	'expires_after[anchor]': { kind: 'text', values: ['created_at'] },
	'expires_after[seconds]': { kind: 'integer' },
};

// What was uploaded and started, by key, in order.
export class Store {
	files = new Map();
	batches = new Map();

	reset() {
		this.files.clear();
		this.batches.clear();
	}
}

function keep(shelf, key, id, thing) {
	if (!shelf.has(key))
		shelf.set(key, new Map());
	shelf.get(key).set(id, thing);
}

function find(shelf, key, id, what) {
	const thing = shelf.get(key)?.get(id);
	if (!thing)
		throw new ApiError(404, `No such ${what} object: ${id}`, { param: 'id' });
	return thing;
}

function list(shelf, key) {
	// The newest comes first.
	const data = [...shelf.get(key)?.values() ?? []].map(({ shown }) => shown).reverse();
	return {
		object: 'list', data, has_more: false,
		first_id: data[0]?.id ?? null, last_id: data.at(-1)?.id ?? null,
	};
}

export function upload(api, { key, body, id, nowMs }) {
	const shown = {
		id: `file-${id.slice(0, 24)}`, object: 'file', bytes: body.file.bytes.length,
		created_at: Math.floor(nowMs / 1000), expires_at: null,
		filename: body.file.filename, purpose: body.purpose, status: 'processed',
		status_details: null,
	};
	keep(api.store.files, key, shown.id, { shown, bytes: body.file.bytes });
	return shown;
}

export const listFiles = (api, { key }) => list(api.store.files, key);
export const findFile = (api, { key, parameters }) =>
	find(api.store.files, key, parameters.id, 'File').shown;
export const fileContent = (api, { key, parameters }) =>
	find(api.store.files, key, parameters.id, 'File').bytes;

function checkBatch(api, key, body) {
	for (const name of ['input_file_id', 'endpoint', 'completion_window'])
		if (body[name] == null)
			throw missingParameter(name);
	if (!BATCH_ENDPOINTS.includes(body.endpoint))
		throw badParameter('endpoint', `expected one of ${BATCH_ENDPOINTS.join(', ')}`);
	if (!Object.hasOwn(WINDOW_S, body.completion_window))
		throw badParameter('completion_window', "expected '24h'");
	const file = api.store.files.get(key)?.get(body.input_file_id);
	if (!file)
		throw badParameter('input_file_id', `no such File object: ${body.input_file_id}`);
	if (file.shown.purpose !== 'batch')
		throw badParameter('input_file_id', "the file's purpose must be 'batch'");
}

export function createBatch(api, { key, body, id, nowMs }) {
	checkBatch(api, key, body);
	const createdS = Math.floor(nowMs / 1000);
	const shown = {
		id: `batch_${id}`, object: 'batch', endpoint: body.endpoint, errors: null,
		input_file_id: body.input_file_id, completion_window: body.completion_window,
		status: 'validating', output_file_id: null, error_file_id: null,
		created_at: createdS, expires_at: createdS + WINDOW_S[body.completion_window],
		request_counts: { total: 0, completed: 0, failed: 0 },
		metadata: body.metadata ?? null,
	};
	keep(api.store.batches, key, shown.id, { shown });
	return shown;
}

export const listBatches = (api, { key }) => list(api.store.batches, key);
export const findBatch = (api, { key, parameters }) =>
	find(api.store.batches, key, parameters.id, 'Batch').shown;
