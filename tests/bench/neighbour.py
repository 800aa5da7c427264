"""What Sluice's probes cost a connection that is none of its business, in a process that has one that is.

A TLS connection in memory, both ends in this process, so that nothing but the library is measured:
writes of a byte before the process calls a governed host, and after. Prints ns per write as JSON.

    neighbour.py --governed URL --ca FILE --cert FILE --key FILE
"""
import argparse
import json
import ssl
import statistics
import time

import requests

from loopback import put_names_on_loopback

ROUNDS, WRITES = 9, 2000


class MemoryConnection:
    def __init__(self, ca, cert, key):
        server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server_context.load_cert_chain(cert, key)
        to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.wire = to_server
        self.client = ssl.create_default_context(cafile=ca).wrap_bio(
            to_client, to_server, server_hostname="localhost")
        self.server = server_context.wrap_bio(to_server, to_client, server_side=True)
        ends = [self.client, self.server]
        for end in ends * 3:  # a handshake is done in fewer turns
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                pass

    def ns_per_write(self):
        begin = time.perf_counter_ns()
        for _ in range(WRITES):
            self.client.write(b"x")
        taken = time.perf_counter_ns() - begin
        self.wire.read()
        return taken / WRITES


def measure(connection):
    return statistics.median(connection.ns_per_write() for _ in range(ROUNDS))


def main():
    parser = argparse.ArgumentParser()
    for name in ("governed", "ca", "cert", "key"):
        parser.add_argument(f"--{name}", required=True)
    options = parser.parse_args()
    put_names_on_loopback()
    connection = MemoryConnection(options.ca, options.cert, options.key)
    before = measure(connection)
    session = requests.Session()
    session.get(options.governed, verify=options.ca, timeout=60)
    after = measure(connection)
    print(json.dumps({"before_ns": before, "after_ns": after}))


if __name__ == "__main__":
    main()
