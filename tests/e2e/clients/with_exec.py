"""A process that sends a request, and then becomes another program. Option of the plan: then, its command."""
import os

from connection import connect, exchange
from plan import Plan

plan = Plan()
for item in plan.lanes[0]:
    exchange(plan, connect(plan), item)
os.execvp(plan.options["then"][0], plan.options["then"])
