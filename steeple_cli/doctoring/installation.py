"""What is installed here: Python, Steeple, and the libraries of each extra."""

import platform
import sys
from collections.abc import Iterator
from importlib import metadata

from steeple_cli.doctoring.finding import Finding, fail, ok, warn
from steeple_rpc.extras import install_command, missing_extra
from steeple_rpc.version import steeple_version

_OLDEST, _TOO_NEW = (3, 11), (3, 13)
_LIBRARIES = ("torch", "ibm-fms", "tokenizers", "torch_sendnn")
_NEEDED_BY = {"engine": "serving a model", "tokenizer": "reading texts"}


def look_at_installation() -> Iterator[Finding]:
    """Versions, and what is missing."""
    python = platform.python_version()
    if _OLDEST <= sys.version_info[:2] < _TOO_NEW:
        yield ok("python", f"Python {python}, Steeple {steeple_version()}", python=python)
    else:
        yield fail("python", f"Python {python}", "ibm-fms needs Python 3.11 or 3.12: use one")
    held = {name: version for name in _LIBRARIES if (version := _version(name))}
    told = ", ".join(f"{name} {version}" for name, version in held.items())
    yield ok("libraries", told or "none of those that serve a model", **held)
    for extra, needed_by in _NEEDED_BY.items():
        if missing := missing_extra(extra, needed_by=needed_by):
            yield warn("libraries", missing.partition(": pip")[0], install_command(extra))


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""
