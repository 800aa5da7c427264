"""What a test needs around it: an OpenAI (Openai), a Sluice (Sluiced), a cgroup to run a program in
(Cgroup), and a way to wait for an event (wait_for).

Each is a context manager that leaves nothing behind: no process, no cgroup, no file, nothing in the
kernel. Programs call api.openai.com; they find it on loopback, each client in its own way (clients/).
Times are in seconds; time stamps since the Unix epoch, on the same clock as the imitation's log.
"""
import functools
import http.client
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess

from host import Cgroup, cgroup_mount, end, left_in_kernel, temporary_folder, wait_for

__all__ = ["Cgroup", "Openai", "Sluiced", "cgroup_mount", "policy", "wait_for"]

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
BUILD = pathlib.Path(os.environ.get("SLUICE_BUILD", ROOT / "build"))
HOST = "api.openai.com"
# More than any test sends: the imitation refuses nothing unless a test wants it to.
NO_LIMITS = {"default": {"rpm": 10**9, "tpm": 10**12}}


@functools.cache
def certificate():
    """A folder with ca.pem, cert.pem and key.pem, the same for the whole run."""
    folder = temporary_folder("tls")
    subprocess.run([ROOT / "tests/openai/make-cert.sh", folder], check=True, timeout=60)
    return folder


class Openai:
    """The imitation of tests/openai/, on 127.0.0.1 and ::1, of the network namespace if one is named. listeners:
    sockets that listen already, beside these."""

    def __init__(self, limits=None, latency_ms=2, ms_per_token=0, netns=None, options=(), port=0, listeners=()):
        self.ca = str(certificate() / "ca.pem")
        self.prefix = ["ip", "netns", "exec", netns] if netns else []
        self.folder = temporary_folder("openai")
        self.log_path = self.folder / "log.jsonl"
        self.log_begin = 0
        (self.folder / "limits.json").write_text(json.dumps(limits or NO_LIMITS))
        self.errors = open(self.folder / "stderr", "wb")
        self.process = subprocess.Popen(
            [*self.prefix, "node", ROOT / "tests/openai/server.mjs", "--port", str(port), "--host",
             ",".join(["127.0.0.1", "::1", *(f"fd:{listener.fileno()}" for listener in listeners)]),
             "--cert", certificate() / "cert.pem", "--key", certificate() / "key.pem",
             "--limits", self.folder / "limits.json", "--log", self.log_path,
             "--latency-ms", str(latency_ms), "--ms-per-token", str(ms_per_token), *options],
            stdout=subprocess.PIPE, stderr=self.errors, text=True,
            pass_fds=[listener.fileno() for listener in listeners])
        first = self.process.stdout.readline()
        if not first:
            self.stop()
            raise AssertionError(f"the imitation did not start: {self.errors_text}")
        self.port = json.loads(first)["listening"][0]["port"]

    def _control(self, method, path, data=None):
        # By the name localhost, which no policy of these tests governs.
        command = [*self.prefix, "curl", "-sS", "--max-time", "10", "--http1.1", "--cacert", self.ca, "-X", method,
                   f"https://localhost:{self.port}/{path}"]
        if data is not None:
            command += ["--data-binary", "@-"]
        answer = subprocess.run(command, input=data, capture_output=True, text=True, timeout=15)
        assert answer.returncode == 0, f"{method} {path}: {answer.stderr}"
        return json.loads(answer.stdout)

    def books(self):
        return self._control("GET", "__books")

    def reset(self):
        """Full buckets, empty books, and an empty log()."""
        self._control("POST", "__reset")
        self.log_begin = self.log_path.stat().st_size

    def set_limits(self, limits):
        assert self._control("POST", "__limits", json.dumps(limits)).get("replaced")

    def log(self):
        """A dict for each request decided so far, in order; its fields are in handler.mjs."""
        with open(self.log_path, encoding="utf-8") as f:
            f.seek(self.log_begin)
            return [json.loads(line) for line in f if line.endswith("\n")]

    def row(self, test_id):
        """The log's only row of the request with that x-test-id, or None."""
        rows = [row for row in self.log() if row["test_id"] == test_id]
        assert len(rows) <= 1, f"the server saw {test_id} {len(rows)} times"
        return rows[0] if rows else None

    def stop(self):
        end(self.process)
        self.process.stdout.close()
        self.errors.close()
        self.errors_text = (self.folder / "stderr").read_text()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def policy(port, rest="", mode="enforce"):
    """A policy that governs api.openai.com at that port; rest: teams, limits and so on."""
    return f"mode: {mode}\nproviders:\n- {{ name: openai, hosts: [{HOST}], ports: [{port}] }}\n{rest}"


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self.path))


class Sluiced:
    """The daemon with a policy of its own. More than one may run: each governs the ports of its policy.
    prefix: a command to run it with."""

    def __init__(self, text, options=(), ready=True, prefix=()):
        self.folder = temporary_folder("sluiced")
        self.config, self.socket = self.folder / "sluice.yaml", self.folder / "sluice.sock"
        self.options, self.prefix, self.process = options, prefix, None
        self.write_policy(text)
        if ready:
            self.start()

    def write_policy(self, text):
        self.config.write_text(text)

    def start(self):
        self.log_path = self.folder / "sluiced.log"
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(
                [*self.prefix, BUILD / "sluiced", "--config", self.config, "--socket", self.socket,
                 "--state-dir", self.folder / "state", "--verbose", *self.options], stderr=log)
        try:
            wait_for(self._is_ready, 20, "sluiced says ready")
        except AssertionError as e:
            text = self.log_text()
            self.discard()
            raise AssertionError(f"{e}\n{text}") from None

    def _is_ready(self):
        assert self.process.poll() is None, f"sluiced ended with {self.process.returncode}"
        return "ready" in self.log_text()

    def log_text(self):
        return self.log_path.read_text(errors="replace")

    def api(self, path, method="GET", timeout=5):
        """(HTTP status, JSON) of the API."""
        connection = UnixConnection(self.socket, timeout)
        try:
            connection.request(method, path)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def _get(self, path):
        status, value = self.api(path)
        assert status == 200, f"GET {path}: {status} {value}"
        return value

    def status(self):
        return self._get("/v1/status")

    def flows(self):
        return self._get("/v1/flows")

    def queue(self):
        return self._get("/v1/queue")

    def limits(self):
        return self._get("/v1/limits")

    def reload(self, text=None):
        """(HTTP status, JSON) of a reload, with a new policy if text is given."""
        if text is not None:
            self.write_policy(text)
        return self.api("/v1/reload", "POST")

    def cli(self, *arguments, **popen):
        """`sluice …`, asking this daemon."""
        return subprocess.run([BUILD / "sluice", *arguments], text=True, timeout=30, capture_output=True,
                              env={**os.environ, "SLUICE_SOCKET": str(self.socket)}, **popen)

    def kernel_ids(self):
        """What this daemon has in the kernel, as {kind: ids}, read from its open files."""
        ids = {"prog": set(), "link": set(), "map": set()}
        for info in pathlib.Path(f"/proc/{self.process.pid}/fdinfo").iterdir():
            try:
                lines = info.read_text().splitlines()
            except FileNotFoundError:
                continue
            for line in lines:
                kind, _, value = line.partition(":")
                if kind.endswith("_id") and kind[:-3] in ids:
                    ids[kind[:-3]].add(int(value))
        return ids

    def kill9(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)

    def stop(self, timeout=15):
        """SIGTERM, and what has to hold after it: exit code 0, and nothing of it in the kernel."""
        ids = self.kernel_ids()
        assert ids["prog"] and ids["map"], "the daemon has no programs in the kernel while it runs"
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout)
        log = self.log_text()
        assert code == 0, f"sluiced ended with {code} after SIGTERM\n{log}"
        wait_for(lambda: not left_in_kernel(ids), 5, f"the kernel has nothing of {ids} any more")
        assert not self.socket.exists(), "its socket is left behind"

    def restart(self):
        """Ends the daemon if it runs, and starts it anew with the same policy, socket and state."""
        if self.process.poll() is None:
            self.stop()
        self.start()

    def discard(self):
        """Ends it in any case, asking nothing."""
        if self.process:
            end(self.process)
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        try:
            if kind is None and self.process and self.process.poll() is None:
                self.stop()
        finally:
            self.discard()
