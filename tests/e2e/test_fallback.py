"""On a host that lets nobody borrow sockets or read other programs' memory (kernel.yama.ptrace_scope=3, imitated by
tools/like_yama3.c), Sluice says so and governs all the same.
"""
import shlex
import subprocess
import time

import pytest

import harness
from emptied import check_governs, emptied, many, rows
from harness import HERE, policy
from host import temporary_folder, wait_for
from programs import chat, queued, start, use_up

FILL = 10


@pytest.fixture(scope="module", autouse=True)
def refused():
    """Every daemon of this file runs without those two system calls."""
    folder, build = temporary_folder("yama"), harness.BUILD
    subprocess.run(["cc", "-O1", "-Wall", "-Werror", "-o", folder / "like_yama3", HERE / "tools/like_yama3.c"],
                   check=True, timeout=60)
    (folder / "sluiced").write_text(f'#!/bin/sh\nexec {folder}/like_yama3 {shlex.quote(str(build))}/sluiced "$@"\n')
    (folder / "sluiced").chmod(0o755)
    (folder / "sluice").symlink_to(build / "sluice")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(harness, "BUILD", folder)
        yield


def check_pushes(daemon):
    """All that was released, was released by the iterator."""
    push = daemon.status()["push"]
    assert push["iter"] > 0, f"nothing was released by the iterator: {push}"
    assert push["pidfd"] == 0, f"the system calls are not refused: the test tests nothing: {push}"
    assert push["failed"] == 0, f"some were released by their own timers only: {push}"
    return push


def test_says_so(openai, sluiced):
    """Once, at its start, with what follows from it."""
    daemon = sluiced(policy(openai.port))
    lines = [line for line in daemon.log_text().splitlines() if "cannot be borrowed" in line]
    assert len(lines) == 1 and "iterator" in lines[0], daemon.log_text()
    print(lines[0])


@pytest.mark.parametrize("name", ["curl", "requests", "httpx-async", "node-https"])
def test_held_and_released(name, openai, cgroup, sluiced):
    daemon = sluiced(policy(openai.port, f"limits:\n- {{ name: all, key: [], tpm: {FILL * 60} }}\n"))
    since = use_up(openai, FILL * 60)
    program = start(name, cgroup("mine"), openai, chat("held", content="x" * 68))
    [waiting] = queued(daemon, 1)
    [flow] = [one for one in daemon.flows() if one["id"] == waiting["flow"]]
    assert (waiting["pid"], waiting["cost"], waiting["model"]) == (program.pid, 20, "gpt-4")
    assert (flow["state"], flow["why_opaque"], flow["requests"]) == ("queued", None, 1)
    assert openai.row("held") is None, "the server saw the request while it was held"
    done = program.done()["held"]
    row, [sending] = openai.row("held"), program.events("sending")
    late = row["t"] - since - waiting["cost"] / FILL
    print(f"{name}: held for {done['ms']:.0f} ms, released {late:+.3f} s from when it was due; {check_pushes(daemon)}")
    assert (done["status"], row["body_sha256"]) == (200, sending["sha256"])
    assert -0.1 <= late <= 0.5, "it was not released when it was due"
    assert daemon.status()["opaque"] == 0


def test_many(openai, cgroup, sluiced):
    """Fifty at once, and all of them let go at the end."""
    daemon = emptied(sluiced, openai)
    program = start("httpx-async", cgroup("many"), openai, many(50))
    queued(daemon, 50)
    assert daemon.status()["opaque"] == 0
    since = time.time()
    daemon.stop()
    done = program.done()
    late = max(event["t"] for event in done.values()) - since
    print(f"SIGTERM: 50 of 50 answered within {late:.3f} s")
    assert {event["status"] for event in done.values()} == {200} and len(rows(openai)) == 50
    assert late <= 1, "held requests are not let go when the daemon ends"


def failure(program):
    events = program.wait(10)
    [error] = [event for event in events if event["event"] in ("error", "done")]
    assert error["event"] == "error", f"it was answered: {error}"
    return error


ERRORS = {"curl": "exit code", "requests": ("ConnectionError", "SSLError"),
          "httpx-async": ("RemoteProtocolError", "ReadError", "WriteError", "ConnectError"), "node-https": "Error"}


@pytest.mark.parametrize("name", ERRORS)
def test_denied(name, openai, cgroup, sluiced):
    """A denied request fails at once with the client's connection error, and is never sent."""
    shut = cgroup("shut")
    daemon = sluiced(policy(openai.port, f"""\
teams:
- {{ name: shut, cgroup: {shut.path}, deny: true }}
limits:
- {{ name: all, key: [], tpm: 600, over_limit: deny }}
"""))
    use_up(openai, 600)
    by_limit = failure(start(name, cgroup("mine"), openai, chat("limit", max_tokens=500)))
    by_team = failure(start(name, shut, openai, chat("team")))
    for what, error in (("over limit", by_limit), ("team", by_team)):
        print(f"{name}, {what}: {error['name']} ({error['message']}) after {error.get('total_ms', error['ms']):.0f} ms")
        assert error["name"].startswith(ERRORS[name])
        assert error["ms"] <= 2000, "a program hangs on what is denied"
    assert openai.books()["total"]["requests"] == 1, "the provider saw a request that was denied"
    assert daemon.status()["denied"] >= 2
    wait_for(lambda: not daemon.queue(), 2, "nothing waits")


def test_program_killed(openai, cgroup, sluiced):
    """A dead program's request is never sent, in this case either."""
    daemon = emptied(sluiced, openai)
    program, flow = check_governs(daemon, cgroup, openai)
    program.process.kill()
    wait_for(lambda: not daemon.queue() and flow["id"] not in [one["id"] for one in daemon.flows()], 1,
             lambda: f"the queue is empty: {daemon.queue()}")
    daemon.stop()
    assert openai.books()["total"]["requests"] == 1, "a dead program's request was sent"
