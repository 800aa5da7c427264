"""httpx, the asynchronous client, which the official Python client uses: one for all lanes."""
import asyncio

import httpx

from plan import TIMEOUT_S, Attempt, Plan


async def main():
    plan = Plan()
    n = len(plan.lanes)
    limits = httpx.Limits(max_connections=n, max_keepalive_connections=n)
    async with httpx.AsyncClient(base_url=plan.base, verify=plan.ca, limits=limits,
                                 timeout=TIMEOUT_S) as client:
        async def lane(items):
            for item in items:
                with Attempt(item) as attempt:
                    request = client.build_request(item["method"], item["path"], headers=plan.headers(item),
                                                   json=item["body"])
                    attempt.sending(request.read())
                    answer = await client.send(request)
                    attempt.done(answer.status_code, answer.content)

        await asyncio.gather(*map(lane, plan.lanes))


asyncio.run(main())
