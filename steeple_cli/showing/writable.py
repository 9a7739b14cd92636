"""Whether a file can be written, told before the work whose result it is to hold."""

import os
from pathlib import Path


def why_unwritable(path: Path) -> str | None:
    """Why nothing can be written there, as far as can be told without writing; None = it can."""
    try:
        if path.is_dir():
            return "it is a folder"
        if not path.parent.is_dir():
            return "there is no such folder"
        place = path if path.exists() else path.parent
    except OSError as error:
        return error.strerror
    return None if os.access(place, os.W_OK) else "permission denied"
