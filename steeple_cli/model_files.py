"""Whether a directory holds a whole model, as far as its files' names tell; opens no weights."""

from collections.abc import Collection
from pathlib import Path

WEIGHT_SUFFIXES = frozenset(
    {".bin", ".ckpt", ".gguf", ".pickle", ".pkl", ".pt", ".pth", ".safetensors"}
)
"""Of all formats: which are served is the engine's to say."""
CONFIG = "config.json"

_POINTER = b"version https://git-lfs.github.com/spec/"
_MAX_POINTER_BYTES = 1024
_MAX_NAMED = 3


def missing_part(names: Collection[str]) -> str | None:
    """The first part of a model that is not among the files' names; None: it may be whole."""
    if CONFIG not in names:
        return CONFIG
    if not any(Path(name).suffix in WEIGHT_SUFFIXES for name in names):
        return "weights"
    return None


def pointer_files(directory: Path) -> list[str]:
    """Files that Git LFS has not fetched: only pointers to them are there."""
    return sorted(path.name for path in directory.iterdir() if _is_pointer(path))


def problem_of(directory: Path) -> str | None:
    """Why a model cannot be served from a directory, with the remedy; None: perhaps it can."""
    if pointers := pointer_files(directory):
        return (
            f"{_some(pointers)} in {directory} stands for a file that Git LFS has not fetched: run"
            f" `git -C {directory} lfs pull`"
        )
    if (directory / CONFIG).exists():
        # Which weights there must be depends on what runs them: the engine tells.
        return None
    return f"{directory} has no {CONFIG}: {_remedy(directory)}"


def _remedy(directory: Path) -> str:
    for inside in (f"*/{CONFIG}", f"snapshots/*/{CONFIG}"):
        if found := sorted(path.parent for path in directory.glob(inside)):
            return f"did you mean {found[0]}?"
    return "pass the directory of a whole model, as transformers' save_pretrained writes it"


def _is_pointer(path: Path) -> bool:
    try:
        if not path.is_file() or path.stat().st_size > _MAX_POINTER_BYTES:
            return False
        with path.open("rb") as file:
            return file.read(len(_POINTER)) == _POINTER
    except OSError:
        # Told by who needs the file.
        return False


def _some(names: list[str]) -> str:
    more = len(names) - _MAX_NAMED
    shown = ", ".join(names[:_MAX_NAMED])
    return f"each of {shown} and {more} more" if more > 0 else shown
