// Deno's fetch: Rust's rustls, linked into a program without symbols. Its authorities come from --cert.

const plan = JSON.parse(Deno.readTextFileSync(Deno.args[0]));

function tell(event, item, fields) {
	console.log(JSON.stringify({ event, id: item.id, t: Date.now() / 1000, ...fields }));
}

async function run(item) {
	const body = item.body ? JSON.stringify(item.body) : '';
	const bytes = new TextEncoder().encode(body);
	const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
	const sha256 = [...digest].map((byte) => byte.toString(16).padStart(2, '0')).join('');
	tell('sending', item, { sha256, bytes: bytes.length });
	const begin = performance.now();
	try {
		const answer = await fetch(`https://api.openai.com:${plan.port}${item.path}`, {
			method: item.method, body: body || undefined,
			headers: {
				'Authorization': `Bearer ${plan.key}`, 'X-Test-Id': item.id,
				'Content-Type': 'application/json',
			},
		});
		const text = await answer.text();
		let usage = null;
		try {
			usage = JSON.parse(text).usage ?? null;
		} catch { /* a stream */ }
		tell('done', item, { ms: performance.now() - begin, status: answer.status, usage });
	} catch (error) {
		tell('error', item, { ms: performance.now() - begin, name: error.name, message: error.message });
	}
}

if (plan.wait) {
	console.log('{"event": "ready"}');
	Deno.stdin.readSync(new Uint8Array(1));
}
await Promise.all(plan.lanes.map(async (lane) => {
	for (const item of lane)
		await run(item);
}));
