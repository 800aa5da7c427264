"""How long `sluice simulate` takes for a day of a million requests: three models, four teams, priorities, twice what
the limits allow at the peaks.

    day.py [--requests N] [--target SECONDS]     exit code 1 if it took longer
"""
import argparse
import json
import math
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import time

BUILD = pathlib.Path(os.environ.get("SLUICE_BUILD", pathlib.Path(__file__).resolve().parents[2] / "build"))
DAY_S = 86400
POLICY = """mode: enforce
teams:
- { name: chat, cgroup: /chat.slice, weight: 4 }
- { name: review, cgroup: /review.slice, weight: 2 }
- { name: batch, user: batch }
limits:
- { name: gpt-4, match: {model: "gpt-4"}, key: api_key, rpm: 300, tpm: 300k }
- { name: rest, match: {model: "gpt-4o*"}, key: [api_key, model], rpm: 500, tpm: 500k }
- { name: spending, key: [team], budget: $100000/month }
"""


def write_trace(path, n):
    """Arrivals swing between nothing and twice the mean over the day."""
    rng = random.Random(1)
    with open(path, "w", encoding="ascii") as out:
        for i in range(n):
            share = (i + rng.random()) / n
            t = DAY_S * (share - math.sin(2 * math.pi * share) / (2 * math.pi))
            tokens, output = rng.randint(50, 2000), rng.randint(10, 600)
            out.write(json.dumps({
                "t": round(t, 6), "id": f"r{i}", "tokens": tokens, "response_s": round(rng.uniform(0.2, 8), 3),
                "labels": {"model": rng.choice(("gpt-4", "gpt-4o", "gpt-4o-mini")), "api_key": "0123456789abcdef",
                           "team": rng.choice(("chat", "review", "batch", "none")),
                           "priority": str(rng.choice((50, 100, 200)))},
                "usage": {"input_tokens": tokens - 3, "output_tokens": output}}) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=1_000_000)
    parser.add_argument("--target", type=float, default=10)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "policy.yaml").write_text(POLICY)
        write_trace(folder / "trace.jsonl", options.requests)
        with open(folder / "out.jsonl", "wb") as out:
            begin = time.monotonic()
            subprocess.run([BUILD / "sluice", "simulate", "--config", folder / "policy.yaml", "--trace",
                            folder / "trace.jsonl", "--json"], stdout=out, check=True)
            took = time.monotonic() - begin
        lines = sum(1 for _ in open(folder / "out.jsonl", "rb"))
    assert lines == options.requests + 1, f"{lines} lines for {options.requests} requests"
    print(f"a day of {options.requests} requests, simulated in {took:.1f} s (at most {options.target:.0f}): "
          f"{options.requests / took:.0f} requests a second")
    return 0 if took <= options.target else 1


if __name__ == "__main__":
    sys.exit(main())
