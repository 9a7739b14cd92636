"""Which Steeple this is."""

from functools import cache
from importlib import metadata

UNKNOWN = "unknown"


@cache
def steeple_version() -> str:
    """The version of the installed package; "unknown" where only its files are there."""
    try:
        return metadata.version("steeple")
    except metadata.PackageNotFoundError:
        return UNKNOWN
