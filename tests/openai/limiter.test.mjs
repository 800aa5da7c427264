// If one of these fails, the imitation admits or refuses what OpenAI would not.

import assert from 'node:assert/strict';
import test from 'node:test';
import { Limiter } from './limiter.mjs';
import { Limits, keyId } from './limits.mjs';
import { goDuration, quotaError, rateHeaders, rateLimitError, retryHeaders } from './ratelimit.mjs';

const cost = (tokens, images = 0) => ({ tokens, images });

// A limiter for one key and model, with a clock that the test moves.
function setUp(limits) {
	const limiter = new Limiter();
	const it = {
		nowMs: 1000, limits,
		ask: (tokens, images) =>
			limiter.decide('k', 'm', it.limits, cost(tokens, images), it.nowMs),
		state: () => limiter.state('k', 'm', it.limits, it.nowMs),
		fail: () => limiter.countFailure('k', 'm', it.limits, it.nowMs),
		limiter,
	};
	return it;
}

test('a bucket starts full and refuses what it does not hold, with the documented wait', () => {
	const it = setUp({ tpm: 30000 });
	assert.equal(it.ask(30000), null);
	const refusal = it.ask(890);
	assert.equal(rateLimitError('gpt-4o', 'org-x', refusal).message,
		'Rate limit reached for gpt-4o in organization org-x on tokens per min (TPM): ' +
		'Limit 30000, Used 30000, Requested 890. Please try again in 1.78s. ' +
		'Visit https://platform.openai.com/account/rate-limits to learn more.');
	assert.deepEqual(retryHeaders(refusal), { 'retry-after': '2', 'retry-after-ms': '1780' });
	it.nowMs += 1779;
	assert.ok(it.ask(890));
	it.nowMs += 1;
	assert.equal(it.ask(890), null);
});

test('refilling is continuous, and stops at the limit', () => {
	const it = setUp({ tpm: 600 });
	it.ask(600);
	it.nowMs += 150;
	assert.equal(it.state().tokens.level, 1.5);
	assert.equal(it.state().tokens.remaining, 1);
	it.nowMs += 1e9;
	assert.equal(it.state().tokens.level, 600);
	assert.equal(rateHeaders(it.state())['x-ratelimit-reset-tokens'], '0s');
});

test('a client that waits exactly as long as it is told is admitted, a thousand times', () => {
	const it = setUp({ tpm: 70001, rpm: 7001 });
	it.ask(70001);
	for (let i = 1; i <= 1000; i++) {
		const refusal = it.ask(i);
		it.nowMs += Number(retryHeaders(refusal)['retry-after-ms']);
		assert.equal(it.ask(i), null, `attempt ${i}`);
	}
});

test('a request refused for its tokens counts as a request, not as tokens', () => {
	const it = setUp({ rpm: 10, tpm: 100 });
	it.ask(95);
	assert.equal(it.ask(6).kind, 'tokens');
	assert.equal(it.state().requests.level, 8);
	assert.equal(it.state().tokens.level, 5);
	it.fail();
	assert.equal(it.state().requests.level, 7);
});

test('knocking early at an empty request bucket never shortens the wait', () => {
	const it = setUp({ rpm: 3 });
	for (let i = 0; i < 3; i++)
		assert.equal(it.ask(1), null);
	const refusal = it.ask(1);
	assert.deepEqual([refusal.kind, refusal.type, refusal.used], ['requests', 'requests', 3]);
	assert.match(rateLimitError('m', 'o', refusal).message,
		/per min \(RPM\): Limit 3, Used 3, Requested 1. Please try again in 20s\./);
	it.nowMs += 19_000;
	assert.equal(it.ask(1).waitMs, 20_000);
	it.nowMs += 20_000;
	assert.equal(it.ask(1), null);
});

test('a request larger than the limit is too large, whatever is left', () => {
	const it = setUp({ rpm: 5, tpm: 100 });
	const refusal = it.ask(101);
	assert.equal(refusal.kind, 'too_large');
	const error = rateLimitError('m', 'org-x', refusal);
	assert.match(error.message,
		/^Request too large for m in organization org-x on tokens per min/);
	assert.deepEqual([error.status, error.type, error.code],
		[429, 'tokens', 'rate_limit_exceeded']);
	assert.deepEqual(retryHeaders(refusal), {});
	assert.equal(it.state().tokens.level, 100);
	assert.equal(it.state().requests.level, 4);
});

test('a daily limit refuses on its own, and the headers describe the day', () => {
	const it = setUp({ rpm: 500, rpd: 10000, tpm: 1000 });
	it.ask(1);
	assert.deepEqual(rateHeaders(it.state()), {
		'x-ratelimit-limit-requests': '10000', 'x-ratelimit-remaining-requests': '9999',
		'x-ratelimit-reset-requests': '8.64s', 'x-ratelimit-limit-tokens': '1000',
		'x-ratelimit-remaining-tokens': '999', 'x-ratelimit-reset-tokens': '60ms',
	});
	const small = setUp({ rpm: 100, rpd: 2 });
	small.ask(1);
	small.ask(1);
	const refusal = small.ask(1);
	assert.equal(refusal.kind, 'requests_day');
	assert.equal(retryHeaders(refusal)['retry-after'], '43200');
});

test('images are counted, and only when admitted', () => {
	const it = setUp({ ipm: 5 });
	assert.equal(it.ask(0, 4), null);
	assert.equal(it.ask(0, 2).kind, 'images');
	assert.equal(it.state().images.remaining, 1);
	assert.equal(it.ask(0, 6).kind, 'too_large');
});

test('keys and models have buckets of their own', () => {
	const limiter = new Limiter();
	const limits = { tpm: 10 };
	assert.equal(limiter.decide('a', 'm', limits, cost(10), 0), null);
	assert.equal(limiter.decide('b', 'm', limits, cost(10), 0), null);
	assert.equal(limiter.decide('a', 'n', limits, cost(10), 0), null);
	assert.ok(limiter.decide('a', 'm', limits, cost(1), 0));
	limiter.reset();
	assert.equal(limiter.decide('a', 'm', limits, cost(10), 0), null);
});

test('a changed limit leaves what was used as used', () => {
	const it = setUp({ tpm: 100 });
	it.ask(60);
	it.limits = { tpm: 200 };
	assert.equal(it.state().tokens.level, 140);
	it.limits = { tpm: 50 };
	assert.equal(it.state().tokens.level, 0);
});

test('durations are printed as Go prints them', () => {
	const expected = {
		'0s': 0, '1ms': 0.2, '12ms': 12, '1s': 999.5, '8.64s': 8640, '1m0s': 60_000,
		'6m0s': 360_000, '1m1.5s': 61_500, '1h0m0s': 3_600_000, '23h18m29.144s': 83_909_144,
		'1.78s': 1780.0000000000002,
	};
	for (const [printed, ms] of Object.entries(expected))
		assert.equal(goDuration(ms), printed);
});

test('an exhausted quota has a type and code of its own', () => {
	const { type, code } = quotaError().body().error;
	assert.deepEqual([type, code], ['insufficient_quota', 'insufficient_quota']);
});

test('the limits file: defaults, models, keys, and what is wrong in it', () => {
	const limits = new Limits({
		default: { rpm: 1 }, models: { a: { rpm: 2 }, gone: null },
		keys: {
			'sk-1': { models: { a: { rpm: 3 } }, quota_exhausted: true },
			'sk-2': { default: { rpm: 4 } },
		},
	});
	const rpm = (key, model) => limits.lookup(keyId(key), model)?.rpm;
	assert.equal(rpm('sk-0', 'a'), 2);
	assert.equal(rpm('sk-0', 'other'), 1);
	assert.equal(rpm('sk-0', 'gone'), undefined);
	assert.equal(rpm('sk-1', 'a'), 3);
	assert.equal(rpm('sk-1', 'other'), 1);
	assert.equal(rpm('sk-2', 'a'), 4);
	assert.equal(limits.quotaExhausted(keyId('sk-1')), true);
	assert.deepEqual(limits.modelNames(keyId('sk-0')), ['a']);
	assert.equal(new Limits({}).lookup('x', 'a'), null);
	for (const wrong of [[], { modles: {} }, { default: { tpm: 1.5 } },
		{ models: { a: { rpm: 0 } } }, { models: { a: { rps: 1 } } },
		{ keys: { 'sk-1': { limit: 1 } } }])
		assert.throws(() => new Limits(wrong), /^TypeError: limits: /);
});
