"""Files that Git LFS keeps elsewhere: where it has not fetched one, a short text points to it."""

from collections.abc import Sequence
from pathlib import Path

_POINTER = b"version https://git-lfs.github.com/spec/"
_MAX_POINTER_BYTES = 1024
_MAX_NAMED = 3


def is_pointer(path: Path) -> bool:
    """Whether the file is such a text; False where it cannot be read, which its reader tells."""
    try:
        if not path.is_file() or path.stat().st_size > _MAX_POINTER_BYTES:
            return False
        with path.open("rb") as file:
            return file.read(len(_POINTER)) == _POINTER
    except OSError:
        return False


def pointers_told(names: Sequence[str], directory: Path) -> str:
    """What such files of a directory are, at least one, and the remedy."""
    more = len(names) - _MAX_NAMED
    shown = ", ".join(names[:_MAX_NAMED])
    subject = f"each of {shown} and {more} more" if more > 0 else shown
    return (
        f"{subject} in {directory} stands for a file that Git LFS has not fetched: run"
        f" `git -C {directory} lfs pull`"
    )
