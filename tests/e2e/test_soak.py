"""Ten thousand requests of eight kinds of client at once, in three network namespaces, half of them streaming,
whose programs want more than twice what the provider allows.

What a user would notice if this failed: a refusal although Sluice runs; a request that fails, or arrives changed;
one that is counted for another's process, team or model; a bill that is not what Sluice says.
"""
import ctypes
import json
import os
import random
import socket
import subprocess
import time
from collections import Counter
from contextlib import ExitStack

import pytest

from emptied import Namespace
from harness import BUILD, Cgroup, Openai, Sluiced, policy
from host import temporary_folder, wait_for
from programs import Caller, chat, start

REQUESTS = int(os.environ.get("SLUICE_SOAK_REQUESTS", 10000))
CLIENTS = ("requests", "httpx-async", "aiohttp", "node-https", "node-fetch", "node-http2", "go", "node16-https")
LANES = 8  # of each client: so many requests of it are under way at most
MODELS = ("gpt-4", "gpt-4o")
TPM = 150_000  # of each model: some 80 requests a second
MAX_TOKENS = 20
BOOKS_MOST = 0.005  # how far Sluice's tokens may be from the server's
PATIENCE_S = 400
CLONE_NEWNET = 0x40000000  # linux/sched.h


def listener_in(namespace, port):
    """A socket that listens on loopback in that network namespace."""
    setns = ctypes.CDLL(None, use_errno=True).setns
    with open(f"/run/netns/{namespace.name}", "rb") as there, open("/proc/self/ns/net", "rb") as here:
        assert setns(there.fileno(), CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
        try:
            return socket.create_server(("127.0.0.1", port), backlog=512)
        finally:
            assert setns(here.fileno(), CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())


def item(client, number, rng):
    """Every second one is a stream, and every second stream asks for its usage."""
    more = {}
    if number % 2:
        more = {"stream": True}
        if number % 4 == 3:
            more["stream_options"] = {"include_usage": True}
    return chat(f"{client}-{number}", MODELS[number // 4 % 2], "x" * rng.randrange(20, 100), MAX_TOKENS, **more)


def plan(client, rng):
    items = [item(client, number, rng) for number in range(REQUESTS // len(CLIENTS))]
    return [items[lane::LANES] for lane in range(LANES)]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def namespaces():
    with ExitStack() as stack:
        yield [stack.enter_context(Namespace()) for _ in range(3)]


def recorded(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_soak(namespaces, node_modules):
    rng, port = random.Random(1), free_port()
    listeners = [listener_in(namespace, port) for namespace in namespaces]
    limits = {"default": {"rpm": 1_000_000, "tpm": TPM}}
    with ExitStack() as stack:
        openai = stack.enter_context(Openai(limits, port=port, listeners=listeners, ms_per_token=1))
        groups = {name: stack.enter_context(Cgroup(name)) for name in CLIENTS}
        teams = "".join(f"- {{ name: {name}, cgroup: {group.path} }}\n" for name, group in groups.items())
        daemon = stack.enter_context(Sluiced(policy(port, f"teams:\n{teams}limits:\n"
                                                    f"- {{ name: each, key: model, tpm: {TPM} }}\n")))
        trace = temporary_folder("soak") / "trace.jsonl"
        recorder = subprocess.Popen([BUILD / "sluice", "record", "--output", trace],
                                    env={**os.environ, "SLUICE_SOCKET": str(daemon.socket)})
        stack.callback(recorder.wait, 10)
        stack.callback(recorder.terminate)
        plans = {name: plan(name, rng) for name in CLIENTS}
        programs = {name: start(name, groups[name], openai, plans[name], wait=True,
                                prefix=namespaces[number % 3].prefix) for number, name in enumerate(CLIENTS)}
        for name, program in programs.items():
            wait_for(lambda p=program: p.events("ready"), 60, lambda p=program: f"{name} has started: {p.errors()}")
        for model in MODELS:
            use_up(openai, model)
        begin = time.monotonic()
        for program in programs.values():
            program.go()
        for name, program in programs.items():
            program.process.wait(PATIENCE_S)
        seconds = time.monotonic() - begin
        n = sum(len(lane) for lanes in plans.values() for lane in lanes)
        wait_for(lambda: not daemon.flows() and len(recorded(trace)) == n + len(MODELS), 30,
                 lambda: f"all is written down: {len(recorded(trace))} of {n}; {daemon.flows()}")
        status = daemon.status()
        print(f"{n} requests in {seconds:.1f} s, {n / seconds:.0f} a second; opaque {status['opaque']}, "
              f"lost {status['lost_events']}, {status['rss_bytes'] / 1e6:.1f} MB; {status['kernel']}")
        check_clients(programs, plans, openai, seconds)
        check_accounts(recorded(trace), programs, plans, openai)
        assert not status["opaque"] and not any(status["lost_events"].values()), daemon.log_text()[-3000:]


def use_up(openai, model):
    with Caller(openai) as caller:
        status, answer = caller.call(chat(f"filler-{model}", model, "x" * 20, max_tokens=TPM - 8))
    assert status == 200, answer


def check_clients(programs, plans, openai, seconds):
    rows = {row["test_id"]: row for row in openai.log()}
    refused = [row for row in rows.values() if row["status"] == 429]
    assert not refused, f"the provider has refused {len(refused)} requests: {refused[:3]}"
    for name, program in programs.items():
        wanted = [one["id"] for lane in plans[name] for one in lane]
        assert not program.events("error"), program.events("error")[:5]
        assert sorted(e["id"] for e in program.events("done")) == sorted(wanted)
        assert {e["status"] for e in program.events("done")} == {200}
        for sent in program.events("sending"):
            assert rows[sent["id"]]["body_sha256"] == sent["sha256"], f"{sent['id']}: its body was changed"
    retries = [row for row in rows.values() if row["retry_count"]]
    assert not retries and not openai.books()["total"]["abandoned"]
    # They wanted twice as much: what was used is all that there was, and waited for.
    used = sum(row["charged"] for row in rows.values()) - TPM * len(MODELS)
    share = used / (TPM / 60 * len(MODELS) * seconds)
    print(f"{share:.1%} of the limit was used")


def check_accounts(trace, programs, plans, openai):
    own = [line for line in trace if "team" in line["labels"]]
    seen = Counter((line["labels"]["pid"], line["labels"]["team"], line["labels"]["model"]) for line in own)
    wanted = Counter((str(programs[name].pid), name, one["body"]["model"])
                     for name, lanes in plans.items() for lane in lanes for one in lane)
    assert seen == wanted, f"Sluice has seen {seen - wanted} too many and {wanted - seen} too few"
    rows = [row for row in openai.log() if not row["test_id"].startswith("filler")]
    for kind in ("input_tokens", "output_tokens"):
        told = sum(line["usage"][kind] for line in own)
        used = sum(row[kind] for row in rows)
        print(f"{kind}: Sluice {told}, the server {used}: {told / used - 1:+.3%}")
        assert abs(told - used) <= BOOKS_MOST * used, f"{kind}: {told} instead of {used}"
