"""Ports of this machine for servers that only this machine shall reach."""

import random
import socket

from stream.errors import Misconfigured

LOOPBACK = "127.0.0.1"
UNASSIGNED = range(20_000, 30_000)
"""Where free ports are looked for: below those that systems hand out to outgoing connections.

While a server is down, a client that tries to reach it again and again may be given the very
port that it calls, be connected to itself, and so keep the server from coming back.
"""


def is_free(port: int) -> bool:
    """Say whether a server could listen on a port now."""
    with socket.socket() as probe:
        # As servers do: connections of the one before, not quite closed yet, are no hindrance.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
            probe.listen()
        except OSError:
            return False
    return True


def free_port(first: int | None = None) -> int:
    """Find a port that nobody listens on.

    Args:
        first: Where to begin to look. Anywhere among the unassigned ones if not given.
    """
    if first is None:
        candidates = random.sample(UNASSIGNED, k=len(UNASSIGNED))
    else:
        candidates = [port for port in range(first, first + 100) if port < 1 << 16] or [*UNASSIGNED]
    for port in candidates:
        if is_free(port):
            return port
    raise Misconfigured(f"No free port was found on {LOOPBACK}.")


def require_free(port: int, name: str) -> None:
    """Refuse a port that is taken, and name one that is not."""
    if not is_free(port):
        option = f"--{name.lower()}-port {free_port(port + 1)}"
        raise Misconfigured(
            f"{name} cannot listen on {LOOPBACK}:{port}, the port is taken."
            f" End what listens there, or choose another port ({option})."
        )
