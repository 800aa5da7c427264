"""What an answer says is read in whatever form it comes: compressed, as a stream, broken off, from another provider,
over a WebSocket. And where a request's time went is told apart.
"""
import pytest

from harness import HOST, Openai, policy
from host import temporary_folder, wait_for
from programs import chat, response, start, use_up
from watching import CONTENT, answered, check_arrived, held, slowed, step, traced, usage_of

STREAM = {"stream": True, "stream_options": {"include_usage": True}}
ENCODINGS = ["gzip", "br", "zstd", "deflate"]
ANTHROPIC, AZURE = "api.anthropic.com", "example.openai.azure.com"
NO_LIMIT = "limits:\n- { name: all, key: [], tpm: 60000000 }\n"


def item(name, headers=None, **more):
    return {**chat(name, model=name, content=CONTENT, **more), "headers": headers or {}}


def used(row):
    return row["input_tokens"], row["output_tokens"]


def check_usage(daemon, openai, name):
    """Sluice has read in the answer what the provider has used; and it was not what it had expected."""
    line = traced(daemon, name)
    row = openai.row(name)
    assert line["status"] == row["status"] == 200
    assert usage_of(daemon, name) == used(row)
    assert line["output_tokens"] != row["output_tokens"], "it was expected all the same: this shows nothing"
    return line


@pytest.mark.parametrize("options", [(), ("--record-split",)], ids=["whole", "in pieces"])
@pytest.mark.parametrize("name", ["curl", "curl-h2"])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_compressed(encoding, name, options, cgroup, sluiced):
    """The usage in a compressed answer, whatever piece of it comes when."""
    with Openai(options=options) as openai:
        check_compressed(encoding, name, openai, cgroup, sluiced)


def check_compressed(encoding, name, openai, cgroup, sluiced):
    daemon = sluiced(policy(openai.port, NO_LIMIT))
    headers = {"x-test-encode": encoding, "Accept-Encoding": encoding}
    program = start(name, cgroup("compressed"), openai, item("compressed", headers))
    check_arrived(openai, program, ["compressed"])
    text = (program.folder / "answer-0").read_bytes()
    assert b"usage" not in text, "it did not come compressed"
    check_usage(daemon, openai, "compressed")
    assert not daemon.status()["opaque"], daemon.log_text()


@pytest.mark.parametrize("name", ["requests", "httpx-async", "node-fetch", "node-openai", "go"])
def test_compressed_as_clients_ask_for_it(name, openai, cgroup, sluiced, node_modules):
    """Clients that ask for compression by themselves, as OpenAI answers them."""
    daemon = sluiced(policy(openai.port, NO_LIMIT))
    program = start(name, cgroup("asks"), openai, item("asked"))
    check_arrived(openai, program, ["asked"])
    check_usage(daemon, openai, "asked")


@pytest.mark.parametrize("name", ["requests", "node-openai", "node-http2", "go"])
def test_streams(name, openai, cgroup, sluiced, node_modules):
    """The usage at the end of a stream, of a chat and of a response."""
    daemon = sluiced(policy(openai.port, NO_LIMIT))
    items = [item("chat", **STREAM), response("response", model="response", content=CONTENT, stream=True)]
    program = start(name, cgroup("streams"), openai, [items])
    check_arrived(openai, program, ["chat", "response"])
    for one in ("chat", "response"):
        check_usage(daemon, openai, one)


def test_stream_without_usage(openai, cgroup, sluiced):
    """A stream whose client has not asked for its usage is counted by what has come, a piece a token."""
    daemon = sluiced(policy(openai.port, NO_LIMIT))
    program = start("curl", cgroup("silent"), openai, item("silent", stream=True))
    [row] = check_arrived(openai, program, ["silent"])
    assert usage_of(daemon, "silent")[1] == row["output_tokens"]


# How many events of a stream come before the connection breaks.
CUT_AFTER = 5


@pytest.mark.parametrize("name", ["curl", "curl-h2"])
def test_stream_that_breaks_off(name, openai, cgroup, sluiced):
    """What had come of it is counted, and no more; the connection's end frees what was reserved."""
    daemon = sluiced(policy(openai.port, NO_LIMIT))
    program = start(name, cgroup("cut"), openai, item("cut", {"x-test-cut": str(CUT_AFTER)}, max_tokens=200, **STREAM))
    [end] = [event for event in program.wait() if event["event"] != "sending"]
    assert end["event"] == "error", f"the stream was not cut: {end}"
    _, tokens = usage_of(daemon, "cut")
    assert 1 <= tokens <= CUT_AFTER, "it counts what never came"
    wait_for(lambda: not daemon.flows(), 5, "it is shown no more")


def test_other_provider(openai, cgroup, sluiced):
    """Anthropic's API, beside OpenAI's, with a limit and a key of its own, as JSON and as a stream."""
    text = policy(openai.port) + f"- {{ name: anthropic, hosts: [{ANTHROPIC}], ports: [{openai.port}] }}\n"
    daemon = sluiced(text + "limits:\n- { name: claude, match: { provider: anthropic }, key: api_key, tpm: 60000 }\n")
    headers = {"Authorization": "", "x-api-key": "sk-ant", "anthropic-version": "2023-06-01"}
    body = {"max_tokens": 300, "messages": [{"role": "user", "content": CONTENT}]}
    names = ["message", "message-stream"]
    items = [{"id": name, "method": "POST", "path": "/v1/messages", "chunked": False, "host": ANTHROPIC,
              "headers": headers, "body": {**body, "model": name, "stream": name.endswith("stream")}}
             for name in names]
    program = start("curl", cgroup("anthropic"), openai, [items], options=["--insecure"])
    rows = check_arrived(openai, program, names)
    for name, row in zip(names, rows):
        line = traced(daemon, name)
        assert (line["labels"]["provider"], line["labels"]["endpoint"]) == ("anthropic", "/v1/messages")
        assert usage_of(daemon, name) == used(row)
    [limit] = daemon.limits()
    assert limit["policy"] == "claude" and limit["level"] < 60000, "its limit was not drawn from"


def test_azure(openai, cgroup, sluiced):
    """Azure names its deployment in the path, and its key in a field of its own."""
    daemon = sluiced(policy(openai.port).replace(HOST, '"*.openai.azure.com"') + NO_LIMIT)
    one = {**item("azure", {"Authorization": "", "api-key": "azure-key"}), "host": AZURE,
           "path": "/openai/deployments/azure/chat/completions?api-version=2024-10-21"}
    del one["body"]["model"]
    program = start("curl", cgroup("azure"), openai, one)
    [row] = check_arrived(openai, program, ["azure"])
    line = traced(daemon, "azure")  # so that its model is known
    assert line["tokens"] == row["charged"] and usage_of(daemon, "azure") == used(row)


def test_websocket(openai, cgroup, sluiced):
    """The turns of a realtime session are drawn from the limit as they end; their tokens are the provider's."""
    daemon = sluiced(policy(openai.port, "policies:\n- { name: all, resource: total_tokens, bucket_capacity: 100000, "
                                         "interval: 1d }\n"))
    names = ["turn-1", "turn-2"]
    items = [{"id": name, "method": "GET", "path": "/v1/realtime?model=live", "body": {}, "chunked": False}
             for name in names]
    program = start("websocket", cgroup("websocket"), openai, [items], options={"steps": True})
    first = answered(program, "turn-1")
    step(program, 1)
    [flow] = wait_for(lambda: [one for one in daemon.flows() if one["pid"] == program.pid], 5, "it is shown")
    assert (flow["protocol"], flow["opaque"]) == ("websocket", False)
    done = program.done()
    status = daemon.status()
    assert status["websocket_turns"] == 2 and not status["opaque"]
    told = [done[name]["usage"] for name in names]
    lines = [line for line in daemon.api("/v1/trace")[1] 
             if "usage" in line and line["labels"]["protocol"] == "websocket"]
    assert [(line["usage"]["input_tokens"], line["usage"]["output_tokens"]) for line in lines] == \
        [(usage["input_tokens"], usage["output_tokens"]) for usage in told]
    assert first["usage"] == told[0]
    assert {line["labels"].get("model") for line in lines} == {"live"}, "its address names the model"
    spent = sum(usage["input_tokens"] + usage["output_tokens"] for usage in told)
    [limit] = daemon.limits()
    assert abs(100000 - spent - limit["level"]) <= 30, "the turns were not drawn from the limit"


@pytest.mark.parametrize("name", ["curl", "curl-h2"])
def test_multipart(name, openai, cgroup, sluiced):
    """The model of an upload (curl -F), which stands behind a file; it is held like any other request. It costs no
    tokens: here only one request may leave every three seconds."""
    daemon = sluiced(policy(openai.port, "policies:\n- { name: all, resource: requests, bucket_capacity: 1, "
                                         "interval: 3s }\n"))
    use_up(openai, 100)
    program = upload(name, cgroup, openai, 20_000)
    assert held(daemon, openai, "upload")["pid"] == program.pid
    assert program.done()["upload"]["status"] == 200
    assert openai.row("upload")["model"] == "upload"


@pytest.mark.parametrize("name", ["curl", "curl-h2"])
def test_large_multipart(name, openai, cgroup, sluiced):
    """Where the file is so large that it is decided on before the model is known, that is known later."""
    daemon = sluiced(policy(openai.port, NO_LIMIT))
    program = upload(name, cgroup, openai, 5_000_000)
    assert program.done()["upload"]["status"] == 200
    assert openai.row("upload")["body_bytes"] > 5_000_000
    assert traced(daemon, "upload")["labels"]["endpoint"] == "/v1/audio/transcriptions"


def upload(name, cgroup, openai, n_bytes):
    """A program that uploads a file of that size, and names the model after it."""
    file = temporary_folder("upload") / "speech.wav"
    file.write_bytes(bytes(range(256)) * (n_bytes // 256 + 1))
    one = {"id": "upload", "method": "GET", "path": "/v1/audio/transcriptions", "body": None, "chunked": False}
    return start(name, cgroup("upload"), openai, one, options=["-F", f"file=@{file}", "-F", "model=upload"])


LATENCY_MS, TOKEN_MS, TOKENS, HOLD_S = 300, 20, 20, 2


def test_times_are_told_apart(cgroup, sluiced):
    """How long it was held, how long the provider took to begin and to end, and how long it says it took."""
    with Openai(latency_ms=LATENCY_MS, ms_per_token=TOKEN_MS) as openai:
        daemon, since = slowed(sluiced, openai, HOLD_S)
        # The second keeps the connection open while it is looked at.
        lanes = [[item("timed", max_tokens=TOKENS, **STREAM), item("later")]]
        program = start("sockets", cgroup("timed"), openai, lanes, options={"steps": True})
        held(daemon, openai, "timed")
        answered(program, "timed")
        line = traced(daemon, "timed")
        [flow] = [one for one in daemon.flows() if one["pid"] == program.pid]
        [sent] = program.events("sending")
        step(program, 1)
        row, _ = check_arrived(openai, program, ["timed", "later"])
        print({key: flow[key] for key in ("held_ms", "first_byte_ms", "response_ms", "provider_ms")})
        assert abs(flow["held_ms"] - (row["t"] - sent["t"]) * 1000) <= 150
        assert LATENCY_MS - 20 <= flow["first_byte_ms"] <= LATENCY_MS + 200
        took = LATENCY_MS + TOKENS * TOKEN_MS
        assert took - 50 <= flow["response_ms"] <= took + 400
        assert flow["provider_ms"] == round(line["provider_s"] * 1000) <= flow["first_byte_ms"]
        for key in ("held", "first_byte", "response"):
            assert abs(line[f"{key}_s"] * 1000 - flow[f"{key}_ms"]) <= 1, f"record and flows say another {key}"


def test_usage_settles_the_limit(openai, cgroup, sluiced):
    """A limit of output tokens takes what the provider says it used, not what had been expected."""
    daemon = sluiced(policy(openai.port, "policies:\n- { name: out, resource: output_tokens, bucket_capacity: 60000, "
                                         "interval: 1h }\n"))
    program = start("requests", cgroup("settled"), openai, item("settled"))
    [row] = check_arrived(openai, program, ["settled"])
    traced(daemon, "settled")
    [limit] = daemon.limits()
    assert abs(60000 - limit["level"] - row["output_tokens"]) <= 17 * 2, limit  # it fills by 17 tokens a second
