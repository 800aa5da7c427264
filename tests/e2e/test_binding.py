"""Fifty connections at once, several requests on each: not one request is taken for another connection's."""
import collections
import threading

import pytest

from host import wait_for
from programs import chat, start, use_up

CONNECTIONS = 50
ROUNDS = 3
# Slow enough that each request waits long enough to be seen in its queue.
TOKENS_PER_S = 4000
# The limit is overdrawn by so much that all connections are there before the first request goes.
GATHER_S = 2
# What goes through so fast need not have been seen on its way.
SHORT_S = 0.3


def cost(lane, number):
    return 3 + lane * ROUNDS + number + 1


def lanes(tag):
    """Requests each of which has a model and a price of its own."""
    return [[chat(f"{tag}-{lane}-{number}", model=f"{tag}-{lane}-{number}", content="x" * 4 * (cost(lane, number) - 3))
             for number in range(ROUNDS)] for lane in range(CONNECTIONS)]


class Watch:
    """Asks all the time for which local port sluice flows shows which models, and what sluice queue says they cost."""

    def __init__(self, daemon):
        self.daemon, self.stopping = daemon, threading.Event()
        self.models, self.costs, self.opaque = collections.defaultdict(set), {}, []
        self.most_queued = 0
        self.thread = threading.Thread(target=self._run)

    def _run(self):
        while not self.stopping.is_set():
            queue, flows = self.daemon.queue(), self.daemon.flows()
            self.most_queued = max(self.most_queued, len(queue))
            for waiting in queue:
                self.costs.setdefault(waiting["model"], set()).add(waiting["cost"])
            for flow in flows:
                if flow["model"]:
                    self.models[flow["local_port"]].add(flow["model"])
                if flow["state"] == "opaque":
                    self.opaque.append(flow)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        self.thread.join()


@pytest.mark.parametrize("name", ["httpx-async", "aiohttp", "node-https", "node-fetch"])
def test_binding(name, governed, cgroup):
    openai, daemon, key = governed(f"limits:\n- {{ name: all, key: api_key, tpm: {TOKENS_PER_S * 60} }}\n")
    plan = lanes(name)
    program = start(name, cgroup("many"), openai, plan, key=key, wait=True)
    wait_for(lambda: program.events("ready"), 30, lambda: f"{name} has started: {program.errors()}")
    use_up(openai, TOKENS_PER_S * (60 + GATHER_S), key)
    openai.reset()
    with Watch(daemon) as watch:
        program.go()
        done = program.done(60)
    rows = {row["test_id"]: row for row in openai.log()}
    ports = collections.defaultdict(set)
    for row in rows.values():
        ports[row["remote_port"]].add(row["model"])
    assert set(done) == set(rows) == {item["id"] for lane in plan for item in lane}, "requests were lost"
    print(f"{name}: {len(rows)} requests on {len(ports)} connections, up to {watch.most_queued} held at once")
    assert len(ports) == watch.most_queued == CONNECTIONS
    assert not watch.opaque, "a connection was not understood"
    wrong = {port: extra for port in ports if (extra := watch.models[port] - ports[port])}
    assert not wrong, f"shown for connections that did not send them: {wrong}"
    sent = {event["id"]: event for event in program.events("sending")}
    missed = [row for row in rows.values() if row["model"] not in watch.models[row["remote_port"]]]
    assert all(row["t"] - sent[row["test_id"]]["t"] < SHORT_S for row in missed), f"held, but never shown: {missed}"
    wrong = {model: costs for model, costs in watch.costs.items() if costs != {rows[model]["charged"]}}
    assert not wrong, f"prices that are not their request's: {wrong}"
    assert all(row["body_sha256"] == sent[test_id]["sha256"] for test_id, row in rows.items()), "bodies were changed"
    status = daemon.status()
    assert not any(status["lost_events"].values()), status["lost_events"]
