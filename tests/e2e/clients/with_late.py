"""Like with_sockets.py, but the process has no TLS library before it goes on: Python loads it with dlopen(3)."""
from plan import Plan

plan = Plan()

from connection import connect, exchange  # noqa: E402, it is what loads the library

for item in plan.lanes[0]:
    exchange(plan, connect(plan), item)
