"""Where a model's files are: a directory, or an org/name that the local hub cache has."""

import os
from pathlib import Path

from steeple_cli.locating.hub_cache import MAIN, HubCache
from steeple_cli.locating.model_files import problem_of
from steeple_cli.locating.model_missing import ModelNotFound


def find_model(
    model: str | None, *, revision: str | None = None, hub_cache: Path | None = None
) -> Path:
    """The directory of a model; the demo model for None. Nothing is ever downloaded.

    Args:
        model: a directory, or an org/name.
        revision: of an org/name: a branch, tag or commit; None = main.
        hub_cache: where to look for an org/name; None = where the hub's library does.

    Raises:
        ModelNotFound: neither a directory nor in the cache, or parts of it are missing.
    """
    if model is None:
        from steeple_demo import model_dir  # noqa: PLC0415 - only when it is wanted

        return model_dir()
    directory = Path(model).expanduser()
    # An empty name would be the current directory: an unset variable is no choice.
    if model and directory.is_dir():
        return _whole(directory.resolve())
    cache = HubCache.found(os.environ) if hub_cache is None else HubCache(root=hub_cache)
    if _is_org_and_name(model) and cache.has(model):
        return cache.snapshot(model, revision or MAIN)
    raise ModelNotFound(_nowhere(model, cache))


def name_of(model: str, directory: Path) -> str:
    """How a model is called on the wire: its directory's name, or the name within its org."""
    is_directory = Path(model).expanduser().is_dir()
    return directory.name if is_directory else model.rpartition("/")[2]


def _whole(directory: Path) -> Path:
    if problem := problem_of(directory):
        raise ModelNotFound(problem)
    return directory


def _is_org_and_name(model: str) -> bool:
    return model.count("/") == 1 and not model.startswith((".", "/")) and ".." not in model


def _nowhere(model: str, cache: HubCache) -> str:
    near = cache.near(model)
    meant = f"did you mean {' or '.join(near)}, which it has?" if near else "it does not have it"
    return (
        f"no model at {model or 'an empty name'}: pass a directory, or an org/name that the hub"
        f" cache {cache.root} has (nothing is downloaded); {meant}"
    )
