"""aiohttp: one session for all lanes."""
import asyncio
import json
import ssl

import aiohttp

from plan import TIMEOUT_S, Attempt, Plan


async def main():
    plan = Plan()
    connector = aiohttp.TCPConnector(ssl=ssl.create_default_context(cafile=plan.ca), limit=len(plan.lanes))
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
    async with aiohttp.ClientSession(plan.base, connector=connector, timeout=timeout) as session:
        async def lane(items):
            for item in items:
                with Attempt(item) as attempt:
                    body = json.dumps(item["body"]).encode()
                    headers = {"Content-Type": "application/json", **plan.headers(item)}
                    attempt.sending(body)
                    async with session.request(item["method"], item["path"], headers=headers, data=body) as answer:
                        attempt.done(answer.status, await answer.read())

        await asyncio.gather(*map(lane, plan.lanes))


asyncio.run(main())
