"""A limit that is used up for minutes, so that whoever comes next waits for as long as a test needs; network
namespaces; and the sockets of the host as ss shows them."""
import itertools
import os
import re
import subprocess
import time

from harness import policy
from host import POLL_S
from programs import chat, queued, start, use_up

# One request may overdraw a bucket that was full: it fills by a token a second, and these take minutes.
TPM = 60
OVERDRAW = 400
EMPTY = f"limits:\n- {{ name: all, key: [], tpm: {TPM} }}\n"


def emptied(sluiced, openai, rest="", mode="enforce", **options):
    """A daemon whose only limit has just been overdrawn. rest: more of its policy."""
    daemon = sluiced(policy(openai.port, EMPTY + rest, mode), **options)
    use_up(openai, OVERDRAW)
    return daemon


def many(n, tag="held", **more):
    """Requests on n connections."""
    return [[chat(f"{tag}-{i}", **more)] for i in range(n)]


def rows(openai, tag="held"):
    """The server's log of the requests whose names begin with tag."""
    return [row for row in openai.log() if (row["test_id"] or "").startswith(tag)]


def check_governs(daemon, cgroup, openai, tag="next"):
    """A new program's request is held, and its connection understood. Returns the program and its flow."""
    program = start("requests", cgroup(tag), openai, chat(tag, content="x" * 400))
    waiting = [one for one in queued(daemon, 1) if one["pid"] == program.pid]
    assert waiting, f"another request waits than that of {program.pid}: {daemon.queue()}"
    [flow] = [one for one in daemon.flows() if one["id"] == waiting[0]["flow"]]
    assert flow["state"] == "queued" and not flow["why_opaque"], flow
    assert openai.row(tag) is None, "the server saw a request that is held"
    return program, flow


def stays(predicate, seconds, what):
    """Something holds for that long, looked at all the time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert predicate(), what
        time.sleep(POLL_S)


def ss(*filters, netns=None):
    """A line of ss -tin for each socket."""
    prefix = ["ip", "netns", "exec", netns] if netns else []
    answer = subprocess.run([*prefix, "ss", "-tainHO", *filters], capture_output=True, text=True, timeout=10,
                            check=True)
    return answer.stdout.splitlines()


def tcp_info(line):
    """What a test looks at in a line of ss; ss leaves out what is 0."""
    number = {name: int((re.search(rf"\b{name}:(\d+)", line) or (0, 0))[1])
              for name in ("bytes_retrans", "cwnd", "lost", "dsack_dups", "bytes_acked")}
    return {**number, "retrans": int((re.search(r"\bretrans:\d+/(\d+)", line) or (0, 0))[1])}


class Namespace:
    """A network namespace with nothing but loopback, and settings of its own."""

    numbers = itertools.count(1)

    def __init__(self, **settings):
        self.name = f"sluice-e2e-{os.getpid()}-{next(self.numbers)}"
        self.prefix = ("ip", "netns", "exec", self.name)
        self._run("ip", "netns", "add", self.name)
        try:
            self._run("ip", "-n", self.name, "link", "set", "lo", "up")
            for name, value in settings.items():
                self._run(*self.prefix, "sh", "-c", 'echo "$1" > "/proc/sys/net/ipv4/$0"', name, str(value))
        except BaseException:
            self.remove()
            raise

    @staticmethod
    def _run(*command):
        subprocess.run(command, check=True, timeout=20, env={**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin"})

    def remove(self):
        self._run("ip", "netns", "del", self.name)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.remove()
