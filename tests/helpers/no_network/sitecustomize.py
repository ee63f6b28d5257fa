"""Read by Python as it starts, where this folder is on PYTHONPATH: the network is refused, and each attempt printed.

What goes to this machine itself, as between the processes of torchrun, is let through.
"""

import socket
import sys

_connect, _connect_ex, _sendto, _getaddrinfo = (
    *(getattr(socket.socket, name) for name in ("connect", "connect_ex", "sendto")),
    socket.getaddrinfo,
)
_HERE = {None, "", "localhost", "127.0.0.1", "::1", "0.0.0.0", "::", socket.gethostname()}


def _refuse_elsewhere(address):
    host = address[0] if isinstance(address, tuple) else None  # of AF_UNIX the address is a path
    host = host.decode() if isinstance(host, bytes) else host
    if host not in _HERE:
        print(f"NETWORK ACCESS to {host}", file=sys.stderr, flush=True)
        raise OSError(f"no network in tests: {host}")


def connect(self, address):
    _refuse_elsewhere(address)
    return _connect(self, address)


def connect_ex(self, address):
    _refuse_elsewhere(address)
    return _connect_ex(self, address)


def sendto(self, data, *arguments):
    _refuse_elsewhere(arguments[-1])
    return _sendto(self, data, *arguments)


def getaddrinfo(host, *arguments, **named):
    _refuse_elsewhere((host,))
    return _getaddrinfo(host, *arguments, **named)


socket.socket.connect, socket.socket.connect_ex, socket.socket.sendto = connect, connect_ex, sendto
socket.getaddrinfo = getaddrinfo
