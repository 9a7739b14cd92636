"""A picture of a bench: latency and throughput against the load, or against the time."""

from __future__ import annotations  # for what only type checkers import

from pathlib import Path
from typing import TYPE_CHECKING

from steeple_cli.benching.report import Report
from steeple_cli.benching.sweep_chart import draw_sweep
from steeple_cli.benching.time_chart import draw_times
from steeple_cli.showing.picture import why_undrawable
from steeple_rpc.refused import SettingRefused

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from steeple_cli.benching.run import PointRun

_DPI = 110
_SIZE_IN = (11.0, 7.2)


def check_chart(path: Path) -> None:
    """Refuse a picture that cannot be drawn, before anything is measured for it.

    Raises:
        SettingRefused: no matplotlib, no place to write, or a name of some other kind of picture.
    """
    if (hindrance := why_undrawable("--chart", path)) is not None:
        raise SettingRefused(hindrance)


def draw_chart(path: Path, report: Report, last: PointRun) -> None:
    """Write a PNG: the sweep, or the one load over its time.

    Args:
        path: where; overwritten. `check_chart` has passed it.
        report: of all loads.
        last: the last of them.

    Raises:
        SettingRefused: it cannot be written after all.
    """
    figure = _empty_figure()
    if len(report.points) > 1:
        draw_sweep(figure, report)
    else:
        draw_times(figure, report, last)
    try:
        figure.savefig(path, format="png")
    except OSError as error:
        raise SettingRefused(f"--chart {path} cannot be written: {error.strerror}") from None


def _empty_figure() -> Figure:
    """A figure that is drawn into memory and needs no display."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 - an extra
    from matplotlib.figure import Figure  # noqa: PLC0415 - likewise

    figure = Figure(figsize=_SIZE_IN, dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    return figure
