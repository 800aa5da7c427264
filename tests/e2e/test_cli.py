"""The command `sluice` and the daemon's own messages: what an operator sees, and what scripts rely on."""
import json
import re
import shutil
import signal
import subprocess

import pytest

from emptied import EMPTY, OVERDRAW, check_governs, emptied
from harness import BUILD, ROOT, Cgroup, Openai, Sluiced, policy
from host import temporary_folder, wait_for
from programs import chat, queued, start, use_up

# As sluice(1) promises them.
KEYS = {
    "status": "enforcing mode why_not_enforcing version uptime_s config hooks libraries processes flows queued "
              "admitted denied timed_out opaque lost_events push kernel rss_bytes",
    "flows": "id pid comm user team cgroup host address library model state why_opaque requests tokens_in "
             "tokens_out cost queued_ms",
    "queue": "position team model priority cost waiting_ms eta_ms flow pid comm",
    "limits": "policy key resource capacity level fill_per_s queued",
}
NESTED = {
    "lost_events": "ring_full fault maps_full", "push": "pidfd iter failed",
    "kernel": "held_segments twins probe_hits", "hooks": "name attached",
    "libraries": "path mode processes random_offset",
}
MISTAKE = "limits:\n- { name: all, key: [], tpm: 100, rpx: 5 }\n"
MISTAKE_AT = policy(443, MISTAKE).splitlines().index(MISTAKE.splitlines()[1]) + 1


@pytest.fixture(scope="module")
def busy():
    """(Sluiced, Openai, Program, Cgroup): a daemon with a request in its queue, of team batch; the cgroup's child
    "made" is team run's."""
    with Openai() as openai, Cgroup("batch") as batch, Cgroup("parent") as parent, \
            Sluiced(policy(openai.port, f"""\
teams:
- {{ name: batch, cgroup: {batch.path}, weight: 2 }}
- {{ name: made, cgroup: {parent.path}/made }}
- {{ name: nobodys, user: nobody }}
- {{ name: others }}
{EMPTY}""")) as daemon:
        use_up(openai, OVERDRAW)
        program = start("requests", batch, openai, chat("held", content="x" * 400))
        queued(daemon, 1)
        yield daemon, openai, program, parent
        made = parent.folder / "made"
        if made.exists():
            (made / "cgroup.kill").write_text("1")
            wait_for(lambda: not (made / "cgroup.procs").read_text(), 10, f"{made} is empty")
            made.rmdir()


def ok(answer):
    assert answer.returncode == 0, f"{answer.args[1:]} exits with {answer.returncode}: {answer.stderr}"
    return answer.stdout


def refused(answer, code=1):
    """What it said on stderr, and nothing on stdout."""
    assert answer.returncode == code, f"{answer.args[1:]} exits with {answer.returncode}: {answer.stderr}"
    assert answer.stderr and not answer.stdout
    return answer.stderr


def refuses_to_start(*command):
    """What a daemon says that does not start, in one line if one is enough."""
    answer = subprocess.run(command, capture_output=True, text=True, timeout=15)
    assert answer.returncode == 1, f"it ends with {answer.returncode}: {answer.stderr}"
    assert len(answer.stderr.splitlines()) == 1, answer.stderr
    return answer.stderr


@pytest.mark.parametrize("verb", KEYS)
def test_json_keys(verb, busy):
    """Scripts find the keys that the manual promises, with values of the request that waits."""
    value = json.loads(ok(busy[0].cli(verb, "--json")))
    manual = (ROOT / "docs/man/sluice.1").read_text()
    rows = value if isinstance(value, list) else [value]
    assert rows, f"sluice {verb} is empty"
    for row in rows:
        missing = set(KEYS[verb].split()) - set(row)
        assert not missing, f"sluice {verb} --json has no {missing}"
    for key in KEYS[verb].split():
        assert f".Sy {key}" in manual, f"{key} is not in the manual"
    for key, names in NESTED.items():
        if verb == "status":
            inner = value[key][0] if isinstance(value[key], list) else value[key]
            missing = set(names.split()) - set(inner)
            assert not missing, f"sluice status --json has no {missing} in {key}"


def test_json_values(busy):
    """The numbers are the waiting request's."""
    daemon, _, program, _ = busy
    status, [waiting], [limit] = (json.loads(ok(daemon.cli("--json", verb))) for verb in ("status", "queue", "limits"))
    [flow] = [one for one in json.loads(ok(daemon.cli("flows", "--json"))) if one["id"] == waiting["flow"]]
    expected = {"pid": program.pid, "comm": "python3", "team": "batch", "model": "gpt-4"}
    assert {key: waiting[key] for key in expected} == {key: flow[key] for key in expected} == expected
    assert (waiting["position"], waiting["cost"], flow["state"], flow["user"]) == (1, 103, "queued", "root")
    assert (limit["policy"], limit["resource"], limit["capacity"], limit["queued"]) == ("all", "tokens", 60, 1)
    assert limit["fill_per_s"] == 1 and limit["level"] < 0
    # It is larger than the bucket, so it waits until that is full.
    due_ms = (limit["capacity"] - limit["level"]) / limit["fill_per_s"] * 1000
    assert abs(waiting["eta_ms"] - due_ms) < 2000, "eta_ms is not when it will leave"
    assert flow["queued_ms"] >= waiting["waiting_ms"] > 0
    assert (status["queued"], status["denied"], status["opaque"]) == (1, 0, 0)
    assert status["admitted"] >= 1 and not any(status["lost_events"].values())
    assert all(hook["attached"] for hook in status["hooks"])


def test_text(busy):
    """What a person reads names the request that waits, and who makes it."""
    daemon, _, program, _ = busy
    assert "gpt-4" in (queue := ok(daemon.cli("queue"))) and "batch" in queue
    assert str(program.pid) in (flows := ok(daemon.cli("flows"))) and "queued" in flows
    assert "all" in (limits := ok(daemon.cli("limits"))) and "60" in limits
    assert ok(daemon.cli()).split()[:2] == ok(daemon.cli("status")).split()[:2] == ["enforcing", "yes"]
    lines = ok(daemon.cli("top", "--json", "--count", "2", "--interval", "0.1")).splitlines()
    assert [sorted(json.loads(line)) for line in lines] == [["limits", "queue", "status"]] * 2


def test_exit_codes(busy):
    daemon = busy[0]
    for arguments in (["bogus"], ["status", "more"], ["run"], ["run", "--team", "batch"], ["--bogus"]):
        refused(daemon.cli(*arguments), 2)
    assert "Usage" in ok(daemon.cli("--help")) and ok(daemon.cli("--version")).startswith("sluice ")
    message = refused(daemon.cli("--socket", "/nowhere/sluice.sock", "status"))
    assert "/nowhere/sluice.sock" in message, "it does not say where it looked for the daemon"


def test_run(busy):
    """A command becomes a member of the team: its cgroup, its exit code, its requests."""
    daemon, openai, _, parent = busy
    assert ok(daemon.cli("run", "--team", "made", "--", "cat", "/proc/self/cgroup")).endswith(
        f"0::{parent.path}/made\n"), "the command is not in the team's cgroup"
    for code, command in ((7, ["sh", "-c", "exit 7"]), (127, ["no-such-command"]), (126, ["/etc/passwd"])):
        assert daemon.cli("run", "--team", "made", "--", *command).returncode == code
    assert "batch, made, nobodys" in refused(daemon.cli("run", "--team", "bogus", "--", "true"))
    assert "runuser" in refused(daemon.cli("run", "--team", "nobodys", "--", "true"))
    program = start("curl", parent, openai, chat("run", content="x" * 400), prefix=[
        BUILD / "sluice", "--socket", daemon.socket, "run", "--team", "made", "--"])
    try:
        [waiting] = wait_for(lambda: [one for one in daemon.queue() if one["pid"] == program.pid], 10,
                             lambda: f"its request waits: {program.errors()}")
        assert (waiting["team"], waiting["comm"]) == ("made", "curl")
    finally:
        program.process.kill()
    queued(daemon, 1)


def test_bad_policy(busy):
    """A mistake is named with file and line, and changes nothing."""
    daemon, openai, _, _ = busy
    good = daemon.config.read_text()
    place = f"{daemon.config}:{MISTAKE_AT}: "
    assert "ok" in ok(daemon.cli("validate", daemon.config))
    daemon.write_policy(policy(openai.port, MISTAKE))
    try:
        assert place in (message := refused(daemon.cli("validate", daemon.config))) and "rpm" in message, message
        answer = daemon.cli("validate", "--json", daemon.config)
        told = json.loads(answer.stdout)
        assert (answer.returncode, told["file"], told["valid"]) == (1, str(daemon.config), False)
        assert place in told["errors"][0]
        assert place in (message := refused(daemon.cli("reload"))) and "stays" in message, message
        answer = daemon.cli("reload", "--json")
        assert answer.returncode == 1 and place in json.loads(answer.stdout)["error"]
        daemon.process.send_signal(signal.SIGHUP)
        wait_for(lambda: "the running one stays" in daemon.log_text(), 5, "the log says so after SIGHUP")
        assert place in daemon.log_text()
        [limit] = daemon.limits()
        assert (limit["policy"], limit["capacity"], limit["queued"]) == ("all", 60, 1), "the policy has changed"
        assert daemon.status()["enforcing"] and len(daemon.queue()) == 1
    finally:
        daemon.write_policy(good)
    assert ok(daemon.cli("reload")).strip() == "reloaded"
    assert json.loads(ok(daemon.cli("--json", "reload"))) == {"reloaded": True}
    assert len(daemon.queue()) == 1, "a reload let go of a request"


def test_api(busy):
    """curl --unix-socket gets what sluice --json gets; mistakes have their HTTP statuses."""
    daemon = busy[0]

    def curl(path, *options):
        answer = subprocess.run(["curl", "-sS", "--max-time", "5", "--unix-socket", daemon.socket, "-w", "%{http_code}",
                                 *options, f"http://localhost{path}"], capture_output=True, text=True, timeout=10)
        assert answer.returncode == 0, answer.stderr
        return int(answer.stdout[-3:]), json.loads(answer.stdout[:-3])

    for verb in KEYS:
        code, value = curl(f"/v1/{verb}")
        rows = value if isinstance(value, list) else [value]
        told = json.loads(ok(daemon.cli(verb, "--json")))
        assert code == 200 and [set(row) for row in rows] == [
            set(row) for row in (told if isinstance(told, list) else [told])]
    assert [team["name"] for team in curl("/v1/teams")[1]] == ["batch", "made", "nobodys", "others"]
    assert curl("/v1/bogus")[0] == 404 and curl("/v1/reload")[0] == 405 and curl("/v1/status", "-X", "POST")[0] == 405
    assert curl("/v1/reload", "-X", "POST") == (200, {"reloaded": True})


def test_enforcing(openai, cgroup, sluiced):
    """status says whether requests are really held, and if not, why; a reload changes it both ways."""
    daemon = emptied(sluiced, openai)

    def told():
        status = json.loads(ok(daemon.cli("status", "--json")))
        return status["enforcing"], status["mode"], status["why_not_enforcing"]

    assert told() == (True, "enforce", None)
    program, _ = check_governs(daemon, cgroup, openai)
    assert daemon.reload(policy(openai.port, EMPTY, "observe"))[0] == 200
    enforcing, mode, why = told()
    assert (enforcing, mode) == (False, "observe") and "observe" in why, "it does not say why nothing is held"
    assert ok(daemon.cli("status")).splitlines()[0].split()[:2] == ["enforcing", "no:"]
    assert program.done(5)["next"]["status"] == 200, "what was held stays so though nothing may be held"
    assert daemon.reload(policy(openai.port, EMPTY))[0] == 200
    assert told() == (True, "enforce", None)
    check_governs(daemon, cgroup, openai, "again")


def test_second_daemon(busy):
    """It says who is in its way, and leaves the first alone."""
    daemon, folder = busy[0], temporary_folder("second")
    command = [BUILD / "sluiced", "--config", daemon.config]
    state = daemon.folder / "state"
    message = refuses_to_start(*command, "--socket", folder / "sock", "--state-dir", state)
    assert f"pid {daemon.process.pid}" in message and str(state) in message, message
    message = refuses_to_start(*command, "--socket", daemon.socket, "--state-dir", folder)
    assert str(daemon.socket) in message and "--socket" in message, message
    assert daemon.status()["enforcing"] and len(daemon.queue()) == 1, "the first daemon was disturbed"


def test_not_root(busy):
    """One line that says so."""
    folder = temporary_folder("nobody")
    shutil.copy(BUILD / "sluiced", folder / "sluiced")
    (folder / "sluice.yaml").write_text(busy[0].config.read_text())
    shutil.chown(folder, 65534, 65534)
    message = refuses_to_start("setpriv", "--reuid", "65534", "--clear-groups", folder / "sluiced", "--config",
                               folder / "sluice.yaml", "--socket", folder / "sock", "--state-dir", folder / "state")
    assert "root" in message, message


@pytest.mark.parametrize("text, place", [(None, ""), (policy(443, MISTAKE), f":{MISTAKE_AT}: "), ("mode: [", ":")],
                         ids=["missing", "unknown key", "not YAML"])
def test_bad_config(text, place):
    """A daemon that cannot read its configuration says where the mistake is, and does not start."""
    folder = temporary_folder("config")
    config = folder / "sluice.yaml"
    if text is not None:
        config.write_text(text)
    message = refuses_to_start(BUILD / "sluiced", "--config", config, "--socket", folder / "sock",
                               "--state-dir", folder / "state")
    assert re.search(re.escape(f"{config}{place}") + (r"\d+: " if place == ":" else ""), message), message
    assert not (folder / "sock").exists()


def test_the_documented_policy_loads(tmp_path):
    """The examples of docs/policy.md, taken together, are a policy that sluiced takes."""
    text = (ROOT / "docs/policy.md").read_text()
    lines = [line[4:] for line in text.splitlines() if line.startswith("    ")]
    (tmp_path / "policy.yaml").write_text("\n".join(lines))
    answer = subprocess.run([BUILD / "sluice", "validate", tmp_path / "policy.yaml"], capture_output=True, text=True,
                            timeout=30)
    assert answer.returncode == 0, answer.stderr
