// The books: what was asked, what was decided, what it was charged, and what it used in the end.
// One JSON line per request, written the moment its outcome is decided, and totals for each key and
// model, for each model, and of everything:
//
//   requests, ok, failed, refused     what was decided; refused counts 429s by kind of limit
//   charged_tokens, images            taken from the buckets at admission
//   input_tokens, output_tokens       what the requests that were admitted would use, if all
//                                     answers were heard to the end
//   answered, cut, aborted            what became of it: the answer was sent whole; broken off by
//                                     x-test-cut; the client closed before the answer was whole
//   abandoned                         those of `aborted` that had been admitted or refused by then
//   used_input_tokens, used_output_tokens   what `usage` says of the answered ones, told or not; of
//                                     a stream that broke off its input and the deltas that were
//                                     sent; nothing of another answer that broke off
//   too_many_requests, malformed      answers 429; requests that are wrong in themselves (400, 408,
//                                     413), among them those whose body ended too early
//
// The log is written synchronously, so that a reader who has seen a response finds its line, and
// the order of lines is the order of decisions.

import fs from 'node:fs';
import { Pings } from './ping.mjs';

function emptyTotals() {
	return {
		requests: 0, ok: 0, failed: 0, refused: {}, charged_tokens: 0, input_tokens: 0,
		output_tokens: 0, images: 0, retries: 0, abandoned: 0, answered: 0, cut: 0,
		aborted: 0, used_input_tokens: 0, used_output_tokens: 0, too_many_requests: 0,
		malformed: 0,
	};
}

// The client left before its request was whole (receive.mjs).
const CLIENT_LEFT = 499;
const MALFORMED = [400, 408, 413];
// The status of a WebSocket's upgrade.
const GOOD = [101, 200];

function at(map, key, create) {
	if (!map.has(key))
		map.set(key, create());
	return map.get(key);
}

export class Books {
	#fd;
	#total = emptyTotals();
	// key id → model → totals; '-' where a request had none.
	#byKey = new Map();
	#byModel = new Map();
	#connections = { opened: 0, open: 0, http1: 0, http2: 0, tls_failed: 0 };
	#protocolErrors = {};
	#sinceMs;
	pings = new Pings();
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
		const models = at(this.#byKey, key ?? '-', () => new Map());
		return [this.#total, at(this.#byModel, model ?? '-', emptyTotals),
			at(models, model ?? '-', emptyTotals)];
	}

	// The outcome of one request; entry is the line of the log.
	record(entry) {
		for (const totals of this.#accounts(entry)) {
			totals.requests++;
			if (GOOD.includes(entry.status))
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
			totals.too_many_requests += entry.status === 429 ? 1 : 0;
			totals.malformed += MALFORMED.includes(entry.status) ? 1 : 0;
			totals.aborted += entry.status === CLIENT_LEFT ? 1 : 0;
		}
		fs.writeSync(this.#fd, JSON.stringify(entry) + '\n');
	}

	// What became of a response that was decided. outcome: answered, cut or aborted; used:
	// null, or {inputTokens, outputTokens}. An answer that is an error is neither answered nor
	// cut.
	settle(entry, outcome, used) {
		for (const totals of this.#accounts(entry)) {
			if (outcome === 'aborted')
				totals.abandoned++;
			if (outcome === 'aborted' || GOOD.includes(entry.status))
				totals[outcome]++;
			totals.used_input_tokens += used?.inputTokens ?? 0;
			totals.used_output_tokens += used?.outputTokens ?? 0;
		}
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
			models: Object.fromEntries(this.#byModel),
			receiving: this.receiving, connections: this.#connections,
			protocol_errors: this.#protocolErrors, ...this.pings.totals(),
		};
	}

	// Totals from zero. Serial numbers of connections, and those still open, go on.
	reset(nowMs) {
		this.#total = emptyTotals();
		this.#byKey.clear();
		this.#byModel.clear();
		this.#protocolErrors = {};
		this.pings.reset();
		this.#sinceMs = nowMs;
	}
}
