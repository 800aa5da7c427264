"""The host under test: its cgroups, what is in its kernel, and waiting for what happens on it."""
import atexit
import functools
import itertools
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import time

POLL_S = 0.01


def wait_for(predicate, timeout, what):
    """The first true value of predicate(); an AssertionError that says what did not happen. what: text, or a
    function that makes it when it is needed."""
    deadline = time.monotonic() + timeout
    while not (value := predicate()):
        assert time.monotonic() < deadline, f"not within {timeout} s: {what() if callable(what) else what}"
        time.sleep(POLL_S)
    return value


@functools.cache
def _temporary_root():
    # Not /tmp itself, so that everything of a run goes at once. Other users may look for the CA in it.
    root = tempfile.mkdtemp(prefix="sluice-e2e-")
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    os.chmod(root, 0o755)
    return root


def temporary_folder(name):
    """A new folder that is gone after the run."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix=f"{name}-", dir=_temporary_root()))
    folder.chmod(0o755)
    return folder


def end(process, timeout=10):
    """Ends a child of this process for certain."""
    if process.poll() is None:
        process.kill()
    process.wait(timeout)


@functools.cache
def cgroup_mount():
    for line in open("/proc/mounts", encoding="ascii"):
        _, path, kind, *_ = line.split()
        if kind == "cgroup2":
            return pathlib.Path(path)
    raise AssertionError("cgroup v2 is not mounted: mount -t cgroup2 none /sys/fs/cgroup")


def bpftool(*arguments):
    """What it prints, without the errors of cgroups that came and went while it looked."""
    answer = subprocess.run(["bpftool", "-j", *arguments], capture_output=True, text=True, timeout=30,
                            env={**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin"})
    return json.loads(answer.stdout or "[]")


def left_in_kernel(ids):
    """Which of ids the kernel still has, as bpftool's prog, link, map and cgroup tree show it."""
    left = {(kind, entry["id"]) for kind in ids for entry in bpftool(kind, "show") if entry.get("id") in ids[kind]}
    for cgroup in bpftool("cgroup", "tree", str(cgroup_mount())):
        if isinstance(cgroup, dict):
            left |= {("cgroup", p["id"]) for p in cgroup.get("programs", ()) if p["id"] in ids["prog"]}
    return left


class Cgroup:
    """A cgroup to run programs in. Its name is unique, or it is exactly that within a parent; .path is what a
    policy calls it."""

    numbers = itertools.count(1)

    def __init__(self, name, parent=None):
        self.path = f"{parent.path}/{name}" if parent else f"/sluice-e2e-{os.getpid()}-{next(self.numbers)}-{name}"
        self.folder = cgroup_mount() / self.path[1:]
        self.folder.mkdir()
        self.children = []

    def run(self, argv, **popen):
        """A Popen of argv in this cgroup; its pid is the program's."""
        child = subprocess.Popen(["sh", "-c", 'echo $$ > "$0" && exec "$@"', self.folder / "cgroup.procs",
                                  *map(str, argv)], **popen)
        self.children.append(child)
        return child

    def remove(self):
        (self.folder / "cgroup.kill").write_text("1")
        for child in self.children:
            end(child)
        wait_for(lambda: not (self.folder / "cgroup.procs").read_text(), 10, f"{self.path} is empty")
        self.folder.rmdir()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.remove()
