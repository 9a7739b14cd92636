"""Panels of a Grafana dashboard drawn with matplotlib, each at its place and with its legends.

They show what Grafana shows, in their own way: nothing of Grafana runs here.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, MaxNLocator, MultipleLocator

from tools.dashboard import COLUMNS
from tools.pictures.series import Series, Span
from tools.pictures.units import UNITS, round_step

_DPI = 100
_COLUMN_PX, _ROW_PX, _HEAD_PX, _GAP_PX = 60, 34, 44, 8
_LEFT_PX, _RIGHT_PX, _TOP_PX, _BOTTOM_PX = 66, 14, 34, 60
"""What a panel keeps free around its lines: scale, title, times and legends."""
_GROUND, _PANEL, _EDGE, _GRID, _INK, _FAINT = (
    *("#f4f5f5", "#ffffff", "#d9dce0", "#e8eaed"),
    *("#24292e", "#6a737b"),
)
_COLOURS = (
    *("#56a64b", "#e0a800", "#3274d9", "#ff780a"),
    *("#e02f44", "#1f9aa8", "#a352cc", "#8a6d3b"),
)
_LEAST = 1e-6
"""The end of a scale on which nothing rises above 0."""
_LABEL = re.compile(r"\{\{\s*(\w+)\s*\}\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of a panel."""

    legend: str
    values: Sequence[float]
    """One for each moment of the span; NaN where there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filled:
    """A panel, and what its queries were answered."""

    panel: Mapping[str, Any]  # as Grafana reads it
    lines: Sequence[Line]


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """Where a panel stands. Pixels from the upper left."""

    x: int
    y: int
    width: int
    height: int


def legend_of(template: str, series: Series) -> str:
    """A legend as Grafana writes it: {{label}} becomes the label's value."""
    return _LABEL.sub(lambda found: series.labels.get(found[1], ""), template)


def dashboard_figure(title: str, filled: Sequence[Filled], span: Span) -> Figure:
    """All panels at their places.

    Raises:
        KeyError: a panel is of a type or unit that nothing here draws.
    """
    boxes = [_box(one.panel["gridPos"]) for one in filled]
    height_px = max(box.y + box.height for box in boxes) + _GAP_PX
    size_in = ((COLUMNS * _COLUMN_PX + _GAP_PX) / _DPI, height_px / _DPI)
    figure = Figure(figsize=size_in, dpi=_DPI, facecolor=_GROUND)
    FigureCanvasAgg(figure)
    _write(figure, 16, 28, title, size=14)
    for one, box in zip(filled, boxes, strict=True):
        DRAWN[one.panel["type"]](_axes(figure, one.panel, box), one, span)
    return figure


def _box(place: Mapping[str, int]) -> Box:
    return Box(
        x=place["x"] * _COLUMN_PX + _GAP_PX,
        y=place["y"] * _ROW_PX + _HEAD_PX,
        width=place["w"] * _COLUMN_PX - _GAP_PX,
        height=place["h"] * _ROW_PX - _GAP_PX,
    )


def _write(figure: Figure, x_px: int, y_px: int, text: str, *, size: int) -> None:
    width_px, height_px = figure.get_size_inches() * _DPI
    at = (x_px / width_px, 1 - y_px / height_px)
    figure.text(*at, text, fontsize=size, fontweight="bold", color=_INK)


def _axes(figure: Figure, panel: Mapping[str, Any], box: Box) -> Axes:
    """The panel's ground and title; returned is the place for its lines."""
    width_px, height_px = figure.get_size_inches() * _DPI
    corner = (box.x / width_px, 1 - (box.y + box.height) / height_px)
    extent = (box.width / width_px, box.height / height_px)
    ground = Rectangle(corner, *extent, facecolor=_PANEL, edgecolor=_EDGE, linewidth=0.8, zorder=-1)
    figure.add_artist(ground)
    _write(figure, box.x + 12, box.y + 22, panel["title"], size=10)
    return figure.add_axes(
        (
            corner[0] + _LEFT_PX / width_px,
            corner[1] + _BOTTOM_PX / height_px,
            extent[0] - (_LEFT_PX + _RIGHT_PX) / width_px,
            extent[1] - (_TOP_PX + _BOTTOM_PX) / height_px,
        ),
        facecolor="none",
    )


def _draw_times(axes: Axes, filled: Filled, span: Span) -> None:
    """A chart over time, its lines on top of each other where the panel stacks them."""
    looks = filled.panel["fieldConfig"]["defaults"]
    lines = [line for line in filled.lines if not np.isnan(line.values).all()]
    if looks["custom"]["stacking"]["mode"] == "normal":
        _stack(axes, lines, span)
    else:
        for line, colour in zip(lines, _cycle(len(lines)), strict=True):
            axes.plot(span.offsets_s, line.values, color=colour, lw=1.3, label=line.legend)
    _dress(axes, looks["unit"], span)
    if lines:
        axes.legend(**_LEGEND_PLACE, ncols=_num_legend_columns(lines))
    else:
        axes.text(0.5, 0.5, "No data", transform=axes.transAxes, ha="center", color=_FAINT)


def _num_legend_columns(lines: Sequence[Line]) -> int:
    """One row of legends where they fit beside each other, else two."""
    length = sum(len(line.legend) + _LEGEND_MARK for line in lines)
    return len(lines) if length <= _LEGEND_LENGTH else -(-len(lines) // 2)


_LEGEND_LENGTH, _LEGEND_MARK = 66, 5
"""Characters beside each other in a panel of a third of the width, and those of a line's mark."""
_LEGEND_PLACE: Final[Mapping[str, Any]] = {
    "loc": "upper left",
    "bbox_to_anchor": (-0.08, -0.12),
    "frameon": False,
    "fontsize": 7.5,
    "labelcolor": _INK,
    "handlelength": 1.0,
    "handletextpad": 0.4,
    "columnspacing": 1.0,
}


def _stack(axes: Axes, lines: Sequence[Line], span: Span) -> None:
    """Where a line has no number it takes no room and is not drawn."""
    below = np.zeros(len(span.offsets_s))
    for line, colour in zip(lines, _cycle(len(lines)), strict=True):
        values = np.asarray(line.values)
        above = below + np.nan_to_num(values)
        axes.fill_between(span.offsets_s, below, above, color=colour, alpha=0.3, lw=0)
        shown = np.where(np.isnan(values), np.nan, above)
        axes.plot(span.offsets_s, shown, color=colour, lw=1.3, label=line.legend)
        below = above


def _cycle(count: int) -> list[str]:
    return [_COLOURS[index % len(_COLOURS)] for index in range(count)]


def _dress(axes: Axes, unit: str, span: Span) -> None:
    """Quiet axes from zero, minutes and seconds below, the unit at every line."""
    axes.set_xlim(0, span.offsets_s[-1])
    top = max(axes.get_ylim()[1], _LEAST)
    axes.set_ylim(0, top)
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 1.5, 3, 6]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda at_s, _: _clock(at_s)))
    axes.yaxis.set_major_locator(MultipleLocator(round_step(unit, top)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: UNITS[unit](value)))
    axes.tick_params(labelsize=7.5, colors=_FAINT, length=0)
    axes.grid(color=_GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _clock(at_s: float) -> str:
    minutes, seconds = divmod(round(at_s), 60)
    return f"{minutes}:{seconds:02}"


DRAWN: Final[Mapping[str, Callable[[Axes, Filled, Span], None]]] = {"timeseries": _draw_times}
"""By Grafana's names of panels."""
