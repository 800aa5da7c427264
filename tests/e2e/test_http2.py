"""Many requests on one HTTP/2 connection: each is held for itself and in its order, and who is being answered does
not suffer from who waits.
"""
import json
import subprocess
from types import SimpleNamespace

import pytest

from emptied import EMPTY, OVERDRAW, emptied, stays
from harness import HERE, Openai, certificate, policy
from host import end, temporary_folder, wait_for
from programs import Caller, chat, queued, start, use_up
from watching import CONTENT, FILL, answered, check_arrived, held, slowed, step, traced, usage_of

HTTP2 = ["node-http2", "go"]
STREAM = {"stream": True, "stream_options": {"include_usage": True}}
WORDS, WORD_MS = 30, 50  # of a stream, which takes a second and a half


def item(name, **more):
    return chat(name, model=name, content=CONTENT, **more)


def streamed(name):
    """A request whose answer takes a while; no limit of emptied() is for it."""
    return chat(name, model=name, content="x" * 20, max_tokens=WORDS, **STREAM)


def paused(name):
    """A request that its program sends when it is told to: by step()."""
    return {**item(name), "pause": True}


@pytest.fixture
def slow():
    with Openai(ms_per_token=WORD_MS) as server:
        yield server


# As emptied(), but for models whose name begins with held.
SOME = "limits:\n- {{ name: some, match: {{ model: 'held*' }}, key: [], tpm: {tpm}{more} }}\n"


def some_emptied(sluiced, openai, rest="", more="", tpm=60):
    """A daemon that holds models held* for minutes, and no others. more: of its limit, rest: of its policy."""
    daemon = sluiced(policy(openai.port, SOME.format(tpm=tpm, more=more) + rest))
    with_model = chat("filler", model="held-filler", content="x" * 20, max_tokens=OVERDRAW - 8)
    with Caller(openai) as caller:
        status, answer = caller.call(with_model)
    assert status == 200, answer
    return daemon


@pytest.mark.parametrize("name", HTTP2)
def test_streams_of_one_connection(name, openai, cgroup, sluiced, node_modules):
    """Three streams at once: none leaves before there are tokens for it, all have left when there are for all, and
    in the order in which they were sent. (Their bytes stand in one queue, which moves when its last one may.)"""
    daemon, since = slowed(sluiced, openai, 2)
    names = [f"stream-{i}" for i in range(3)]
    program = start(name, cgroup("streams"), openai, [[item(n)] for n in names])
    sent = wait_for(lambda: len(events := program.events("sending")) == 3 and [e["id"] for e in events], 20,
                    lambda: f"all are sent: {program.events()} {program.errors()}")
    flow = held(daemon, openai, sent[0])
    assert (flow["protocol"], flow["pid"], flow["opaque"]) == ("h2", program.pid, False)
    rows = sorted(check_arrived(openai, program, names), key=lambda row: row["t"])
    assert len({row["connection"] for row in rows}) == 1 and {row["http"] for row in rows} == {2}
    if name == "node-http2":  # Go's goroutines overtake each other between telling and sending
        assert [row["test_id"] for row in rows] == sent, "they left in another order"
    late = [row["t"] - since - 2 - sum(one["charged"] for one in rows[:number + 1]) / FILL
            for number, row in enumerate(rows)]
    print(f"{name}: they came {[f'{seconds:+.2f} s' for seconds in late]} from when each was due")
    assert min(late) >= -0.1 and late[-1] <= 1
    for row in rows:
        assert usage_of(daemon, row["test_id"]) == (row["input_tokens"], row["output_tokens"])


@pytest.mark.parametrize("name", HTTP2)
def test_one_after_the_other(name, openai, cgroup, sluiced, node_modules):
    """What HPACK leaves out of later heads (RFC 7541) is known all the same: the key, the path, the model's limit."""
    daemon = sluiced(policy(openai.port, "limits:\n- { name: all, key: api_key, rpm: 120, tpm: 1000000 }\n"))
    names = [f"next-{i}" for i in range(5)]
    program = start(name, cgroup("next"), openai, [[item(n) for n in names]], key="sk-http2")
    check_arrived(openai, program, names)
    lines = [traced(daemon, n) for n in names]
    assert len({line["labels"]["api_key"] for line in lines}) == 1 and lines[0]["labels"]["api_key"]
    assert {line["labels"]["endpoint"] for line in lines} == {"/v1/chat/completions"}
    assert [line["tokens"] for line in lines] == [openai.row(n)["charged"] for n in names]


@pytest.mark.parametrize("name", HTTP2)
@pytest.mark.parametrize("size", [300_000, 5_000_000])
def test_large_body(name, size, openai, cgroup, sluiced, node_modules):
    """A body in many DATA frames, with the server's flow control, arrives as it was sent."""
    daemon = sluiced(policy(openai.port, "limits:\n- { name: all, key: [], tpm: 6000000 }\n"))
    use_up(openai, 6_000_000 + 100_000)
    program = start(name, cgroup("large"), openai, chat("large", model="large", content="x" * size))
    held(daemon, openai, "large")
    check_arrived(openai, program, ["large"])
    assert not daemon.status()["opaque"], daemon.log_text()


def test_answer_while_another_connection_waits(slow, cgroup, sluiced, node_modules):
    """A stream that is being answered goes on while another connection waits."""
    daemon = some_emptied(sluiced, slow)
    program = start("node-http2", cgroup("answered"), slow, streamed("free"))
    wait_for(lambda: slow.row("free"), 10, "it is at the server")
    other = start("go", cgroup("waiting"), slow, item("held-1"))
    held(daemon, slow, "held-1")
    done = program.done()["free"]
    assert done["deltas"] == WORDS and done["ms"] <= WORDS * WORD_MS + 1000, f"it was held up: {done}"
    assert slow.row("held-1") is None and daemon.queue(), "the other was let go"
    assert other.process.poll() is None


def test_answer_while_its_connection_waits(slow, cgroup, sluiced, node_modules):
    """A stream that is being answered goes on while a later request of its connection waits."""
    daemon = some_emptied(sluiced, slow)
    program = start("node-http2", cgroup("both"), slow, [[streamed("free")], [paused("held-1")]])
    wait_for(lambda: slow.row("free"), 10, lambda: f"it is at the server: {daemon.flows()}")
    step(program, 1)
    flow = held(daemon, slow, "held-1")
    done = answered(program, "free")
    assert done["deltas"] == WORDS and done["ms"] <= WORDS * WORD_MS + 1000, f"it was held up: {done}"
    assert usage_of(daemon, "free") == (slow.row("free")["input_tokens"], slow.row("free")["output_tokens"])
    assert slow.row("held-1") is None, "it was let go because of the other"
    assert [one["flow"] for one in daemon.queue()] == [flow["id"]]


def test_denied_beside_an_answer(slow, cgroup, sluiced, node_modules):
    """A refused request ends its connection, but not before its neighbour has been answered."""
    daemon = some_emptied(sluiced, slow, more=", over_limit: deny")
    program = start("node-http2", cgroup("denied"), slow, [[streamed("free")], [paused("held-1")]])
    wait_for(lambda: slow.row("free"), 10, lambda: f"it is at the server: {daemon.flows()}")
    step(program, 1)
    events = {event["id"]: event for event in program.wait() if event["event"] in ("done", "error")}
    assert events["free"]["event"] == "done" and events["free"]["deltas"] == WORDS, "the neighbour was cut off"
    assert events["held-1"]["event"] == "error", "it was answered"
    assert slow.row("held-1") is None, "the provider saw the request that was denied"


MAX_HOLD_S = 2
PATIENCE_MS = 4000  # of a server for its PING: more than the hold, less than any wait for tokens here


@pytest.fixture
def pinging():
    """A server with port, ca, events(kind), which gives up who does not answer its PINGs."""
    folder = temporary_folder("pinging")
    server = subprocess.Popen(
        ["node", HERE / "pinging_server.mjs", certificate() / "cert.pem", certificate() / "key.pem",
         str(PATIENCE_MS), "6000"], stdout=open(folder / "stdout", "wb"), stderr=open(folder / "stderr", "wb"))

    def lines():
        return [line for line in (folder / "stdout").read_text().splitlines(keepends=True) if line.endswith("\n")]

    def events(kind):
        return [event for event in map(json.loads, lines()[1:]) if event["event"] == kind]

    try:
        wait_for(lines, 10, lambda: f"the server has started: {(folder / 'stderr').read_text()}")
        yield SimpleNamespace(port=int(lines()[0]), ca=str(certificate() / "ca.pem"), events=events)
    finally:
        end(server)


def seen_by(server, name):
    return next((event for event in server.events("request") if event["test_id"] == name), None)


def test_longest_hold_of_live_streams(pinging, cgroup, sluiced, node_modules):
    """A connection on which others are being answered is held for http2_max_hold only: then its request goes over
    the limit, and the server's PINGs are answered."""
    daemon = sluiced(policy(pinging.port, EMPTY + f"http2_max_hold: {MAX_HOLD_S}s\n"))
    # One request may overdraw what nobody has used; the next waits for minutes.
    program = start("node-http2", cgroup("live"), pinging, [
        [{**chat("free", max_tokens=OVERDRAW), "path": "/v1/stream"}], [paused("held-1")]])
    wait_for(lambda: seen_by(pinging, "free"), 10, lambda: f"it is at the server: {daemon.flows()}")
    step(program, 1)
    sent = wait_for(lambda: [e for e in program.events("sending") if e["id"] == "held-1"], 10, "it is sent")[0]["t"]
    queued(daemon, 1)
    arrived = wait_for(lambda: seen_by(pinging, "held-1"), 10, lambda: f"it is let go: {daemon.flows()}")["t"]
    done = program.done()
    slowest = max(ping["ms"] for ping in pinging.events("ping"))
    print(f"held for {arrived - sent:.2f} s; the slowest of {len(pinging.events('ping'))} PINGs: {slowest:.0f} ms")
    assert MAX_HOLD_S - 0.1 <= arrived - sent <= MAX_HOLD_S + 1.2
    assert [done[name]["status"] for name in ("free", "held-1")] == [200, 200]
    assert MAX_HOLD_S * 1000 / 2 <= slowest <= PATIENCE_MS and not pinging.events("gave up")
    assert daemon.status()["let_go_over_limit"] == 1


def test_no_longest_hold_of_idle_connections(openai, cgroup, sluiced, node_modules):
    """A connection on which nobody is being answered may be held for longer."""
    daemon = emptied(sluiced, openai, f"http2_max_hold: {MAX_HOLD_S}s\n")
    start("node-http2", cgroup("idle"), openai, item("held-1"))
    held(daemon, openai, "held-1")
    stays(lambda: openai.row("held-1") is None, 2 * MAX_HOLD_S, "it was let go")
    assert daemon.status()["let_go_over_limit"] == 0
