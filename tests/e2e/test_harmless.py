"""Whatever happens to Sluice, its programs go on; and whatever Sluice does, a program's connection stays as good
as it was. What is held is let go when the daemon is killed, hangs or ends; a request whose program died is
never sent; a hold outlasts every timer of TCP.
"""
import contextlib
import signal
import time

import pytest

from emptied import (EMPTY, OVERDRAW, TPM, Namespace, check_governs, emptied, many, rows, ss, stays, tcp_info)
from harness import Cgroup, Openai, Sluiced, policy
from host import wait_for
from programs import chat, queued, start, use_up

LONG_S = 90
LONG_FILL = 4  # tokens a second
LONG_DEBT = 375  # tokens: what the held ones wait for to be paid, 93 s
LONG_HELD = ("timeout", "retries")


def hold_for_long(openai, daemon, cgroup, netns):
    """Two clients behind a debt: one that sets TCP_USER_TIMEOUT, one that does not."""
    filler = start("curl", cgroup, openai, chat("filler", max_tokens=LONG_FILL * 60 + LONG_DEBT - 6),
                   prefix=netns.prefix)
    assert filler.done()["filler"]["status"] == 200
    programs = [start("sockets", cgroup, openai, chat(f"long-{name}"), prefix=netns.prefix, options=options)
                for name, options in zip(LONG_HELD, ({"user_timeout_ms": 3000}, {}))]
    queued(daemon, len(programs))
    return programs


@pytest.fixture(scope="module", autouse=True)
def long_hold(request):
    """What test_long_hold looks at in the end, begun first, so that the other tests run meanwhile."""
    if not any(item.name == "test_long_hold" for item in request.session.items):
        yield None
        return
    with Namespace(tcp_retries2=5) as netns, Openai(netns=netns.name) as openai, Cgroup("long") as cgroup, \
            Sluiced(policy(openai.port, f"limits:\n- {{ name: all, key: [], tpm: {LONG_FILL * 60} }}\n")) as daemon:
        yield openai, daemon, netns, hold_for_long(openai, daemon, cgroup, netns)


def last_done(program):
    """When the last answer came; all of them must be 200."""
    done = program.done()
    assert {event["status"] for event in done.values()} == {200}, "a request of a held program failed"
    return max(event["t"] for event in done.values())


@contextlib.contextmanager
def stopped(daemon):
    """The daemon hangs: SIGSTOP. Yields since when, by the clock of the logs."""
    daemon.process.send_signal(signal.SIGSTOP)
    try:
        yield time.time()
    finally:
        daemon.process.send_signal(signal.SIGCONT)


def test_kill(openai, cgroup, sluiced):
    """Nobody waits longer because the daemon was killed; and the next one governs at once."""
    daemon = emptied(sluiced, openai)
    program = start("httpx-async", cgroup("held"), openai, many(50))
    queued(daemon, 50)
    old, killed = daemon.process, time.time()
    old.kill()
    daemon.start()  # at once: the kernel may not be done yet with the old one
    ready = time.time()
    old.wait(10)
    late = last_done(program) - killed
    assert len(rows(openai)) == 50, "a request was lost, or sent twice"
    print(f"killed: 50 of 50 answered within {late:.3f} s, ready again after {ready - killed:.3f} s")
    assert late <= 2, "held requests do not move on when the daemon is killed"
    openai.reset()
    use_up(openai, OVERDRAW)
    check_governs(daemon, cgroup, openai)


def test_hang(openai, cgroup, sluiced):
    """A daemon that hangs holds nobody: its heartbeat is missing."""
    daemon = emptied(sluiced, openai)
    program = start("httpx-async", cgroup("held"), openai, many(10))
    queued(daemon, 10)
    with stopped(daemon) as since:
        late = last_done(program) - since
        begin = time.monotonic()
        assert start("curl", cgroup("new"), openai, chat("new")).done()["new"]["status"] == 200
        new = time.monotonic() - begin
    print(f"hung: 10 of 10 answered within {late:.3f} s, a program that began meanwhile within {new:.3f} s")
    assert len(rows(openai)) == 10, "a request was lost, or sent twice"
    assert late <= 2.5, "held requests do not move on when the daemon hangs"
    assert new <= 2, "a program that begins while the daemon hangs has to wait"
    wait_for(lambda: not daemon.queue(), 2, lambda: f"what left is not in the queue any more: {daemon.queue()}")
    assert daemon.status()["enforcing"]
    check_governs(daemon, cgroup, openai)


def test_hang_closed(openai, cgroup, sluiced):
    """With on_daemon_failure: closed, nothing leaves ungoverned while the daemon hangs, though it was due."""
    daemon = sluiced("on_daemon_failure: closed\n" +
                     policy(openai.port, "limits:\n- { name: all, key: [], tpm: 600 }\n"))
    use_up(openai, 600)
    program = start("httpx-async", cgroup("held"), openai, many(3, content="x" * 36))  # due after 1.2 s each
    queued(daemon, 3)
    with stopped(daemon):
        stays(lambda: not rows(openai), 3, "a held request left while the daemon hung")
    since = time.time()
    late = last_done(program) - since
    print(f"closed: held for 3 s, and answered within {late:.3f} s after SIGCONT")
    assert late <= 3, "requests do not move on when the daemon does"


def test_end(openai, cgroup, sluiced):
    """SIGTERM lets go of everything at once, and leaves nothing in the kernel (which stop() looks at)."""
    daemon = emptied(sluiced, openai)
    program = start("httpx-async", cgroup("held"), openai, many(50))
    queued(daemon, 50)
    since = time.time()
    daemon.stop()
    took = time.time() - since
    late = last_done(program) - since
    print(f"SIGTERM: 50 of 50 answered within {late:.3f} s, ended within {took:.3f} s")
    assert len(rows(openai)) == 50, "a request was lost, or sent twice"
    assert late <= 1, "held requests are not let go when the daemon ends"


def test_program_killed(openai, cgroup, sluiced):
    """What a dead program asked for is never sent, holds up nobody, and costs nothing."""
    fill, cost = 10, 70
    daemon = sluiced(policy(openai.port, f"limits:\n- {{ name: all, key: [], tpm: {fill * 60} }}\n"))
    since = use_up(openai, fill * 60)
    program = start("requests", cgroup("dead"), openai, chat("dead", content="x" * 4 * (cost - 3)))
    [waiting] = queued(daemon, 1)
    [flow] = [one for one in daemon.flows() if one["id"] == waiting["flow"]]
    assert (waiting["pid"], waiting["cost"]) == (program.pid, cost)
    assert ss(f"sport = :{flow['local_port']}"), "the held socket is not where flows shows it"
    killed = time.time()
    program.process.kill()
    wait_for(lambda: not daemon.queue(), 1, "the queue is empty")
    emptied_s = time.time() - killed
    wait_for(lambda: not ss(f"sport = :{flow['local_port']}"), 1,
             lambda: f"the orphaned socket is gone: {ss('sport = :%d' % flow['local_port'])}")
    gone_s = time.time() - killed
    assert flow["id"] not in [one["id"] for one in daemon.flows()]
    [limit] = daemon.limits()
    assert limit["queued"] == 0 and limit["level"] >= fill * (time.time() - since) - fill, "its tokens are not free"
    # It would have been due before this one, which therefore comes as if there had been no other.
    heir = start("requests", cgroup("heir"), openai, chat("heir", content="x" * 4 * (cost - 3)))
    assert heir.done()["heir"]["status"] == 200
    late = openai.row("heir")["t"] - since - cost / fill
    print(f"program killed: queue empty after {emptied_s:.3f} s, socket gone after {gone_s:.3f} s; "
          f"the next request of its price came {late:+.3f} s from when it was due")
    assert late <= 0.5, "a dead program's request was charged"
    assert openai.row("dead") is None, "a dead program's request was sent"
    books = openai.books()
    assert books["total"]["requests"] == 2 and books["receiving"] == 0, books


@pytest.mark.parametrize("name", ["requests", "node-https"])
def test_connection_as_good_as_before(name, openai, cgroup, sluiced):
    """The server's kernel sees no sign of the hold: nothing was lost, and the window is as wide as before."""
    daemon = sluiced(policy(openai.port, "limits:\n- { name: slow, match: {model: gpt-4}, key: [], tpm: 600 }\n"))
    use_up(openai, 600)
    lane = [chat(f"free-{i}", model="free", content="x" * 4000) for i in range(20)]
    # The last one keeps the connection open until the one before has been looked at.
    lane += [chat("held", content="x" * 280), chat("last", content="x" * 40)]
    program = start(name, cgroup("kept"), openai, [lane])
    queued(daemon, 1)
    assert len(rows(openai, "free")) == 20

    [flow] = [one for one in daemon.flows() if one["state"] == "queued"]

    def of_both():
        """(the server's, the client's) end, as the kernel has it."""
        ends = (openai.port, flow["local_port"]), (flow["local_port"], openai.port)
        lines = [ss("state", "established", f"sport = :{mine}", f"dport = :{other}") for mine, other in ends]
        [of_server], [of_client] = lines
        return tcp_info(of_server), tcp_info(of_client)

    (before, _), seen = of_both(), []
    begin = time.time()
    while not openai.row("last"):
        assert time.time() < begin + 20, f"it is never released: {daemon.queue()}"
        with contextlib.suppress(ValueError):  # the client has closed it
            seen.append(of_both())
    held = openai.row("held")["t"] - begin
    done = program.done()
    assert done["last"]["status"] == 200
    assert openai.row("held")["connection"] == openai.row("free-0")["connection"], "it went over another connection"
    least = min(of_server["cwnd"] for of_server, _ in seen)
    worst = {name: max(one[name] for pair in seen for one in pair)
             for name in ("retrans", "bytes_retrans", "lost", "dsack_dups")}
    print(f"{name}: held for {held:.2f} s; the server's cwnd {before['cwnd']} before, {least} at least since; "
          f"both ends' worst of {len(seen)} readings: {worst}")
    assert held >= 5.5
    assert not any(worst.values()), "segments were repeated"
    assert least >= before["cwnd"], "the connection became slower"


def test_observe(openai, cgroup, sluiced):
    """mode: observe holds nothing, and says what would have waited, from a program's first request on."""
    daemon = sluiced(policy(openai.port, EMPTY, mode="observe"))
    fillers = cgroup("fillers")
    assert start("curl", fillers, openai, chat("filler", max_tokens=OVERDRAW - 6)).done()["filler"]["status"] == 200
    [limit] = daemon.limits()
    assert limit["level"] < TPM - OVERDRAW + 10, "the only request of a program was not seen"
    with Openai(latency_ms=500) as slow:  # so long that each can be looked at
        assert daemon.reload(policy(slow.port, EMPTY, "observe"))[0] == 200
        names = [f"held-{i}" for i in range(3)]
        program = start("requests", cgroup("watched"), slow, [[chat(name, model=name) for name in names]])
        for name in names:
            [waiting] = wait_for(lambda: [one for one in daemon.queue() if one["model"] == name], 10,
                                 f"{name} is in the queue, as it would be")
            [flow] = daemon.flows()
            assert (waiting["pid"], flow["state"], flow["model"]) == (program.pid, "queued", name)
            assert daemon.status()["queued"] == 1
            wait_for(lambda: slow.row(name), 0.5, f"{name} is at the server all the same")
        done = program.done()
        status, [limit] = daemon.status(), daemon.limits()
    took = [done[name]["ms"] - 500 for name in names]
    print(f"observe: {[round(ms) for ms in took]} ms more than the server takes (the first with connecting), "
          f"observed_waits {status['observed_waits']}, level {limit['level']}")
    assert took[0] <= 500 and max(took[1:]) <= 200, "a request waited although nothing may be held"
    assert not status["enforcing"] and status["mode"] == "observe"
    assert status["observed_waits"] == len(names), "what would have waited is not counted"
    assert not status["opaque"] and not any(status["lost_events"].values()), status
    assert not status["queued"] and limit["queued"] == 0 and limit["level"] < TPM - OVERDRAW + 15, limit


def test_long_hold(long_hold):
    """A hold of 90 s outlasts a program's TCP_USER_TIMEOUT of 3 s and a host's tcp_retries2 of 5."""
    openai, daemon, netns, programs = long_hold
    names = [f"long-{name}" for name in LONG_HELD]
    waited = wait_for(lambda: (queue := daemon.queue()) and len(queue) == 2 and
                      min(one["waiting_ms"] for one in queue) >= LONG_S * 1000 and queue, LONG_S + 10,
                      lambda: f"both wait for {LONG_S} s: {daemon.queue()}\n{daemon.flows()}\n{daemon.log_text()}")
    assert not any(openai.row(name) for name in names), "a request left while it was held"
    sockets = [tcp_info(line) for line in ss("state", "established", f"dport = :{openai.port}", netns=netns.name)]
    for name, program in zip(names, programs):
        assert program.done()[name]["status"] == 200
        assert len([row for row in openai.log() if row["test_id"] == name]) == 1
    print(f"held for {LONG_S} s: {[one['waiting_ms'] for one in waited]} ms and more; {sockets}")
    assert not any(one["retrans"] or one["bytes_retrans"] for one in sockets), "segments were repeated"
    assert not daemon.status()["push"]["failed"], daemon.status()["push"]
