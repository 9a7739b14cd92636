"""Whether a directory holds a whole model, as far as its files' names tell; opens no weights."""

from collections.abc import Collection
from pathlib import Path

from steeple_rpc.lfs import is_pointer, pointers_told

WEIGHT_SUFFIXES = frozenset(
    {".bin", ".ckpt", ".gguf", ".pickle", ".pkl", ".pt", ".pth", ".safetensors"}
)
"""Of all formats: which are served is the engine's to say."""
CONFIG = "config.json"


def missing_part(names: Collection[str]) -> str | None:
    """The first part of a model that is not among the files' names; None: it may be whole."""
    if CONFIG not in names:
        return CONFIG
    if not any(Path(name).suffix in WEIGHT_SUFFIXES for name in names):
        return "weights"
    return None


def problem_of(directory: Path) -> str | None:
    """Why a model cannot be served from a directory, with the remedy; None: perhaps it can."""
    if pointers := sorted(path.name for path in directory.iterdir() if is_pointer(path)):
        return pointers_told(pointers, directory)
    if (directory / CONFIG).exists():
        # Which weights there must be depends on what runs them: the engine tells.
        return None
    return f"{directory} has no {CONFIG}: {_remedy(directory)}"


def _remedy(directory: Path) -> str:
    for inside in (f"*/{CONFIG}", f"snapshots/*/{CONFIG}"):
        if found := sorted(path.parent for path in directory.glob(inside)):
            return f"did you mean {found[0]}?"
    return "pass the directory of a whole model, as transformers' save_pretrained writes it"
