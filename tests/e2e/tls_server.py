"""A provider that is a Python program: http.server over the ssl module, and so with the TLS library of the Python
clients beside it. tls_server.py CERT KEY. The first line of stdout is its port; then a line of JSON for each
request: {"test_id", "t", "body_sha256"}.
"""
import hashlib
import json
import ssl
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ANSWER = json.dumps({"object": "chat.completion", "choices": [], "usage": {
    "prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}}).encode()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        row = {"test_id": self.headers["X-Test-Id"], "t": time.time(), "body_sha256": hashlib.sha256(body).hexdigest()}
        sys.stdout.write(json.dumps(row) + "\n")
        sys.stdout.flush()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", len(ANSWER))
        self.end_headers()
        self.wfile.write(ANSWER)

    def log_message(self, *_):
        pass


def main():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*sys.argv[1:3])
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    # The handshake is the connection's thread's, with its first read.
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    print(server.server_port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
