"""Python's ssl and a socket: a connection for each lane. Options of the plan, besides those of connection.py:

    steps   a lane waits before each request but its first, as at the beginning of a plan that says wait
"""
from connection import connect, exchange
from plan import Plan

plan = Plan()


def lane(items):
    tls = connect(plan)
    for number, item in enumerate(items):
        if number and plan.options.get("steps"):
            plan.wait_for_word()
        exchange(plan, tls, item)


plan.in_threads(lane)
