"""One client, held because another has just used up the limit, and what has to be true of its release.

The tests of a file share a daemon: each gives it a policy of its own and uses an API key, and so buckets,
of its own.
"""
import itertools
import time

import pytest

from harness import Openai, Sluiced, policy
from host import wait_for
from programs import queued, shown_key, start, use_up

CAPACITY = 9000  # tokens, and tokens a minute
# Between two programs' clocks, and from a bucket's first token to the first line of the log.
SLACK_S = 0.1
keys = (f"sk-held-{i}" for i in itertools.count(1))


class Hold:
    """A held client: its program, the daemon, its cgroup, its rows of queue and flows."""

    def __init__(self, openai, daemon, cgroup, program, item, key, empty_since, fill_per_s):
        self.openai, self.daemon, self.cgroup = openai, daemon, cgroup
        self.program, self.item, self.key = program, item, key
        self.empty_since, self.fill_per_s = empty_since, fill_per_s
        [self.waiting] = queued(daemon, 1)
        [self.flow] = [flow for flow in daemon.flows() if flow["id"] == self.waiting["flow"]]
        assert openai.row(item["id"]) is None, "the server saw the request while it was held"

    def limit(self):
        """Its row in limits."""
        [limit] = [one for one in self.daemon.limits() if one["key"] == shown_key(self.key)]
        return limit

    def _seen_last_in_queue(self):
        last = time.time()
        deadline = last + 30
        while self.daemon.queue():
            last = time.time()
            assert last < deadline, "what waits is never released"
        return last

    def check_release(self):
        """It arrives as it was sent, not before there were tokens. Returns its "done" and the server's row."""
        seen = self._seen_last_in_queue()
        done = self.program.done()[self.item["id"]]
        sending = next(e for e in self.program.events("sending") if e["id"] == self.item["id"])
        row = self.openai.row(self.item["id"])
        assert done["status"] == row["status"] == 200
        assert row["body_sha256"] == sending["sha256"], "the body was changed on its way"
        assert row["body_bytes"] == sending["bytes"]
        # t is when the head was whole: nothing of a held request may have left.
        assert row["t"] >= seen - SLACK_S, "the server saw the request before it was released"
        due = self.empty_since + self.waiting["cost"] / self.fill_per_s
        assert row["t"] >= due - SLACK_S, "it was released before there were tokens"
        assert not self.daemon.status()["opaque"], f"Sluice did not understand something: {self.daemon.log_text()}"
        return done, row


@pytest.fixture(scope="module")
def shared():
    """(Openai, Sluiced) of a file's tests."""
    with Openai() as server, Sluiced(policy(server.port)) as daemon:
        yield server, daemon


@pytest.fixture
def governed(shared):
    """governed(rest, mode): (Openai, Sluiced, key) for a test that makes that its policy. The server's log is empty;
    a limit whose key is api_key has a new bucket for that key."""
    server, daemon = shared

    def apply(rest, mode="enforce"):
        status, answer = daemon.reload(policy(server.port, rest, mode))
        assert status == 200, answer
        server.reset()
        return server, daemon, next(keys)
    return apply


@pytest.fixture
def exhausted(governed, cgroup):
    """exhausted(name, items, limit, drain): starts a client with the items when drain(key) has just used up the
    limit, which is text of a policy. Returns (program, its cgroup, its key, what drain returned)."""
    def run(name, items, limit, drain, **options):
        mine = cgroup("mine")
        openai, _, key = governed(f"""\
teams:
- {{ name: mine, cgroup: {mine.path} }}
- {{ name: others }}
limits:
- {{ name: all, key: api_key, {limit} }}
""")
        if name == "curl":
            drained = drain(key)
            return start(name, mine, openai, [items], key=key, **options), mine, key, drained
        program = start(name, mine, openai, [items], key=key, wait=True, **options)
        wait_for(lambda: program.events("ready"), 30, lambda: f"{name} has started: {program.errors()}")
        drained = drain(key)
        program.go()
        return program, mine, key, drained
    return run


@pytest.fixture
def held(shared, exhausted):
    """held(name, item, **options): the Hold of a client that sends the item when there are no tokens."""
    openai, daemon = shared

    def hold(name, item, capacity=CAPACITY, **options):
        program, mine, key, since = exhausted(name, [item], f"tpm: {capacity}",
                                              lambda key: use_up(openai, capacity, key), **options)
        return Hold(openai, daemon, mine, program, item, key, since, capacity / 60)
    return hold
