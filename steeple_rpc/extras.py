"""What an installation may lack, and the command that brings it."""

from collections.abc import Mapping, Sequence
from importlib.util import find_spec

EXTRAS: Mapping[str, Sequence[str]] = {
    "charts": ("matplotlib",),
    "engine": ("fms", "msgspec", "numpy", "safetensors", "torch"),
    "tokenizer": ("jinja2", "tokenizers"),
}
"""The modules that each extra of pyproject.toml brings itself; looked for, never imported here."""


def missing_extra(extra: str, *, needed_by: str) -> str | None:
    """Why `needed_by` cannot work in this installation, with the remedy; None = it can.

    Args:
        extra: its name in pyproject.toml, one of EXTRAS.
        needed_by: what a person asked for, to begin the sentence with.
    """
    missing = [module for module in EXTRAS[extra] if find_spec(module) is None]
    if not missing:
        return None
    lacking = " and ".join(missing)
    return f"{needed_by} needs {lacking}, not installed here: {install_command(extra)}"


def install_command(extra: str) -> str:
    """What brings an extra, from an index or from a checkout."""
    return f"pip install 'steeple[{extra}]' (in a checkout: '.[{extra}]')"
