"""Sends a file as it is over TLS, and reads until the server has said all. Its only request stands for the file.
Options of the plan:

    file        what is sent
    protocols   what is offered by ALPN
    pause       waits, as at the beginning of a plan that says wait, when all is sent
    close       says that it sends no more (close_notify) when all is sent
"""
import ssl

from connection import connect
from plan import Attempt, Plan

PIECE_BYTES = 1 << 16

plan = Plan()
[[item]] = plan.lanes
tls = connect(plan, plan.options.get("protocols", ()))
with Attempt(item) as attempt:
    with open(plan.options["file"], "rb") as f:
        data = f.read()
    attempt.sending(data)
    for begin in range(0, len(data), PIECE_BYTES):
        tls.sendall(data[begin:begin + PIECE_BYTES])
    if plan.options.get("pause"):
        plan.wait_for_word()
    if plan.options.get("close"):
        tls = tls.unwrap()
    answer = bytearray()
    try:
        while piece := tls.recv(PIECE_BYTES):
            answer += piece
    except ssl.SSLEOFError:
        pass
    attempt.done(None, bytes(answer))
