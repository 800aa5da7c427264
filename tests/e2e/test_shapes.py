"""Whatever shape a request has on the wire - its size, its writes, its encoding, its place on a connection -
it is understood, held, and arrives byte for byte.
"""
import time

import pytest

from holding import SLACK_S
from host import wait_for
from programs import Caller, chat, comm, get, queued

KB = 1000
# name, client, what is said (bytes), further arguments of start()
SHAPES = [
    pytest.param("sockets", 500, {"options": {"pieces": 2}}, False, id="two writes"),
    pytest.param("sockets", 500, {"options": {"pieces": 100}}, False, id="a hundred writes"),
    pytest.param("curl", 500, {}, True, id="curl chunked"),
    pytest.param("requests", 5 * KB, {}, True, id="requests chunked"),
    pytest.param("curl", 300 * KB, {}, False, id="curl 300 KB"),
    pytest.param("curl", 5000 * KB, {}, False, id="curl 5 MB"),
    pytest.param("requests", 300 * KB, {}, False, id="requests 300 KB"),
    pytest.param("httpx-async", 5000 * KB, {}, False, id="httpx async 5 MB"),
    pytest.param("aiohttp", 5000 * KB, {}, False, id="aiohttp 5 MB"),
    pytest.param("node-https", 5000 * KB, {}, False, id="Node https 5 MB"),
    pytest.param("node-fetch", 300 * KB, {}, False, id="Node fetch 300 KB"),
]


@pytest.mark.parametrize("name, size, more, chunked", SHAPES)
def test_shape(name, size, more, chunked, held):
    item = {**chat("held", model="shaped", content="x" * size), "chunked": chunked}
    cost = size // 4 + 3
    hold = held(name, item, capacity=max(9000, cost * 60), **more)
    assert (hold.waiting["model"], hold.waiting["comm"]) == ("shaped", comm(name) if name != "sockets" else "python3")
    if size <= 5 * KB:
        assert hold.waiting["cost"] == cost
    done, row = hold.check_release()
    # A large one is decided before all of it is known.
    assert row["charged"] == cost <= hold.waiting["cost"] <= cost * 1.01 + 10


@pytest.mark.parametrize("name", ["curl", "httpx-async"])
def test_model_behind_a_large_body(name, held):
    """The official Python client writes the messages first: their limit must be found all the same."""
    item = chat("held", content="x" * 300 * KB)
    item["body"] = dict(reversed(item["body"].items()))
    assert list(item["body"]) == ["messages", "model"]
    hold = held(name, item, capacity=4_500_000)
    hold.check_release()


def test_first_request_of_a_one_shot_program(held):
    """The only request of a process that nobody has seen before is held, not let through as unknown."""
    hold = held("curl", chat("held", content="x" * 400, max_tokens=100))
    assert hold.flow["requests"] == 1
    hold.check_release()


def test_large_chunked_body(held):
    """How long it is shows only at its end: then it is charged in full, and what follows waits for that."""
    cost = 300 * KB // 4 + 3
    hold = held("curl", {**chat("held", model="shaped", content="x" * 300 * KB), "chunked": True}, capacity=cost * 60)
    _, row = hold.check_release()
    missing = row["charged"] - hold.waiting["cost"]
    assert row["charged"] == cost and missing > 0
    level = hold.limit()["level"]
    since = time.time() - row["t"] + SLACK_S
    assert level <= hold.fill_per_s * since - missing, "what it cost in the end was never charged"


PER_S = 2  # requests


def check_one_at_a_time(openai, names):
    """Those requests came in this order, on one connection, as the limit says."""
    rows = [openai.row(name) for name in names]
    assert all(rows), "a request never arrived"
    assert len({row["connection"] for row in rows}) == 1, "they went over several connections"
    for earlier, later in zip(rows, rows[1:]):
        assert later["t"] - earlier["t"] >= 1 / PER_S - 0.05, f"{later['test_id']} was not held"
    return rows


@pytest.fixture
def kept(shared, exhausted):
    """kept(name, items): the program of a client that sends the items on one connection, when the limit of PER_S
    requests a second has just been used up."""
    openai, _ = shared

    def drain(key):
        with Caller(openai) as caller:
            for i in range(PER_S * 90):
                began = time.monotonic()
                assert caller.call(get(f"filler-{i}"), key)[0] == 200
                if time.monotonic() - began > 0.5 / PER_S:
                    return  # it had to wait: now there is nothing left
        raise AssertionError("the limit is never used up")

    return lambda name, items: exhausted(name, items, f"rpm: {PER_S * 60}", drain)[0]


@pytest.mark.parametrize("name", ["curl", "requests", "httpx-async", "node-https", "node-fetch"])
def test_kept_connection(name, shared, kept):
    """Each request of a connection that is kept alive is held for itself, not only the first."""
    openai, daemon = shared
    names = [f"kept-{i}" for i in range(3)]
    program = kept(name, [chat(n, model=f"model-{n}") for n in names])
    for n in names:
        [waiting] = wait_for(lambda: [w for w in daemon.queue() if w["model"] == f"model-{n}"], 10, f"{n} waits")
        assert waiting["pid"] == program.pid
    done = program.done()
    assert [done[n]["status"] for n in names] == [200] * 3
    check_one_at_a_time(openai, names)


def test_reading_requests(shared, kept):
    """GET and HEAD, whose answers have a body and none, are told apart on one connection."""
    openai, daemon = shared
    items = [get("get-1"), get("head", "HEAD"), get("get-2"), chat("post"), get("get-3")]
    program = kept("curl", items)
    queued(daemon, 1)
    done = program.done()
    assert done["get-1"]["status"] == done["post"]["status"] == done["get-3"]["status"] == 200
    check_one_at_a_time(openai, [item["id"] for item in items])
    assert daemon.status()["opaque"] == 0
