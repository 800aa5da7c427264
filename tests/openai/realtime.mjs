// A session on /v1/realtime: the client's events, and a turn for each response.create. Text only;
// sound is taken and not understood. (API reference, "Realtime: client events, server events".)
//
// A turn is one request to the limiter, charged all tokens of its usage when it begins. It has a
// line of its own in the log: method WS, and the event's event_id as test_id. Its input is all that
// was said before. As servers may, ours sends some messages in pieces, some with a PING between the
// pieces, and some PINGs of their own.

import { createHash, randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { codePoints } from './charge.mjs';
import { planOf } from './decide.mjs';
import { ApiError, badParameter, missingParameter } from './errors.mjs';
import { organization } from './limits.mjs';
import { quotaError, rateLimitError } from './ratelimit.mjs';
import { turnEvents, turnResponse } from './realtime_turn.mjs';
import { pace } from './streaming.mjs';
import { parseJson } from './validate.mjs';

const BASE_TOKENS = 10;
const PIECES = 3;
const MAX_OUTPUT_TOKENS = 4096;
const ROLES = ['user', 'system', 'assistant'];

const itemId = () => `item_${randomBytes(8).toString('hex')}`;
const charsOf = (content) => content.reduce((sum, { text }) => sum + codePoints(text), 0);

function checkOutputCap(value, param) {
	if (value == null || value === 'inf')
		return null;
	if (!Number.isSafeInteger(value) || value < 1 || value > MAX_OUTPUT_TOKENS)
		throw badParameter(param, `expected 'inf' or 1 to ${MAX_OUTPUT_TOKENS}`);
	return value;
}

export class RealtimeSession {
	#api;
	#entry;
	#socket;
	#settings;
	#conversationChars = 0;
	#sent = 0;
	#deltas = 0;
	// An AbortController, of the turn that is being answered.
	#turn = null;
	#leave = new AbortController();

	constructor(api, entry, socket) {
		this.#api = api;
		this.#entry = entry;
		this.#socket = socket;
		this.#settings = {
			type: 'realtime', object: 'realtime.session',
			id: `sess_${entry.id.slice(4)}`, model: entry.model,
			output_modalities: ['text'], instructions: '', tools: [],
			tool_choice: 'auto', max_output_tokens: 'inf',
		};
	}

	start(head) {
		this.#socket.onMessage = (text) => this.#take(text);
		this.#socket.onClose = () => this.#leave.abort();
		this.#send({ type: 'session.created', session: this.#settings });
		this.#socket.start(head);
	}

	// Every third message is in pieces, every sixth has a PING in between, and before every
	// fifth there is one.
	async #send(event) {
		const n = ++this.#sent;
		if (n % 5 === 0)
			this.#socket.ping(String(n));
		const eventId = `event_${this.#entry.id.slice(4, 12)}${n}`;
		await this.#socket.send(JSON.stringify({ event_id: eventId, ...event }),
			{ pieces: n % 3 === 0 ? PIECES : 1, pinged: n % 6 === 0 });
	}

	// The next turn may begin as soon as the client has seen this one's end.
	#end(response) {
		this.#turn = null;
		return this.#send({ type: 'response.done', response });
	}

	#take(text) {
		let event = {};
		try {
			event = parseJson(Buffer.from(text));
			if (typeof event.type !== 'string' || !Object.hasOwn(ACTIONS, event.type))
				throw badParameter('type', `no such client event: ${event.type}`);
			ACTIONS[event.type].call(this, event, text);
		} catch (error) {
			if (!(error instanceof ApiError))
				throw error;
			this.#send({ type: 'error',
				error: { ...error.body().error,
					event_id: event.event_id ?? null } });
		}
	}

	update({ session }) {
		if (session === null || typeof session !== 'object')
			throw missingParameter('session');
		if (session.instructions != null && typeof session.instructions !== 'string')
			throw badParameter('session.instructions', 'expected a string');
		checkOutputCap(session.max_output_tokens, 'session.max_output_tokens');
		Object.assign(this.#settings, session,
			{ id: this.#settings.id, model: this.#settings.model });
		this.#send({ type: 'session.updated', session: this.#settings });
	}

	say({ item }) {
		if (item?.type !== 'message' || !ROLES.includes(item.role))
			throw badParameter('item', 'expected a message with a role');
		if (!Array.isArray(item.content) || item.content.length === 0)
			throw badParameter('item.content', 'expected a non-empty array');
		for (const { type, text } of item.content)
			if (!/^(input|output)_text$/.test(type) || typeof text !== 'string')
				throw badParameter('item.content', 'expected parts of text');
		this.#conversationChars += charsOf(item.content);
		const shown = { id: itemId(), object: 'realtime.item', status: 'completed',
			...item };
		for (const type of ['conversation.item.added', 'conversation.item.done'])
			this.#send({ type, previous_item_id: null, item: shown });
	}

	commit() {
		this.#send({ type: 'input_audio_buffer.committed', previous_item_id: null,
			item_id: itemId() });
	}

	cancel() {
		if (!this.#turn)
			throw new ApiError(400, 'Cancellation failed: no active response found',
				{ code: 'response_cancel_not_active' });
		this.#turn.abort();
	}

	respond(event, text) {
		if (this.#turn)
			throw new ApiError(400, 'Conversation already has an active response',
				{ code: 'conversation_already_has_active_response' });
		const wanted = event.response ?? {};
		const cap = checkOutputCap(
			wanted.max_output_tokens ?? this.#settings.max_output_tokens,
			'response.max_output_tokens');
		const instructions = wanted.instructions ?? this.#settings.instructions;
		if (typeof instructions !== 'string')
			throw badParameter('response.instructions', 'expected a string');
		const chars = this.#conversationChars + codePoints(instructions);
		this.#turn = new AbortController();
		this.#answer(this.#openTurn(event, text), chars, cap)
			.catch((error) => {
				if (this.#leave.signal.aborted)
					return;
				console.error('imitation at fault:', error);
				process.exitCode = 1;
				this.#socket.destroy();
			});
	}

	#openTurn(event, text) {
		const nowS = this.#api.now() / 1000;
		return {
			...this.#entry, method: 'WS', t: nowS, t_body: nowS,
			id: `req_${randomBytes(16).toString('hex')}`, stream: true,
			status: null, body_sha256: createHash('sha256').update(text).digest('hex'),
			body_bytes: Buffer.byteLength(text),
			test_id: event.event_id ?? null,
		};
	}

	// Charges and books the turn: {plan, error}.
	#decide(turn, chars, cap) {
		const api = this.#api;
		const nowMs = api.now();
		// A model that POST /__limits took away is not limited any more.
		const limits = api.limits.lookup(turn.key, turn.model) ?? {};
		const account = [turn.key, turn.model, limits];
		const inputTokens = BASE_TOKENS + Math.floor(chars / 4);
		const plan = planOf(api, turn, { cap: () => cap }, {},
			{ tokens: 0, inputTokens, images: 0 }, nowMs);
		const tokens = inputTokens + plan.output.outputTokens;
		turn.requested_tokens = tokens;
		const quota = api.limits.quotaExhausted(turn.key) ? quotaError() : null;
		const refusal = quota ? null :
			api.limiter.decide(...account, { tokens, images: 0 }, nowMs);
		const error = quota ?? (refusal &&
			rateLimitError(turn.model, organization(turn.key), refusal));
		turn.status = error ? 429 : 200;
		turn.charged = error ? 0 : tokens;
		if (error)
			Object.assign(turn, { error: error.code, input_tokens: 0, output_tokens: 0,
				limit_kind: refusal?.kind ?? error.code });
		api.books.record(turn);
		return { plan, error, state: () => api.limiter.state(...account, api.now()) };
	}

	async #answer(turn, chars, cap) {
		const { plan, error, state } = this.#decide(turn, chars, cap);
		if (error) {
			await this.#send({ type: 'response.created',
				response: turnResponse(plan, { status: 'in_progress' }) });
			return this.#end(turnResponse(plan, { status: 'failed', error }));
		}
		const used = { inputTokens: plan.inputTokens, outputTokens: 0 };
		const settle = (outcome) => this.#api.books.settle(turn, outcome, used);
		try {
			const isCut = await this.#speak(turn, plan, state, used);
			settle(isCut ? 'cut' : 'answered');
		} catch (failure) {
			settle('aborted');
			throw failure;
		}
	}

	// What was said is input of the turns that come.
	#remember(plan, { outputTokens }) {
		const said = plan.output.choices[0].tokens.slice(0, outputTokens);
		this.#conversationChars += codePoints(said.join(''));
	}

	// Sends the turn's events; resolves to whether the connection was cut.
	async #speak(turn, plan, state, used) {
		const cancel = this.#turn.signal;
		const { latencyMs, msPerToken, now } = this.#api;
		const wait = (ms) => ms > 0 && sleep(ms, undefined, { signal: this.#leave.signal });
		const limit = turn.cut_after ?? Infinity;
		const send = async (event, deltas) => {
			this.#leave.signal.throwIfAborted();
			if (this.#deltas >= limit || cancel.aborted)
				return false;
			used.outputTokens += deltas;
			this.#deltas += deltas;
			if (event.type !== 'response.done')
				return this.#send(event);
			this.#remember(plan, used);
			return this.#end(event.response);
		};
		await wait(latencyMs);
		await pace(turnEvents(plan, state), msPerToken, { now, sleep: wait, send });
		if (this.#deltas >= limit) {
			this.#socket.destroy();
			return true;
		}
		if (cancel.aborted) {
			this.#remember(plan, used);
			await this.#end(turnResponse(plan,
				{ status: 'cancelled', outputTokens: used.outputTokens }));
		}
		this.#leave.signal.throwIfAborted();
		return false;
	}
}

const ACTIONS = {
	'session.update': RealtimeSession.prototype.update,
	'conversation.item.create': RealtimeSession.prototype.say,
	'input_audio_buffer.append': () => {},
	'input_audio_buffer.clear': () => {},
	'input_audio_buffer.commit': RealtimeSession.prototype.commit,
	'response.create': RealtimeSession.prototype.respond,
	'response.cancel': RealtimeSession.prototype.cancel,
};
