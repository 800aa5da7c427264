"""CodeRabbit's case: 40,000 tokens and 200 requests a minute on gpt-4, twice as much wanted, in spikes; its own two
Aperture files as they are, and rules that say what its SDK said.

What a user would notice if this failed: refusals; a quota that is not used up; people in a chat who wait behind
reviews; free users served before paying ones.
"""
import json
import shutil
import subprocess
import time
from types import SimpleNamespace

import pytest

from harness import HERE, HOST, ROOT, Openai, Sluiced, policy, wait_for

SECONDS = 60
RPM, TPM = 200, 40_000
KEY = "sk-coderabbit"
# The order in which they should be served.
PRIORITIES = {"chat": 1000, "paid_user": 250, "trial_user": 100, "open_source_user": 40}

POLICY = f"""priority_sources: [http.header.x-product-reason]
rules:
- {{ set: product_reason, from: http.header.x-product-reason }}
- {{ set: priority, from: product_reason, map: {json.dumps(PRIORITIES)} }}
"""


def run_reviews(openai, sluiced, folder):
    """The answers by id, and the server's log, of SECONDS of it."""
    openai.reset()
    with open(folder / "answers.jsonl", "w+", encoding="utf-8") as out:
        program = subprocess.Popen(
            ["/usr/bin/python3", HERE / "reviews.py", "--base", f"https://{HOST}:{openai.port}", "--ca", openai.ca,
             "--key", KEY, "--seconds", str(SECONDS)], stdout=out)
        saturated_from, queued = None, []

        def over():
            nonlocal saturated_from
            if not saturated_from and sluiced.queue():
                saturated_from = time.time()
            queued.append(len(sluiced.queue()))
            return program.poll() is not None

        wait_for(over, SECONDS + 30, "the reviewer has ended")
        assert program.returncode == 0
        out.seek(0)
        answers = [json.loads(line) for line in out if line.endswith("\n")]
    return SimpleNamespace(asked=answers, since=saturated_from, errors=[a for a in answers if a["error"]],
                           log=openai.log(), most_queued=max(queued))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    with Openai({"models": {"gpt-4": {"rpm": RPM, "tpm": TPM}}}, latency_ms=40) as openai:
        sluiced = Sluiced(policy(openai.port, POLICY), ready=False)
        (sluiced.folder / "policies.d").mkdir()
        for name in ("gpt-4-tpm", "gpt-4-rpm"):
            shutil.copy(ROOT / f"tests/unit/data/blueprints/{name}.yaml", sluiced.folder / "policies.d")
        with sluiced:
            sluiced.start()
            yield run_reviews(openai, sluiced, tmp_path_factory.mktemp("reviews"))


def percentile(values, percent):
    return sorted(values)[min(len(values) - 1, len(values) * percent // 100)]


def waits(run):
    """By kind: s from the program's call to the request's arrival at the provider, once the full bucket of the
    beginning is used up. What still waits in the end counts until then."""
    found = {kind: [] for kind in PRIORITIES}
    arrived = {row["test_id"]: row["t_body"] for row in run.log}
    for asked in run.asked:
        left = arrived.get(asked["id"], asked["end"])
        if left >= run.since:
            found[asked["kind"]].append(left - asked["begin"])
    return found


def test_none_is_refused(run):
    assert [row["status"] for row in run.log if row["status"] != 200] == []
    assert run.errors == []


def test_the_limit_is_used_up(run):
    """Each request leaves when what it costs has filled: between two of them, 666.7 tokens a second."""
    rows = sorted((row["t_body"], row["charged"]) for row in run.log if row["t_body"] >= run.since + 1)
    rate = sum(charged for _, charged in rows[1:]) / (rows[-1][0] - rows[0][0])
    print(f"{len(rows)} requests while saturated, {rate:.1f} tokens a second; at most {run.most_queued} queued")
    assert rate == pytest.approx(TPM / 60, rel=0.005)


def test_the_chat_hardly_waits(run):
    chat = waits(run)["chat"]
    print(f"chat: p50 {percentile(chat, 50):.2f} s, p95 {percentile(chat, 95):.2f} s of {len(chat)}")
    assert percentile(chat, 95) < 2


def test_waits_are_in_the_order_of_the_priorities(run):
    medians = {kind: percentile(values, 50) for kind, values in waits(run).items()}
    print({kind: f"{wait:.2f} s" for kind, wait in medians.items()})
    assert list(medians) == sorted(medians, key=medians.get)
