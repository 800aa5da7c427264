"""A server that takes whatever comes over TLS, without asking what it means, and says what it was.
sink_server.py CERT KEY QUIET_S ANSWER. The first line of stdout is its port; then a line of JSON for each connection
when its client has closed it or has been silent for QUIET_S, and then it is closed: {"sha256", "bytes",
"protocol" (by ALPN)}. When the first bytes of a connection have come it sends the file ANSWER, if that is not "".
"""
import hashlib
import json
import socketserver
import ssl
import sys

PIECE_BYTES = 1 << 16


class Handler(socketserver.BaseRequestHandler):
    def handle(self):
        connection = self.server.context.wrap_socket(self.request, server_side=True)
        digest, n = hashlib.sha256(), 0
        connection.settimeout(self.server.quiet_s)
        try:
            while piece := connection.recv(PIECE_BYTES):
                is_first = not n
                digest.update(piece)
                n += len(piece)
                for begin in range(0, len(self.server.answer) if is_first else 0, PIECE_BYTES):
                    connection.sendall(self.server.answer[begin:begin + PIECE_BYTES])
        except OSError:
            pass
        line = {"sha256": digest.hexdigest(), "bytes": n, "protocol": connection.selected_alpn_protocol()}
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()
        connection.close()


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True

    def handle_error(self, *_):
        pass


def main():
    with Server(("127.0.0.1", 0), Handler) as server:
        server.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.context.load_cert_chain(*sys.argv[1:3])
        server.context.set_alpn_protocols(["h2", "http/1.1"])
        server.quiet_s = float(sys.argv[3])
        server.answer = open(sys.argv[4], "rb").read() if sys.argv[4] else b""
        print(server.server_address[1], flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
