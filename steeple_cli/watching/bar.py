"""The blocks of a KV cache as a bar: used, cached, free."""

from rich.text import Text

from steeple_client import EngineWork

WIDTH = 16
_USED, _CACHED, _FREE = "█", "▒", "·"


def blocks_bar(work: EngineWork) -> Text:
    """A bar and what it means: "█████▒▒▒········  31% + 19% of 2,048"."""
    total = work.num_total_blocks
    if not total:
        return Text("-")
    used, cached = work.num_used_blocks, work.num_cached_blocks
    num_used = _cells(used, total)
    num_cached = min(_cells(cached, total), WIDTH - num_used)
    bar = Text(_USED * num_used, style="green" if used < total else "red")
    bar.append(_CACHED * num_cached, style="cyan")
    bar.append(_FREE * (WIDTH - num_used - num_cached), style="dim")
    bar.append(f" {used / total:.0%}+{cached / total:.0%} of {total:,}", style="default")
    return bar


def _cells(part: int, total: int) -> int:
    """At least one cell where there is anything."""
    return min(WIDTH, -(-part * WIDTH // total))
