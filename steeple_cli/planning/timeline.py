"""A picture of a simulation: one row per request, time to the right, four states in colours."""

from __future__ import annotations  # for what only type checkers import

from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from engine_svc.core.params import RequestId
from steeple_cli.planning.errors import PlanRefused
from steeple_cli.planning.record import Interval, RequestRecord
from steeple_cli.showing.picture import why_undrawable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_REQUESTS = 1000
_DPI = 100
_WIDTH_IN = 10.0
_MIN_ROW_PX, _MAX_ROW_PX, _PANEL_PX = 4, 18, 420
_MARGIN_PX = 70
"""Title, axis and legend of a panel."""


class State(Enum):
    """What a request does; values are colours that differ in brightness, too."""

    WAITING = "#d9d9d9"
    PREFILL = "#e08214"
    DECODE = "#2c7fb8"
    PAUSED = "#7a0177"


def states_of(request: RequestRecord) -> Iterator[tuple[State, Interval]]:
    """The states of a request from arrival to end, in order, without gaps or empty intervals."""
    yield from _unless_empty(State.WAITING, request.arrival_s, request.start_s)
    yield from _unless_empty(State.PREFILL, request.start_s, request.first_token_s)
    now = request.first_token_s
    for pause in request.pauses:
        yield from _unless_empty(State.DECODE, now, pause.interval.start_s)
        yield State.PAUSED, pause.interval
        now = pause.interval.end_s
    yield from _unless_empty(State.DECODE, now, request.end_s)


def check_timeline(path: Path, *, num_requests: int) -> None:
    """Refuse a picture that cannot be drawn, before anything is simulated for it.

    Raises:
        PlanRefused: too many requests, no matplotlib, no place to write, or a name of some
            other kind of picture.
    """
    if num_requests > MAX_REQUESTS:
        raise PlanRefused(
            f"--timeline shows at most {MAX_REQUESTS} requests; there are {num_requests}"
        )
    if (hindrance := why_undrawable("--timeline", path)) is not None:
        raise PlanRefused(hindrance)


def draw_timeline(
    path: Path, policies: Mapping[str, Sequence[RequestRecord]], order: Iterable[RequestId]
) -> None:
    """Write a PNG with one panel per policy, all on one time axis.

    Args:
        path: where; overwritten. `check_timeline` has passed it.
        policies: at least one; the requests that each has finished.
        order: every request, from the top row down; a refused one has an empty row.

    Raises:
        PlanRefused: it cannot be written after all.
    """
    rows = {request_id: row for row, request_id in enumerate(order)}
    figure = _empty_figure(panel_height_px(len(rows)) * len(policies))
    panels = figure.subplots(len(policies), 1, sharex=True, squeeze=False)
    for axes, (name, requests) in zip(panels.flat, policies.items(), strict=True):
        _draw_panel(axes, name, requests, rows)
    panels[-1, 0].set_xlabel("virtual time, s")
    panels[-1, 0].set_xlim(0, _end_s(policies.values()))
    try:
        figure.savefig(path, format="png")
    except OSError as error:
        raise PlanRefused(f"--timeline {path} cannot be written: {error.strerror}") from None


def panel_height_px(num_requests: int) -> int:
    """Height of a policy's panel: every request has rows of pixels of its own."""
    row_px = min(_MAX_ROW_PX, max(_MIN_ROW_PX, _PANEL_PX // max(1, num_requests)))
    return _MARGIN_PX + num_requests * row_px


def _empty_figure(height_px: int) -> Figure:
    """A figure that is drawn into memory and needs no display."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 - an extra
    from matplotlib.figure import Figure  # noqa: PLC0415 - likewise

    figure = Figure(figsize=(_WIDTH_IN, height_px / _DPI), dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _draw_panel(
    axes: Axes, name: str, requests: Iterable[RequestRecord], rows: Mapping[RequestId, int]
) -> None:
    from matplotlib.patches import Patch  # noqa: PLC0415 - an extra
    from matplotlib.ticker import MaxNLocator  # noqa: PLC0415 - likewise

    for request in requests:
        states = tuple(states_of(request))
        axes.broken_barh(
            [(span.start_s, span.length_s) for _, span in states],
            (rows[request.request_id] - 0.5, 1.0),
            facecolors=[state.value for state, _ in states],
            linewidth=0,
        )
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_ylabel("request")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_title(name, loc="left", fontsize="medium")
    axes.legend(
        handles=[Patch(color=state.value, label=state.name.lower()) for state in State],
        loc="lower right",
        bbox_to_anchor=(1.0, 1.0),
        ncols=len(State),
        frameon=False,
        fontsize="small",
        borderaxespad=0.2,
    )


def _end_s(policies: Iterable[Sequence[RequestRecord]]) -> float:
    """When the last request of all ends; an axis needs some length even without one."""
    return max((r.end_s for requests in policies for r in requests), default=1.0)


def _unless_empty(state: State, start_s: float, end_s: float) -> Iterator[tuple[State, Interval]]:
    if end_s > start_s:
        yield state, Interval(start_s, end_s)
