"""A host beyond this machine, as a container sees one: a network namespace with one open port."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

NAME = "steepletest"
NEAR, FAR = "198.51.100.1", "198.51.100.2"
"""Of a range that is nobody's."""
PORT = 8080
_LISTEN = (
    "import socket\n"
    f"with socket.create_server(('{FAR}', {PORT})) as listening:\n"
    "    print('listening', flush=True)\n"
    "    while True:\n"
    "        listening.accept()[0].close()\n"
)


@contextmanager
def far_host() -> Iterator[str]:
    """Its HOST:PORT, for the block; skips where no namespace can be made."""
    try:
        _ip("netns", "add", NAME)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs `ip netns add` (root, iproute2)")
    try:
        _connect()
        yield from _listening()
    finally:
        # Its end of the link, and so the link, goes with it.
        _ip("netns", "del", NAME)


def _connect() -> None:
    """A link to it, and its way back."""
    _ip("link", "add", NAME, "type", "veth", "peer", "name", "far", "netns", NAME)
    _ip("address", "add", f"{NEAR}/30", "dev", NAME)
    _ip("link", "set", NAME, "up")
    _ip("-n", NAME, "address", "add", f"{FAR}/30", "dev", "far")
    _ip("-n", NAME, "link", "set", "far", "up")
    _ip("-n", NAME, "route", "add", "default", "via", NEAR)


def _listening() -> Iterator[str]:
    command = ["ip", "netns", "exec", NAME, sys.executable, "-c", _LISTEN]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "listening\n"
            yield f"{FAR}:{PORT}"
        finally:
            process.kill()


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)
