"""Connections that were open before the daemon started. Their handshake is over, so what they say cannot be read;
but whom they call is known, and what they send from now on waits like everything else.
"""
import pytest

from harness import HOST, policy
from host import wait_for
from programs import chat, own_hosts, start, use_up
from watching import answered, burst, check_arrived, step

OLDER = "older than the daemon"
FILL = 500  # tokens a second
CONTENT = "How much? " * 200  # so much that its head is little beside it
LIMIT = f"limits:\n- {{ name: all, key: [], tpm: {FILL * 60} }}\n"


def item(name):
    return chat(name, model=name, content=CONTENT)


@pytest.fixture
def older(openai, cgroup, sluiced):
    """older(rest): a program whose connection has been used once, and a daemon that has been started since. For the
    daemon api.openai.com has the address of the imitation: it asks when it starts."""
    def run(rest=""):
        program = start("sockets", cgroup("older"), openai, [[item("before"), item("after"), item("last")]],
                        options={"steps": True})
        answered(program, "before")
        return program, sluiced(policy(openai.port, rest), prefix=own_hosts())
    return run


def flow_of(daemon, program):
    [flow] = wait_for(lambda: [flow for flow in daemon.flows() if flow["pid"] == program.pid], 5,
                      lambda: f"the connection is known: {daemon.flows()}\n{daemon.log_text()}")
    return flow


def test_is_shown(openai, older):
    """It is listed, with its program, its host, and why it cannot be read."""
    program, daemon = older(LIMIT)
    flow = flow_of(daemon, program)
    who = {"comm": "python3", "user": "root", "host": HOST, "opaque": True, "why_opaque": OLDER, "state": "opaque",
           "protocol": None}
    assert {key: flow[key] for key in who} == who
    assert not flow["model"]
    assert OLDER in daemon.cli("flows").stdout
    status = daemon.status()
    assert (status["older"], status["opaque"]) == (1, 1)
    for n, name in enumerate(("after", "last"), 1):
        step(program, n)
        assert answered(program, name)["ms"] < 1000, "it had to wait though there are tokens"
    check_arrived(openai, program, ["before", "after", "last"])
    wait_for(lambda: not daemon.flows(), 5, "it is shown no more when it is closed")


def test_is_held(openai, older):
    """Without tokens its next request waits until there are some, by what it costs from its bytes."""
    program, daemon = older(LIMIT)
    flow_of(daemon, program)
    since = use_up(openai, FILL * 62)
    step(program, 1)
    waiting, flow = burst(daemon, program.pid)
    assert openai.row("after") is None, "the server saw it while it was held"
    assert flow["state"] == "queued" and waiting["cost"] > 0
    assert len(CONTENT) / 8 <= waiting["cost"] <= len(CONTENT) / 2
    answered(program, "after")
    late = openai.row("after")["t"] - since - 2 - waiting["cost"] / FILL
    print(f"estimated {waiting['cost']} tokens (the provider charged {openai.row('after')['charged']}); "
          f"came {late:+.2f} s from when it was due")
    assert -0.1 <= late <= 1
    step(program, 2)
    check_arrived(openai, program, ["before", "after", "last"])


def test_passes_where_the_policy_says_so(openai, older):
    """opaque: pass"""
    program, daemon = older("opaque: pass\n" + LIMIT)
    flow_of(daemon, program)
    use_up(openai, FILL * 120)
    step(program, 1)
    assert answered(program, "after")["ms"] < 1000, "it had to wait"
    step(program, 2)
    check_arrived(openai, program, ["before", "after", "last"])


def test_denied_where_the_policy_says_so(openai, older):
    """opaque: deny"""
    program, daemon = older("opaque: deny\n" + LIMIT)
    wait_for(lambda: daemon.status()["older"] == 1, 5, "the connection has been found")
    step(program, 1)
    [error] = wait_for(lambda: program.events("error"), 5, lambda: f"it is refused: {program.events()}")
    assert (error["id"], openai.row("after")) == ("after", None)
    assert not daemon.queue()


def test_other_hosts_are_left_alone(openai, cgroup, sluiced):
    """A connection to the same port of an address that is none of a governed host's."""
    program = start("sockets", cgroup("other"), openai, [[item("before"), item("after")]], family=6,
                    options={"steps": True})
    answered(program, "before")
    daemon = sluiced(policy(openai.port, LIMIT), prefix=own_hosts())  # where it has an address of IPv4 only
    use_up(openai, FILL * 120)
    step(program, 1)
    assert answered(program, "after")["ms"] < 1000, "another host's connection had to wait"
    assert not daemon.queue()
