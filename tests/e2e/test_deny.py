"""A refused request fails at once, in each client's own way: it never hangs, and the provider never sees it."""
import pytest

from host import wait_for
from programs import CLIENTS, Caller, chat, get, start, use_up

# Its own connection error, and none of an HTTP answer or a timeout.
ERRORS = {
    "curl": ("exit code 35", "exit code 55", "exit code 56"),
    "requests": ("ConnectionError", "SSLError"),  # the second is one of the first
    "httpx": ("RemoteProtocolError", "ReadError", "WriteError", "ConnectError"),
    "httpx-async": ("RemoteProtocolError", "ReadError", "WriteError", "ConnectError"),
    "aiohttp": ("ServerDisconnectedError", "ClientOSError", "ClientConnectorError"),
    "node-https": ("Error",),
    "node-fetch": ("TypeError",),
    "node-openai": ("APIConnectionError",),
}
WITHIN_MS = 100
# A new connection takes time of its own, and its ClientHello may wait so long for the probes (docs/design.md).
NEW_CONNECTION_MS = 200


def failure(program, test_id):
    """The error that the program was told of that request."""
    events = program.wait(30)
    [error] = [event for event in events if event["id"] == test_id and event["event"] in ("error", "done")]
    assert error["event"] == "error", f"it was answered: {error}"
    return error


def check_error(name, error, what, ms=None, within_ms=WITHIN_MS):
    ms = ms or error["ms"]
    print(f"{name}, {what}: {error['name']} ({error['message']}) after {ms:.1f} ms")
    assert error["name"].startswith(ERRORS[name]), error
    assert ms <= within_ms, f"the program waited {ms:.0f} ms for its error"


@pytest.fixture
def changed(shared):
    """changed(word): by how much that number of sluice status has grown since the test began."""
    _, daemon = shared
    before = daemon.status()
    return lambda word: daemon.status()[word] - before[word]


@pytest.mark.parametrize("name", CLIENTS)
def test_over_limit(name, governed, cgroup, changed, node_modules):
    """Three requests on one connection, of which the limit allows two."""
    openai, _, key = governed("limits:\n- { name: few, key: api_key, rpm: 2, over_limit: deny }\n")
    names = [f"denied-{i}" for i in range(3)]
    program = start(name, cgroup("mine"), openai, [[chat(n) for n in names]], key=key)
    events = program.wait(30)
    assert [event["event"] for event in events if event["event"] != "sending"] == ["done", "done", "error"], events
    check_error(name, events[-1], "over limit")
    assert openai.books()["total"]["requests"] == 2, "the provider saw the request that was denied"
    assert openai.row(names[2]) is None
    # curl itself tries once more when a connection that it kept fails.
    assert changed("denied") == (2 if name == "curl" else 1)
    assert changed("queued") == changed("opaque") == 0


@pytest.mark.parametrize("name", CLIENTS)
def test_first_request(name, governed, cgroup, changed, node_modules):
    """The only request of a program, on a new connection."""
    openai, _, key = governed("limits:\n- { name: few, key: api_key, tpm: 600, over_limit: deny }\n")
    use_up(openai, 600, key)
    program = start(name, cgroup("mine"), openai, chat("denied", max_tokens=500), key=key)
    check_error(name, failure(program, "denied"), "first request", within_ms=WITHIN_MS + NEW_CONNECTION_MS)
    assert openai.books()["total"]["requests"] == 1, "the provider saw the request that was denied"
    assert changed("denied") == 1


@pytest.mark.parametrize("name", CLIENTS)
def test_team_without_access(name, governed, cgroup, changed, node_modules):
    """A team that is shut out does not even get a connection."""
    mine = cgroup("forbidden")
    openai, *_ = governed(f"teams:\n- {{ name: forbidden, cgroup: {mine.path}, deny: true }}\n")
    program = start(name, mine, openai, chat("forbidden"))
    error = failure(program, "forbidden")
    check_error(name, error, "team", error.get("total_ms"))
    assert openai.books()["total"]["requests"] == 0, "the provider saw a request of a team that is shut out"
    assert changed("denied") >= 1
    with Caller(openai) as caller:
        assert caller.call(chat("allowed"))[0] == 200, "another team is shut out as well"


def waits_too_long(name, governed, cgroup, then):
    """(Openai, Sluiced, program): a client whose request would wait a minute, where max_wait is a second."""
    openai, daemon, key = governed(
        f"max_wait: 1s\non_max_wait: {then}\nlimits:\n- {{ name: one, key: api_key, tpm: 600 }}\n")
    use_up(openai, 600, key)
    # curl's clock starts when its connection is ready; and it sends again what a kept connection fails to.
    items = [chat("late", max_tokens=500)] if name == "curl" else [get("warm"), chat("late", max_tokens=500)]
    return openai, daemon, start(name, cgroup("mine"), openai, [items], key=key)


@pytest.mark.parametrize("name", ["curl", "httpx-async", "node-openai"])
def test_max_wait_then_deny(name, governed, cgroup, changed, node_modules):
    """Who has waited too long is told so by an error, as soon as that is so."""
    openai, daemon, program = waits_too_long(name, governed, cgroup, "deny")
    error = failure(program, "late")
    print(f"{name}: {error['name']} ({error['message']}) after {error['ms']:.1f} ms, of which 1000 were max_wait")
    assert error["name"].startswith(ERRORS[name])
    assert 990 <= error["ms"] <= 1000 + WITHIN_MS
    assert openai.row("late") is None
    assert changed("timed_out") == 1 and not daemon.queue()


@pytest.mark.parametrize("name", ["curl", "httpx-async", "node-openai"])
def test_max_wait_then_admit(name, governed, cgroup, node_modules):
    """Who has waited long enough is let go, as the policy says."""
    _, daemon, program = waits_too_long(name, governed, cgroup, "admit")
    late = program.done()["late"]
    print(f"{name}: answered after {late['ms']:.1f} ms, of which 1000 were max_wait")
    assert late["status"] == 200
    assert 990 <= late["ms"] <= 1000 + WITHIN_MS
    assert not daemon.queue()


def test_official_client_tries_again(governed, cgroup, changed, node_modules):
    """A denial is an error that the official client knows to try again after, so that its program sees none."""
    openai, _, key = governed("limits:\n- { name: few, key: api_key, tpm: 6000, over_limit: deny }\n")
    use_up(openai, 6000, key)
    # It waits about half a second before its second try, and a second before its third.
    program = start("node-openai", cgroup("mine"), openai, chat("again", max_tokens=50), key=key,
                    options={"retries": 2})
    done = program.done()["again"]
    row = openai.row("again")
    print(f"the server saw try {row['retry_count'] + 1} alone")
    assert (done["status"], row["status"]) == (200, 200)
    assert row["retry_count"] == changed("denied") >= 1


def test_observed_denial(governed, cgroup, changed):
    """In mode observe a denial is only counted."""
    openai, _, key = governed("limits:\n- { name: few, key: api_key, tpm: 600, over_limit: deny }\n", mode="observe")
    use_up(openai, 600, key)
    done = start("curl", cgroup("mine"), openai, chat("observed", max_tokens=500), key=key).done()
    assert done["observed"]["status"] == 200
    wait_for(lambda: changed("denied") == 1, 5, "the denial is counted")
