"""What Sluice does not understand is shown as opaque, with the reason, and is governed by what can be seen, let
pass, or refused, as the policy says. What only looks difficult - a server with the same TLS library on the
same host - is understood.
"""
import json
import os
import re
import socket
import subprocess
import time
from types import SimpleNamespace

import pytest

from emptied import EMPTY, OVERDRAW, emptied, ss, stays, tcp_info
from harness import HERE, HOST, Openai, certificate, policy
from host import end, temporary_folder, wait_for
from programs import PYTHON, Caller, chat, get, queued, start

# The imitation takes so long that a connection can be looked at.
LATENCY_MS = 700
PASS = "opaque: pass\n"
UNSEEN = 3000  # bytes of a record: shorter ones are taken for a head, which costs no tokens


@pytest.fixture
def slow():
    with Openai(latency_ms=LATENCY_MS) as server:
        yield server


def opaque_flow(daemon, pid, timeout=5):
    """The flow of that process when it has become opaque, as the API shows it."""
    [flow] = wait_for(lambda: [flow for flow in daemon.flows() if flow["pid"] == pid and flow["state"] == "opaque"],
                      timeout, lambda: f"process {pid} is opaque: {daemon.flows()}\n{daemon.log_text()}")
    assert daemon.status()["opaque"] == 1
    text = daemon.cli("flows").stdout
    assert "opaque" in text and flow["why_opaque"] in text, f"sluice flows does not say why: {text}"
    return flow


def test_garbage(cgroup, sluiced):
    """What is no HTTP at all passes, there and back. The server reverses each line."""
    group = cgroup("reversing")
    server = group.run(["openssl", "s_server", "-accept", "127.0.0.1:0", "-rev", "-cert",
                        certificate() / "cert.pem", "-key", certificate() / "key.pem"], stdout=subprocess.PIPE,
                       stderr=subprocess.DEVNULL)
    while not (ready := re.match(rb"ACCEPT .*:(\d+)", line := server.stdout.readline())):
        assert line, "openssl s_server has ended"
    port = int(ready[1])
    daemon = sluiced(policy(port, EMPTY + PASS))
    folder = temporary_folder("garbage")
    with open(folder / "stdout", "wb") as out:
        client = cgroup("client").run(
            ["openssl", "s_client", "-quiet", "-no_ign_eof", "-verify_return_error", "-servername", HOST,
             "-CAfile", certificate() / "ca.pem", "-connect", f"127.0.0.1:{port}"],
            stdin=subprocess.PIPE, stdout=out, stderr=subprocess.DEVNULL)
    client.stdin.write(b"\x01\x02\xff this is not HTTP\n")
    client.stdin.flush()
    flow = opaque_flow(daemon, client.pid)
    print(f"garbage: {flow['why_opaque']}")
    assert "not HTTP" in flow["why_opaque"]
    wait_for(lambda: (folder / "stdout").read_bytes() == b"PTTH ton si siht \xff\x02\x01\n", 2, "it has come back")
    client.stdin.write(b"and so on\n")
    client.stdin.flush()
    wait_for(lambda: (folder / "stdout").read_bytes().endswith(b"no os dna\n"), 2, "so has what follows")
    client.stdin.close()
    wait_for(lambda: not daemon.flows(), 5, "the connection is shown no more when it is closed")
    server.stdout.close()


def test_unknown_library(slow, cgroup, sluiced, node_modules):
    """Where the policy says so, a program whose TLS library Sluice does not know (Deno: rustls) passes, and is not
    delayed by more than a second."""
    daemon = emptied(sluiced, slow, PASS)
    program = start("deno", cgroup("deno"), slow, chat("deno"))
    flow = opaque_flow(daemon, program.pid)
    done = program.done(15)["deno"]
    took = done["ms"] - LATENCY_MS
    print(f"deno: {took:.0f} ms, and {LATENCY_MS} ms of the server; {flow['why_opaque']}")
    assert took <= 1500, "a program with an unknown TLS library has to wait"
    assert "TLS library" in flow["why_opaque"] and flow["opaque"]
    assert daemon.status()["opaque_governed"] == 0


def test_governed_by_bursts(cgroup, sluiced, openai, node_modules):
    """Each request of an opaque connection counts once, and costs what its size says, within a fifth; it waits
    for its turn like any other."""
    n, length = 8, 4000
    daemon = sluiced(policy(openai.port, "limits:\n- { name: all, key: [], rpm: 100000, tpm: 60000 }\n"))
    program = start("deno", cgroup("deno"), openai, [[chat(f"burst-{i}", content="x" * length) for i in range(n)]])
    done = program.done()
    assert len(done) == n
    status = daemon.status()
    assert (status["opaque"], status["opaque_governed"], status["admitted"]) == (1, n, n)
    charged = [trace["tokens"] for trace in daemon._get("/v1/trace")]
    print(f"{n} requests of {length} characters: {charged} tokens each")
    assert len(charged) == n and all(abs(tokens - length / 4) < length / 20 for tokens in charged)


def test_labels_of_opaque(cgroup, sluiced, openai, node_modules):
    """A limit may be for opaque connections alone, and a model can be taken for theirs."""
    daemon = sluiced(policy(openai.port, """\
opaque_model: gpt-4
limits:
- { name: unread, match: { opaque: "true", model: gpt-4 }, key: [], rpm: 1, over_limit: deny }
"""))
    program = start("deno", cgroup("deno"), openai, [[chat("first"), chat("second")]])
    events = program.wait(15)
    assert [e["id"] for e in events if e["event"] == "done"] == ["first"], events
    assert [e["id"] for e in events if e["event"] == "error"] == ["second"], events
    other = start("requests", cgroup("other"), openai, [[chat("third"), chat("fourth")]])
    assert len(other.done()) == 2, "a limit for opaque connections has met another"
    assert openai.row("second") is None


def test_refused(cgroup, sluiced, openai, node_modules):
    """Where the policy says so, what cannot be read may not leave."""
    daemon = sluiced(policy(openai.port, "opaque: deny\n"))
    events = start("deno", cgroup("deno"), openai, chat("deno")).wait(15)
    assert [e["event"] for e in events] == ["sending", "error"], events
    assert openai.row("deno") is None, "an opaque request has left"
    assert daemon.status()["denied"] == 1
    assert start("requests", cgroup("other"), openai, chat("other")).done()["other"]["status"] == 200


def acknowledged(port):
    """How much of what the connection from that port has sent has arrived."""
    [line] = ss("sport", "=", f":{port}")
    return tcp_info(line)["bytes_acked"]


@pytest.mark.parametrize("earlier", [0, 1])
def test_unseen_bytes(earlier, openai, sluiced):
    """A connection that was read becomes opaque when something leaves on it that no probe has told of (a function
    that nobody probes, probes that have failed), and is governed by what is seen of it: not let pass without a
    word. Here it is a TLS record that the program has made by itself. earlier: connections before this one, of
    which the first is bound only when its request is written."""
    daemon = sluiced(policy(openai.port, EMPTY))
    for i in range(earlier):
        with Caller(openai) as caller:
            assert caller.call(get(f"earlier-{i}"))[0] == 200
    wait_for(lambda: not daemon.flows(), 5, "they are closed")
    with Caller(openai) as caller:
        status, _ = caller.call(chat("seen", max_tokens=OVERDRAW))  # head and body in a write of their own
        assert status == 200
        [flow] = daemon.flows()
        assert not flow["opaque"] and flow["requests"] == 1
        raw = socket.socket(fileno=os.dup(caller.connection.sock.fileno()))
        before = acknowledged(flow["local_port"])
        raw.send(b"\x17\x03\x03" + UNSEEN.to_bytes(2, "big") + bytes(UNSEEN))
        [flow] = wait_for(lambda: [f for f in daemon.flows() if f["opaque"]], 5,
                          lambda: f"it is noticed: {daemon.flows()}\n{daemon.log_text()}")
        assert flow["why_opaque"] == "it sent what no probe saw"
        [waiting] = queued(daemon, 1)
        assert waiting["flow"] == flow["id"] and abs(waiting["cost"] - UNSEEN / 4) < UNSEEN / 20
        stays(lambda: acknowledged(flow["local_port"]) == before, 0.5, "it has left though there are no tokens")
        raw.close()
    wait_for(lambda: not daemon.flows(), 5, "its end is noticed")
    assert not daemon.queue()


@pytest.fixture
def python_server():
    """A server with port, ca and rows(), whose TLS library is that of Python's clients."""
    process = subprocess.Popen([PYTHON, HERE / "tls_server.py", certificate() / "cert.pem",
                                certificate() / "key.pem"], stdout=subprocess.PIPE, text=True)
    try:
        yield SimpleNamespace(port=int(process.stdout.readline()), ca=str(certificate() / "ca.pem"), process=process)
    finally:
        end(process)
        process.stdout.close()


@pytest.mark.parametrize("mode", ["process", "library"])
@pytest.mark.parametrize("name", ["requests", "httpx-async"])
def test_server_with_the_same_library(name, mode, python_server, cgroup, sluiced):
    """Both ends of a connection know its client random; only the client's end is governed."""
    fill, cost = 10, 30
    daemon = sluiced(policy(python_server.port, "limits:\n"
                            f"- {{ name: all, match: {{model: gpt-4}}, key: [], tpm: {fill * 60} }}\n"))
    if mode == "library":  # many new processes: the library is probed, and so the server, too
        group = cgroup("others")
        for other in [start("curl", group, python_server, chat(f"other-{i}", model="other")) for i in range(8)]:
            other.done()
    program = start(name, cgroup("client"), python_server, [
        [chat("drain", content="x" * 4 * (fill * 60 - 3)), chat("held", content="x" * 4 * (cost - 3)), chat("last")]])
    [waiting] = wait_for(lambda: [one for one in daemon.queue() if one["cost"] == cost], 10,
                         lambda: f"its request waits: {daemon.flows()}\n{daemon.log_text()}")
    [flow] = [one for one in daemon.flows() if one["id"] == waiting["flow"]]
    assert waiting["pid"] == program.pid
    assert (flow["state"], flow["why_opaque"], flow["requests"]) == ("queued", None, 2)
    libraries = {one["path"]: one["mode"] for one in daemon.status()["libraries"]}
    assert libraries[flow["library"]] == mode
    done = program.done()
    assert {event["status"] for event in done.values()} == {200}
    rows = {}
    while "last" not in rows:
        row = json.loads(python_server.process.stdout.readline())
        rows[row["test_id"]] = row
    assert rows["held"]["body_sha256"] == next(
        e["sha256"] for e in program.events("sending") if e["id"] == "held"), "the body was changed on its way"
    waited = done["held"]["ms"] / 1000
    print(f"{name}, probed by {mode}: held for {waited:.2f} s; {flow}")
    status = daemon.status()
    assert status["opaque"] == 0 and not any(status["lost_events"].values()), daemon.log_text()
    assert waited > 1, "it was not held"
