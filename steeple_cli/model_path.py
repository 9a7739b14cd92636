"""Where a model's files are: a directory, or an org/name that the local hub cache has."""

import os
from pathlib import Path


class ModelNotFound(Exception):
    """There are no files under this name; the message says what to do."""


def find_model(model: str | None) -> Path:
    """The directory of a model; the demo model for None. Nothing is ever downloaded.

    Raises:
        ModelNotFound: neither a directory nor in the cache.
    """
    if model is None:
        from steeple_demo import model_dir  # noqa: PLC0415 - only when it is wanted

        return model_dir()
    directory = Path(model).expanduser()
    # An empty name would be the current directory: an unset variable is no choice.
    if model and directory.is_dir():
        return directory.resolve()
    cached = _cached(model)
    if cached is None:
        raise ModelNotFound(
            f"no model at {model or 'an empty name'}: pass a directory, or an org/name that the hub"
            f" cache {_cache_root()} has (nothing is downloaded)"
        )
    return cached


def name_of(model: str, directory: Path) -> str:
    """How a model is called on the wire: its directory's name, or the name within its org."""
    is_directory = Path(model).expanduser().is_dir()
    return directory.name if is_directory else model.rpartition("/")[2]


def _cached(name: str) -> Path | None:
    """The newest snapshot of main in the hub cache."""
    if name.count("/") != 1 or name.startswith((".", "/")):
        return None
    repository = _cache_root() / f"models--{name.replace('/', '--')}"
    reference = repository / "refs" / "main"
    if not reference.is_file():
        return None
    snapshot = repository / "snapshots" / reference.read_text().strip()
    return snapshot if snapshot.is_dir() else None


def _cache_root() -> Path:
    """As the hub's own library finds it."""
    if given := os.environ.get("HF_HUB_CACHE"):
        return Path(given).expanduser()
    home = os.environ.get("HF_HOME", "~/.cache/huggingface")
    return Path(home).expanduser() / "hub"
