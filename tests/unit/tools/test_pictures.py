"""The pictures of docs/: which there are, how they were made, and that each says what it shows."""

import io
import json
import math
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from steeple_client.convert_load import to_load
from tests.support.answers import load
from tests.support.deployment import ROOT
from tools.dashboard import FILE
from tools.pictures import bench, scheduling, top
from tools.pictures.__main__ import PICTURES
from tools.pictures.panels import Filled, Line, dashboard_figure, legend_of
from tools.pictures.series import Series, Span
from tools.pictures.units import UNITS, round_step

DOCS = ROOT / "docs"
SPAN = Span(start_s=0.0, length_s=4.0, step_s=1.0)
PANELS = json.loads(FILE.read_text())["panels"]


def drawn(*lines: Line) -> Figure:
    """A dashboard whose panels all show the same."""
    return dashboard_figure("A title", [Filled(panel=panel, lines=lines) for panel in PANELS], SPAN)


# imread's arrays are of no one type.
def pixels_of(figure: Figure) -> Any:
    """As it is written; [height, width, 4]."""
    written = io.BytesIO()
    figure.savefig(written, format="png")
    written.seek(0)
    return imread(written)


def test_every_picture_of_the_docs_can_be_drawn_again() -> None:
    there = {path.name for path in DOCS.iterdir() if path.suffix in {".png", ".svg"}}
    assert there == PICTURES.keys()


def test_pictures_are_small_enough_for_a_page() -> None:
    assert all((DOCS / name).stat().st_size <= 400 << 10 for name in PICTURES)


@pytest.mark.parametrize(
    ("page", "arguments"),
    [("benchmarking.md", bench.ARGUMENTS), ("scheduling.md", scheduling.ARGUMENTS)],
)
def test_a_page_tells_how_its_picture_was_made(page: str, arguments: tuple[str, ...]) -> None:
    """Each option with its value, in whatever order and however the lines are broken."""
    told = " ".join((DOCS / page).read_text().replace("\\\n", " ").split())
    pairs = zip(arguments[::2], arguments[1::2], strict=True)
    assert [f"{name} {value}" for name, value in pairs if f"{name} {value}" not in told] == []


def test_the_picture_of_top_loads_nothing_from_anywhere() -> None:
    picture = top.drawn(to_load(load()), "here")
    assert "here" in picture
    assert picture.count("http") == picture.count("http://www.w3.org/2000/svg") == 1
    assert "@font-face" not in picture


def test_a_legend_gets_the_values_of_its_labels() -> None:
    series = Series(labels={"job": "engine", "phase": "decode"}, values=[])
    assert legend_of("{{job}}: {{ phase }}{{none}}", series) == "engine: decode"
    assert legend_of("p50", series) == "p50"


@pytest.mark.parametrize(
    ("unit", "value", "told"),
    [
        ("bytes", 96 * 2**20, "96 MiB"),
        ("percentunit", 0.25, "25%"),
        ("reqps", 2.0, "2 req/s"),
        ("s", 1.5, "1.5 s"),
        ("s", 0.02, "20 ms"),
        ("s", 0.0, "0 s"),
        ("s", 0.00004, "40 µs"),
        ("short", 1500.0, "1.5 K"),
        ("short", 12.0, "12"),
    ],
)
def test_a_number_is_told_in_its_unit(unit: str, value: float, told: str) -> None:
    assert UNITS[unit](value) == told


@pytest.mark.parametrize(
    ("unit", "top_of_axis", "step"),
    [("short", 80.0, 20.0), ("s", 0.37, 0.1), ("bytes", 120 * 2**20, 32 * 2**20), ("s", 9.0, 2.5)],
)
def test_lines_of_an_axis_are_round_numbers_apart(
    unit: str, top_of_axis: float, step: float
) -> None:
    assert round_step(unit, top_of_axis) == pytest.approx(step)


def test_each_panel_stands_at_its_place_with_its_title_and_legend() -> None:
    figure = drawn(Line(legend="a", values=[1, 2, 3, math.nan, 5]))
    titles = [text.get_text() for text in figure.texts]
    assert titles == ["A title", *(panel["title"] for panel in PANELS)]
    assert len({axes.get_position().bounds for axes in figure.axes}) == len(PANELS)
    for axes in figure.axes:
        legend = axes.get_legend()
        assert legend is not None
        assert [text.get_text() for text in legend.get_texts()] == ["a"]


def test_a_panel_without_a_number_says_so() -> None:
    figure = drawn(Line(legend="a", values=[math.nan] * 5))
    assert all([text.get_text() for text in axes.texts] == ["No data"] for axes in figure.axes)


def test_lines_lie_on_top_of_each_other_where_a_panel_stacks_them() -> None:
    figure = drawn(Line(legend="a", values=[1.0] * 5), Line(legend="b", values=[2.0] * 5))
    for panel, axes in zip(PANELS, figure.axes, strict=True):
        is_stacked = panel["fieldConfig"]["defaults"]["custom"]["stacking"]["mode"] == "normal"
        assert np.asarray(axes.lines[1].get_ydata())[0] == (3.0 if is_stacked else 2.0)


def test_lines_are_seen() -> None:
    """A panel's ground does not cover what is drawn on it."""
    empty = pixels_of(drawn())
    full = pixels_of(drawn(Line(legend="a", values=[1.0, 5.0, 2.0, 4.0, 3.0])))
    assert (empty != full).any(axis=2).mean() > 0.01
