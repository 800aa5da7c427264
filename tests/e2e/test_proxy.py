"""Programs that reach OpenAI through an HTTP proxy: behind its CONNECT (RFC 9110 section 9.3.6) their connection is
what it would be without.

The proxy is on this host. Where the policy governs the port that it connects to, its own connection carries the same
handshake as the program's; where the policy governs another port, which the program asks the proxy for, it is as if
the proxy were on another host.
"""
import json
import subprocess
import time

from types import SimpleNamespace

import pytest

from harness import HOST, ROOT, Cgroup, policy
from host import end, temporary_folder
from programs import chat, start
from watching import CONTENT, FILL, check_arrived, held

CLIENTS = ["curl", "curl-h2", "requests"]


def item(name):
    return chat(name, model=name, content=CONTENT)


@pytest.fixture
def proxy(openai):
    """A proxy's port. Whatever host it is asked for, it connects to the imitation."""
    folder = temporary_folder("proxy")
    with open(folder / "stderr", "wb") as errors:
        process = subprocess.Popen(["node", ROOT / "tests/openai/proxy.mjs", "--port", "0", "--to", str(openai.port)],
                                   stdout=subprocess.PIPE, stderr=errors, text=True)
    try:
        first = process.stdout.readline()
        assert first, f"the proxy did not start: {(folder / 'stderr').read_text()}"
        yield json.loads(first)["listening"][0]["port"]
    finally:
        end(process)
        process.stdout.close()


def through(proxy, name):
    """Options of a client that make it use the proxy, though its environment says that none is to be used."""
    url = f"http://127.0.0.1:{proxy}"
    return ["--proxy", url, "--noproxy", ""] if name.startswith("curl") else {"proxy": url}


ELSEWHERE = 7443  # nobody listens there


def governed(sluiced, openai, proxy, port, wait_s=2):
    """A daemon that governs that port, whose limit is used up for that long, and since when."""
    limit = f"limits:\n- {{ name: all, key: [], tpm: {FILL * 60} }}\nproxy_ports: [{proxy}]\n"
    daemon = sluiced(policy(port, limit))
    with Cgroup("filler") as group:
        filler = chat("filler", content="x" * 20, max_tokens=FILL * (60 + wait_s) - 8)
        start("curl", group, seen_at(openai, port), filler, options=through(proxy, "curl")).done()
    return daemon, openai.row("filler")["t"]


def seen_at(openai, port):
    """The imitation as a program calls it that reaches it through the proxy."""
    return SimpleNamespace(port=port, ca=openai.ca)


@pytest.mark.parametrize("is_here", [False, True], ids=["another host's proxy", "this host's proxy"])
@pytest.mark.parametrize("name", CLIENTS)
def test_request_is_held(name, is_here, openai, proxy, cgroup, sluiced):
    """It is held, told of as who it is, and comes when there are tokens."""
    port = openai.port if is_here else ELSEWHERE
    daemon, since = governed(sluiced, openai, proxy, port)
    program = start(name, cgroup("proxied"), seen_at(openai, port), [[item("one"), item("two")]],
                    options=through(proxy, name))
    flow = held(daemon, openai, "one")
    who = {"pid": program.pid, "host": HOST, "state": "queued", "protocol": "h2" if name == "curl-h2" else "http/1.1",
           "opaque": False}
    assert {key: flow[key] for key in who} == who
    assert held(daemon, openai, "two")["id"] == flow["id"], "it is another connection"
    rows = check_arrived(openai, program, ["one", "two"])
    for number, row in enumerate(rows):
        late = row["t"] - since - 2 - (number + 1) * row["charged"] / FILL
        assert -0.1 <= late <= 1, f"{row['test_id']} came {late:+.2f} s from when it was due"


@pytest.mark.parametrize("name", CLIENTS)
def test_denied(name, openai, proxy, cgroup, sluiced):
    """A refused request fails at once, and the provider never sees it."""
    limit = f"limits:\n- {{ name: all, key: [], tpm: 60, over_limit: deny }}\nproxy_ports: [{proxy}]\n"
    sluiced(policy(ELSEWHERE, limit))
    server, options = seen_at(openai, ELSEWHERE), through(proxy, name)
    start(name, cgroup("first"), server, chat("first", max_tokens=50), options=options).done()
    begin = time.monotonic()
    program = start(name, cgroup("proxied"), server, item("denied"), options=options)
    kinds = [event["event"] for event in program.wait(10) if event["event"] != "sending"]
    assert kinds == ["error"] and time.monotonic() - begin < 3
    assert openai.row("denied") is None


def test_other_hosts_pass(openai, proxy, cgroup, sluiced):
    """What goes through the same proxy to a host that is not governed does not wait."""
    daemon, _ = governed(sluiced, openai, proxy, openai.port, wait_s=60)
    folder = temporary_folder("other")
    begin = time.monotonic()
    program = cgroup("other").run(["curl", "-sS", "--max-time", "10", "--proxy", f"http://127.0.0.1:{proxy}",
                                   "--noproxy", "", "--cacert", openai.ca, "-o", folder / "answer",
                                   f"https://localhost:{openai.port}/__books"])
    assert program.wait(15) == 0
    took = time.monotonic() - begin
    assert "total" in json.loads((folder / "answer").read_text())
    assert took < 2 and not daemon.queue(), "a host that is not governed had to wait"
