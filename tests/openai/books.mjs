// The books: what was asked, what was decided, what it was charged. One JSON line per request,
// written the moment its outcome is decided, and totals for each key and model.
//
// The log is written synchronously, so that a reader who has seen a response finds its line, and
// the order of lines is the order of decisions.

import fs from 'node:fs';

function emptyTotals() {
	return {
		requests: 0, ok: 0, failed: 0, refused: {}, charged_tokens: 0, input_tokens: 0,
		output_tokens: 0, images: 0, retries: 0, abandoned: 0,
	};
}

export class Books {
	#fd;
	#total = emptyTotals();
	// key id → model → totals; '-' where a request had none.
	#byKey = new Map();
	#connections = { opened: 0, open: 0, http1: 0, http2: 0, tls_failed: 0 };
	#protocolErrors = {};
	#sinceMs;
	// Requests whose headers are here and whose body is not yet.
	receiving = 0;

	constructor(path, nowMs) {
		this.#fd = fs.openSync(path, 'a');
		this.#sinceMs = nowMs;
	}

	close() {
		fs.closeSync(this.#fd);
	}

	#accounts({ key, model }) {
		const models = this.#byKey.get(key ?? '-') ?? new Map();
		this.#byKey.set(key ?? '-', models);
		const totals = models.get(model ?? '-') ?? emptyTotals();
		models.set(model ?? '-', totals);
		return [this.#total, totals];
	}

	// The outcome of one request; entry is the line of the log.
	record(entry) {
		for (const totals of this.#accounts(entry)) {
			totals.requests++;
			if (entry.status === 200)
				totals.ok++;
			else if (entry.status === 429)
				totals.refused[entry.limit_kind] =
					(totals.refused[entry.limit_kind] ?? 0) + 1;
			else
				totals.failed++;
			totals.charged_tokens += entry.charged;
			totals.input_tokens += entry.input_tokens;
			totals.output_tokens += entry.output_tokens;
			totals.images += entry.images;
			totals.retries += entry.retry_count > 0 ? 1 : 0;
		}
		fs.writeSync(this.#fd, JSON.stringify(entry) + '\n');
	}

	// A response that was decided, and charged, but whose client did not stay to the end.
	abandon(entry) {
		for (const totals of this.#accounts(entry))
			totals.abandoned++;
	}

	opened(httpVersion) {
		this.#connections[httpVersion === 2 ? 'http2' : 'http1']++;
		this.#connections.open++;
		return ++this.#connections.opened;
	}

	closed() {
		this.#connections.open--;
	}

	tlsFailed() {
		this.#connections.tls_failed++;
	}

	// Bytes that are not HTTP, by the parser's own error code.
	protocolError(code) {
		this.#protocolErrors[code] = (this.#protocolErrors[code] ?? 0) + 1;
	}

	// bucketsOf(key, model) gives the current bucket levels, or null.
	totals(nowMs, bucketsOf) {
		const keys = {};
		for (const [key, models] of this.#byKey) {
			keys[key] = {};
			for (const [model, totals] of models)
				keys[key][model] = { ...totals, buckets: bucketsOf(key, model) };
		}
		return {
			since: this.#sinceMs / 1000, now: nowMs / 1000, total: this.#total, keys,
			receiving: this.receiving, connections: this.#connections,
			protocol_errors: this.#protocolErrors,
		};
	}

	// Totals from zero. Serial numbers of connections, and those still open, go on.
	reset(nowMs) {
		this.#total = emptyTotals();
		this.#byKey.clear();
		this.#protocolErrors = {};
		this.#sinceMs = nowMs;
	}
}
