"""A realtime session over a WebSocket (aiohttp). Each request of the lane is a turn of it: the turn is asked for
by an event response.create, and is over with response.done, which tells its usage. The first request's path is
where the session is. Option of the plan: steps, waits before each turn but the first.
"""
import asyncio
import json
import ssl

import aiohttp

from plan import Attempt, Plan


async def turn(session, item):
    with Attempt(item) as attempt:
        text = json.dumps({"type": "response.create", "event_id": item["id"], "response": item["body"]})
        attempt.sending(text.encode())
        await session.send_str(text)
        async for message in session:
            event = json.loads(message.data)
            if event["type"] in ("response.done", "error"):
                break
        else:
            raise ConnectionError("the session has ended")
        attempt.done(200 if event["type"] == "response.done" else 400, json.dumps(event).encode())


async def main():
    plan = Plan()
    [items] = plan.lanes
    connector = aiohttp.TCPConnector(ssl=ssl.create_default_context(cafile=plan.ca))
    async with aiohttp.ClientSession(plan.base, connector=connector) as client:
        async with client.ws_connect(items[0]["path"], headers=plan.headers(items[0])) as session:
            for number, item in enumerate(items):
                if number and plan.options.get("steps"):
                    await asyncio.to_thread(plan.wait_for_word)
                await turn(session, item)


asyncio.run(main())
