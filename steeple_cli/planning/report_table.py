"""The figures of several policies side by side, for people."""

from collections.abc import Callable, Mapping
from typing import Final

from steeple_cli.load.percentiles import Percentiles
from steeple_cli.planning.figures import Figures
from steeple_cli.showing.columns import aligned

_Cell = Callable[[Figures], str]


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _pause(seconds: float, share: float | None) -> str:
    return "-" if share is None else f"{seconds:.2f} ({share:.1%})"


def _time(name: str, times: Callable[[Figures], Percentiles | None]) -> dict[str, _Cell]:
    """A row for each percentile of a time."""

    def row(percentile: Callable[[Percentiles], float]) -> _Cell:
        return lambda f: "-" if (found := times(f)) is None else f"{percentile(found):.3f}"

    return {
        f"{name}, p50 s": row(lambda found: found.p50),
        f"{name}, p90 s": row(lambda found: found.p90),
        f"{name}, p99 s": row(lambda found: found.p99),
    }


_ROWS: Final[Mapping[str, _Cell]] = {
    "requests finished": lambda f: str(f.counts.num_finished),
    "requests refused": lambda f: str(f.counts.num_refused),
    "steps (with prompts)": lambda f: f"{f.counts.num_steps} ({f.counts.num_prompt_steps})",
    "span s": lambda f: _number(f.counts.span_s),
    "requests/s": lambda f: _number(f.rates.requests_per_s),
    "prompt tokens/s": lambda f: _number(f.rates.prompt_tokens_per_s),
    "output tokens/s": lambda f: _number(f.rates.output_tokens_per_s),
    "busy": lambda f: _share(f.use.busy_share),
    "seats in use, mean": lambda f: _number(f.use.mean_seats),
    "decodes per step, mean": lambda f: _number(f.use.mean_decodes),
    **_time("queue", lambda f: f.latencies.queue_s),
    **_time("TTFT", lambda f: f.latencies.ttft_s),
    **_time("ITL", lambda f: f.latencies.itl_s),
    **_time("total", lambda f: f.latencies.total_s),
    "prompt padding": lambda f: _share(f.waste.prompt_padding),
    "decode padding": lambda f: _share(f.waste.decode_padding),
    "paused by limit, request s": lambda f: _pause(f.pauses.limit_s, f.pauses.limit_share),
    "paused by prompts, request s": lambda f: _pause(f.pauses.prompt_s, f.pauses.prompt_share),
    "paused by preemption, request s": lambda f: _pause(
        f.pauses.preemption_s, f.pauses.preemption_share
    ),
    "preemptions": lambda f: str(f.counts.num_preemptions),
    "prompt tokens from cache": lambda f: (
        f"{f.spared.num_cached_tokens} ({_share(f.spared.cached_share)})"
    ),
    "prompt tokens recomputed": lambda f: str(f.waste.num_recomputed_tokens),
    "KV blocks, peak": lambda f: f"{f.use.peak_blocks} of {f.use.num_blocks}",
}


def figures_table(figures: Mapping[str, Figures]) -> str:
    """One line per figure, one column per policy."""
    rows = [[name, *(cell(f) for f in figures.values())] for name, cell in _ROWS.items()]
    return aligned([["", *figures], *rows])
