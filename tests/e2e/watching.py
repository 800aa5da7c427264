"""Looking at one request among others: each has a model of its own, by which Sluice shows it, and the same name as
its x-test-id, by which the server's log does. And a limit that is used up for some seconds only."""
from harness import policy
from host import wait_for
from programs import use_up

FILL = 50  # tokens a second, of slowed()
CONTENT = "How much? " * 20  # a request with it waits for a second then


def slowed(sluiced, openai, wait_s, rest="", **options):
    """A daemon whose only limit has been overdrawn, so that the next request waits for that long, and each for
    another second. rest: more of its policy. Returns the daemon and since when."""
    daemon = sluiced(policy(openai.port, f"limits:\n- {{ name: all, key: [], tpm: {FILL * 60} }}\n" + rest), **options)
    return daemon, use_up(openai, FILL * (60 + wait_s))


def flow_of(daemon, waiting):
    [flow] = [flow for flow in daemon.flows() if flow["id"] == waiting["flow"]]
    return flow


def held(daemon, openai, name, timeout=10):
    """The flow of that request while it waits, which Sluice understands and the server has not seen."""
    [waiting] = wait_for(lambda: [one for one in daemon.queue() if one["model"] == name], timeout,
                         lambda: f"{name} waits: {daemon.queue()}\n{daemon.flows()}\n{daemon.log_text()}")
    flow = flow_of(daemon, waiting)
    assert not flow["opaque"], f"{name} is not understood: {flow}"
    assert openai.row(name) is None, f"the server saw {name} while it was held"
    return flow


def burst(daemon, pid, timeout=10):
    """(queue's row, flow) of that process's connection, which waits though Sluice cannot read it."""
    def find():
        return [(one, flow_of(daemon, one)) for one in daemon.queue() if one["pid"] == pid]
    [(waiting, flow)] = wait_for(find, timeout, lambda: f"process {pid} waits: {daemon.flows()}\n{daemon.log_text()}")
    assert flow["opaque"] and flow["why_opaque"], flow
    return waiting, flow


def step(program, n):
    """Lets a program go on that waits for the nth time."""
    wait_for(lambda: len(program.events("ready")) >= n, 30, lambda: f"it waits for its word: {program.errors()}")
    program.process.stdin.write(b"\n")
    program.process.stdin.flush()


def answered(program, name, timeout=20):
    """The "done" event of one of its requests, of which others may still be under way."""
    def find():
        assert not program.events("error"), program.events("error")
        return [event for event in program.events("done") if event["id"] == name]
    return wait_for(find, timeout, lambda: f"{name} is answered: {program.events()} {program.errors()}")[0]


def check_arrived(openai, program, names, timeout=60):
    """All of a program's requests were answered, and arrived as they were sent. Returns the server's rows."""
    done = program.done(timeout)
    sent = {event["id"]: event for event in program.events("sending")}
    for name in names:
        assert name in done, f"{name} was never answered: {program.events()} {program.errors()}"
        row = openai.row(name)
        assert (row["status"], row["body_sha256"]) == (200, sent[name]["sha256"]), f"{name} was changed on its way"
    return [openai.row(name) for name in names]


def traced(daemon, name, timeout=5):
    """What Sluice has written down of that request: the line that `sluice record` shows."""
    def find():
        status, lines = daemon.api("/v1/trace")
        assert status == 200, lines
        return [line for line in lines if line["labels"].get("model") == name]
    [line] = wait_for(find, timeout, lambda: f"{name} is over: {daemon.flows()}\n{daemon.log_text()}")
    return line


def usage_of(daemon, name):
    """(input, output) tokens that Sluice has read in the answer."""
    usage = traced(daemon, name)["usage"]
    return usage["input_tokens"], usage["output_tokens"]
