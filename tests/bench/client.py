"""One keep-alive connection, one request after the other, timed. With Python's requests.

    client.py --url URL --ca FILE --model NAME --requests N

Prints JSON: the seconds that each request took, and the CPU seconds of this process for all of them.
client.mjs is the same for Node. The first requests are not timed: they build the connection up.
"""
import argparse
import json
import time

import requests

from loopback import put_names_on_loopback

WARM_UP = 20


def main():
    parser = argparse.ArgumentParser()
    for name in ("url", "ca", "model", "requests"):
        parser.add_argument(f"--{name}", required=True)
    options = parser.parse_args()
    put_names_on_loopback()
    session = requests.Session()
    session.headers["Authorization"] = "Bearer sk-bench"
    body = {"model": options.model, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 1}
    taken = []
    for number in range(-WARM_UP, int(options.requests)):
        if number == 0:
            cpu = time.process_time()
        begin = time.perf_counter()
        session.post(options.url, json=body, verify=options.ca).raise_for_status()
        if number >= 0:
            taken.append(time.perf_counter() - begin)
    print(json.dumps({"taken_s": taken, "cpu_s": time.process_time() - cpu, "n_sent": WARM_UP + len(taken)}))


if __name__ == "__main__":
    main()
