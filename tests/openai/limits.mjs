// The limits file: who may use which model, and how much of it.
//
//   { "default": {"rpm": 500, "tpm": 30000},             every model that is not named
//     "models":  {"gpt-4": {"rpm": 200, "tpm": 40000},   a named model
//                 "gpt-3": null},                        a model that does not exist
//     "keys":    {"sk-abc": {"models": {...}, "default": {...}, "quota_exhausted": true}} }
//
// Dimensions: rpm, rpd (requests a minute, a day), tpm (tokens a minute), ipm (images a minute).
// One that is absent is not limited. A key's own entry for a model replaces the general one
// entirely. Without a "default", a model that is not named does not exist (404).

import { createHash } from 'node:crypto';

const DIMENSIONS = ['rpm', 'rpd', 'tpm', 'ipm'];

// The first 12 hexadecimal digits: what the log calls a key, since the key itself is never kept.
export function keyId(apiKey) {
	return createHash('sha256').update(apiKey).digest('hex').slice(0, 12);
}

// The organization a key belongs to: one for each key, and made from it.
export function organization(key) {
	const digest = createHash('sha256').update(`organization ${key}`).digest('hex');
	return `org-${digest.slice(0, 24)}`;
}

function fail(where, what) {
	throw new TypeError(`limits: ${where}: ${what}`);
}

function checkObject(value, where, allowed) {
	if (value === null || typeof value !== 'object' || Array.isArray(value))
		fail(where, 'must be an object');
	for (const name of Object.keys(value))
		if (allowed && !allowed.includes(name))
			fail(where, `unknown member "${name}"`);
}

function checkModel(value, where) {
	checkObject(value, where, DIMENSIONS);
	for (const [name, limit] of Object.entries(value))
		if (!Number.isSafeInteger(limit) || limit < 1)
			fail(`${where}.${name}`, 'must be a whole number above 0');
}

function checkScope(scope, where, allowed) {
	checkObject(scope, where, allowed);
	if (scope.default != null)
		checkModel(scope.default, `${where}.default`);
	checkObject(scope.models ?? {}, `${where}.models`);
	for (const [model, value] of Object.entries(scope.models ?? {}))
		if (value !== null)
			checkModel(value, `${where}.models.${model}`);
}

export class Limits {
	#general;
	#keys = new Map();

	constructor(file) {
		checkScope(file, 'file', ['default', 'models', 'keys']);
		this.#general = file;
		checkObject(file.keys ?? {}, 'keys');
		for (const [apiKey, scope] of Object.entries(file.keys ?? {})) {
			const id = keyId(apiKey);
			checkScope(scope, `key ${id}`, ['default', 'models', 'quota_exhausted']);
			this.#keys.set(id, scope);
		}
	}

	// The limits of one key on one model; null if this key has no such model.
	lookup(key, model) {
		for (const scope of [this.#keys.get(key) ?? {}, this.#general]) {
			if (Object.hasOwn(scope.models ?? {}, model))
				return scope.models[model];
			if (scope.default)
				return scope.default;
		}
		return null;
	}

	quotaExhausted(key) {
		return this.#keys.get(key)?.quota_exhausted === true;
	}

	// The models a key is told of: those that have a name.
	modelNames(key) {
		const names = { ...this.#general.models, ...this.#keys.get(key)?.models };
		return Object.keys(names).filter((name) => names[name] !== null).sort();
	}
}
