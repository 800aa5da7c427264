"""What all Python clients here share: the plan they follow, finding api.openai.com, and telling what
happened. Each client is a program of its own: with_X.py PLAN.

The plan is a file of JSON: {port, family (4 or 6), ca, key, lanes, wait, options}. With wait, a client says
"ready" when it has started, and goes on when it reads a line from stdin. A lane is a list of requests
that follow each other; lanes run side by side. A request: {id, method, path, body, chunked}, and
headers, if it has more than each has. One of Node's may also have pause: its lane waits before it, as with wait, and
the others go on. What happens is told on stdout, a line of JSON for each event:

    {"event": "ready"}
    {"event": "sending", "id", "t", "sha256", "bytes"}    just before it is sent; sha256 of its body
    {"event": "done", "id", "t", "ms", "status", "usage", "deltas"}   deltas: the pieces of a stream
    {"event": "error", "id", "t", "ms", "name", "message"}   the client's own error
"""
import hashlib
import json
import socket
import sys
import threading
import time

HOST = "api.openai.com"
LOOPBACK = {4: "127.0.0.1", 6: "::1"}
# The official client's. A client that is not told of a failure hangs for as long.
TIMEOUT_S = 600


class Plan:
    def __init__(self):
        with open(sys.argv[1], encoding="utf-8") as f:
            self.__dict__.update(json.load(f))
        self.base = f"https://{HOST}:{self.port}"
        self._look_up = socket.getaddrinfo
        socket.getaddrinfo = self._getaddrinfo
        if self.wait:
            self.wait_for_word()

    @staticmethod
    def wait_for_word():
        print('{"event": "ready"}', flush=True)
        sys.stdin.readline()

    def _getaddrinfo(self, host, *arguments, **options):
        if host in (HOST, HOST.encode()):
            host = LOOPBACK[self.family]
        return self._look_up(host, *arguments, **options)

    def headers(self, request):
        return {"Authorization": f"Bearer {self.key}", "X-Test-Id": request["id"], **request.get("headers", {})}

    def in_threads(self, run_lane):
        """run_lane(lane) for each lane, each in a thread of its own."""
        threads = [threading.Thread(target=run_lane, args=(lane,)) for lane in self.lanes]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def tell(event, request, **fields):
    line = {"event": event, "id": request["id"], "t": time.time(), **fields}
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def in_chunks(body):
    """Bytes as a generator, which HTTP libraries send as a chunked upload."""
    for begin in range(0, len(body), 1000):
        yield body[begin:begin + 1000]


class Attempt:
    """Tells how a request goes: with Attempt(request) as attempt: attempt.sending(body); … attempt.done(…)"""

    def __init__(self, request):
        self.request, self.begin = request, 0.0

    def sending(self, body):
        tell("sending", self.request, sha256=hashlib.sha256(body).hexdigest(), bytes=len(body))
        self.begin = time.monotonic()

    def _ms(self):
        return (time.monotonic() - self.begin) * 1000

    def done(self, status, body):
        ms = self._ms()
        tell("done", self.request, ms=ms, status=status, **contents_of(body))

    def __enter__(self):
        return self

    def __exit__(self, kind, error, _):
        if isinstance(error, Exception):
            ms = self._ms()
            tell("error", self.request, ms=ms, name=kind.__name__, message=str(error))
        return isinstance(error, Exception)


def is_delta(event):
    """Whether an event of a stream brings a piece of the answer: of a response, or of a chat."""
    choices = event.get("choices") or [{}]
    return event.get("type", "").endswith("delta") or bool(choices[0].get("delta", {}).get("content"))


def contents_of(body):
    """What is told of an answer: its usage, and the deltas of a stream (0 if it is none)."""
    lines = body.splitlines()
    events = [line.removeprefix(b"data: ") for line in lines if line.startswith(b"data: {")]
    try:
        parsed = [json.loads(event) for event in events or [body]]
    except ValueError:
        parsed = []
    usage = None
    for one in parsed:
        usage = one.get("usage") or (one.get("response") or {}).get("usage") or usage
    return {"usage": usage, "deltas": sum(map(is_delta, parsed)) if events else 0}
