"""Three teams offer three times what the provider allows, for 30 s, without Sluice and with it.

What a user would notice if this failed: refusals although Sluice runs; a quota that is paid for and not
used; a team that gets more or less than its share; urgent requests behind endless ones; connections
that became slow because they were held.

Each team alone offers the whole limit, the full bucket at once and then what fills it, with a client of
its own kind: chat with Python's requests, review with httpx (async), batch with Node.
"""
import json
import pathlib
import re
import subprocess
import time
from contextlib import ExitStack
from types import SimpleNamespace

import pytest

import load
from harness import HOST, Cgroup, Openai, Sluiced, policy, wait_for

HERE = pathlib.Path(__file__).resolve().parent
SECONDS = 30
RPM, TPM = 5000, 800_000  # gpt-4o at tier 3
FILL = TPM / 60
WORKERS = 40  # of each team
WEIGHTS = {"chat": 4, "review": 2, "batch": 1}
KEY = "sk-saturation"
FIRST_CWND = 10  # segments: RFC 6928

POLICY = f"""teams:
- {{ name: chat, cgroup: CHAT, weight: 4 }}
- {{ name: review, cgroup: REVIEW, weight: 2 }}
- {{ name: batch, cgroup: BATCH, weight: 1 }}
limits:
- {{ name: gpt-4o, match: {{model: gpt-4o}}, key: api_key, rpm: {RPM}, tpm: {TPM} }}
"""


def start_load(team, cgroup, openai, out):
    python = ["/usr/bin/python3", HERE / "load.py", "--client"]
    command = {
        "chat": [*python, "requests"],
        "review": [*python, "httpx"],
        "batch": ["node", HERE / "load.mjs", "--sizes", ",".join(map(str, load.SIZES))],
    }[team]
    return cgroup.run([*command, "--base", f"https://{HOST}:{openai.port}", "--ca", openai.ca, "--key", KEY,
                       "--team", team, "--workers", WORKERS, "--bucket", TPM, "--fill", FILL,
                       "--seconds", SECONDS], stdout=out)


class Sockets:
    """What the server's kernel says of its connections: each connection's worst, over all readings."""

    COUNTERS = ("bytes_retrans", "dsack_dups", "lost", "reord_seen")

    def __init__(self, port):
        self.port, self.worst = port, {}

    def read(self):
        lines = subprocess.run(["ss", "-tinHO", "state", "established", "sport", "=", f":{self.port}"],
                               capture_output=True, text=True, timeout=10, check=True).stdout.splitlines()
        for line in lines:
            peer = line.split()[3]
            seen = {name: int((re.search(rf"\b{name}:(\d+)", line) or [0, 0])[1]) for name in self.COUNTERS}
            seen["retrans"] = int((re.search(r"\bretrans:\d+/(\d+)", line) or [0, 0])[1])
            cwnd = int(re.search(r"\bcwnd:(\d+)", line)[1])
            worst = self.worst.setdefault(peer, {**seen, "cwnd": cwnd})
            for name, value in seen.items():
                worst[name] = max(worst[name], value)
            worst["cwnd"] = min(worst["cwnd"], cwnd)

    def total(self, name):
        return sum(worst[name] for worst in self.worst.values())

    def least_cwnd(self):
        return min(worst["cwnd"] for worst in self.worst.values())


class Phase:
    """The teams at work for SECONDS, and what came of it."""

    def __init__(self, openai, cgroups, folder, sluiced=None):
        self.sockets = Sockets(openai.port)
        self.queued = {team: [] for team in cgroups}  # (time, how many waited)
        openai.reset()
        books = {team: open(folder / f"{team}.jsonl", "w+", encoding="utf-8") for team in cgroups}
        try:
            clients = [start_load(team, cgroups[team], openai, book) for team, book in books.items()]
            self.begin = wait_for(lambda: openai.log(), 20, "the first request arrives")[0]["t_body"]
            self.end = self.begin + SECONDS
            self.watch(sluiced)
            self.sockets.read()
            self.log = [row for row in openai.log() if row["t_body"] < self.end]
            self.still_queued = len(sluiced.queue()) if sluiced else 0
            self.gap = level_gap(openai, sluiced) if sluiced else 0
            for client in clients:
                assert client.poll() in (None, 0), "a client fell over"
                client.kill()
                client.wait(10)
        finally:
            for book in books.values():
                book.seek(0)
            self.answers = {team: [json.loads(line) for line in book if line.endswith("\n")]
                            for team, book in books.items()}
            for book in books.values():
                book.close()

    def watch(self, sluiced):
        next_reading = time.time() + 1

        def over():
            nonlocal next_reading
            if time.time() >= next_reading:
                next_reading += 1
                self.sockets.read()
                if sluiced:
                    waiting = [entry["team"] for entry in sluiced.queue()]
                    now = time.time()
                    for team, readings in self.queued.items():
                        readings.append((now, waiting.count(team)))
            return time.time() >= self.end

        wait_for(over, SECONDS + 10, "the time is up")

    def n_status(self, status):
        return sum(row["status"] == status for row in self.log)

    def errors(self):
        return [answer for answers in self.answers.values() for answer in answers if answer["error"]]

    def used(self):
        """Tokens charged, of all that the limit allows: a full bucket and what fills it."""
        return sum(row["charged"] for row in self.log) / (TPM + FILL * SECONDS)

    def saturated_from(self):
        """When the full bucket of the beginning was used up: all teams had requests waiting."""
        for readings in zip(*self.queued.values()):
            if all(n for _, n in readings):
                return readings[0][0]
        raise AssertionError(f"the teams never used up the limit ({self.used():.1%}); errors: {self.errors()[:3]}")

    def shares(self, since):
        tokens = dict.fromkeys(WEIGHTS, 0)
        for row in self.log:
            if row["t_body"] >= since:
                tokens[row["test_id"].split("-")[0]] += row["charged"]
        return {team: n / sum(tokens.values()) for team, n in tokens.items()}

    def waits(self, since):
        """By team, sorted: s from the program's call to the request's arrival at the provider."""
        begun = {answer["id"]: answer["begin"] for answers in self.answers.values() for answer in answers}
        waits = {team: [] for team in WEIGHTS}
        for row in self.log:
            if row["t_body"] >= since and row["test_id"] in begun:
                waits[row["test_id"].split("-")[0]].append(row["t_body"] - begun[row["test_id"]])
        return {team: sorted(values) for team, values in waits.items()}


def level_gap(openai, sluiced):
    """Tokens that Sluice believes to be missing from the bucket although the provider has them."""
    (models,) = [models for models in openai.books()["keys"].values() if load.MODEL in models]
    (ours,) = [bucket["level"] for bucket in sluiced.limits() if bucket["resource"] == "tokens"]
    return models[load.MODEL]["buckets"]["tokens"]["level"] - ours


def percentile(values, percent):
    return values[min(len(values) - 1, len(values) * percent // 100)]


def show(without, governed):
    """The figures, for whoever runs the tests."""
    since = governed.saturated_from()
    shares, waits = governed.shares(since), governed.waits(since)
    print(f"\nsaturation: 3 teams, {WORKERS} connections each, {SECONDS} s, limit {TPM} tokens a minute")
    for name, phase in (("without", without), ("with", governed)):
        print(f"  {name:8} 200: {phase.n_status(200):5}  429: {phase.n_status(429):5}  used {phase.used():7.2%}  "
              f"client errors {len(phase.errors())}  connections {len(phase.sockets.worst)}  "
              f"retransmissions {phase.sockets.total('retrans')}  least cwnd {phase.sockets.least_cwnd()}")
    print(f"  saturated for the last {governed.end - since:.1f} s; by team then:")
    for team, weight in WEIGHTS.items():
        fair = weight / sum(WEIGHTS.values())
        print(f"  {team:8} share {shares[team]:6.2%} of {fair:6.2%} ({shares[team] / fair - 1:+.1%})  "
              f"wait p50 {percentile(waits[team], 50):5.2f} s  p95 {percentile(waits[team], 95):5.2f} s  "
              f"requests {len(waits[team])}  least queued {least_queued(governed, team, since)}")


def least_queued(phase, team, since):
    return min(n for when, n in phase.queued[team] if when >= since)


@pytest.fixture(scope="module")
def run(tmp_path_factory, pytestconfig):
    """Both phases, and what server and daemon say when the programs are gone."""
    limits = {"models": {load.MODEL: {"rpm": RPM, "tpm": TPM}}}
    with ExitStack() as stack:
        openai = stack.enter_context(Openai(limits, latency_ms=40, ms_per_token=1))
        cgroups = {team: stack.enter_context(Cgroup(team)) for team in WEIGHTS}
        without = Phase(openai, cgroups, tmp_path_factory.mktemp("without"))
        text = policy(openai.port, POLICY)
        for team, cgroup in cgroups.items():
            text = text.replace(team.upper(), cgroup.path)
        sluiced = stack.enter_context(Sluiced(text))
        governed = Phase(openai, cgroups, tmp_path_factory.mktemp("with"), sluiced)
        with pytestconfig.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
            show(without, governed)
        wait_for(lambda: not sluiced.flows() and not sluiced.queue(), 10,
                 "the daemon forgets the flows of programs that are gone")
        wait_for(lambda: not openai.books()["connections"]["open"] - 1, 10, "the server sees them gone")
        yield SimpleNamespace(without=without, governed=governed, since=governed.saturated_from(),
                              status=sluiced.status(), limits=sluiced.limits(), log=openai.log(),
                              gap=level_gap(openai, sluiced))


def test_without_sluice_hundreds_are_refused(run):
    assert run.without.n_status(429) >= 200
    assert not run.without.errors()


def test_with_sluice_none_is_refused(run):
    assert run.governed.n_status(429) == 0
    assert run.governed.n_status(200) == len(run.governed.log)


def test_no_program_sees_an_error(run):
    assert run.governed.errors() == []


def test_every_connection_was_understood(run):
    assert run.status["opaque"] == 0
    assert not any(run.status["lost_events"].values()), run.status["lost_events"]


def test_the_limit_is_used_up(run):
    assert 0.97 <= run.governed.used() <= 1


def test_every_team_always_had_requests_waiting(run):
    assert run.governed.end - run.since >= SECONDS / 2
    for team in WEIGHTS:
        assert least_queued(run.governed, team, run.since) > 0, team


def test_shares_follow_the_weights(run):
    shares = run.governed.shares(run.since)
    for team, weight in WEIGHTS.items():
        assert shares[team] == pytest.approx(weight / sum(WEIGHTS.values()), rel=0.05), shares


def test_the_urgent_wait_least(run):
    p95 = {team: percentile(values, 95) for team, values in run.governed.waits(run.since).items()}
    assert p95["chat"] < p95["review"] < p95["batch"]


def test_no_connection_suffered_from_being_held(run):
    sockets = run.governed.sockets
    assert len(sockets.worst) >= len(WEIGHTS) * WORKERS
    for counter in (*Sockets.COUNTERS, "retrans"):
        assert sockets.total(counter) == 0, counter
    assert sockets.least_cwnd() >= FIRST_CWND


def test_nothing_is_left_of_programs_that_are_gone(run):
    assert run.governed.still_queued > 0  # there was something to forget
    assert run.status["queued"] == 0
    assert run.gap <= run.governed.gap + FILL / 2, "reservations were forgotten"
    assert all(bucket["queued"] == 0 for bucket in run.limits)
    assert not [row for row in run.log if row["status"] == 429]
