"""Three teams share one OpenAI quota, first without Sluice and then with it: `make demo`, as root.

Takes about a minute, needs nothing but this host (OpenAI is an imitation on loopback that limits as
the real one does), and leaves nothing behind.
"""
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
from contextlib import ExitStack

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "e2e"))

from harness import BUILD, HOST, Cgroup, Openai, Sluiced, policy, wait_for  # noqa: E402

SECONDS = 22
RPM, TPM = 5000, 120_000
TEAMS = {"chat": "few and urgent", "review": "bursts of 50", "batch": "endless"}
WEIGHTS = {"chat": 4, "review": 2, "batch": 1}
BOLD, PLAIN = ("\033[1m", "\033[0m") if sys.stdout.isatty() and not os.environ.get("NO_COLOR") else ("", "")


def say(text):
    print(f"{BOLD}{text}{PLAIN}", flush=True)


def teams_policy(port, cgroups):
    teams = "\n".join(f"- {{ name: {team}, cgroup: {cgroup.path}, weight: {WEIGHTS[team]} }}"
                      for team, cgroup in cgroups.items())
    return policy(port, f"teams:\n{teams}\nlimits:\n"
                        f"- {{ name: gpt-4, match: {{model: gpt-4}}, key: api_key, rpm: {RPM}, tpm: {TPM} }}\n")


class Phase:
    """The teams at work for SECONDS while `watch` shows it, and what came of it."""

    def __init__(self, openai, cgroups, watch):
        openai.reset()
        folder = openai.folder
        books = {team: open(folder / f"{team}.jsonl", "w+", encoding="utf-8") for team in cgroups}
        clients = [cgroup.run(["/usr/bin/python3", HERE / "workload.py", "--team", team, "--ca", openai.ca,
                               "--base", f"https://{HOST}:{openai.port}", "--seconds", SECONDS], stdout=books[team])
                   for team, cgroup in cgroups.items()]
        self.begin = wait_for(openai.log, 20, "the first request arrives")[0]["t"]
        watch()
        wait_for(lambda: time.time() >= self.begin + SECONDS, SECONDS + 5, "the time is up")
        for client in clients:
            client.kill()
            client.wait(10)
        self.log = [row for row in openai.log() if row["t"] < self.begin + SECONDS]
        self.calls = {}
        for team, book in books.items():
            with book:
                book.seek(0)
                self.calls[team] = [json.loads(line) for line in book if line.endswith("\n")]

    def n_429(self, team=None):
        return sum(row["status"] == 429 and team in (None, row["test_id"].split("-")[0]) for row in self.log)

    def tokens_per_s(self):
        return sum(row["charged"] for row in self.log) / SECONDS

    def n_failed(self, team):
        """Requests whose program gave up."""
        return sum(call["status"] != 200 for call in self.calls[team])

    def waits(self, team):
        """s from a program's call to its arrival at the provider that was not refused."""
        begun = {call["id"]: call["begin"] for call in self.calls[team]}
        return sorted(row["t"] - begun[row["test_id"]] for row in self.log
                      if row["status"] == 200 and row["test_id"] in begun)


def percentile(values, percent):
    return f"{values[min(len(values) - 1, len(values) * percent // 100)]:.2f} s" if values else "-"


def watch_books(openai):
    """Until Sluice runs, the provider is the only one who knows."""
    end = time.monotonic() + SECONDS
    for second in range(SECONDS):
        wait_for(lambda: time.monotonic() >= end - SECONDS + second + 1, 5, "a second passes")
        log = openai.log()
        refused = sum(row["status"] == 429 for row in log)
        line = f"  {time.strftime('%H:%M:%S')}  answered {len(log) - refused}  refused (429) {refused}"
        if sys.stdout.isatty():
            print(f"\r{line}\033[K", end="\n" if second == SECONDS - 1 else "", flush=True)
        else:
            print(line, flush=True)


def watch_top(sluiced):
    """`sluice top`: a screen on a terminal, lines elsewhere."""
    # It ends by itself; whoever presses q sees the rest of the time pass.
    subprocess.run([BUILD / "sluice", "--socket", sluiced.socket, "top", "--count", str(SECONDS)],
                   timeout=SECONDS + 10, check=False)


def print_table(without, governed):
    allowed = (TPM + TPM / 60 * SECONDS) / SECONDS  # a full bucket, and what fills it
    phases = (without, governed)
    print(f"\n  {BOLD}{'':24}{'without Sluice':>34}{'with Sluice':>34}{PLAIN}")
    print(f"  {'refused (429)':24}" + "".join(f"{phase.n_429():34}" for phase in phases))
    rates = (f"{rate:.0f} of {allowed:.0f} ({rate / allowed:.0%})" for rate in map(Phase.tokens_per_s, phases))
    print(f"  {'tokens a second':24}" + "".join(f"{rate:>34}" for rate in rates))
    print(f"\n  {'':24}" + 2 * f"{'answered':>10}{'gave up':>8}{'p50':>8}{'p95':>8}")
    for team, rhythm in TEAMS.items():
        print(f"  {team + ', ' + rhythm:24}" + "".join(
            f"{len(phase.waits(team)):10}{phase.n_failed(team):8}{percentile(phase.waits(team), 50):>8}"
            f"{percentile(phase.waits(team), 95):>8}" for phase in phases))
    print("\n  The limit allows a full bucket at once and then what fills it. Gave up: refused three times, as many\n"
          "  as the official SDKs try. p50, p95: how long a request waited until the provider took it.\n", flush=True)


def demo():
    with ExitStack() as stack:
        openai = stack.enter_context(Openai({"models": {"gpt-4": {"rpm": RPM, "tpm": TPM}}},
                                            latency_ms=40, ms_per_token=1))
        cgroups = {team: stack.enter_context(Cgroup(team)) for team in TEAMS}
        say(f"Three teams, each in a cgroup of its own, share one quota of {TPM:,} tokens a minute:")
        for team, rhythm in TEAMS.items():
            print(f"  {team:8} {rhythm}, weight {WEIGHTS[team]}")
        say(f"\n1. Without Sluice ({SECONDS} s): who asks most gets most, and the provider refuses the rest.")
        without = Phase(openai, cgroups, lambda: watch_books(openai))
        say(f"\n2. With Sluice ({SECONDS} s): the kernel keeps each request until its turn. `sluice top`:")
        sluiced = stack.enter_context(Sluiced(teams_policy(openai.port, cgroups)))
        governed = Phase(openai, cgroups, lambda: watch_top(sluiced))
        say("\n3. The same programs, the same quota:")
        print_table(without, governed)


def main():
    if os.geteuid() != 0 or not (BUILD / "sluiced").exists():
        sys.exit("demo.py: run `make`, and this as root")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that everything is put away
    try:
        demo()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
