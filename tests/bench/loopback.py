"""For a client that finds every name on this host, where the imitation of the OpenAI API listens."""
import socket


def put_names_on_loopback():
    look_up = socket.getaddrinfo
    socket.getaddrinfo = lambda host, *rest, **options: look_up("127.0.0.1", *rest, **options)
