// Azure OpenAI's dialect: the deployment in the path says the model, the key comes in the header
// api-key, resets are bare milliseconds, and errors have a code and a message only.
// (Azure OpenAI in Azure AI Foundry Models REST API reference, "API specs".)

import { ApiError } from './errors.mjs';
import { rateHeaders, retryHeaders } from './ratelimit.mjs';

const API_VERSION = /^\d{4}-\d{2}-\d{2}(-preview)?$/;

function apiVersion(req) {
	return new URL(req.url, 'https://host').searchParams.get('api-version');
}

export const azure = {
	apiKey(req) {
		const apiKey = req.headers['api-key'];
		if (!apiKey)
			throw new ApiError(401, 'Access denied due to invalid subscription ' +
				'key or wrong API endpoint. Make sure to provide a valid key for ' +
				'an active subscription and use a correct regional API endpoint ' +
				'for your resource.', { code: '401' });
		return apiKey;
	},
	// Without a version there is no such resource.
	check(req) {
		if (!API_VERSION.test(apiVersion(req) ?? ''))
			throw new ApiError(404, 'Resource not found', { code: '404' });
	},
	headers: (entry) => ({
		'apim-request-id': entry.id, 'x-request-id': entry.id, 'x-ms-region': 'Imitation',
		...(entry.model ? { 'x-ms-deployment-name': entry.model } : {}),
	}),
	rateHeaders(state) {
		const headers = rateHeaders(state);
		const shown = {
			requests: state.requests_day ?? state.requests, tokens: state.tokens,
		};
		for (const [name, bucket] of Object.entries(shown))
			if (bucket)
				headers[`x-ratelimit-reset-${name}`] =
					String(Math.ceil(Number(bucket.resetMs.toFixed(8))));
		return headers;
	},
	retryHeaders,
	rateLimited(model, _organization, { unit, waitMs }) {
		const rate = unit.startsWith('tokens') ? 'token' : 'call';
		const waitS = Math.ceil(Number((waitMs ?? 86_400_000).toFixed(3)) / 1000);
		return new ApiError(429, `Your requests to ${model} have exceeded the ${rate} ` +
			'rate limit of your current AIServices S0 pricing tier. Please retry ' +
			`after ${waitS} seconds. To increase your default rate limit, visit: ` +
			'https://aka.ms/oai/quotaincrease.', { code: '429' });
	},
	unknownModel: () => new ApiError(404,
		'The API deployment for this resource does not exist. If you created the ' +
		'deployment within the last 5 minutes, please wait a moment and try again.',
		{ code: 'DeploymentNotFound' }),
	// What the model's API itself finds wrong has OpenAI's shape, here as well.
	errorBody: (error) => error.status === 400 ? error.body() :
		{ error: { code: error.code ?? String(error.status), message: error.message } },
};
