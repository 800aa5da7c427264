"""One team's programs in the demo: asks for completions in its own rhythm, and takes a 429 as the
official SDKs do.

    workload.py --team chat|review|batch --base URL --ca FILE --seconds S > one line of JSON per request

A line: {"id", "begin", "end", "status", "n_429"}; status is null while the provider was not reached.
"""
import argparse
import asyncio
import json
import random
import socket
import sys
import time

import httpx

MODEL = "gpt-4"
KEY = "sk-demo"
# What a request of each team is charged, tokens: characters / 4 + 3 + max_tokens.
COST = {"chat": 500, "review": 120, "batch": 400}
CHAT_EVERY_S = 0.6
REVIEW_BURST, REVIEW_EVERY_S = 50, 7
BATCH_AT_ONCE = 30
# The official client's: openai-python, _constants.py and _base_client.py.
MAX_RETRIES, FIRST_DELAY_S, MAX_DELAY_S, MAX_RETRY_AFTER_S, TIMEOUT_S = 2, 0.5, 8, 60, 600


def body(team, name):
    max_tokens = COST[team] // 4
    chars = 4 * (COST[team] - 3 - max_tokens)
    return {"messages": [{"role": "user", "content": (f"{name}: " + "what flows must be governed; " * chars)[:chars]}],
            "model": MODEL, "max_tokens": max_tokens}


def retry_delay(response, n_retries):
    """As long as the provider says, or else exponential backoff with some jitter."""
    told = float(response.headers.get("retry-after-ms", 0)) / 1000
    if 0 < told <= MAX_RETRY_AFTER_S:
        return told
    return min(FIRST_DELAY_S * 2**n_retries, MAX_DELAY_S) * (1 - 0.25 * random.random())


class Team:
    def __init__(self, name, client, seconds):
        self.name, self.client, self.number = name, client, 0
        self.end = time.monotonic() + seconds

    def is_over(self):
        return time.monotonic() >= self.end

    async def pause(self, seconds):
        await asyncio.sleep(max(0, min(seconds, self.end - time.monotonic())))

    async def ask(self):
        self.number += 1
        line = {"id": f"{self.name}-{self.number}", "begin": time.time(), "status": None, "n_429": 0}
        content = body(self.name, line["id"])
        for n_retries in range(MAX_RETRIES + 1):
            response = await self.client.post(
                "/v1/chat/completions", json=content,
                headers={"X-Test-Id": line["id"], "X-Stainless-Retry-Count": str(n_retries)})
            line["status"] = response.status_code
            if response.status_code != 429:
                break
            line["n_429"] += 1
            if n_retries < MAX_RETRIES:
                await asyncio.sleep(retry_delay(response, n_retries))
        line["end"] = time.time()
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()

    async def chat(self):
        """A few people, each of whom wants an answer now."""
        async with asyncio.TaskGroup() as group:
            while not self.is_over():
                group.create_task(self.ask())
                await self.pause(CHAT_EVERY_S)

    async def review(self):
        """A merge request, and 50 files of it to look at."""
        async with asyncio.TaskGroup() as group:
            while not self.is_over():
                for _ in range(REVIEW_BURST):
                    group.create_task(self.ask())
                await self.pause(REVIEW_EVERY_S)

    async def batch(self):
        """A heap of documents that never ends."""
        async def worker():
            while not self.is_over():
                await self.ask()

        await asyncio.gather(*(worker() for _ in range(BATCH_AT_ONCE)))


async def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--team", choices=tuple(COST), required=True)
    parser.add_argument("--base", required=True)
    parser.add_argument("--ca", required=True)
    parser.add_argument("--seconds", type=float, required=True)
    options = parser.parse_args()
    look_up = socket.getaddrinfo  # api.openai.com is on this host
    socket.getaddrinfo = lambda host, *rest, **rest_named: look_up("127.0.0.1", *rest, **rest_named)
    async with httpx.AsyncClient(base_url=options.base, verify=options.ca, timeout=TIMEOUT_S,
                                 limits=httpx.Limits(max_connections=None, max_keepalive_connections=100),
                                 headers={"Authorization": f"Bearer {KEY}"}) as client:
        team = Team(options.team, client, options.seconds)
        await getattr(team, options.team)()


asyncio.run(main())
