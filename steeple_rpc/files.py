"""Small files that settings name: read whole, bounded, and seen to change."""

from pathlib import Path

from steeple_rpc.refused import SettingRefused

Stamp = tuple[int, int, int] | None


def read_text(path: Path, max_bytes: int) -> str:
    """The whole file.

    Raises:
        SettingRefused: it is missing, unreadable, not UTF-8 or longer than `max_bytes`; the
            message says which, without the path.
    """
    try:
        with path.open("rb") as file:
            data = file.read(max_bytes + 1)
    except OSError as error:
        raise SettingRefused(error.strerror or "it cannot be read") from error
    if len(data) > max_bytes:
        raise SettingRefused(f"it has more than {max_bytes} bytes")
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise SettingRefused("it is not UTF-8") from None


def stamp_of(path: Path) -> Stamp:
    """What differs when the file does; None if there is none to see."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size
