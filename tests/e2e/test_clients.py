"""Every client that Sluice knows is held while there are no tokens, is told of as who it is, and goes on
unharmed when tokens have come: its server sees the same bytes, only later.
"""
import pytest

from programs import CLIENTS, chat, comm, queued, start, use_up

STREAM = {"stream": True, "stream_options": {"include_usage": True}}
CASES = [*(pytest.param(name, 4, {}, id=name) for name in CLIENTS),
         pytest.param("curl", 6, {}, id="curl-IPv6"),
         pytest.param("httpx-async", 6, {}, id="httpx-async-IPv6"),
         pytest.param("node-openai", 6, {}, id="node-openai-IPv6"),
         pytest.param("node-openai", 4, STREAM, id="node-openai-stream"),
         pytest.param("curl", 4, STREAM, id="curl-stream")]


@pytest.mark.parametrize("name, family, more", CASES)
def test_client(name, family, more, held, node_modules):
    item = chat("held", model=f"model-of-{name}", content="How much? " * 10, max_tokens=120, **more)
    hold = held(name, item, family=family)
    who = {"pid": hold.program.pid, "comm": comm(name), "team": "mine", "model": f"model-of-{name}", "cost": 148}
    assert {key: hold.waiting[key] for key in who} == who, "sluice queue shows the wrong request"
    who |= {"user": "root", "cgroup": hold.cgroup.path, "host": "api.openai.com", "state": "queued", "requests": 1}
    assert {key: hold.flow[key] for key in who} == who, "sluice flows shows the wrong connection"
    done, row = hold.check_release()
    assert row["charged"] == hold.waiting["cost"], "Sluice charges another price than the provider"
    if done["usage"]:  # curl leaves a stream as it is
        assert done["usage"]["total_tokens"] == row["input_tokens"] + row["output_tokens"]
    flows = [flow for flow in hold.daemon.flows() if flow["pid"] == hold.program.pid]
    assert not flows, "sluice flows shows a connection whose program has ended"


def test_team_by_user(governed, cgroup):
    """A program belongs to its user's team, wherever it runs."""
    openai, daemon, key = governed("""\
teams:
- { name: guests, user: nobody }
- { name: others }
limits:
- { name: all, key: api_key, tpm: 6000 }
""")
    use_up(openai, 6000, key)
    as_nobody = ("setpriv", "--reuid", "nobody", "--clear-groups")
    program = start("curl", cgroup("any"), openai, chat("guest", max_tokens=100), key=key, prefix=as_nobody)
    [waiting] = queued(daemon, 1)
    [flow] = [flow for flow in daemon.flows() if flow["id"] == waiting["flow"]]
    assert (flow["user"], flow["team"], flow["pid"]) == ("nobody", "guests", program.pid)
    assert program.done()["guest"]["status"] == 200, "a program of another user was not released"
