"""Why nobody can listen at an address, found by trying; gRPC tells only that it is so."""

import errno
import os
import socket
from contextlib import suppress
from pathlib import Path

from steeple_rpc.address import UNIX, host_of

MAX_SOCKET_PATH_BYTES = 107
"""Of a Unix socket on Linux."""
_UNKNOWN = "the address is in use or not ours"
_WHY = {
    errno.EADDRINUSE: "another process listens there: end it, or choose another port",
    errno.EACCES: "ports below 1024 need a privilege: choose one from 1024 on",
    errno.EADDRNOTAVAIL: "this machine does not have that address: take one of its own",
}


def bind_problem(listen: str) -> str:
    """What hinders whoever wants to listen there, and the remedy.

    Args:
        listen: HOST:PORT of this form, or unix:PATH.
    """
    if listen.startswith(UNIX):
        return _path_problem(Path(listen.removeprefix(UNIX)))
    host, port = host_of(listen), int(listen.rpartition(":")[2])
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, kind, protocol, _, address in found:
            with socket.socket(family, kind, protocol) as tried:
                tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                tried.bind(address)
    except OSError as error:
        return problem_of(error)
    return _UNKNOWN


def problem_of(error: OSError) -> str:
    """What a failed bind means, and the remedy."""
    if isinstance(error, socket.gaierror):
        return "there is no host of that name"
    with suppress(KeyError):
        return _WHY[error.errno or 0]
    return error.strerror or _UNKNOWN


def _path_problem(path: Path) -> str:
    if (size := len(os.fsencode(path))) > MAX_SOCKET_PATH_BYTES:
        return f"the path has {size} bytes; a socket's may have {MAX_SOCKET_PATH_BYTES}"
    if not path.parent.is_dir():
        return f"there is no directory {path.parent}: make it"
    if path.exists() and not path.is_socket():
        return "there is a file that is no socket: remove it"
    if not os.access(path.parent, os.W_OK | os.X_OK):
        return f"the directory {path.parent} cannot be written: choose one that can"
    return _UNKNOWN
