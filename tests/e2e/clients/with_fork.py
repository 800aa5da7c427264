"""A process that forks without exec, as servers that fork their workers do. Its three requests: the first is the
parent's; then it forks, and the child sends the second on the same connection and the third on one of its own.
It also tells {"event": "forked", "pid"}, the child's. Option of the plan: steps, the child waits before it sends.
"""
import json
import os

from connection import connect, exchange
from plan import Plan

plan = Plan()
[[before, inherited, own]] = plan.lanes
tls = connect(plan)
exchange(plan, tls, before)
child = os.fork()
if child:
    os.waitpid(child, 0)
else:
    os.write(1, (json.dumps({"event": "forked", "pid": os.getpid()}) + "\n").encode())
    if plan.options.get("steps"):
        plan.wait_for_word()
    exchange(plan, tls, inherited)
    exchange(plan, connect(plan), own)
