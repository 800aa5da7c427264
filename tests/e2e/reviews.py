"""A code reviewer that asks gpt-4 for more than its account allows: reviews of pull requests of paying, trial and
open-source users, which come in spikes, and users who chat with it.

    reviews.py --base URL --ca FILE --key KEY --seconds S > one line of JSON per request

A line: {"id", "kind", "begin", "end", "status", "error"}; times in s since the Unix epoch; id is what the server
logs as test_id. What a request is for stands in its X-Product-Reason header. At --seconds the program ends; what
still waits then has neither status nor error. Every name is on loopback.
"""
import argparse
import asyncio
import json
import sys
import time

import httpx

from load import chat_body, put_names_on_loopback

MODEL = "gpt-4"
SPIKE_EVERY_S = 10
# Reviews in each spike, tokens each. Together with the chat about twice 40,000 tokens a minute; the first spike also
# takes the full bucket.
SPIKE = {"paid_user": (8, 500), "trial_user": (8, 500), "open_source_user": (8, 500)}
FIRST_SPIKE = {"paid_user": (30, 500), "trial_user": (30, 500), "open_source_user": (30, 500)}
CHAT_EVERY_S, CHAT_TOKENS = 2.5, 300


def arrivals(seconds):
    """(due, kind, tokens), in order."""
    due = [(n * CHAT_EVERY_S, "chat", CHAT_TOKENS) for n in range(int(seconds / CHAT_EVERY_S))]
    for at in range(0, int(seconds), SPIKE_EVERY_S):
        for kind, (count, tokens) in (SPIKE if at else FIRST_SPIKE).items():
            due += [(at + n * 0.01, kind, tokens) for n in range(count)]
    return sorted(due)


async def ask(client, number, kind, tokens):
    name = f"{kind}-{number}"
    line = {"id": name, "kind": kind, "begin": time.time(), "end": 0, "status": None, "error": None}
    try:
        answer = await client.post("/v1/chat/completions", json={**chat_body(name, tokens), "model": MODEL},
                                   headers={"X-Test-Id": name, "X-Product-Reason": kind})
        line["status"] = answer.status_code
    except httpx.HTTPError as e:
        line["error"] = repr(e)
    except asyncio.CancelledError:
        pass
    line["end"] = time.time()
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


async def review(options):
    begin = time.monotonic()
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=50)
    async with httpx.AsyncClient(base_url=options.base, verify=options.ca, limits=limits, timeout=600,
                                 headers={"Authorization": f"Bearer {options.key}"}) as client:
        tasks = []
        for number, (due, kind, tokens) in enumerate(arrivals(options.seconds)):
            await asyncio.sleep(max(0, begin + due - time.monotonic()))
            tasks.append(asyncio.create_task(ask(client, number, kind, tokens)))
        await asyncio.sleep(max(0, begin + options.seconds - time.monotonic()))
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def main():
    parser = argparse.ArgumentParser()
    for name in ("base", "ca", "key"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--seconds", type=float, required=True)
    put_names_on_loopback()
    asyncio.run(review(parser.parse_args()))


if __name__ == "__main__":
    main()
