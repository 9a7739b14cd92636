"""Whether a picture can be drawn, told before the work that it is to show."""

from pathlib import Path

from steeple_cli.showing.writable import why_unwritable
from steeple_rpc.extras import missing_extra

_SUFFIXES = frozenset({".png", ""})


def why_undrawable(option: str, path: Path) -> str | None:
    """Why no PNG can be drawn there, as far as can be told without drawing; None = it can.

    Args:
        option: that asks for it, to be named.
        path: where; one whose name promises another kind of picture is none.
    """
    if (lacking := missing_extra("charts", needed_by=option)) is not None:
        return lacking
    if path.suffix.lower() not in _SUFFIXES:
        return f"{option} {path}: only PNG is drawn: name it {path.with_suffix('.png').name}"
    if (hindrance := why_unwritable(path)) is not None:
        return f"{option} {path} cannot be written: {hindrance}"
    return None
