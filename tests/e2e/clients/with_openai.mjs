// The official Node client. A request whose body says stream is read event by event; a GET lists the
// models; the path says whether it is a chat or a response. Option of the plan: retries (0), how often
// the client may try again.

import OpenAI from 'openai';
import { follow, headers, isDelta, plan } from './plan.mjs';

await fetch('data:,'); // Node loads it at its first call: that is not what is measured
await follow(async (item, sending) => {
	const client = new OpenAI({
		apiKey: plan.key, baseURL: `${plan.base}/v1`, maxRetries: plan.options.retries ?? 0,
		fetch(url, options) {
			sending(options.body ?? '');
			return fetch(url, options);
		},
	});
	const options = { headers: { 'X-Test-Id': headers(item)['X-Test-Id'] } };
	if (item.method === 'GET')
		return { status: (await client.models.list(options).asResponse()).status };
	const api = item.path.endsWith('/responses') ? client.responses : client.chat.completions;
	const { data, response } = await api.create(item.body, options).withResponse();
	if (!item.body.stream)
		return { status: response.status, usage: data.usage, deltas: 0 };
	let usage = null, deltas = 0;
	for await (const event of data) {
		usage = event.usage ?? event.response?.usage ?? usage;
		deltas += isDelta(event);
	}
	return { status: response.status, usage, deltas };
});
