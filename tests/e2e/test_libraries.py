"""Clients that are rarer than those of the table: they are held and understood like them.

    go-http1    Go's crypto/tls in a program without symbols (-ldflags "-s -w")
    boringssl   BoringSSL as a shared library
    curl-h2     with --parallel: its requests share a connection
"""
import pytest

from programs import chat, comm, start
from watching import CONTENT, FILL, check_arrived, held, slowed, usage_of

CLIENTS = {"go-http1": "http/1.1", "boringssl": "http/1.1", "curl-h2": "h2"}


def item(name):
    return chat(name, model=name, content=CONTENT)


@pytest.mark.parametrize("name", CLIENTS)
def test_is_held(name, openai, cgroup, sluiced):
    daemon, since = slowed(sluiced, openai, 3)
    names = ["one", "two"]
    program = start(name, cgroup("held"), openai, [[item(one) for one in names]])
    for one in names:
        flow = held(daemon, openai, one)
        who = {"pid": program.pid, "comm": comm(name), "protocol": CLIENTS[name], "host": "api.openai.com"}
        assert {key: flow[key] for key in who} == who
    rows = check_arrived(openai, program, names)
    assert len({row["connection"] for row in rows}) == 1
    for number, row in enumerate(rows):
        late = row["t"] - since - 3 - (number + 1) * row["charged"] / FILL
        assert -0.1 <= late <= 1, f"{row['test_id']} came {late:+.2f} s from when it was due"
        assert usage_of(daemon, row["test_id"]) == (row["input_tokens"], row["output_tokens"])
    assert not daemon.status()["opaque"], daemon.log_text()


def test_parallel_requests_of_curl(openai, cgroup, sluiced):
    """curl --parallel sends them on one connection: none leaves before there are tokens for it."""
    daemon, since = slowed(sluiced, openai, 3)
    names = ["one", "two", "three"]
    program = start("curl-h2", cgroup("parallel"), openai, [[item(name)] for name in names])
    held(daemon, openai, "one")
    rows = sorted(check_arrived(openai, program, names), key=lambda row: row["t"])
    assert len({row["connection"] for row in rows}) == 1, "they went over several connections"
    late = [row["t"] - since - 3 - (number + 1) * row["charged"] / FILL for number, row in enumerate(rows)]
    print(f"they came {[f'{seconds:+.2f} s' for seconds in late]} from when each was due")
    assert min(late) >= -0.1 and late[-1] <= 1
    assert not daemon.status()["opaque"], daemon.log_text()
