"""Opens the small files of a model directory: only those that belong to it, and only in bounds.

A link is followed inside the model directory, and in the Hugging Face hub cache from
`snapshots/<revision>` to the `blobs` beside it; anywhere else it is refused.
"""

import json
from pathlib import Path

from engine_svc.core.errors import StartupError
from engine_svc.core.models.config_values import Json
from steeple_rpc.lfs import is_pointer, pointers_told

MAX_CONFIG_BYTES = 1 << 20
MAX_INDEX_BYTES = 16 << 20
"""What a hostile file may grow to in memory is some 25 times as much."""


def read_json(directory: Path, name: str, *, max_bytes: int = MAX_CONFIG_BYTES) -> Json:
    """A JSON object from a file of the model.

    Raises:
        StartupError: there is none; the message names the file.
    """
    path = own_file(directory, name)
    try:
        if (size := path.stat().st_size) > max_bytes:
            raise StartupError(f"{name}: has {size} bytes; at most {max_bytes} are read")
        value = json.loads(path.read_bytes())
    except OSError as error:
        raise StartupError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise StartupError(f"{path} is not JSON: fetch the file again") from error
    if not isinstance(value, dict):
        raise StartupError(f"{path} is not a JSON object")
    return value


def own_file(directory: Path, name: str) -> Path:
    """The file of that name, if it belongs to the model; links are followed once, here.

    Raises:
        StartupError: there is none, it is a link to somewhere else, or Git LFS has not fetched it.
    """
    root = directory.resolve()
    # The blobs have names of their own: messages keep the model's.
    path = root / name
    target = path.resolve()
    if not target.is_file():
        raise StartupError(f"{name}: there is no such file in the model directory: fetch it again")
    if not any(target.is_relative_to(home) for home in _homes(root)):
        raise StartupError(f"{name}: is a link that leaves the model directory: copy the file")
    if is_pointer(target):
        raise StartupError(pointers_told([name], directory))
    return path


def _homes(root: Path) -> tuple[Path, ...]:
    """Where a model's files may lie."""
    if root.parent.name == "snapshots":
        return root, root.parent.parent / "blobs"
    return (root,)
