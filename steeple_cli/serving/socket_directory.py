"""Where the Unix sockets between the services are, while they run."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from steeple_rpc.bind_problem import MAX_SOCKET_PATH_BYTES
from steeple_rpc.refused import SettingRefused

_LONGEST_NAME = "tokenizer"


@contextmanager
def socket_directory() -> Iterator[Path]:
    """A directory of our own for the block.

    Raises:
        SettingRefused: none can be made, or its path would be too long for a socket's.
    """
    try:
        made = tempfile.TemporaryDirectory(prefix="steeple-")
    except OSError as error:
        raise SettingRefused(
            "no directory for the sockets between the services can be made in"
            f" {_wanted()}: {error.strerror}: free some space there, or set TMPDIR"
        ) from error
    with made as directory:
        path = Path(directory)
        if len(os.fsencode(path / _LONGEST_NAME)) > MAX_SOCKET_PATH_BYTES:
            raise SettingRefused(
                f"{path.parent} is too long for the path of a socket, which may have"
                f" {MAX_SOCKET_PATH_BYTES} bytes: set TMPDIR to a shorter one"
            )
        yield path


def _wanted() -> str:
    """Where it was tried; nowhere at all if no temporary directory can be written."""
    try:
        return tempfile.gettempdir()
    except OSError:
        return os.environ.get("TMPDIR") or "/tmp"  # noqa: S108 - only named
