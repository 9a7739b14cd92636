"""Numbers as people read them."""

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
_STEP = 1024
_SMALL = 100


def bytes_text(num_bytes: float) -> str:
    """A size in the largest unit that leaves at least 1 of it: "512 B", "3.1 GiB"."""
    size, unit = float(num_bytes), 0
    while size >= _STEP and unit < len(_UNITS) - 1:
        size, unit = size / _STEP, unit + 1
    return f"{size:.1f} {_UNITS[unit]}" if unit else f"{size:.0f} B"


def seconds_text(seconds: float) -> str:
    """A time with as many digits as matter: "0.8 ms", "12 ms", "3.1 s", "5 min 7 s"."""
    if seconds < 0.01:  # noqa: PLR2004 - so do milliseconds change their form
        return f"{seconds * 1e3:.1f} ms"
    if seconds < 1:
        return f"{seconds * 1e3:.0f} ms"
    if seconds < 100:  # noqa: PLR2004 - and so do seconds
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s"


def number_text(number: float) -> str:
    """Thousands apart, one digit behind the point of small ones: "2", "0.5", "32,768"."""
    text = f"{number:,.1f}" if abs(number) < _SMALL else f"{number:,.0f}"
    return text.removesuffix(".0")
