"""However a process comes by its TLS library - late, by fork or exec, from a copy, from another file system, in
namespaces of its own - its requests are understood and held, and arrive as they were sent.
"""
import os
import pathlib
import re
import shutil
import subprocess
import time

import pytest

from emptied import Namespace, ss, tcp_info
from harness import HOST, Openai, policy
from host import Cgroup, temporary_folder, wait_for
from programs import chat, start
from watching import CONTENT, FILL, check_arrived, held, slowed, step


def item(name):
    return chat(name, model=name, content=CONTENT)


def libssl():
    """The file of the system's OpenSSL library."""
    listed = subprocess.run(["/sbin/ldconfig", "-p"], capture_output=True, text=True, check=True, timeout=20).stdout
    [path, *_] = re.findall(r"libssl\.so\.3 .*=> (\S+)", listed)
    return pathlib.Path(path).resolve()


def copied(name):
    """A copy of that library, with another inode, in a folder of its own."""
    path = temporary_folder(name) / "libssl.so.3"
    shutil.copy(libssl(), path)
    return path


def check_held(daemon, openai, program, name, **who):
    """It waits, and is shown as that program's."""
    flow = held(daemon, openai, name)
    who = {"pid": program.pid, "host": HOST, **who}
    assert {key: flow[key] for key in who} == who, "sluice flows shows the wrong connection"
    return flow


def test_library_loaded_late(openai, cgroup, sluiced):
    """A process that loads its TLS library when it has been running for a while."""
    daemon, _ = slowed(sluiced, openai, 2)
    program = start("late", cgroup("late"), openai, item("late"), wait=True)
    wait_for(lambda: program.events("ready"), 10, lambda: f"it has started: {program.errors()}")
    maps = pathlib.Path(f"/proc/{program.pid}/maps").read_text()
    assert "libssl" not in maps, "this program does not show what it should"
    program.go()
    check_held(daemon, openai, program, "late")
    check_arrived(openai, program, ["late"])


def test_second_library(openai, cgroup, sluiced):
    """A process that is probed already, and loads another TLS library: its first connection by that may come before
    its probes, and is opaque then, but has to wait like any other; its next is read."""
    second = copied("second")
    daemon, _ = slowed(sluiced, openai, 2)
    names = ["first", "second", "third"]
    program = start("library", cgroup("two"), openai, [[item(name) for name in names]],
                    options={"libraries": [str(libssl()), str(second), str(second)]})
    assert check_held(daemon, openai, program, "first")["library"] == str(libssl())
    wait_for(lambda: daemon.queue() and len(program.events("sending")) == 2, 10,
             lambda: f"the second one waits: {daemon.flows()}\n{daemon.log_text()}\n{program.events()}\n{program.errors()}")
    assert openai.row("second") is None
    assert check_held(daemon, openai, program, "third")["library"] == str(second)
    check_arrived(openai, program, names)


def test_fork(openai, cgroup, sluiced):
    """A child that was forked without exec, on its parent's connection and on one of its own."""
    names = ["parent", "inherited", "own"]
    daemon, since = slowed(sluiced, openai, 2)
    program = start("fork", cgroup("fork"), openai, [[item(name) for name in names]], options={"steps": True})
    first = check_held(daemon, openai, program, "parent")
    [forked] = wait_for(lambda: program.events("forked"), 10, "it has forked")
    wait_for(lambda: f"process {forked['pid']}:" in daemon.log_text(), 5, "the child has got its probes")
    step(program, 1)
    second = held(daemon, openai, "inherited")
    assert (second["id"], second["requests"]) == (first["id"], 2), "it is another connection"
    assert held(daemon, openai, "own")["pid"] == forked["pid"] != program.pid
    check_arrived(openai, program, names)
    assert daemon.status()["opaque"] == 0, daemon.log_text()


def test_fork_and_send(openai, cgroup, sluiced):
    """A child that sends before it has got probes of its own: that may not be understood, but it has to wait."""
    names = ["parent", "inherited", "own"]
    daemon, since = slowed(sluiced, openai, 2)
    program = start("fork", cgroup("fork"), openai, [[item(name) for name in names]])
    costs = []
    for name in names:
        [waiting] = wait_for(lambda: [one for one in daemon.queue() if one["request"] not in [r for r, _ in costs]],
                             10, lambda: f"{name} waits: {daemon.flows()}\n{daemon.log_text()}")
        assert openai.row(name) is None, f"the server saw {name} while it was held"
        costs.append((waiting["request"], waiting["cost"]))
    rows = check_arrived(openai, program, names)
    for number, row in enumerate(rows):
        due = since + 2 + sum(cost for _, cost in costs[:number + 1]) / FILL
        assert -0.1 <= row["t"] - due <= 1, f"{row['test_id']} came {row['t'] - due:+.2f} s from when it was due"


def test_exec(openai, cgroup, sluiced):
    """A process that becomes another program, with another TLS library, under the same pid."""
    daemon, _ = slowed(sluiced, openai, 2)
    second = temporary_folder("second")
    body = second / "body"
    body.write_text(CONTENT.join(('{"model": "after", "messages": [{"role": "user", "content": "', '"}]}')))
    curl = ["curl", "-sS", "--http1.1", "--cacert", openai.ca, "--resolve", f"{HOST}:{openai.port}:127.0.0.1",
            "-H", "X-Test-Id: after", "-H", "Authorization: Bearer sk-e2e", "-H", "Content-Type: application/json",
            "--data-binary", f"@{body}", "-o", str(second / "answer"),
            f"https://{HOST}:{openai.port}/v1/chat/completions"]
    program = start("exec", cgroup("exec"), openai, item("before"), options={"then": curl})
    check_held(daemon, openai, program, "before", comm="python3")
    check_held(daemon, openai, program, "after", comm="curl")
    check_arrived(openai, program, ["before"])
    assert program.process.returncode == 0, program.errors()
    assert openai.row("after")["body_bytes"] == body.stat().st_size


def test_library_replaced(openai, cgroup, sluiced):
    """An upgrade replaces the library's file: who has the old one goes on with it, who starts gets the new one."""
    path = copied("upgraded")
    daemon, _ = slowed(sluiced, openai, 2)
    options = {"libraries": [str(path)] * 2, "steps": True}
    old = start("library", cgroup("old"), openai, [[item("old-1"), item("old-2")]], options=options)
    check_held(daemon, openai, old, "old-1")
    copied("new").replace(path)  # as dpkg does it: another file, renamed over it
    step(old, 1)
    check_held(daemon, openai, old, "old-2")
    new = start("library", cgroup("new"), openai, item("new"), options=options)
    check_held(daemon, openai, new, "new", library=str(path))
    check_arrived(openai, old, ["old-1", "old-2"])
    check_arrived(openai, new, ["new"])


def test_mounted_library(openai, cgroup, sluiced):
    """In a mount namespace of its own, the library's usual path is another file than elsewhere on the host."""
    daemon, _ = slowed(sluiced, openai, 2)
    prefix = ("unshare", "--mount", "sh", "-c", 'mount --bind "$0" "$1" && shift && exec "$@"', copied("bound"),
              libssl())
    program = start("requests", cgroup("mount"), openai, item("mounted"), prefix=prefix)
    check_held(daemon, openai, program, "mounted")
    check_arrived(openai, program, ["mounted"])


def small_root(*programs):
    """A folder with copies of those programs and their libraries, to change the root to."""
    root = temporary_folder("root")
    files = set()
    for name in programs:
        path = shutil.which(name)
        listed = subprocess.run(["ldd", path], capture_output=True, text=True, check=True, timeout=20).stdout
        files |= {path, *re.findall(r"(/\S+) \(0x", listed)}
    for file in files:
        copy = root / file.lstrip("/")
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, copy)
    return root


def test_chroot(openai, cgroup, sluiced):
    """A program in another root, with libraries whose paths mean nothing outside of it."""
    daemon, _ = slowed(sluiced, openai, 2)
    shared = temporary_folder("shared").parent  # where a program's body and answer are
    root = small_root("curl")
    inside = root / str(shared).lstrip("/")
    inside.mkdir(parents=True)
    prefix = ("unshare", "--mount", "sh", "-c", 'mount --bind "$1" "$2" && shift 2 && exec chroot "$0" "$@"', root,
              shared, inside)
    program = start("curl", cgroup("chroot"), openai, item("chroot"), prefix=prefix)
    check_held(daemon, openai, program, "chroot", comm="curl")
    check_arrived(openai, program, ["chroot"])


def retransmissions(netns):
    """What that network namespace's kernel has sent again since it was made."""
    answer = subprocess.run([*netns.prefix, "nstat", "-asz", "TcpRetransSegs", "TcpExtTCPTimeouts"],
                            capture_output=True, text=True, check=True, timeout=10).stdout
    return {name: int(value) for name, value in re.findall(r"^(Tcp\w+)\s+(\d+)", answer, re.M)}


@pytest.fixture
def container():
    """(its id, its cgroup), as systemd and Docker make them."""
    identity = os.urandom(32).hex()
    with Cgroup("docker") as parent, Cgroup(f"docker-{identity}.scope", parent) as group:
        yield identity, group


@pytest.mark.parametrize("name", ["requests", "node-https"])
def test_container(name, container, sluiced):
    """A program in pid, mount, network and user namespaces of its own, whose server is in that network."""
    identity, group = container
    with Namespace() as netns, Openai(netns=netns.name) as openai:
        daemon, since = in_namespace(netns, sluiced, openai)
        prefix = (*netns.prefix, "unshare", "--user", "--map-root-user", "--pid", "--fork", "--kill-child",
                  "--mount", "--mount-proc")
        program = start(name, group, openai, item("inside"), prefix=prefix)
        flow = held(daemon, openai, "inside")
        pids = (group.folder / "cgroup.procs").read_text().split()
        assert flow["pid"] != program.pid and str(flow["pid"]) in pids, "it is not the pid that the host knows it by"
        assert (flow["container"], flow["cgroup"], flow["host"]) == (identity, group.path, HOST)
        begin = time.time()
        [row] = check_arrived(openai, program, ["inside"])
        late = row["t"] - since - 2 - row["charged"] / FILL
        sockets = [tcp_info(line) for line in ss(f"dport = :{openai.port}", netns=netns.name)]
        again = retransmissions(netns)
        print(f"{name} in a container: held for {row['t'] - begin:.2f} s more, came {late:+.2f} s from when it was "
              f"due; {again}")
        assert -0.1 <= late <= 1
        assert again == {"TcpRetransSegs": 0, "TcpExtTCPTimeouts": 0}, f"segments were repeated: {sockets}"


def in_namespace(netns, sluiced, openai):
    """As slowed(), with a server that only programs of that network namespace reach."""
    daemon = sluiced(policy(openai.port, f"limits:\n- {{ name: all, key: [], tpm: {FILL * 60} }}\n"))
    with Cgroup("filler") as group:
        filler = chat("filler", content="x" * 20, max_tokens=FILL * 62 - 8)
        start("curl", group, openai, filler, prefix=netns.prefix).done()
    return daemon, openai.row("filler")["t"]
