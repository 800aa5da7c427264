"""Who shares a limit gets it by weight and priority, not by who came first; and the queue that people see is the
order in which requests leave.
"""
import collections
import time

import pytest

from host import wait_for
from programs import chat, queued, start, use_up

COST = 100
FILL_PER_S = 400
EACH = 4
# The limit is overdrawn by so much that all have come before the first one goes.
GATHER_S = 2
ETA_WITHIN_MS = 150


def items(team, n=EACH):
    """Lanes of one request each, all of the same cost. The model says whose it is."""
    return [[chat(f"{team}-{i}", model=team, content="x" * 40, max_tokens=COST - 13)] for i in range(n)]


@pytest.fixture
def wait_in_order(governed, cgroup):
    """wait_in_order(weights, order, later): (openai, daemon, programs) when the requests of order's teams, which
    arrived in that order, wait; programs is by team, and has those of later, ready to go, too. weights: text of
    each team's policy."""
    def run(weights, order, later=()):
        cgroups = {team: cgroup(team) for team in weights}
        lines = [f"- {{ name: {team}, cgroup: {cgroups[team].path}, {text} }}\n" for team, text in weights.items()]
        openai, daemon, key = governed(f"teams:\n{''.join(lines)}- {{ name: rest }}\n"
                                       f"limits:\n- {{ name: all, key: api_key, tpm: {FILL_PER_S * 60} }}\n")
        programs = {team: start("httpx", cgroups[team], openai, items(team), key=key, wait=True)
                    for team in (*order, *later)}
        for program in programs.values():
            wait_for(lambda: program.events("ready"), 30, "the clients have started")
        use_up(openai, FILL_PER_S * (60 + GATHER_S), key)
        openai.reset()
        for n, team in enumerate(order, 1):
            programs[team].go()
            queued(daemon, n * EACH)
        return openai, daemon, programs
    return run


def served(openai):
    """The rows of the log in the order in which the server saw their first bytes."""
    return sorted(openai.log(), key=lambda row: row["t"])


def check_order(openai, daemon, programs):
    """The server sees what waits in the order of sluice queue, and when it said. Returns the teams in that order."""
    began = time.time()
    queue, ports = daemon.queue(), {flow["id"]: flow["local_port"] for flow in daemon.flows()}
    for program in programs:
        program.done()
    rows = served(openai)[-len(queue):]
    assert [row["remote_port"] for row in rows] == [ports[w["flow"]] for w in queue], "they left in another order"
    errors_ms = [abs(row["t"] - began - w["eta_ms"] / 1000) * 1000 for row, w in zip(rows, queue)]
    print(f"{len(queue)} requests; the expected times to leave were {max(errors_ms):.0f} ms off at most")
    assert max(errors_ms) <= ETA_WITHIN_MS
    return [w["team"] for w in queue]


def test_order(wait_in_order):
    """The team that came last but weighs most is served first, and each has its share of what is given out."""
    openai, daemon, programs = wait_in_order(
        {"batch": "weight: 1", "review": "weight: 2", "chat": "weight: 2, priority: 2"}, ["batch", "review", "chat"])
    order = check_order(openai, daemon, programs.values())
    print(" ".join(order))
    assert order[0] == "chat"
    shares = collections.Counter(order[:7])
    assert shares == {"chat": 4, "review": 2, "batch": 1}, "the first seven are not shared as 4 : 2 : 1"
    assert order[-1] == "batch"


def test_urgent_overtakes(wait_in_order):
    """Those that come later and are more urgent go before those that have waited all the time."""
    openai, daemon, programs = wait_in_order(
        {"batch": "weight: 1", "urgent": "weight: 1, priority: 20"}, ["batch"], ["urgent"])
    wait_for(lambda: len(openai.log()) == 1, 10, "the first one goes")
    programs["urgent"].go()
    queued(daemon, 2 * EACH - 1)
    order = check_order(openai, daemon, programs.values())
    assert order == ["urgent"] * 4 + ["batch"] * 3


def test_idle_team_saves_nothing_up(wait_in_order):
    """A team that did nothing for a while has no claim to what it did not use: from now on they take turns."""
    openai, daemon, programs = wait_in_order({"busy": "weight: 1", "idle": "weight: 1"}, ["busy"], ["idle"])
    wait_for(lambda: len(openai.log()) == 2, 10, "two of the busy team go")
    programs["idle"].go()
    queued(daemon, EACH + 2)
    order = check_order(openai, daemon, programs.values())
    assert sorted(order[:2]) == sorted(order[2:4]) == ["busy", "idle"], order


def test_withdrawn_request_keeps_nobody_waiting(wait_in_order):
    """A program that is killed while it waits leaves the queue at once, and the next one takes its place."""
    openai, daemon, programs = wait_in_order(
        {"chat": "weight: 1, priority: 20", "batch": "weight: 1"}, ["batch", "chat"])
    programs["chat"].process.kill()
    queue = queued(daemon, EACH, timeout=2)
    assert {w["team"] for w in queue} == {"batch"}
    check_order(openai, daemon, [programs["batch"]])
    assert {row["model"] for row in openai.log()} == {"batch"}, "a killed program's request reached the server"
