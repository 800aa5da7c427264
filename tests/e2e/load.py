"""A team that wants all of a limit for itself.

Offers the full bucket at once and then what fills it: the whole of what the provider allows, so that
three such teams together offer three times the limit. What the workers cannot send yet waits in the
program, as it would in any other: at most --workers requests are under way.

    load.py --client requests|httpx --base URL --ca FILE --key KEY --team NAME --workers N
            --seconds S --bucket TOKENS --fill TOKENS_PER_S > one line of JSON per request answered

A line: {"id", "tokens", "begin", "end", "status", "error"}; times in s since the Unix epoch; id is
what the server logs as test_id. After --seconds nothing new is offered, and the program ends when
everything is answered. Every name is on loopback. load.mjs is the same for Node.
"""
import argparse
import asyncio
import json
import socket
import sys
import threading
import time

# What a request is charged, tokens; a request of each size in turn. Mostly small, as in life.
SIZES = (200, 700, 300, 500, 200, 1000, 400, 300, 2000, 400)
MODEL = "gpt-4o"
READ_TIMEOUT_S = 600  # the official client's


def chat_body(name, tokens):
    """A chat request that OpenAI charges `tokens`: characters / 4 + 3 + max_tokens."""
    max_tokens = tokens // 4
    chars = 4 * (tokens - 3 - max_tokens)
    text = (f"{name}: " + "lorem ipsum " * chars)[:chars]
    return {"messages": [{"role": "user", "content": text}], "model": MODEL, "max_tokens": max_tokens}


def put_names_on_loopback():
    look_up = socket.getaddrinfo
    socket.getaddrinfo = lambda host, *rest, **options: look_up("127.0.0.1", *rest, **options)


class Offer:
    """Hands out requests as the limit would allow them to this team if it were alone."""

    def __init__(self, team, bucket, fill, seconds):
        self.team, self.bucket, self.fill = team, bucket, fill
        self.begin = time.monotonic()
        self.end = self.begin + seconds
        self.tokens = self.number = 0
        self.lock = threading.Lock()

    def take(self):
        """(name, tokens, seconds until it is due), or None when the time is up."""
        with self.lock:
            now = time.monotonic()
            tokens = SIZES[self.number % len(SIZES)]
            due = self.begin + max(0, self.tokens + tokens - self.bucket) / self.fill
            if max(due, now) >= self.end:
                return None
            self.number += 1
            self.tokens += tokens
            return f"{self.team}-{self.number}", tokens, max(0, due - now)


def report(name, tokens, begin, status, error):
    line = {"id": name, "tokens": tokens, "begin": begin, "end": time.time(), "status": status,
            "error": error}
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def requests_load(options, offer):
    import requests

    def work():
        session = requests.Session()
        session.headers["Authorization"] = f"Bearer {options.key}"
        while taken := offer.take():
            name, tokens, wait = taken
            time.sleep(wait)
            begin, status, error = time.time(), None, None
            try:
                status = session.post(f"{options.base}/v1/chat/completions", json=chat_body(name, tokens),
                                      headers={"X-Test-Id": name}, verify=options.ca,
                                      timeout=READ_TIMEOUT_S).status_code
            except requests.RequestException as e:
                error = repr(e)
            report(name, tokens, begin, status, error)

    threads = [threading.Thread(target=work) for _ in range(options.workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


async def httpx_load(options, offer):
    import httpx

    async def work(client):
        while taken := offer.take():
            name, tokens, wait = taken
            await asyncio.sleep(wait)
            begin, status, error = time.time(), None, None
            try:
                response = await client.post("/v1/chat/completions", json=chat_body(name, tokens),
                                             headers={"X-Test-Id": name})
                status = response.status_code
            except httpx.HTTPError as e:
                error = repr(e)
            report(name, tokens, begin, status, error)

    limits = httpx.Limits(max_connections=options.workers, max_keepalive_connections=options.workers)
    async with httpx.AsyncClient(base_url=options.base, verify=options.ca, limits=limits,
                                 timeout=READ_TIMEOUT_S,
                                 headers={"Authorization": f"Bearer {options.key}"}) as client:
        await asyncio.gather(*(work(client) for _ in range(options.workers)))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--client", choices=("requests", "httpx"), required=True)
    for name in ("base", "ca", "key", "team"):
        parser.add_argument(f"--{name}", required=True)
    for name in ("workers", "bucket", "fill", "seconds"):
        parser.add_argument(f"--{name}", type=int if name == "workers" else float, required=True)
    options = parser.parse_args()
    put_names_on_loopback()
    offer = Offer(options.team, options.bucket, options.fill, options.seconds)
    if options.client == "requests":
        requests_load(options, offer)
    else:
        asyncio.run(httpx_load(options, offer))


if __name__ == "__main__":
    main()
