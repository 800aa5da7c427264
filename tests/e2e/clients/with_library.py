"""OpenSSL without Python's ssl module: each request has a connection of its own, and a library file of its own,
which is loaded just before. Options of the plan:

    libraries   the paths of libssl, one for each request
    steps       waits before each request but its first
"""
import ctypes
import io

from connection import exchange, to_server
from plan import HOST, Plan

SSL_VERIFY_PEER = 1
SSL_CTRL_SET_TLSEXT_HOSTNAME = 55
POINTERS = ("TLS_client_method", "SSL_CTX_new", "SSL_new")


class Connection(io.RawIOBase):
    """TLS over a socket with a library that was loaded with dlopen(3)."""

    def __init__(self, plan, path):
        self.library = library = ctypes.CDLL(path)
        for name in POINTERS:
            getattr(library, name).restype = ctypes.c_void_p
        context = ctypes.c_void_p(library.SSL_CTX_new(ctypes.c_void_p(library.TLS_client_method())))
        assert library.SSL_CTX_load_verify_locations(context, plan.ca.encode(), None) == 1
        library.SSL_CTX_set_verify(context, SSL_VERIFY_PEER, None)
        self.tcp, self.ssl = to_server(plan), ctypes.c_void_p(library.SSL_new(context))
        library.SSL_ctrl(self.ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, ctypes.c_long(0), HOST.encode())
        library.SSL_set_fd(self.ssl, self.tcp.fileno())
        assert library.SSL_connect(self.ssl) == 1, "the handshake failed"

    def sendall(self, data):
        if self.library.SSL_write(self.ssl, bytes(data), len(data)) != len(data):
            raise ConnectionError("SSL_write failed")

    def readable(self):
        return True

    def readinto(self, buffer):
        begin = (ctypes.c_char * len(buffer)).from_buffer(buffer)
        read = self.library.SSL_read(self.ssl, begin, len(buffer))
        if read < 0:
            raise ConnectionError("SSL_read failed")
        return read

    def makefile(self, *_):
        return io.BufferedReader(self)


plan = Plan()
# A connection that nobody needs any more would be closed by the garbage collector: they all stay open.
connections = []
for number, item in enumerate(plan.lanes[0]):
    if number and plan.options.get("steps"):
        plan.wait_for_word()
    connections.append(Connection(plan, plan.options["libraries"][number]))
    exchange(plan, connections[-1], item)
