"""What the measurements stand on: an imitation that answers at once, a Sluice to switch on and off, and
clients that time themselves.

A client meets the same server on the same port in all of these situations:

    without     Sluice does not run
    beside      it runs, and the client calls a host that it does not govern (localhost)
    governed    it runs, governs the client, and has room for all of its requests
"""
import json
import pathlib
import resource
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "e2e"))

import load  # noqa: E402
from harness import HOST, Openai, Sluiced, policy  # noqa: E402

SITUATIONS = ("without", "beside", "governed")
CLIENTS = ("requests", "node", "curl")
# Of load.MODEL, when a request costs 10 tokens, 100 requests a second may pass; of "free", any number.
METERED_TPM, METERED_COST = 60_000, 10
LIMITS = {"default": {"rpm": 10**8, "tpm": 10**10}, "models": {load.MODEL: {"rpm": 10**8, "tpm": METERED_TPM}}}
POLICY = f"""teams:
- {{ name: everyone }}
limits:
- {{ name: free, match: {{model: free}}, rpm: 100M, tpm: 10000M }}
- {{ name: metered, match: {{model: {load.MODEL}}}, tpm: {METERED_TPM} }}
"""
KEY = "sk-bench"
PYTHON = "/usr/bin/python3"
CLIENT_TIMEOUT_S, STOP_TIMEOUT_S = 60, 60


def cpu_seconds(pid):
    """CPU time of the threads that a process has now, as exactly as the scheduler knows it. Those that
    put probes in come and go, and are not counted: they are no request's."""
    total = 0
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


class Rig:
    def __init__(self):
        self.openai = Openai(LIMITS, latency_ms=0)
        self.sluiced = Sluiced(policy(self.openai.port, POLICY), ready=False)

    def switch_on(self):
        if not self.is_on():
            self.sluiced.start()

    def switch_off(self):
        if self.is_on():
            self.sluiced.process.terminate()
            self.sluiced.process.wait(STOP_TIMEOUT_S)

    def is_on(self):
        return self.sluiced.process is not None and self.sluiced.process.poll() is None

    def url(self, situation):
        name = "localhost" if situation == "beside" else HOST
        return f"https://{name}:{self.openai.port}/v1/chat/completions"

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        try:
            if kind is None and self.is_on():
                self.sluiced.stop(STOP_TIMEOUT_S)
        finally:
            self.sluiced.discard()
            self.openai.stop()

    def run_client(self, client, situation, n):
        """{"taken_s": list, "cpu_s", "n_sent", and with Sluice "sluiced_cpu_s", "probe_hits"}"""
        before = self._costs() if self.is_on() else {}
        if client == "curl":
            result = self._run_curl(situation, n)
        else:
            script = {"requests": [PYTHON, HERE / "client.py"], "node": ["node", HERE / "client.mjs"]}[client]
            result = json.loads(run([*script, "--url", self.url(situation), "--ca", self.openai.ca,
                                     "--model", "free", "--requests", n]))
        if before:
            result.update({name: value - before[name] for name, value in self._costs().items()})
        return result

    def _costs(self):
        return {"probe_hits": self.sluiced.status()["kernel"]["probe_hits"],
                "sluiced_cpu_s": cpu_seconds(self.sluiced.process.pid)}

    def curl(self, situation, n=1, model="free", max_tokens=1):
        """The command line of a curl with n requests on one connection; it prints a line for each."""
        body = json.dumps({"model": model, "max_tokens": max_tokens,
                           "messages": [{"role": "user", "content": "Hello"}]})
        argv = ["curl", "-sS", "--http1.1", "--cacert", self.openai.ca, "--max-time", "30",
                "--connect-to", f"::127.0.0.1:{self.openai.port}", "-H", f"Authorization: Bearer {KEY}",
                "-H", "Content-Type: application/json", "-d", body,
                "-w", "%{http_code} %{num_connects} %{time_starttransfer} %{time_total}\\n"]
        return argv + n * [self.url(situation), "-o", "/dev/null"]

    def _run_curl(self, situation, n):
        cpu = children_cpu_seconds()
        lines = [line.split() for line in run(self.curl(situation, n + 1)).splitlines()]
        assert [line[0] for line in lines] == ["200"] * (n + 1), lines[:3]
        assert sum(int(line[1]) for line in lines) == 1, "curl did not keep its connection"
        return {"taken_s": [float(line[3]) for line in lines[1:]], "n_sent": n + 1,
                "cpu_s": children_cpu_seconds() - cpu}


def children_cpu_seconds():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def run(argv, timeout=CLIENT_TIMEOUT_S):
    """What a program prints; its failure is ours."""
    return subprocess.run([str(word) for word in argv], stdout=subprocess.PIPE, text=True, check=True,
                          timeout=timeout).stdout
