"""Policies beyond a limit a minute, with real clients: a day's tokens for each user, budgets that are settled by what
was really used, limits that are learnt from the provider, an exhausted quota, and levels that survive a restart.
"""
import json
import time

import pytest

from harness import Openai, Sluiced, policy
from host import wait_for
from programs import chat, queued, shown_key, start, use_up

# Lunar's flow: 10,000 tokens a day for each user that X-On-Behalf-Of names, with a fallback for services that do not,
# and system traffic exempt.
USER_DAY = """rules:
- { set: user_key, from: http.header.x-on-behalf-of, default: nobody }
policies:
- name: user-day
  resource: total_tokens
  bucket_capacity: 400
  interval: 1d
  label_key: user_key
  over_limit: deny
  selectors:
  - { control_point: openai, label_matcher: { match_expressions: [{ key: http.header.system, operator: DoesNotExist }] } }
"""


@pytest.fixture
def ask(cgroup):
    """ask(openai, number, headers): whether a curl with these headers got an answer."""
    mine = cgroup("mine")

    def run(openai, name, *headers, key="sk-policies"):
        options = [word for header in headers for word in ("-H", header)]
        program = start("curl", mine, openai, chat(name, content="x" * 400, max_tokens=100), key=key, options=options)
        return program.wait()[-1]["event"] == "done"
    return run


def levels(daemon, name):
    """By key and resource."""
    return {(b["key"], b["resource"]): b["level"] for b in daemon.limits() if b["policy"] == name}


def test_a_users_day(openai, sluiced, ask):
    """Each user has tokens of its own, what was reserved and not used comes back, and the system is exempt."""
    daemon = sluiced(policy(openai.port, USER_DAY))
    assert ask(openai, "a1", "X-On-Behalf-Of: ann")
    used = openai.row("a1")["input_tokens"] + openai.row("a1")["output_tokens"]
    level = wait_for(lambda: daemon.limits() and levels(daemon, "user-day"), 5, "the user has a bucket")
    wait_for(lambda: levels(daemon, "user-day")[("ann", "total_tokens")] >= 400 - used - 0.01, 5,
             lambda: f"what was not used of the reservation comes back: {level}, used {used}")
    assert levels(daemon, "user-day")[("ann", "total_tokens")] == pytest.approx(400 - used, abs=1)
    answers = [ask(openai, f"a{n}", "X-On-Behalf-Of: ann") for n in range(2, 6)]
    assert not answers[-1], "the user's day is used up"
    assert ask(openai, "b1", "X-On-Behalf-Of: bob"), "another user has tokens of his own"
    assert ask(openai, "n1"), "who is not named has the tokens of nobody"
    assert ("nobody", "total_tokens") in levels(daemon, "user-day")
    assert ask(openai, "s1", "X-On-Behalf-Of: ann", "System: yes"), "the system is exempt"


def test_levels_survive_a_restart(openai, sluiced, ask):
    """Also one by kill -9, after a second: nobody has a new budget because the daemon was restarted."""
    daemon = sluiced(policy(openai.port, USER_DAY))
    assert ask(openai, "r1", "X-On-Behalf-Of: ann")
    settled = wait_for(lambda: (l := levels(daemon, "user-day").get(("ann", "total_tokens"))) and l > 150 and l, 5,
                       "the request is settled")
    daemon.restart()
    assert levels(daemon, "user-day")[("ann", "total_tokens")] == pytest.approx(settled, abs=1)
    before = time.monotonic()
    assert ask(openai, "r2", "X-On-Behalf-Of: ann")
    settled = wait_for(lambda: (l := levels(daemon, "user-day")[("ann", "total_tokens")]) < settled - 50 and l, 5,
                       "the second request is settled")
    wait_for(lambda: time.monotonic() > before + 2.5, 5, "what changed is a second old")
    daemon.kill9()
    daemon.restart()
    assert levels(daemon, "user-day")[("ann", "total_tokens")] == pytest.approx(settled, abs=60)


def test_a_cancelled_stream_gives_back_what_it_did_not_use(sluiced, cgroup):
    """A program reserves 300 tokens of output and goes away after the first ones."""
    text = "limits: [{ name: out, key: [], rpm: 1000 }]\n" \
           "policies: [{ name: spent, resource: output_tokens, bucket_capacity: 1000, interval: 1d, key: [] }]\n"
    with Openai(ms_per_token=100) as openai:
        daemon = sluiced(policy(openai.port, text))
        program = start("curl", cgroup("mine"), openai, chat("c1", content="x" * 40, max_tokens=300, stream=True),
                        options=["--max-time", "2", "-N"])
        wait_for(lambda: levels(daemon, "spent").get(("", "output_tokens"), 1000) < 701, 5, "300 are reserved")
        program.wait()
        wait_for(lambda: not daemon.flows(), 5, "the flow has ended")
        level = levels(daemon, "spent")[("", "output_tokens")]
        assert 960 <= level <= 999, f"some 20 tokens were delivered in 2 s, and {1000 - level} counted"


def test_what_the_provider_refuses_as_wrong_costs_no_tokens(openai, sluiced, cgroup):
    """A request with a cap beyond reason is answered 400, and its charge is no debt for everybody."""
    daemon = sluiced(policy(openai.port, "limits: [{ name: all, key: [], tpm: 6000 }]\n"))
    wrong = chat("w1", content="x" * 40, max_tokens=5_000_000)
    del wrong["body"]["messages"]
    program = start("curl", cgroup("mine"), openai, wrong)
    program.wait()
    assert openai.row("w1")["status"] == 400
    wait_for(lambda: levels(daemon, "all").get(("", "tokens"), 0) > 5900, 5,
             lambda: f"the charge is given back: {daemon.limits()}")


def test_auto_learns_the_limit(sluiced, ask):
    """Nothing is configured: capacity, window and level are the provider's own."""
    with Openai({"default": {"rpm": 120, "tpm": 6000}}) as openai:
        daemon = sluiced(policy(openai.port, "limits: [{ name: all, auto: true }]\n"))
        assert ask(openai, "l1")
        wait_for(lambda: any(b["resource"] == "tokens" and b["capacity"] == 6000 for b in daemon.limits()), 5,
                 lambda: f"the limit is learnt: {daemon.limits()}")
        by_resource = {b["resource"]: b for b in daemon.limits()}
        assert by_resource["requests"]["capacity"] == 120
        assert by_resource["tokens"]["fill_per_s"] == pytest.approx(100)
        assert by_resource["tokens"]["level"] <= 6000
        assert by_resource["tokens"]["key"] == ",gpt-4", "no organization was given, and the model is gpt-4"


def test_an_exhausted_quota_is_shut_until_reset(sluiced, ask):
    """insufficient_quota is not retried: the bucket is shut, `sluice check` says so, and `sluice reset` opens it."""
    key = "sk-exhausted"
    with Openai({"default": {"rpm": 1000, "tpm": 10**6}, "keys": {key: {"quota_exhausted": True}}}) as openai:
        text = "limits: [{ name: all, key: api_key, rpm: 1000, tpm: 1M }]\n"
        daemon = sluiced(policy(openai.port, text))
        assert ask(openai, "q1", key=key), "the first one is answered: with a refusal"
        assert openai.row("q1")["status"] == 429
        check = ("check", "--model", "gpt-4", "--key", key, "--tokens", "10")
        waits = wait_for(lambda: (a := daemon.cli(*check)).returncode == 1 and a, 5, "it would wait")
        assert key not in waits.stdout + waits.stderr
        assert daemon.cli("check", "--model", "gpt-4", "--key", "sk-other", "--tokens", "10").returncode == 0
        answer = daemon.cli("reset", "--policy", "all", "--key", shown_key(key))
        assert answer.returncode == 0, answer.stderr
        assert daemon.cli(*check).returncode == 0


def test_a_retry_keeps_its_place(governed, cgroup):
    """A program whose connection ends while its request waits, and which sends it again, is not put behind those
    that came in the meantime."""
    openai, daemon, key = governed("limits: [{ name: all, key: api_key, tpm: 6000 }]\n")
    use_up(openai, 6000, key)
    mine = cgroup("mine")
    again = ["--max-time", "3", "--retry", "5", "--retry-delay", "1", "--retry-all-errors"]
    first = start("curl", mine, openai, chat("first", content="x" * 40, max_tokens=487), key=key, options=again)
    queued(daemon, 1)
    second = start("curl", mine, openai, chat("second", content="x" * 40, max_tokens=487), key=key)
    queued(daemon, 2)
    [waiting] = queued(daemon, 1)
    assert waiting["pid"] == second.pid, "the first one's connection has ended"
    oldest = max(queued(daemon, 2), key=lambda row: row["waiting_ms"])
    assert oldest["pid"] == first.pid and oldest["waiting_ms"] > 3000 and oldest["position"] == 1
    second.done()
    first.wait()
    assert openai.row("first")["t"] < openai.row("second")["t"]


def test_a_waiting_request_is_explained(exhausted, shared):
    """`sluice explain` says which policy keeps it, and for how long."""
    openai, daemon = shared
    program, _, key, _ = exhausted("httpx", [chat("e1", content="x" * 40, max_tokens=500)], "tpm: 3000",
                                   lambda key: use_up(openai, 3000, key))
    [waiting] = queued(daemon, 1)
    answer = daemon.cli("explain", str(waiting["flow"]), "--json")
    assert answer.returncode == 0, answer.stderr
    told = json.loads(answer.stdout)
    [need] = [n for n in told["needs"] if n["policy"] == "all"]
    assert need["state"] == "short" and need["amount"] == waiting["cost"]
    program.done()


def test_what_is_recorded_can_be_simulated(openai, sluiced, ask):
    """`sluice record` writes what happened, without secrets, and `sluice simulate` decides the same of it."""
    daemon = sluiced(policy(openai.port, "limits: [{ name: all, key: api_key, rpm: 1000, tpm: 1M }]\n"))
    assert ask(openai, "rec1", key="sk-recorded") and ask(openai, "rec2", key="sk-recorded")
    trace = daemon.folder / "trace.jsonl"
    recorded = daemon.cli("record", "--count", "2", "--output", str(trace))
    assert recorded.returncode == 0, recorded.stderr
    text = trace.read_text()
    assert "sk-recorded" not in text and "xxxx" not in text
    lines = [json.loads(line) for line in text.splitlines()]
    assert [line["tokens"] for line in lines] == [openai.row(name)["charged"] for name in ("rec1", "rec2")]
    assert [line["usage"]["output_tokens"] for line in lines] == \
        [openai.row(name)["output_tokens"] for name in ("rec1", "rec2")]
    simulated = daemon.cli("simulate", "--config", str(daemon.config), "--trace", str(trace), "--json")
    assert simulated.returncode == 0, simulated.stderr
    decisions = [json.loads(line) for line in simulated.stdout.splitlines()][:-1]
    assert [d["decision"] for d in decisions] == ["admitted", "admitted"]
