"""What Sluice does not understand passes at once, though there are no tokens, and is shown as opaque, with the
reason. What only looks difficult - a server with the same TLS library on the same host - is understood.
"""
import json
import re
import shutil
import subprocess
import time
from types import SimpleNamespace

import pytest

from emptied import EMPTY, emptied
from harness import HERE, HOST, Openai, certificate, policy
from host import end, temporary_folder, wait_for
from programs import PYTHON, chat, start

# The imitation takes so long that a connection can be looked at.
LATENCY_MS = 700


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


def test_http2(slow, cgroup, sluiced):
    """HTTP/2 passes."""
    daemon = emptied(sluiced, slow)
    program = start("curl", cgroup("h2"), slow, chat("h2"), options=["--http2"])
    flow = opaque_flow(daemon, program.pid)
    assert "not HTTP/1.1" in flow["why_opaque"]
    done = program.done()["h2"]
    print(f"HTTP/2: {done['ms']:.0f} ms, of which the server {LATENCY_MS}; {flow['why_opaque']}")
    row = slow.row("h2")
    assert (done["status"], row["http"]) == (200, 2)
    assert done["ms"] - LATENCY_MS < 500, "HTTP/2 has to wait"
    assert not daemon.queue() and not daemon.status()["queued"]


def test_garbage(cgroup, sluiced):
    """What is no HTTP at all passes, there and back. The server reverses each line."""
    group = cgroup("reversing")
    server = group.run(["openssl", "s_server", "-accept", "127.0.0.1:0", "-rev", "-cert",
                        certificate() / "cert.pem", "-key", certificate() / "key.pem"], stdout=subprocess.PIPE,
                       stderr=subprocess.DEVNULL)
    while not (ready := re.match(rb"ACCEPT .*:(\d+)", line := server.stdout.readline())):
        assert line, "openssl s_server has ended"
    port = int(ready[1])
    daemon = sluiced(policy(port, EMPTY))
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
    assert "not HTTP/1.1" in flow["why_opaque"]
    wait_for(lambda: (folder / "stdout").read_bytes() == b"PTTH ton si siht \xff\x02\x01\n", 2, "it has come back")
    client.stdin.write(b"and so on\n")
    client.stdin.flush()
    wait_for(lambda: (folder / "stdout").read_bytes().endswith(b"no os dna\n"), 2, "so has what follows")
    client.stdin.close()
    wait_for(lambda: not daemon.flows(), 5, "the connection is shown no more when it is closed")
    server.stdout.close()


def test_unknown_library(slow, cgroup, sluiced):
    """A program with a TLS library that Sluice does not know (wget: GnuTLS) is not delayed by more than a second."""
    if not shutil.which("wget") or "+ssl/gnutls" not in subprocess.run(
            ["wget", "--version"], capture_output=True, text=True, timeout=10).stdout:
        pytest.skip("there is no wget with GnuTLS: apt-get install wget")
    daemon = emptied(sluiced, slow)
    folder = temporary_folder("wget")
    (folder / "hosts").write_text(f"127.0.0.1 {HOST} localhost\n")
    (folder / "body").write_text(json.dumps(chat("wget")["body"]))
    # wget cannot be told an address: it gets a hosts file of its own.
    begin = time.monotonic()
    program = cgroup("wget").run(
        ["unshare", "--mount", "sh", "-c", 'mount --bind "$0/hosts" /etc/hosts && exec "$@"', folder, "wget",
         "--no-config", "--no-proxy", "--tries=1", "-O", folder / "answer", "-o", folder / "log",
         "--ca-certificate", slow.ca, "--post-file", folder / "body", "--header", "Content-Type: application/json",
         "--header", "X-Test-Id: wget", "--header", "Authorization: Bearer sk-e2e",
         f"https://{HOST}:{slow.port}/v1/chat/completions"])
    flow = opaque_flow(daemon, program.pid)
    assert program.wait(10) == 0, (folder / "log").read_text()
    took = time.monotonic() - begin - LATENCY_MS / 1000
    print(f"wget: {took:.3f} s, and {LATENCY_MS} ms of the server; {flow['why_opaque']}")
    assert took <= 1.5, "a program with an unknown TLS library has to wait"
    assert "TLS library" in flow["why_opaque"]
    assert json.loads((folder / "answer").read_text())["object"] == "chat.completion"


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
