"""Ports for processes that are told where to serve."""

import random
import socket
from pathlib import Path

_LEAST = 20_000
_DRAWN = random.SystemRandom()  # the one of `random` begins alike in every test and worker
_PICKED_BY_THE_KERNEL = Path("/proc/sys/net/ipv4/ip_local_port_range")
_USUAL = 32_768


def free_port() -> int:
    """A loopback port that nobody has now, and that the kernel gives to nobody who asks for any.

    The process that is told it binds it much later; until then others connect and bind port 0.
    """
    while True:
        port = _DRAWN.randrange(_LEAST, _end())
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def _end() -> int:
    if not _PICKED_BY_THE_KERNEL.exists():
        return _USUAL
    first = int(_PICKED_BY_THE_KERNEL.read_text().split()[0])
    return first if first > _LEAST else _USUAL
