"""Whatever a program or a server sends, and however much: it goes through as it is, and Sluice neither falls nor
swells. Then the connection is either still understood, or opaque with a reason; and the next one is governed.
"""
import gzip
import json
import shutil
import struct
import subprocess
import threading
import time
import zlib
from types import SimpleNamespace

import pytest

from emptied import EMPTY, check_governs
from harness import HERE, Openai, certificate, policy
from host import end, temporary_folder, wait_for
from programs import PYTHON, chat, start, use_up

MB = 1 << 20
MOST_BYTES = 64 * MB  # that the daemon may grow by
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"  # RFC 9113 section 3.4
HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nHost: api.openai.com\r\nAuthorization: Bearer sk-e2e\r\n"
JSON = b"Content-Type: application/json\r\n"
BODY = json.dumps(chat("x")["body"]).encode()
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


def frame(kind, flags=0, stream=0, payload=b"", length=None):
    """An HTTP/2 frame (RFC 9113 section 4.1), whose header may say another length."""
    length = len(payload) if length is None else length
    return struct.pack(">I", length)[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def with_length(n, body=BODY):
    return HEAD + JSON + b"Content-Length: %d\r\n\r\n" % n + body


def chunked(*pieces):
    return HEAD + JSON + b"Transfer-Encoding: chunked\r\n\r\n" + b"".join(pieces)


def nested(depth):
    body = b'{"model": "deep", "messages": ' + b"[" * depth + b"]" * depth + b"}"
    return with_length(len(body), body)


SETTINGS, HEADERS, DATA, CONTINUATION = frame(4), 1, 0, 9
# name: (bytes of the client, what it offers by ALPN)
INPUTS = {
    "no HTTP": (b"\x00\x01\x02 what is this?\r\n\r\n" * 100, ()),
    "a request line that never ends": (b"POST /" + b"a" * 2 * MB, ()),
    "a header field of 2 MB": (HEAD + b"X-Large: " + b"a" * 2 * MB + b"\r\n\r\n", ()),
    "a hundred thousand header fields": (HEAD + b"X-Many: 1\r\n" * 100_000 + b"\r\n", ()),
    "a head without an end": (HEAD, ()),
    "a NUL in the head": (HEAD + b"X-\x00: \x00\r\n" + b"Content-Length: 0\r\n\r\n", ()),
    "two lengths": (HEAD + b"Content-Length: 5\r\nContent-Length: 50\r\n\r\n" + BODY, ()),
    "a length that is no number": (HEAD + b"Content-Length: -1\r\n\r\n" + BODY, ()),
    "a length of 2^64": (HEAD + b"Content-Length: 18446744073709551616\r\n\r\n" + BODY, ()),
    "a body shorter than its length": (with_length(len(BODY) + 1000), ()),
    "a body longer than its length": (with_length(len(BODY) - 20), ()),
    "a chunk whose length is no number": (chunked(b"xyz\r\n", BODY), ()),
    "a chunk of 2^63 bytes": (chunked(b"8000000000000000\r\n", BODY), ()),
    "a chunk without its end": (chunked(b"%x\r\n" % len(BODY), BODY, b"0\r\n\r\n"), ()),
    "no JSON": (with_length(1000, b"{" * 1000), ()),
    "JSON nested a thousand deep": (nested(1000), ()),
    "JSON nested a million deep": (nested(1_000_000), ()),
    "JSON with a key of 8 MB": (with_length(8 * MB + 8, b'{"' + b"k" * 8 * MB + b'": 1}' + b" "), ()),
    "no UTF-8": (with_length(19, b'{"model": "\xff\xfe\xc0\x80"}  '), ()),
    "an HTTP/2 preface, then garbage": (PREFACE + b"\xff" * 5000, ["h2"]),
    "an HTTP/2 preface that breaks off": (PREFACE[:15], ["h2"]),
    "HTTP/1.1 where HTTP/2 was agreed on": (with_length(len(BODY)), ["h2"]),
    "a frame larger than allowed": (PREFACE + SETTINGS + frame(DATA, 0, 1, b"a" * 100_000, 0xFFFFFF), ["h2"]),
    "HEADERS that break off": (PREFACE + SETTINGS + frame(HEADERS, 4, 1, b"\x82\x87", 500), ["h2"]),
    "HEADERS that are no HPACK": (PREFACE + SETTINGS + frame(HEADERS, 5, 1, b"\xff" * 200), ["h2"]),
    "HEADERS on a stream of the server": (PREFACE + SETTINGS + frame(HEADERS, 5, 2, b"\x82"), ["h2"]),
    "a table larger than agreed on": (
        PREFACE + SETTINGS + frame(HEADERS, 5, 1, b"\x3f\xff\xff\xff\x7f\x82"), ["h2"]),
    "CONTINUATION without end": (PREFACE + SETTINGS + frame(HEADERS, 0, 1, b"\x82")
                                 + frame(CONTINUATION, 0, 1, b"\x00\x01a\x01b" * 2000) * 500, ["h2"]),
    "padding longer than its frame": (PREFACE + SETTINGS + frame(DATA, 8, 1, b"\xffabc"), ["h2"]),
    "ten thousand streams": (PREFACE + SETTINGS + b"".join(
        frame(HEADERS, 4, 2 * i + 1, b"\x83\x87\x84") for i in range(10_000)), ["h2"]),
}


# What may still become a request is kept for longer than what cannot.
UNFINISHED = ("a head without an end", "an HTTP/2 preface that breaks off", "CONTINUATION without end")
UNFINISHED_S = 6


def deflated(wbits, n_mb):
    """So many megabytes of zeros inside JSON, compressed."""
    packer = zlib.compressobj(9, zlib.DEFLATED, wbits)
    zeros = b"0" * MB
    return packer.compress(b'{"a": "') + b"".join(packer.compress(zeros) for _ in range(n_mb)) + packer.flush()


def zstd_bomb(n_mb):
    if not shutil.which("zstd"):
        pytest.skip("there is no zstd: apt-get install zstd")
    return subprocess.run(["zstd", "-qc", "-"], input=b"0" * n_mb * MB, capture_output=True, check=True,
                          timeout=60).stdout


def answer_of(encoding, body):
    fields = b"Content-Encoding: %s\r\n" % encoding if encoding else b""
    return ANSWER + fields + b"Content-Length: %d\r\n\r\n" % len(body) + body


# What the server says to an ordinary request.
ANSWERS = {
    "a bomb of gzip, half a gigabyte": lambda: answer_of(b"gzip", deflated(31, 512)),
    "a bomb of deflate": lambda: answer_of(b"deflate", deflated(15, 512)),
    "a bomb of zstd": lambda: answer_of(b"zstd", zstd_bomb(512)),
    "a bomb within a bomb": lambda: answer_of(b"gzip, gzip", gzip.compress(deflated(31, 512))),
    "gzip that breaks off": lambda: answer_of(b"gzip", gzip.compress(BODY * 1000)[:-200]),
    "gzip that is none": lambda: answer_of(b"gzip", BODY),
    "brotli that is none": lambda: answer_of(b"br", b"\xff" * 5000),
    "an encoding that nobody knows": lambda: answer_of(b"rot13", BODY),
    "a stream that never ends its event": lambda: (ANSWER.replace(b"application/json", b"text/event-stream") +
                                                   b"\r\ndata: " + b"a" * 80 * MB),
    "no HTTP": lambda: b"\x00\xff" * 5000,
    "a status line only": lambda: b"HTTP/1.1 200 OK\r\n",
    "an answer and another": lambda: answer_of(b"", b"{}") * 2,
    "a thousand 100 Continue": lambda: b"HTTP/1.1 100 Continue\r\n\r\n" * 1000 + answer_of(b"", b"{}"),
}


def run_sink(answer=b"", quiet_s=1.5):
    folder = temporary_folder("sink")
    (folder / "answer").write_bytes(answer)
    argv = [PYTHON, HERE / "sink_server.py", certificate() / "cert.pem", certificate() / "key.pem", str(quiet_s),
            folder / "answer" if answer else ""]
    with open(folder / "stdout", "wb") as out:
        process = subprocess.Popen(argv, stdout=out)

    def lines():
        return (folder / "stdout").read_text().splitlines()

    wait_for(lines, 10, "the server has started")
    return SimpleNamespace(port=int(lines()[0]), ca=str(certificate() / "ca.pem"), process=process,
                           connections=lambda: [json.loads(line) for line in lines()[1:]])


@pytest.fixture
def sink():
    """sink(answer, quiet_s): a server as sink_server.py describes it."""
    running = []

    def run(*arguments, **options):
        running.append(run_sink(*arguments, **options))
        return running[-1]

    yield run
    for one in running:
        end(one.process)


@pytest.fixture(scope="module")
def silent():
    """One such server for all inputs, that never answers."""
    one = run_sink()
    yield one
    end(one.process)


class Watch:
    """How much the daemon grows while it is looked at: largest resident set, in bytes."""

    def __init__(self, daemon):
        self.daemon, self.over = daemon, threading.Event()
        self.first = self.most = daemon.status()["rss_bytes"]
        self.thread = threading.Thread(target=self._look)

    def _look(self):
        while not self.over.wait(0.05):
            self.most = max(self.most, self.daemon.status()["rss_bytes"])

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()

    def check(self, what):
        print(f"{what}: the daemon grew by {(self.most - self.first) / MB:.1f} MB")
        assert self.most - self.first < MOST_BYTES, "the daemon takes too much memory"


def send(server, cgroup, data, **options):
    """A program that sends those bytes."""
    file = temporary_folder("input") / "bytes"
    file.write_bytes(data)
    return start("raw", cgroup("raw"), server, chat("raw"), options={"file": str(file), **options})


def check_shown(daemon, program):
    """What is shown of its connection while it is open is one thing or the other."""
    for flow in daemon.flows():
        if flow["pid"] == program.pid:
            assert flow["opaque"] == bool(flow["why_opaque"]), flow
            assert not flow["opaque"] or flow["protocol"] is None, flow


def check_passed(server, program, data):
    """The server has got exactly those bytes."""
    [got] = wait_for(server.connections, 30, lambda: f"the server has seen it end: {program.errors()}")
    [sent] = program.events("sending")
    assert sent["bytes"] == len(data)
    assert (got["bytes"], got["sha256"]) == (len(data), sent["sha256"]), "the server got something else"
    return got


@pytest.mark.parametrize("name", INPUTS)
def test_input(name, sink, cgroup, sluiced):
    """What a program sends."""
    data, protocols = INPUTS[name]
    server = sink(quiet_s=UNFINISHED_S) if name in UNFINISHED else sink()
    daemon = sluiced(policy(server.port, "limits:\n- { name: all, key: [], tpm: 1000000000 }\n"))
    with Watch(daemon) as watch:
        program = send(server, cgroup, data, protocols=protocols)
        wait_for(lambda: program.events("sending"), 20, lambda: f"it is sent: {program.errors()}")
        check_shown(daemon, program)
        check_passed(server, program, data)
        check_shown(daemon, program)
        program.process.wait(20)
    watch.check(name)
    assert daemon.process.poll() is None, f"the daemon has fallen: {daemon.log_text()}"
    assert not daemon.queue(), "something of it waits for ever"


@pytest.mark.parametrize("name", ANSWERS)
def test_answer(name, sink, cgroup, sluiced):
    """What a server says to an ordinary request."""
    server = sink(ANSWERS[name]())
    daemon = sluiced(policy(server.port, "limits:\n- { name: all, key: [], tpm: 1000000000 }\n"))
    data = with_length(len(BODY))
    begin = time.monotonic()
    with Watch(daemon) as watch:
        program = send(server, cgroup, data)
        check_passed(server, program, data)
        check_shown(daemon, program)
        program.process.wait(20)
    watch.check(name)
    print(f"{time.monotonic() - begin:.2f} s")
    assert daemon.process.poll() is None, f"the daemon has fallen: {daemon.log_text()}"
    wait_for(lambda: not daemon.queue() and not daemon.flows(), 10, lambda: f"nothing is left: {daemon.flows()}")


@pytest.mark.parametrize("name", ["curl", "curl-h2", "requests"])
def test_body_of_100_mb(name, openai, cgroup, sluiced):
    """The provider refuses it, and gets it byte for byte."""
    daemon = sluiced(policy(openai.port, "limits:\n- { name: all, key: [], tpm: 1000000000 }\n"))
    with Watch(daemon) as watch:
        program = start(name, cgroup("large"), openai, chat("large", model="large", content="x" * 100 * MB))
        [event] = [event for event in program.wait(120) if event["event"] != "sending"]
        [sent] = program.events("sending")
    watch.check(f"{name}, 100 MB")
    assert event["event"] == "done" and event["status"] == 413, event
    row = openai.row("large")
    assert (row["body_bytes"], row["body_sha256"]) == (sent["bytes"], sent["sha256"])


def test_many_at_once(silent, cgroup, sluiced):
    """Forty connections, each with a head that never ends, do not add up."""
    daemon = sluiced(policy(silent.port, "limits:\n- { name: all, key: [], tpm: 1000000000 }\n"))
    group = cgroup("many")
    file = temporary_folder("input") / "bytes"
    file.write_bytes(HEAD + b"X-Large: " + b"a" * 4 * MB)
    with Watch(daemon) as watch:
        programs = [start("raw", group, silent, chat("raw"), options={"file": str(file)}) for _ in range(40)]
        for program in programs:
            program.process.wait(60)
    watch.check("forty heads of 4 MB")
    assert all(one["bytes"] == file.stat().st_size for one in silent.connections())


def test_bad_input_waits_too(sink, cgroup, sluiced):
    """What is no HTTP waits like everything else, when there are no tokens; what follows it is governed."""
    with Openai() as openai:
        server = sink(quiet_s=30)
        text = policy(openai.port, EMPTY).replace(f"[{openai.port}]", f"[{openai.port}, {server.port}]")
        daemon = sluiced(text)
        use_up(openai, 400)
        data = b"\x00\x01\x02 what is this?\r\n\r\n" * 100
        program = send(server, cgroup, data)
        [flow] = wait_for(lambda: [flow for flow in daemon.flows() if flow["pid"] == program.pid and flow["opaque"]],
                          10, lambda: f"it is opaque: {daemon.flows()}")
        wait_for(lambda: [one for one in daemon.queue() if one["flow"] == flow["id"]], 5, "it waits")
        assert not server.connections()
        program.process.kill()
        wait_for(lambda: not daemon.queue(), 5, "it waits no more")
        check_governs(daemon, cgroup, openai)
