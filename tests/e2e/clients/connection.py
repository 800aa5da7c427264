"""A TLS connection that is made and written to by hand, for what no HTTP library lets one choose."""
import http.client
import json
import socket
import ssl

from plan import HOST, LOOPBACK, Attempt


def to_server(plan):
    """A TCP connection to api.openai.com, for which TLS is to come. Option of the plan: user_timeout_ms, the
    TCP_USER_TIMEOUT of the socket."""
    tcp = socket.create_connection((LOOPBACK[plan.family], plan.port))
    tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if milliseconds := plan.options.get("user_timeout_ms"):
        tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)
    return tcp


def connect(plan, protocols=()):
    """A TLS connection. protocols: what it offers by ALPN (RFC 7301)."""
    context = ssl.create_default_context(cafile=plan.ca)
    if protocols:
        context.set_alpn_protocols(protocols)
    return context.wrap_socket(to_server(plan), server_hostname=HOST)


def whole(plan, item, body):
    """A request's bytes."""
    headers = {"Host": f"{HOST}:{plan.port}", "Content-Type": "application/json", "Content-Length": len(body),
               **plan.headers(item)}
    head = f"{item['method']} {item['path']} HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in headers.items())
    return head.encode() + b"\r\n" + body


def exchange(plan, connection, item):
    """Sends a request and reads its answer, and tells of both. Option of the plan: pieces, the writes of which the
    request consists, headers and body alike; default 1. connection: has sendall() and makefile()."""
    with Attempt(item) as attempt:
        body = json.dumps(item["body"]).encode()
        data = whole(plan, item, body)
        size = -(-len(data) // plan.options.get("pieces", 1))
        attempt.sending(body)
        for begin in range(0, len(data), size):
            connection.sendall(data[begin:begin + size])
        answer = http.client.HTTPResponse(connection, method=item["method"])
        answer.begin()
        attempt.done(answer.status, answer.read())
