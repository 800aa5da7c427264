// Node's own fetch (undici). Its authorities come from NODE_EXTRA_CA_CERTS.

import { follow, headers, plan } from './plan.mjs';

await fetch('data:,'); // Node loads it at its first call: that is not what is measured
await follow(async (item, sending) => {
	const body = item.body ? JSON.stringify(item.body) : '';
	sending(body);
	const answer = await fetch(plan.base + item.path, {
		method: item.method, body: body || undefined,
		headers: { ...headers(item), 'Content-Type': 'application/json' },
	});
	return { status: answer.status, text: await answer.text() };
});
