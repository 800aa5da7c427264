"""Python's ssl and a socket, for what no HTTP library lets one choose. Options of the plan:

    pieces            writes of which each request consists, headers and body alike; default 1
    user_timeout_ms   TCP_USER_TIMEOUT of the socket
"""
import http.client
import json
import socket
import ssl

from plan import HOST, LOOPBACK, Attempt, Plan

plan = Plan()
context = ssl.create_default_context(cafile=plan.ca)


def connect():
    tcp = socket.create_connection((LOOPBACK[plan.family], plan.port))
    tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if milliseconds := plan.options.get("user_timeout_ms"):
        tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)
    return context.wrap_socket(tcp, server_hostname=HOST)


def whole(item, body):
    headers = {"Host": f"{HOST}:{plan.port}", "Content-Type": "application/json", "Content-Length": len(body),
               **plan.headers(item)}
    head = f"{item['method']} {item['path']} HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in headers.items())
    return head.encode() + b"\r\n" + body


def lane(items):
    tls = connect()
    for item in items:
        with Attempt(item) as attempt:
            body = json.dumps(item["body"]).encode()
            data = whole(item, body)
            size = -(-len(data) // plan.options.get("pieces", 1))
            attempt.sending(body)
            for begin in range(0, len(data), size):
                tls.sendall(data[begin:begin + size])
            answer = http.client.HTTPResponse(tls, method=item["method"])
            answer.begin()
            attempt.done(answer.status, answer.read())


plan.in_threads(lane)
